//! Whatever the disk does for a while, and however the process ends then: nothing that was acknowledged is lost or
//! counted twice, and the store starts again.
//!
//! Each round some calls that touch the disk fail, in part of the folder: they do nothing, or half, or all of it and
//! fail all the same, or (where no power cut follows) say that they synced and did not. Then the disk is well again or
//! not; then the daemon is stopped, killed or cut off from power. `TRACARDI_ROUNDS` says how many rounds, 20 if nothing
//! is said; `TRACARDI_SEED` repeats the faults of a run.

mod support;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use support::{
    Setup,
    chance::Chance,
    load::{self, Ending},
    power_cut::PowerCut,
};

const OPERATIONS: [&str; 10] =
    ["write", "write-partial", "write-done", "sync", "sync-done", "sync-lie", "truncate", "open", "create", "rename"];
const ERRORS: [&str; 3] = ["ENOSPC", "EIO", "EROFS"];
const PARTS: [&str; 5] = ["", ":journal", ":segments", ":views", ":live"];

#[test]
fn an_acked_event_survives_whatever_the_disk_does() {
    let (folder, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let power = PowerCut::new(&folder.path().join("data"), scratch.path());
    let setup = || {
        let setup = Setup::new(&power.root).set("storage.segment_bytes", 65_536);
        power.environment().into_iter().fold(setup, |setup, (name, value)| setup.set(&name, value))
    };
    let seed = std::env::var("TRACARDI_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64);
    println!("TRACARDI_SEED={seed}");
    let mut chance = Chance::new(seed);
    let mut sent = load::Sent::default();
    for round in 0..load::rounds() {
        let daemon = setup().start();
        if round == 0 {
            daemon.shop();
            load::configure(&daemon);
        }
        let ending = [Ending::Stop, Ending::Kill, Ending::PowerCut][chance.below(3)];
        let heals = chance.below(2) == 0;
        let mut faults = Vec::new();
        for _ in 0..=chance.below(3) {
            let mut operation = *chance.of(&OPERATIONS);
            if operation == "sync-lie" && ending == Ending::PowerCut {
                operation = "sync-done";
            }
            faults.push(format!("{operation}:{}{}", chance.of(&ERRORS), chance.of(&PARTS)));
        }
        let (before, during) = (20 + chance.below(100), 50 + chance.below(400));
        println!("round {round}: {faults:?} after {before} ms, for {during} ms, healed: {heals}, then {ending:?}");
        load::run_and_end(daemon, round, &mut sent, ending, || {
            std::thread::sleep(Duration::from_millis(before as u64));
            power.fail(&faults.iter().map(String::as_str).collect::<Vec<_>>());
            std::thread::sleep(Duration::from_millis(during as u64));
            if heals {
                power.heal();
                std::thread::sleep(Duration::from_millis(before as u64));
            }
        });
        power.heal();
        if ending == Ending::PowerCut {
            power.cut();
        }
    }
    sent.check(&setup().start());
}
