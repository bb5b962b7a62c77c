//! A power cut loses nothing that was acknowledged (docs/contract.md, section 7): what was written and never synced is
//! dropped.
//!
//! `TRACARDI_ROUNDS` says how often the power is cut, 20 times if nothing is said.

mod support;

use support::{Setup, load, power_cut::PowerCut};

fn setup(power: &PowerCut, durability: &str) -> Setup {
    let setup = Setup::new(&power.root).set("storage.segment_bytes", 65_536).set("storage.durability", durability);
    power.environment().into_iter().fold(setup, |setup, (name, value)| setup.set(&name, value))
}

#[test]
fn an_acked_event_survives_a_power_cut() {
    let (folder, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let power = PowerCut::new(&folder.path().join("data"), scratch.path());
    let mut sent = load::Sent::default();
    for round in 0..load::rounds() {
        let daemon = setup(&power, "sync").start();
        if round == 0 {
            daemon.shop();
            load::configure(&daemon);
        }
        load::run_and_kill(daemon, round, &mut sent);
        power.cut();
    }
    sent.check(&setup(&power, "sync").start());
}

#[test]
fn a_relaxed_store_starts_again_after_a_power_cut() {
    let (folder, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let power = PowerCut::new(&folder.path().join("data"), scratch.path());
    for round in 0..4 {
        let daemon = setup(&power, "relaxed").start();
        daemon.shop();
        load::run_and_kill(daemon, round, &mut load::Sent::default());
        power.cut();
    }
    let daemon = setup(&power, "relaxed").start();
    daemon.shop();
    let mut sent = load::Sent::default();
    load::run_until(&daemon, 9, &mut sent, 200);
    sent.check_acked(&daemon);
}
