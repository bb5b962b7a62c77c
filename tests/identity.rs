//! Sessions and profiles (docs/contract.md, section 4).

mod support;

use serde_json::{Value, json};
use support::daemon::started;

fn view(session: &str, profile: Option<&str>) -> Value {
    let mut body = json!({"source": {"id": "shop"}, "session": {"id": session}, "events": [{"type": "page-view"}]});
    if let Some(id) = profile {
        body["profile"] = json!({ "id": id });
    }
    body
}

fn profile_of(answer: &Value) -> String {
    answer["profile"]["id"].as_str().unwrap_or_else(|| panic!("no profile in {answer}")).to_owned()
}

const UUID: &str = "0d2d9dc5-0d60-471e-956f-8766dcb8aba2";

#[test]
fn a_forged_profile_id_reaches_nobody() {
    let (_folder, daemon) = started();
    let made = profile_of(&daemon.tracked(&view("s1", Some("victim"))));
    assert_ne!(made, "victim");
    assert_eq!(daemon.admin("GET", "/profile/victim").status, 404);
    assert_eq!(daemon.record(&format!("/profile/{made}"))["ids"], json!([made]));
}

#[test]
fn an_unknown_uuid_becomes_another_name_of_the_new_profile() {
    let (_folder, daemon) = started();
    let made = profile_of(&daemon.tracked(&view("s1", Some(UUID))));
    assert_ne!(made, UUID);
    assert_eq!(profile_of(&daemon.tracked(&view("s2", Some(UUID)))), made);
    let profile = daemon.record(&format!("/profile/{UUID}"));
    assert_eq!((&profile["id"], &profile["ids"]), (&json!(made), &json!([made, UUID])));
    assert_eq!(profile["stats"], json!({"visits": 2, "views": 2}));
    // On a session that has a profile, an unknown id is ignored and not remembered.
    let other = "11111111-1111-4111-8111-111111111111";
    assert_eq!(profile_of(&daemon.tracked(&view("s1", Some(other)))), made);
    assert_eq!(daemon.admin("GET", &format!("/profile/{other}")).status, 404);
}

#[test]
fn a_session_s_profile_wins_over_the_payload_s() {
    let (_folder, daemon) = started();
    let first = profile_of(&daemon.tracked(&view("s1", None)));
    let second = profile_of(&daemon.tracked(&view("s2", None)));
    assert_eq!(profile_of(&daemon.tracked(&view("s1", Some(&second)))), first);
}

#[test]
fn a_permanent_profile_id_is_used_made_and_pointed_to() {
    let (_folder, daemon) = started();
    daemon.source(&json!({"id": "crm", "name": "CRM", "type": "rest", "permanent_profile_id": true}));
    daemon.source(&json!({"id": "crm2", "name": "CRM", "type": "rest", "config": {"static_profile_id": "true"}}));
    for source in ["crm", "crm2"] {
        let mut body = view(&format!("s-{source}"), Some("customer-1"));
        body["source"]["id"] = json!(source);
        assert_eq!(profile_of(&daemon.tracked(&body)), "customer-1");
        body["profile"]["id"] = json!("customer-2");
        assert_eq!(profile_of(&daemon.tracked(&body)), "customer-2");
        body["profile"]["id"] = json!("customer-1");
        assert_eq!(profile_of(&daemon.tracked(&body)), "customer-1");
    }
    // Each session counts once for a profile, however often it comes back to it.
    assert_eq!(daemon.record("/profile/customer-1")["stats"], json!({"visits": 2, "views": 4}));
    assert_eq!(daemon.record("/profile/customer-2")["stats"], json!({"visits": 2, "views": 2}));
    assert_eq!(daemon.record("/session/s-crm")["profile"]["id"], "customer-1");
}

#[test]
fn fifty_first_requests_of_a_session_give_one_profile_one_visit_and_fifty_events() {
    let (_folder, daemon) = started();
    let profiles: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..50).map(|_| scope.spawn(|| profile_of(&daemon.tracked(&view("s1", None))))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(profiles.iter().all(|profile| *profile == profiles[0]));
    assert_eq!(daemon.record(&format!("/profile/{}", profiles[0]))["stats"], json!({"visits": 1, "views": 50}));
}

#[test]
fn concurrent_sessions_of_one_profile_lose_no_update() {
    let (_folder, daemon) = started();
    let profile = profile_of(&daemon.tracked(&view("s0", None)));
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (daemon, profile) = (&daemon, &profile);
            scope.spawn(move || {
                let mut kept = daemon.kept().unwrap();
                for visit in 0..10 {
                    let body = view(&format!("s-{thread}-{visit}"), Some(profile)).to_string();
                    assert_eq!(kept.post("/track", &body).unwrap().status, 200);
                }
            });
        }
    });
    let shown = daemon.record(&format!("/profile/{profile}"));
    assert_eq!(shown["stats"], json!({"visits": 81, "views": 81}));
    assert_eq!(shown["metadata"]["time"]["visit"]["count"], 81);
}

#[test]
fn context_and_properties_are_updated_key_by_key_at_the_top_level() {
    let (_folder, daemon) = started();
    let mut body = view("s1", None);
    body["context"] = json!({"a": {"x": 1}, "b": 1});
    body["properties"] = json!({"p": 1});
    body["device"] = json!({"id": "device-1"});
    daemon.tracked(&body);
    body["context"] = json!({"a": {"y": 2}, "c": 3});
    body["properties"] = json!({"q": 2});
    daemon.tracked(&body);
    let session = daemon.record("/session/s1");
    assert_eq!(session["context"], json!({"a": {"y": 2}, "b": 1, "c": 3}));
    assert_eq!(session["properties"], json!({"p": 1, "q": 2}));
    assert_eq!(session["device"], json!({"id": "device-1"}));
    let times = &session["metadata"]["time"];
    assert!(times["duration"].as_f64().unwrap() >= 0.0);
    assert!(times["update"].as_str() >= times["insert"].as_str());
}

#[test]
fn an_unsaved_session_is_used_and_not_stored() {
    let (_folder, daemon) = started();
    let mut body = view("s1", None);
    body["events"][0]["id"] = json!("e1");
    body["options"] = json!({"saveSession": false});
    let first = profile_of(&daemon.tracked(&body));
    assert_eq!(daemon.admin("GET", "/session/s1").status, 404);
    assert_eq!(daemon.record("/event/e1")["event"]["session"]["id"], "s1");
    body["events"][0]["id"] = json!("e2");
    assert_ne!(profile_of(&daemon.tracked(&body)), first, "each such request makes a profile of its own");
    assert_eq!(daemon.record(&format!("/profile/{first}"))["stats"], json!({"visits": 0, "views": 1}));
}

#[test]
fn a_transitional_source_stores_neither_sessions_nor_events() {
    let (_folder, daemon) = started();
    daemon.source(&json!({"id": "shop", "name": "Shop", "type": "rest", "transitional": true}));
    let mut body = view("s1", None);
    body["events"][0]["id"] = json!("e1");
    daemon.tracked(&body);
    assert_eq!(daemon.admin("GET", "/session/s1").status, 404);
    assert_eq!(daemon.admin("GET", "/event/e1").status, 404);
}

#[test]
fn a_profile_less_payload_makes_no_profile_and_a_session_that_may_get_one_later() {
    let (_folder, daemon) = started();
    let mut body = view("s1", Some(UUID));
    body["events"][0]["id"] = json!("e1");
    let answer = daemon.post_json("/track?profile_less=true", &body.to_string()).json();
    assert_eq!(answer, json!({"profile": {}, "source": {"consent": false}}));
    let event = &daemon.record("/event/e1")["event"];
    assert_eq!((&event["profile"], &event["metadata"]["profile_less"]), (&Value::Null, &json!(true)));
    assert_eq!(daemon.record("/session/s1")["profile"], Value::Null);
    let profile = profile_of(&daemon.tracked(&view("s1", None)));
    assert_eq!(daemon.record("/session/s1")["profile"]["id"], json!(profile));
    // The session goes on with the profile that it has.
    daemon.post_json("/track?profile_less", &view("s1", None).to_string());
    assert_eq!(daemon.record("/session/s1")["profile"]["id"], json!(profile));
    assert_eq!(daemon.record(&format!("/profile/{profile}"))["stats"]["views"], 1);
}

#[test]
fn after_its_deletion_a_profile_s_ids_start_afresh() {
    let (_folder, daemon) = started();
    let first = profile_of(&daemon.tracked(&view("s1", Some(UUID))));
    assert_eq!(daemon.admin("DELETE", &format!("/profile/{UUID}")).json(), json!(true));
    assert_eq!(daemon.admin("DELETE", &format!("/profile/{UUID}")).status, 404);
    for id in [&first, UUID] {
        assert_eq!(daemon.admin("GET", &format!("/profile/{id}")).status, 404);
    }
    assert_eq!(daemon.record("/session/s1")["profile"], Value::Null);
    let second = profile_of(&daemon.tracked(&view("s1", Some(UUID))));
    assert_ne!(second, first);
    assert_eq!(daemon.record(&format!("/profile/{UUID}"))["stats"], json!({"visits": 1, "views": 1}));
}

#[test]
fn a_permanent_id_that_was_deleted_does_not_get_its_old_sessions_back() {
    let (_folder, daemon) = started();
    daemon.source(&json!({"id": "shop", "name": "Shop", "type": "rest", "permanent_profile_id": true}));
    daemon.tracked(&view("s1", Some("customer")));
    daemon.admin("DELETE", "/profile/customer");
    daemon.tracked(&view("s2", Some("customer")));
    assert_eq!(daemon.record("/session/s1")["profile"], Value::Null);
    assert_eq!(daemon.record("/session/s2")["profile"]["id"], "customer");
}

#[test]
fn everything_is_found_again_after_a_restart() {
    let (_folder, daemon) = started();
    let mut body = view("s1", Some(UUID));
    body["context"] = json!({"device": "iPhone X"});
    body["events"][0]["id"] = json!("e1");
    let profile = profile_of(&daemon.tracked(&body));
    let paths =
        ["/session/s1".to_owned(), format!("/profile/{UUID}"), "/event/e1".to_owned(), "/event-source/shop".to_owned()];
    let before: Vec<Value> = paths.iter().map(|path| daemon.record(path)).collect();
    let daemon = daemon.restart();
    let after: Vec<Value> = paths.iter().map(|path| daemon.record(path)).collect();
    assert_eq!(before, after);
    assert_eq!(profile_of(&daemon.tracked(&view("s2", Some(UUID)))), profile);
}
