//! Clients that send until the daemon goes away, and what they were told was taken.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use serde_json::json;

use super::Daemon;

const CLIENTS: usize = 8;

/// How many rounds a test of crashes goes.
pub fn rounds() -> u64 {
    std::env::var("TRACARDI_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(20)
}

/// What was sent, and what was answered 200 of it.
#[derive(Default)]
pub struct Sent {
    acked: BTreeSet<String>,
    /// Payloads of which nobody knows whether they were taken.
    unsure: Vec<String>,
    /// How many page views were sent to a session, each with an id of its own.
    views: BTreeMap<String, u64>,
}

/// Loads the daemon while `meanwhile` runs; what was sent joins `sent`.
pub fn run_and(daemon: &Daemon, round: u64, sent: &mut Sent, meanwhile: impl FnOnce()) {
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
            sent.add(client.join().unwrap());
        }
    });
}

/// Loads the daemon and kills it at a moment that nobody knows, with requests in flight.
pub fn run_and_kill(mut daemon: Daemon, round: u64, sent: &mut Sent) {
    run_and(&daemon, round, sent, || {
        let moment = 60 + uuid::Uuid::new_v4().as_u128() % 400;
        println!("round {round}: killed after {moment} ms");
        std::thread::sleep(Duration::from_millis(moment as u64));
        super::daemon::signal(daemon.pid(), "KILL");
    });
    daemon.kill();
}

fn send(daemon: &Daemon, round: u64, client: usize, stop: &AtomicBool) -> Sent {
    let mut sent = Sent::default();
    let Ok(mut connection) = daemon.kept() else { return sent };
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
        })
        .to_string();
        *sent.views.entry(session).or_default() += 1;
        match connection.post("/track", &body) {
            Ok(response) if response.status == 200 => sent.acked.extend(ids),
            Ok(_) => sent.unsure.push(body),
            Err(_) => {
                sent.unsure.push(body);
                break;
            }
        }
    }
    sent
}

impl Sent {
    fn add(&mut self, other: Self) {
        self.acked.extend(other.acked);
        self.unsure.extend(other.unsure);
        for (session, views) in other.views {
            *self.views.entry(session).or_default() += views;
        }
    }

    /// Every acked event is there, and once whatever was unsure is sent again, everything was counted exactly once.
    pub fn check(&self, daemon: &Daemon) {
        self.check_acked(daemon);
        let mut connection = daemon.kept().unwrap();
        for body in &self.unsure {
            assert_eq!(connection.post("/track", body).unwrap().status, 200);
        }
        for (session, sent) in &self.views {
            let profile = daemon.record(&format!("/session/{session}"))["profile"]["id"].as_str().unwrap().to_owned();
            let stats = daemon.record(&format!("/profile/{profile}"))["stats"].clone();
            assert_eq!(stats, json!({"visits": 1, "views": sent}), "{session}");
        }
    }

    /// The id of every acked event is known, and a part of the events is read back.
    pub fn check_acked(&self, daemon: &Daemon) {
        assert!(self.acked.len() > 100, "only {} events were acked", self.acked.len());
        let mut connection = daemon.kept().unwrap();
        let lost: Vec<_> = self
            .acked.iter().filter(|id| {
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
            self.acked.len(),
            &lost[..lost.len().min(9)]
        );
        for id in self.acked.iter().step_by(self.acked.len() / 100) {
            let event = &daemon.record(&format!("/event/{id}"))["event"];
            assert_eq!(&event["id"], id);
            let kind = if id.ends_with('a') { "page-view" } else { "purchase-order" };
            assert_eq!(event["type"], kind);
        }
        println!("{} acked events, all known; {} payloads unsure", self.acked.len(), self.unsure.len());
    }
}
