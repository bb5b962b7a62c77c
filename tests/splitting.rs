//! Profiles that became one in any order can be split in any order: everybody has what was written to them, and nothing
//! of anybody else.
//!
//! `TRACARDI_ROUNDS` says how many stories are told, 4 if nothing is said; `TRACARDI_SEED` with which one it begins.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use support::{Daemon, chance::Chance, daemon::started};

/// How many people come in a story, how often something is written before and between merges, and splits.
const PEOPLE: usize = 5;
const STEPS: usize = 45;
/// The traits that are written to; all may be said by several in the same words.
const NOTES: [&str; 3] = ["a", "b", "c"];

/// What was written to a profile while it was one of its own, or had taken in others.
#[derive(Clone)]
enum Written {
    /// `null`: what stood there was deleted.
    Set(&'static str, Value),
    Added(u64),
    Appended(String),
}

/// Who there is, and what was written to whom.
struct Story<'a> {
    daemon: &'a Daemon,
    chance: Chance,
    /// In the order in which they were written, each with the profile that it was written to.
    written: Vec<(String, Written)>,
    /// For each write that deleted something: which others it deleted.
    deleted: BTreeMap<usize, BTreeSet<usize>>,
    /// The profile that took in each one that is part of another.
    part_of: BTreeMap<String, String>,
    people: BTreeSet<String>,
    log: Vec<String>,
}

impl Story<'_> {
    /// Sends an event of a session; the profile that it was about.
    fn send(&mut self, session: usize, kind: &str, properties: Value) -> String {
        let answer = self.daemon.tracked(&json!({
            "source": {"id": "shop"}, "session": {"id": format!("s{session}")},
            "events": [{"type": kind, "properties": properties}]
        }));
        let id = answer["profile"]["id"].as_str().unwrap().to_owned();
        self.log.push(format!("s{session} {kind} {properties}: {id}"));
        self.people.insert(id.clone());
        id
    }

    fn note(&mut self, session: usize) {
        let number = self.written.len();
        let key = *self.chance.of(&NOTES);
        let said = *self.chance.of(&["Bern", "Basel"]);
        match self.chance.below(8) {
            0 => {
                let amount = 1 << self.chance.below(10);
                let id = self.send(session, "add", json!({"n": amount}));
                self.written.push((id, Written::Added(amount)));
            }
            1 => {
                let id = self.send(session, "append", json!({"to": format!("list {number}.")}));
                self.written.push((id, Written::Appended(format!("list {number}."))));
            }
            2 => {
                let id = self.send(session, "forget", json!({"key": key}));
                let with = self.all_of(&id);
                let deleted = self.written.iter().enumerate().filter(|(_, (whose, written))| {
                    with.contains(whose) && matches!(written, Written::Set(at, _) if *at == key)
                });
                self.deleted.insert(number, deleted.map(|(place, _)| place).collect());
                self.written.push((id, Written::Set(key, Value::Null)));
            }
            same => {
                let value = if same == 3 { said.to_owned() } else { format!("note {number}.") };
                let id = self.send(session, "about", json!({key: value}));
                self.written.push((id, Written::Set(key, json!(value))));
            }
        }
    }

    fn merge(&mut self, one: usize, other: usize) {
        let number = self.written.len();
        let mail = format!("key-{number}.@example.com");
        let ids = [one, other].map(|session| {
            let before = self.roots();
            (before, self.send(session, "sign-in", json!({"email": {"main": mail}})))
        });
        // It is the address of whoever said it first: what joined two is nothing that the other one is known by.
        for _ in 0..2 {
            self.written.push((ids[0].1.clone(), Written::Set("mail", json!(mail))));
        }
        let (first, (before, survivor)) = (ids[0].1.clone(), ids[1].clone());
        let gone: Vec<String> =
            before.into_iter().filter(|id| *id != survivor && self.leads_to(id) == survivor).collect();
        assert!(gone.len() <= 1 && (first == survivor || gone == [first]), "{gone:?}\n{}", self.log.join("\n"));
        for id in gone {
            self.part_of.insert(id, survivor.clone());
        }
    }

    fn split(&mut self) {
        let parts: Vec<String> = self.part_of.keys().cloned().collect();
        if parts.is_empty() {
            return;
        }
        let part = self.chance.of(&parts).clone();
        let root = self.root(&part);
        let answer = self.daemon.post_admin(&format!("/profile/{part}/split"), &json!({}));
        self.log.push(format!("split {part}: {}", answer.text()));
        assert_eq!(answer.json(), json!({"profile": {"id": root}, "split": {"id": part}}), "{}", self.log.join("\n"));
        self.part_of.remove(&part);
        // What the others deleted of it is its own still.
        let its = self.all_of(&part);
        for (by, deleted) in &mut self.deleted {
            if !its.contains(&self.written[*by].0) {
                deleted.retain(|place| !its.contains(&self.written[*place].0));
            }
        }
    }

    fn delete(&mut self, root: &str) {
        assert_eq!(self.daemon.admin("DELETE", &format!("/profile/{root}")).json(), json!(true));
        self.log.push(format!("delete {root}"));
        for id in self.all_of(root) {
            self.people.remove(&id);
            self.part_of.remove(&id);
        }
    }

    fn leads_to(&self, id: &str) -> String {
        self.daemon.record(&format!("/profile/{id}"))["id"].as_str().unwrap().to_owned()
    }

    fn root(&self, id: &str) -> String {
        let mut id = id;
        while let Some(by) = self.part_of.get(id) {
            id = by;
        }
        id.to_owned()
    }

    fn roots(&self) -> Vec<String> {
        self.people.iter().filter(|id| !self.part_of.contains_key(*id)).cloned().collect()
    }

    /// A profile, and those that are part of it.
    fn all_of(&self, id: &str) -> BTreeSet<String> {
        let is_part =
            |part: &&String| std::iter::successors(Some(*part), |part| self.part_of.get(*part)).any(|by| by == id);
        self.people.iter().filter(is_part).cloned().collect()
    }

    /// Everybody has their own, and nothing of anybody else.
    fn check(&self) {
        let all = || self.log.join("\n");
        for root in self.roots() {
            let shown = self.daemon.record(&format!("/profile/{root}"));
            let with = self.all_of(&root);
            let ids: BTreeSet<String> = serde_json::from_value(shown["ids"].clone()).unwrap();
            assert_eq!(ids, with, "{root}\n{}", all());
            for id in &with {
                assert_eq!(self.leads_to(id), root, "{}", all());
            }
            let text = shown.to_string();
            let (mut sum, mut latest) = (0, BTreeMap::new());
            for (place, (whose, written)) in self.written.iter().enumerate() {
                let is_own = with.contains(whose);
                match written {
                    Written::Added(amount) => sum += if is_own { *amount } else { 0 },
                    Written::Appended(entry) => {
                        assert!(is_own || !text.contains(entry), "{entry} in {root}: {shown}\n{}", all())
                    }
                    Written::Set(key, value) => {
                        let was_deleted = self
                            .deleted
                            .iter()
                            .any(|(by, places)| with.contains(&self.written[*by].0) && places.contains(&place));
                        if is_own && !was_deleted && !value.is_null() {
                            latest.insert(*key, (place, value));
                        }
                        if let Some(value) = value.as_str().filter(|value| value.contains('.') && !is_own) {
                            let is_theirs = self.written.iter().any(|(whose, other)| {
                                with.contains(whose) && matches!(other, Written::Set(_, other) if other == value)
                            });
                            assert!(is_theirs || !text.contains(value), "{value} in {root}: {shown}\n{}", all());
                        }
                    }
                }
            }
            let counted = shown["traits"]["n"].as_f64().unwrap_or(0.0);
            assert_eq!(counted, sum as f64, "{root}: {shown}\n{}", all());
            for key in NOTES.into_iter().chain(["mail"]) {
                let mail = &shown["data"]["contact"]["email"]["main"];
                let stands = if key == "mail" { mail } else { &shown["traits"][key] };
                let Some((place, value)) = latest.get(key) else {
                    assert!(stands.is_null(), "{key} of {root}: {shown}\n{}", all());
                    continue;
                };
                // What several say in the same words is noted once: whose it is may not be known any more.
                let is_noted = matches!(value.as_str(), Some("Bern" | "Basel"));
                assert!(stands == *value || is_noted, "{key} {value} of {place}: {root}: {shown}\n{}", all());
            }
        }
    }
}

#[test]
fn merged_and_split_in_any_order_everybody_has_what_is_theirs() {
    let number = |name: &str| std::env::var(name).ok().and_then(|number| number.parse().ok());
    let first = number("TRACARDI_SEED").unwrap_or(1);
    let (_folder, daemon) = started();
    for kind in [
        json!({"id": "about", "map": [{"from": "event.properties", "to": "profile.traits", "op": "merge"}]}),
        json!({"id": "add", "map": [{"from": "event.properties.n", "to": "profile.traits.n", "op": "add"}]}),
        json!({"id": "append", "map": [{"from": "event.properties.to", "to": "profile.traits.list", "op": "append"}]}),
        json!({"id": "forget", "map": [{"to": "profile.traits.{{ event.properties.key }}", "op": "delete"}]}),
    ] {
        assert_eq!(daemon.post_admin("/event-type", &kind).status, 200);
    }
    for seed in first..first + number("TRACARDI_ROUNDS").unwrap_or(4) {
        println!("TRACARDI_SEED={seed}");
        let mut story = Story {
            daemon: &daemon,
            chance: Chance::new(seed),
            written: Vec::new(),
            deleted: BTreeMap::new(),
            part_of: BTreeMap::new(),
            people: BTreeSet::new(),
            log: Vec::new(),
        };
        let session = |person: usize| seed as usize * 1_000 + person;
        for person in 0..PEOPLE {
            story.note(session(person));
            story.note(session(person));
        }
        for step in 0..STEPS {
            match story.chance.below(9) {
                0 | 1 => {
                    let (one, other) = (story.chance.below(PEOPLE), story.chance.below(PEOPLE));
                    story.merge(session(one), session(other));
                }
                2 => story.split(),
                3 if step % 10 == 0 => {
                    let roots = story.roots();
                    let root = story.chance.of(&roots).clone();
                    story.delete(&root);
                }
                _ => {
                    let person = story.chance.below(PEOPLE);
                    story.note(session(person));
                }
            }
            story.check();
        }
        while !story.part_of.is_empty() {
            story.split();
            story.check();
        }
        for id in story.roots() {
            story.delete(&id);
        }
    }
}

#[test]
fn what_somebody_said_is_theirs_again_though_another_one_said_the_same() {
    let (_folder, daemon) = started();
    let kind = json!({"id": "about", "map": [{"from": "event.properties.town", "to": "profile.traits.town"}]});
    assert_eq!(daemon.post_admin("/event-type", &kind).status, 200);
    let send = |session: &str, kind: &str, properties: Value| {
        let events = json!([{"type": kind, "properties": properties}]);
        let answer = daemon.tracked(&json!({"source": {"id": "shop"}, "session": {"id": session}, "events": events}));
        answer["profile"]["id"].as_str().unwrap().to_owned()
    };
    let said = [("p", "Bern"), ("x", "Bern"), ("y", "Basel")];
    let people = said.map(|(session, town)| send(session, "about", json!({"town": town})));
    for (session, _) in said {
        assert_eq!(send(session, "sign-in", json!({"pk": "one"})), people[0]);
    }
    for id in &people[1..] {
        assert_eq!(daemon.post_admin(&format!("/profile/{id}/split"), &json!({})).status, 200);
    }
    for (id, (_, town)) in people.iter().zip(said) {
        assert_eq!(daemon.record(&format!("/profile/{id}"))["traits"], json!({"town": town}));
    }
}
