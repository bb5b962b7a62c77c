//! A payload whose events have ids can be sent again without harm (docs/contract.md, section 6).

mod support;

use serde_json::{Value, json};
use support::daemon::started;

fn body(session: &str, events: Value) -> Value {
    json!({"source": {"id": "shop"}, "session": {"id": session}, "events": events})
}

fn repeat(id: &str) -> Value {
    json!([format!("Event {id} was already registered.")])
}

#[test]
fn a_payload_of_repeats_only_changes_nothing_and_names_the_first_one_s_profile() {
    let (_folder, daemon) = started();
    let first = daemon.tracked(&body("s1", json!([{"id": "e1", "type": "page-view"}])));
    let before = daemon.record("/session/s1");
    let mut again = body("s2", json!([{"id": "e1", "type": "page-view"}]));
    again["context"] = json!({"new": true});
    let answer = daemon.tracked(&again);
    assert_eq!((&answer["profile"], &answer["warnings"]), (&first["profile"], &repeat("e1")));
    assert_eq!(daemon.admin("GET", "/session/s2").status, 404);
    assert_eq!(daemon.record("/session/s1"), before);
    let profile = first["profile"]["id"].as_str().unwrap();
    assert_eq!(daemon.record(&format!("/profile/{profile}"))["stats"]["views"], 1);
    daemon.admin("DELETE", &format!("/profile/{profile}"));
    assert_eq!(daemon.tracked(&again)["profile"], json!({}));
}

#[test]
fn repeats_among_others_and_in_the_same_payload_are_left_out() {
    let (_folder, daemon) = started();
    let answer = daemon.tracked(&body(
        "s1",
        json!([{"id": "a", "type": "page-view"}, {"id": "a", "type": "page-view"}, {"type": "page-view"}]),
    ));
    assert_eq!(answer["warnings"], repeat("a"));
    let profile = answer["profile"]["id"].as_str().unwrap();
    assert_eq!(daemon.record(&format!("/profile/{profile}"))["stats"]["views"], 2);
}

#[test]
fn an_id_is_remembered_per_source() {
    let (_folder, daemon) = started();
    daemon.source(&json!({"id": "other", "name": "Other", "type": "rest"}));
    daemon.tracked(&body("s1", json!([{"id": "e1", "type": "a"}])));
    let mut other = body("s1", json!([{"id": "e1", "type": "b"}]));
    other["source"]["id"] = json!("other");
    assert!(daemon.tracked(&other).get("warnings").is_none());
    assert_eq!(daemon.record("/event/e1?source=shop")["event"]["type"], "a");
    assert_eq!(daemon.record("/event/e1?source=other")["event"]["type"], "b");
    assert_eq!(daemon.admin("DELETE", "/event/e1?source=other").json(), json!(true));
    assert_eq!(daemon.admin("GET", "/event/e1?source=other").status, 404);
    assert_eq!(daemon.record("/event/e1")["event"]["type"], "a");
}

#[test]
fn unsaved_events_leave_their_ids_free_and_deleted_ones_do_not() {
    let (_folder, daemon) = started();
    daemon.tracked(&body("s1", json!([{"id": "e1", "type": "a", "options": {"saveEvent": false}}])));
    assert!(daemon.tracked(&body("s1", json!([{"id": "e1", "type": "a"}]))).get("warnings").is_none());
    assert_eq!(daemon.admin("DELETE", "/event/e1").json(), json!(true));
    assert_eq!(daemon.admin("DELETE", "/event/e1").status, 404);
    assert_eq!(daemon.admin("GET", "/event/e1").status, 404);
    assert_eq!(daemon.tracked(&body("s1", json!([{"id": "e1", "type": "a"}])))["warnings"], repeat("e1"));
    let daemon = daemon.restart();
    assert_eq!(daemon.tracked(&body("s1", json!([{"id": "e1", "type": "a"}])))["warnings"], repeat("e1"));
}

#[test]
fn a_server_made_id_sent_by_a_client_is_the_client_s() {
    let (_folder, daemon) = started();
    let mut payload = body("s1", json!([{"type": "made"}]));
    payload["options"] = json!({"debugger": true});
    let made = daemon.tracked(&payload)["events"][0].as_str().unwrap().to_owned();
    assert_eq!(daemon.record(&format!("/event/{made}"))["event"]["type"], "made");
    assert!(daemon.tracked(&body("s1", json!([{"id": made, "type": "given"}]))).get("warnings").is_none());
    assert_eq!(daemon.record(&format!("/event/{made}"))["event"]["type"], "given");
}

#[test]
fn the_same_payload_sent_at_once_from_many_is_taken_once() {
    let (_folder, daemon) = started();
    let payload = body("s1", json!([{"id": "a", "type": "page-view"}, {"id": "b", "type": "page-view"}]));
    let warned = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..20).map(|_| scope.spawn(|| daemon.tracked(&payload))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .filter(|answer| answer.get("warnings").is_some())
            .count()
    });
    assert_eq!(warned, 19);
    let profile = daemon.record("/session/s1")["profile"]["id"].as_str().unwrap().to_owned();
    assert_eq!(daemon.record(&format!("/profile/{profile}"))["stats"], json!({"visits": 1, "views": 2}));
}
