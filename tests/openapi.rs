//! The API's description of itself: that it is valid, and that it tells what is there.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use support::{
    Daemon,
    daemon::{Response, TOKEN, started},
};

/// The document with what looks into it.
struct Described {
    document: Value,
}

impl Described {
    fn by(daemon: &Daemon) -> Self {
        let response = daemon.get("/openapi.json");
        assert_eq!((response.status, response.header("content-type")), (200, Some("application/json")));
        Self { document: response.json() }
    }

    /// Each operation: its path, its method, and what is said of it.
    fn operations(&self) -> impl Iterator<Item = (&str, &str, &Value)> {
        let paths = self.document["paths"].as_object().unwrap();
        paths.iter().flat_map(|(path, methods)| {
            methods.as_object().unwrap().iter().map(move |(method, operation)| (&**path, &**method, operation))
        })
    }

    fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        let pointer = value["$ref"].as_str().map(|reference| reference.strip_prefix('#').unwrap());
        pointer.map_or(value, |pointer| self.document.pointer(pointer).expect("what a reference leads to"))
    }

    /// Whether `value` keeps to a schema of the document.
    fn check(&self, schema: &Value, value: &Value) -> Result<(), String> {
        let root = json!({ "components": self.document["components"], "allOf": [schema] });
        let validator = jsonschema::draft202012::options().build(&root).expect("it is a schema");
        let wrong = validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path()));
        let wrong: Vec<String> = wrong.collect();
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
    }

    /// Checks an answer of the operation: its status, media type and body are described.
    fn check_answer(&self, path: &str, method: &str, response: &Response) {
        let answers = &self.document["paths"][path][method.to_ascii_lowercase()]["responses"];
        let answer = &answers[response.status.to_string()];
        assert!(answer.is_object(), "{method} {path}: {}", response.text());
        let content = self.resolved(answer)["content"].as_object();
        if method == "HEAD" || response.status == 204 {
            return assert_eq!(response.body.len(), 0);
        }
        let media = response.header("content-type").unwrap_or_default().split(';').next().unwrap();
        let said = content.and_then(|content| content.get(media));
        let said = said.unwrap_or_else(|| panic!("{method} {path}: {media} is not described"));
        if media == "application/json" {
            let checked = self.check(&said["schema"], &response.json());
            checked.unwrap_or_else(|wrong| panic!("{method} {path}: {wrong}\n{}", response.text()));
        }
    }
}

#[test]
fn the_document_is_valid_openapi_3_1() {
    let (_folder, daemon) = started();
    let described = Described::by(&daemon);
    let official: Value = serde_json::from_str(include_str!("data/openapi-3.1.json")).unwrap();
    let validator = jsonschema::options().build(&official).unwrap();
    let wrong: Vec<String> = validator.iter_errors(&described.document).map(|error| error.to_string()).collect();
    assert_eq!(wrong, [""; 0]);
    for (name, schema) in described.document["components"]["schemas"].as_object().unwrap() {
        assert!(jsonschema::draft202012::meta::is_valid(schema), "{name}");
    }
    let ids: BTreeSet<&str> =
        described.operations().map(|(_, _, operation)| operation["operationId"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), described.operations().count(), "each operation has an id of its own");
    for (path, _, operation) in described.operations() {
        let parameters = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
        let named: BTreeSet<String> = parameters
            .iter()
            .filter(|parameter| parameter["in"] == "path")
            .map(|parameter| format!("{{{}}}", parameter["name"].as_str().unwrap()))
            .collect();
        let parts: BTreeSet<String> = path.split('/').filter(|part| part.starts_with('{')).map(str::to_owned).collect();
        assert_eq!(named, parts, "{path}");
    }
}

#[test]
fn the_methods_that_are_described_are_those_that_are_allowed() {
    let (_folder, daemon) = started();
    let described = Described::by(&daemon);
    let mut methods: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (path, method, _) in described.operations() {
        methods.entry(path).or_default().insert(method.to_ascii_uppercase());
    }
    for (path, mut described) in methods {
        described.remove("OPTIONS"); // is answered as preflight, which is no method of the path's own
        let response = daemon.request("PATCH", &filled(path), &[], b"");
        assert_eq!(response.status, 405, "{path}");
        let allowed = response.header("allow").unwrap().split(", ").map(str::to_owned).collect();
        assert_eq!(described, allowed, "{path}");
    }
}

/// A path that fits a pattern.
fn filled(pattern: &str) -> String {
    let parts = pattern.split('/').map(|part| match part {
        "{source_id}" => "shop",
        part if part.starts_with('{') => "x",
        part => part,
    });
    parts.collect::<Vec<_>>().join("/")
}

/// Of the parameters that a query may have, those that stand in its query and must.
fn required_query(operation: &Value) -> String {
    let required = operation["parameters"].as_array().unwrap().iter().filter(|it| it["required"] == true);
    let values = required.filter(|it| it["in"] == "query").map(|it| match it["name"].as_str().unwrap() {
        "step" => "step=a&step=b",
        "by" => "by=day",
        "of" => "of=page",
        "what" => "what=events",
        other => panic!("{other} is required, too"),
    });
    values.collect::<Vec<_>>().join("&")
}

#[test]
fn the_parameters_that_are_described_are_those_that_are_read() {
    let (_folder, daemon) = started();
    let described = Described::by(&daemon);
    let mut checked = 0;
    for (path, method, operation) in described.operations() {
        let is_query = operation["tags"] == json!(["Queries"]) || operation["tags"] == json!(["Counts"]);
        if !is_query || method != "get" {
            continue;
        }
        let target = format!("{}?{}&misspelt=1", filled(path), required_query(operation));
        let refused = daemon.admin("GET", &target);
        assert_eq!((refused.status, refused.loc()), (422, json!(["query", "misspelt"])), "{target}");
        let told = refused.json()["detail"][0]["msg"].as_str().unwrap().to_owned();
        let mut read: BTreeSet<&str> = told.split_once("one of ").unwrap().1.split(", ").collect();
        if operation["responses"]["200"]["content"]["text/csv"].is_object() {
            read.insert("format");
        }
        let parameters = operation["parameters"].as_array().unwrap().iter().filter(|it| it["in"] == "query");
        let named = parameters.map(|it| it["name"].as_str().unwrap()).collect();
        assert_eq!(read, named, "{path}");
        checked += 1;
    }
    assert!(checked >= 11, "{checked}");
}

#[test]
fn what_an_unset_variable_leads_to_is_described_as_no_id_where_one_is_needed() {
    let (_folder, daemon) = started();
    let described = Described::by(&daemon);
    let mut checked = 0;
    for (path, method, operation) in described.operations() {
        for parameter in operation["parameters"].as_array().map_or(&[][..], Vec::as_slice) {
            let (name, schema) = (parameter["name"].as_str().unwrap(), &parameter["schema"]);
            let is_filter = ["Queries", "Counts"].contains(&operation["tags"][0].as_str().unwrap())
                && parameter["in"] == "query"
                && ["source", "session", "profile", "segment"].contains(&name);
            if method != "get" || !is_filter {
                continue;
            }
            for (value, is_id) in [("0", false), ("undefined", false), ("x", true)] {
                // Of several, each is one.
                let said = if schema["type"] == "array" { json!([value]) } else { json!(value) };
                assert_eq!(described.check(schema, &said).is_ok(), is_id, "{path} {name} {value}");
                if path == "/events/live" && is_id {
                    continue; // never ends
                }
                let target = format!("{}?{}&{name}={value}", filled(path), required_query(operation));
                let response = daemon.admin("GET", &target);
                assert_eq!(response.status == 422, !is_id, "{target}: {}", response.text());
            }
            checked += 1;
        }
    }
    assert!(checked >= 15, "{checked}");
    let payload = &described.document["components"]["schemas"]["Payload"];
    for id in ["0", "shop"] {
        let sent = json!({"source": {"id": id}, "session": {"id": "s"}, "events": []});
        let taken = daemon.track(&sent).status == 200;
        assert_eq!((described.check(payload, &sent).is_ok(), taken), (id == "shop", id == "shop"), "{id}");
    }
}

#[test]
fn what_a_webhook_takes_is_described_as_taken() {
    let (_folder, daemon) = started();
    let described = Described::by(&daemon);
    let methods = &described.document["paths"]["/collect/{event_type}/{source_id}"];
    let form = &methods["post"]["requestBody"]["content"]["multipart/form-data"]["schema"];
    let headers = [("Content-Type", "multipart/form-data; boundary=X")];
    for (name, is_taken) in [("\u{84}", true), ("é", true), ("\u{1}", false), ("\u{7f}", false)] {
        let body = format!("--X\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n1\r\n--X--\r\n");
        let response = daemon.request("POST", "/collect/bell/shop", &headers, body.as_bytes());
        let fits = described.check(form, &json!({name: "1"})).is_ok();
        assert_eq!((response.status == 200, fits), (is_taken, is_taken), "{name:?}: {}", response.text());
    }
    let parameters = methods["get"]["parameters"].as_array().unwrap();
    let query = &parameters.iter().find(|it| it["name"] == "properties").unwrap()["schema"];
    assert_eq!(described.check(query, &json!({"price": 1.5})), Ok(()));
    assert_eq!(daemon.get("/collect/bell/shop?price=1.5").status, 200);
}

/// What is sent in the examples, in an order in which each finds what it needs.
#[test]
fn examples_are_taken_and_answers_are_as_described() {
    let (_folder, daemon) = started();
    let described = Described::by(&daemon);
    let mut sent = 0;
    for (path, method, operation) in described.operations() {
        let Some((media, content)) = operation["requestBody"]["content"]
            .as_object()
            .and_then(|content| content.iter().find(|(_, content)| content.get("example").is_some()))
        else {
            continue;
        };
        let example = &content["example"];
        let fits = described.check(&content["schema"], example);
        assert_eq!(fits, Ok(()), "{method} {path}");
        let body = match &**media {
            "application/json" => example.to_string(),
            "application/x-ndjson" => example.as_str().unwrap().to_owned(),
            "application/x-www-form-urlencoded" => format!("username=admin&password={TOKEN}"),
            other => panic!("no example is {other}"),
        };
        let headers = [("Authorization", &*format!("Bearer {TOKEN}")), ("Content-Type", media)];
        let response = daemon.request("POST", &filled(path), &headers, body.as_bytes());
        let there_is_none = ["/profile/{id}/split", "/profile/{id}/merge", "/destination/{id}/replay"].contains(&path);
        assert_eq!(response.status, if there_is_none { 404 } else { 200 }, "{path}: {}", response.text());
        described.check_answer(path, "POST", &response);
        sent += 1;
    }
    assert!(sent >= 11, "{sent}");
}

#[test]
fn answers_are_as_described() {
    let (_folder, daemon) = started();
    let described = Described::by(&daemon);
    let configuration = json!({
        "event_type": [{"id": "strict", "schema": {"properties": {"required": ["x"]}}}],
        "segment": [{"id": "all", "condition": "true", "events": true}],
        "workflow": [
            {"id": "greets", "on": ["sign-in"], "step": [
                {"response": {"hello": 1}}, {"ux": {"tag": "div", "props": {}, "content": "x"}}, {"log": "seen"},
            ]},
            {"id": "hourly", "every": "1h", "step": [{"log": "now"}]},
        ],
        "destination": [{"id": "archive", "events": ["*"], "file": "archive.ndjson"}],
        "consent": [{"id": "marketing", "fields": [{"path": "profile.data.contact", "do": "remove"}]}],
    });
    let call = |method: &str, pattern: &str, path: &str, headers: &[(&str, &str)], body: &str, status: u16| {
        let response = daemon.request(method, path, headers, body.as_bytes());
        assert_eq!(response.status, status, "{method} {path}: {}", response.text());
        described.check_answer(pattern, method, &response);
        response
    };
    let token = format!("Bearer {TOKEN}");
    let json = [("Authorization", &*token), ("Content-Type", "application/json")];
    let post =
        |pattern: &str, path: &str, body: &Value, status| call("POST", pattern, path, &json, &body.to_string(), status);
    let get = |pattern: &str, path: &str, status| call("GET", pattern, path, &json, "", status);
    post("/configuration", "/configuration?dry_run=true", &configuration, 200);
    post("/configuration", "/configuration", &configuration, 200);
    // Collecting: all that an answer may say, and each way in which it is refused.
    let mut visit = json!({
        "source": {"id": "shop"}, "session": {"id": "s"},
        "context": {"page": {"url": "https://shop.example/?utm_source=news", "title": "Shop"}},
        "events": [
            {"id": "e", "type": "sign-in", "properties": {"email": {"main": "ada@example.com"}}, "tags": ["a"]},
            {"type": "page-view"}, {"type": "purchase", "time": {"create": "2026-01-02T03:04:05Z"}},
        ],
        "options": {"debugger": true, "profile": true},
    });
    let profile = post("/track", "/track", &visit, 200).json()["profile"]["id"].as_str().unwrap().to_owned();
    post("/track", "/track?dry_run=true", &visit, 200);
    visit["session"]["id"] = "t".into();
    post("/track", "/track", &visit, 200); // with a repeat
    visit["options"] = json!({});
    post("/track", "/track?profile_less=true", &visit, 200);
    call("POST", "/track", "/track", &[], "{", 422);
    call("POST", "/track", "/track", &[("Content-Type", "text/html")], "{}", 415);
    visit["source"]["id"] = "nobody's".into();
    post("/track", "/track", &visit, 401);
    let strict = json!({"source": {"id": "shop"}, "session": {"id": "s"}, "events": [{"type": "strict"}]});
    post("/track", "/track", &strict, 406);
    let many = json!({"source": {"id": "shop"}, "session": {"id": "s"}, "events": vec![json!({"type": "a"}); 1_001]});
    post("/track", "/track", &many, 413);
    let (collect, in_session) = ("/collect/{event_type}/{source_id}", "/collect/{event_type}/{source_id}/{session_id}");
    call("GET", collect, "/collect/bell/shop?a=1", &[], "", 200);
    call("HEAD", collect, "/collect/bell/shop", &[], "", 200);
    call(
        "POST",
        in_session,
        "/collect/bell/shop/s",
        &[("Content-Type", "application/x-www-form-urlencoded")],
        "a=1",
        200,
    );
    call("POST", collect, "/collect/bell/nobody", &[], "{}", 401);
    let preflight = [("Origin", "https://shop.example"), ("Access-Control-Request-Method", "POST")];
    call("OPTIONS", "/track", "/track", &preflight, "", 204);
    // Everything that can be read, where something is there and where nothing is.
    let source = "/event-source/{id}";
    call("POST", "/event-source/{id}/secret", "/event-source/shop/secret", &json, "", 200);
    call("POST", "/event-source/{id}/secret", "/event-source/nobody/secret", &json, "", 404);
    get(source, "/event-source/shop", 200);
    get(source, "/event-source/nobody", 404);
    get(source, "/event-source/%01", 422);
    call("GET", source, "/event-source/shop", &[], "", 401);
    let query = format!("/profiles?email=ada@example.com&where={}", "profile.active");
    for (pattern, path) in [
        ("/event/{id}", "/event/e".to_owned()),
        ("/session/{id}", "/session/s".to_owned()),
        ("/profile/{id}", format!("/profile/{profile}")),
        ("/segment/{id}", "/segment/all".to_owned()),
        ("/segment/{id}/status", "/segment/all/status".to_owned()),
        ("/workflow/{id}", "/workflow/greets".to_owned()),
        ("/workflow/{id}/status", "/workflow/hourly/status".to_owned()),
        ("/event-type/{id}", "/event-type/strict".to_owned()),
        ("/destination/{id}", "/destination/archive".to_owned()),
        ("/destination/{id}/status", "/destination/archive/status".to_owned()),
        ("/consent/{id}", "/consent/marketing".to_owned()),
        ("/events", "/events?limit=2".to_owned()),
        ("/events", "/events?type=page-*&fields=type,metadata.time".to_owned()),
        ("/events", "/events?format=csv".to_owned()),
        ("/events", "/events?format=ndjson&order=oldest".to_owned()),
        ("/session/{id}/events", "/session/s/events".to_owned()),
        ("/profile/{id}/events", format!("/profile/{profile}/events")),
        ("/sessions", "/sessions?source=shop".to_owned()),
        ("/profile/{id}/sessions", format!("/profile/{profile}/sessions")),
        ("/profiles", query),
        ("/profile/{id}/timeline", format!("/profile/{profile}/timeline")),
        ("/stats/events", "/stats/events?by=day,type&from=-2d&tz=Europe/Warsaw".to_owned()),
        ("/stats/funnel", "/stats/funnel?step=sign-in&step=purchase".to_owned()),
        ("/stats/retention", "/stats/retention?by=day".to_owned()),
    ] {
        get(pattern, &path, 200);
        let missing = pattern.replace("{id}", "nobody");
        if missing != pattern
            && !pattern.ends_with("events")
            && !pattern.ends_with("sessions")
            && !pattern.ends_with("timeline")
        {
            get(pattern, &missing, 404);
        }
    }
    get("/events", "/events?tyep=a", 422);
    // All that takes nothing, and is answered at once.
    let mut simple = 0;
    for (path, method, operation) in described.operations() {
        if ["get", "head"].contains(&method) && !operation["parameters"].is_array() {
            call(&method.to_ascii_uppercase(), path, path, &json, "", 200);
            simple += 1;
        }
    }
    assert!(simple >= 40, "{simple}");
    let text = [("Authorization", &*token), ("Accept", "text/plain")];
    call("GET", "/metrics", "/metrics", &text, "", 200);
    for (pattern, path) in [
        ("/event/{id}", "/event/e"),
        ("/session/{id}", "/session/s"),
        ("/consent/{id}", "/consent/marketing"),
        ("/event-source/{id}/secret", "/event-source/shop/secret"),
        (source, "/event-source/shop"),
    ] {
        call("DELETE", pattern, path, &json, "", 200);
        call("DELETE", pattern, path, &json, "", 404);
    }
}

#[test]
fn people_see_every_operation_on_a_page_that_loads_nothing() {
    let (_folder, daemon) = started();
    let described = Described::by(&daemon);
    let response = daemon.get("/docs");
    assert_eq!((response.status, response.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = response.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    let page = std::str::from_utf8(&response.body).unwrap();
    for loads in ["<script", "<link", "<img", "src=", "@import", "url("] {
        assert!(!page.contains(loads), "{loads}");
    }
    for (path, method, operation) in described.operations() {
        let place = format!("<details id=\"{}\">", operation["operationId"].as_str().unwrap());
        assert!(page.contains(&place), "{method} {path}");
    }
    // What a link on the page leads to is on it.
    for link in page.split("href=\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(page.contains(&format!("id=\"{link}\"")), "{link}");
    }
}

#[test]
fn the_examples_for_curl_work_as_they_stand() {
    let (_folder, daemon) = started();
    let described = Described::by(&daemon);
    let page = daemon.get("/docs");
    let page = std::str::from_utf8(&page.body).unwrap();
    let mut run = 0;
    for (path, method, operation) in described.operations() {
        if path == "/events/live" {
            continue; // never ends
        }
        let id = operation["operationId"].as_str().unwrap();
        let shown = page.split(&format!("<details id=\"{id}\">")).nth(1).unwrap();
        let line = shown.split("<pre>").nth(1).unwrap().split("</pre>").next().unwrap();
        let line = line.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&");
        let line = line.replace("http://127.0.0.1:8686", &format!("http://{}", daemon.address));
        let line = line.replace("SOURCE-ID", "shop").replacen("curl", "curl -s -o /dev/null -w '%{http_code}'", 1);
        let ran = std::process::Command::new("sh").args(["-euc", &line]).env("TOKEN", TOKEN).output().unwrap();
        assert!(ran.status.success(), "{line}");
        let status = String::from_utf8(ran.stdout).unwrap();
        assert!(["200", "204", "404"].contains(&&*status), "{status}: {line}");
        assert!(operation["responses"][&status].is_object(), "{status}: {method} {path}");
        run += 1;
    }
    assert!(run > 100, "{run}");
}
