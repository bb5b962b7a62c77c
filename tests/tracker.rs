//! What the browser script and widgets of web pages ask the daemon for (docs/contract.md, section 18); the script
//! itself is tried in a browser by `tests/script.rs`.

mod support;

use std::io::Read;

use serde_json::{Value, json};
use support::{
    Daemon, Setup,
    daemon::{TOKEN, started},
};

#[test]
fn the_script_is_small_cached_and_readable_from_any_origin() {
    let (_folder, daemon) = started();
    let whole = daemon.get("/tracker/tracardi.js");
    assert_eq!(whole.status, 200);
    assert_eq!(whole.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert_eq!(whole.header("access-control-allow-origin"), Some("*"));
    assert!(whole.header("cache-control").unwrap().contains("max-age="));
    let headers = [("Accept-Encoding", "gzip, br"), ("Origin", "https://shop.example")];
    let compressed = daemon.request("GET", "/tracker/liliput.min.js", &headers, b"");
    assert_eq!(compressed.header("content-encoding"), Some("gzip"));
    assert_eq!(compressed.header("vary"), Some("Accept-Encoding"));
    assert!(compressed.body.len() < 4_096, "{} bytes", compressed.body.len());
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&*compressed.body).read_to_end(&mut unpacked).unwrap();
    assert_eq!(unpacked, whole.body);
    let tag = whole.header("etag").unwrap();
    let again = daemon.request("GET", "/tracker/tracardi.js", &[("If-None-Match", tag)], b"");
    assert_eq!((again.status, again.body.len(), again.header("etag")), (304, 0, Some(tag)));
}

fn visit(session: &str, profile: Option<&str>, pass: Value) -> Value {
    json!({
        "source": {"id": "shop"}, "session": {"id": session}, "profile": {"id": profile},
        "context": {"tracardi": {"pass": pass}}, "events": [{"type": "page-view"}]
    })
}

fn id(answer: &Value) -> String {
    answer["profile"]["id"].as_str().unwrap().to_owned()
}

fn pass(profile: &str) -> Value {
    json!({"profile": profile, "source": "shop"})
}

#[test]
fn who_comes_with_a_link_from_another_domain_is_who_they_were_there() {
    let (_folder, daemon) = started();
    let there = id(&daemon.tracked(&visit("there", None, Value::Null)));
    assert_eq!(id(&daemon.tracked(&visit("here", None, pass(&there)))), there);
    assert_eq!(id(&daemon.tracked(&visit("here", None, Value::Null))), there, "and stays it");
    // Whoever was here before, and is not known, joins them.
    let before = id(&daemon.tracked(&visit("before", None, Value::Null)));
    assert_ne!(before, there);
    let joined = daemon.tracked(&visit("again", Some(&before), pass(&there)));
    assert_eq!((&joined["profile"]["id"], &joined["warnings"]), (&json!(there), &Value::Null));
    assert_eq!(daemon.record(&format!("/profile/{before}"))["id"], there);
    let of_session = id(&daemon.tracked(&visit("mine", None, Value::Null)));
    assert_eq!(id(&daemon.tracked(&visit("mine", None, pass(&there)))), there, "{of_session}");
}

#[test]
fn two_who_are_known_stay_two() {
    let (_folder, daemon) = started();
    let sign_in = |session: &str, mail: &str| {
        daemon.tracked(&json!({
            "source": {"id": "shop"}, "session": {"id": session},
            "events": [{"type": "sign-in", "properties": {"email": {"main": mail}}}]
        }))
    };
    let (ada, bob) = (id(&sign_in("a", "ada@example.com")), id(&sign_in("b", "bob@example.com")));
    let answer = daemon.tracked(&visit("b", Some(&bob), pass(&ada)));
    assert_eq!(id(&answer), bob);
    assert!(answer["warnings"][0].as_str().unwrap().contains("pass"), "{answer}");
    assert_eq!(daemon.record(&format!("/profile/{bob}"))["id"], bob);
}

#[test]
fn what_names_nobody_is_no_pass() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).start();
    daemon.shop();
    let there = id(&daemon.tracked(&visit("there", None, Value::Null)));
    for (number, nobody) in [
        json!({"profile": there, "source": "unknown"}),
        json!({"profile": there}),
        json!({"profile": 7, "source": "shop"}),
        json!("x"),
        pass("forged"),
        pass(""),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = daemon.tracked(&visit(&format!("s{number}"), None, nobody.clone()));
        assert_ne!(id(&answer), there, "{nobody}");
    }
    let daemon = daemon.stop().set("track.pass", false).start();
    assert_ne!(id(&daemon.tracked(&visit("off", None, pass(&there)))), there);
}

fn consent(daemon: &Daemon, query: &str, body: &Value) -> support::daemon::Response {
    daemon.post_json(&format!("/customer/consent{query}"), &body.to_string())
}

#[test]
fn a_widget_s_consents_are_the_profile_s() {
    let (_folder, daemon) = started();
    for id in ["marketing", "statistics"] {
        assert_eq!(daemon.post_admin("/consent", &json!({"id": id, "name": id.to_uppercase()})).status, 200);
    }
    let types = daemon.get("/consents/types").json();
    assert_eq!(types["total"], 2);
    assert_eq!(types["grouped"]["Consent types"][0]["name"], "MARKETING");
    let profile = id(&daemon.tracked(&visit("s1", None, Value::Null)));
    let said = |consents: Value| json!({"source": {"id": "shop"}, "session": {"id": "s1"}, "profile": {"id": profile}, "consents": consents});
    let consents = || daemon.record(&format!("/profile/{profile}"))["consents"].clone();
    let answer = consent(&daemon, "", &said(json!({"marketing": true, "statistics": false})));
    assert_eq!((answer.status, id(&answer.json())), (200, profile.clone()));
    assert_eq!(consents(), json!({"marketing": "grant", "statistics": "revoke"}));
    assert_eq!(consent(&daemon, "?all=true", &said(json!({}))).status, 200);
    assert_eq!(consents(), json!({"marketing": "grant", "statistics": "grant"}));
}

#[test]
fn a_widget_is_admitted_as_on_track() {
    let (_folder, daemon) = started();
    let unknown = json!({"source": {"id": "nobody"}, "session": {"id": "s"}, "consents": {}});
    assert_eq!(consent(&daemon, "", &unknown).status, 401);
    for body in [
        json!({"source": {"id": "shop"}, "consents": {}}),
        json!({"source": {"id": "shop"}, "session": {"id": "s"}, "consents": {"marketing": "perhaps"}}),
        json!({"session": {"id": "s"}, "consents": {}}),
    ] {
        assert_eq!(consent(&daemon, "", &body).status, 422, "{body}");
    }
    assert_eq!(consent(&daemon, "?all=perhaps", &unknown).status, 422);
    let headers = [("Origin", "https://shop.example"), ("Access-Control-Request-Method", "POST")];
    assert_eq!(daemon.request("OPTIONS", "/customer/consent", &headers, b"").status, 204);
    // The administrator's token is no stranger's.
    let headers = [("Authorization", &*format!("Bearer {TOKEN}")), ("Content-Type", "application/json")];
    let body = json!({"source": {"id": "shop"}, "session": {"id": "s"}, "consents": {}}).to_string();
    assert_eq!(daemon.request("POST", "/customer/consent", &headers, body.as_bytes()).status, 200);
}
