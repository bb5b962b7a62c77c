//! Redirects: an address of the daemon notes an event and sends the visitor on (docs/contract.md, section 18).

mod support;

use serde_json::{Value, json};
use support::{
    Daemon,
    daemon::{Response, started},
};

const TO: &str = "https://shop.example/spring?ref=mail#top";

fn save(daemon: &Daemon, body: &Value) -> Response {
    daemon.post_admin("/redirect", body)
}

fn spring(daemon: &Daemon, more: &Value) {
    let mut body = json!({
        "id": "spring", "url": TO, "event_type": "Link Followed", "source": "shop", "properties": {"campaign": "spring"}
    });
    more.as_object().unwrap().iter().for_each(|(name, value)| body[name] = value.clone());
    let saved = save(daemon, &body);
    assert_eq!((saved.status, &saved.json()["ids"]), (200, &json!(["spring"])));
}

fn events(daemon: &Daemon) -> Vec<Value> {
    let response = daemon.admin("GET", "/events?type=link-followed&order=oldest");
    response.json()["result"].as_array().unwrap().clone()
}

#[test]
fn a_visitor_is_sent_to_exactly_the_url_and_the_event_is_there() {
    let (_folder, daemon) = started();
    spring(&daemon, &json!({}));
    let response = daemon.get("/redirect/spring?campaign=forged&reader=7");
    assert_eq!((response.status, response.header("location")), (302, Some(TO)));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    let events = events(&daemon);
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["properties"], json!({"campaign": "spring", "reader": "7"}));
    assert_eq!(events[0]["source"]["id"], "shop");
    assert_eq!(events[0]["profile"], Value::Null, "without a session it makes no profile");
    let daemon = daemon.restart();
    assert_eq!(daemon.get("/redirect/spring").status, 302);
    assert_eq!(self::events(&daemon).len(), 2);
}

#[test]
fn a_session_s_visitor_is_known_and_told_to_where_they_go_if_asked() {
    let (_folder, daemon) = started();
    let visit = json!({"source": {"id": "shop"}, "session": {"id": "s1"}, "events": []});
    let profile = daemon.tracked(&visit)["profile"]["id"].as_str().unwrap().to_owned();
    spring(&daemon, &json!({}));
    assert_eq!(daemon.get("/redirect/spring/s1").header("location"), Some(TO));
    spring(&daemon, &json!({"pass": true}));
    let to = format!("https://shop.example/spring?ref=mail&__tr_pid={profile}&__tr_src=shop#top");
    assert_eq!(daemon.get("/redirect/spring/s1").header("location"), Some(&*to));
    assert_eq!(daemon.get("/redirect/spring").header("location"), Some(TO), "nobody is known here");
    for odd in ["%ff", &"x".repeat(500)] {
        assert_eq!(daemon.get(&format!("/redirect/spring/{odd}")).header("location"), Some(TO), "{odd}");
    }
    let events = events(&daemon);
    let profiles: Vec<&Value> = events.iter().map(|event| &event["profile"]["id"]).collect();
    assert_eq!(profiles.len(), 5);
    assert!(profiles.iter().filter(|id| **id == &json!(profile)).count() == 2, "{profiles:?}");
}

#[test]
fn nobody_is_asked_for_an_origin_or_a_secret() {
    let (_folder, daemon) = started();
    let config = json!({"origins": ["https://shop.example"], "requires_secret": true});
    daemon.source(&json!({"id": "shop", "name": "Shop", "type": ["webhook"], "config": config}));
    spring(&daemon, &json!({}));
    let response = daemon.request("GET", "/redirect/spring", &[("Origin", "https://mail.example")], b"");
    assert_eq!(response.status, 302);
    assert_eq!(events(&daemon).len(), 1);
    // It proves nothing of who comes.
    daemon.source(&json!({"id": "shop", "name": "Shop", "type": ["rest"], "config": {"identify": "secret"}}));
    spring(&daemon, &json!({"event_type": "sign-in"}));
    daemon.get("/redirect/spring/s9?email=ada@example.com&email.main=ada@example.com");
    let signed_in = &daemon.admin("GET", "/events?type=sign-in").json()["result"][0];
    assert_ne!(signed_in["metadata"]["identified"], true, "{signed_in}");
}

#[test]
fn whoever_cannot_be_noted_is_sent_on_all_the_same() {
    let (_folder, daemon) = started();
    spring(&daemon, &json!({}));
    assert_eq!(daemon.admin("DELETE", "/event-source/shop").status, 200);
    let response = daemon.get("/redirect/spring");
    assert_eq!((response.status, response.header("location")), (302, Some(TO)));
    assert_eq!(events(&daemon).len(), 0);
    assert_eq!(daemon.request("HEAD", "/redirect/spring", &[], b"").status, 302, "who only looks is not noted");
}

#[test]
fn it_is_a_definition_like_the_others() {
    let (_folder, daemon) = started();
    assert_eq!(daemon.get("/redirect/spring").status, 404);
    for (field, value, place) in [
        ("url", json!("javascript:alert(1)"), "url"),
        ("url", json!("/spring"), "url"),
        ("url", json!("https://shop.example/a\r\nSet-Cookie: a=b"), "url"),
        ("event_type", json!(""), "event_type"),
        ("source", Value::Null, "source"),
        ("properties", json!([1]), "properties"),
        ("to", json!("x"), "to"),
    ] {
        let mut body = json!({"id": "spring", "url": TO, "event_type": "t", "source": "shop"});
        body[field] = value;
        let refused = save(&daemon, &body);
        assert_eq!(refused.status, 422, "{body}");
        let place_told = &refused.json()["detail"][0]["loc"];
        let text = refused.text();
        assert!(place_told.to_string().contains(place) || text.contains(place), "{place}: {text}");
    }
    spring(&daemon, &json!({}));
    assert_eq!(daemon.get("/redirects").status, 401);
    let listed = daemon.admin("GET", "/redirects").json();
    assert_eq!((&listed["total"], &listed["result"][0]["url"]), (&json!(1), &json!(TO)));
    assert_eq!(daemon.admin("GET", "/configuration").json()["redirect"][0]["id"], "spring");
    assert_eq!(daemon.request("DELETE", "/redirect/spring", &[], b"").status, 401);
    assert_eq!(daemon.admin("DELETE", "/redirect/spring").json(), true);
    assert_eq!(daemon.get("/redirect/spring").status, 404);
}
