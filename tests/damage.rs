//! Damage to files of a closed store stays where it is, or is made again from the log.

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use support::{Daemon, Setup, daemon::wait_for};

const EVENTS: usize = 900;

/// A store with some sealed segments and the events `e0` and on.
fn filled(folder: &Path) -> Setup {
    let setup = Setup::new(folder).set("storage.segment_bytes", 65_536);
    let daemon = setup.start();
    daemon.shop();
    let mut kept = daemon.kept().unwrap();
    for number in 0..EVENTS {
        let text: String = (0..120).map(|place| format!("{:x}", number * 7_919 + place * place * 104_729)).collect();
        let body = json!({"source": {"id": "shop"}, "session": {"id": format!("s{}", number % 50)},
            "events": [{"id": format!("e{number}"), "type": "page-view", "properties": {"text": text}}]});
        assert_eq!(kept.post("/track", &body.to_string()).unwrap().status, 200);
    }
    drop(kept);
    daemon.stop()
}

fn sealed(folder: &Path) -> Vec<PathBuf> {
    let segments = fs::read_dir(folder.join("segments")).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<PathBuf> = segments.filter(|path| path.extension().is_none()).collect();
    segments.sort();
    segments
}

/// Flips a bit of each `step`th byte of a file.
fn damage(path: &Path, step: usize) {
    let mut bytes = fs::read(path).unwrap();
    ((step / 2).min(bytes.len() / 2)..bytes.len()).step_by(step).for_each(|place| bytes[place] ^= 8);
    fs::write(path, bytes).unwrap();
}

fn is_stored(daemon: &Daemon, number: usize) -> bool {
    // Known as a repeat, and read back.
    let id = format!("e{number}");
    let body =
        json!({"source": {"id": "shop"}, "session": {"id": "again"}, "events": [{"id": id, "type": "page-view"}]});
    let repeat = daemon.tracked(&body)["warnings"] == json!([format!("Event {id} was already registered.")]);
    repeat && daemon.admin("GET", &format!("/event/{id}")).status == 200
}

fn assert_all_is_there(setup: &Setup) -> Daemon {
    let daemon = setup.start();
    let lost: Vec<usize> = (0..EVENTS).filter(|number| !is_stored(&daemon, *number)).collect();
    assert!(lost.is_empty(), "{} of {EVENTS} events are lost: {lost:?}", lost.len());
    daemon
}

#[test]
fn views_that_were_damaged_after_a_clean_stop_are_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let setup = filled(folder.path());
    let views = folder.path().join("views/db");
    let length = fs::metadata(&views).unwrap().len();
    damage(&views, length as usize / 8);
    let checked = setup.command(&["check"]).output().unwrap();
    assert!(!checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    assert_all_is_there(&setup).stop();
    fs::File::options().write(true).open(&views).unwrap().set_len(length / 2).unwrap();
    assert_all_is_there(&setup).stop();
    assert!(setup.command(&["check"]).status().unwrap().success());
}

#[test]
fn a_live_segment_that_was_damaged_after_a_clean_stop_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let setup = filled(folder.path());
    let segments = fs::read_dir(folder.path().join("segments")).unwrap().map(|entry| entry.unwrap().path());
    let live: Vec<PathBuf> = segments.filter(|path| path.extension().is_some()).collect();
    assert_eq!(live.len(), 1, "{live:?}");
    damage(&live[0].join("db"), 3_000);
    let checked = setup.command(&["check"]).output().unwrap();
    let said = String::from_utf8_lossy(&checked.stdout);
    assert!(!checked.status.success() && said.contains("WRONG") && !said.contains("backtrace"), "{said}");
    assert_all_is_there(&setup).stop();
}

#[test]
fn a_damaged_sealed_segment_is_the_error_of_who_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let setup = filled(folder.path());
    let segments = sealed(folder.path());
    assert!(segments.len() >= 2, "{segments:?}");
    let damaged = &segments[0];
    damage(&damaged.join("db"), 5_000);
    let setup = setup.set("RUST_BACKTRACE", "0");
    let checked = setup.command(&["check"]).output().unwrap();
    let said = String::from_utf8_lossy(&checked.stdout);
    assert!(!checked.status.success() && said.contains(damaged.to_str().unwrap()), "{said}");
    let daemon = setup.start();
    // Everybody is known, nothing is stored twice, and what stands elsewhere is read.
    let mut unreadable = 0;
    for number in 0..EVENTS {
        let response = daemon.admin("GET", &format!("/event/e{number}"));
        match response.status {
            200 => {}
            503 => {
                assert_eq!(response.json(), json!({"detail": "A part of the log cannot be read."}));
                unreadable += 1;
            }
            other => panic!("e{number}: {other}"),
        }
        let body = json!({"source": {"id": "shop"}, "session": {"id": "new"},
            "events": [{"id": format!("e{number}"), "type": "page-view"}]});
        assert!(daemon.tracked(&body).get("warnings").is_some());
    }
    assert!(unreadable > 0 && unreadable < EVENTS / 2, "{unreadable}");
    assert!(daemon.stderr().contains(damaged.to_str().unwrap()), "the log names it");
    assert_eq!(daemon.get("/ready").status, 200);

    // A destination that is sent back stops there, says so, and can be sent on behind it.
    let destination = json!({"id": "all", "events": ["page-view"], "file": "all.ndjson"});
    assert_eq!(daemon.post_admin("/destination", &destination).status, 200);
    assert_eq!(daemon.post_admin("/destination/all/replay", &json!({"from": 0})).status, 200);
    let status = || daemon.record("/destination/all/status");
    let mut stops = 0;
    let mut behind = 0;
    while status()["lag"] != 0 {
        let stopped = wait_for("it to stop at the damage or to reach the end", || {
            let status = status();
            let error = status["error"].as_str().unwrap_or_default().to_owned();
            let place = error.split("from offset ").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<u64>().ok());
            if status["lag"] == 0 { Some(None) } else { place.filter(|place| *place > behind).map(Some) }
        });
        let Some(place) = stopped else { break };
        (stops, behind) = (stops + 1, place);
        assert_eq!(daemon.post_admin("/destination/all/replay", &json!({ "from": place })).status, 200);
    }
    assert!(stops > 0);
    let text = fs::read_to_string(folder.path().join("deliveries/all.ndjson")).unwrap();
    let delivered = text.lines().filter(|line| serde_json::from_str::<Value>(line).unwrap()["event"]["id"].is_string());
    assert_eq!(delivered.count(), EVENTS - unreadable);
    daemon.tracked(&json!({"source": {"id": "shop"}, "session": {"id": "new"}, "events": [{"type": "page-view"}]}));
    daemon.stop();
}

#[test]
fn nobody_but_its_owner_may_look_into_the_storage_folder() {
    use std::os::unix::fs::PermissionsExt;
    fn modes(path: &Path, found: &mut Vec<(PathBuf, u32)>) {
        let meta = fs::symlink_metadata(path).unwrap();
        found.push((path.to_owned(), meta.permissions().mode() & 0o777));
        if meta.is_dir() {
            fs::read_dir(path).unwrap().for_each(|entry| modes(&entry.unwrap().path(), found));
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let setup = filled(&data);
    let check = || {
        let mut found = Vec::new();
        modes(&data, &mut found);
        assert!(found.len() > 10);
        for (path, mode) in found {
            assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
        }
    };
    check();
    // As an earlier version left it.
    for path in [data.join("format"), data.join("views/db"), data.clone()] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    setup.start().stop();
    check();
}

#[test]
fn a_folder_that_is_no_store_is_refused_and_left_as_it_is() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("www");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("index.html"), "<html>").unwrap();
    for path in [&other, &other.join("index.html")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let setup = Setup::new(&other);
    for command in ["check", "dump", "rebuild", "serve"] {
        let output = setup.command(&[command]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("index.html") && said.contains("storage.path"), "{said}");
    }
    let names: Vec<_> = fs::read_dir(&other).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["index.html"]);
    assert_eq!(fs::metadata(&other).unwrap().permissions().mode() & 0o777, 0o755);
    // Somebody's home has nothing but hidden files at first.
    let home = folder.path().join("home");
    fs::create_dir(&home).unwrap();
    fs::write(home.join(".profile"), "umask 022").unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o755)).unwrap();
    let (_, error) = Setup::new(&home).start_refused();
    assert!(error.contains(".profile is in it"), "{error}");
    assert_eq!(fs::read_dir(&home).unwrap().count(), 1);
    assert_eq!(fs::metadata(&home).unwrap().permissions().mode() & 0o777, 0o755);
    // What a file system leaves there is no obstacle.
    let fresh = folder.path().join("data");
    fs::create_dir_all(fresh.join("lost+found")).unwrap();
    // As a clone of the project has it.
    fs::write(fresh.join(".gitkeep"), "").unwrap();
    Setup::new(&fresh).start().stop();
}

#[test]
fn a_damaged_format_is_told_as_damage_and_another_one_as_another() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path());
    setup.start().stop();
    let path = folder.path().join("format");
    let whole = fs::read_to_string(&path).unwrap();
    let refused = || {
        let (status, error) = setup.start_refused();
        assert_eq!(status.code(), Some(1));
        error
    };
    for (damaged, what) in [
        (&b""[..], "it is empty"),
        (b"tracardi", "it is damaged"),
        (b"tracardi store ", "it is damaged"),
        (b"\xff\xfe", "it is damaged"),
        (&[0; 17], "it is damaged"),
    ] {
        fs::write(&path, damaged).unwrap();
        let error = refused();
        assert!(error.contains("/format: ") && error.contains(what) && error.contains("backup"), "{error}");
        // The remedy is true of this version.
        assert!(error.contains(&format!("\"{}\"", whole.trim_end())), "{error}");
        assert_eq!(fs::read(&path).unwrap(), damaged, "it stays as it is");
    }
    fs::remove_file(&path).unwrap();
    let error = refused();
    assert!(error.contains("/format: ") && error.contains("missing") && error.contains("backup"), "{error}");
    fs::write(&path, "tracardi store 99\n").unwrap();
    let error = refused();
    assert!(error.contains("format 99") && error.contains("the version that wrote it"), "{error}");
    fs::write(&path, whole).unwrap();
    setup.start().stop();
}

#[test]
fn a_marker_that_cannot_be_read_is_that_of_a_machine_that_ended() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path());
    let daemon = setup.start();
    daemon.shop();
    let body = json!({"source": {"id": "shop"}, "session": {"id": "s"}, "events": [{"id": "e0", "type": "page-view"}]});
    daemon.tracked(&body);
    daemon.stop();
    for marker in [&b""[..], b"\xff\xfe\n\x80", &[0; 42]] {
        fs::write(folder.path().join("running"), marker).unwrap();
        let daemon = setup.start();
        assert!(is_stored(&daemon, 0));
        daemon.stop();
    }
}
