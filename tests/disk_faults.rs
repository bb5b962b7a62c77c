//! Disks that are full, refuse writes or give back other bytes (docs/contract.md, section 7).

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::json;
use support::{Daemon, Setup, daemon::wait_for, power_cut::PowerCut};

/// Text that does not compress, so that files grow.
fn noise(seed: u64, bytes: usize) -> String {
    let mut state = seed.wrapping_mul(2) + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'!' + ((state >> 33) % 90) as u8)
    };
    std::iter::repeat_with(&mut next).take(bytes).collect()
}

fn event(id: &str) -> serde_json::Value {
    json!({"source": {"id": "shop"}, "session": {"id": "s1"}, "events": [{"id": id, "type": "page-view"}]})
}

/// A daemon whose disk can be made to fail.
fn faulty(folder: &Path, scratch: &Path) -> (PowerCut, Daemon) {
    let power = PowerCut::new(&folder.join("data"), scratch);
    let setup = Setup::new(&power.root).set("storage.segment_bytes", 65_536);
    let daemon = power.environment().into_iter().fold(setup, |setup, (name, value)| setup.set(&name, value)).start();
    daemon.shop();
    (power, daemon)
}

/// Sends until an answer is no 200; the ids of those that were taken, and that answer.
fn send_until_refused(daemon: &Daemon, prefix: &str) -> (Vec<String>, support::daemon::Response) {
    let mut taken = Vec::new();
    let refused = wait_for("a refusal", || {
        let id = format!("{prefix}-{}", taken.len());
        let mut body = event(&id);
        body["context"] = json!({ "noise": noise(taken.len() as u64, 20_000) });
        let response = daemon.track(&body);
        if response.status != 200 {
            return Some(response);
        }
        taken.push(id);
        None
    });
    (taken, refused)
}

#[test]
fn nothing_is_told_to_be_registered_while_nothing_can_be_written() {
    let (folder, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (power, daemon) = faulty(folder.path(), scratch.path());
    daemon.tracked(&event("before"));
    power.fail(&["write:EIO:journal"]);
    wait_for("a refusal", || (daemon.track(&event("first")).status == 503).then_some(()));
    // Each payload at the same time by several clients, so that one meets what another one queued.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut kept = daemon.kept().unwrap();
                for round in 0..60 {
                    let events = |index| json!({"id": format!("e-{round}-{index}"), "type": "page-view"});
                    let mut body = event("x");
                    body["events"] = (0..[1, 20, 300][round % 3]).map(events).collect();
                    let response = kept.post("/track", &body.to_string()).unwrap();
                    assert_eq!(response.status, 503, "round {round}: {}", response.text());
                }
            });
        }
    });
    power.heal();
    wait_for("storing to go on", || (daemon.track(&event("after")).status == 200).then_some(()));
    assert_eq!(daemon.admin("GET", "/event/e-2-0").status, 404);
}

/// The bytes of the journal's newest file without the room behind its last frame.
fn journal_bytes(folder: &Path) -> (PathBuf, Vec<u8>) {
    let path = newest(folder);
    let mut bytes = fs::read(&path).unwrap();
    let mut end = 16;
    while bytes[end..].starts_with(b"TrkF") {
        let payload = u32::from_le_bytes(bytes[end + 4..end + 8].try_into().unwrap());
        end += 20 + payload as usize;
    }
    bytes.truncate(end);
    (path, bytes)
}

/// Stops a daemon whose disk fails, heals it before or after, and starts it again: what was taken is there.
fn assert_starts_again(faults: &[&str], heals_first: bool) {
    let (folder, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (power, daemon) = faulty(folder.path(), scratch.path());
    let journal = power.root.join("journal");
    let mut taken = Vec::new();
    // Until the next group begins a new file of the journal.
    while journal_bytes(&journal).1.len() < 65_536 {
        let id = format!("e{}", taken.len());
        let mut body = event(&id);
        body["context"] = json!({ "noise": noise(taken.len() as u64, 9_000) });
        daemon.tracked(&body);
        taken.push(id);
    }
    power.fail(faults);
    let (more, refused) = send_until_refused(&daemon, "during");
    assert_eq!(refused.status, 503);
    taken.extend(more);
    if heals_first {
        power.heal();
    }
    let setup = daemon.stop();
    power.heal();
    let daemon = setup.start();
    taken.iter().for_each(|id| _ = daemon.record(&format!("/event/{id}")));
    daemon.tracked(&event("after"));
}

#[test]
fn a_clean_stop_after_a_fault_starts_again() {
    for faults in [
        &["write-partial:EIO:journal", "truncate:EIO:journal"][..],
        &["write:ENOSPC:journal"],
        &["sync:EIO:journal"],
        &["rename:EIO:journal"],
        &["sync:EIO"],
        &["write:ENOSPC:journal", "write:EIO:segments", "write:EIO:views"],
    ] {
        for heals_first in [false, true] {
            assert_starts_again(faults, heals_first);
        }
    }
}

#[test]
fn ready_is_true_of_the_journal_while_several_parts_fail() {
    for faults in [
        ["write:ENOSPC:journal", "open:EIO:segments", "open:EIO:segments"],
        ["write:ENOSPC:journal", "write:ENOSPC:views", "write:ENOSPC:segments"],
    ] {
        let (folder, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (power, daemon) = faulty(folder.path(), scratch.path());
        for number in 0..60 {
            let mut body = event(&format!("e{number}"));
            body["context"] = json!({ "noise": noise(number, 9_000) });
            daemon.tracked(&body);
        }
        power.fail(&faults);
        send_until_refused(&daemon, "during");
        // Whenever it says that it is ready, the next event is taken.
        for _ in 0..20 {
            if daemon.get("/ready").status == 200 {
                assert_eq!(daemon.track(&event("ready")).status, 200, "{faults:?}: /ready did not tell the truth");
            }
        }
        power.heal();
        wait_for("/ready", || (daemon.get("/ready").status == 200).then_some(()));
        daemon.tracked(&event("after"));
        daemon.record("/event/e0");
    }
}

fn assert_heals(faults: &[&str]) {
    let (folder, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (power, daemon) = faulty(folder.path(), scratch.path());
    let profile = daemon.tracked(&event("before"))["profile"].clone();
    let mut earlier = event("earlier");
    earlier["session"] = json!({"id": "s0"});
    daemon.tracked(&earlier);
    daemon.record("/session/s0/events"); // from here on it stands in the views
    power.fail(faults);
    let (taken, refused) = send_until_refused(&daemon, "during");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{faults:?}: {}", refused.text());
    let ready = wait_for("/ready to tell", || Some(daemon.get("/ready")).filter(|response| response.status == 503));
    let told = ready.json()["detail"].as_str().unwrap_or_default().to_owned();
    let storage = folder.path().display().to_string();
    assert!(told.len() > 10 && !told.contains(&storage), "{faults:?}: {told}");
    for session in ["s0", "s1"] {
        let path = format!("/session/{session}");
        wait_for("reads to go on", || (daemon.admin("GET", &path).status == 200).then_some(()));
    }
    power.heal();
    // By itself, without a restart.
    wait_for("storing to go on", || (daemon.track(&event("after")).status == 200).then_some(()));
    assert_eq!(daemon.get("/ready").status, 200);
    let check = |daemon: &Daemon| {
        for id in taken.iter().map(String::as_str).chain(["before", "after"]) {
            assert_eq!(daemon.record(&format!("/event/{id}"))["event"]["profile"], profile, "{faults:?}: {id}");
        }
    };
    check(&daemon);
    check(&daemon.restart());
}

#[test]
fn a_full_disk_refuses_and_goes_on_when_there_is_room() {
    assert_heals(&["write:ENOSPC:journal", "create:ENOSPC"]);
}

#[test]
fn a_disk_that_is_full_in_the_middle_of_a_write_keeps_nothing_of_it() {
    assert_heals(&["write-partial:ENOSPC:journal"]);
}

#[test]
fn a_read_only_disk_refuses_and_goes_on_when_it_can_be_written() {
    assert_heals(&["write:EROFS", "create:EROFS", "truncate:EROFS", "rename:EROFS", "unlink:EROFS"]);
}

#[test]
fn a_sync_that_fails_is_not_answered_200() {
    assert_heals(&["sync:EIO"]);
}

#[test]
fn views_that_fail_are_made_again_without_a_restart() {
    assert_heals(&["write:EIO:views"]);
}

/// A disk of 48 MiB.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where nobody may mount one.
    fn mounted(path: &Path) -> Option<Self> {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=48m", "tmpfs"]).arg(path).status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(path.to_owned()));
        }
        eprintln!("passed over: a small disk cannot be mounted here");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn what_is_stored_is_read_at_once_while_the_disk_is_full() {
    let folder = tempfile::tempdir().unwrap();
    let Some(_disk) = SmallDisk::mounted(folder.path()) else { return };
    let daemon = Setup::new(&folder.path().join("data")).set("storage.segment_bytes", 1 << 20).start();
    daemon.shop();
    daemon.tracked(&event("before"));
    daemon.record("/event/before"); // it is in the log
    let filler = folder.path().join("filler");
    let mut file = fs::File::create(&filler).unwrap();
    while std::io::Write::write_all(&mut file, &[1; 4_096]).is_ok() {}
    drop(file); // what is removed while it is open still takes its room
    let (_, refused) = send_until_refused(&daemon, "during");
    assert_eq!(refused.status, 503);
    for _ in 0..20 {
        let asked = Instant::now();
        daemon.record("/event/before");
        daemon.record("/session/s1");
        // Nothing that is on the disk waits for what is not: there is a wait of 5 s, which must not be met.
        assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    }
    fs::remove_file(&filler).unwrap();
    wait_for("storing to go on", || (daemon.track(&event("after")).status == 200).then_some(()));
    daemon.record("/event/after");
    daemon.restart().record("/event/before");
}

#[test]
fn ready_tells_how_full_the_disk_is_now() {
    let folder = tempfile::tempdir().unwrap();
    let Some(_disk) = SmallDisk::mounted(folder.path()) else { return };
    let setup = Setup::new(&folder.path().join("data"));
    let daemon = setup.set("storage.reserve_bytes", 16 << 20).set("storage.segment_bytes", 1 << 20).start();
    daemon.shop();
    for (filler, free) in [("first", 12), ("second", 2)] {
        let available = rustix::fs::statvfs(folder.path()).unwrap();
        let available = available.f_bavail * available.f_frsize;
        fs::write(folder.path().join(filler), vec![1; available as usize - (free << 20)]).unwrap();
        assert_eq!(daemon.track(&event("refused")).status, 503);
        let told = format!("the disk is full: {free} MiB are free");
        let tells = || Some(daemon.get("/ready").text()).filter(|text| text.contains(&told));
        wait_for(&format!("/ready to tell of {free} MiB"), tells);
    }
    daemon.stop();
}

#[test]
fn a_reserve_keeps_the_disk_from_being_full() {
    let folder = tempfile::tempdir().unwrap();
    let Some(_disk) = SmallDisk::mounted(folder.path()) else { return };
    let setup = Setup::new(&folder.path().join("data"));
    let daemon = setup.set("storage.reserve_bytes", 16 << 20).set("storage.segment_bytes", 1 << 20).start();
    daemon.shop();
    daemon.tracked(&event("before"));
    let filler = folder.path().join("filler");
    fs::write(&filler, vec![1; 34 << 20]).unwrap();
    let (_, refused) = send_until_refused(&daemon, "during");
    assert_eq!(refused.status, 503);
    assert!(!refused.text().contains("MiB"), "{}", refused.text());
    let ready = daemon.get("/ready");
    assert!(ready.status == 503 && ready.text().contains("disk is full"), "{}", ready.text());
    assert_eq!(daemon.admin("GET", "/event/before").status, 200);
    fs::remove_file(&filler).unwrap();
    wait_for("storing to go on", || (daemon.track(&event("after")).status == 200).then_some(()));
    daemon.stop();
}

fn newest(folder: &Path) -> PathBuf {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.pop().unwrap()
}

/// A store with some sealed segments and events `e0` and on; how many.
fn filled(setup: &Setup) -> usize {
    let daemon = setup.start();
    daemon.shop();
    let mut kept = daemon.kept().unwrap();
    let mut count = 0;
    for number in 0..900 {
        let mut body = event(&format!("e{number}"));
        body["events"][0]["properties"] = json!({ "noise": noise(number, 2_000) });
        assert_eq!(kept.post("/track", &body.to_string()).unwrap().status, 200);
        count += 1;
    }
    drop(kept);
    daemon.stop();
    count
}

#[test]
fn a_torn_end_after_a_crash_is_cut_and_everything_acked_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path());
    let mut daemon = setup.start();
    daemon.shop();
    daemon.tracked(&event("e1"));
    daemon.kill();
    let (path, mut bytes) = journal_bytes(&folder.path().join("journal"));
    bytes.extend_from_slice(b"TrkF\xff\xff\0\0torn");
    fs::write(&path, bytes).unwrap();
    let daemon = setup.start();
    daemon.record("/event/e1");
    daemon.tracked(&event("e2"));
    daemon.restart().record("/event/e2");
}

#[test]
fn a_damaged_journal_is_refused_with_one_line_that_names_file_and_place() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path());
    let mut daemon = setup.start();
    daemon.shop();
    (0..20).for_each(|number| _ = daemon.tracked(&event(&format!("e{number}"))));
    daemon.kill();
    let (path, mut bytes) = journal_bytes(&folder.path().join("journal"));
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(&path, bytes).unwrap();
    let (status, error) = setup.start_refused();
    let line = error.lines().find(|line| line.starts_with("tracardi: ")).unwrap_or_else(|| panic!("{error}"));
    assert_eq!(status.code(), Some(1));
    assert!(line.contains(path.to_str().unwrap()) && line.contains("byte") && line.contains("restore"), "{line}");
    assert!(!error.contains("panicked"), "{error}");
    assert!(!setup.command(&["check"]).status().unwrap().success());
}

#[test]
fn a_missing_part_of_the_log_is_refused_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path()).set("storage.segment_bytes", 65_536);
    filled(&setup);
    let segments = folder.path().join("segments");
    let mut sealed: Vec<PathBuf> = fs::read_dir(&segments).unwrap().map(|entry| entry.unwrap().path()).collect();
    sealed.retain(|path| path.extension().is_none());
    sealed.sort();
    assert!(sealed.len() >= 3, "{sealed:?}");
    for (missing, named) in [(0, "segments"), (1, "segments"), (sealed.len() - 1, "data")] {
        let away = folder.path().join("away");
        fs::rename(&sealed[missing], &away).unwrap();
        let (status, error) = setup.start_refused();
        assert_eq!(status.code(), Some(1));
        assert!(error.contains("missing") && !error.contains("panicked"), "{named}: {error}");
        fs::rename(&away, &sealed[missing]).unwrap();
    }
    fs::remove_file(newest(&folder.path().join("journal"))).unwrap();
    assert!(setup.start_refused().1.contains("missing"));
}

#[test]
fn flipped_bits_in_the_databases_are_found_or_harmless_and_never_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path()).set("storage.segment_bytes", 65_536);
    let count = filled(&setup);
    let sealed = fs::read_dir(folder.path().join("segments")).unwrap().map(|entry| entry.unwrap().path());
    let sealed = sealed.filter(|path| path.extension().is_none()).min().unwrap();
    for (database, is_view) in [(sealed.join("db"), false), (folder.path().join("views/db"), true)] {
        let whole = fs::read(&database).unwrap();
        for step in 1..8 {
            let mut bytes = whole.clone();
            let at = bytes.len() * step / 8;
            bytes[at] ^= 16;
            fs::write(&database, bytes).unwrap();
            let checked = setup.command(&["check"]).output().unwrap();
            let said = String::from_utf8_lossy(&checked.stdout).into_owned();
            assert!(checked.status.success() != said.contains("WRONG"), "{said}");
            // The views are made again where they are not whole.
            if is_view && !checked.status.success() {
                assert!(setup.command(&["rebuild"]).status().unwrap().success());
            }
            if is_view || checked.status.success() {
                let daemon = setup.start();
                let answer = daemon.tracked(&event(&format!("e{}", count - 1)));
                assert!(answer.get("warnings").is_some(), "{answer}");
                daemon.stop();
            }
            if !is_view {
                fs::write(&database, &whole).unwrap();
            }
        }
    }
}

#[test]
fn a_store_of_an_unknown_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path());
    setup.start().stop();
    fs::write(folder.path().join("format"), "tracardi store 99\n").unwrap();
    let (status, error) = setup.start_refused();
    assert_eq!(status.code(), Some(1));
    assert!(error.contains("format 99"), "{error}");
    fs::remove_file(folder.path().join("format")).unwrap();
    assert!(!setup.start_refused().0.success());
}
