//! Numbers: sums are exact, also where people become one and are told apart again, and in conditions; what cannot be
//! added, or evaluated, is told.

mod support;

use serde_json::{Value, json};
use support::{
    Daemon,
    daemon::{Setup, started, wait_for},
};

/// Sends an event of this type; the answer with the whole profile and debugging.
fn send(daemon: &Daemon, session: &str, kind: &str, properties: &str) -> String {
    let payload = format!(
        r#"{{"source":{{"id":"shop"}},"session":{{"id":"{session}"}},"options":{{"debugger":true,"profile":true}},
        "events":[{{"type":"{kind}","properties":{properties}}}]}}"#
    );
    let answer = daemon.post_json("/track", &payload);
    assert_eq!(answer.status, 200, "{}", answer.text());
    String::from_utf8(answer.body).unwrap()
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn saved(daemon: &Daemon, path: &str, body: &Value) {
    let answer = daemon.post_admin(path, body);
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn sums_are_exact_whatever_is_added_where() {
    let (_folder, daemon) = started();
    let map = json!([
        {"from": "event.properties.n", "to": "profile.traits.spent", "op": "add"},
        {"from": "event.properties.less", "to": "profile.traits.spent", "op": "subtract"},
        {"from": "event.properties.n", "to": "session.traits.spent", "op": "add"}
    ]);
    saved(&daemon, "/event-type", &json!({"id": "bought", "map": map}));
    saved(&daemon, "/segment", &json!({"id": "spent", "condition": "profile.traits.spent >= 99.95"}));
    let step = json!([{"if": "event.properties.n + 0.1 == 0.3", "set": {"profile.traits.three": true}}]);
    saved(&daemon, "/workflow", &json!({"id": "w", "on": ["bought"], "step": step}));
    let spend = |session: &str, numbers: &[&str]| {
        let send = |number: &&str| send(&daemon, session, "bought", &format!("{{\"n\":{number}}}"));
        numbers.iter().fold(String::new(), |_, number| send(number))
    };
    for (session, numbers, sum, is_member) in [
        ("till", ["19.9", "29.95", "50.1"].as_slice(), "99.95", true),
        ("tenths", &["0.1"; 10], "1", false),
        ("beyond", &["9007199254740992", "1"], "9007199254740993", true),
        ("long", &["12345678901234567890123", "0.10"], "12345678901234567890123.1", true),
        ("places", &["1E5", "1e-18"], "100000.000000000000000001", true),
    ] {
        let answer = spend(session, numbers);
        assert!(
            answer.contains(&format!(r#""spent":{sum}}}"#)) || answer.contains(&format!(r#""spent":{sum},"#)),
            "{answer}"
        );
        assert_eq!(json_of(&answer)["profile"]["segments"] == json!(["spent"]), is_member, "{answer}");
        let stored = daemon.admin("GET", &format!("/session/{session}")).text().to_owned();
        assert!(stored.contains(&format!(r#""spent":{sum}}}"#)), "{stored}");
    }
    let three = json_of(&send(&daemon, "three", "bought", r#"{"n":0.2}"#));
    assert_eq!(three["profile"]["traits"]["three"], true);
    let less = send(&daemon, "till", "bought", r#"{"less":0.05}"#);
    assert!(less.contains(r#""spent":99.9"#) && json_of(&less)["profile"]["segments"] == json!([]), "{less}");
    // What is beyond is told, and nothing is changed.
    let before = json_of(&spend("bounds", &["99999999999999999999999999999999999999"]))["profile"]["traits"].clone();
    for beyond in ["1", "0.0000000000000000001", "1e400"] {
        let answer = json_of(&spend("bounds", &[beyond]));
        assert_eq!(answer["profile"]["traits"], before);
        let told = answer["debugging"]["logs"].to_string();
        assert!(told.contains("38 digits before the decimal point and 18 behind it"), "{told}");
    }
    let daemon = daemon.restart();
    assert!(daemon.admin("GET", "/session/long").text().contains("12345678901234567890123.1"));
}

#[test]
fn who_became_one_has_the_exact_sum_and_gets_back_what_was_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).set("identity.people_per_key", 0).start();
    daemon.shop();
    let order =
        |session: &str, value: &str| send(&daemon, session, "purchase-order", &format!("{{\"value\":{value}}}"));
    saved(
        &daemon,
        "/event-type",
        &json!({"id": "purchase-order", "map": [
            {"from": "event.properties.value", "to": "profile.data.metrics.ltcosv", "op": "add"},
            {"from": "event.properties.value", "default": 1, "to": "profile.interests.{{ 'buying' }}", "op": "add"}
        ]}),
    );
    let mut ids = Vec::new();
    for number in 0..30 {
        let session = format!("s{number}");
        order(&session, "0.07");
        ids.push(json_of(&order(&session, "0.03"))["profile"]["id"].as_str().unwrap().to_owned());
        let sign_in = format!(r#"{{"email":{{"main":"ada@example.com"}},"n":{number}}}"#);
        send(&daemon, &session, "sign-in", &sign_in);
    }
    let numbers = |id: &str| {
        let profile = daemon.record(&format!("/profile/{id}"));
        (profile["data"]["metrics"]["ltcosv"].to_string(), profile["interests"]["buying"].to_string())
    };
    let both = |number: &str| (number.to_owned(), number.to_owned());
    assert_eq!(numbers(&ids[0]), both("3"));
    order("s0", "0.01");
    // Those whose amounts were added up with others' first.
    for (split, id) in ids.iter().enumerate().skip(5).take(10) {
        assert_eq!(daemon.post_admin(&format!("/profile/{id}/split"), &json!({})).status, 200);
        assert_eq!(numbers(id), both("0.1"));
        let left = 301 - 10 * (split as u64 - 4);
        assert_eq!(numbers(&ids[0]), both(&format!("{}.{:02}", left / 100, left % 100)), "{split}");
    }
}

#[test]
fn what_can_never_be_evaluated_is_refused_where_it_stands() {
    let (_folder, daemon) = started();
    for (path, body, loc) in [
        (
            "/segment",
            json!({"id": "s", "condition": "now - timestamp(profile.metadata.time.insert) > duration('30d')"}),
            json!(["body", "condition"]),
        ),
        (
            "/workflow",
            json!({"id": "w", "on": ["a"], "if": "event.properties.n > int('x')", "step": [{"stop": true}]}),
            json!(["body", "if"]),
        ),
        (
            "/workflow",
            json!({"id": "w", "on": ["a"], "step": [{"set": {"profile.traits.n": "{{ timestamp('today') }}"}}]}),
            json!(["body", "step", 0, "set", "profile.traits.n"]),
        ),
        (
            "/event-type",
            json!({"id": "a", "map": [{"to": "profile.traits.n", "compute": "1 / 0"}]}),
            json!(["body", "map", 0, "compute"]),
        ),
    ] {
        let answer = daemon.post_admin(path, &body);
        assert_eq!(answer.status, 422, "{body}");
        assert_eq!(answer.json()["detail"][0]["loc"], loc, "{}", answer.text());
    }
    for condition in ["1", "'true'", "null", "[]", "{}", "1.5", "now.getHours('Europe/Nowhere') == 1"] {
        let answer = daemon.post_admin("/segment", &json!({"id": "s", "condition": condition}));
        assert_eq!(answer.status, 422, "{condition}: {}", answer.text());
    }
    let where_ = "/events?where=event.properties.n%20%3E%20duration('30d')";
    assert_eq!(daemon.admin("GET", where_).status, 422);
}

#[test]
fn a_condition_that_is_neither_true_nor_false_is_told() {
    let (_folder, daemon) = started();
    saved(
        &daemon,
        "/event-type",
        &json!({"id": "note", "map": [{"from": "event.properties.n", "to": "profile.traits.n"}]}),
    );
    saved(&daemon, "/segment", &json!({"id": "s", "condition": "profile.traits.n"}));
    saved(
        &daemon,
        "/workflow",
        &json!({"id": "w", "on": ["note"], "if": "size(profile.traits.n)", "step": [{"log": "x"}]}),
    );
    send(&daemon, "first", "other", "{}");
    send(&daemon, "second", "note", r#"{"n":true}"#);
    assert_eq!(daemon.record("/segment/s/status")["failures"], 0);
    let answer = json_of(&send(&daemon, "third", "note", r#"{"n":"true"}"#));
    let told = answer["debugging"]["logs"].to_string();
    assert!(told.contains("workflow w") && told.contains("true or false"), "{told}");
    for kind in ["segment/s", "workflow/w"] {
        let status = daemon.record(&format!("/{kind}/status"));
        assert!(status["failures"].as_u64() >= Some(1) && status["error"].to_string().contains("neither"), "{status}");
    }
}

#[test]
fn what_fails_in_a_pass_is_counted() {
    let (_folder, daemon) = started();
    saved(
        &daemon,
        "/event-type",
        &json!({"id": "note", "map": [{"from": "event.properties.for", "to": "profile.traits.for"}]}),
    );
    send(&daemon, "one", "note", r#"{"for":"30d"}"#);
    send(&daemon, "two", "note", r#"{"for":"1h"}"#);
    let condition = "now - timestamp(profile.metadata.time.insert) >= duration(profile.traits.for) - duration('1h')";
    saved(&daemon, "/segment", &json!({"id": "late", "condition": condition, "every": "1s"}));
    saved(
        &daemon,
        "/workflow",
        &json!({"id": "late", "every": "1s", "profiles": true, "if": condition,
        "step": [{"set": {"profile.traits.late": true}}]}),
    );
    for kind in ["segment", "workflow"] {
        let status = wait_for("a pass", || {
            let status = daemon.record(&format!("/{kind}/late/status"));
            (status["failures"].as_u64() >= Some(2)).then_some(status)
        });
        assert!(status["error"].as_str().unwrap().contains("duration"), "{status}");
        assert!(status["failed"].is_string(), "{status}");
    }
    // Whoever it can be evaluated for is not kept from it.
    wait_for("the other one", || {
        let two = daemon.record("/session/two")["profile"]["id"].as_str().unwrap().to_owned();
        let two = daemon.record(&format!("/profile/{two}"));
        (two["traits"]["late"] == true && two["segments"] == json!(["late"])).then_some(())
    });
}

#[test]
fn a_path_that_ends_is_no_reason_to_leave_a_workflow_out() {
    let (_folder, daemon) = started();
    let step = json!([{"if": "!has(event.properties.customer.card.level)", "set": {"event.traits.plain": true}}]);
    saved(&daemon, "/workflow", &json!({"id": "w", "on": ["a"], "step": step}));
    for (properties, plain) in [
        ("{}", true),
        (r#"{"customer":null}"#, true),
        (r#"{"customer":"x"}"#, true),
        (r#"{"customer":[1]}"#, true),
        (r#"{"customer":{"card":7}}"#, true),
        (r#"{"customer":{"card":{}}}"#, true),
        (r#"{"customer":{"card":{"level":1}}}"#, false),
    ] {
        let answer = json_of(&send(&daemon, "s", "a", properties));
        let execution = &answer["debugging"]["execution"]["w"][0]["steps"][0];
        assert_eq!(execution["error"], Value::Null, "{properties}");
        let event = answer["debugging"]["events"]["ids"][0].as_str().unwrap();
        let event = daemon.record(&format!("/event/{event}"))["event"].clone();
        assert_eq!(event["traits"]["plain"] == true, plain, "{properties}: {event}");
    }
}

#[test]
fn workflows_count_beside_what_the_server_counts() {
    let (_folder, daemon) = started();
    let counting = |step: Value| daemon.post_admin("/workflow", &json!({"id": "w", "on": ["bought"], "step": [step]}));
    for (step, loc) in [
        (
            json!({"increment": {"profile.stats.visits": 1}}),
            json!(["body", "step", 0, "increment", "profile.stats.visits"]),
        ),
        (
            json!({"decrement": {"profile.stats.views": 1}}),
            json!(["body", "step", 0, "decrement", "profile.stats.views"]),
        ),
        (json!({"increment": {"profile.stats": 1}}), json!(["body", "step", 0, "increment", "profile.stats"])),
        (json!({"increment": {"profile.stats.a.b": 1}}), json!(["body", "step", 0, "increment", "profile.stats.a.b"])),
        (json!({"set": {"profile.stats.orders": 1}}), json!(["body", "step", 0, "set", "profile.stats.orders"])),
        (json!({"delete": ["profile.stats.orders"]}), json!(["body", "step", 0, "delete", 0])),
    ] {
        let answer = counting(step.clone());
        assert_eq!(answer.status, 422, "{step}");
        assert_eq!(answer.loc(), loc, "{}", answer.text());
    }
    let map = json!([{"to": "profile.stats.orders", "op": "increment"}]);
    assert_eq!(daemon.post_admin("/event-type", &json!({"id": "a", "map": map})).status, 422);
    assert_eq!(counting(json!({"increment": {"profile.stats.orders": "{{ event.properties.n }}"}})).status, 200);
    saved(
        &daemon,
        "/workflow",
        &json!({"id": "back", "on": ["returned"], "step": [{"decrement": {"profile.stats.orders": 0.1}}]}),
    );
    saved(
        &daemon,
        "/segment",
        &json!({"id": "buyer", "condition": "profile.stats.orders >= 0.6 && profile.stats.visits > 0"}),
    );
    let sign_in = |session: &str| send(&daemon, session, "sign-in", r#"{"email":{"main":"ada@example.com"}}"#);
    let id = |answer: &str| json_of(answer)["profile"]["id"].as_str().unwrap().to_owned();
    send(&daemon, "one", "bought", r#"{"n":0.1}"#);
    let one = id(&send(&daemon, "one", "bought", r#"{"n":0.2}"#));
    let two = id(&send(&daemon, "two", "bought", r#"{"n":0.4}"#));
    let stats = |id: &str| daemon.record(&format!("/profile/{id}"))["stats"].clone();
    assert_eq!(stats(&one).to_string(), r#"{"orders":0.3,"views":0,"visits":1}"#);
    sign_in("one");
    sign_in("two");
    assert_eq!(stats(&one).to_string(), r#"{"orders":0.7,"views":0,"visits":2}"#);
    send(&daemon, "two", "returned", "{}");
    assert_eq!(stats(&one)["orders"], json!(0.6));
    assert_eq!(daemon.record(&format!("/profile/{one}"))["segments"], json!(["buyer"]));
    // A line of an export is taken elsewhere as it is.
    let exported = daemon.admin("GET", "/export?what=profiles&format=ndjson");
    let (_other_folder, other) = started();
    let token = format!("Bearer {}", support::daemon::TOKEN);
    let headers = [("Authorization", &*token), ("Content-Type", "application/x-ndjson")];
    let taken = other.request("POST", "/import", &headers, &exported.body);
    assert_eq!(taken.status, 200, "{}", taken.text());
    assert_eq!(other.record(&format!("/profile/{one}"))["stats"], stats(&one));
    assert_eq!(daemon.post_admin(&format!("/profile/{two}/split"), &json!({})).status, 200);
    assert_eq!((&stats(&one)["orders"], &stats(&two)["orders"]), (&json!(0.2), &json!(0.4)));
    let daemon = daemon.restart();
    assert_eq!(daemon.record(&format!("/profile/{one}"))["stats"]["orders"], json!(0.2));
}
