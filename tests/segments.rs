//! Segments: by condition, kept up to date, and what entering and leaving leads to.

mod support;

use serde_json::{Value, json};
use support::{Daemon, daemon::started};

fn send(daemon: &Daemon, kind: &str, properties: Value) -> Value {
    daemon.tracked(&json!({
        "source": {"id": "shop"}, "session": {"id": "s"}, "options": {"debugger": true, "profile": true},
        "events": [{"type": kind, "properties": properties}]
    }))
}

#[test]
fn a_profile_enters_and_leaves_with_its_condition() {
    let (_folder, daemon) = started();
    let segment = json!({"id": "hunter", "name": "Hunters", "condition": "size(profile.data.preferences.colors) >= 2"});
    assert_eq!(daemon.post_admin("/segment", &segment).json()["ids"], json!(["hunter"]));
    assert_eq!(
        daemon.post_admin("/segment", &json!({"id": "viewer", "condition": "profile.stats.views > 1"})).status,
        200
    );
    assert_eq!(send(&daemon, "add-color-preference", json!({"color": "red"}))["profile"]["segments"], json!([]));
    let entered = send(&daemon, "add-color-preference", json!({"color": "blue"}));
    assert_eq!(entered["profile"]["segments"], json!(["hunter"]));
    assert_eq!(entered["debugging"]["segmentation"], json!({"errors": [], "ids": ["hunter"]}));
    send(&daemon, "page-view", json!({}));
    assert_eq!(send(&daemon, "page-view", json!({}))["profile"]["segments"], json!(["hunter", "viewer"]));
    let left = json!({"id": "clear", "on": ["clear"], "step": [{"delete": ["profile.data.preferences"]}]});
    assert_eq!(daemon.post_admin("/workflow", &left).status, 200);
    assert_eq!(send(&daemon, "clear", json!({}))["profile"]["segments"], json!(["viewer"]));
    let daemon = daemon.restart();
    assert_eq!(daemon.record("/segments")["total"], 2);
    assert_eq!(daemon.record("/segment/hunter"), segment);
    assert_eq!(
        send(&daemon, "add-color-preference", json!({"color": ["a", "b"]}))["profile"]["segments"],
        json!(["viewer", "hunter"])
    );
}

#[test]
fn entering_and_leaving_can_be_events_and_start_workflows() {
    let (_folder, daemon) = started();
    let segment = json!({"id": "fan", "condition": "profile.interests.sports >= 2", "events": true});
    assert_eq!(daemon.post_admin("/segment", &segment).status, 200);
    let enter = json!({"id": "welcome", "on_entering": ["fan"], "step": [{"set": {"profile.traits.entered": "{{ segment }}"}}]});
    let leave =
        json!({"id": "bye", "on_leaving": ["fan"], "step": [{"set": {"profile.traits.left": "{{ segment }}"}}]});
    let counted = json!({"id": "counted", "on": ["segment-entered", "segment-left"], "step": [
        {"append": {"profile.traits.crossed": "{{ event.type }} {{ event.properties.segment }}"}}
    ]});
    let never = json!({"id": "never", "on_entering": ["fan"], "on_leaving": ["fan"], "if": "segment != 'fan'", "step": [{"set": {"profile.traits.never": 1}}]});
    let foreign = json!({"id": "foreign", "on_entering": ["fan"], "sources": ["till"], "step": [{"set": {"profile.traits.never": 2}}]});
    for workflow in [enter, leave, counted, never, foreign] {
        assert_eq!(daemon.post_admin("/workflow", &workflow).status, 200);
    }
    let entered = send(&daemon, "increase-interest", json!({"interest": "sports", "value": 2}));
    assert_eq!(entered["profile"]["traits"], json!({"entered": "fan", "crossed": ["segment-entered fan"]}));
    assert_eq!(entered["debugging"]["events"]["types"], json!(["increase-interest", "segment-entered"]));
    let left = send(&daemon, "decrease-interest", json!({"interest": "sports"}));
    assert_eq!(left["profile"]["traits"]["crossed"], json!(["segment-entered fan", "segment-left fan"]));
    assert_eq!(left["profile"]["traits"]["left"], "fan");
}

#[test]
fn a_condition_can_count_events() {
    let (_folder, daemon) = started();
    let segment = |id: &str, condition: &str| {
        assert_eq!(daemon.post_admin("/segment", &json!({"id": id, "condition": condition})).status, 200);
    };
    segment("buyer", "count('purchase-order', '30d') >= 2");
    segment("regular", "count('session-opened', '7d') > 1");
    let workflow = json!({"id": "third", "on": ["purchase-order"], "if": "count('purchase-order', '90d') == 3", "step": [
        {"choose": [{"if": "count('never', '1d') == 0", "step": [{"set": {"profile.traits.third": true}}]}]}
    ]});
    assert_eq!(daemon.post_admin("/workflow", &workflow).status, 200);
    assert_eq!(send(&daemon, "purchase-order", json!({}))["profile"]["segments"], json!([]));
    let daemon = daemon.restart();
    assert_eq!(send(&daemon, "purchase-order", json!({}))["profile"]["segments"], json!(["buyer"]));
    let third = send(&daemon, "purchase-order", json!({}));
    assert_eq!(third["profile"]["traits"], json!({"third": true}));
    let again = daemon.tracked(&json!({
        "source": {"id": "shop"}, "session": {"id": "s2"}, "profile": third["profile"], "options": {"profile": true},
        "events": [{"type": "page-view"}]
    }));
    assert_eq!(again["profile"]["segments"], json!(["buyer", "regular"]));
    for (kind, condition, says) in [
        ("/segment", "count('a') > 1", "a type and a time are expected"),
        ("/segment", "count(profile.traits.a, '3d') > 1", "a type and a time are expected"),
        ("/segment", "count('a', '3h') > 1", "1d to 366d are expected, not 3h"),
        ("/segment", "count('a', '367d') > 1", "1d to 366d are expected"),
        ("/segment", "[1].exists(x, count('A b', '3d') > x)", "the type is a-b"),
        ("/destination", "count('a', '3d') > 1", "only conditions of segments"),
    ] {
        let body = json!({"id": "x", "condition": condition});
        let body =
            if kind == "/segment" { body } else { json!({"id": "x", "events": ["*"], "if": condition, "file": "x"}) };
        let response = daemon.post_admin(kind, &body);
        assert_eq!(response.status, 422);
        assert!(response.text().contains(says), "{}", response.text());
    }
}

#[test]
fn a_condition_that_cannot_be_evaluated_is_told_and_changes_nothing() {
    let (_folder, daemon) = started();
    assert_eq!(
        daemon.post_admin("/segment", &json!({"id": "odd", "condition": "profile.traits.x + 1 > 2"})).status,
        200
    );
    let body = json!({"id": "t", "map": [{"from": "event.properties.x", "to": "profile.traits.x"}]});
    assert_eq!(daemon.post_admin("/event-type", &body).status, 200);
    let answer = send(&daemon, "t", json!({"x": "text"}));
    assert_eq!(answer["profile"]["segments"], json!([]));
    assert!(answer["debugging"]["segmentation"]["errors"][0].as_str().unwrap().starts_with("odd: "), "{answer}");
    assert_eq!(send(&daemon, "t", json!({"x": 2}))["profile"]["segments"], json!(["odd"]));
}

#[test]
fn conditions_need_no_blanks_and_may_name_keys_in_any_way() {
    let (_folder, daemon) = started();
    let conditions = [
        "profile.stats.views>=1",
        "profile.traits.vip==true",
        "profile.stats.views>=1&&profile.traits.n>0",
        "profile.traits.n-1==2",
        "profile['traits'].vip == true",
        "profile.traits['vip']",
        "'vip' in profile.traits",
        "profile.traits.first-buy",
        r#"profile.traits["first-buy"]"#,
        r#"profile["traits"]["first-buy"]==true"#,
        "!profile.traits.never&&profile.traits.first-buy",
    ];
    let expected = |condition: &str| !condition.contains("&&profile.traits.first");
    for (number, condition) in conditions.iter().enumerate() {
        let segment = json!({"id": format!("s{number:02}"), "condition": condition});
        let answer = daemon.post_admin("/segment", &segment);
        assert_eq!(answer.status == 200, expected(condition), "{condition}: {}", answer.text());
    }
    for wrong in ["profile.traits.x=", "max(1, 2) == 2", "profile.traits.a&"] {
        assert_eq!(daemon.post_admin("/segment", &json!({"id": "x", "condition": wrong})).status, 422, "{wrong}");
    }
    let traits = json!({"vip": true, "n": 3, "first-buy": true, "never": false});
    let kind =
        json!({"id": "about", "map": [{"from": "event.properties.traits", "to": "profile.traits", "op": "merge"}]});
    assert_eq!(daemon.post_admin("/event-type", &kind).status, 200);
    send(&daemon, "page-view", json!({}));
    let profile = send(&daemon, "about", json!({"traits": traits}))["profile"].take();
    let members: Vec<String> = (0..conditions.len())
        .filter(|number| expected(conditions[*number]))
        .map(|number| format!("s{number:02}"))
        .collect();
    assert_eq!(profile["segments"], json!(members));
}

#[test]
fn a_segment_that_does_not_compile_is_refused() {
    let (_folder, daemon) = started();
    for (condition, says) in [
        ("profile.traits.x >", "not an expression"),
        ("profil.traits.x == 1", "unknown name profil"),
        ("frobnicate(profile.traits.x)", "unknown function frobnicate"),
        ("event.type == 'a'", "speaks of the profile"),
    ] {
        let response = daemon.post_admin("/segment", &json!({"id": "s", "condition": condition}));
        assert_eq!((response.status, response.loc()), (422, json!(["body", "condition"])), "{}", response.text());
        assert!(response.text().contains(says), "{}", response.text());
    }
    assert_eq!(daemon.admin("GET", "/segment/s").status, 404);
    assert_eq!(daemon.post_json("/segment", "{}").status, 401, "an administrator's");
}

#[test]
fn what_processing_makes_is_stored_only_where_events_are() {
    let (_folder, daemon) = started();
    let segment = json!({"id": "viewer", "condition": "profile.stats.views >= 1", "events": true});
    assert_eq!(daemon.post_admin("/segment", &segment).status, 200);
    let workflow = json!({"id": "w", "on_entering": ["viewer"], "step": [{"emit": {"type": "welcome"}}]});
    assert_eq!(daemon.post_admin("/workflow", &workflow).status, 200);
    let answer = daemon.tracked(&json!({
        "source": {"id": "shop"}, "session": {"id": "s"}, "options": {"debugger": true, "saveEvents": false},
        "events": [{"type": "page-view"}]
    }));
    let events = &answer["debugging"]["events"];
    assert_eq!(events["types"], json!(["page-view", "segment-entered", "welcome"]));
    assert_eq!((&events["saved"], &answer["events"]), (&json!(0), &json!([])));
}

#[test]
fn segments_that_change_each_other_come_to_an_end() {
    let (_folder, daemon) = started();
    let odd = json!({"id": "odd", "condition": "profile.traits.n % 2 == 1", "events": true});
    assert_eq!(daemon.post_admin("/segment", &odd).status, 200);
    let next = json!({"id": "next", "on": ["segment-entered", "segment-left", "begin"], "step": [{"increment": {"profile.traits.n": 1}}]});
    assert_eq!(daemon.post_admin("/workflow", &next).status, 200);
    let answer = send(&daemon, "begin", json!({}));
    let debugging = &answer["debugging"];
    assert_eq!(answer["profile"]["traits"]["n"], debugging["execution"]["next"].as_array().unwrap().len());
    assert!(debugging["logs"].to_string().contains("without end"), "{debugging}");
}

#[test]
fn segments_of_segments_are_followed_to_the_end() {
    let (_folder, daemon) = started();
    let chained = |number: usize| match number {
        0 => json!({"id": "c0", "condition": "profile.stats.views >= 1"}),
        _ => json!({"id": format!("c{number}"), "condition": format!("'c{}' in profile.segments", number - 1)}),
    };
    // The later in the alphabet look first at what the others left.
    let segments: Vec<Value> = (0..10).rev().map(chained).collect();
    assert_eq!(daemon.post_admin("/configuration", &json!({"segment": segments})).status, 200);
    let answer = send(&daemon, "page-view", json!({}));
    assert_eq!(answer["profile"]["segments"].as_array().unwrap().len(), 10, "{answer}");
}
