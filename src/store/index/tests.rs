use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use parking_lot::RwLock;
use proptest::prelude::*;

use super::*;
use crate::{
    model::{ClientFacts, Event, EventRequest, Json, Outcome, ProfileRef, Reader, Session},
    store::entry::Entry,
};

/// What an event is told apart by here: session, profile, type, whether it is valid, tags.
type Told = (Option<u8>, Option<u8>, u8, bool, u8);

fn json(text: &str) -> Json {
    Reader::new(text.as_bytes(), 0).unwrap().value().unwrap()
}

fn id(kind: &str, number: u8) -> Id {
    Id::required(&format!("{kind}-{number}")).unwrap()
}

/// Session, profile and source of a request, and of its events type, whether they are valid, and tag.
type Sent = (Option<u8>, Option<u8>, u8, Vec<(u8, bool, u8)>);

/// Requests of one to three events, with another entry behind each.
fn entries(requests: &[Sent]) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (place, (session, profile, source, events)) in requests.iter().enumerate() {
        entries.push(Entry::Request(Arc::new(EventRequest {
            inserted: Time::from_micros(1_000_000 * place as i64 - 3_000_000),
            source: id("source", *source),
            session: session.map(|number| id("session", number)),
            profile: profile.map(|number| ProfileRef { id: id("profile", number), since: 7 }),
            profile_less: profile.is_none(),
            context: json(&format!(r#"{{"utm":{{"source":"campaign-{source}"}}}}"#)),
            client: Arc::new(ClientFacts::default()),
            bot: false,
            profile_state: None,
            imported: false,
        })));
        for (kind, valid, tag) in events {
            entries.push(Entry::Event(Arc::new(Event {
                id: id("event", *kind),
                given: *valid,
                kind: format!("type-{kind}").into(),
                name: "".into(),
                created: None,
                properties: Json::empty_object(),
                context: json(&format!(r#"{{"page":{{"url":"/{kind}"}}}}"#)),
                tags: [format!("tag-{tag}").into()].into(),
                outcome: Outcome { valid: *valid, ..Outcome::default() },
            })));
        }
        entries.push(Entry::EventDeleted(3));
    }
    entries
}

/// Offset and what is told of each event, by going through the entries.
fn scanned(first: u64, entries: &[Entry]) -> Vec<(u64, Told)> {
    let number = |id: &Id| id.text().rsplit('-').next().unwrap().parse().unwrap();
    let mut request = None;
    let mut found = Vec::new();
    for (offset, entry) in (first..).zip(entries) {
        match entry {
            Entry::Request(next) => request = Some(next.clone()),
            Entry::Event(event) => {
                let request = request.as_ref().unwrap();
                let told = (
                    request.session.as_ref().map(&number),
                    request.profile.as_ref().map(|profile| number(&profile.id)),
                    event.kind.rsplit('-').next().unwrap().parse().unwrap(),
                    event.outcome.valid,
                    event.tags[0].rsplit('-').next().unwrap().parse().unwrap(),
                );
                found.push((offset, told));
            }
            _ => {}
        }
    }
    found
}

/// The same, from the index.
fn read(index: &SegmentIndex) -> Vec<(u64, Told)> {
    let number = |text: &str| text.rsplit('-').next().unwrap().parse().unwrap();
    let (names, visits) = (index.names().unwrap(), index.visits().unwrap());
    let (pages, campaigns) = (index.texts(Column::Page).unwrap(), index.texts(Column::Campaign).unwrap());
    let (columns, sessions, profiles) =
        (index.visit_columns().unwrap(), index.sessions().unwrap(), index.profiles().unwrap());
    let session_ids: Vec<Option<Id>> = sessions.ids.iter().map(|id| Some(id.to_id())).collect();
    let profile_ids: Vec<Option<Id>> = profiles.ids.iter().map(|id| Some(id.to_id())).collect();
    for (number, visit) in visits.iter().enumerate() {
        let at = |ids: &[Option<Id>], place: u32| ids.get(place as usize).cloned().flatten();
        assert_eq!(at(&session_ids, columns.sessions[number]), visit.session);
        assert_eq!(at(&profile_ids, columns.profiles[number]), visit.profile.clone().map(|profile| profile.id));
    }
    assert!(profiles.since.len() == profile_ids.len() && profiles.since.iter().all(|since| *since == 7));
    assert!(sessions.began.len() == session_ids.len() && sessions.began.iter().all(|began| *began == Began::Untold));
    let mut found = Vec::new();
    for page in 0..index.pages.len() {
        let column = |column| index.column(page, column).unwrap();
        let (offsets, kinds, visit) = (column(Column::Offset), column(Column::Kind), column(Column::Visit));
        let (flags, tags) = (column(Column::Flags), column(Column::Tags));
        for row in 0..offsets.len() {
            let visit = &visits[visit[row] as usize];
            let text =
                |texts: &[Arc<str>], column| texts[place_of(index.column(page, column).unwrap()[row]).unwrap()].clone();
            if row.is_multiple_of(97) {
                assert_eq!(&*text(&pages, Column::Page), format!("/{}", number(&names.kinds[kinds[row] as usize])));
                let source = names.sources[index.column(page, Column::Source).unwrap()[row] as usize].text();
                assert_eq!(*text(&campaigns, Column::Campaign), *format!("campaign-{}\0\0", number(&source)));
                assert_eq!(index.column(page, Column::Client).unwrap()[row], UNTOLD);
            }
            assert!(visit.pages.contains(&(page as u32)));
            found.push((
                offsets[row],
                (
                    visit.session.as_ref().map(|id| number(&id.text())),
                    visit.profile.as_ref().map(|profile| number(&profile.id.text())),
                    number(&names.kinds[kinds[row] as usize]),
                    flags[row] & VALID > 0,
                    number(&names.tags[tags[row] as usize][0]),
                ),
            ));
        }
    }
    found
}

/// The offsets of the rows of a visitor, by way of the pages that the index names.
fn rows_of(index: &SegmentIndex, visitor: Visitor<'_>) -> BTreeSet<u64> {
    let mut found = BTreeSet::new();
    for (number, visit) in index.visits_of(visitor).unwrap() {
        for page in visit.pages {
            let offsets = index.column(page as usize, Column::Offset).unwrap();
            let visits = index.column(page as usize, Column::Visit).unwrap();
            found.extend(
                offsets.iter().zip(visits).filter(|(_, of)| *of == u64::from(number)).map(|(offset, _)| *offset),
            );
        }
    }
    found
}

fn built(first: u64, entries: &[Entry]) -> Arc<RwLock<Builder>> {
    let mut builder = Builder::new(first);
    entries.iter().for_each(|entry| builder.add(entry));
    Arc::new(RwLock::new(builder))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn an_index_says_what_its_segment_holds_in_memory_and_in_a_file(
        requests in prop::collection::vec(
            (
                prop::option::of(0_u8..20), prop::option::of(0_u8..30), 0_u8..3,
                prop::collection::vec((0_u8..9, any::<bool>(), 0_u8..4), 1..4),
            ),
            0..200,
        ),
        times in 1_usize..40,
    ) {
        let entries: Vec<Entry> = entries(&requests).into_iter().cycle().take(requests.len() * 4 * times).collect();
        let first = 1_000;
        let expected = scanned(first, &entries);
        let builder = built(first, &entries);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("segment.index");
        let memory = SegmentIndex::in_memory(&builder);
        let in_memory = read(&memory);
        prop_assert_eq!(&in_memory, &expected);
        IndexFile::write(&path, &builder).unwrap();
        let file = SegmentIndex::in_file(Arc::new(IndexFile::open(&path).unwrap().unwrap()));
        prop_assert_eq!(&read(&file), &expected);
        prop_assert_eq!((file.first, file.end), (first, first + entries.len() as u64));
        let counted = |index: &SegmentIndex| {
            let names = index.names().unwrap();
            index.counts().unwrap().iter().map(|count| (names.kinds[count.kind as usize].clone(), count.events)).fold(
                BTreeMap::<Arc<str>, u64>::new(),
                |mut sums, (kind, events)| {
                    *sums.entry(kind).or_default() += events;
                    sums
                },
            )
        };
        let mut by_kind = BTreeMap::<Arc<str>, u64>::new();
        expected.iter().for_each(|(_, told)| *by_kind.entry(format!("type-{}", told.2).into()).or_default() += 1);
        prop_assert_eq!(&counted(&memory), &by_kind);
        prop_assert_eq!(&counted(&file), &by_kind);
        for index in [&memory, &file] {
            for number in 0..32 {
                let of_session = expected.iter().filter(|(_, told)| told.0 == Some(number)).map(|(offset, _)| *offset);
                prop_assert_eq!(rows_of(index, Visitor::Session(&id("session", number))), of_session.collect());
                let of_profile = expected.iter().filter(|(_, told)| told.1 == Some(number)).map(|(offset, _)| *offset);
                prop_assert_eq!(rows_of(index, Visitor::Profile(&id("profile", number))), of_profile.collect());
            }
        }
    }
}

#[test]
fn an_index_in_memory_stays_as_it_was_asked_for_while_rows_come() {
    let request = (Some(1), Some(1), 0, vec![(1, true, 1), (2, true, 1)]);
    let some = entries(&vec![request; 3_000]);
    let builder = built(0, &some[..8_000]);
    let before = SegmentIndex::in_memory(&builder);
    let expected = read(&before);
    some[8_000..].iter().for_each(|entry| builder.write().add(entry));
    assert_eq!(read(&before), expected);
    assert_eq!(read(&SegmentIndex::in_memory(&builder)).len(), 6_000);
}

#[test]
fn a_flipped_bit_anywhere_in_the_file_is_noticed() {
    let some = entries(&vec![(Some(1), Some(2), 0, vec![(1, true, 1), (2, false, 2)]); 100]);
    let builder = built(0, &some);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("segment.index");
    IndexFile::write(&path, &builder).unwrap();
    let expected = scanned(0, &some);
    let whole = std::fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        std::fs::write(&path, flipped).unwrap();
        let Some(file) = IndexFile::open(&path).unwrap() else { continue };
        let file = Arc::new(file);
        let index = SegmentIndex::in_file(file.clone());
        let columns = Column::ALL;
        let is_read = index.names().is_ok()
            && index.visits().is_ok()
            && index.counts().is_ok()
            && [Column::Page, Column::Campaign].iter().all(|column| index.texts(*column).is_ok())
            && index.visit_columns().is_ok()
            && index.sessions().is_ok()
            && index.profiles().is_ok()
            && index.visits_of(Visitor::Session(&id("session", 1))).is_ok()
            && columns.iter().all(|column| index.column(0, *column).is_ok());
        if is_read {
            assert_eq!(read(&index), expected, "byte {at}");
        } else {
            assert!(file.is_damaged(), "byte {at}");
        }
    }
}

#[test]
fn where_a_session_began_is_told_by_its_state() {
    let mut builder = Builder::new(100);
    let told = |session: &str, first_event: Option<i64>| {
        let mut state = Session::new(Id::required(session).unwrap(), 3, None, Time::from_micros(5));
        state.first_event = first_event.map(Time::from_micros);
        Entry::Session(Arc::new(state))
    };
    let mut happened = |session: &str, state: Option<Entry>| {
        let (session, profile) = (Some(Id::required(session).unwrap()), Some(id("profile", 1)));
        let mut sent = entries(&[(None, None, 0, vec![(1, true, 1)])]);
        if let Entry::Request(request) = &mut sent[0] {
            let profile = profile.map(|id| ProfileRef { id, since: 7 });
            *request =
                Arc::new(EventRequest { inserted: Time::from_micros(9), session, profile, ..(**request).clone() });
        }
        state.into_iter().chain(sent).for_each(|entry| builder.add(&entry));
    };
    happened("new", Some(told("new", Some(9))));
    happened("older", Some(told("older", Some(4))));
    happened("new", Some(told("new", Some(2)))); // what it was when it was met first counts
    happened("without-a-state", None);
    happened("of-another", Some(told("another", Some(9))));
    let sessions = builder.visits().sessions();
    assert_eq!(sessions.began, [Began::Here, Began::Before, Began::Untold, Began::Untold]);
}

#[test]
fn a_file_of_another_version_counts_as_missing() {
    let folder = tempfile::tempdir().unwrap();
    let builder = built(5, &entries(&vec![(Some(1), Some(2), 0, vec![(1, true, 1)]); 100]));
    let segment = SegmentName { range: 5..builder.read().end(), generation: 0 };
    let files = IndexFiles::new(folder.path()).unwrap();
    files.keep(&segment, &builder);
    assert!(IndexFiles::new(folder.path()).unwrap().has(&segment));
    let path = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[8] = 1;
    let checksum = crc32c::crc32c(&bytes[..12]);
    bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
    std::fs::write(&path, bytes).unwrap();
    assert!(!IndexFiles::new(folder.path()).unwrap().has(&segment));
}
