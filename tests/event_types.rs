//! The event types that are ready-made, row by row as `docs/event-types.md` shows them, and those that people
//! configure.

mod support;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use support::{Daemon, daemon::started};

const TABLES: &str = include_str!("../docs/event-types.md");

/// The rows of the table whose head begins with `head`.
fn rows(head: &str) -> Vec<Vec<&'static str>> {
    let lines = TABLES.lines().skip_while(|line| !line.starts_with(head)).skip(2);
    lines
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

/// What stands at a dotted path.
fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(value, |value, step| &value[step])
}

/// An object with `value` at a dotted path.
fn nested(path: &str, value: Value) -> Value {
    path.rsplit('.').fold(value, |value, step| json!({ step: value }))
}

fn send(daemon: &Daemon, session: &str, kind: &str, properties: &Value) -> (Value, Value) {
    let id = format!("{session}-{}", uuid::Uuid::new_v4());
    let answer = daemon.tracked_by_admin(&json!({
        "source": {"id": "shop"}, "session": {"id": session}, "options": {"profile": true},
        "events": [{"id": id, "type": kind, "tags": ["sent"], "properties": properties}]
    }));
    (daemon.record(&format!("/event/{id}"))["event"].clone(), answer["profile"].clone())
}

#[test]
fn journeys_and_tags_are_those_of_the_table() {
    let (_folder, daemon) = started();
    let rows = rows("| type | journey");
    assert_eq!(rows.len(), 65);
    for row in rows {
        let [kind, journey, tags] = row[..] else { panic!("{row:?}") };
        let (first, later) = journey.split_once(", then ").unwrap_or((journey, journey));
        let state = |word: &str| if word == "-" { Value::Null } else { json!(word) };
        let tags: Vec<&str> = if tags == "-" { vec!["sent"] } else { tags.split(", ").collect() };
        let (event, profile) = send(&daemon, &format!("{kind}-1"), kind, &json!({}));
        assert_eq!((&event["journey"]["state"], &event["tags"]), (&state(first), &json!(tags)), "{kind}");
        let second = daemon.tracked(&json!({
            "source": {"id": "shop"}, "session": {"id": format!("{kind}-2")}, "profile": {"id": profile["id"]},
            "events": [{"id": format!("{kind}-later"), "type": kind}]
        }));
        assert_eq!(second["profile"]["id"], profile["id"]);
        let event = &daemon.record(&format!("/event/{kind}-later"))["event"];
        assert_eq!(event["journey"]["state"], state(later), "{kind} in a later visit");
    }
}

#[test]
fn each_property_goes_where_the_table_says() {
    let (_folder, daemon) = started();
    let rows = rows("| type | property");
    assert!(rows.len() > 300);
    for (index, row) in rows.iter().enumerate() {
        let [kind, property, sent, event_path, operation, profile_path, then] = row[..] else { panic!("{row:?}") };
        // Each row has values of its own, so that no two of the profiles are known by the same.
        let unique = |cell: &str| cell.replace("-1\"", &format!("-{index}\""));
        let value = |cell: &str| serde_json::from_str::<Value>(&unique(cell)).unwrap_or(Value::Null);
        let mut properties = match (property, sent) {
            (_, "-") if property.starts_with("location.") => json!({"location": [8.54, 47.37]}),
            (_, "-") => json!({}),
            _ => nested(property, value(sent)),
        };
        if profile_path.contains("NAME") {
            properties["interest"] = json!("NAME");
        }
        let (event, profile) = send(&daemon, &format!("row-{index}"), kind, &properties);
        assert_eq!(event["properties"], properties, "{row:?}: the properties stay as they were sent");
        if event_path != "-" {
            let expected = if sent == "-" { value(then) } else { value(sent) };
            assert_eq!(at(&event, event_path), &expected, "{row:?}: {event}");
        }
        if profile_path != "-" {
            assert_ne!(operation, "-");
            assert_eq!(at(&profile, profile_path), &value(then), "{row:?}: {profile}");
            let stored = daemon.record(&format!("/profile/{}", profile["id"].as_str().unwrap()));
            assert_eq!(at(&stored, profile_path), &value(then));
        }
    }
}

#[test]
fn null_and_blank_count_as_nothing() {
    let (_folder, daemon) = started();
    let full = json!({"email": {"main": "a@b.example"}, "firstname": "Ada"});
    send(&daemon, "s", "sign-up", &full);
    let (event, profile) = send(&daemon, "s", "sign-up", &json!({"email": {"main": ""}, "firstname": null}));
    assert_eq!((&event["data"], &profile["data"]["pii"]["firstname"]), (&json!({}), &json!("Ada")));
    // Messages fill in what is not known yet.
    let message = json!({"identity": {"email": {"main": "other@b.example", "private": "p@b.example"}}});
    let (_, profile) = send(&daemon, "s", "message-sent", &message);
    assert_eq!(profile["data"]["contact"]["email"], json!({"main": "a@b.example", "private": "p@b.example"}));
}

#[test]
fn what_has_the_wrong_type_is_skipped_and_logged() {
    let (_folder, daemon) = started();
    let answer = daemon.tracked(&json!({
        "source": {"id": "shop"}, "session": {"id": "s"}, "options": {"debugger": true, "profile": true},
        "events": [{"type": "checkout-started", "properties": {"value": "much", "id": "c-1"}}]
    }));
    assert_eq!(answer["profile"]["data"]["metrics"], json!({"ltcosc": 1, "ltcop": 0}));
    let logs = answer["debugging"]["logs"].as_array().unwrap();
    assert!(logs[0]["message"].as_str().unwrap().contains("ltcosv"), "{logs:?}");
}

#[test]
fn numbers_lists_and_shares_add_up() {
    let (_folder, daemon) = started();
    let checkout = |kind, value: f64| send(&daemon, "s", kind, &json!({"value": value})).1["data"]["metrics"].clone();
    checkout("checkout-started", 10.5);
    checkout("checkout-started", 20.0);
    let metrics = checkout("checkout-completed", 20.0);
    assert_eq!(metrics, json!({"ltcosv": 30.5, "ltcosc": 2, "ltcop": 0.5, "ltcocv": 20, "ltcocc": 1}));
    let colors = |color: Value| send(&daemon, "s", "add-color-preference", &json!({"color": color})).1;
    colors(json!("red"));
    colors(json!("blue"));
    assert_eq!(colors(json!(["red", "green"]))["data"]["preferences"]["colors"], json!(["red", "blue", "green"]));
    let interest = |kind, properties| send(&daemon, "s", kind, &properties).1["interests"].clone();
    interest("increase-interest", json!({"interest": "sports"}));
    interest("increase-interest", json!({"interest": "sports", "value": 2.5}));
    assert_eq!(interest("decrease-interest", json!({"interest": "sports"})), json!({"sports": 2.5}));
    assert_eq!(interest("reset-interest", json!({"interest": "sports"})), json!({"sports": 0}));
}

#[test]
fn nothing_touches_a_profile_that_the_event_does_not_have() {
    let (_folder, daemon) = started();
    let response = daemon.post_json("/collect/sign-up/shop", r#"{"firstname":"Ada"}"#);
    assert_eq!((response.status, &response.json()["profile"]), (200, &json!({})));
}

#[test]
fn a_configured_type_takes_the_place_of_the_ready_made_one() {
    let (_folder, daemon) = started();
    let body = json!({"id": "sign-up", "tags": ["mine"], "map": [{"from": "event.properties.firstname", "to": "profile.traits.name"}]});
    assert_eq!(daemon.post_admin("/event-type", &body).json(), json!({"saved": 1, "errors": [], "ids": ["sign-up"]}));
    let (event, profile) = send(&daemon, "s", "sign-up", &json!({"firstname": "Ada", "login": "ada"}));
    assert_eq!((&event["tags"], &event["journey"]["state"]), (&json!(["mine"]), &Value::Null));
    assert_eq!((&profile["traits"], &profile["data"]), (&json!({"name": "Ada"}), &json!({})));
    assert_eq!(daemon.record("/event-type/sign-up"), body);
    let daemon = daemon.restart();
    assert_eq!(send(&daemon, "s", "sign-up", &json!({"firstname": "Eve"})).1["traits"]["name"], "Eve");
    assert_eq!(daemon.admin("DELETE", "/event-type/sign-up").json(), json!(true));
    assert_eq!(daemon.admin("DELETE", "/event-type/sign-up").status, 404);
    assert_eq!(send(&daemon, "s", "sign-up", &json!({"login": "eve"})).1["data"]["identifier"]["token"], "eve");
}

#[test]
fn an_event_that_breaks_its_schema_is_refused_or_marked() {
    let (_folder, daemon) = started();
    let schema = json!({"properties": {"type": "object", "required": ["voucher"], "properties": {"voucher": {"type": "string"}}}});
    let mut kind =
        json!({"id": "coupon", "schema": schema, "map": [{"from": "event.properties.n", "to": "profile.traits.n"}]});
    assert_eq!(daemon.post_admin("/event-type", &kind).status, 200);
    let payload = json!({"source": {"id": "shop"}, "session": {"id": "s"}, "events": [
        {"id": "fine", "type": "coupon", "properties": {"voucher": "v"}}, {"id": "bad", "type": "coupon", "properties": {"n": 1}}
    ]});
    let refused = daemon.track(&payload);
    assert_eq!(refused.status, 406);
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.starts_with("Validation failed with error: ") && detail.contains("voucher"), "{detail}");
    let mut long = payload.clone();
    long["events"][1]["properties"] = json!({"voucher": {"n": vec![0; 100_000]}});
    let told = daemon.track(&long);
    assert!(told.status == 406 && told.text().contains("string") && told.body.len() < 1_000, "{}", told.body.len());
    assert_eq!(daemon.admin("GET", "/session/s").status, 404, "nothing of it is stored");
    assert_eq!(daemon.admin("GET", "/event/fine").status, 404);
    kind["on_invalid"] = json!("mark");
    assert_eq!(daemon.post_admin("/event-type", &kind).status, 200);
    assert_eq!(daemon.track(&payload).status, 200, "the ids were left free");
    let valid: BTreeMap<&str, Value> = ["fine", "bad"]
        .map(|id| (id, daemon.record(&format!("/event/{id}"))["event"]["metadata"]["valid"].clone()))
        .into();
    assert_eq!(valid, BTreeMap::from([("fine", json!(true)), ("bad", json!(false))]));
    let profile = daemon.record("/session/s")["profile"]["id"].as_str().unwrap().to_owned();
    assert_eq!(daemon.record(&format!("/profile/{profile}"))["traits"], json!({}), "it changes no profile");
}

#[test]
fn a_value_of_another_type_is_skipped_and_told() {
    let (_folder, daemon) = started();
    for (number, kind, properties) in [
        (0, "identification", json!({"phone": {"main": {"a": 1}}, "firstname": "Ada"})),
        (1, "sign-up", json!({"login": ["x"], "firstname": "Ada"})),
        (2, "increase-interest", json!({"interest": ["q"]})),
        (3, "location", json!({"location": {"x": 1}})),
    ] {
        let payload = json!({
            "source": {"id": "shop"}, "session": {"id": format!("s{number}")},
            "options": {"profile": true, "debugger": true}, "events": [{"type": kind, "properties": properties}]
        });
        let answer = daemon.tracked(&payload);
        let logs = answer["debugging"]["logs"].to_string();
        assert!(logs.contains("text"), "{kind} {properties}: {logs}");
        let kept = if number < 2 { json!({"pii": {"firstname": "Ada"}}) } else { json!({}) };
        assert_eq!((&answer["profile"]["data"], &answer["profile"]["interests"]), (&kept, &json!({})), "{properties}");
    }
}

#[test]
fn lists_go_where_lists_belong() {
    let (_folder, daemon) = started();
    let update = json!({
        "preferences": {"colors": ["red", "blue"]}, "loyalty": {"codes": ["A1"]}, "identifier": {"coupons": ["c1"], "id": [1]},
        "pii": {"language": {"spoken": ["de", "fr"]}, "firstname": [2]}, "contact": {"email": {"main": [3]}}
    });
    let (_, profile) = send(&daemon, "s", "profile-update", &update);
    assert_eq!(
        profile["data"],
        json!({
            "preferences": {"colors": ["red", "blue"]}, "loyalty": {"codes": ["A1"]}, "identifier": {"coupons": ["c1"]},
            "pii": {"language": {"spoken": ["de", "fr"]}}
        })
    );
}

#[test]
fn a_profile_keeps_so_much_and_no_more() {
    let (_folder, daemon) = started();
    let colors = |from: usize, count: usize| (from..from + count).map(|n| format!("c{n}")).collect::<Vec<_>>();
    let favourite = |from: usize, count: usize| {
        let payload = json!({
            "source": {"id": "shop"}, "session": {"id": "s"}, "options": {"profile": true, "debugger": true},
            "events": [{"type": "add-color-preference", "properties": {"color": colors(from, count)}}]
        });
        let answer = daemon.tracked(&payload);
        let kept = answer["profile"]["data"]["preferences"]["colors"].as_array().map_or(0, Vec::len);
        (kept, answer["debugging"]["logs"].to_string().contains("more than is kept"))
    };
    assert_eq!(favourite(0, 9_000), (9_000, false));
    assert_eq!(favourite(8_000, 2_000), (10_000, false), "nothing twice");
    assert_eq!(favourite(20_000, 60_000), (10_000, true));
    assert_eq!(favourite(30_000, 1), (10_000, true));
    let consents: serde_json::Map<String, Value> = (0..20_000).map(|n| (format!("c{n}"), json!(true))).collect();
    let (_, profile) = send(&daemon, "s", "consent-update", &json!({"consents": consents}));
    assert!((1_000..16_000).contains(&profile["consents"].as_object().unwrap().len()));
    // However much there is, there is room for a word on consent.
    let many: Vec<String> = (0..6_000).map(|n| format!("i{n}")).collect();
    let map: Vec<Value> = many.iter().map(|it| json!({"value": 1, "to": format!("profile.traits.{it}")})).collect();
    assert_eq!(daemon.post_admin("/event-type", &json!({"id": "fill", "map": map})).status, 200);
    for _ in 0..2 {
        send(&daemon, "full", "fill", &json!({}));
    }
    let (_, profile) = send(&daemon, "full", "consent-update", &json!({"consents": {"tracking": false}}));
    assert_eq!(profile["consents"], json!({"tracking": false}));
    assert_eq!(profile["traits"].as_object().unwrap().len(), 6_000, "small things go on a little");
}

#[test]
fn a_type_that_does_not_compile_is_refused_with_its_place() {
    let (_folder, daemon) = started();
    for (body, loc) in [
        (json!({"id": "Coupon Received"}), json!(["body", "id"])),
        (json!({"name": "x"}), json!(["body", "id"])),
        (json!({"id": "a", "map": [{"from": "event.properties.a"}]}), json!(["body", "map", 0, "to"])),
        (json!({"id": "a", "mapp": []}), json!(["body", "mapp"])),
        (json!({"id": "a", "tags": "x"}), json!(["body", "tags"])),
        (json!({"id": "a", "schema": {"properties": {"type": "objekt"}}}), json!(["body", "schema", "properties"])),
        (
            json!({"id": "a", "schema": {"properties": {"$ref": "https://x.example/y"}}}),
            json!(["body", "schema", "properties"]),
        ),
        (
            json!({"id": "a", "map": [{"from": "event.properties.x", "to": "profile.stats.views"}]}),
            json!(["body", "map", 0, "to"]),
        ),
        (json!({"id": "a", "map": [{"to": "profile.traits.x"}]}), json!(["body", "map", 0])),
        (
            json!({"id": "a", "map": [{"from": "event.p", "to": "profile.traits.x", "if": "1 +"}]}),
            json!(["body", "map", 0, "if"]),
        ),
    ] {
        let response = daemon.post_admin("/event-type", &body);
        assert_eq!((response.status, response.loc()), (422, loc), "{body}: {}", response.text());
    }
    assert_eq!(daemon.record("/event-types"), json!({"total": 0, "result": []}));
}

#[test]
fn any_property_that_is_taken_can_be_mapped_and_checked() {
    let (_folder, daemon) = started();
    let kind = json!({
        "id": "odd", "schema": {"properties": {"type": "object", "properties": {"big": {"type": "number"}}}},
        "map": [
            {"from": "event.properties.big", "to": "profile.traits.big"},
            {"from": "event.properties[\"$serde_json::private::Number\"]", "to": "profile.traits[\"a.b\"]"},
            {"from": "event.properties.deep", "to": "profile.data.x.deep"},
        ]
    });
    assert_eq!(daemon.post_admin("/event-type", &kind).status, 200);
    let deep = format!("{}1{}", "[".repeat(120), "]".repeat(120));
    let payload = format!(
        r#"{{"source":{{"id":"shop"}},"session":{{"id":"s"}},"options":{{"debugger":true,"profile":true}},"events":[{{"type":"odd",
        "properties":{{"big":1e400,"$serde_json::private::Number":"1.10","__proto__":-0,"deep":{deep}}}}}]}}"#
    );
    let response = daemon.post_json("/track", &payload);
    assert_eq!(response.status, 200, "{}", response.text());
    let text = String::from_utf8(response.body.clone()).unwrap();
    assert!(text.contains(r#""traits":{"big":1e400,"a.b":"1.10"}"#), "{text}");
    assert!(text.contains("nested too deep"), "{text}");
}
