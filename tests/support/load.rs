//! Clients that send until the daemon goes away, and what they were told was taken.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicBool, Ordering},
};

use serde_json::json;

use super::Daemon;

const CLIENTS: usize = 8;

/// How many rounds a test of crashes goes.
pub fn rounds() -> u64 {
    std::env::var("TRACARDI_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(20)
}

/// What was answered 200.
#[derive(Default)]
pub struct Acked {
    events: BTreeSet<String>,
    /// Per session: the page views that were acked, and those that were sent, whatever became of them.
    views: BTreeMap<String, (u64, u64)>,
}

/// Loads the daemon while `meanwhile` runs; what was acked joins `acked`.
pub fn run_and(daemon: &Daemon, round: u64, acked: &mut Acked, meanwhile: impl FnOnce()) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                scope.spawn({
                    let stop = &stop;
                    move || send(daemon, round, client, stop)
                })
            })
            .collect();
        meanwhile();
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            let sent = client.join().unwrap();
            acked.events.extend(sent.events);
            for (session, (answered, all)) in sent.views {
                let known = acked.views.entry(session).or_default();
                known.0 += answered;
                known.1 += all;
            }
        }
    });
}

fn send(daemon: &Daemon, round: u64, client: usize, stop: &AtomicBool) -> Acked {
    let mut acked = Acked::default();
    let Ok(mut connection) = daemon.kept() else { return acked };
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        // Clients share sessions, and come back to those of earlier rounds.
        let session = format!("s{}", (number + client) % 12);
        let ids = [format!("e-{round}-{client}-{number}-a"), format!("e-{round}-{client}-{number}-b")];
        let body = json!({
            "source": {"id": "shop"},
            "session": {"id": session},
            "context": {"round": round, "text": "x".repeat(300)},
            "events": [
                {"id": ids[0], "type": "page-view", "properties": {"number": number}},
                {"id": ids[1], "type": "purchase-order", "properties": {"text": "y".repeat(number % 500)}},
            ],
        });
        let views = acked.views.entry(session).or_default();
        views.1 += 1;
        match connection.post("/track", &body.to_string()) {
            Ok(response) if response.status == 200 => {
                views.0 += 1;
                acked.events.extend(ids);
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    acked
}

impl Acked {
    /// Every acked event is known, and no profile is older than an acked answer.
    pub fn check(&self, daemon: &Daemon) {
        self.check_events(daemon);
        self.check_profiles(daemon);
    }

    /// The id of every acked event is known, and some of the events are read back.
    pub fn check_events(&self, daemon: &Daemon) {
        assert!(self.events.len() > 100, "only {} events were acked", self.events.len());
        let mut connection = daemon.kept().unwrap();
        let lost: Vec<_> = self
            .events.iter().filter(|id| {
            // The daemon knows the id: sent again, the event is a repeat.
            let body =
                json!({"source": {"id": "shop"}, "session": {"id": "s0"}, "events": [{"id": id, "type": "page-view"}]});
            let answer = connection.post("/track", &body.to_string()).unwrap();
            answer.json()["warnings"] != json!([format!("Event {id} was already registered.")])
        }).collect();
        assert!(
            lost.is_empty(),
            "{} of {} acked events are lost: {:?}",
            lost.len(),
            self.events.len(),
            &lost[..lost.len().min(9)]
        );
        for id in self.events.iter().step_by(self.events.len() / 50) {
            assert_eq!(&daemon.record(&format!("/event/{id}"))["event"]["id"], id);
        }
        println!("{} acked events, all known", self.events.len());
    }

    /// No profile is older than an acked answer, or counts what was never sent.
    fn check_profiles(&self, daemon: &Daemon) {
        for (session, (acked, sent)) in &self.views {
            let profile = daemon.record(&format!("/session/{session}"))["profile"]["id"].as_str().unwrap().to_owned();
            let stats = daemon.record(&format!("/profile/{profile}"))["stats"].clone();
            let views = stats["views"].as_u64().unwrap();
            assert!((*acked..=*sent).contains(&views), "{session}: {views} views, {acked} acked, {sent} sent");
            assert_eq!(stats["visits"], 1);
        }
    }
}
