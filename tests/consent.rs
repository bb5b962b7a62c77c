//! Consent: granted and revoked, required by sources, and what is kept of those who did not give it.

mod support;

use serde_json::{Value, json};
use support::{
    Daemon,
    daemon::{started, wait_for},
};

/// Sends an event through the source that requires consent; the answer with the whole profile.
fn send(daemon: &Daemon, session: &str, id: &str, kind: &str, properties: Value) -> Value {
    daemon.tracked_by_admin(&json!({
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
        {"set": {"event.properties.copy": "{{ event.properties.mail }}"}},
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
    assert_eq!(daemon.record("/event/t1")["event"]["properties"], json!({"mail": "ada@example.com"}), "as it was sent");
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
fn events_without_consent_change_nobody_who_did_not_allow_it() {
    let (_folder, daemon) = strict();
    daemon.source(&json!({
        "id": "hook", "name": "Hook", "type": ["rest", "webhook"], "requires_consent": true,
        "config": {"profile": {"path": "properties.mail", "is": "email", "create": true}}
    }));
    let kind = json!({"id": "t", "map": [
        {"from": "event.properties.phone", "to": "session.traits.phone"},
        {"value": 1, "to": "profile.traits.n", "op": "add"}
    ]});
    assert_eq!(daemon.post_admin("/event-type", &kind).status, 200);
    let steps = json!([{"attach_profile": {"email": "{{ event.properties.to }}"}}]);
    assert_eq!(daemon.post_admin("/workflow", &json!({"id": "w", "on": ["at"], "step": steps})).status, 200);
    let sign_in = |session: &str, mail: &str, allows: bool| {
        send(&daemon, session, &format!("c-{session}"), "consent-update", json!({"consents": {"tracking": true}}));
        let answer = send(&daemon, session, &format!("i-{session}"), "sign-in", json!({"email": {"main": mail}}));
        let word = json!({"consents": {"tracking": allows}});
        send(&daemon, session, &format!("d-{session}"), "consent-update", word);
        answer["profile"]["id"].as_str().unwrap().to_owned()
    };
    let (ada, eve) = (sign_in("web-1", "ada@example.com", true), sign_in("web-2", "eve@example.com", false));
    let before = daemon.record(&format!("/profile/{eve}"));
    let answer = send(&daemon, "new-1", "at-1", "at", json!({"to": "eve@example.com"}));
    assert_ne!(answer["profile"]["id"], json!(eve));
    let answer = daemon.post_json("/collect/t/hook/new-2", r#"{"mail":"eve@example.com","phone":"1"}"#);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_ne!(answer.json()["profile"]["id"], json!(eve));
    assert_eq!(daemon.record("/session/new-2")["traits"], json!({}));
    assert_eq!(daemon.record(&format!("/profile/{eve}")), before);
    // Who allowed it is found, in a session too.
    let answer = daemon.post_json("/collect/t/hook/new-3", r#"{"mail":"ada@example.com","phone":"1"}"#);
    assert_eq!(answer.json()["profile"]["id"], json!(ada));
    assert_eq!(daemon.record("/session/new-3")["traits"], json!({"phone": "1"}));
    assert_eq!(daemon.record(&format!("/profile/{ada}"))["traits"], json!({"n": 1}));
}

#[test]
fn fields_of_nobody_known_are_treated_in_all_that_is_made_of_them() {
    let (_folder, daemon) = started();
    let consent = json!({"id": "contact", "fields": [
        {"path": "event.properties.phone", "do": "hash"}, {"path": "event.properties.email", "do": "remove"},
        {"path": "event.properties.mail", "do": "hash"}
    ]});
    assert_eq!(daemon.post_admin("/consent", &consent).status, 200);
    let payload = json!({
        "source": {"id": "shop"}, "session": {"id": "s"}, "events": [{"id": "e", "type": "sign-in",
        "properties": {"phone": {"main": "RAW"}, "email": {"main": "RAW@x.example"}, "pk": "1"}}]
    });
    assert_eq!(daemon.post_json("/track?profile_less=true", &payload.to_string()).status, 200);
    let event = daemon.record("/event/e")["event"].clone();
    assert!(!event.to_string().contains("RAW"), "{event}");
    assert_eq!(event["data"], json!({"contact": {"email": {}, "phone": {}}, "identifier": {"pk": "1"}}));
    // Nor is a profile made with it; it is found by it all the same.
    daemon.source(&json!({
        "id": "hook", "name": "Hook", "type": ["webhook"],
        "config": {"profile": {"path": "properties.mail", "is": "email", "create": true}}
    }));
    let call =
        || daemon.post_json("/collect/note/hook", r#"{"mail":"abc@shop.example"}"#).json()["profile"]["id"].clone();
    let id = call();
    assert_eq!(call(), id);
    let profile = daemon.record(&format!("/profile/{}", id.as_str().unwrap()));
    let hash = "def7ec25808820fc760d18b4fdd16eb8cdf369bf3499194ed2c9b7710c75c9d8";
    assert_eq!(profile["data"]["contact"]["email"]["main"], hash);
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
    wait_for("it to expire", || (!is_known(&uuid::Uuid::new_v4().to_string())).then_some(()));
    // Granted again in the same words, it counts again: expiry begins anew.
    let longer = json!({"id": "tracking", "required": true, "expires_after": "1h"});
    let shorter = json!({"id": "tracking", "required": true, "expires_after": "300ms"});
    let renewed = send(&daemon, "s", "c3", "consent-update", json!({"consents": {"tracking": {"revoke": null}}}));
    let at = |profile: &Value| profile["metadata"]["fields"]["consents.tracking.revoke"].clone();
    assert!(at(&renewed["profile"]).as_str() > at(&granted["profile"]).as_str(), "{renewed}");
    for (body, known) in [(longer, true), (shorter, false)] {
        assert_eq!(daemon.post_admin("/consent", &body).status, 200);
        wait_for("its time", || (is_known(&uuid::Uuid::new_v4().to_string()) == known).then_some(()));
    }
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
fn the_context_of_a_payload_is_covered_too() {
    let (_folder, daemon) = started();
    let consent = json!({"id": "context", "fields": [
        {"path": "event.context.page", "do": "remove"}, {"path": "event.context.user", "do": "hash"}
    ]});
    assert_eq!(daemon.post_admin("/consent", &consent).status, 200);
    let payload = json!({
        "source": {"id": "shop"}, "session": {"id": "s"},
        "context": {"page": {"url": "http://secret"}, "user": "abc", "time": {"tz": "UTC"}},
        "events": [{"id": "a", "type": "x"}, {"id": "b", "type": "x", "context": {"page": {"url": "http://secret/2"}, "n": 1}}]
    });
    daemon.tracked(&payload);
    let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let context = |id: &str| daemon.record(&format!("/event/{id}"))["event"]["context"].clone();
    assert_eq!(context("a"), json!({"user": hash, "time": {"tz": "UTC"}}));
    assert_eq!(context("b"), json!({"user": hash, "time": {"tz": "UTC"}, "n": 1}));
    assert_eq!(daemon.record("/session/s")["context"], json!({"time": {"tz": "UTC"}}));
}

#[test]
fn a_consent_that_cannot_be_is_refused() {
    let (_folder, daemon) = started();
    for (body, loc) in [
        (json!({"id": "c", "default": "maybe"}), json!(["body", "default"])),
        (json!({"id": "c", "expires_after": "soon"}), json!(["body", "expires_after"])),
        (
            json!({"id": "c", "fields": [{"path": "event.properties", "do": "hash"}]}),
            json!(["body", "fields", 0, "path"]),
        ),
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

#[test]
fn nobody_is_made_of_an_address_that_comes_with_a_refusal() {
    let (_folder, daemon) = strict();
    daemon.source(&json!({
        "id": "hook", "name": "Hook", "type": ["rest", "webhook"], "requires_consent": true,
        "config": {"profile": {"path": "properties.email", "is": "email", "create": true}}
    }));
    assert_eq!(daemon.post_admin("/consent", &json!({"id": "tracking", "required": true})).status, 200);
    let update = |consents: Value| {
        let body = json!({"email": "ada@example.com", "consents": consents});
        daemon.post_json("/collect/consent-update/hook", &body.to_string()).json()["profile"].clone()
    };
    for consents in [json!({"tracking": false}), json!({}), json!({"other": true}), Value::Null] {
        assert_eq!(update(consents.clone()), json!({}), "{consents}");
    }
    assert!(update(json!({"tracking": true}))["id"].is_string());
}

#[test]
fn what_expired_counts_no_more_where_no_type_is_required() {
    let (_folder, daemon) = strict();
    assert_eq!(daemon.post_admin("/consent", &json!({"id": "tracking", "expires_after": "200ms"})).status, 200);
    let is_known = |id: &str| {
        send(&daemon, "s", id, "x", json!({}));
        daemon.record(&format!("/event/{id}"))["event"]["profile"].is_object()
    };
    send(&daemon, "s", "c1", "consent-update", json!({"consents": {"tracking": true}}));
    wait_for("it to expire", || (!is_known(&uuid::Uuid::new_v4().to_string())).then_some(()));
}

#[test]
fn nothing_that_workflows_made_of_an_event_is_kept_without_consent() {
    let (folder, daemon) = strict();
    let workflow = json!({"id": "w", "on": ["sign-up"], "step": [
        {"append": {"event.tags": "{{ event.properties.email.main }}"}},
        {"set": {
            "event.traits.e": "{{ event.properties.email.main }}", "event.hit.e": "{{ event.properties.email.main }}",
            "event.journey.state": "{{ event.properties.email.main }}", "event.app.e": "{{ event.properties.email.main }}"
        }},
        {"emit": {"type": "welcome", "properties": {"mail": "{{ event.properties.email.main }}"}}},
        {"emit": {"type": "welcome", "properties": {"mail": "{{ event.properties.email.main }}"}, "delay": "1h"}}
    ]});
    assert_eq!(daemon.post_admin("/workflow", &workflow).status, 200);
    send(&daemon, "s", "e1", "sign-up", json!({"email": {"main": "unconsented@example.com"}}));
    assert!(!daemon.record("/event/e1").to_string().contains("unconsented"));
    drop(daemon.stop());
    for entry in walk(folder.path()) {
        let bytes = std::fs::read(&entry).unwrap_or_default();
        assert!(!bytes.windows(11).any(|it| it == b"unconsented"), "{}", entry.display());
    }
}

/// Every file below a folder.
fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[test]
fn a_payload_that_revokes_leaves_nothing_in_its_session() {
    let (_folder, daemon) = strict();
    assert_eq!(daemon.post_admin("/consent", &json!({"id": "tracking", "required": true})).status, 200);
    send(&daemon, "s", "c1", "consent-update", json!({"consents": {"tracking": true}}));
    send(&daemon, "s", "e1", "x", json!({}));
    let before = daemon.record("/session/s");
    assert_eq!(before["context"], json!({"time": {"tz": "UTC"}}));
    let answer = daemon.tracked(&json!({
        "source": {"id": "strict"}, "session": {"id": "s"}, "device": {"id": "d"}, "options": {"profile": true},
        "context": {"secret": 1}, "properties": {"secret": 2},
        "events": [{"type": "consent-update", "properties": {"consents": {"tracking": false}}}, {"type": "page-view"}]
    }));
    let after = daemon.record("/session/s");
    assert_eq!(
        (&after["context"], &after["properties"], &after["device"]),
        (&before["context"], &before["properties"], &before["device"])
    );
    assert_eq!(answer["profile"]["stats"]["views"], 0);
}

#[test]
fn what_is_hashed_stays_as_it_is() {
    let (_folder, daemon) = started();
    let fields =
        json!([{"path": "profile.traits.phone", "do": "hash"}, {"path": "event.properties.phone", "do": "hash"}]);
    for id in ["one", "two"] {
        assert_eq!(daemon.post_admin("/consent", &json!({"id": id, "fields": fields})).status, 200);
    }
    let kind = json!({"id": "a", "map": [{"from": "event.properties.number", "to": "profile.traits.phone"}]});
    assert_eq!(daemon.post_admin("/event-type", &kind).status, 200);
    let send = |kind: &str, properties: Value| {
        daemon.tracked(&json!({
            "source": {"id": "shop"}, "session": {"id": "s"}, "options": {"profile": true, "debugger": true},
            "events": [{"type": kind, "properties": properties}]
        }))
    };
    let hash = "a665a45920422f9d417e4867efdc4fb8a04a1f3fff1fa07e998e86f7f7a27ae3";
    let answer = send("a", json!({"number": "123", "phone": "123"}));
    assert_eq!(answer["profile"]["traits"]["phone"], hash);
    let event = answer["debugging"]["events"]["ids"][0].as_str().unwrap();
    assert_eq!(daemon.record(&format!("/event/{event}"))["event"]["properties"]["phone"], hash);
    assert_eq!(send("b", json!({}))["profile"]["traits"]["phone"], hash);
}

#[test]
fn copies_of_a_field_are_treated_with_it() {
    let (_folder, daemon) = started();
    let treat = |what: &str| {
        let fields = json!([{"path": "event.properties.phone", "do": what}]);
        assert_eq!(daemon.post_admin("/consent", &json!({"id": "calls", "fields": fields})).status, 200);
    };
    let workflow = json!({"id": "w", "on": ["call"], "step": [
        {"set": {
            "event.traits.copy": "{{ event.properties.phone }}", "event.properties.copy": "call {{ event.properties.phone }}",
            "event.traits.kind": "call"
        }},
        {"emit": {"type": "called", "properties": {"phone": "{{ event.properties.phone }}"}}},
        {"if": "has(event.properties.who)", "attach_profile": {"new": true}},
        {"if": "has(event.properties.who)", "set": {"profile.traits.phone": "{{ event.traits.copy }}"}}
    ]});
    assert_eq!(daemon.post_admin("/workflow", &workflow).status, 200);
    for what in ["remove", "hash"] {
        treat(what);
        for properties in [json!({"phone": "+41791234567"}), json!({"phone": "+41791234567", "who": "new"})] {
            let answer = tracked_nobody(
                &daemon,
                &json!({
                    "source": {"id": "shop"}, "session": {"id": uuid::Uuid::new_v4().to_string()},
                    "options": {"debugger": true}, "events": [{"type": "call", "properties": properties}]
                }),
            );
            for id in answer["debugging"]["events"]["ids"].as_array().unwrap() {
                let event = daemon.record(&format!("/event/{}", id.as_str().unwrap()));
                assert!(!event.to_string().contains("1234567"), "{what}: {event}");
                assert!(event["event"]["type"] != "call" || event["event"]["traits"]["kind"] == "call", "{event}");
            }
            if let Some(id) = answer["profile"]["id"].as_str() {
                let profile = daemon.record(&format!("/profile/{id}"));
                assert!(!profile.to_string().contains("1234567"), "{what}: {profile}");
                assert_eq!(
                    profile["traits"]["phone"].as_str().map_or(0, str::len),
                    if what == "hash" { 64 } else { 0 }
                );
            }
        }
    }
}

fn tracked_nobody(daemon: &Daemon, payload: &Value) -> Value {
    let answer = daemon.post_json("/track?profile_less=true", &payload.to_string());
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[test]
fn a_consent_until_a_time_is_a_yes_until_then() {
    let (_folder, daemon) = strict();
    assert_eq!(daemon.post_admin("/consent", &json!({"id": "tracking", "required": true})).status, 200);
    let soon = || {
        let soon = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64() + 2.0;
        json!(soon)
    };
    let mail = |name: &str| json!({"email": {"main": format!("{name}@example.com")}});
    for (name, said, is_yes) in [
        ("later", json!({"revoke": "2090-01-01T00:00:00Z"}), true),
        ("later-day", json!({"revoke": "2090-01-01"}), true),
        ("later-zone", json!({"revoke": "2090-01-01 00:00:00+0200"}), true),
        ("later-number", json!({"revoke": 3_786_912_000_u64}), true),
        ("for-good", json!({"revoke": null}), true),
        ("for-good-too", json!({"revoke": ""}), true),
        ("past", json!({"revoke": "2020-01-01T00:00:00Z"}), false),
        ("past-number", json!({"revoke": 1_577_836_800}), false),
        ("no-time", json!({"revoke": "some day"}), false),
    ] {
        send(&daemon, name, &format!("c-{name}"), "consent-update", json!({"consents": {"tracking": said}}));
        // And again at any later time, by what the profile says.
        for visit in 0..2 {
            let id = format!("e-{name}-{visit}");
            let answer = send(&daemon, name, &id, "sign-in", mail(name));
            let known = answer["profile"]["data"]["contact"]["email"]["main"].is_string();
            assert_eq!(known, is_yes, "{name}: {answer}");
            assert_eq!(daemon.record(&format!("/event/{id}"))["event"]["profile"].is_object(), is_yes, "{name}");
        }
    }
    // Once the time has come it is a no.
    send(&daemon, "soon", "c-soon", "consent-update", json!({"consents": {"tracking": {"revoke": soon()}}}));
    let mut count = 0;
    wait_for("the end of the consent", || {
        count += 1;
        let id = format!("e-soon-{count}");
        send(&daemon, "soon", &id, "a", json!({}));
        let profile = daemon.record(&format!("/event/{id}"))["event"]["profile"].clone();
        assert!(count > 1 || profile.is_object(), "it is a yes at first");
        profile.is_null().then_some(())
    });
    // Widgets may say so, too.
    let widget = |consents: Value| {
        let body = json!({"source": {"id": "strict"}, "session": {"id": "widget"}, "consents": consents});
        daemon.post_json("/customer/consent", &body.to_string())
    };
    assert_eq!(widget(json!({"tracking": {"revoke": "2090-01-01T00:00:00Z"}})).status, 200);
    send(&daemon, "widget", "e-widget", "a", json!({}));
    assert!(daemon.record("/event/e-widget")["event"]["profile"].is_object());
    for (wrong, loc) in [
        (json!({"tracking": {"revoke": "some day"}}), json!(["body", "consents", "tracking", "revoke"])),
        (json!({"tracking": {}}), json!(["body", "consents", "tracking", "revoke"])),
        (json!({"tracking": {"until": 1}}), json!(["body", "consents", "tracking", "until"])),
        (json!({"tracking": 1}), json!(["body", "consents", "tracking"])),
    ] {
        let answer = widget(wrong);
        assert_eq!((answer.status, answer.loc()), (422, loc), "{}", answer.text());
    }
}
