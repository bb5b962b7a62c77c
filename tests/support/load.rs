//! Clients that send until the daemon goes away, and what they were told was taken.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
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
    /// How many page views, and as many orders, were sent to a session, each with an id of its own.
    views: BTreeMap<String, u64>,
}

/// What clients meet under load: a segment, a workflow that counts orders, and a destination that takes everything.
/// Their sessions turn out to be of four people, so that profiles are merged all the time.
pub fn configure(daemon: &Daemon) {
    let configuration = json!({
        "event_type": [{"id": "purchase-order", "map": [{"from": "event.properties.number", "to": "profile.traits.last"}]}],
        "segment": [{"id": "regular", "condition": "profile.stats.views > 10", "events": true}],
        "workflow": [
            {"id": "count", "on": ["purchase-order"], "step": [
                {"interest": {"orders": 1}}, {"emit": {"type": "reminder", "delay": "200ms"}},
            ]},
            {"id": "remind", "on": ["reminder"], "step": [{"interest": {"reminders": 1}}]},
        ],
        "destination": [{"id": "all", "events": ["*"], "profiles": true, "file": "all.ndjson"}],
    });
    let response = daemon.post_admin("/configuration", &configuration);
    assert_eq!(response.status, 200, "{}", response.text());
}

/// Loads the daemon until it has taken so many payloads.
pub fn run_until(daemon: &Daemon, round: u64, sent: &mut Sent, payloads: u64) {
    run_and(daemon, round, sent, |taken| {
        super::daemon::wait_for("payloads to be taken", || (taken.load(Ordering::Relaxed) >= payloads).then_some(()));
    });
}

/// Loads the daemon while `meanwhile` runs; what was sent joins `sent`.
fn run_and(daemon: &Daemon, round: u64, sent: &mut Sent, meanwhile: impl FnOnce(&AtomicU64)) {
    let (stop, taken) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                scope.spawn({
                    let (stop, taken) = (&stop, &taken);
                    move || send(daemon, round, client, stop, taken)
                })
            })
            .collect();
        meanwhile(&taken);
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            sent.add(client.join().unwrap());
        }
    });
}

/// Loads the daemon and kills it at a moment that nobody knows, with requests in flight.
pub fn run_and_kill(daemon: Daemon, round: u64, sent: &mut Sent) {
    run_and_end(daemon, round, sent, Ending::Kill, || {
        let moment = 60 + uuid::Uuid::new_v4().as_u128() % 400;
        println!("round {round}: killed after {moment} ms");
        std::thread::sleep(Duration::from_millis(moment as u64));
    });
}

/// How a daemon ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ending {
    /// In good order, or as good as the disk allows.
    Stop,
    Kill,
    /// Killed; the test cuts the power.
    PowerCut,
}

/// Loads the daemon while `meanwhile` runs, then ends it with requests in flight.
pub fn run_and_end(mut daemon: Daemon, round: u64, sent: &mut Sent, ending: Ending, meanwhile: impl FnOnce()) {
    run_and(&daemon, round, sent, |_| {
        meanwhile();
        super::daemon::signal(daemon.pid(), if ending == Ending::Stop { "TERM" } else { "KILL" });
        super::daemon::wait_for("the daemon to end", || daemon.has_ended().then_some(()));
    });
    daemon.kill();
}

fn send(daemon: &Daemon, round: u64, client: usize, stop: &AtomicBool, taken: &AtomicU64) -> Sent {
    let mut sent = Sent::default();
    let Ok(mut connection) = daemon.kept() else { return sent };
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        // Clients share sessions, and come back to those of earlier rounds.
        let visitor = (number + client) % 12;
        let session = format!("s{visitor}");
        let email = if number % 10 == 9 { json!({"main": format!("m{}@example.com", visitor % 4)}) } else { json!({}) };
        let ids = [format!("e-{round}-{client}-{number}-a"), format!("e-{round}-{client}-{number}-b")];
        let body = json!({
            "source": {"id": "shop"},
            "session": {"id": session},
            "context": {"round": round, "text": "x".repeat(300)},
            "events": [
                {"id": ids[0], "type": "page-view", "properties": {"number": number}},
                {"id": ids[1], "type": "purchase-order", "properties": {"number": number, "text": "y".repeat(number % 500)}},
                {"id": format!("{}-s", ids[1]), "type": "sign-in", "properties": {"email": email}},
            ],
        })
        .to_string();
        *sent.views.entry(session).or_default() += 1;
        match connection.post("/track", &body) {
            Ok(response) if response.status == 200 => {
                taken.fetch_add(1, Ordering::Relaxed);
                sent.acked.extend(ids);
            }
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
        // Whoever signed in with the same address is one person by now.
        let mut people: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for (session, sent) in &self.views {
            let profile = daemon.record(&format!("/session/{session}"))["profile"]["id"].as_str().unwrap().to_owned();
            let person = people.entry(profile).or_default();
            *person = (person.0 + 1, person.1 + sent);
        }
        for (profile, (visits, views)) in people {
            let read = || daemon.record(&format!("/profile/{profile}"));
            let reminders = |profile: &serde_json::Value| profile["interests"]["reminders"].as_u64();
            let profile = super::daemon::wait_for("the delayed events", || {
                Some(read()).filter(|profile| reminders(profile) >= Some(views))
            });
            assert_eq!(profile["stats"], json!({"visits": visits, "views": views}), "{profile}");
            let counted = json!({"orders": views, "reminders": views});
            assert_eq!(profile["interests"], counted, "each order, and the delayed event of each, was counted once");
        }
    }

    /// Every profile and session of the clients, as they are shown.
    pub fn records(&self, daemon: &Daemon) -> Vec<serde_json::Value> {
        let sessions = self.views.keys().map(|session| daemon.record(&format!("/session/{session}")));
        let both = sessions.flat_map(|session| {
            let profile = format!("/profile/{}", session["profile"]["id"].as_str().unwrap());
            [session, daemon.record(&profile)]
        });
        both.collect()
    }

    /// The destination gets every acked event, at least once.
    pub fn check_delivered(&self, daemon: &Daemon, file: &std::path::Path) {
        // However long the log is, it goes on: some more of it is done each time.
        let mut lag = u64::MAX;
        while lag > 0 {
            let less = || {
                let now = daemon.record("/destination/all/status")["lag"].as_u64().expect("a number");
                (now < lag || now == 0).then_some(now)
            };
            lag = super::daemon::wait_for("more deliveries", less);
        }
        let text = std::fs::read_to_string(file).unwrap();
        let delivered: BTreeSet<String> = text
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter_map(|item| item["event"]["id"].as_str().map(str::to_owned))
            .collect();
        let missing: Vec<_> = self.acked.iter().filter(|id| !delivered.contains(*id)).collect();
        assert!(missing.is_empty(), "{} of {} are missing", missing.len(), self.acked.len());
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
