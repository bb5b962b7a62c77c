//! A process that is killed loses nothing that it acknowledged (docs/contract.md, sections 6 and 7).
//!
//! `TRACARDI_ROUNDS` says how often it is killed, 20 times if nothing is said; more often until some segments are sealed.

mod support;

use support::{Setup, load};

#[test]
fn an_acked_event_survives_kill_nine() {
    let folder = tempfile::tempdir().unwrap();
    // Small segments, so that one is nearly always being sealed.
    let setup = Setup::new(folder.path()).set("storage.segment_bytes", 65_536);
    let mut sent = load::Sent::default();
    let segments = || std::fs::read_dir(folder.path().join("segments")).map_or(0, Iterator::count);
    for round in 0.. {
        if round >= load::rounds() && segments() > 3 {
            break;
        }
        assert!(round < 10 * load::rounds(), "{} segments: none was being sealed", segments());
        if round % 5 == 4 {
            setup.start_and_kill(); // while the store is being recovered
            continue;
        }
        let daemon = setup.start();
        if round == 0 {
            daemon.shop();
            load::configure(&daemon);
        }
        load::run_and_kill(daemon, round, &mut sent);
    }
    let daemon = setup.start();
    sent.check(&daemon);
    sent.check_delivered(&daemon, &folder.path().join("deliveries/all.ndjson"));
    let before = sent.records(&daemon);
    let setup = daemon.stop();
    let checked = setup.command(&["check"]).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    assert!(setup.command(&["rebuild"]).status().unwrap().success());
    let daemon = setup.start();
    assert_eq!(sent.records(&daemon), before, "what is made anew equals what was kept along the way");
    sent.check(&daemon);
}
