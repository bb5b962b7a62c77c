//! Any query over any log gives what a plain scan of all entries gives.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use proptest::prelude::*;
use tracardi::{
    clock::Clock,
    model::{
        ClientFacts, Event, EventRequest, Id, Json, Outcome, Place, Profile, ProfileRef, Session, ShownEvent, Time,
        Value,
    },
    process::{Identity, IdentitySettings},
    read::{Asked, Parameters, Queries, ReadSettings, Record},
    store::{Durability, Entry, Folder, Merge, Store, StoreSettings},
};

const PEOPLE: u8 = 4;
/// What makes an event so large that a few fill a block, and a block fills a segment.
const LARGE_BYTES: usize = 60_000;

#[derive(Clone, Debug)]
enum Op {
    Events {
        who: Option<u8>,
        session: Option<u8>,
        source: u8,
        time: i64,
        events: Vec<Sent>,
    },
    /// Of the events so far, the one at this place.
    Delete(prop::sample::Index),
    Merge(u8, u8),
    Split(u8),
}

#[derive(Clone, Debug)]
struct Sent {
    id: u8,
    kind: u8,
    valid: bool,
    price: u8,
    is_large: bool,
}

/// Whether the request of these events counts as a bot's.
fn is_bot(events: &[Sent]) -> bool {
    events.first().is_some_and(|sent| sent.price % 3 == 0)
}

fn op() -> impl Strategy<Value = Op> {
    let sent = (0_u8..8, 0_u8..4, any::<bool>(), 0_u8..20, prop::bool::weighted(0.3));
    let sent = sent.prop_map(|(id, kind, valid, price, is_large)| Sent { id, kind, valid, price, is_large });
    let events = prop::collection::vec(sent, 1..5);
    // Times that mostly grow, and those of what is imported.
    let time = prop_oneof![3 => Just(None), 1 => (0_i64..40).prop_map(Some)];
    let events = (prop::option::of(0..PEOPLE), prop::option::of(0_u8..6), 0_u8..3, time, events);
    let events = events.prop_map(|(who, session, source, time, events)| Op::Events {
        who,
        session,
        source,
        time: time.unwrap_or(i64::MAX),
        events,
    });
    prop_oneof![
        8 => events,
        1 => any::<prop::sample::Index>().prop_map(Op::Delete),
        1 => (0..PEOPLE, 0..PEOPLE).prop_map(|(a, b)| Op::Merge(a, b)),
        1 => (0..PEOPLE).prop_map(Op::Split),
    ]
}

/// What is asked for.
#[derive(Clone, Debug)]
struct Question {
    kinds: Vec<u8>,
    begins: bool,
    sources: Vec<u8>,
    session: Option<u8>,
    who: Option<u8>,
    tag: Option<u8>,
    valid: Option<bool>,
    bot: Option<bool>,
    from: Option<i64>,
    to: Option<i64>,
    price: Option<u8>,
    newest: bool,
    limit: usize,
}

fn question() -> impl Strategy<Value = Question> {
    fn rarely<T: Clone + std::fmt::Debug + 'static>(
        strategy: impl Strategy<Value = T> + 'static,
    ) -> impl Strategy<Value = Option<T>> {
        prop::option::weighted(0.25, strategy)
    }
    let sources = prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(0_u8..3, 1..3)];
    let names = (prop::collection::vec(0_u8..4, 0..3), prop::bool::weighted(0.1), sources, rarely(0_u8..6));
    let whose = (rarely(0..PEOPLE), rarely(0_u8..4), rarely(any::<bool>()), rarely(any::<bool>()));
    let times = (rarely(0_i64..60), rarely(0_i64..60), rarely(0_u8..20));
    (names, whose, times, any::<bool>(), 1_usize..12).prop_map(
        |((kinds, begins, sources, session), (who, tag, valid, bot), (from, to, price), newest, limit)| Question {
            kinds,
            begins,
            sources,
            session,
            who,
            tag,
            valid,
            bot,
            from,
            to,
            price,
            newest,
            limit,
        },
    )
}

fn id(text: String) -> Id {
    Id::required(&text).unwrap()
}

fn time(second: i64) -> Time {
    Time::from_micros(second * 1_000_000)
}

/// The log as a plain list, and what it means in the end.
#[derive(Default)]
struct Model {
    events: Vec<(Place, u64, ShownEvent)>,
    deleted: HashSet<u64>,
    /// Each person's name, and the one that it is part of.
    people: BTreeMap<u8, (ProfileRef, Option<u8>)>,
    sessions: BTreeMap<u8, Session>,
    /// The latest time that was not imported.
    latest: i64,
}

impl Model {
    fn owner(&self, mut who: u8) -> u8 {
        while let Some((_, Some(owner))) = self.people.get(&who) {
            who = *owner;
        }
        who
    }

    fn shown(&self, whose: Option<&ProfileRef>) -> Option<Id> {
        let whose = whose?;
        let who = *self.people.iter().find(|(_, (reference, _))| reference == whose)?.0;
        Some(self.people[&self.owner(who)].0.id.clone())
    }

    /// The entries of an operation whose first stands at `offset`.
    fn entries(&mut self, op: &Op, offset: u64) -> Vec<Entry> {
        let mut entries = Vec::new();
        match op {
            Op::Events { who, session, source, time: at, events } => {
                if *at == i64::MAX {
                    self.latest += 1;
                }
                let inserted = time((*at).min(self.latest));
                let whose = who.map(|who| {
                    let (reference, _) = self.people.entry(who).or_insert_with(|| {
                        let profile = Profile::new(id(format!("p{who}")), offset, inserted);
                        let reference = profile.reference();
                        entries.push(Entry::Profile(Arc::new(profile)));
                        (reference, None)
                    });
                    reference.clone()
                });
                if let Some(session) = session {
                    let number = offset + entries.len() as u64;
                    let known = self.sessions.entry(*session);
                    let known =
                        known.or_insert_with(|| Session::new(id(format!("s{session}")), number, None, inserted));
                    known.profile = whose.clone();
                    known.updated = known.updated.max(inserted);
                    entries.push(Entry::Session(Arc::new(known.clone())));
                }
                let request = Arc::new(EventRequest {
                    inserted,
                    source: id(format!("source-{source}")),
                    session: session.map(|session| id(format!("s{session}"))),
                    profile: whose,
                    profile_less: who.is_none(),
                    context: Json::empty_object(),
                    client: Arc::new(ClientFacts::default()),
                    bot: is_bot(events),
                    profile_state: None,
                    imported: false,
                });
                entries.push(Entry::Request(request.clone()));
                for sent in events {
                    let mut properties = Value::object();
                    let object = properties.as_object_mut().unwrap();
                    object.insert("price", Value::number(sent.price));
                    if sent.is_large {
                        object.insert("filler", Value::text(&"x".repeat(LARGE_BYTES)));
                    }
                    let event = Arc::new(Event {
                        id: id(format!("e{}", sent.id)), // another one may have it, too
                        given: true,
                        kind: format!("kind-{}", sent.kind).into(),
                        name: "".into(),
                        created: None,
                        properties: properties.to_json(),
                        context: Json::empty_object(),
                        tags: [format!("tag-{}", sent.price % 4).into()].into(),
                        outcome: Outcome { valid: sent.valid, ..Outcome::default() },
                    });
                    let at = offset + entries.len() as u64;
                    let shown = ShownEvent { request: request.clone(), event: event.clone() };
                    self.events.push((Place { time: inserted, offset: at }, at, shown));
                    entries.push(Entry::Event(event));
                }
            }
            Op::Delete(which) if !self.events.is_empty() => {
                let (_, at, _) = self.events[which.index(self.events.len())];
                self.deleted.insert(at);
                entries.push(Entry::EventDeleted(at));
            }
            Op::Merge(a, b) if self.people.contains_key(a) && self.people.contains_key(b) => {
                let (absorbed, by) = (self.owner(*a), self.owner(*b));
                if absorbed != by {
                    self.people.get_mut(&absorbed).unwrap().1 = Some(by);
                    let name = |who| self.people[&who].0.clone();
                    let (absorbed, by) = (name(absorbed), name(by));
                    entries.push(Entry::Absorbed { absorbed, by, merge: Merge::default() });
                }
            }
            Op::Split(who) => {
                if let Some((reference, owner)) = self.people.get_mut(who).filter(|(_, owner)| owner.is_some()) {
                    *owner = None;
                    entries.push(Entry::Split { profile: reference.clone() });
                    let mut profile = Profile::new(reference.id.clone(), reference.since, time(0));
                    profile.history.was_split = true;
                    entries.push(Entry::Profile(Arc::new(profile)));
                }
            }
            Op::Delete(_) | Op::Merge(..) => {}
        }
        entries
    }

    /// The ids of the person that is asked for.
    fn ids(&self, who: u8) -> HashSet<Id> {
        if !self.people.contains_key(&who) {
            return [id(format!("p{who}"))].into();
        }
        let owner = self.owner(who);
        let theirs = self.people.iter().filter(|(who, _)| self.owner(**who) == owner);
        theirs.map(|(_, (reference, _))| reference.id.clone()).collect()
    }

    fn expected_events(&self, question: &Question) -> Vec<(Place, String)> {
        let ids = question.who.map(|who| self.ids(who));
        let is_meant = |event: &ShownEvent| {
            let ShownEvent { request, event } = event;
            let kinds = question.kinds.iter().map(|kind| format!("kind-{kind}"));
            let is_of_kind =
                question.begins || question.kinds.is_empty() || kinds.into_iter().any(|kind| kind == *event.kind);
            let price: u8 = event.properties.get(&["price".into()]).unwrap().to_text().parse().unwrap();
            is_of_kind
                && (question.sources.is_empty()
                    || question.sources.iter().any(|source| *request.source.text() == *format!("source-{source}")))
                && question.bot.is_none_or(|bot| request.bot == bot)
                && question.session.is_none_or(|session| request.session == Some(id(format!("s{session}"))))
                && ids.as_ref().is_none_or(|ids| request.profile.as_ref().is_some_and(|it| ids.contains(&it.id)))
                && question.tag.is_none_or(|tag| *event.tags[0] == *format!("tag-{tag}"))
                && question.valid.is_none_or(|valid| event.outcome.valid == valid)
                && question.from.is_none_or(|from| request.inserted >= time(from))
                && question.to.is_none_or(|to| request.inserted < time(to))
                && question.price.is_none_or(|least| price >= least)
        };
        let meant = self.events.iter().filter(|(_, at, event)| !self.deleted.contains(at) && is_meant(event));
        let meant = meant.map(|(place, _, event)| {
            let whose = event.request.profile.as_ref().map(|it| self.shown(Some(it)).unwrap_or_else(|| it.id.clone()));
            (*place, format!("{} {whose:?}", event.event.id))
        });
        meant.collect()
    }

    fn expected_sessions(&self, question: &Question) -> Vec<(Place, String)> {
        let owner = question.who.map(|who| self.owner(who));
        let meant = self.sessions.values().filter(|session| {
            let whose = session.profile.as_ref().and_then(|it| self.people.iter().find(|(_, (known, _))| known == it));
            owner.is_none_or(|owner| whose.is_some_and(|(who, _)| self.owner(*who) == owner))
                && question.from.is_none_or(|from| session.inserted >= time(from))
                && question.to.is_none_or(|to| session.inserted < time(to))
        });
        let meant = meant
            .map(|session| (session.place(), format!("{} {:?}", session.id, self.shown(session.profile.as_ref()))));
        meant.collect()
    }
}

fn ordered(mut records: Vec<(Place, String)>, newest: bool) -> Vec<String> {
    records.sort();
    if newest {
        records.reverse();
    }
    records.into_iter().map(|(_, record)| record).collect()
}

/// A record as the model tells it.
fn told(record: &Record) -> String {
    match record {
        Record::Event(ShownEvent { request, event }) => {
            format!("{} {:?}", event.id, request.profile.as_ref().map(|profile| &profile.id))
        }
        Record::Session(session, _) => {
            format!("{} {:?}", session.id, session.profile.as_ref().map(|profile| &profile.id))
        }
        Record::Profile(profile, _) => profile.id.to_string(),
        Record::OfKind(record) => {
            let text = |steps: &[&str]| {
                let steps: Vec<Box<str>> = steps.iter().map(|step| (*step).into()).collect();
                record.get(&steps).and_then(|value| value.as_str().map(str::to_owned))
            };
            let whose = text(&["profile", "id"]).map(id);
            format!("{} {whose:?}", text(&["id"]).unwrap())
        }
    }
}

/// Everything that the query leads to, page by page.
async fn pages(queries: &Queries, asked: &Asked, said: &[(&str, String)], limit: usize) -> Vec<String> {
    let (mut found, mut cursor) = (Vec::new(), None);
    for _ in 0..10_000 {
        let said = said.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        let parameters = Parameters::new(said.chain(cursor.take().map(|cursor| ("cursor".to_owned(), cursor))));
        let query = queries.query(parameters, asked.clone()).unwrap();
        let page = queries.page(&query, limit).await.unwrap();
        assert!(page.records.len() <= limit);
        found.extend(page.records.iter().map(told));
        cursor = page.cursor;
        if cursor.is_none() {
            return found;
        }
    }
    panic!("the pages do not end");
}

impl Question {
    fn said(&self) -> Vec<(&'static str, String)> {
        let mut said: Vec<(&str, String)> = self.kinds.iter().map(|kind| ("type", format!("kind-{kind}"))).collect();
        let mut add = |name, value: Option<String>| said.extend(value.map(|value| (name, value)));
        add("type", self.begins.then(|| "kind-*".to_owned()));
        add("session", self.session.map(|session| format!("s{session}")));
        add("profile", self.who.map(|who| format!("p{who}")));
        add("tag", self.tag.map(|tag| format!("tag-{tag}")));
        add("valid", self.valid.map(|valid| valid.to_string()));
        add("bot", self.bot.map(|bot| bot.to_string()));
        add("where", self.price.map(|price| format!("event.properties.price >= {price}")));
        said.extend(self.sources.iter().map(|source| ("source", format!("source-{source}"))));
        said.extend(self.times());
        said
    }

    /// What is said of a query for other records, too.
    fn times(&self) -> Vec<(&'static str, String)> {
        let times = [("from", self.from), ("to", self.to)];
        let times = times.into_iter().filter_map(|(name, at)| Some((name, time(at?).to_string())));
        times.chain([("order", if self.newest { "newest" } else { "oldest" }.to_owned())]).collect()
    }
}

/// A store in a folder of its own, with a segment for each block.
struct Stored {
    store: Arc<Store>,
    queries: Arc<Queries>,
    model: Model,
    _folder: tempfile::TempDir,
}

impl Stored {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = StoreSettings {
            path: folder.path().join("data"),
            durability: Durability::Relaxed,
            flush_interval: Duration::from_secs(60),
            segment_bytes: 1,
            reserve_bytes: 0,
        };
        let clock = Arc::new(Clock::default());
        let taken = Folder::take(&settings.path).unwrap();
        let store = Arc::new(Store::open(&settings, taken, clock.clone(), &|_, _, _| {}).unwrap());
        let settings =
            ReadSettings { queries_max: 2, page_time: Duration::from_secs(60), live_max: 1, people_max: usize::MAX };
        let queries =
            Queries::new(store.clone(), clock, Identity::new("secret", &IdentitySettings::default()), settings);
        Self { store, queries: Arc::new(queries), model: Model::default(), _folder: folder }
    }

    async fn apply(&mut self, op: &Op) {
        let view = self.store.read_view();
        let permit = self.store.permit(1).await.unwrap();
        let model = &mut self.model;
        let (_, pending) = view.push(permit, |moment| (model.entries(op, moment.offset), ())).unwrap();
        pending.durable().await.unwrap();
    }

    async fn events(&self, question: &Question) -> Vec<String> {
        pages(&self.queries, &Asked::Events(None), &question.said(), question.limit).await
    }
}

fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_query_gives_what_a_plain_scan_gives(
        ops in prop::collection::vec(op(), 1..60),
        questions in prop::collection::vec(question(), 12),
    ) {
        let (stored, answers) = run(async {
            let mut stored = Stored::new();
            for op in &ops {
                stored.apply(op).await;
            }
            let mut answers = Vec::new();
            for question in &questions {
                let events = stored.events(question).await;
                let whose = question.who.map(|who| id(format!("p{who}")));
                let asked = Asked::Sessions(whose.clone());
                let sessions = pages(&stored.queries, &asked, &question.times(), question.limit).await;
                let timeline = match whose {
                    Some(whose) => {
                        let asked = Asked::Timeline(whose);
                        pages(&stored.queries, &asked, &question.times(), question.limit).await
                    }
                    None => Vec::new(),
                };
                answers.push((events, sessions, timeline));
            }
            (stored, answers)
        });
        let model = &stored.model;
        for (question, (events, sessions, timeline)) in questions.iter().zip(answers) {
            let newest = question.newest;
            prop_assert_eq!(events, ordered(model.expected_events(question), newest), "{:?}", question);
            let expected_sessions = model.expected_sessions(question);
            prop_assert_eq!(sessions, ordered(expected_sessions.clone(), newest), "sessions: {:?}", question);
            if question.who.is_some() {
                let (who, from, to) = (question.who, question.from, question.to);
                let theirs = Question { who, from, to, ..everything(newest, 1) };
                let all = [model.expected_events(&theirs), expected_sessions].concat();
                prop_assert_eq!(timeline, ordered(all, newest), "timeline: {:?}", question);
            }
        }
        stored.store.close();
    }
}

fn everything(newest: bool, limit: usize) -> Question {
    Question {
        kinds: Vec::new(),
        begins: false,
        sources: Vec::new(),
        session: None,
        who: None,
        tag: None,
        valid: None,
        bot: None,
        from: None,
        to: None,
        price: None,
        newest,
        limit,
    }
}

fn events(time: i64, count: u8) -> Op {
    let sent = |id| Sent { id, kind: id % 4, valid: true, price: id % 20, is_large: false };
    Op::Events { who: Some(1), session: Some(1), source: 0, time, events: (0..count).map(sent).collect() }
}

#[test]
fn pages_of_a_segment_that_overlap_are_merged() {
    run(async {
        let mut stored = Stored::new();
        for at in 0..60 {
            // Every other request is imported, each further back than the one before.
            stored.apply(&events(if at % 2 == 0 { i64::MAX } else { -at }, 200)).await;
        }
        for newest in [true, false] {
            let question = everything(newest, 1_000);
            assert_eq!(stored.events(&question).await, ordered(stored.model.expected_events(&question), newest));
        }
        stored.store.close();
    });
}

#[test]
fn more_rows_than_are_kept_come_in_their_order() {
    run(async {
        let mut stored = Stored::new();
        // 40,000 events whose times have nothing to do with their places.
        for at in 0..200_i64 {
            stored.apply(&events(-(at * 7_919 % 211), 200)).await;
        }
        for newest in [true, false] {
            let question = everything(newest, 10_000);
            assert_eq!(stored.events(&question).await, ordered(stored.model.expected_events(&question), newest));
        }
        stored.store.close();
    });
}

#[test]
fn a_cursor_goes_on_behind_its_record_whatever_arrives_meanwhile() {
    run(async {
        let mut stored = Stored::new();
        for at in 10..20 {
            stored.apply(&events(i64::MAX, 3)).await;
            stored.apply(&events(at, 3)).await;
        }
        for newest in [true, false] {
            let said = [("order", if newest { "newest" } else { "oldest" }.to_owned())];
            let queries = stored.queries.clone();
            let query = |cursor: Option<String>| {
                let said = said.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
                let said = said.chain(cursor.map(|cursor| ("cursor".to_owned(), cursor)));
                queries.query(Parameters::new(said), Asked::Events(None)).unwrap()
            };
            let everything = everything(newest, 1);
            let mut before = stored.model.expected_events(&everything);
            before.sort();
            let last = if newest { before[before.len() - 7].0 } else { before[6].0 };
            let page = stored.queries.page(&query(None), 7).await.unwrap();
            for at in [i64::MAX, -5, 12] {
                stored.apply(&events(at, 2)).await;
            }
            let rest = stored.queries.page(&query(page.cursor), 1_000).await.unwrap();
            let mut expected = stored.model.expected_events(&everything);
            expected.retain(|(place, _)| if newest { *place < last } else { *place > last });
            assert_eq!(rest.records.iter().map(told).collect::<Vec<_>>(), ordered(expected, newest));
        }
        stored.store.close();
    });
}
