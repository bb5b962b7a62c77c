//! Ids, JSON and times as clients send them (docs/contract.md, section 1); the forms in full are tested beside the code
//! in `src/model/`.

mod support;

use serde_json::{Value, json};
use support::daemon::started;

#[test]
fn ids_are_trimmed_everywhere() {
    let (_folder, daemon) = started();
    let body =
        json!({"source": {"id": " shop\t"}, "session": {"id": "\u{2003}s1 "}, "events": [{"id": " e1 ", "type": "a"}]});
    daemon.tracked(&body);
    assert_eq!(daemon.record("/session/%20s1%20")["id"], "s1");
    assert_eq!(daemon.record("/event/e1")["event"]["id"], "e1");
}

#[test]
fn what_an_unset_variable_sends_is_missing_for_a_profile() {
    let (_folder, daemon) = started();
    let mut profiles = std::collections::BTreeSet::new();
    for (number, id) in
        [json!("undefined"), json!("NULL"), json!(" "), json!("[object Object]"), json!("0"), Value::Null]
            .into_iter()
            .enumerate()
    {
        let body = json!({"source": {"id": "shop"}, "session": {"id": format!("s{number}")}, "profile": {"id": id}, "events": []});
        profiles.insert(daemon.tracked(&body)["profile"]["id"].as_str().unwrap().to_owned());
    }
    assert_eq!(profiles.len(), 6, "each is a person of their own");
    assert!(profiles.iter().all(|id| id.len() == 36 && id.as_bytes()[14] == b'7' && *id == id.to_lowercase()));
}

#[test]
fn nesting_ends_at_128_levels_and_what_is_taken_can_be_read_back() {
    let (_folder, daemon) = started();
    // The properties of an event stand at level 4.
    let body = |levels: usize| {
        let nested = format!("{}{}{}", "{\"a\":".repeat(levels - 1), "{}", "}".repeat(levels - 1));
        format!(
            r#"{{"source":{{"id":"shop"}},"session":{{"id":"s1"}},"events":[{{"id":"e{levels}","type":"a","properties":{nested}}}]}}"#
        )
    };
    assert_eq!(daemon.post_json("/track", &body(125)).status, 200);
    assert_eq!(daemon.post_json("/track", &body(126)).status, 422);
    assert_eq!(daemon.admin("GET", "/event/e125").status, 200);
    assert_eq!(daemon.post_json("/track", &"[".repeat(500_000)).status, 422);
}

#[test]
fn half_a_surrogate_pair_is_replaced_in_values_and_refused_in_ids() {
    let (_folder, daemon) = started();
    let body = |id: &str, value: &str| {
        format!(
            r#"{{"source":{{"id":"shop"}},"session":{{"id":"{id}"}},"events":[{{"id":"e1","type":"a","properties":{{"v":"{value}"}}}}]}}"#
        )
    };
    assert_eq!(daemon.post_json("/track", &body("\\ud83d", "x")).status, 422);
    assert_eq!(daemon.post_json("/track", &body("s1", "\\ud83d")).status, 200);
    assert_eq!(daemon.record("/event/e1")["event"]["properties"]["v"], "\u{fffd}");
}

#[test]
fn a_byte_order_mark_is_skipped_and_what_is_no_json_is_refused() {
    let (_folder, daemon) = started();
    let body = r#"{"source":{"id":"shop"},"session":{"id":"s1"},"events":[]}"#;
    assert_eq!(daemon.post_json("/track", &format!("\u{feff}{body}")).status, 200);
    for wrong in [format!("{body}{body}"), format!("x{body}"), String::new(), "null".into(), "[]".into()] {
        let response = daemon.post_json("/track", &wrong);
        assert_eq!(response.status, 422, "{wrong}: {}", response.text());
        assert_eq!(response.loc(), json!(["body"]));
    }
    let mut invalid = body.as_bytes().to_vec();
    invalid[12] = 0xff;
    assert_eq!(daemon.request("POST", "/track", &[], &invalid).status, 422);
}

#[test]
fn an_echo_of_a_bad_value_is_short() {
    let (_folder, daemon) = started();
    let body = json!({"source": {"id": "shop"}, "session": {"id": "s"}, "events": [{"type": "a", "time": {"create": "x".repeat(10_000)}}]});
    let response = daemon.track(&body);
    assert_eq!(response.status, 422);
    assert!(response.body.len() < 400, "{}", response.body.len());
}

#[test]
fn queries_take_booleans_in_many_words() {
    let (_folder, daemon) = started();
    let body = r#"{"source":{"id":"shop"},"session":{"id":"s1"},"events":[]}"#;
    for (query, profile_less) in [("=YES", true), ("=t", true), ("", true), ("=off", false), ("=0", false)] {
        let answer = daemon.post_json(&format!("/track?profile_less{query}"), body).json();
        assert_eq!(answer["profile"] == json!({}), profile_less, "{query}");
    }
    let response = daemon.post_json("/track?profile_less=maybe", body);
    assert_eq!((response.status, response.loc()), (422, json!(["query", "profile_less"])));
}

#[test]
fn times_never_go_back_along_the_log() {
    let (_folder, daemon) = started();
    let mut last = String::new();
    for number in 0..20 {
        let id = format!("e{number}");
        daemon.tracked(&json!({"source": {"id": "shop"}, "session": {"id": "s"}, "events": [{"id": id, "type": "a", "time": {"create": 1}}]}));
        let time = daemon.record(&format!("/event/{id}"))["event"]["metadata"]["time"].clone();
        assert_eq!(time["create"], "1970-01-01T00:00:01.000000Z");
        let insert = time["insert"].as_str().unwrap().to_owned();
        assert!(insert >= last && insert.len() == 27 && insert.ends_with('Z'), "{insert}");
        last = insert;
    }
}
