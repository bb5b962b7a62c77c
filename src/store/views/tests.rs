use proptest::prelude::*;

use super::*;
use crate::{
    model::{
        Chain, DefinitionKind, DelayedEvent, Event, EventRequest, Json, MergeKey, Outcome, Pass, Place, PlainSecret,
        Profile, ProfileRef, Reader, Runs, Source,
    },
    store::entry::{Entry, Merge},
};

fn profile(number: u8) -> ProfileRef {
    ProfileRef { id: id("profile", number), since: u64::from(number) }
}

fn id(kind: &str, number: u8) -> Id {
    // Every other id is a UUID, as most ids are, and some of these tell when they were made.
    let text = match number % 4 {
        0 | 2 => format!("{kind}-{number}"),
        1 => format!("00000000-0000-4000-8000-0000000000{number:02x}"),
        _ => format!("00000000-0000-7000-8000-0000000000{number:02x}"),
    };
    Id::required(&text).unwrap()
}

/// A text that cannot be compressed to less than three quarters.
fn noise(seed: u64, length: usize) -> Box<str> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'!' + (state >> 33) as u8 % 90)
    };
    (0..length).map(|_| next()).collect::<String>().into()
}

/// What a request leads to. A session keeps its number until it is deleted or, with `other` 3, made anew.
fn entry(offset: u64, (what, name, other): (u8, u8, u8), numbers: &mut [u64; 4]) -> Vec<Entry> {
    let number = &mut numbers[usize::from(name)];
    if *number == 0 || other == 3 {
        *number = offset + 1;
    }
    let now = Time::from_micros(offset.cast_signed());
    let begun = |number: u64| Time::from_micros((number ^ 21).cast_signed()); // in another order than they came
    vec![match what {
        0..3 => {
            let mut session = Session::new(id("session", name), *number, None, begun(*number));
            session.profile = Some(profile(3));
            session.device = (what == 1).then(|| id("device", other));
            // Some are too large for a chunk, and take up to three parts.
            session.channel = (what == 2).then(|| noise(offset, [100, 1_000, 9_000, 18_000][usize::from(other)]));
            Entry::Session(Arc::new(session))
        }
        3 => {
            let made = Profile::new(id("profile", name), offset, now);
            let reference = made.reference();
            let keys = (0..other).map(|key| Entry::MergeKey { key: MergeKey([key; 16]), profile: reference.clone() });
            return std::iter::once(Entry::Profile(Arc::new(made))).chain(keys).collect();
        }
        4 => Entry::Name { name: id("profile", name), since: offset, profile: profile(other) },
        5 => {
            // As a request has it: with the session's newest state.
            let mut session = Session::new(id("session", name), *number, None, begun(*number));
            session.profile = Some(profile(3));
            let moved = (other > 0).then(|| (profile(other), profile(3)));
            let visited = Entry::Visited { session: session.number, profile: profile(name), moved };
            return vec![Entry::Session(Arc::new(session)), visited];
        }
        21 => {
            // One that is imported is new.
            *number = offset + 1;
            let mut session = Session::new(id("session", name), *number, None, begun(*number));
            session.profile = Some(profile(3));
            let imported = Entry::Imported { made: session.number, shown: Json::empty_object() };
            return vec![Entry::Session(Arc::new(session)), imported];
        }
        6 => Entry::Source(Arc::new(Source::open(id("source", name), "a source", now))),
        7 => Entry::SourceDeleted(id("source", name)),
        8 => Entry::EventDeleted(u64::from(name)),
        9 => {
            *number = 0;
            Entry::SessionDeleted(id("session", name))
        }
        10 => Entry::ProfileDeleted {
            id: id("profile", name),
            names: vec![profile(other)],
            keys: vec![MergeKey([other; 16])],
            ids: 2,
        },
        11 => {
            let body =
                Reader::new(format!(r#"{{"id":"d{name}","n":{offset}}}"#).as_bytes(), 0).unwrap().value().unwrap();
            Entry::Definition(Arc::new(Definition::new(DefinitionKind::Segment, body, now).unwrap()))
        }
        15 => {
            let due = Time::from_micros(i64::from(other));
            let (source, kind): (Id, Arc<str>) = (id("source", name), "reminder".into());
            let properties = Json::empty_object();
            let (session, profile, saved, name) = (None, None, true, kind.clone());
            let day = i64::from(other);
            let chain = Chain::default().through(Runs { workflow: source.clone(), day, count: 3 });
            let event = DelayedEvent { due, source, session, profile, kind, name, properties, chain, saved };
            return vec![
                Entry::Delayed(Arc::new(event)),
                Entry::DelayedDone { due, number: offset.saturating_sub(u64::from(other)) },
            ];
        }
        16 => {
            let pass = Pass { begun: now, under_way: (other > 1).then(|| id("profile", other)) };
            let id = Id::required(&format!("d{name}")).unwrap();
            Entry::Passed { kind: DefinitionKind::Segment, id, pass }
        }
        14 => Entry::Delivered { destination: id("destination", name), offset },
        13 => Entry::Absorbed { absorbed: profile(name), by: profile(other), merge: Merge::default() },
        17 => Entry::Split { profile: profile(name) },
        18 => Entry::Shortcut { name: profile(name), to: profile(other) },
        19 => Entry::NamesDeleted { names: vec![profile(name)], keys: vec![MergeKey([other; 16])] },
        12 => {
            Entry::DefinitionDeleted { kind: DefinitionKind::Segment, id: Id::required(&format!("d{name}")).unwrap() }
        }
        20 => {
            let none = SourceSecrets::none(id("source", name));
            let secrets = (0..other).fold(none, |secrets, seed| secrets.with(&PlainSecret::new([seed; 32]), now));
            Entry::SourceSecrets(Arc::new(secrets))
        }
        _ => {
            let request = EventRequest {
                inserted: now,
                source: id("source", other),
                session: None,
                profile: Some(profile(other)),
                profile_less: false,
                context: Json::empty_object(),
                client: Default::default(),
                bot: false,
                profile_state: None,
                imported: false,
            };
            let event = Event {
                id: id("event", name),
                given: true,
                kind: "page-view".into(),
                name: "page-view".into(),
                created: None,
                properties: Json::empty_object(),
                context: Json::empty_object(),
                tags: Arc::default(),
                outcome: Outcome::default(),
            };
            return vec![Entry::Request(Arc::new(request)), Entry::Event(Arc::new(event))];
        }
    }]
}

/// What requests lead to, one behind the other.
fn requests(made: &[(u8, u8, u8)]) -> Vec<Vec<Entry>> {
    let (mut requests, mut numbers, mut offset) = (Vec::new(), [0; 4], 0);
    for what in made {
        let entries = entry(offset, *what, &mut numbers);
        offset += entries.len() as u64;
        requests.push(entries);
    }
    requests
}

/// Folds whole requests, as groups have them, from offset `first` on; returns the offset behind them.
fn fold(first: u64, requests: &[Vec<Entry>]) -> (Fold, u64) {
    let (mut fold, mut offset) = (Fold::default(), first);
    for entry in requests.iter().flatten() {
        fold.entry(offset, entry);
        offset += 1;
    }
    (fold, offset)
}

fn apply(views: &Views, mut requests: &[Vec<Entry>], batches: &[usize]) {
    for size in batches.iter().copied().chain([usize::MAX]) {
        let (batch, rest) = requests.split_at(size.min(requests.len()));
        let (fold, end) = fold(views.progress().to, batch);
        views.apply(end, &fold).unwrap();
        requests = rest;
    }
}

/// The process ends when `written` of so many records of a batch are written, behind the note of where it leads to; how
/// many there are.
fn cut_and_written_again(views: &Views, batch: &Fold, written: impl Fn(usize) -> usize) -> usize {
    let writes = views.writes(&batch.states).unwrap();
    let mut next = views.progress();
    next.count(&writes);
    let count = writes.len();
    views.write(writes.into_iter().take(written(count)).collect()).unwrap();
    *views.progress.lock() = next;
    views.apply_again(batch).unwrap();
    assert!(views.verify(|| {}).unwrap(), "cut behind {} of {count}", written(count));
    count
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn views_made_anew_from_the_log_equal_views_kept_along_the_way(
        made in prop::collection::vec((0_u8..24, 0_u8..4, 0_u8..4), 1..60),
        batches in prop::collection::vec(1_usize..8, 0..30),
    ) {
        let requests = requests(&made);
        let folder = tempfile::tempdir().unwrap();
        let kept = Views::open(&folder.path().join("kept")).unwrap();
        apply(&kept, &requests, &batches);
        let anew = Views::open(&folder.path().join("anew")).unwrap();
        apply(&anew, &requests, &[]);
        let whole = kept.verify(|| {}).unwrap() && anew.verify(|| {}).unwrap();
        prop_assert!(whole);
        let (kept, anew) = (kept.progress(), anew.progress());
        prop_assert_eq!((kept.records, kept.sum, kept.latest), (anew.records, anew.sum, anew.latest));
    }

    #[test]
    fn a_batch_that_was_under_way_can_be_written_again(
        made in prop::collection::vec((0_u8..24, 0_u8..4, 0_u8..4), 1..40),
        cut in any::<prop::sample::Index>(),
        written in any::<prop::sample::Index>(),
    ) {
        let requests = requests(&made);
        let folder = tempfile::tempdir().unwrap();
        let views = Views::open(folder.path()).unwrap();
        let (before, under_way) = requests.split_at(cut.index(requests.len()));
        apply(&views, before, &[3, 5]);
        let (last, _) = fold(views.progress().to, under_way);
        cut_and_written_again(&views, &last, |writes| written.index(writes + 1));
    }
}

#[test]
fn a_large_value_is_whole_wherever_its_batch_was_cut() {
    let session = |length| {
        let mut session = Session::new(id("session", 1), 1, None, Time::from_micros(0));
        session.channel = Some(noise(7, length));
        vec![Entry::Session(Arc::new(session))]
    };
    // In a chunk, in two parts and in three.
    let lengths = [100, 9_000, 18_000];
    for (before, after) in lengths.into_iter().flat_map(|before| lengths.map(|after| (before, after))) {
        for cut in 0.. {
            let folder = tempfile::tempdir().unwrap();
            let views = Views::open(folder.path()).unwrap();
            apply(&views, &[session(before)], &[]);
            let (last, _) = fold(views.progress().to, &[session(after)]);
            let writes = cut_and_written_again(&views, &last, |writes| writes.min(cut));
            if cut > writes {
                break;
            }
            let channel = views.session_numbered(1).unwrap().and_then(|session| session.channel);
            assert_eq!(channel, Some(noise(7, after)), "from {before} to {after}, cut behind {cut}");
        }
    }
}

/// As [`requests`], with sessions that go from profile to profile.
fn requests_of_many(made: &[(u8, u8, u8)]) -> Vec<Vec<Entry>> {
    let mut requests = requests(made);
    for (entry, number) in requests.iter_mut().flatten().zip((0..4).cycle()) {
        if let Entry::Session(session) = entry {
            Arc::make_mut(session).profile = (number > 0).then(|| profile(number));
        }
    }
    requests
}

/// What the views list, to compare: each session with its profile by both ways, and the profiles.
fn listed(views: &Views) -> (Vec<(Place, Option<ProfileRef>)>, Vec<ProfileRef>) {
    let sessions =
        views.sessions(Place::all()).map(|session| session.map(|session| (session.place(), session.profile)));
    let profiles = views.profiles_made(0..u64::MAX).collect::<Result<Vec<_>, _>>().unwrap();
    (sessions.collect::<Result<Vec<_>, _>>().unwrap(), profiles)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn sessions_and_profiles_are_listed_as_they_are(made in prop::collection::vec((0_u8..24, 0_u8..4, 0_u8..4), 1..60)) {
        let folder = tempfile::tempdir().unwrap();
        let views = Views::open(folder.path()).unwrap();
        apply(&views, &requests_of_many(&made), &[1; 20]);
        let (sessions, profiles) = listed(&views);
        prop_assert!(sessions.is_sorted_by_key(|(place, _)| *place));
        for number in 0..4 {
            let visits: Vec<Place> = views.visits_of(&profile(number), Place::all()).collect::<Result<_, _>>().unwrap();
            let expected = sessions.iter().filter(|(_, whose)| *whose == Some(profile(number))).map(|(place, _)| *place);
            prop_assert_eq!(visits, expected.collect::<Vec<_>>());
        }
        let mut stored: Vec<ProfileRef> = views.profiles(None, 100).unwrap().iter().map(|it| it.reference()).collect();
        stored.sort_by_key(|profile| profile.since);
        prop_assert_eq!(&profiles, &stored);
        for profile in &profiles {
            prop_assert!(views.profile(profile).unwrap().is_some());
        }
    }

    #[test]
    fn what_is_told_to_be_absent_is_absent(
        made in prop::collection::vec((0_u8..24, 0_u8..4, 0_u8..4), 1..60),
        is_closed: bool,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let views = Views::open(folder.path()).unwrap();
        let sessions: Vec<Key> = (0..4).map(|number| Key::Session(id("session", number))).collect();
        prop_assert!(!sessions.iter().any(|key| views.may_have(key)), "nothing is there yet");
        apply(&views, &requests(&made), &[5; 5]);
        let there = |views: &Views, key| views.state(key).unwrap().is_some();
        prop_assert!(sessions.iter().all(|key| views.may_have(key) || !there(&views, key)));
        if is_closed { views.close().unwrap() } else { drop(views) }
        database::wait_until_unused(folder.path()).unwrap();
        let views = Views::open(folder.path()).unwrap();
        prop_assert!(sessions.iter().all(|key| views.may_have(key) || !there(&views, key)));
    }
}

#[test]
fn views_that_another_version_made_are_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let of_before: [&[u8]; 5] = [&[], &[0xff, 2], &[0xff, 3], &[0xff, 4], &[0xff, 6]];
    for form in of_before {
        let views = Views::open(folder.path()).unwrap();
        let progress = entry::encode(&views.progress());
        views.db.insert(PROGRESS_KEY, [form, &progress].concat()).unwrap();
        let Views { db, trees, .. } = views;
        drop(trees);
        database::close(folder.path(), REBUILD, db).unwrap();
        let opened = Views::open(folder.path());
        assert!(matches!(opened, Err(StoreError::OtherViews { .. })), "{form:?}");
        drop(opened);
        database::wait_until_unused(folder.path()).unwrap();
        durable::remove_tree(folder.path()).unwrap();
    }
}

#[test]
fn profiles_are_found_by_a_text_in_any_part_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let views = Views::open(folder.path()).unwrap();
    let profiles = (0..40).map(|number| {
        let mut made = Profile::new(id("profile", number), u64::from(number), Time::from_micros(0));
        // Long enough for several parts, the text across two of them, in every fourth.
        let before = if number % 4 == 0 { database::PART_BYTES - 60 } else { 1 };
        let facts = format!(r#"{{"traits":{{"a":"{}","b":"number {}"}}}}"#, "x".repeat(before), number % 8);
        made.facts = Reader::new(facts.as_bytes(), 0).unwrap().value().unwrap();
        vec![Entry::Profile(Arc::new(made))]
    });
    apply(&views, &profiles.collect::<Vec<_>>(), &[7; 5]);
    let mut sought = [0, 0];
    for (sought, text) in sought.iter_mut().zip(["number 4", "number 5"]) {
        let mut after = None;
        loop {
            let (found, last) = views.profiles_holding(text, after.as_ref(), 6).unwrap();
            assert!(found.iter().all(|profile| profile.facts.as_str().contains(text)));
            *sought += found.len();
            if last.is_none() {
                break;
            }
            after = last;
        }
    }
    assert_eq!(sought, [5, 5]);
    assert_eq!(views.profiles_holding("number 9", None, 100).unwrap(), (Vec::new(), None));
}
