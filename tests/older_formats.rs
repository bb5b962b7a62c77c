//! Stores that older daemons left are carried over. `data/format-3.tar.gz` holds one of format 3: with merges, one of them
//! within another, one taken back, counters, a name that a client goes on sending, definitions, a delayed event, a
//! sealed segment and a live one; `data/format-3.json` what that daemon answered. `data/format-6.tar.gz` and
//! `data/format-6.json` are the same of format 6: two merges, counters, a workflow.

mod support;

use std::{path::Path, process::Command};

use serde_json::{Value, json};
use support::{Daemon, Setup, daemon::wait_for};

/// The store as the older daemon left it, and what it answered.
fn unpacked(folder: &Path, format: &str) -> (Setup, Value) {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let packed = data.join(format!("{format}.tar.gz"));
    let tar = Command::new("tar").arg("-xzf").arg(packed).arg("-C").arg(folder).status().unwrap();
    assert!(tar.success());
    let answered = serde_json::from_slice(&std::fs::read(data.join(format!("{format}.json"))).unwrap()).unwrap();
    (Setup::new(&folder.join(format)).set("storage.segment_bytes", 65_536), answered)
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or_else(|| panic!("{path}: {value}"))
}

/// The profile as it was answered then: how many ids there are was not said.
fn profile(daemon: &Daemon, id: &str) -> Value {
    let mut profile = daemon.record(&format!("/profile/{id}"));
    assert!(profile["metadata"].as_object_mut().unwrap().remove("ids").unwrap().as_u64().unwrap() > 0);
    profile
}

fn split(daemon: &Daemon, id: &str) {
    let answer = daemon.post_admin(&format!("/profile/{id}/split"), &json!({}));
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn sign_in(daemon: &Daemon, session: &str, mail: &str) -> Value {
    daemon.tracked_by_admin(&json!({
        "source": {"id": "shop"}, "session": {"id": session}, "options": {"profile": true},
        "events": [{"type": "sign-in", "properties": {"email": {"main": mail}}}]
    }))["profile"]
        .clone()
}

#[test]
fn everything_is_found_and_an_older_daemon_takes_the_store_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let (setup, answered) = unpacked(folder.path(), "format-3");
    let check = |daemon: &Daemon| {
        let ada = text(&answered, "/ada/id");
        assert_eq!(profile(daemon, ada), answered["ada"]);
        assert_eq!(profile(daemon, text(&answered, "/ada_laptop_before/id")), answered["ada"]);
        assert_eq!(profile(daemon, text(&answered, "/bob_name")), answered["bob"]);
        assert_eq!(daemon.record("/event/given-1?source=shop")["event"]["profile"]["id"], ada);
        assert_eq!(daemon.record("/session/ada-laptop")["profile"]["id"], ada);
        assert_eq!(daemon.record("/event-sources"), answered["sources"]);
        for name in ["x", "y", "z"] {
            let nested = daemon.record(&format!("/profile/{}", text(&answered, &format!("/nested/{name}"))));
            assert_eq!(nested["id"], answered["nested"]["x"]);
        }
        assert_eq!(profile(daemon, text(&answered, "/nested_split/z"))["id"], answered["nested_split"]["z"]);
        assert_eq!(
            daemon.record(&format!("/profile/{}", text(&answered, "/till/id")))["metadata"]["ids"],
            answered["till"]["names"]
        );
        assert_eq!(daemon.admin("GET", &format!("/profile/{}", text(&answered, "/gone"))).status, 404);
    };
    let daemon = setup.start();
    // What was due while nothing ran happens now.
    let carol = text(&answered, "/carol");
    wait_for("the delayed event", || (profile(&daemon, carol)["traits"]["planned"] == "a visit").then_some(()));
    check(&daemon);
    let setup = daemon.stop();
    assert_eq!(std::fs::read_to_string(folder.path().join("format-3/format")).unwrap(), "tracardi store 7\n");
    assert!(setup.command(&["check"]).status().unwrap().success());
    assert!(setup.command(&["rebuild"]).status().unwrap().success());
    let daemon = setup.start();
    check(&daemon);
    // Keys and names lead where they led, and what is set up is in force.
    assert_eq!(sign_in(&daemon, "new-1", "ada@example.com")["id"], answered["ada"]["id"]);
    assert_eq!(sign_in(&daemon, "new-2", "bob@example.com")["segments"], json!(["regular"]));
    assert_ne!(sign_in(&daemon, "new-3", "gone@example.com")["id"], answered["gone"]);
}

#[test]
fn merges_of_then_can_be_split_now() {
    let folder = tempfile::tempdir().unwrap();
    let (setup, answered) = unpacked(folder.path(), "format-3");
    let daemon = setup.start();
    // One more merge on top of the old ones, so that states stand in both forms.
    sign_in(&daemon, "new", "n-x@example.com");
    let laptop = text(&answered, "/ada_laptop_before/id");
    split(&daemon, laptop);
    let after = profile(&daemon, laptop);
    for part in ["traits", "data", "stats", "ids"] {
        assert_eq!(after[part], answered["ada_laptop_before"][part], "{part}");
    }
    let ada = profile(&daemon, text(&answered, "/ada/id"));
    assert_eq!((&ada["traits"], &ada["stats"]["visits"]), (&json!({"n": 5, "town": "Basel"}), &json!(1)));
    // The one within the other first, then that one; where the inner one had been split off then, only that one.
    for (tree, order) in [("nested", ["z", "y"].as_slice()), ("nested_split", &["y"])] {
        let id = |name: &str| text(&answered, &format!("/{tree}/{name}")).to_owned();
        order.iter().for_each(|name| split(&daemon, &id(name)));
        for name in ["x", "y", "z"] {
            let shown = profile(&daemon, &id(name));
            assert_eq!(shown["id"], id(name));
            assert_eq!(shown["ids"], json!([id(name)]));
            let prefix = &tree.replace("nested_split", "s").replace("nested", "n")[..1];
            let own = if name == "x" { json!({}) } else { json!({ (name): format!("{prefix}-") }) };
            assert_eq!(shown["traits"], own, "{tree} {name}");
            let mail = format!("{prefix}-{name}@example.com");
            assert_eq!(sign_in(&daemon, &format!("again-{tree}-{name}"), &mail)["id"], id(name));
        }
    }
    let daemon = daemon.restart();
    assert_eq!(profile(&daemon, laptop)["traits"], answered["ada_laptop_before"]["traits"]);
}

#[test]
fn a_store_of_format_6_is_read_as_it_was_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (setup, answered) = unpacked(folder.path(), "format-6");
    let checked = setup.command(&["check"]).output().unwrap();
    let told = String::from_utf8(checked.stdout).unwrap();
    assert!(checked.status.success() && told.contains("another version made them"), "{told}");
    let record = |daemon: &Daemon, name: &str| daemon.record(&format!("/profile/{}", text(&answered[name], "/id")));
    let check = |daemon: &Daemon| {
        for name in ["ada", "bob", "y"] {
            assert_eq!(record(daemon, name), answered[name], "{name}");
        }
        for event in answered["events"].as_array().unwrap() {
            let now = daemon.record(&format!("/event/{}", text(event, "/id")))["event"].clone();
            for part in ["type", "profile", "session", "properties", "context", "metadata"] {
                assert_eq!(now[part], event[part], "{part}");
            }
        }
    };
    let daemon = setup.start();
    check(&daemon);
    let setup = daemon.stop();
    assert!(setup.command(&["check"]).status().unwrap().success());
    assert!(setup.command(&["rebuild"]).status().unwrap().success());
    let daemon = setup.start();
    check(&daemon);
    // Counters go on, and a merge of then can be taken back now.
    let placed = json!({
        "source": {"id": "shop"}, "session": {"id": "ada-phone"}, "options": {"profile": true},
        "events": [{"type": "order-placed", "properties": {"total": 0.25}}]
    });
    assert_eq!(daemon.tracked_by_admin(&placed)["profile"]["traits"]["spent"], 15);
    split(&daemon, text(&answered, "/phone_before/id"));
    assert_eq!(record(&daemon, "phone_before")["traits"], answered["phone_before"]["traits"]);
    assert_eq!(record(&daemon, "laptop_before")["traits"]["spent"], 11);
}

/// What formats 5 to 7 added are kinds of entries and of values in them, so a store without them is one of format 4 but for the number.
#[test]
fn a_store_of_format_4_to_6_is_taken_as_it_is() {
    [4, 5, 6].into_iter().for_each(taken_as_it_is);
}

fn taken_as_it_is(of_format: u32) {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).start();
    daemon.shop();
    let ada = sign_in(&daemon, "ada-laptop", "ada@example.com");
    let setup = daemon.stop();
    let format = folder.path().join("format");
    std::fs::write(&format, format!("tracardi store {of_format}\n")).unwrap();
    let daemon = setup.start();
    assert_eq!(sign_in(&daemon, "ada-phone", "ada@example.com")["id"], ada["id"]);
    let log = daemon.stderr();
    assert!(log.contains(&format!("the store was of format {of_format}")), "{log}");
    assert!(!log.contains("made again"), "{log}");
    drop(daemon.stop());
    assert_eq!(std::fs::read_to_string(format).unwrap(), "tracardi store 7\n");
}

/// An earlier version did not note which state of the profile was with an event.
#[test]
fn what_an_older_daemon_stored_is_delivered_with_people_as_far_as_that_is_known() {
    for format in ["format-3", "format-6"] {
        let folder = tempfile::tempdir().unwrap();
        let (setup, answered) = unpacked(folder.path(), format);
        let daemon = setup.start();
        // What was due while nothing ran happens now, and is delivered as well.
        if let Some(carol) = answered["carol"].as_str() {
            wait_for("the delayed event", || (profile(&daemon, carol)["traits"]["planned"] == "a visit").then_some(()));
        }
        let destination = json!({
            "id": "late", "events": ["*"], "profiles": true, "with_profile": true, "file": "late.ndjson"
        });
        assert_eq!(daemon.post_admin("/destination", &destination).status, 200);
        assert_eq!(daemon.post_admin("/destination/late/replay", &json!({"from": 0})).json(), json!(true));
        let path = folder.path().join(format).join("deliveries/late.ndjson");
        let events = daemon.record("/events?limit=1000")["result"].as_array().unwrap().clone();
        let there = |event: &Value| {
            event["profile"].is_null()
                || event["profile"]["id"]
                    .as_str()
                    .is_some_and(|id| daemon.admin("GET", &format!("/profile/{id}")).status == 200)
        };
        let expected: std::collections::BTreeSet<&str> =
            events.iter().filter(|event| there(event)).map(|event| text(event, "/id")).collect();
        assert!(expected.len() > 3);
        wait_for("all of it", || {
            let status = daemon.record("/destination/late/status");
            // Until the destination has heard that it begins again, nothing lies before it.
            let has_begun = status["delivered"].as_u64() >= Some(expected.len() as u64);
            (status["lag"] == 0 && has_begun).then_some(())
        });
        let lines = std::fs::read_to_string(path).unwrap();
        let items: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let events: Vec<&Value> = items.iter().filter(|item| item["type"] == "event").collect();
        let delivered: std::collections::BTreeSet<&str> = events.iter().map(|item| text(item, "/event/id")).collect();
        let differ: Vec<&&str> = delivered.symmetric_difference(&expected).collect();
        assert!(differ.is_empty(), "{format}: {differ:?}");
        for item in events.iter().filter(|item| !item["event"]["profile"].is_null()) {
            assert!(item["profile"]["id"].is_string(), "{item}");
            // As it was, or it is said that it is as it was at another time.
            let inserted = text(item, "/event/metadata/time/insert");
            let known = item["profile"]["metadata"]["time"]["update"].as_str() <= Some(inserted);
            assert!(known || item["as_of"].is_string(), "{item}");
        }
    }
}
