//! What a service sends again is one event, where its source says what the service calls it
//! (docs/contract.md, section 6).

mod support;

use serde_json::{Value, json};
use support::{
    Daemon,
    daemon::{Response, started},
};

const JSON: (&str, &str) = ("Content-Type", "application/json");

fn hook(daemon: &Daemon, config: Value) {
    daemon.source(&json!({"id": "hook", "name": "Hook", "type": ["webhook"], "config": config}));
}

fn post(daemon: &Daemon, headers: &[(&str, &str)], body: &str) -> Response {
    let response = daemon.request("POST", "/collect/paid/hook", headers, body.as_bytes());
    assert_eq!(response.status, 200, "{}", response.text());
    response
}

/// The ids of what is stored, the oldest first, and of each whether the server made it.
fn stored(daemon: &Daemon) -> Vec<String> {
    let events = daemon.record("/events?source=hook&order=oldest")["result"].clone();
    events.as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_place_in_the_properties_names_the_event() {
    let (_folder, daemon) = started();
    hook(&daemon, json!({"event_id": "properties.data.id"}));
    let long = "x".repeat(200);
    // Each is sent twice, as services do that had no answer in time.
    for body in [
        r#"{"data": {"id": "evt_1"}}"#.to_owned(),
        r#"{"data": {"id": 12345678901234567890123}}"#.to_owned(),
        r#"{"data": {"id": " evt_2 "}}"#.to_owned(),
        json!({"data": {"id": long}}).to_string(),
        json!({"data": {"id": "@evt"}}).to_string(),
        json!({"data": {"id": "a\u{1}b"}}).to_string(),
    ] {
        assert!(post(&daemon, &[JSON], &body).json().get("warnings").is_none(), "{body}");
        let again = post(&daemon, &[JSON], &body).json();
        assert!(again["warnings"][0].as_str().is_some_and(|it| it.ends_with("was already registered.")), "{body}");
    }
    let ids = stored(&daemon);
    assert_eq!((&ids[..3], ids.len()), (&["evt_1", "12345678901234567890123", "evt_2"].map(String::from)[..], 6));
    assert!(ids[3..].iter().all(|id| id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit())), "{ids:?}");
    // What says nothing is an event each time.
    for missing in [
        r#"{}"#,
        r#"{"data": {"id": null}}"#,
        r#"{"data": {"id": "undefined"}}"#,
        r#"{"data": {"id": 0}}"#,
        r#"{"data": {"id": ["a"]}}"#,
        r#"{"data": {"id": true}}"#,
        r#"{"data": "evt_1"}"#,
    ] {
        let before = stored(&daemon).len();
        (0..2).for_each(|_| _ = post(&daemon, &[JSON], missing));
        assert_eq!(stored(&daemon).len(), before + 2, "{missing}");
    }
}

#[test]
fn each_event_of_a_list_has_its_own() {
    let (_folder, daemon) = started();
    hook(&daemon, json!({"event_id": "properties.id"}));
    post(&daemon, &[JSON], r#"[{"id": "a"}, {"id": 2}, {"id": "a"}]"#);
    post(&daemon, &[JSON], r#"[{"id": 2}, {"id": "c"}]"#);
    // A form and a query say it as well.
    post(&daemon, &[("Content-Type", "application/x-www-form-urlencoded")], "id=c");
    post(&daemon, &[("Content-Type", "application/x-www-form-urlencoded")], "id=d");
    assert_eq!(daemon.get("/collect/paid/hook?id=d").status, 200);
    assert_eq!(stored(&daemon), ["a", "2", "c", "d"]);
    // A workflow's properties do not name the events of others, and /track says it in its own place.
    let other =
        json!({"source": {"id": "shop"}, "session": {"id": "s"}, "events": [{"type": "a", "properties": {"id": "a"}}]});
    (0..2).for_each(|_| _ = daemon.tracked(&other));
    assert_eq!(daemon.record("/events?source=shop")["result"].as_array().unwrap().len(), 2);
}

#[test]
fn a_header_names_what_is_delivered() {
    let (_folder, daemon) = started();
    hook(&daemon, json!({"event_id": "header:X-GitHub-Delivery"}));
    let delivery = |id: &'static str| [JSON, ("x-github-delivery", id)];
    for id in ["d-1", "d-1", " d-1 ", "d-2"] {
        post(&daemon, &delivery(id), r#"{"ref": "main"}"#);
    }
    // A list is one delivery: what was stored of it is not stored again.
    for _ in 0..2 {
        post(&daemon, &delivery("d-3"), r#"[{"n": 1}, {"n": 2}]"#);
    }
    for id in ["", "null"] {
        (0..2).for_each(|_| _ = post(&daemon, &delivery(id), "{}"));
    }
    (0..2).for_each(|_| _ = post(&daemon, &[JSON], "{}"));
    let ids = stored(&daemon);
    assert_eq!((&ids[..4], ids.len()), (&["d-1", "d-2", "d-3", "d-3#2"].map(String::from)[..], 10));
    let event = daemon.record("/event/d-1");
    assert!(!event.to_string().to_lowercase().contains("x-github-delivery"), "{event}");
}

#[test]
fn a_place_that_is_none_is_refused() {
    let (_folder, daemon) = started();
    for wrong in [
        json!("id"),
        json!("properties"),
        json!("header:"),
        json!("header:Authorization"),
        json!(5),
        json!({}),
        json!(["properties.id"]),
    ] {
        let body = json!({"id": "hook", "name": "Hook", "type": ["webhook"], "config": {"event_id": wrong}});
        let response = daemon.post_admin("/event-source", &body);
        assert_eq!((response.status, response.loc()), (422, json!(["body", "config", "event_id"])), "{wrong}");
    }
    hook(&daemon, json!({"event_id": null}));
}
