//! Whatever order the events of several people on several devices come in: no key ends at two people, primary keys are
//! never joined, a split behind a merge gives both back as if it had not been, and sums are exact
//! (docs/contract.md, section 4).
//!
//! `TRACARDI_ROUNDS` says how many stories are told, 4 if nothing is said; `TRACARDI_SEED` with which one it begins.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use support::{Daemon, chance::Chance, daemon::started};

const PEOPLE: usize = 5;
const DEVICES: usize = 6;
const STEPS: usize = 60;

struct Story<'a> {
    daemon: &'a Daemon,
    chance: Chance,
    round: u64,
    /// What was spent, in hundredths.
    spent: u64,
    profiles: BTreeSet<String>,
    log: Vec<String>,
}

impl Story<'_> {
    fn send(&mut self, device: usize, kind: &str, properties: Value) -> String {
        let answer = self.daemon.tracked_by_admin(&json!({
            "source": {"id": "shop"}, "session": {"id": format!("{}-device-{device}", self.round)},
            "events": [{"type": kind, "properties": properties}]
        }));
        let id = answer["profile"]["id"].as_str().unwrap().to_owned();
        self.log.push(format!("{device} {kind} {properties}: {id}"));
        self.profiles.insert(id.clone());
        id
    }

    fn profile(&self, id: &str) -> Value {
        self.daemon.record(&format!("/profile/{id}"))
    }

    fn address(&self, person: usize, number: usize) -> String {
        format!("p{person}-{number}-{}@example.com", self.round)
    }

    fn step(&mut self) {
        let (device, person) = (self.chance.below(DEVICES), self.chance.below(PEOPLE));
        match self.chance.below(6) {
            0 => _ = self.send(device, "sign-in", json!({"pk": format!("{}-{person}", self.round)})),
            1 => {
                let (pk, mail) = (format!("{}-{person}", self.round), self.address(person, 0));
                self.send(device, "sign-in", json!({"pk": pk, "email": {"main": mail}}));
            }
            // Addresses are shared now and then.
            2 | 3 => {
                let number = self.chance.below(3);
                let mail = self.address(person, number);
                let place = if self.chance.below(2) == 0 { "main" } else { "private" };
                self.merging(device, &json!({"email": {place: mail}}));
            }
            _ => {
                let amount = 1 + self.chance.below(9_999) as u64;
                self.spent += amount;
                let value =
                    json!(format!("{}.{:02}", amount / 100, amount % 100).parse::<serde_json::Number>().unwrap());
                self.send(device, "spent", json!({"amount": value}));
            }
        }
    }

    /// Somebody says an address, which may make two one; now and then that is taken back at once.
    fn merging(&mut self, device: usize, properties: &Value) {
        let before: BTreeMap<String, Value> = self.profiles.iter().map(|id| (id.clone(), self.profile(id))).collect();
        let id = self.send(device, "sign-in", properties.clone());
        let became = |known: &&String| before[*known]["id"] == **known && self.profile(known)["id"] != **known;
        let gone: Vec<String> = before.keys().filter(became).cloned().collect();
        assert!(gone.len() <= 1, "{gone:?}\n{}", self.log.join("\n"));
        let Some(gone) = gone.first().filter(|_| self.chance.below(2) == 0) else { return };
        let answer = self.daemon.post_admin(&format!("/profile/{gone}/split"), &json!({}));
        self.log.push(format!("split {gone}: {}", answer.text()));
        for one in [gone, &id] {
            let now = self.profile(one);
            for part in ["data", "traits", "ids", "stats"] {
                let was = &before[one][part];
                assert_eq!(now[part], *was, "{part} of {one}\n{}", self.log.join("\n"));
            }
        }
    }

    fn check(&self) {
        let all = || self.log.join("\n");
        let roots: BTreeSet<String> =
            self.profiles.iter().map(|id| self.profile(id)["id"].as_str().unwrap().to_owned()).collect();
        let listed = |query: String| self.daemon.record(&query)["result"].as_array().unwrap().clone();
        let mut known = BTreeSet::new();
        for person in 0..PEOPLE {
            let found = listed(format!("/profiles?pk={}-{person}", self.round));
            assert!(found.len() <= 1, "{person}: {found:?}\n{}", all());
            if let Some(found) = found.first() {
                assert_eq!(found["data"]["identifier"]["pk"], format!("{}-{person}", self.round), "{}", all());
                assert!(known.insert(found["id"].as_str().unwrap().to_owned()), "two are one\n{}", all());
            }
            for number in 0..3 {
                let found = listed(format!("/profiles?email={}", self.address(person, number)));
                assert!(found.len() <= 1, "{person} {number}: {found:?}\n{}", all());
            }
        }
        let hundredths = |value: &Value| {
            let text = value.to_string();
            let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
            whole.parse::<u64>().unwrap_or(0) * 100 + format!("{part:0<2}").parse::<u64>().unwrap()
        };
        let sum: u64 = roots
            .iter()
            .map(|id| self.profile(id)["traits"]["spent"].clone())
            .filter(|spent| !spent.is_null())
            .map(|spent| hundredths(&spent))
            .sum();
        assert_eq!(sum, self.spent, "{}", all());
        for root in &roots {
            let shown = self.profile(root);
            let pk = &shown["data"]["identifier"]["pk"];
            assert!(pk.is_null() || known.contains(root), "{root} {pk}\n{}", all());
        }
    }
}

#[test]
fn whatever_order_their_events_come_in_people_stay_who_they_are() {
    let number = |name: &str| std::env::var(name).ok().and_then(|number| number.parse().ok());
    let first: u64 = number("TRACARDI_SEED").unwrap_or(1);
    let (_folder, daemon) = started();
    daemon.shop();
    let kind = json!({"id": "spent", "map": [
        {"from": "event.properties.amount", "to": "profile.traits.spent", "op": "add"}
    ]});
    assert_eq!(daemon.post_admin("/event-type", &kind).status, 200);
    for round in first..first + number("TRACARDI_ROUNDS").unwrap_or(4) {
        println!("TRACARDI_SEED={round}");
        let mut story = Story {
            daemon: &daemon,
            chance: Chance::new(round),
            round,
            spent: 0,
            profiles: BTreeSet::new(),
            log: Vec::new(),
        };
        (0..STEPS).for_each(|_| story.step());
        story.check();
    }
    let setup = daemon.stop();
    assert!(setup.command(&["check"]).status().unwrap().success());
}
