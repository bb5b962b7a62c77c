//! Visits and tops (docs/contract.md, section 13), compared with a plain count over what was sent: over several days
//! and segments, with people who become one and events that are deleted.

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Datelike, Timelike};
use chrono_tz::Tz;
use serde_json::{Value, json};
use support::{Daemon, daemon::started};
use tracardi::{
    admin::Admin,
    clock::Clock,
    collect::{Bots, CollectSettings, Collector, Credentials, Disclosure, Incoming},
    model::{ClientFacts, Id, Payload, Source, SourceType, Time, Zone},
    process::{AllowedHosts, Identity, IdentitySettings, Lookups, Rules, RulesInForce, Secrets},
    read::{FunnelQuery, Parameters, Queries, ReadSettings, RetentionQuery, TopQuery, VisitsQuery},
    store::{Durability, Folder, Store, StoreSettings},
};

/// An event that was sent and stored.
#[derive(Clone)]
struct Sent {
    id: String,
    time: Time,
    session: Option<String>,
    /// Who it is of: an address, or who never gave one, the session.
    person: String,
    source: &'static str,
    kind: &'static str,
    page: Option<String>,
    browser: &'static str,
    item: Option<u64>,
}

/// Some sessions are not stored.
fn is_stored(session: &str) -> bool {
    !(session.ends_with('5') && session.len() > 2)
}

/// A store that is filled at times that the test says.
struct Shop {
    store: Arc<Store>,
    clock: Arc<Clock>,
    admin: Admin,
    collector: Collector,
    queries: Queries,
    /// Those that count few people at once, and find the same.
    in_parts: Queries,
    sent: Vec<Sent>,
}

const AGENTS: [(&str, &str); 3] = [
    ("Firefox", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    (
        "Chrome",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    ),
    ("", "\u{1F600} my own client"),
];

impl Shop {
    async fn open(path: &Path, segment_bytes: u64) -> Self {
        let clock = Arc::new(Clock::default());
        let settings = StoreSettings {
            path: path.to_owned(),
            durability: Durability::Relaxed,
            flush_interval: Duration::from_secs(1),
            segment_bytes,
            reserve_bytes: 0,
        };
        let folder = Folder::take(path).unwrap();
        let store = Arc::new(Store::open(&settings, folder, clock.clone(), &|_, _, _| {}).unwrap());
        let rules = Arc::new(RulesInForce::new(Rules::compile_saved(&store.definitions(), Zone::default()).unwrap()));
        let admin = Admin::new(store.clone(), clock.clone(), rules.clone());
        for source in ["shop", "site"] {
            let source = format!(r#"{{"id":"{source}","name":"{source}","type":["rest"]}}"#);
            admin
                .save_source(
                    Source::parse(source.as_bytes(), clock.now(), || clock.make_id()).unwrap(),
                    &tracardi::admin::Author::named("a test"),
                )
                .await
                .unwrap();
        }
        let collect = CollectSettings {
            debugger: Disclosure::None,
            profile: Disclosure::None,
            bots: Bots::Mark,
            pass: true,
            internal_events: false,
            session_bytes_max: 1 << 20,
            runs_per_day: 0,
        };
        let identity = || Identity::new(&"ab".repeat(32), &IdentitySettings::default());
        let lookups = Arc::new(Lookups::new(AllowedHosts::default(), Vec::new(), Secrets::load(None).unwrap()));
        let collector = Collector::new(store.clone(), clock.clone(), collect, rules, identity(), lookups);
        let [queries, in_parts] = [usize::MAX, 20].map(|people_max| {
            let reading = ReadSettings { queries_max: 2, page_time: Duration::from_secs(10), live_max: 1, people_max };
            Queries::new(store.clone(), clock.clone(), identity(), reading)
        });
        Self { store, clock, admin, collector, queries, in_parts, sent: Vec::new() }
    }

    async fn send(&mut self, time: Time, session: Option<&str>, source: &'static str, agent: usize, events: Vec<Sent>) {
        self.clock.not_before(time);
        let bodies: Vec<Value> = events
            .iter()
            .map(|event| {
                let page = event.page.as_ref().map(|page| json!({"page": {"url": format!("https://shop.example{page}?at={}#x", event.id)}}));
                let mut properties = json!({"noise": noise(&event.id)});
                if let Some(item) = event.item {
                    properties["item"] = json!({"number": item});
                }
                if event.kind == "sign-in" {
                    properties["email"] = json!({"main": event.person});
                }
                json!({"id": event.id, "type": event.kind, "properties": properties, "context": page.unwrap_or(json!({}))})
            })
            .collect();
        let is_stored = session.is_none_or(is_stored);
        let body = json!({
            "source": {"id": source}, "session": {"id": session.unwrap_or("nobody")}, "events": bodies,
            "options": {"saveSession": is_stored},
        });
        let body = body.to_string();
        let mut payload = Payload::parse(body.as_bytes()).unwrap();
        if session.is_none() {
            payload.session = None; // as a webhook's
        }
        let client = ClientFacts { user_agent: Some(AGENTS[agent].1.into()), ..ClientFacts::default() };
        let incoming = Incoming {
            endpoint: SourceType::Rest,
            payload,
            profile_less: session.is_none(),
            client: Arc::new(client),
            header: None,
            credentials: Credentials::None,
            opted_out: false,
            bytes: body.len(),
            dry_run: None,
        };
        self.collector.collect(incoming).await.unwrap();
        self.sent.extend(events);
    }

    /// Visits of nine days, some of which go on for days; every third person signs in.
    async fn fill(&mut self) {
        let start = self.clock.now().micros() + 3_600_000_000;
        let mut random = 7_u64;
        let mut next = move |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        for request in 0..700_u64 {
            let time = Time::from_micros(start + request as i64 * 9 * 86_400_000_000 / 700 + 17 * request as i64);
            // Most visits are over soon; some sessions are met again and again.
            let number = if next(8) == 0 { next(6) } else { 10 + request / 3 - next(1 + request.min(2)) };
            let session = (next(20) > 0).then(|| format!("s{number}"));
            let person = match &session {
                Some(_) if number.is_multiple_of(3) => format!("person{}@example.com", number % 40),
                // Who has no session that is stored is somebody else each time.
                Some(session) if number >= 10 && number % 10 == 5 => format!("{session}#{request}"),
                Some(session) => session.clone(),
                None => String::new(),
            };
            let (source, agent) = (["shop", "site"][number as usize % 2], number as usize % 3);
            let signs_in = person.contains('@');
            let events = (0..1 + next(2)).map(|place| {
                let kind = match next(4) {
                    0 if signs_in => "sign-in",
                    0 => "bought",
                    1 => "clicked",
                    _ => "page-view",
                };
                let kind = if signs_in && place == 0 { "sign-in" } else { kind };
                Sent {
                    id: format!("e{request}-{place}"),
                    time,
                    session: session.clone(),
                    person: person.clone(),
                    source,
                    kind,
                    page: (next(6) > 0).then(|| format!("/p{}", next(30) * next(3))),
                    browser: AGENTS[agent].0,
                    item: (next(3) == 0).then(|| next(9)),
                }
            });
            let events = events.collect();
            self.send(time, session.as_deref(), source, agent, events).await;
        }
    }

    async fn delete_every(&mut self, nth: usize) {
        for event in self.sent.iter().step_by(nth) {
            assert!(self.admin.delete_event(&Id::required(&event.id).unwrap(), None).await.unwrap());
        }
        let mut place = 0;
        self.sent.retain(|_| {
            place += 1;
            !(place - 1_usize).is_multiple_of(nth)
        });
    }

    async fn close(self) {
        let Self { store, .. } = self;
        tokio::task::spawn_blocking(move || store.close()).await.unwrap();
    }

    async fn top(&self, query: &str) -> Value {
        let query = TopQuery::read(parameters(query), self.queries.now()).unwrap();
        serde_json::to_value(self.queries.top(query).await.unwrap()).unwrap()
    }

    async fn visits(&self, query: &str) -> Value {
        let now = self.queries.now();
        let query = || VisitsQuery::read(parameters(query), now).unwrap();
        let rows = self.queries.visits(query()).await.unwrap().rows;
        let rows: Value = rows.iter().map(|row| serde_json::to_value(row).unwrap()).collect();
        let in_parts = self.in_parts.visits(query()).await.unwrap().rows;
        assert_eq!(rows, in_parts.iter().map(|row| serde_json::to_value(row).unwrap()).collect::<Value>());
        rows
    }
}

fn parameters(query: &str) -> Parameters {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    Parameters::new(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())))
}

/// What no compression makes small.
fn noise(seed: &str) -> String {
    let mut state = crc32c::crc32c(seed.as_bytes());
    let mut text = String::new();
    while text.len() < 1_200 {
        state = crc32c::crc32c(&state.to_le_bytes());
        text += &format!("{state:08x}");
    }
    text
}

/// Each value with its events and visits, and those of no value.
type Counted = (Vec<(Value, u64, u64)>, (u64, u64));

/// What an event tells.
type Told<'a> = &'a dyn Fn(&Sent) -> Option<Value>;

/// What a plain count finds: the values of the events, most first, and what has none.
fn counted(events: &[&Sent], value: impl Fn(&Sent) -> Option<Value>, by_visits: bool) -> Counted {
    let mut found: BTreeMap<String, (Value, u64, BTreeSet<&str>)> = BTreeMap::new();
    let mut none = (0, BTreeSet::new());
    for event in events {
        let (count, visits) = match value(event) {
            Some(value) => {
                let (_, count, visits) = found.entry(value.to_string()).or_insert_with(|| (value, 0, BTreeSet::new()));
                (count, visits)
            }
            None => (&mut none.0, &mut none.1),
        };
        *count += 1;
        visits.extend(event.session.as_deref());
    }
    let mut rows: Vec<_> =
        found.into_values().map(|(value, events, visits)| (value, events, visits.len() as u64)).collect();
    rows.sort_by_key(|(_, events, visits)| std::cmp::Reverse(if by_visits { *visits } else { *events }));
    (rows, (none.0, none.1.len() as u64))
}

fn expected_top((rows, none): Counted, limit: usize) -> Value {
    let (shown, left_out) = rows.split_at(limit.min(rows.len()));
    let shown: Vec<Value> = shown
        .iter()
        .map(|(value, events, visits)| json!({"value": value, "events": events, "visits": visits}))
        .collect();
    let sum = |of: fn(&(Value, u64, u64)) -> u64| left_out.iter().map(of).sum::<u64>();
    json!({
        "result": shown,
        "other": {"values": left_out.len(), "events": sum(|row| row.1), "visits": sum(|row| row.2)},
        "none": {"events": none.0, "visits": none.1},
    })
}

/// The events of each visit that began within the time, in order.
fn visits(sent: &[Sent], from: Time, to: Time) -> BTreeMap<&str, Vec<&Sent>> {
    let mut visits: BTreeMap<&str, Vec<&Sent>> = BTreeMap::new();
    for event in sent {
        if let Some(session) = &event.session {
            visits.entry(session).or_default().push(event);
        }
    }
    visits.retain(|_, events| events[0].time >= from && events[0].time < to);
    visits
}

fn latest() -> Time {
    Time::from_micros(i64::MAX)
}

fn local(time: Time, zone: Tz) -> DateTime<Tz> {
    DateTime::from_timestamp_micros(time.micros()).unwrap().with_timezone(&zone)
}

fn stretch(time: Time, zone: Tz, unit: &str) -> String {
    let local = local(time, zone);
    let day = local.date_naive();
    match unit {
        "hour" => (local - chrono::TimeDelta::seconds(i64::from(local.minute() * 60 + local.second())))
            .to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        "day" => day.to_string(),
        "week" => (day - chrono::Days::new(day.weekday().num_days_from_monday().into())).to_string(),
        _ => day.with_day(1).unwrap().to_string(),
    }
}

/// The rows that have visits.
fn expected_visits(
    sent: &[Sent],
    from: Time,
    to: Time,
    kind: Option<&str>,
    zone: Tz,
    unit: &str,
) -> BTreeMap<String, Value> {
    // A person is made with their first event, also one of another time.
    let mut made: BTreeMap<&str, Time> = BTreeMap::new();
    for event in sent.iter().filter(|event| event.session.is_some()) {
        made.entry(&event.person).or_insert(event.time);
    }
    let is_meant = |event: &&&Sent| kind.is_none_or(|kind| event.kind == kind);
    let mut rows: BTreeMap<String, Vec<Vec<&Sent>>> = BTreeMap::new();
    for events in visits(sent, from, to).into_values().filter(|events| events.iter().any(|event| is_meant(&event))) {
        rows.entry(stretch(events[0].time, zone, unit)).or_default().push(events);
    }
    let row = |(start, visits): (String, Vec<Vec<&Sent>>)| {
        let views = |events: &[&Sent]| events.iter().filter(|event| event.kind == "page-view").count();
        let meant: Vec<&Sent> = visits.iter().flatten().filter(is_meant).copied().collect();
        let people: BTreeSet<&str> = meant.iter().map(|event| event.person.as_str()).collect();
        let new = people.iter().filter(|person| stretch(made[**person], zone, unit) == start).count();
        let mut durations: Vec<i64> =
            visits.iter().map(|events| events.last().unwrap().time.micros() - events[0].time.micros()).collect();
        durations.sort_unstable();
        let middle = durations.len() / 2;
        let upper = durations[middle] as f64;
        let lower = if durations.len().is_multiple_of(2) { durations[middle - 1] as f64 } else { upper };
        // A whole number is written without a fraction.
        let number = |number: f64| if number.fract() == 0.0 { json!(number as i64) } else { json!(number) };
        let row = json!({
            (unit): start, "visits": visits.len(), "profiles": people.len(), "new_profiles": new, "views": views(&meant),
            "events": meant.len(), "bounced": visits.iter().filter(|events| events.len() == 1 || views(events) == 1).count(),
            "duration": number((lower + upper) / 2.0 / 1e6),
        });
        (start, row)
    };
    rows.into_iter().map(row).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn visits_and_tops_are_what_a_plain_count_finds() {
    let folder = tempfile::tempdir().unwrap();
    let mut shop = Shop::open(folder.path(), 1).await; // each block of the log is a segment
    shop.fill().await;
    shop.check().await;
    shop.delete_every(5).await;
    shop.check_after_deletions().await;
    let indexes = || std::fs::read_dir(folder.path().join("indexes")).unwrap().count();
    support::daemon::wait_for("segments to be sealed", || (indexes() >= 4).then_some(()));
    shop.check_after_deletions().await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_find_no_room_in_an_index_are_read_from_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let mut shop = Shop::open(folder.path(), 1 << 30).await;
    let start = shop.clock.now().micros() + 1_000_000;
    for visit in 0..10_u64 {
        let (time, session) = (Time::from_micros(start + visit as i64), format!("visit-{visit}"));
        let event = |number: u64| Sent {
            id: format!("e{visit}-{number}"),
            time,
            session: Some(session.clone()),
            person: session.clone(),
            source: "shop",
            kind: "page-view",
            // The last visit sees one page, which comes when the index has all pages that it takes.
            page: Some(if visit == 9 { "/late".into() } else { format!("/{visit}-{number}{}", "x".repeat(450)) }),
            browser: "",
            item: None,
        };
        shop.send(time, Some(&session), "shop", 2, (0..1_000).map(event).collect()).await;
    }
    let late = json!("https://shop.example/late");
    let pages = shop.top("of=page&limit=1").await;
    assert_eq!(pages["result"], json!([{"value": late, "events": 1_000, "visits": 1}]));
    assert_eq!(pages["other"], json!({"values": 9_000, "events": 9_000, "visits": 9_000}));
    let entries = shop.top("of=entry").await;
    let entry = entries["result"].as_array().unwrap().iter().find(|row| row["value"] == late);
    assert_eq!(entry, Some(&json!({"value": late, "events": 1_000, "visits": 1})));
    shop.close().await;
}

impl Shop {
    async fn check(&self) {
        self.check_tops().await;
        self.check_visits(true).await;
        // Funnel and retention count the same people.
        let now = self.queries.now();
        let query = || FunnelQuery::read(parameters("step=page-view&step=clicked&within=1d"), now).unwrap();
        let funnel = self.queries.funnel(query()).await.unwrap();
        // Each takes all the room that there is for people.
        let (one, other) = tokio::join!(self.in_parts.funnel(query()), self.in_parts.funnel(query()));
        assert_eq!((&funnel, &funnel), (&one.unwrap(), &other.unwrap()));
        let people = |kind: &str| -> BTreeSet<&str> {
            let meant = self.sent.iter().filter(|event| event.kind == kind && event.session.is_some());
            meant.map(|event| event.person.as_str()).collect()
        };
        assert_eq!(funnel[0].profiles, people("page-view").len() as u64);
        let query = || RetentionQuery::read(parameters("by=day&first=page-view"), now).unwrap();
        let cohorts = self.queries.retention(query()).await.unwrap();
        assert_eq!(cohorts, self.in_parts.retention(query()).await.unwrap());
        assert_eq!(cohorts.iter().map(|cohort| cohort.profiles).sum::<u64>(), people("page-view").len() as u64);
    }

    async fn check_after_deletions(&self) {
        self.check_tops().await;
        // Who was made with an event that is deleted was made all the same: that is looked at above.
        self.check_visits(false).await;
    }

    async fn check_tops(&self) {
        let (third, last) = (self.time_at(self.sent.len() / 3), self.time_at(self.sent.len() * 5 / 6));
        for (from, to) in [(Time::from_micros(0), latest()), (third, latest()), (third, last)] {
            for (kind, source) in [(None, None), (Some("page-view"), None), (None, Some("site"))] {
                let is_meant = |event: &&Sent| {
                    kind.is_none_or(|kind| event.kind == kind) && source.is_none_or(|source| event.source == source)
                };
                let in_time: Vec<&Sent> =
                    self.sent.iter().filter(|event| event.time >= from && event.time < to).filter(is_meant).collect();
                let mut filter = format!("&from={from}");
                if to < latest() {
                    filter += &format!("&to={to}");
                }
                kind.iter().for_each(|kind| filter += &format!("&type={kind}"));
                source.iter().for_each(|source| filter += &format!("&source={source}"));
                let text = |text: &str| Some(text).filter(|text| !text.is_empty()).map(|text| json!(text));
                let page = |event: &Sent| event.page.as_ref().map(|page| json!(format!("https://shop.example{page}")));
                let values: [(&str, Told<'_>); 4] = [
                    ("page", &page),
                    ("browser", &|event| text(event.browser)),
                    ("source", &|event| text(event.source)),
                    ("event.properties.item.number", &|event| event.item.map(|item| json!(item))),
                ];
                for (of, value) in values {
                    for limit in [3, 1_000] {
                        let found = self.top(&format!("of={of}&limit={limit}{filter}")).await;
                        let expected = expected_top(counted(&in_time, value, false), limit);
                        assert_eq!(found, expected, "{of} {limit} {filter}");
                    }
                }
                let visits = visits(&self.sent, from, to);
                let entry = |event: &Sent| {
                    let events = visits.get(event.session.as_deref()?)?;
                    events.iter().find_map(|event| page(event))
                };
                let meant: Vec<&Sent> = visits.values().flatten().copied().filter(is_meant).collect();
                let expected = expected_top(counted(&meant, entry, true), 1_000);
                assert_eq!(self.top(&format!("of=entry&limit=1000{filter}")).await, expected, "entry {filter}");
            }
        }
    }

    /// The time of the event at `place`, or of one behind it at whose time no visit goes on that is not stored: of such a
    /// visit it is not known that it began before, where its first events lie in a segment that is left out.
    fn time_at(&self, place: usize) -> Time {
        let is_open = |time: Time| {
            let unstored = self.sent.iter().filter(|event| event.session.as_deref().is_some_and(|it| !is_stored(it)));
            let (before, behind): (Vec<&Sent>, Vec<&Sent>) = unstored.partition(|event| event.time < time);
            before.iter().any(|event| behind.iter().any(|later| later.session == event.session))
        };
        self.sent[place..].iter().map(|event| event.time).find(|time| !is_open(*time)).expect("such visits are short")
    }

    async fn check_visits(&self, with_made: bool) {
        let (early, late) = (self.time_at(self.sent.len() / 4), self.time_at(self.sent.len() * 2 / 3));
        for (unit, zone) in [
            ("hour", "UTC"),
            ("day", "Europe/Warsaw"),
            ("day", "Asia/Kathmandu"),
            ("week", "UTC"),
            ("month", "America/New_York"),
        ] {
            for (from, to) in [(self.sent[0].time, latest()), (early, late)] {
                for kind in [None, Some("bought")] {
                    let mut query = format!("by={unit}&tz={zone}&from={from}");
                    if to < latest() {
                        query += &format!("&to={to}");
                    }
                    kind.iter().for_each(|kind| query += &format!("&type={kind}"));
                    let mut expected = expected_visits(&self.sent, from, to, kind, zone.parse().unwrap(), unit);
                    let found = self.visits(&query).await;
                    let found = found.as_array().unwrap();
                    // From the first stretch to the last there is a row for each.
                    let starts: Vec<&str> = found.iter().map(|row| row[unit].as_str().unwrap()).collect();
                    assert!(
                        starts.first() == Some(&&*stretch(from, zone.parse().unwrap(), unit)),
                        "{query}: {starts:?}"
                    );
                    for row in found {
                        let start = row[unit].as_str().unwrap();
                        let mut row = row.clone();
                        let mut wanted = expected.remove(start).unwrap_or_else(|| {
                            json!({(unit): start, "visits": 0, "profiles": 0, "new_profiles": 0, "views": 0, "events": 0,
                                "bounced": 0, "duration": null})
                        });
                        if !with_made {
                            (row["new_profiles"], wanted["new_profiles"]) = (Value::Null, Value::Null);
                        }
                        assert_eq!(row, wanted, "{query}");
                    }
                    assert!(expected.is_empty(), "{query}: {expected:?}");
                }
            }
        }
    }
}

#[test]
fn what_is_wrong_is_named() {
    let (_folder, daemon) = started();
    daemon.shop();
    for (query, name) in [
        ("top", "of"),
        ("top?of=shoe-size", "of"),
        ("top?of=event.properties", "of"),
        ("top?of=page&of=os", "of"),
        ("top?of=page&limit=0", "limit"),
        ("top?of=page&limit=1001", "limit"),
        ("top?of=page&from=soon", "from"),
        ("top?of=page&tz=Mars/Olympus", "tz"),
        ("top?of=page&by=day", "by"),
        ("visits", "by"),
        ("visits?by=minute", "by"),
        ("visits?by=day,hour", "by"),
        ("visits?by=day&tz=Mars/Olympus", "tz"),
        ("visits?by=hour&from=-9999d", "by"),
        ("visits?by=day&limit=3", "limit"),
    ] {
        let response = daemon.admin("GET", &format!("/stats/{query}"));
        assert_eq!((response.status, response.loc()), (422, json!(["query", name])), "{query}");
    }
    assert_eq!(daemon.get("/stats/top?of=page").status, 401);
    let nothing = json!({"events": 0, "visits": 0});
    let empty = daemon.record("/stats/top?of=page&tz=Europe/Warsaw");
    assert_eq!((&empty["result"], &empty["none"]), (&json!([]), &nothing));
    assert_eq!(daemon.record("/stats/visits?by=day")["result"], json!([]));
    assert_eq!(daemon.record("/stats/visits?by=day&from=-1h")["result"][0]["visits"], 0);
}

/// What the script of a browser sends.
fn browsed(daemon: &Daemon, session: &str, context: &Value, page: &Value) {
    let agent = (
        "User-Agent",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
    );
    let body = json!({
        "source": {"id": "shop"}, "session": {"id": session}, "context": context,
        "events": [{"type": "page-view", "context": {"page": page}}],
    });
    let headers = [agent, ("Content-Type", "application/json"), ("Accept-Language", "pl-PL,pl;q=0.9")];
    assert_eq!(daemon.request("POST", "/track", &headers, body.to_string().as_bytes()).status, 200);
}

#[test]
fn what_browsers_tell_is_counted() {
    let (_folder, daemon) = started();
    daemon.shop();
    let page = |url: &str, host: Value| json!({"url": url, "referer": {"host": host}});
    browsed(
        &daemon,
        "a",
        &json!({}),
        &page("https://shop.example/?utm_source=news&utm_medium=mail&utm_campaign=spring", json!("Search.example")),
    );
    browsed(&daemon, "a", &json!({}), &page("https://shop.example/cart#top", json!("shop.example")));
    let said = json!({"utm": {"source": "script"}, "location": {"country": {"code": "PL", "name": "Poland"}},
        "browser": {"local": {"browser": {"language": "de"}}}});
    browsed(&daemon, "b", &said, &page("https://shop.example/cart", Value::Null));
    let top = |of: &str| {
        let top = daemon.record(&format!("/stats/top?of={of}"));
        let row = |row: &Value| format!("{} {} {}", row["value"].as_str().unwrap(), row["events"], row["visits"]);
        let rows: Vec<String> = top["result"].as_array().unwrap().iter().map(row).collect();
        (rows.join(", "), top["none"]["events"].as_u64().unwrap())
    };
    for (of, rows, none) in [
        ("page", "https://shop.example/cart 2 2, https://shop.example/ 1 1", 0),
        ("entry", "https://shop.example/ 2 1, https://shop.example/cart 1 1", 0),
        ("referrer", "search.example 1 1", 2),
        ("browser", "Safari 3 2", 0),
        ("os", "iOS 3 2", 0),
        ("device", "mobile 3 2", 0),
        ("language", "pl-PL 2 1, de 1 1", 0),
        ("country", "PL 1 1", 2),
        ("source", "shop 3 2", 0),
        ("utm.source", "news 1 1, script 1 1", 1),
        ("utm.medium", "mail 1 1", 2),
        ("utm.campaign", "spring 1 1", 2),
    ] {
        assert_eq!(top(of), (rows.to_owned(), none), "{of}");
    }
    // The same from the index of the segment once it is made again.
    let daemon = daemon.restart();
    assert_eq!(daemon.record("/stats/top?of=os")["result"], json!([{"value": "iOS", "events": 3, "visits": 2}]));
}
