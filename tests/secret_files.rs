//! The token and the key in the storage folder: whole, or refused.

mod support;

use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::{Value, json};
use support::{Daemon, Setup};

/// Signs in with an address in a session of its own; the profile's id.
fn sign_in(daemon: &Daemon, session: &str) -> Value {
    let properties = json!({"email": {"main": "ada@example.com"}});
    daemon.tracked(&json!({
        "source": {"id": "shop"}, "session": {"id": session}, "events": [{"type": "sign-in", "properties": properties}]
    }))["profile"]["id"]
        .clone()
}

fn status(daemon: &Daemon, token: &str) -> u16 {
    daemon.request("GET", "/event-sources", &[("Authorization", &format!("Bearer {token}"))], b"").status
}

fn assert_check_tells(setup: &Setup, what: &str) {
    let check = setup.command(&["check"]).output().unwrap();
    let said = String::from_utf8_lossy(&check.stdout);
    assert!(check.status.code() == Some(1) && said.contains(what), "{said}");
}

#[test]
fn a_key_that_is_damaged_or_missing_makes_nobody_a_stranger() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("identity.key");
    // As an earlier version wrote it.
    let old = "5f4dcc3b5aa765d61d8327deb882cf99".repeat(2);
    fs::write(&path, format!("{old}\n")).unwrap();
    let daemon = Setup::new(folder.path()).start();
    daemon.shop();
    let ada = sign_in(&daemon, "one");
    let whole = fs::read_to_string(&path).unwrap();
    assert!(whole.contains(&old) && whole.len() > old.len() + 8, "{whole}");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let daemon = daemon.restart();
    assert_eq!(sign_in(&daemon, "two"), ada);
    let setup = daemon.stop();

    let flipped = whole.replacen("5f4d", "5f4c", 1);
    for damaged in [&whole[..whole.len() - 3], &flipped, &old[..63], ""] {
        fs::write(&path, damaged).unwrap();
        let (ended, error) = setup.start_refused();
        assert_eq!(ended.code(), Some(1));
        assert!(error.contains("identity.key: it is damaged") && error.contains("backup"), "{error}");
        assert!(error.contains("new-identity-key"), "{error}");
    }
    assert_check_tells(&setup, "identity.key: it is damaged");
    fs::remove_file(&path).unwrap();
    assert_check_tells(&setup, "identity.key: it is missing");
    let (_, error) = setup.start_refused();
    assert!(error.contains("identity.key: it is missing"), "{error}");
    assert!(!path.exists() && !folder.path().join("running").exists(), "it ends in good order");

    fs::write(&path, &whole).unwrap();
    let mut daemon = setup.start();
    assert_eq!(sign_in(&daemon, "three"), ada);
    daemon.kill();
    fs::remove_file(&path).unwrap();
    assert_check_tells(&setup, "identity.key: it is missing");
    fs::write(&path, &whole).unwrap();
    assert!(setup.command(&["check"]).status().unwrap().success());
    let renew = || setup.command(&["new-identity-key"]).output().unwrap();
    assert!(!renew().status.success(), "a whole one stays");
    fs::write(&path, &whole[..40]).unwrap();
    assert!(renew().status.success());
    assert_eq!(fs::read_to_string(folder.path().join("identity.key.damaged")).unwrap(), whole[..40]);
    let daemon = setup.start();
    assert_ne!(sign_in(&daemon, "four"), ada, "whoever was known has to be identified anew");
    assert_eq!(sign_in(&daemon, "four"), sign_in(&daemon, "five"));
}

#[test]
fn a_store_that_commands_made_gets_its_key_on_the_first_start() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path());
    assert!(setup.command(&["source", "add", "Shop", "--id", "shop"]).output().unwrap().status.success());
    assert!(setup.command(&["check"]).status().unwrap().success(), "nobody is known yet");
    let daemon = setup.start();
    let ada = sign_in(&daemon, "one");
    assert_eq!(sign_in(&daemon.restart(), "two"), ada);
}

#[test]
fn the_token_carries_its_checksum_and_the_ones_made_before_count() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.token");
    let setup = Setup::new(folder.path()).set("admin.token", "");
    let daemon = setup.start();
    let token = fs::read_to_string(&path).unwrap().trim().to_owned();
    assert_eq!(status(&daemon, &token), 200);
    assert_eq!(status(&daemon, &token[..token.len() - 1]), 401);
    daemon.stop();
    for damaged in [&token[..token.len() - 1], &token[1..], &token.replacen('a', "b", 1), "", "\0\0\0\0"] {
        fs::write(&path, damaged).unwrap();
        let (ended, error) = setup.start_refused();
        assert_eq!(ended.code(), Some(1));
        assert!(error.contains("admin.token: it is damaged") && error.contains("remove it"), "{error}");
        assert_check_tells(&setup, "admin.token: it is damaged");
    }
    fs::remove_file(&path).unwrap();
    let daemon = setup.start();
    let new = fs::read_to_string(&path).unwrap().trim().to_owned();
    assert_eq!((status(&daemon, &new), status(&daemon, &token)), (200, 401));
    daemon.stop();
    let old = "0f".repeat(32);
    fs::write(&path, format!("{old}\n")).unwrap();
    let daemon = setup.start();
    assert_eq!(status(&daemon, &old), 200);
    assert_eq!(fs::read_to_string(&path).unwrap().trim(), old, "whoever uses it goes on using it");
    // The commands find it while the daemon runs.
    let dump = setup.command(&["dump"]).output().unwrap();
    assert!(dump.status.success(), "{dump:?}");
}
