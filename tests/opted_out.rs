//! Visitors who ask not to be tracked (Do Not Track, Global Privacy Control), as each source hears them.

mod support;

use serde_json::{Value, json};
use support::{
    Daemon,
    daemon::{Response, started},
};

fn sources(daemon: &Daemon) {
    for dnt in ["ignore", "no-profile", "refuse"] {
        daemon.source(&json!({"id": dnt, "name": dnt, "type": ["rest", "webhook"], "config": {"dnt": dnt}}));
    }
}

fn post(daemon: &Daemon, path: &str, signal: (&str, &str), body: &Value) -> Response {
    daemon.request("POST", path, &[("Content-Type", "application/json"), signal], body.to_string().as_bytes())
}

fn visit(source: &str, id: &str) -> Value {
    json!({
        "source": {"id": source}, "session": {"id": format!("session {source}")}, "device": {"id": "the device"},
        "context": {"page": {"url": "https://shop.example/ada"}},
        "events": [{"id": id, "type": "sign-in", "properties": {"email": {"main": "ada@example.com"}, "plan": "free"}}]
    })
}

fn events(daemon: &Daemon, source: &str) -> Vec<Value> {
    daemon.record(&format!("/events?source={source}"))["result"].as_array().unwrap().clone()
}

#[test]
fn each_source_hears_as_it_is_set() {
    let (_folder, daemon) = started();
    sources(&daemon);
    for (place, signal) in [("DNT", "1"), ("Sec-GPC", "1"), ("sec-gpc", " 1")].into_iter().enumerate() {
        let id = |source: &str| format!("{source}-{place}");
        // Like anybody else.
        let answer = post(&daemon, "/track", signal, &visit("ignore", &id("ignore")));
        assert!(answer.json()["profile"]["id"].is_string(), "{}", answer.text());
        // Nothing is stored.
        let answer = post(&daemon, "/track", signal, &visit("refuse", &id("refuse")));
        assert_eq!(answer.status, 406, "{}", answer.text());
        assert!(answer.text().contains("DNT"), "{}", answer.text());
        let answer = post(&daemon, "/collect/a/refuse", signal, &json!({"a": 1}));
        assert_eq!(answer.status, 406, "{}", answer.text());
        // The event is, and nothing that tells whose it is.
        let answer = post(&daemon, "/track", signal, &visit("no-profile", &id("no-profile")));
        assert_eq!((answer.status, &answer.json()["profile"]), (200, &json!({})), "{}", answer.text());
        let event = daemon.record(&format!("/event/{}", id("no-profile")))["event"].clone();
        for nothing in ["profile", "session"] {
            assert_eq!(event[nothing], Value::Null, "{event}");
        }
        assert_eq!(event["properties"], json!({"email": {}, "plan": "free"}));
        assert_eq!((&event["context"], &event["request"], &event["data"]), (&json!({}), &json!({}), &json!({})));
    }
    assert_eq!((events(&daemon, "refuse"), daemon.admin("GET", "/session/session%20refuse").status), (vec![], 404));
    assert_eq!(daemon.admin("GET", "/session/session%20no-profile").status, 404);
    // Who does not ask is not heard so.
    for (place, signal) in [("DNT", "0"), ("DNT", "unset"), ("Sec-GPC", "0"), ("X-DNT", "1")].into_iter().enumerate() {
        for source in ["refuse", "no-profile"] {
            let answer = post(&daemon, "/track", signal, &visit(source, &format!("{source}-not-{place}")));
            assert!(answer.json()["profile"]["id"].is_string(), "{signal:?}: {}", answer.text());
        }
    }
}

#[test]
fn nothing_makes_a_visitor_known_who_asks_not_to_be() {
    let (_folder, daemon) = started();
    sources(&daemon);
    // Somebody who is known, and a session of theirs.
    let known = post(&daemon, "/track", ("DNT", "0"), &visit("no-profile", "before"));
    let ada = known.json()["profile"]["id"].as_str().unwrap().to_owned();
    daemon.source(&json!({
        "id": "hook", "name": "Hook", "type": ["webhook"],
        "config": {"dnt": "no-profile", "profile": {"path": "properties.mail", "is": "email", "create": true}}
    }));
    let workflow = json!({"id": "w", "on": ["*"], "step": [
        {"attach_profile": {"email": "ada@example.com"}, "continue_on_error": true},
        {"attach_profile": {"new": true}, "continue_on_error": true},
        {"attach_session": "theirs", "continue_on_error": true},
        {"set": {"profile.traits.seen": true}, "continue_on_error": true},
        {"set": {"session.traits.seen": true}, "continue_on_error": true}
    ]});
    assert_eq!(daemon.post_admin("/workflow", &workflow).status, 200);
    let before = daemon.record(&format!("/profile/{ada}"));
    let gpc = ("Sec-GPC", "1");
    let mut sent = visit("no-profile", "asked");
    sent["profile"] = json!({"id": ada});
    sent["context"]["tracardi"] = json!({"pass": {"profile": ada, "source": "no-profile"}});
    for (path, body) in [
        ("/track", sent),
        ("/collect/sign-in/hook", json!({"mail": "ada@example.com"})),
        ("/collect/sign-in/hook/theirs", json!({"mail": "eve@example.com"})),
    ] {
        let answer = post(&daemon, path, gpc, &body);
        assert_eq!((answer.status, &answer.json()["profile"]), (200, &json!({})), "{path}: {}", answer.text());
    }
    assert_eq!(daemon.record(&format!("/profile/{ada}")), before);
    assert_eq!(daemon.admin("GET", "/session/theirs").status, 404);
    assert_eq!(daemon.record("/profiles")["result"].as_array().unwrap().len(), 1);
    for event in events(&daemon, "hook").iter().chain(&events(&daemon, "no-profile")[..1]) {
        assert_eq!((&event["profile"], &event["session"]), (&Value::Null, &Value::Null), "{event}");
    }
}

#[test]
fn what_a_visitor_says_they_allow_counts_before_what_their_browser_says() {
    let (_folder, daemon) = started();
    sources(&daemon);
    for source in ["no-profile", "refuse"] {
        let consents = json!({"source": {"id": source}, "session": {"id": source}, "consents": {"tracking": true}});
        let answer = post(&daemon, "/customer/consent", ("Sec-GPC", "1"), &consents);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let profile = answer.json()["profile"]["id"].as_str().unwrap().to_owned();
        assert_eq!(daemon.record(&format!("/profile/{profile}"))["consents"], json!({"tracking": "grant"}));
    }
}

#[test]
fn who_follows_a_link_goes_on_either_way() {
    let (_folder, daemon) = started();
    sources(&daemon);
    for source in ["no-profile", "refuse"] {
        let redirect = json!({"id": source, "url": "https://shop.example/", "event_type": "followed", "source": source, "pass": true});
        assert_eq!(daemon.post_admin("/redirect", &redirect).status, 200);
        let answer = daemon.request("GET", &format!("/redirect/{source}/s-{source}"), &[("DNT", "1")], b"");
        assert_eq!((answer.status, answer.header("location")), (302, Some("https://shop.example/")));
        assert_eq!(daemon.admin("GET", &format!("/session/s-{source}")).status, 404);
    }
    assert_eq!(events(&daemon, "refuse"), Vec::<Value>::new());
    let followed = events(&daemon, "no-profile");
    assert_eq!((followed.len(), &followed[0]["session"]), (1, &Value::Null), "{followed:?}");
}

#[test]
fn another_word_is_refused_when_it_is_saved() {
    let (_folder, daemon) = started();
    for wrong in [json!("off"), json!(true), json!(1), json!({"dnt": 1})] {
        let source = json!({"id": "s", "name": "S", "type": ["rest"], "config": {"dnt": wrong}});
        let answer = daemon.post_admin("/event-source", &source);
        assert_eq!((answer.status, answer.loc()), (422, json!(["body", "config", "dnt"])), "{}", answer.text());
    }
    daemon.source(&json!({"id": "s", "name": "S", "type": ["rest"], "config": {"dnt": null}}));
}
