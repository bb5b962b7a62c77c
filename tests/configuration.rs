//! A configuration as a file: applied, told apart, dumped, on a stopped store and through the daemon that runs.

mod support;

use std::net::TcpListener;

use serde_json::json;
use support::{Setup, daemon::started};

const VOUCHER: &str = include_str!("support/voucher.toml");

fn run(setup: &Setup, arguments: &[&str]) -> (bool, String) {
    let output = setup.command(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.success(), text)
}

fn write(folder: &std::path::Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn applying_is_idempotent_and_a_dry_run_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(&folder.path().join("data"));
    let source = "[[source]]\nid = \"till\"\nname = \"Till\"\ntype = [\"webhook\"]\n";
    let file = write(folder.path(), "config.toml", &format!("{source}{VOUCHER}"));
    let empty = write(folder.path(), "empty.toml", "");
    assert_eq!(run(&setup, &["apply", &empty]), (true, "0 changed\n".into()));
    let expected = "+ source till\n+ event_type coupon-received\n+ segment coupon-hunter\n+ workflow voucher\n4 ";
    assert_eq!(run(&setup, &["apply", &file, "--dry-run"]), (true, format!("{expected}would change\n")));
    assert_eq!(run(&setup, &["dump"]), (true, String::new()));
    assert_eq!(run(&setup, &["apply", &file]), (true, format!("{expected}changed\n")));
    assert_eq!(run(&setup, &["apply", &file]), (true, "0 changed\n".into()));
    let (_, dumped) = run(&setup, &["dump"]);
    let again = write(folder.path(), "again.toml", &dumped);
    assert_eq!(run(&setup, &["apply", &again]), (true, "0 changed\n".into()), "{dumped}");
    let (_, dumped) = run(&setup, &["dump", "--json"]);
    assert_eq!(run(&setup, &["apply", &write(folder.path(), "again.json", &dumped)]), (true, "0 changed\n".into()));
    let changed = write(folder.path(), "changed.toml", &VOUCHER.replace(">= 3", ">= 4"));
    let (_, told) = run(&setup, &["apply", &changed, "--dry-run"]);
    assert!(told.starts_with("~ segment coupon-hunter\n  - {") && told.contains(">= 4"), "{told}");
}

#[test]
fn what_toml_cannot_hold_is_dumped_as_json() {
    let (folder, daemon) = started();
    let setup = Setup::new(folder.path());
    let body = r#"{"segment": [{"id": "s", "condition": "profile.stats.views > 1"}],
        "event_type": [{"id": "n", "schema": {"properties": {"minimum": 1e2, "maximum": 1.2345678901234568e22}}}]}"#;
    let answer = daemon.post_admin("/configuration", &serde_json::from_str(body).unwrap());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let (_, dumped) = run(&setup, &["dump"]);
    let outside = tempfile::tempdir().unwrap();
    assert_eq!(run(&setup, &["apply", &write(outside.path(), "a.toml", &dumped)]), (true, "0 changed\n".into()));
    let null = json!({"id": "q", "schema": {"properties": {"enum": [null, "a"]}}});
    assert_eq!(daemon.post_admin("/event-type", &null).status, 200);
    let (done, told) = run(&setup, &["dump"]);
    assert!(
        !done && told.contains("event_type: q: schema: properties: enum: 0: ") && told.contains("--json"),
        "{told}"
    );
    let (_, dumped) = run(&setup, &["dump", "--json"]);
    assert_eq!(run(&setup, &["apply", &write(outside.path(), "a.json", &dumped)]), (true, "0 changed\n".into()));
}

#[test]
fn a_running_daemon_applies_and_dumps_too() {
    let (folder, daemon) = started();
    let outside = tempfile::tempdir().unwrap();
    let file = write(outside.path(), "config.toml", VOUCHER);
    // It took a free port, which no setting names.
    let setup = Setup::new(folder.path());
    assert!(run(&setup, &["apply", &file]).1.ends_with("3 changed\n"));
    assert_eq!(run(&setup, &["apply", &file]), (true, "0 changed\n".into()));
    let answer = daemon.post_json("/collect/coupon-received/shop", "{}");
    assert_eq!(answer.status, 406, "it counts from the next request on: {}", answer.text());
    assert!(run(&setup, &["dump"]).1.contains("coupon-hunter"));
    let broken = write(outside.path(), "broken.toml", &VOUCHER.replace("size(", "sise("));
    let (done, told) = run(&setup, &["apply", &broken]);
    assert!(!done && told.contains("segment: coupon-hunter: condition: "), "{told}");
}

#[test]
fn the_token_goes_to_the_daemon_of_the_store_and_to_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    // Somebody listens where the settings say that the daemon would, and where it did before it was killed.
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    stranger.set_nonblocking(true).unwrap();
    let named = stranger.local_addr().unwrap().to_string();
    let nobody_came = || stranger.accept().is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
    let mut daemon = Setup::new(&data).start();
    daemon.shop();
    let setup = Setup::new(&data).set("server.listen", &named);
    let (done, dumped) = run(&setup, &["dump"]);
    assert!(done && dumped.contains("shop") && nobody_came(), "{dumped}");
    let address = std::fs::read_to_string(data.join("address")).unwrap();
    assert_eq!(address.trim_end(), daemon.address);
    daemon.kill();
    std::fs::write(data.join("address"), format!("{named}\n")).unwrap();
    // Another process has the store, and does not listen.
    let lock = std::fs::File::options().write(true).open(data.join("lock")).unwrap();
    lock.lock().unwrap();
    for arguments in [&["dump"][..], &["apply", &write(folder.path(), "empty.toml", "")]] {
        let (done, told) = run(&setup, arguments);
        assert!(!done && told.contains("in use by another process") && nobody_came(), "{told}");
    }
    drop(lock);
    let daemon = Setup::new(&data).start();
    assert!(run(&setup, &["dump"]).0 && nobody_came());
    daemon.stop();
    assert!(!data.join("address").exists());
}

#[test]
fn a_configuration_is_saved_whole_or_not_at_all() {
    let (_folder, daemon) = started();
    let good = json!({"id": "good", "condition": "profile.stats.views > 1"});
    let mut body = json!({"segment": [good, {"id": "bad", "condition": "1 +"}], "source": [{"id": "new", "name": "New", "type": "rest"}]});
    let refused = daemon.post_admin("/configuration", &body);
    assert_eq!((refused.status, refused.loc()), (422, json!(["body", "segment", "bad", "condition"])));
    assert_eq!(daemon.admin("GET", "/segment/good").status, 404);
    assert_eq!(daemon.admin("GET", "/event-source/new").status, 404);
    body["segment"][1]["condition"] = json!("profile.stats.views > 2");
    let told = daemon.post_admin("/configuration?dry_run=true", &body).json();
    assert_eq!((&told["dry_run"], told["changed"].as_array().unwrap().len()), (&json!(true), 3));
    assert_eq!(daemon.admin("GET", "/segment/good").status, 404);
    assert_eq!(daemon.post_admin("/configuration", &body).json()["changed"].as_array().unwrap().len(), 3);
    let all = daemon.record("/configuration");
    assert_eq!(all["segment"], json!([body["segment"][1], good]));
    assert_eq!(all["source"].as_array().unwrap().len(), 3);
    for (body, loc) in [
        (json!({"segments": []}), json!(["body", "segments"])),
        (json!({"segment": {}}), json!(["body", "segment"])),
        (json!({"segment": [good, good]}), json!(["body", "segment", 1, "id"])),
        (json!({"source": [{"name": "x", "type": "rest"}]}), json!(["body", "source", 0, "id"])),
        (json!({"source": [{"id": "x", "name": "x", "type": "mail"}]}), json!(["body", "source", 0, "type"])),
        (
            json!({"source": [{"id": "x", "name": "x", "type": "rest", "consent": true}]}),
            json!(["body", "source", 0, "consent"]),
        ),
    ] {
        let response = daemon.post_admin("/configuration", &body);
        assert_eq!((response.status, response.loc()), (422, loc), "{}", response.text());
    }
    let daemon = daemon.restart();
    assert_eq!(daemon.record("/configuration"), all);
}

#[test]
fn a_mistake_in_a_file_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(&folder.path().join("data"));
    for (text, says) in [
        ("[[segment]]\nid = \"a\"\ncondition = \"profile.x ==\"\n", "segment: a: condition: not an expression"),
        ("[[segment]]\nid = \"a\"\nid = \"b\"\n", "line 3: "),
        ("[[segmnt]]\nid = \"a\"\n", "segmnt: unknown"),
    ] {
        let file = write(folder.path(), "config.toml", text);
        let (done, told) = run(&setup, &["apply", &file]);
        assert!(!done && told.contains(says) && told.contains("config.toml"), "{told}");
    }
    let (done, told) = run(&setup, &["apply", "nowhere.toml"]);
    assert!(!done && told.contains("nowhere.toml"), "{told}");
}

#[test]
fn a_file_of_secrets_must_be_its_owner_s_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "secrets", "# for the CRM\ncrm = s3cret\n");
    let setup = Setup::new(&folder.path().join("data")).set("lookup.secrets_file", &file);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (status, told) = setup.start_refused();
    assert!(!status.success() && told.contains("0600") && !told.contains("s3cret"), "{told}");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    drop(setup.start());
    std::fs::write(&file, "crm s3cret\n").unwrap();
    let (status, told) = setup.start_refused();
    assert!(!status.success() && told.contains("line 1") && !told.contains("s3cret"), "{told}");
}

#[test]
fn of_configurations_at_the_same_time_one_is_in_force() {
    let (_folder, daemon) = started();
    let all = |words: [&str; 2]| {
        let tagged = (0..40).map(|number| json!({"id": format!("t{number}"), "tags": [words[number / 20]]}));
        json!({"event_type": tagged.collect::<Vec<_>>()})
    };
    assert_eq!(daemon.post_admin("/configuration", &all(["a", "b"])).status, 200);
    for _ in 0..10 {
        std::thread::scope(|scope| {
            for word in ["a", "b"] {
                scope.spawn(|| assert_eq!(daemon.post_admin("/configuration", &all([word, word])).status, 200));
            }
        });
        let found = daemon.record("/configuration")["event_type"].take();
        let first = &found[0]["tags"];
        assert!(found.as_array().unwrap().iter().all(|kind| kind["tags"] == *first), "{found}");
    }
}
