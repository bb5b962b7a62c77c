//! Consent: granted and revoked, required by sources, and what is kept of those who did not give it.

mod support;

use serde_json::{Value, json};
use support::{Daemon, daemon::started};

/// Sends an event through the source that requires consent; the answer with the whole profile.
fn send(daemon: &Daemon, session: &str, id: &str, kind: &str, properties: Value) -> Value {
    daemon.tracked(&json!({
        "source": {"id": "strict"}, "session": {"id": session}, "options": {"profile": true},
        "context": {"time": {"tz": "UTC"}}, "events": [{"id": id, "type": kind, "properties": properties}]
    }))
}

fn strict() -> (tempfile::TempDir, Daemon) {
    let (folder, daemon) = started();
    daemon.source(&json!({"id": "strict", "name": "Strict", "type": ["rest"], "requires_consent": true}));
    (folder, daemon)
}

#[test]
fn events_without_consent_are_stored_without_what_tells_whose_they_are() {
    let (_folder, daemon) = strict();
    let sign_in = json!({"email": {"main": "ada@example.com"}, "plan": "free"});
    let answer = send(&daemon, "s", "e1", "sign-in", sign_in.clone());
    assert_eq!(answer["source"], json!({"consent": true}));
    assert_eq!(answer["profile"]["data"], json!({}), "nothing of it reaches the profile");
    let event = daemon.record("/event/e1")["event"].clone();
    assert_eq!((&event["profile"], &event["session"]), (&Value::Null, &Value::Null));
    assert_eq!(event["properties"], json!({"email": {}, "plan": "free"}));
    assert_eq!((&event["data"], &event["request"], &event["context"]), (&json!({}), &json!({}), &json!({})));

    let session = daemon.record("/session/s");
    assert_eq!((&session["context"], &session["app"]), (&json!({}), &json!({})), "nor does it reach the session");

    // With consent it is kept.
    send(&daemon, "s", "c1", "consent-update", json!({"consents": {"tracking": "grant"}}));
    let answer = send(&daemon, "s", "e2", "sign-in", sign_in.clone());
    assert_eq!(answer["profile"]["data"]["contact"]["email"]["main"], "ada@example.com");
    let event = daemon.record("/event/e2")["event"].clone();
    assert_eq!((&event["profile"]["id"], &event["properties"]), (&answer["profile"]["id"], &sign_in));
    assert_eq!(daemon.record("/session/s")["context"], json!({"time": {"tz": "UTC"}}));
    // And after it was revoked it is not.
    send(&daemon, "s", "c2", "consent-update", json!({"consents": {"tracking": false}}));
    send(&daemon, "s", "e3", "sign-in", sign_in);
    assert_eq!(daemon.record("/event/e3")["event"]["profile"], Value::Null);
    assert_eq!(daemon.restart().record("/event/e3")["event"]["properties"], json!({"email": {}, "plan": "free"}));
}

#[test]
fn webhooks_and_workflows_keep_nothing_without_consent_either() {
    let (_folder, daemon) = strict();
    daemon.source(&json!({
        "id": "hook", "name": "Hook", "type": ["rest", "webhook"], "requires_consent": true,
        "config": {"profile": {"path": "properties.mail", "is": "email", "create": true}}
    }));
    let workflow = json!({"id": "w", "on": ["t"], "step": [
        {"attach_profile": {"email": "{{ event.properties.mail }}"}, "continue_on_error": true},
        {"set": {"profile.traits.x": 1, "session.traits.x": 1}, "continue_on_error": true},
        {"segment": {"add": ["seen"]}, "continue_on_error": true},
        {"emit": {"type": "copy", "properties": {"mail": "{{ event.properties.mail }}"}}}
    ]});
    assert_eq!(daemon.post_admin("/workflow", &workflow).status, 200);
    let profile = |source: &str, mail: &str| {
        let answer = daemon.post_json(&format!("/collect/t/{source}"), &json!({"mail": mail}).to_string());
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["profile"]["id"].clone()
    };
    // Nobody is made of an address whose owner allowed nothing.
    assert_eq!(profile("hook", "ada@example.com"), Value::Null);
    let told = send(&daemon, "s", "t1", "t", json!({"mail": "ada@example.com"}));
    let untouched = (&told["profile"]["traits"], &told["profile"]["data"], &told["profile"]["segments"]);
    assert_eq!(untouched, (&json!({}), &json!({}), &json!([])));
    assert_eq!(daemon.record("/session/s")["traits"], json!({}));
    // Somebody who allowed it is found.
    let mail = json!({"email": {"main": "ada@example.com"}});
    send(&daemon, "web", "c", "consent-update", json!({"consents": {"tracking": true}}));
    let ada = send(&daemon, "web", "in", "sign-in", mail.clone())["profile"]["id"].clone();
    assert_eq!(profile("hook", "ada@example.com"), ada);
    // Of others, events keep what was bought and not by whom.
    let payment = json!({"credit_card": {"number": "4111", "holder": "Ada"}, "mail": "a@example.com"});
    send(&daemon, "s", "p", "payment-info-entered", payment);
    let event = daemon.record("/event/p")["event"].clone();
    assert_eq!((&event["data"], event.to_string().contains("4111")), (&json!({}), false), "{event}");
    let bought = json!({"order": {"id": "o-1"}, "n": 1});
    send(&daemon, "s", "b", "order-completed", bought.clone());
    assert_eq!(daemon.record("/event/b")["event"]["properties"], bought);
    assert_eq!(
        ada,
        daemon.tracked(&json!({
            "source": {"id": "strict"}, "session": {"id": "web"}, "events": []
        }))["profile"]["id"]
    );
}

#[test]
fn every_required_type_must_be_granted_and_may_expire() {
    let (_folder, daemon) = strict();
    for body in [
        json!({"id": "terms", "required": true}),
        json!({"id": "tracking", "required": true, "expires_after": "300ms"}),
        json!({"id": "newsletter"}),
    ] {
        assert_eq!(daemon.post_admin("/consent", &body).status, 200);
    }
    let is_known = |id: &str| {
        send(&daemon, "s", id, "x", json!({}));
        daemon.record(&format!("/event/{id}"))["event"]["profile"].is_object()
    };
    send(&daemon, "s", "c1", "consent-update", json!({"consents": {"terms": true, "newsletter": true}}));
    assert!(!is_known("e1"));
    let granted = send(&daemon, "s", "c2", "consent-update", json!({"consents": {"tracking": {"revoke": null}}}));
    let consents = json!({"terms": true, "newsletter": true, "tracking": {"revoke": null}});
    assert_eq!(granted["profile"]["consents"], consents, "the others stay as they were");
    support::daemon::wait_for("it to expire", || (!is_known(&uuid::Uuid::new_v4().to_string())).then_some(()));
    // What is granted unless somebody says otherwise.
    assert_eq!(
        daemon.post_admin("/consent", &json!({"id": "tracking", "required": true, "default": "granted"})).status,
        200
    );
    assert!(is_known("e2"));
}

#[test]
fn fields_are_removed_hashed_or_kept_by_type() {
    let (_folder, daemon) = started();
    let consent = json!({"id": "marketing", "fields": [
        {"path": "event.properties.phone", "do": "remove"},
        {"path": "event.properties.mail", "do": "hash"},
        {"path": "profile.traits.city", "do": "remove"},
        {"path": "event.properties.plan", "do": "keep"},
        {"path": "event.properties.nickname", "do": "hash"},
    ]});
    assert_eq!(daemon.post_admin("/consent", &consent).status, 200);
    let map = json!({"id": "a", "map": [
        {"from": "event.properties.city", "to": "profile.traits.city"},
        {"from": "event.properties.phone", "to": ["event.data.phone", "profile.traits.phone"]},
        {"from": "event.properties.nickname", "to": "profile.traits.nickname"}
    ]});
    assert_eq!(daemon.post_admin("/event-type", &map).status, 200);
    let sent = json!({"phone": "1", "mail": "abc", "plan": "free", "city": "Bern", "nickname": "abc"});
    let send = |id: &str, kind: &str, properties: &Value| {
        daemon.tracked(&json!({
            "source": {"id": "shop"}, "session": {"id": "s"}, "options": {"profile": true},
            "events": [{"id": id, "type": kind, "properties": properties}]
        }))["profile"]["traits"]
            .clone()
    };
    let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(send("e1", "a", &sent), json!({"nickname": hash}), "what is made of a field is covered");
    let event = daemon.record("/event/e1")["event"].clone();
    let kept = json!({"mail": hash, "plan": "free", "city": "Bern", "nickname": hash});
    assert_eq!((&event["properties"], &event["data"]), (&kept, &json!({})));
    // Of nobody known, what is granted by default counts.
    let webhook = json!({
        "source": {"id": "shop"}, "session": {"id": "w"}, "events": [{"id": "w1", "type": "b", "properties": sent}]
    });
    assert_eq!(daemon.post_json("/track?profile_less=true", &webhook.to_string()).status, 200);
    assert_eq!(daemon.record("/event/w1")["event"]["properties"], kept);
    send("c", "consent-update", &json!({"consents": {"marketing": true}}));
    assert_eq!(send("e2", "a", &sent), json!({"city": "Bern", "phone": "1", "nickname": "abc"}));
    assert_eq!(daemon.record("/event/e2")["event"]["properties"], sent);
}

#[test]
fn a_consent_that_cannot_be_is_refused() {
    let (_folder, daemon) = started();
    for (body, loc) in [
        (json!({"id": "c", "default": "maybe"}), json!(["body", "default"])),
        (json!({"id": "c", "expires_after": "soon"}), json!(["body", "expires_after"])),
        (json!({"id": "c", "fields": [{"path": "event.id", "do": "remove"}]}), json!(["body", "fields", 0, "path"])),
        (
            json!({"id": "c", "fields": [{"path": "event.properties.x", "do": "burn"}]}),
            json!(["body", "fields", 0, "do"]),
        ),
    ] {
        let response = daemon.post_admin("/consent", &body);
        assert_eq!((response.status, response.loc()), (422, loc), "{body}: {}", response.text());
    }
}
