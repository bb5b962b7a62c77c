//! A process that is killed loses nothing that it acknowledged (contract, sections 6 and 7).
//!
//! `TRACARDI_ROUNDS` says how often it is killed, 20 times if nothing is said.

mod support;

use std::time::Duration;

use support::{Setup, load};

#[test]
fn an_acked_event_survives_kill_nine() {
    let folder = tempfile::tempdir().unwrap();
    // Small segments, so that one is nearly always being sealed.
    let setup = Setup::new(folder.path()).set("storage.segment_bytes", 65_536);
    let mut acked = load::Acked::default();
    for round in 0..load::rounds() {
        let mut daemon = setup.spawn();
        if round % 5 == 4 {
            // During start, while the store is being recovered.
            daemon.kill();
            continue;
        }
        daemon.wait_ready();
        if round == 0 {
            daemon.shop();
        }
        load::run_and(&daemon, round, &mut acked, || {
            std::thread::sleep(Duration::from_millis(100 + 53 * (round % 7)));
            support::daemon::signal(daemon.pid(), "KILL"); // with requests in flight
        });
        daemon.kill();
    }
    let daemon = setup.start();
    acked.check(&daemon);
    let setup = daemon.stop();
    let checked = setup.command(&["check"]).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    assert!(setup.command(&["rebuild"]).status().unwrap().success());
    acked.check(&setup.start());
}
