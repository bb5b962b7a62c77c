//! Destinations' lives: systems that take, refuse, hang up and go away at random, while people come and are deleted and the
//! daemon is stopped and killed. Each item arrives or is set aside, in order for each person, and none of who is deleted.
//!
//! `TRACARDI_ROUNDS` says how many lives, 20 if nothing is said; `TRACARDI_SEED` with which one it begins. Ten share a
//! daemon, or more where there are many.

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use support::{
    Daemon, Setup,
    chance::Chance,
    external::{Asked, External},
};

/// How many lives share a daemon, people that share a life, and what happens in one.
const TOGETHER: std::ops::RangeInclusive<usize> = 10..=20;
const PEOPLE: usize = 5;
const STEPS: usize = 40;
/// How long after somebody was deleted a delivery may arrive that was on its way then.
const ON_ITS_WAY: Duration = Duration::from_secs(5);
/// How long a destination may take in the end: pauses between tries grow.
const SETTLED_IN: Duration = Duration::from_secs(150);

/// A system with its moods.
struct System {
    external: External,
    /// What it took, and when: also where nobody was told.
    taken: Taken,
    calm: Arc<AtomicBool>,
}

type Taken = Arc<Mutex<Vec<(Instant, Value)>>>;

impl System {
    fn start(seed: u64) -> Self {
        let (taken, calm) = (Taken::default(), Arc::<AtomicBool>::default());
        let mood = Mutex::new((Chance::new(seed), 0, 0));
        let (known, is_calm) = (taken.clone(), calm.clone());
        let external = External::start_with(move |asked: &Asked| {
            let items: Vec<Value> = serde_json::from_str(&asked.body).unwrap();
            let take =
                |items: Vec<Value>| known.lock().unwrap().extend(items.into_iter().map(|it| (Instant::now(), it)));
            // Some items it never takes, for a reason of its own.
            let bad = |item: &Value| item["event"]["properties"]["bad"].as_u64();
            let refused = items.iter().find_map(bad);
            let mut mood = mood.lock().unwrap();
            let (chance, kind, left) = &mut *mood;
            if *left == 0 {
                (*kind, *left) = (chance.below(4), 1 + chance.below(12));
            }
            *left -= 1;
            let any = [0, 400, 401, 404, 408, 410, 413, 422, 429, 500, 502, 503];
            let status = match *kind {
                _ if is_calm.load(Ordering::SeqCst) => 200,
                0 | 1 => 200,
                2 => {
                    if chance.below(3) == 0 {
                        any[chance.below(any.len())]
                    } else {
                        200
                    }
                }
                _ => [0, 500, 503, 401][chance.below(4)],
            };
            let status = if status == 200 { refused.map_or(200, |bad| bad as u16) } else { status };
            if status == 413 && items.len() == 1 && refused.is_none() {
                take(items);
                return (200, String::new(), "{}".into());
            }
            if status == 200 || (status == 0 && chance.below(2) == 0) {
                take(items); // nobody hears of it where it hangs up
            }
            let head = if status == 429 { "Retry-After: 1\r\n" } else { "" };
            (status, head.into(), "{}".into())
        });
        Self { external, taken, calm }
    }

    fn destination(&self, id: &str) -> Value {
        let webhook = json!({"url": format!("http://{}/", self.external.address), "timeout": "2s"});
        json!({"id": id, "events": ["*"], "profiles": true, "webhook": webhook, "retry_for": "2s", "batch": 7})
    }
}

/// An event that was taken.
struct Sent {
    id: String,
    /// Of whom.
    profile: String,
    deleted: bool,
}

struct Story<'a> {
    folder: &'a Path,
    daemon: Option<Daemon>,
    chance: Chance,
    sent: Vec<Sent>,
    deleted: BTreeMap<String, Instant>,
}

fn setup(folder: &Path) -> Setup {
    Setup::new(folder).set("lookup.allowed_hosts", "127.0.0.1")
}

impl Story<'_> {
    fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().unwrap()
    }

    fn send(&mut self) {
        let session = self.chance.below(PEOPLE);
        let count = 1 + self.chance.below(4);
        let bad = [400, 422, 500][self.chance.below(3)];
        let events: Vec<Value> = (0..count)
            .map(|_| {
                let properties = if self.chance.below(9) == 0 { json!({"bad": bad}) } else { json!({}) };
                json!({"type": (["order", "page-view"])[self.chance.below(2)], "properties": properties})
            })
            .collect();
        let answer = self.daemon().tracked(&json!({
            "source": {"id": "shop"}, "session": {"id": format!("s{session}")}, "events": events,
            "options": {"debugger": true}
        }));
        let profile = answer["profile"]["id"].as_str().unwrap().to_owned();
        for id in answer["events"].as_array().unwrap() {
            let id = id.as_str().unwrap().to_owned();
            self.sent.push(Sent { id, profile: profile.clone(), deleted: false });
        }
    }

    fn step(&mut self) {
        match self.chance.below(14) {
            0 => {
                let Some(last) = self.sent.last() else { return };
                let profile = last.profile.clone();
                if !self.deleted.contains_key(&profile) {
                    assert_eq!(self.daemon().admin("DELETE", &format!("/profile/{profile}")).status, 200);
                    self.deleted.insert(profile, Instant::now());
                }
            }
            1 => {
                let any = self.chance.below(self.sent.len().max(1));
                if self.sent.get(any).is_some_and(|sent| !sent.deleted) {
                    assert_eq!(self.daemon().admin("DELETE", &format!("/event/{}", self.sent[any].id)).status, 200);
                    self.sent[any].deleted = true;
                }
            }
            2 if self.chance.below(3) == 0 => {
                let mut daemon = self.daemon.take().unwrap();
                self.daemon = Some(match self.chance.below(2) {
                    0 => daemon.restart(),
                    _ => {
                        daemon.kill();
                        setup(self.folder).start()
                    }
                });
            }
            3 => std::thread::sleep(Duration::from_millis(self.chance.below(900) as u64)),
            _ => self.send(),
        }
    }

    /// Waits until a destination has everything but what is given up. Somebody else comes by meanwhile: whether it is the
    /// last item that is not taken, or the other system, tells only another one.
    fn settle(&self, id: &str) {
        let (path, begun) = (format!("/destination/{id}/status"), Instant::now());
        let mut passers_by = Instant::now();
        loop {
            let status = self.daemon().record(&path);
            if status["lag"] == 0 && status["retried"] == 0 && status["failures"] == 0 {
                return;
            }
            assert!(begun.elapsed() < SETTLED_IN, "{id} does not have everything: {status}");
            // Seldom enough that all are done with one before the next comes.
            if passers_by.elapsed() > Duration::from_secs(5) {
                passers_by = Instant::now();
                self.daemon().tracked(&json!({
                    "source": {"id": "shop"}, "session": {"id": "passer-by"}, "events": [{"type": "page-view"}]
                }));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What is set aside for a destination: the ids of events, and of profiles that were deleted.
    fn asides(&self, id: &str) -> BTreeSet<String> {
        let list = self.daemon().record(&format!("/destination/{id}/aside?limit=1000"));
        let items = list["result"].as_array().unwrap().iter().map(|aside| &aside["item"]);
        let id = |item: &Value| match item["type"].as_str() {
            Some("event") => Some(item["event"]["id"].as_str()?.to_owned()),
            Some("profile-deleted") => Some(item["profile"]["id"].as_str()?.to_owned()),
            _ => None,
        };
        items.filter_map(id).collect()
    }

    /// Checks what arrived of a life.
    fn check(&self, life: &str, arrived: &[(Instant, Value)], asides: &BTreeSet<String>, is_replay: bool) {
        let of = |item: &Value| {
            if item["type"] == "event" { item["event"]["profile"]["id"].clone() } else { item["profile"]["id"].clone() }
        };
        for (at, item) in arrived.iter().filter(|(_, item)| item["type"] != "profile-deleted") {
            let whose = of(item);
            if let Some(deleted) = whose.as_str().and_then(|whose| self.deleted.get(whose)) {
                assert!(!is_replay && *at < *deleted + ON_ITS_WAY, "{life}: of somebody who was deleted: {item}");
            }
        }
        let mut firsts: Vec<(u64, &str)> = Vec::new();
        let mut seen = BTreeSet::new();
        for (_, item) in arrived.iter().filter(|(_, item)| item["type"] == "event") {
            let id = item["event"]["id"].as_str().unwrap();
            if seen.insert(id) {
                firsts.push((item["offset"].as_u64().unwrap(), id));
            }
        }
        for sent in self.sent.iter().filter(|sent| !sent.deleted && !self.deleted.contains_key(&sent.profile)) {
            assert!(seen.contains(&*sent.id) || asides.contains(&sent.id), "{life}: {} never arrived", sent.id);
        }
        for deleted in self.sent.iter().filter(|sent| sent.deleted && is_replay) {
            assert!(!seen.contains(&*deleted.id), "{life}: a deleted event");
        }
        // In order for each person, but for what was given up on the way.
        let person: BTreeMap<&str, &str> = self.sent.iter().map(|sent| (&*sent.id, &*sent.profile)).collect();
        let mut latest: BTreeMap<&str, u64> = BTreeMap::new();
        for (offset, id) in firsts.iter().filter(|(_, id)| !asides.contains(*id)) {
            let Some(person) = person.get(id) else { continue };
            let before = latest.insert(person, *offset);
            assert!(before < Some(*offset), "{life}: {id} at {offset} of {person} arrived behind {before:?}");
        }
        for (person, _) in self.deleted.iter().filter(|(person, _)| !asides.contains(*person)) {
            let told = arrived.iter().filter(|(_, item)| item["type"] == "profile-deleted" && of(item) == **person);
            assert!(told.count() > 0, "{life}: it is not told that {person} was deleted");
        }
    }
}

#[test]
fn each_item_arrives_or_is_set_aside_in_order_and_none_of_who_is_deleted() {
    let number = |name: &str| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let first = number("TRACARDI_SEED").unwrap_or(1);
    let lives: Vec<u64> = (first..first + number("TRACARDI_ROUNDS").unwrap_or(20)).collect();
    for seeds in lives.chunks((lives.len() / 20).clamp(*TOGETHER.start(), *TOGETHER.end())) {
        println!("TRACARDI_SEED={} TRACARDI_ROUNDS={}", seeds[0], seeds.len());
        let folder = tempfile::tempdir().unwrap();
        let daemon = setup(folder.path()).start();
        daemon.shop();
        let systems: Vec<(String, System)> =
            seeds.iter().map(|seed| (format!("life-{seed}"), System::start(*seed))).collect();
        for (id, system) in &systems {
            assert_eq!(daemon.post_admin("/destination", &system.destination(id)).status, 200);
        }
        let chance = Chance::new(seeds[0] ^ 0x5eed);
        let mut story =
            Story { folder: folder.path(), daemon: Some(daemon), chance, sent: Vec::new(), deleted: BTreeMap::new() };
        (0..STEPS).for_each(|_| story.step());
        systems.iter().for_each(|(_, system)| system.calm.store(true, Ordering::SeqCst));
        for (id, system) in &systems {
            story.settle(id);
            story.check(id, &system.taken.lock().unwrap(), &story.asides(id), false);
        }
        // And once more from the beginning, where nothing is on its way.
        let mut before = BTreeMap::new();
        for (id, system) in &systems {
            before.insert(id, system.taken.lock().unwrap().len());
            let replay = story.daemon().post_admin(&format!("/destination/{id}/replay"), &json!({"from": 0}));
            assert_eq!(replay.status, 200);
        }
        for (id, system) in &systems {
            story.settle(id);
            let taken = system.taken.lock().unwrap();
            story.check(id, &taken[before[id]..], &story.asides(id), true);
        }
    }
}
