//! Destinations: events and changed profiles on their way to other systems.

mod support;

use std::sync::{
    Arc,
    atomic::{AtomicU16, Ordering},
};

use serde_json::{Value, json};
use support::{Daemon, Setup, daemon::wait_for, external::External};

fn send(daemon: &Daemon, id: &str, kind: &str, properties: Value) {
    daemon.tracked(&json!({
        "source": {"id": "shop"}, "session": {"id": "s"}, "events": [{"id": id, "type": kind, "properties": properties}]
    }));
}

/// The items that were delivered, one after another.
fn items(external: &External) -> Vec<Value> {
    let bodies = external.asked().into_iter().map(|asked| serde_json::from_str::<Vec<Value>>(&asked.body).unwrap());
    bodies.flatten().collect()
}

fn ids(items: &[Value]) -> Vec<&str> {
    items.iter().filter_map(|item| item["event"]["id"].as_str()).collect()
}

#[test]
fn events_are_delivered_signed_filtered_and_across_restarts() {
    let external = External::start(|_| (200, "{}".into()));
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path()).set("lookup.allowed_hosts", "127.0.0.1").set("TRACARDI_SECRET_HOOK", "whsec");
    let daemon = setup.start();
    daemon.shop();
    send(&daemon, "before", "order", json!({"value": 100}));
    let destination = json!({
        "id": "crm", "events": ["order", "Sign Up"], "if": "event.type != 'order' || event.properties.value > 10",
        "webhook": {"url": format!("http://{}/hook", external.address), "secret": "hook"}
    });
    assert_eq!(daemon.post_admin("/destination", &destination).status, 200);
    send(&daemon, "small", "order", json!({"value": 1}));
    send(&daemon, "large", "order", json!({"value": 11}));
    send(&daemon, "other", "page-view", json!({}));
    send(&daemon, "up", "sign-up", json!({}));
    wait_for("the deliveries", || (items(&external).len() >= 2).then_some(()));
    assert_eq!(ids(&items(&external)), ["large", "up"], "what came before it was there is not delivered");
    let first = &external.asked()[0];
    let signature = first.headers.iter().find_map(|header| header.strip_prefix("tracardi-signature: ")).unwrap();
    let (seconds, mac) = signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    assert_eq!(mac, hmac(&format!("{seconds}.{}", first.body)));
    let item = &items(&external)[0];
    assert_eq!((&item["type"], &item["event"]["properties"]), (&json!("event"), &json!({"value": 11})));
    assert!(item["offset"].is_u64());

    let status = wait_for("the note", || Some(daemon.record("/destination/crm/status")).filter(|it| it["lag"] == 0));
    assert_eq!((&status["delivered"], &status["failures"], &status["error"]), (&json!(2), &json!(0), &Value::Null));
    let daemon = daemon.restart();
    send(&daemon, "later", "order", json!({"value": 12}));
    wait_for("the next delivery", || (items(&external).len() >= 3).then_some(()));
    assert_eq!(ids(&items(&external)), ["large", "up", "later"], "nothing is delivered twice");

    // From any offset again.
    assert_eq!(daemon.post_admin("/destination/crm/replay", &json!({"from": 0})).json(), json!(true));
    assert_eq!(daemon.post_admin("/destination/nobody/replay", &json!({"from": 0})).status, 404);
    assert_eq!(daemon.post_admin("/destination/crm/replay", &json!({"from": "x"})).status, 422);
    assert_eq!(daemon.post_admin("/destination/nobody/replay", &json!({"from": 7.0})).status, 404);
    assert_eq!(daemon.post_admin("/destination/crm/replay", &json!({"from": 7.5})).status, 422);
    wait_for("everything again", || (items(&external).len() >= 7).then_some(()));
    assert_eq!(ids(&items(&external))[3..], ["before", "large", "up", "later"]);
    assert_eq!(daemon.admin("DELETE", "/destination/crm").json(), json!(true));
    assert_eq!(daemon.admin("GET", "/destination/crm/status").status, 404);
}

/// HMAC-SHA256 with the secret `whsec` (RFC 2104), written out.
fn hmac(text: &str) -> String {
    use sha2::{Digest, Sha256};
    let mut key = [0_u8; 64];
    key[..5].copy_from_slice(b"whsec");
    let inner = Sha256::new().chain_update(key.map(|byte| byte ^ 0x36)).chain_update(text).finalize();
    let outer = Sha256::new().chain_update(key.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize();
    outer.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_delivery_that_fails_is_tried_again_and_seen_to_fail() {
    let status = Arc::new(AtomicU16::new(500));
    let external = External::start({
        let status = status.clone();
        move |_| (status.load(Ordering::Relaxed), "{}".into())
    });
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).set("lookup.allowed_hosts", "127.0.0.1").start();
    daemon.shop();
    let destination =
        json!({"id": "d", "events": ["*"], "batch": 2, "webhook": {"url": format!("http://{}/", external.address)}});
    assert_eq!(daemon.post_admin("/destination", &destination).status, 200);
    for number in 0..5 {
        send(&daemon, &format!("e{number}"), "a", json!({}));
    }
    let failing = wait_for("a failure", || {
        Some(daemon.record("/destination/d/status")).filter(|status| status["failures"].as_u64() >= Some(1))
    });
    assert_eq!(failing["error"], "it answered 500");
    assert!(failing["lag"].as_u64() > Some(0));
    // A crash in between loses nothing.
    let setup = Setup::new(folder.path()).set("lookup.allowed_hosts", "127.0.0.1");
    let mut daemon = daemon;
    daemon.kill();
    let before = external.asked().len();
    status.store(200, Ordering::Relaxed);
    let daemon = setup.start();
    let taken = || external.asked().into_iter().skip(before);
    let delivered = wait_for("everything", || {
        let bodies = taken().flat_map(|asked| serde_json::from_str::<Vec<Value>>(&asked.body).unwrap());
        Some(bodies.collect::<Vec<_>>()).filter(|items| items.len() >= 5)
    });
    assert_eq!(ids(&delivered), ["e0", "e1", "e2", "e3", "e4"]);
    assert!(taken().all(|asked| serde_json::from_str::<Vec<Value>>(&asked.body).unwrap().len() <= 2));
    wait_for("the note", || (daemon.record("/destination/d/status")["lag"] == 0).then_some(()));
}

#[test]
fn a_redirect_is_no_delivery() {
    let external = External::start(|_| (302, "/login".into()));
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).set("lookup.allowed_hosts", "127.0.0.1").start();
    daemon.shop();
    let destination = json!({"id": "d", "events": ["*"], "webhook": {"url": format!("http://{}/", external.address)}});
    assert_eq!(daemon.post_admin("/destination", &destination).status, 200);
    send(&daemon, "e", "a", json!({}));
    let status = wait_for("a failure", || {
        Some(daemon.record("/destination/d/status")).filter(|status| status["failures"].as_u64() >= Some(1))
    });
    assert_eq!((&status["error"], &status["delivered"]), (&json!("it answered 302"), &json!(0)));
    assert!(external.asked().iter().all(|asked| asked.line.starts_with("POST / ")), "{:?}", external.asked());
}

#[test]
fn changed_profiles_are_delivered_with_what_changed_to_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).start();
    daemon.shop();
    let destination = json!({"id": "f", "profiles": true, "if": "has(profile.data.pii)", "file": "profiles.ndjson"});
    assert_eq!(daemon.post_admin("/destination", &destination).status, 200);
    send(&daemon, "e1", "page-view", json!({}));
    send(&daemon, "e2", "profile-update", json!({"pii": {"firstname": "Ada", "gender": "f"}}));
    send(&daemon, "e3", "profile-update", json!({"pii": {"firstname": "Augusta"}}));
    let lines = wait_for("the lines", || {
        let text = std::fs::read_to_string(folder.path().join("deliveries/profiles.ndjson")).unwrap_or_default();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        Some(lines).filter(|lines| lines.len() >= 2)
    });
    assert_eq!(
        lines[0]["changed"],
        json!([
            {"path": "data.pii.firstname", "old": null, "new": "Ada"},
            {"path": "data.pii.gender", "old": null, "new": "f"}
        ])
    );
    assert_eq!(lines[1]["changed"], json!([{"path": "data.pii.firstname", "old": "Ada", "new": "Augusta"}]));
    assert_eq!(lines[1]["profile"]["data"]["pii"], json!({"firstname": "Augusta", "gender": "f"}));
}

#[test]
fn who_becomes_one_is_split_or_deleted_is_delivered_too() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).start();
    daemon.shop();
    let destination = json!({"id": "f", "profiles": true, "if": "false", "file": "p.ndjson"});
    assert_eq!(daemon.post_admin("/destination", &destination).status, 200);
    assert_eq!(
        daemon.post_admin("/destination", &json!({"id": "g", "profiles": true, "file": "all.ndjson"})).status,
        200
    );
    let sign_in = |session: &str, mail: &str| {
        daemon.tracked(&json!({
            "source": {"id": "shop"}, "session": {"id": session},
            "events": [{"type": "sign-in", "properties": {"email": {"main": mail}}}]
        }))["profile"]["id"]
            .clone()
    };
    let (one, two) = (sign_in("a", "ada@example.com"), sign_in("b", "eve@example.com"));
    assert_eq!(sign_in("b", "ada@example.com"), one);
    let split = daemon.post_admin(&format!("/profile/{}/split", two.as_str().unwrap()), &json!({}));
    assert_eq!(split.status, 200, "{}", split.text());
    let lines = |name: &str, count: usize| {
        wait_for("the lines", || {
            let text = std::fs::read_to_string(folder.path().join("deliveries").join(name)).unwrap_or_default();
            let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            Some(lines).filter(|lines| lines.len() == count)
        })
    };
    lines("all.ndjson", 5); // of who is deleted, nothing is handed out any more
    assert_eq!(daemon.admin("DELETE", &format!("/profile/{}", one.as_str().unwrap())).status, 200);
    let all = lines("all.ndjson", 6);
    let told = |line: &Value| (line["profile"]["id"].clone(), line["changed"].clone());
    let ids = |old: Value, new: Value| json!({"path": "ids", "old": old, "new": new});
    let mail = |old: Value, new: &str| json!({"path": "data.contact.email.main", "old": old, "new": new});
    assert_eq!(
        told(&all[2]),
        (one.clone(), json!([ids(json!([one]), json!([one, two]))])),
        "the later address is hers"
    );
    assert_eq!(told(&all[3]).0, one);
    assert_eq!(told(&all[3]).1.as_array().unwrap().last().unwrap(), &ids(json!([one, two]), json!([one])));
    assert_eq!(told(&all[4]), (two, json!([mail(Value::Null, "eve@example.com")])));
    let gone = json!({"type": "profile-deleted", "offset": all[5]["offset"], "profile": {"id": one, "ids": [one], "total": 1}});
    assert_eq!(all[5], gone);
    let forgotten = lines("p.ndjson", 1);
    assert_eq!(forgotten[0], gone, "whatever the condition says");
}

#[test]
fn deleted_events_are_not_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).start();
    daemon.shop();
    let mut destination = json!({"id": "f", "events": ["*"], "file": "all.ndjson", "enabled": false});
    assert_eq!(daemon.post_admin("/destination", &destination).status, 200);
    send(&daemon, "kept", "a", json!({}));
    send(&daemon, "gone", "a", json!({}));
    assert_eq!(daemon.admin("DELETE", "/event/gone").json(), json!(true));
    send(&daemon, "last", "a", json!({}));
    destination["enabled"] = json!(true);
    assert_eq!(daemon.post_admin("/destination", &destination).status, 200);
    let text = wait_for("the lines", || {
        let text = std::fs::read_to_string(folder.path().join("deliveries/all.ndjson")).unwrap_or_default();
        Some(text).filter(|text| text.contains("\"last\""))
    });
    assert!(text.contains("\"kept\"") && !text.contains("\"gone\""), "what was set up is where it begins: {text}");
}

#[test]
fn a_destination_that_cannot_be_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).start();
    assert_eq!(
        daemon.post_admin("/destination", &json!({"id": "taken", "profiles": true, "file": "taken"})).status,
        200
    );
    for (body, loc) in [
        (json!({"id": "u", "profiles": true, "file": "taken"}), json!(["body", "file"])),
        (json!({"id": "d", "file": "f"}), json!(["body", "events"])),
        (json!({"id": "d", "profiles": true}), json!(["body"])),
        (json!({"id": "d", "profiles": true, "file": "../f"}), json!(["body", "file"])),
        (json!({"id": "d", "profiles": true, "webhook": {"url": "ftp://x"}}), json!(["body", "webhook", "url"])),
        (json!({"id": "d", "profiles": true, "file": "f", "batch": 0}), json!(["body", "batch"])),
        (json!({"id": "d", "profiles": true, "file": "f", "if": "1 +"}), json!(["body", "if"])),
    ] {
        let response = daemon.post_admin("/destination", &body);
        assert_eq!((response.status, response.loc()), (422, loc), "{body}: {}", response.text());
    }
}

#[test]
fn a_line_that_was_cut_is_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).start();
    daemon.shop();
    assert_eq!(daemon.post_admin("/destination", &json!({"id": "f", "events": ["a"], "file": "f.ndjson"})).status, 200);
    let path = folder.path().join("deliveries/f.ndjson");
    let lines = |count: usize| {
        wait_for("the lines", || {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            (text.lines().count() >= count && text.ends_with('\n')).then_some(text)
        })
    };
    send(&daemon, "one", "a", json!({}));
    let first = lines(1);
    // As a disk that was full, or a crash, leaves it.
    std::fs::write(&path, format!("{first}{{\"type\":\"event\",\"half\":\"{}", "x".repeat(100_000))).unwrap();
    send(&daemon, "two", "a", json!({}));
    let both = lines(2);
    assert!(both.starts_with(&first));
    let items: Vec<Value> = both.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(ids(&items), ["one", "two"]);
}

#[test]
fn deliveries_are_bounded_in_bytes() {
    let external = External::start(|_| (200, "{}".into()));
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).set("lookup.allowed_hosts", "127.0.0.1").start();
    daemon.shop();
    let webhook = json!({"url": format!("http://{}/hook", external.address)});
    let destination = json!({"id": "w", "events": ["a"], "webhook": webhook, "batch": 1000});
    assert_eq!(daemon.post_admin("/destination", &destination).status, 200);
    let payload = json!({
        "source": {"id": "shop"}, "session": {"id": "s"}, "context": {"x": "y".repeat(100_000)},
        "events": vec![json!({"type": "a"}); 40]
    });
    daemon.tracked(&payload);
    wait_for("the deliveries", || (items(&external).len() >= 40).then_some(()));
    let longest = external.asked().iter().map(|asked| asked.body.len()).max().unwrap();
    assert!(longest < 1_300_000, "{longest}");
}

#[test]
fn a_condition_that_cannot_be_evaluated_is_told_and_one_that_never_could_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).start();
    daemon.shop();
    for condition in ["source.id == 's'", "session.id == 's'", "has(steps.x)", "segment == 'a'"] {
        let destination = json!({"id": "d", "events": ["a"], "file": "d.ndjson", "if": condition});
        let refused = daemon.post_admin("/destination", &destination);
        assert_eq!((refused.status, refused.loc()), (422, json!(["body", "if"])), "{condition}");
    }
    let destination = json!({"id": "d", "events": ["a"], "file": "d.ndjson", "if": "event.properties.n > 5"});
    assert_eq!(daemon.post_admin("/destination", &destination).status, 200);
    send(&daemon, "one", "a", json!({"n": "seven"}));
    send(&daemon, "two", "a", json!({"n": 7}));
    let status = wait_for("the delivery", || {
        Some(daemon.record("/destination/d/status")).filter(|status| status["delivered"] == 1)
    });
    assert_eq!((&status["undecided"], &status["error"]), (&json!(1), &Value::Null));
    assert!(status["undecided_error"].as_str().unwrap().contains("if: "), "{status}");
}

#[test]
fn other_changes_leave_deliveries_alone() {
    let external = External::start(|_| {
        std::thread::sleep(std::time::Duration::from_millis(300));
        (200, "{}".into())
    });
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).set("lookup.allowed_hosts", "127.0.0.1").start();
    daemon.shop();
    let webhook = json!({"url": format!("http://{}/hook", external.address)});
    let destination = json!({"id": "w", "events": ["a"], "webhook": webhook});
    assert_eq!(daemon.post_admin("/destination", &destination).status, 200);
    send(&daemon, "one", "a", json!({}));
    let mut views = 0;
    wait_for("the delivery", || {
        views += 1;
        let segment = json!({"id": "s", "condition": format!("profile.stats.views > {views}")});
        assert_eq!(daemon.post_admin("/segment", &segment).status, 200);
        (daemon.record("/destination/w/status")["delivered"] == 1).then_some(())
    });
    assert_eq!(ids(&items(&external)), ["one"]);
}

#[test]
fn a_pipe_that_nobody_reads_is_told_and_keeps_nobody_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).start();
    daemon.shop();
    std::fs::create_dir(folder.path().join("deliveries")).unwrap();
    for name in ["p1", "p2", "p3"] {
        let pipe = folder.path().join("deliveries").join(name);
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    }
    for name in ["p1", "p2", "p3", "fine"] {
        let destination = json!({"id": name, "events": ["*"], "file": name});
        assert_eq!(daemon.post_admin("/destination", &destination).status, 200);
    }
    // More than a pipe holds.
    send(&daemon, "one", "a", json!({"much": "m".repeat(200_000)}));
    for name in ["p1", "p2", "p3"] {
        let status = wait_for("the failure", || {
            Some(daemon.record(&format!("/destination/{name}/status"))).filter(|it| it["failures"].as_u64() >= Some(1))
        });
        assert!(status["error"].as_str().unwrap().contains("not a file"), "{status}");
    }
    wait_for("the delivery", || (daemon.record("/destination/fine/status")["delivered"] == 1).then_some(()));
    // A file that goes away is made again.
    let file = folder.path().join("deliveries/fine");
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&file).unwrap()) & 0o777, 0o600);
    std::fs::remove_file(&file).unwrap();
    send(&daemon, "two", "a", json!({}));
    wait_for("the delivery", || (daemon.record("/destination/fine/status")["delivered"] == 2).then_some(()));
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 1);
}
