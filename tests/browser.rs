//! Calls from web pages of other origins (docs/contract.md, section 8).

mod support;

use serde_json::json;
use support::{Daemon, Setup};

fn started(setup: Setup) -> Daemon {
    let daemon = setup.start();
    daemon.shop();
    daemon
}

const BODY: &str = r#"{"source":{"id":"shop"},"session":{"id":"s1"},"events":[{"type":"page-view"}]}"#;

#[test]
fn a_preflight_lets_the_asking_origin_in() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = started(Setup::new(folder.path()));
    for path in ["/track", "/collect/a/shop", "/collect/a/shop/s1"] {
        let headers = [
            ("Origin", "https://shop.example"),
            ("Access-Control-Request-Method", "POST"),
            ("Access-Control-Request-Headers", "content-type, x-timestamp"),
        ];
        let response = daemon.request("OPTIONS", path, &headers, b"");
        assert_eq!(response.status, 204);
        assert_eq!(response.header("access-control-allow-origin"), Some("https://shop.example"));
        assert_eq!(response.header("access-control-allow-headers"), Some("content-type, x-timestamp"));
        assert_eq!(response.header("access-control-allow-credentials"), Some("true"));
        assert!(response.header("access-control-allow-methods").unwrap().contains("POST"));
        assert!(response.header("access-control-max-age").is_some());
        assert_eq!(response.header("vary"), Some("Origin"));
    }
}

#[test]
fn every_answer_carries_the_origin_errors_too() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = started(Setup::new(folder.path()));
    for (method, media, body, status) in [
        ("POST", "text/plain", BODY, 200),
        ("POST", "text/plain", "{", 422),
        ("POST", "text/html", BODY, 415),
        ("PUT", "text/plain", "", 405),
        ("POST", "text/plain", r#"{"source":{"id":"x"},"session":{"id":"s1"},"events":[]}"#, 401),
    ] {
        let headers = [("Origin", "https://shop.example"), ("Content-Type", media)];
        let response = daemon.request(method, "/track", &headers, body.as_bytes());
        assert_eq!(response.status, status, "{}", response.text());
        assert_eq!(response.header("access-control-allow-origin"), Some("https://shop.example"));
        assert_eq!(response.header("access-control-allow-credentials"), Some("true"));
        assert_eq!(response.header("access-control-expose-headers"), Some("Retry-After"));
        assert_eq!(response.header("vary"), Some("Origin"));
    }
    let response = daemon.post_json("/track", BODY);
    assert_eq!((response.header("vary"), response.header("access-control-allow-origin")), (Some("Origin"), None));
}

#[test]
fn a_source_s_origins_are_compared_exactly() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = started(Setup::new(folder.path()));
    let origins = ["https://shop.example", "capacitor://localhost", "null"];
    daemon.source(&json!({"id": "shop", "name": "Shop", "type": ["rest", "webhook"], "config": {"origins": origins}}));
    let send = |origin: &str| daemon.request("POST", "/track", &[("Origin", origin)], BODY.as_bytes()).status;
    for origin in
        ["https://evil.example", "http://shop.example", "https://shop.example:8443", "https://shop.example.evil"]
    {
        assert_eq!(send(origin), 401, "{origin}");
        assert_eq!(daemon.request("HEAD", "/collect/a/shop", &[("Origin", origin)], b"").status, 401, "{origin}");
    }
    assert_eq!(daemon.admin("GET", "/session/s1").status, 404);
    for origin in origins {
        assert_eq!(send(origin), 200, "{origin}");
    }
    assert_eq!(daemon.post_json("/track", BODY).status, 200, "no origin: server to server");
    let body = r#"{"name":"x","type":"rest","config":{"origins":["shop.example"]}}"#;
    let response = daemon.request("POST", "/event-source", &[("Authorization", "Bearer test-token")], body.as_bytes());
    assert_eq!((response.status, response.loc()), (422, json!(["body", "config", "origins", 0])));
}

#[test]
fn settings_say_whose_pages_may_read_answers() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path()).set("server.cors_origins", "https://shop.example");
    let daemon = started(setup.set("server.admin_origins", "https://admin.example"));
    let allowed = |path: &str, origin: &str| {
        let response = daemon.request("GET", path, &[("Origin", origin)], b"");
        response.header("access-control-allow-origin").map(str::to_owned)
    };
    assert_eq!(allowed("/collect/a/shop", "https://shop.example").as_deref(), Some("https://shop.example"));
    assert_eq!(allowed("/collect/a/shop", "https://other.example"), None);
    assert_eq!(allowed("/event-sources", "https://admin.example").as_deref(), Some("https://admin.example"));
    assert_eq!(allowed("/event-sources", "https://shop.example"), None);
    let preflight = [("Origin", "https://admin.example"), ("Access-Control-Request-Headers", "authorization")];
    assert_eq!(daemon.request("OPTIONS", "/event-source", &preflight, b"").status, 204);
}

#[test]
fn admin_paths_say_nothing_to_web_pages_by_default() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = started(Setup::new(folder.path()));
    let headers = [("Origin", "https://shop.example"), ("Authorization", "Bearer test-token")];
    let response = daemon.request("GET", "/event-sources", &headers, b"");
    assert_eq!((response.status, response.header("access-control-allow-origin")), (200, None));
    assert_eq!(daemon.request("OPTIONS", "/event-sources", &headers, b"").status, 405);
}

#[test]
fn an_origin_that_can_never_match_is_refused_when_it_is_saved() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = started(Setup::new(folder.path()));
    for origin in
        ["https://*.example.org", "https://shop.example/path", "https://ada@shop.example", "wss://shop.example"]
    {
        let config = json!({"origins": ["https://shop.example", origin]});
        let refused = daemon.post_admin("/event-source", &json!({"name": "x", "type": "rest", "config": config}));
        assert_eq!((refused.status, refused.loc()), (422, json!(["body", "config", "origins", 1])), "{origin}");
        for key in ["server.cors_origins", "server.admin_origins"] {
            let (_, error) = Setup::new(&folder.path().join("other")).set(key, origin).start_refused();
            assert!(error.contains(&key.to_uppercase().replace('.', "__")), "{error}");
        }
    }
}
