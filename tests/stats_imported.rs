//! Counts over a log whose events do not stand in the order of their times (docs/contract.md, sections 13 and 15):
//! people who have live events and imported ones before, between and after them, compared with a plain count by the
//! events' times.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Datelike};
use serde_json::{Value, json};
use support::{
    Daemon, Setup,
    chance::Chance,
    daemon::{TOKEN, wait_for},
};

const PEOPLE: usize = 12;
const KINDS: [&str; 3] = ["page-view", "clicked", "bought"];

/// An event that is stored.
#[derive(Clone, Debug)]
struct Stored {
    /// In microseconds.
    time: i64,
    session: Option<String>,
    person: String,
    kind: String,
    page: Option<String>,
    item: Option<Value>,
}

/// What no compression makes small.
fn noise(chance: &mut Chance) -> String {
    (0..400).map(|_| format!("{:08x}", chance.below(1 << 32))).collect()
}

struct Shop {
    daemon: Daemon,
    chance: Chance,
    people: Vec<String>,
    events: usize,
}

impl Shop {
    fn live(&mut self, session: &str) -> String {
        let kind = KINDS[self.chance.below(3)];
        let mut event =
            json!({"type": kind, "properties": {"noise": noise(&mut self.chance), "item": self.chance.below(5)}});
        event["context"] = json!({"page": {"url": format!("https://shop.example/p{}", self.chance.below(6))}});
        let sent = json!({"source": {"id": "shop"}, "session": {"id": session}, "events": [event]});
        self.events += 1;
        self.daemon.tracked(&sent)["profile"]["id"].as_str().unwrap().to_owned()
    }

    /// One live event for each person, each in a session of their own.
    fn live_round(&mut self) {
        for person in 0..PEOPLE {
            self.live(&format!("live-{person}"));
        }
    }

    /// Imports people who were made at some time within `times`.
    fn import_people(&mut self, count: usize, times: (i64, i64)) {
        let mut lines = String::new();
        for _ in 0..count {
            let id = format!("00000000-0000-4000-8000-{:012}", self.people.len());
            let time = text(times.0 + self.chance.below((times.1 - times.0) as usize) as i64);
            lines += &format!("{}\n", json!({"id": id, "metadata": {"time": {"insert": time, "update": time}}}));
            self.people.push(id);
        }
        let headers = [("Authorization", &*format!("Bearer {TOKEN}")), ("Content-Type", "application/x-ndjson")];
        let told = self.daemon.request("POST", "/import?what=profiles", &headers, lines.as_bytes()).json();
        assert_eq!(told["imported"]["profiles"], json!(count), "{told}");
    }

    /// When each person of the events was made.
    fn made(&self, events: &[Stored]) -> BTreeMap<String, i64> {
        let made = |id: &String| self.daemon.record(&format!("/profile/{id}"))["metadata"]["time"]["insert"].clone();
        let people: BTreeSet<&String> = events.iter().map(|event| &event.person).collect();
        people.into_iter().map(|id| (id.clone(), micros(made(id).as_str().unwrap()))).collect()
    }

    /// Imports events whose times lie within `times`, in no order.
    fn import(&mut self, count: usize, times: (i64, i64)) {
        let mut lines = String::new();
        for _ in 0..count {
            self.events += 1;
            let person = self.chance.below(self.people.len());
            let time = times.0 + self.chance.below((times.1 - times.0) as usize) as i64;
            let session = match self.chance.below(4) {
                0 => Some(format!("live-{person}")),
                1 => None,
                _ => Some(format!("old-{person}-{}", self.chance.below(4))),
            };
            let mut event = json!({
                "id": format!("imported-{}", self.events), "type": KINDS[self.chance.below(3)], "source": {"id": "shop"},
                "profile": {"id": self.people[person]}, "metadata": {"time": {"insert": text(time)}},
                "properties": {"noise": noise(&mut self.chance), "item": self.chance.below(5)},
            });
            if let Some(session) = session {
                event["session"] = json!({"id": session});
            }
            if self.chance.below(6) > 0 {
                event["context"] = json!({"page": {"url": format!("https://shop.example/p{}", self.chance.below(6))}});
            }
            lines += &format!("{event}\n");
        }
        let headers = [("Authorization", &*format!("Bearer {TOKEN}")), ("Content-Type", "application/x-ndjson")];
        let told = self.daemon.request("POST", "/import?what=events", &headers, lines.as_bytes()).json();
        assert_eq!((&told["imported"]["events"], &told["without_profile"]), (&json!(count), &json!(0)), "{told}");
    }

    /// All that is stored, by time and place in the log.
    fn stored(&self) -> Vec<Stored> {
        let export = self.daemon.admin("GET", "/export?what=events&order=oldest");
        assert_eq!(export.status, 200, "{}", export.text());
        let read = |line: &str| {
            let event: Value = serde_json::from_str(line).unwrap();
            let text = |value: &Value| value.as_str().map(str::to_owned);
            Stored {
                time: micros(event["metadata"]["time"]["insert"].as_str().unwrap()),
                session: text(&event["session"]["id"]),
                person: text(&event["profile"]["id"]).unwrap(),
                kind: text(&event["type"]).unwrap(),
                page: text(&event["hit"]["url"]),
                item: event["properties"].get("item").cloned(),
            }
        };
        let mut stored: Vec<Stored> = String::from_utf8(export.body).unwrap().lines().map(read).collect();
        stored.sort_by_key(|event| event.time);
        assert_eq!(stored.len(), self.events);
        stored
    }

    fn now(&self) -> i64 {
        self.stored().last().unwrap().time
    }
}

fn text(micros: i64) -> String {
    DateTime::from_timestamp_micros(micros).unwrap().to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

fn micros(text: &str) -> i64 {
    DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros()
}

fn by_person(events: &[Stored]) -> BTreeMap<&str, Vec<&Stored>> {
    let mut people: BTreeMap<&str, Vec<&Stored>> = BTreeMap::new();
    events.iter().for_each(|event| people.entry(&event.person).or_default().push(event));
    people
}

fn by_visit(events: &[Stored]) -> BTreeMap<&str, Vec<&Stored>> {
    let mut visits: BTreeMap<&str, Vec<&Stored>> = BTreeMap::new();
    for event in events {
        event.session.iter().for_each(|session| visits.entry(session).or_default().push(event));
    }
    visits
}

/// How many people came to each step.
fn funnel(events: &[Stored], steps: &[&str], within: i64) -> Vec<usize> {
    let mut came = vec![0; steps.len()];
    for events in by_person(events).values() {
        let mut farthest = 0;
        for (place, first) in events.iter().enumerate().filter(|(_, event)| event.kind == steps[0]) {
            let mut reached = 1;
            for event in &events[place + 1..] {
                if reached < steps.len() && event.kind == steps[reached] && event.time - first.time <= within {
                    reached += 1;
                }
            }
            farthest = farthest.max(reached);
        }
        came[..farthest].iter_mut().for_each(|count| *count += 1);
    }
    came
}

/// By the month of their first event of `kind`: how many people, and how many of them came back in each later one.
fn retention(events: &[Stored], kind: &str, now: i64) -> Vec<Value> {
    let month = |time: i64| {
        let time = DateTime::from_timestamp_micros(time).unwrap();
        time.year() * 12 + time.month0() as i32
    };
    let mut cohorts: BTreeMap<i32, (u64, BTreeMap<i32, u64>)> = BTreeMap::new();
    for events in by_person(events).values() {
        let Some(place) = events.iter().position(|event| event.kind == kind) else { continue };
        let first = month(events[place].time);
        let later: BTreeSet<i32> = events[place..].iter().map(|event| month(event.time)).collect();
        let cohort = cohorts.entry(first).or_default();
        cohort.0 += 1;
        later.into_iter().filter(|later| *later > first).for_each(|later| *cohort.1.entry(later).or_default() += 1);
    }
    let row = |(first, (profiles, again)): (i32, (u64, BTreeMap<i32, u64>))| {
        let again: Vec<u64> = (first + 1..=month(now)).map(|month| again.get(&month).copied().unwrap_or(0)).collect();
        json!({"cohort": format!("{:04}-{:02}-01", first / 12, first % 12 + 1), "profiles": profiles, "again": again})
    };
    cohorts.into_iter().map(row).collect()
}

/// The months in which visits began between the times, those with an event of `kind` if one is asked for.
fn visits(
    events: &[Stored],
    made: &BTreeMap<String, i64>,
    (from, to): (i64, i64),
    kind: Option<&str>,
) -> BTreeMap<String, Value> {
    let month = |time: i64| format!("{}-01", &text(time)[..7]);
    let mut months: BTreeMap<String, Vec<Vec<&Stored>>> = BTreeMap::new();
    let is_meant = |event: &&&Stored| kind.is_none_or(|kind| event.kind == kind);
    for visit in by_visit(events).into_values() {
        if (from..to).contains(&visit[0].time) && visit.iter().any(|event| is_meant(&event)) {
            months.entry(month(visit[0].time)).or_default().push(visit);
        }
    }
    let row = |(start, visits): (String, Vec<Vec<&Stored>>)| {
        let meant: Vec<&Stored> = visits.iter().flatten().filter(is_meant).copied().collect();
        let views = |events: &[&Stored]| events.iter().filter(|event| event.kind == "page-view").count();
        let people: BTreeSet<&str> = meant.iter().map(|event| &*event.person).collect();
        let new = people.iter().filter(|person| month(made[**person]) == start).count();
        let mut durations: Vec<i64> = visits.iter().map(|visit| visit[visit.len() - 1].time - visit[0].time).collect();
        durations.sort_unstable();
        let (lower, upper) = (durations[(durations.len() - 1) / 2], durations[durations.len() / 2]);
        let row = json!({
            "visits": visits.len(), "profiles": people.len(), "new_profiles": new, "views": views(&meant),
            "events": meant.len(), "bounced": visits.iter().filter(|visit| visit.len() == 1 || views(visit) == 1).count(),
            "duration": (lower + upper) as f64 / 2.0 / 1e6,
        });
        (start, row)
    };
    months.into_iter().map(row).collect()
}

/// Each value with its events and visits.
fn top<'a>(told: impl Iterator<Item = (Option<Value>, &'a Stored)>) -> BTreeMap<String, (u64, u64)> {
    let mut values: BTreeMap<String, (u64, BTreeSet<&str>)> = BTreeMap::new();
    for (value, event) in told {
        let (events, visits) = values.entry(value.map_or_else(String::new, |value| value.to_string())).or_default();
        *events += 1;
        visits.extend(event.session.as_deref());
    }
    values.into_iter().map(|(value, (events, visits))| (value, (events, visits.len() as u64))).collect()
}

impl Shop {
    fn check_people(&self, wrong: &mut Vec<String>) {
        let (events, now) = (self.stored(), self.now());
        for steps in
            [&["page-view", "clicked", "bought"][..], &["bought", "clicked"], &["clicked", "page-view", "clicked"]]
        {
            for days in [1_i64, 30, 900] {
                let query = format!("/stats/funnel?step={}&within={days}d", steps.join("&step="));
                let found = self.daemon.record(&query);
                let found: Vec<u64> =
                    found["result"].as_array().unwrap().iter().map(|row| row["profiles"].as_u64().unwrap()).collect();
                let expected = funnel(&events, steps, days * 86_400_000_000);
                if found.iter().map(|count| *count as usize).ne(expected.iter().copied()) {
                    wrong.push(format!("{query}: {found:?} is not {expected:?}"));
                }
            }
        }
        for kind in KINDS {
            let query = format!("/stats/retention?by=month&first={kind}");
            let (found, expected) = (self.daemon.record(&query)["result"].clone(), retention(&events, kind, now));
            if found != json!(expected) {
                wrong.push(format!("{query}: {found} is not {}", json!(expected)));
            }
        }
    }

    fn check_visits(&self, ranges: &[(i64, i64)], wrong: &mut Vec<String>) {
        let events = self.stored();
        let made = self.made(&events);
        for (from, to) in ranges.iter().copied() {
            let times = format!("from={}&to={}", text(from), text(to));
            for kind in [None, Some("bought")] {
                let mut query = format!("/stats/visits?by=month&{times}");
                kind.iter().for_each(|kind| query += &format!("&type={kind}"));
                let mut expected = visits(&events, &made, (from, to), kind);
                for mut row in self.daemon.record(&query)["result"].as_array().unwrap().clone() {
                    let row = row.as_object_mut().unwrap();
                    let month = row.remove("month").unwrap();
                    let duration = row["duration"].as_f64();
                    row.insert("duration".into(), json!(duration));
                    let expected = expected.remove(month.as_str().unwrap());
                    let expected = expected.unwrap_or_else(
                        || json!({"visits": 0, "profiles": 0, "new_profiles": 0, "views": 0, "events": 0, "bounced": 0, "duration": null}),
                    );
                    let row = Value::Object(row.clone());
                    if row != expected {
                        wrong.push(format!("{query} {month}: {row} is not {expected}"));
                    }
                }
                if !expected.is_empty() {
                    wrong.push(format!("{query}: {expected:?} is not there"));
                }
            }
            let in_time = || events.iter().filter(|event| (from..to).contains(&event.time));
            let page = |event: &Stored| event.page.as_ref().map(|page| json!(page));
            let visits = by_visit(&events);
            let begun = visits.values().filter(|visit| (from..to).contains(&visit[0].time));
            let entries = begun.flat_map(|visit| {
                let entry = visit.iter().find_map(|event| page(event));
                visit.iter().map(move |event| (entry.clone(), *event))
            });
            for (of, expected) in [
                ("page", top(in_time().map(|event| (page(event), event)))),
                ("event.properties.item", top(in_time().map(|event| (event.item.clone(), event)))),
                ("source", top(in_time().map(|event| (Some(json!("shop")), event)))),
                ("entry", top(entries)),
            ] {
                let query = format!("/stats/top?of={of}&{times}&limit=1000");
                let found = self.daemon.record(&query);
                let count = |row: &Value| (row["events"].as_u64().unwrap(), row["visits"].as_u64().unwrap());
                let rows = found["result"].as_array().unwrap().iter();
                let mut counts: BTreeMap<String, (u64, u64)> =
                    rows.map(|row| (row["value"].to_string(), count(row))).collect();
                if count(&found["none"]).0 > 0 {
                    counts.insert(String::new(), count(&found["none"]));
                }
                if counts != expected {
                    wrong.push(format!("{query}: {counts:?} is not {expected:?}"));
                }
            }
        }
    }
}

#[test]
fn counts_go_by_the_times_of_events_whatever_order_they_stand_in() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).set("storage.segment_bytes", 65_536).start();
    daemon.shop();
    let mut shop = Shop { daemon, chance: Chance::new(7), people: Vec::new(), events: 0 };
    for person in 0..PEOPLE {
        let profile = shop.live(&format!("live-{person}"));
        shop.people.push(profile);
    }
    let [start, middle, end] = ["2025-03-01T00:00:00Z", "2025-06-01T00:00:00Z", "2025-09-01T00:00:00Z"].map(micros);
    shop.import_people(4, (start, end));
    shop.import(100, (middle, end));
    let before = shop.now();
    shop.live_round();
    shop.import(100, (start, end));
    shop.live_round();
    // Visits that were imported go on.
    (0..PEOPLE).filter(|person| person % 3 == 0).for_each(|person| _ = shop.live(&format!("old-{person}-0")));
    let now = shop.now();
    shop.import(60, (before, now));
    shop.import(60, (start, middle));
    shop.live_round();
    let sealed = || {
        let files = std::fs::read_dir(folder.path().join("indexes")).unwrap();
        files
            .filter(|file| file.as_ref().is_ok_and(|file| file.path().extension().is_some_and(|it| it == "index")))
            .count()
    };
    wait_for("segments to be sealed", || (sealed() >= 3).then_some(()));
    let mut wrong = Vec::new();
    shop.check_people(&mut wrong);
    let future = now + 86_400_000_000;
    let ranges = [(start, future), (start, middle), (middle, end), (end, future), (before, future), (start, before)];
    shop.check_visits(&ranges, &mut wrong);
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}
