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
