//! /collect/EVENT-TYPE/SOURCE-ID[/SESSION-ID] (docs/contract.md, section 5). What becomes of the bodies is tested
//! beside the code: in `src/model/form.rs`, `src/model/payload.rs` and `src/http/collect.rs`.

mod support;

use serde_json::{Value, json};
use support::{
    Daemon,
    daemon::{Response, started},
};

const FORM: &str = "application/x-www-form-urlencoded";

fn post(daemon: &Daemon, path: &str, media: &str, body: &str) -> Response {
    daemon.request("POST", path, &[("Content-Type", media)], body.as_bytes())
}

#[test]
fn without_a_session_a_webhook_makes_neither_session_nor_profile() {
    let (_folder, daemon) = started();
    for path in
        ["/collect/coupon/shop", "/collect/coupon/shop/", "/collect/coupon/shop/undefined", "/collect/coupon/shop/%20"]
    {
        let response = post(&daemon, path, "application/json", r#"{"voucher": "V-1"}"#);
        assert_eq!(
            (response.status, response.json()),
            (200, json!({"profile": {}, "source": {"consent": false}})),
            "{path}"
        );
    }
    assert_eq!(daemon.admin("GET", "/session/undefined").status, 404);
}

#[test]
fn with_a_session_it_is_as_on_track() {
    let (_folder, daemon) = started();
    let answer = post(&daemon, "/collect/Page%20View/shop/s1", "application/json", "{}").json();
    let profile = answer["profile"]["id"].as_str().unwrap().to_owned();
    assert_eq!(daemon.record("/session/s1")["profile"]["id"], json!(profile));
    assert_eq!(daemon.record(&format!("/profile/{profile}"))["stats"], json!({"visits": 1, "views": 1}));
    let again = daemon.get("/collect/page-view/shop/s1?a=1").json();
    assert_eq!(again["profile"]["id"], json!(profile));
    assert_eq!(daemon.record(&format!("/profile/{profile}"))["stats"], json!({"visits": 1, "views": 2}));
    // A list is one event each.
    post(&daemon, "/collect/page-view/shop/s1", "application/json", r#"[{"a":1},{"a":2},{"a":3}]"#);
    assert_eq!(daemon.record(&format!("/profile/{profile}"))["stats"]["views"], 5);
}

#[test]
fn a_body_of_many_media_types_is_taken() {
    let (_folder, daemon) = started();
    let multipart = "--X\r\nContent-Disposition: form-data; name=\"a[b]\"\r\n\r\n1\r\n--X--\r\n";
    for (media, body) in [
        ("application/json", "{}"),
        ("application/vnd.hook+json", "[]"),
        ("text/plain", "{\"a\":1}"),
        (FORM, "a=1&b=%zz&c"),
        ("application/x-www-form-urlencoded; charset=utf-8", "a=1"),
        ("multipart/form-data; boundary=X", multipart),
        ("text/html", ""),
        ("multipart/form-data", ""),
    ] {
        let response = post(&daemon, "/collect/coupon/shop", media, body);
        assert_eq!(response.status, 200, "{media} {body}: {}", response.text());
    }
}

#[test]
fn other_bodies_are_refused_whole() {
    let (_folder, daemon) = started();
    let file = "--X\r\nContent-Disposition: form-data; name=\"a\"; filename=\"f\"\r\n\r\n1\r\n--X--\r\n";
    for (media, body, status) in [
        ("application/json", "1", 422),
        ("application/json", "null", 422),
        ("application/json", r#"[{"a":1}, 2]"#, 422),
        ("application/json", "{}{}", 422),
        ("multipart/form-data", "x", 422),
        ("multipart/form-data; boundary=X", "x", 422),
        ("multipart/form-data; boundary=X", file, 422),
        ("text/html", "<p>", 415),
        ("application/x-www-form-urlencoded; charset=latin1", "a=1", 415),
    ] {
        let response = post(&daemon, "/collect/page-view/shop/s1", media, body);
        assert_eq!(response.status, status, "{media} {body}: {}", response.text());
    }
    assert_eq!(daemon.admin("GET", "/session/s1").status, 404);
    for event in ["{}", "1"] {
        let many = format!("[{}]", vec![event; 1_001].join(","));
        assert_eq!(post(&daemon, "/collect/a/shop", "application/json", &many).status, 413);
    }
}

#[test]
fn nesting_counts_from_where_the_properties_of_an_event_stand() {
    let (_folder, daemon) = started();
    let nested = |levels: usize| format!("{}{}{}", "{\"a\":".repeat(levels - 1), "{}", "}".repeat(levels - 1));
    assert_eq!(post(&daemon, "/collect/a/shop", "application/json", &nested(125)).status, 200);
    assert_eq!(post(&daemon, "/collect/a/shop", "application/json", &nested(126)).status, 422);
}

#[test]
fn the_source_must_allow_webhooks() {
    let (_folder, daemon) = started();
    daemon.source(&json!({"id": "rest", "name": "REST", "type": "rest"}));
    for source in ["rest", "unknown"] {
        assert_eq!(daemon.get(&format!("/collect/a/{source}")).status, 401);
        assert_eq!(daemon.request("HEAD", &format!("/collect/a/{source}"), &[], b"").status, 401);
    }
    assert_eq!(daemon.get("/collect/a/shop/@internal").status, 401);
}

#[test]
fn head_rings_the_bell_and_stores_nothing() {
    let (_folder, daemon) = started();
    let response = daemon.request("HEAD", "/collect/page-view/shop/s1", &[], b"");
    assert_eq!((response.status, response.body.len()), (200, 0));
    assert_eq!(daemon.admin("GET", "/session/s1").status, 404);
    for path in ["/collect/%20/shop", "/collect/a/shop/%00"] {
        assert_eq!(daemon.request("HEAD", path, &[], b"").status, 422, "{path}");
    }
}

#[test]
fn parts_of_the_path_are_decoded_once_and_checked() {
    let (_folder, daemon) = started();
    daemon.source(&json!({"id": "a/b+c", "name": "Odd", "type": "webhook"}));
    assert_eq!(daemon.get("/collect/x/a%2Fb+c").status, 200);
    assert_eq!(daemon.get("/collect/x/a%252Fb+c").status, 401);
    for (path, loc) in [
        ("/collect/%20/shop", json!(["path", "event_type"])),
        ("/collect/a/%00", json!(["path", "source_id"])),
        ("/collect/a/null", json!(["path", "source_id"])),
        ("/collect/%ff/shop", json!(["path", "event_type"])),
        ("/collect/a/shop/%0a%01", json!(["path", "session_id"])),
    ] {
        let response = daemon.get(path);
        assert_eq!((response.status, response.loc()), (422, loc), "{path}: {}", response.text());
    }
    assert_eq!(daemon.get("/collect/100%/shop").status, 200, "an invalid % is literal");
    assert_eq!(daemon.get("/collect").status, 404);
    let profile = post(&daemon, "/collect/a/shop/s+1%2F2", "application/json", "{}").json()["profile"].clone();
    assert_eq!(daemon.record("/session/s+1%2F2")["profile"], profile);
    assert_eq!(Value::Null, daemon.admin("GET", "/session/s").json());
}

fn post_form(daemon: &Daemon, kind: &str, form: &str) -> Response {
    post(daemon, &format!("/collect/{kind}/shop/s"), FORM, form)
}

/// The newest event of a type.
fn newest(daemon: &Daemon, kind: &str) -> Value {
    daemon.record(&format!("/events?type={kind}&limit=1"))["result"][0].clone()
}

#[test]
fn a_number_of_a_form_is_one_where_a_number_is_asked_for() {
    let (_folder, daemon) = started();
    let schema = json!({"type": "object", "properties": {
        "amount": {"type": "number", "minimum": 5}, "count": {"type": ["integer", "null"]}, "zip": {"type": "string"},
        "parts": {"type": "array", "items": {"type": "integer"}}, "level": {"enum": [1, 2]}}});
    let configuration = json!({
        "event_type": [
            {"id": "paid", "schema": {"properties": schema}},
            {"id": "bought", "map": [
                {"to": "profile.traits.spent", "from": "event.properties.amount", "op": "increment"},
                {"to": "profile.traits.last", "from": "event.properties.amount"},
            ]},
        ],
        "workflow": [{"id": "large", "on": ["bought"], "if": "event.properties.amount * 2.0 >= 20.5", "step": [
            {"if": "event.properties.amount == 19.90", "decrement": {"profile.traits.left": "{{ event.properties.amount }}"}},
            {"if": "event.properties.zip == '8001'", "increment": {"profile.traits.large": 1}}
        ]}],
        "segment": [{"id": "spender", "condition": "profile.traits.last > 15"}],
    });
    let response = daemon.post_admin("/configuration", &configuration);
    assert_eq!(response.status, 200, "{}", response.text());
    // What is stored is what was sent.
    let answer = post_form(&daemon, "bought", "amount=19.90&zip=8001").json();
    let profile = || daemon.record(&format!("/profile/{}", answer["profile"]["id"].as_str().unwrap()));
    assert_eq!(profile()["traits"], json!({"spent": 19.9, "last": "19.90", "left": -19.9, "large": 1}));
    assert_eq!(profile()["segments"], json!(["spender"]));
    assert_eq!(newest(&daemon, "bought")["properties"], json!({"amount": "19.90", "zip": "8001"}));
    // A query is texts, too, and words are no numbers.
    assert_eq!(daemon.get("/collect/bought/shop/s?amount=5").status, 200);
    for no_number in ["amount=007", "amount=5%2C00", "amount=", "amount=many"] {
        assert_eq!(post_form(&daemon, "bought", no_number).status, 200);
    }
    assert_eq!(profile()["traits"]["spent"], json!(24.9));
    // Interests are numbers.
    post_form(&daemon, "increase-interest", "interest=sports&value=2.5");
    post_form(&daemon, "increase-interest", "interest=sports");
    post_form(&daemon, "reset-interest", "interest=music&value=7");
    assert_eq!(profile()["interests"], json!({"sports": 3.5, "music": 7}));
    // Schemas see what they ask for.
    for (form, status) in [
        ("amount=19.90&count=3&zip=8001&parts=1&parts=2&level=2", 200),
        ("amount=4", 406),
        ("amount=x", 406),
        ("amount=9&count=1.5", 406),
        ("amount=9&zip=8001&level=3", 406),
        ("amount=9&parts=1&parts=b", 406),
    ] {
        let response = post_form(&daemon, "paid", form);
        assert_eq!(response.status, status, "{form}: {}", response.text());
    }
    assert_eq!(newest(&daemon, "paid")["properties"]["count"], "3");
    let body = json!({"amount": "19.90"}).to_string();
    assert_eq!(post(&daemon, "/collect/paid/shop/s", "application/json", &body).status, 406, "JSON has numbers");
    // Stored events are found by the numbers that they say.
    let found = |condition: &str| {
        let condition = condition.replace(' ', "%20").replace('>', "%3E");
        daemon.record(&format!("/events?type=bought&where={condition}"))["result"].as_array().unwrap().len()
    };
    assert_eq!((found("event.properties.amount > 10"), found("event.properties.amount > 4")), (1, 2));
}

#[test]
fn a_number_of_a_form_is_one_whatever_it_is_compared_with() {
    let (_folder, daemon) = started();
    let conditions = [
        ("brackets", r#"event.properties["item-price"] > 8"#),
        ("profile", "event.properties.price > profile.traits.limit"),
        ("visits", "profile.stats.visits < event.properties.price"),
        ("list", "event.properties.price in [8, 9]"),
        ("loop", "event.properties.parts.exists(part, part > 5)"),
        ("sum", "event.properties.price + profile.traits.limit == 14"),
        ("text", "event.properties.zip == '8001' && event.properties.zip != '08001'"),
    ];
    let steps: Vec<Value> = conditions
        .iter()
        .map(|(name, condition)| json!({"if": condition, "set": {format!("profile.traits.{name}"): true}}))
        .collect();
    let first = json!({"set": {"profile.traits.limit": 5}});
    let steps: Vec<Value> = std::iter::once(first).chain(steps).collect();
    let response = daemon.post_admin("/workflow", &json!({"id": "w", "on": ["bought"], "step": steps}));
    assert_eq!(response.status, 200, "{}", response.text());
    let answer = post_form(&daemon, "bought", "item-price=9&price=9&parts=1&parts=6&zip=8001").json();
    let traits = daemon.record(&format!("/profile/{}", answer["profile"]["id"].as_str().unwrap()))["traits"].clone();
    for (name, condition) in conditions {
        assert_eq!(traits[name], true, "{condition}");
    }
    assert_eq!(daemon.record("/workflow/w/status")["failures"], 0);
    let found = daemon.record("/events?where=event.properties%5B%22item-price%22%5D%20%3E%208");
    assert_eq!(found["result"].as_array().unwrap().len(), 1);
}
