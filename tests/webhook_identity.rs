//! Webhooks that tell whose they are, without a workflow: their source says where.

mod support;

use serde_json::{Value, json};
use support::{Daemon, daemon::started};

fn source(daemon: &Daemon, profile: &Value) -> support::daemon::Response {
    let body = json!({"id": "crm", "name": "CRM", "type": ["webhook"], "config": {"profile": profile}});
    daemon.post_admin("/event-source", &body)
}

fn call(daemon: &Daemon, body: &str) -> Value {
    let response = daemon.post_json("/collect/crm-note/crm", body);
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()["profile"]["id"].clone()
}

#[test]
fn an_email_in_the_properties_finds_or_makes_the_profile() {
    let (_folder, daemon) = started();
    assert_eq!(source(&daemon, &json!({"path": "properties.customer.email", "is": "email"})).status, 200);
    let ada = r#"{"customer":{"email":"ada@example.com"},"note":"called"}"#;
    assert_eq!(call(&daemon, ada), Value::Null, "nobody has it, and none is made");
    assert_eq!(
        source(&daemon, &json!({"path": "properties.customer.email", "is": "email", "create": true})).status,
        200
    );
    let id = call(&daemon, ada);
    assert!(id.is_string());
    assert_eq!(call(&daemon, ada), id);
    assert_eq!(call(&daemon, r#"{"note":"anonymous"}"#), Value::Null);
    assert_eq!(call(&daemon, r#"{"customer":{"email":"null"}}"#), Value::Null);
    let profile = daemon.record(&format!("/profile/{}", id.as_str().unwrap()));
    assert_eq!(profile["data"]["contact"]["email"], json!({"main": "ada@example.com"}));
    assert_eq!(profile["stats"], json!({"visits": 0, "views": 0}), "a webhook without a session is no visit");
    // A list of several people's events is nobody's; of one person, in any writing, it is theirs.
    let list = |other: &str| format!(r#"[{ada},{{"customer":{{"email":"{other}"}}}},{{"note":"x"}}]"#);
    let refused = daemon.post_json("/collect/crm-note/crm", &list("eve@example.com"));
    assert_eq!(refused.status, 422);
    assert!(refused.text().contains("several"), "{}", refused.text());
    assert_eq!(call(&daemon, &list(" ADA@example.com")), id);
    // Whoever signs in with it is the same person.
    let signed_in = json!({
        "source": {"id": "shop"}, "session": {"id": "s"},
        "events": [{"type": "sign-in", "properties": {"email": {"main": "Ada@example.com"}}}]
    });
    assert_eq!(daemon.tracked(&signed_in)["profile"]["id"], id);
}

#[test]
fn a_profile_s_id_finds_it_and_makes_none() {
    let (_folder, daemon) = started();
    let body = json!({"source": {"id": "shop"}, "session": {"id": "s"}, "events": [{"type": "x"}]});
    let known = daemon.tracked(&body)["profile"]["id"].as_str().unwrap().to_owned();
    assert_eq!(source(&daemon, &json!({"path": "properties.profile", "is": "id", "create": true})).status, 200);
    assert_eq!(call(&daemon, &json!({"profile": known}).to_string()), json!(known));
    assert_eq!(call(&daemon, r#"{"profile":"11111111-1111-4111-8111-111111111111"}"#), Value::Null);
}

#[test]
fn terms_that_cannot_be_are_refused() {
    let (_folder, daemon) = started();
    for (profile, field) in [
        (json!({"is": "email"}), "path"),
        (json!({"path": "properties.x"}), "is"),
        (json!({"path": "properties..x", "is": "email"}), "path"),
        (json!({"path": "properties.x", "is": "shoe-size"}), "is"),
    ] {
        let response = source(&daemon, &profile);
        assert_eq!((response.status, response.loc()), (422, json!(["body", "config", "profile", field])), "{profile}");
    }
}
