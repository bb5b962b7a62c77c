//! Entries as stores of format 3 have them, in blocks of version 1: read as what they say today.
//!
//! Blocks are never written again, so these forms stay as they are. A profile of that time held every state that it took
//! in and every name that leads to it, and was the only place that told where its merge keys lead.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::Range,
    sync::Arc,
};

use serde::Deserialize;

use crate::model::{
    Alias, Conflict, DailyCounts, Decimal, Definition, DefinitionKind, DelayedEvent, Event, EventRequest, Field,
    FieldChange, Fields, Id, Json, KnownKey, MergeKey, NAMES_SHOWN, Pass, Profile, ProfileRef, Session, Source, Time,
    Value, Visit, Written, is_within,
};
use crate::store::entry::{self, Entry, Merge};

use super::spans;

#[derive(Deserialize)]
enum Entry3 {
    Request(Arc<EventRequest>),
    Event(Arc<Event>),
    Session(Arc<Session>),
    Profile(Box<Profile3>),
    Name { name: Id, profile: ProfileRef },
    Visited { session: u64, profile: ProfileRef },
    Source(Arc<Source>),
    SourceDeleted(Id),
    EventDeleted(u64),
    SessionDeleted(Id),
    ProfileDeleted { id: Id, names: Vec<Id>, keys: Vec<MergeKey> },
    Definition(Arc<Definition>),
    DefinitionDeleted { kind: DefinitionKind, id: Id },
    ProfileChanged { profile: ProfileRef, changes: Vec<FieldChange> },
    Delivered { destination: Id, offset: u64 },
    Absorbed { absorbed: ProfileRef, by: ProfileRef },
    Delayed(Arc<DelayedEvent>),
    DelayedDone { due: Time, number: u64 },
    Passed { kind: DefinitionKind, id: Id, pass: Pass },
}

#[derive(Deserialize)]
struct Profile3 {
    id: Id,
    since: u64,
    aliases: Vec<Alias>,
    inserted: Time,
    updated: Time,
    visits: u64,
    views: u64,
    latest_visits: [Option<Visit>; 2],
    facts: Json,
    fields: Vec<Field3>,
    keys: Vec<MergeKey>,
    conflicts: Vec<Conflict3>,
    absorbed: Vec<Absorbed3>,
    counts: DailyCounts,
}

#[derive(Clone, Deserialize)]
struct Field3 {
    path: Box<str>,
    offset: u64,
    time: Time,
    added: Option<f64>,
}

impl Field3 {
    fn added(&self) -> Option<Decimal> {
        self.added.and_then(Decimal::from_float)
    }
}

#[derive(Deserialize)]
struct Conflict3 {
    field: Field3,
    value: Json,
}

#[derive(Deserialize)]
struct Absorbed3 {
    profile: Box<Profile3>,
    shared_visits: u64,
}

/// Reads the `count` entries of a block whose first stands at offset `first`.
pub fn entries(raw: &[u8], first: u64, count: u32) -> Option<Vec<Entry>> {
    let read = entry::decode_all::<Entry3>(raw, count)?;
    let mut reader = Reader::default();
    for entry in &read {
        if let Entry3::Session(session) = entry
            && let Some(profile) = &session.profile
        {
            reader.whose.insert(session.number, profile.clone());
        }
    }
    Some((first..).zip(read).map(|(offset, entry)| reader.entry(offset, entry)).collect())
}

/// Where each of the `count` entries of a block stands.
pub fn spans(raw: &[u8], count: u32) -> Option<Vec<Range<usize>>> {
    spans::of::<Entry3>(raw, count)
}

/// That the profile of this id is deleted, encoded.
pub fn profile_deleted(id: &Id) -> Vec<u8> {
    const PROFILE_DELETED: u32 = 10; // its place among the entries
    entry::encode(&(PROFILE_DELETED, id, Vec::<Id>::new(), Vec::<MergeKey>::new()))
}

/// The profile that the one at `offset`, which is at `place` in its block, took in, as it held it, and how many sessions
/// both had.
pub fn held_inside(
    raw: &[u8],
    count: u32,
    (offset, place): (u64, usize),
    absorbed: &ProfileRef,
) -> Option<(Profile, u64)> {
    let Entry3::Profile(survivor) = entry::decode_all::<Entry3>(raw, count)?.into_iter().nth(place)? else {
        return None;
    };
    let is_meant = |held: &Absorbed3| held.profile.id == absorbed.id && held.profile.since == absorbed.since;
    let Absorbed3 { profile, shared_visits } = survivor.absorbed.into_iter().find(is_meant)?;
    // Those that it had taken in itself are held there, too.
    Some((profile.read(offset), shared_visits))
}

/// Reads entries, with what those before them in the block say of them.
#[derive(Default)]
struct Reader {
    /// The names that each profile had in its latest state.
    names: HashMap<Id, HashMap<Id, u64>>,
    /// Who was part of whom from here on.
    absorbed: HashSet<(ProfileRef, ProfileRef)>,
    split: HashSet<Id>,
    /// Whose each session is in the end.
    whose: HashMap<u64, ProfileRef>,
}

impl Reader {
    fn entry(&mut self, offset: u64, entry: Entry3) -> Entry {
        match entry {
            Entry3::Request(request) => Entry::Request(request),
            Entry3::Event(event) => Entry::Event(event),
            Entry3::Session(session) => Entry::Session(session),
            Entry3::Profile(profile) => {
                let names = profile.aliases.iter().map(|alias| (alias.id.clone(), alias.since)).collect();
                self.names.insert(profile.id.clone(), names);
                Entry::ProfileOfFormat3(Arc::new(profile.read(offset)))
            }
            Entry3::Name { name, profile } => self.name(offset, name, profile),
            Entry3::Visited { session, profile } => {
                let now = self.whose.get(&session).filter(|now| **now != profile).cloned();
                let moved = now.map(|now| (profile.clone(), now)).filter(|moved| !self.absorbed.contains(moved));
                Entry::Visited { session, profile, moved }
            }
            Entry3::Source(source) => Entry::Source(source),
            Entry3::SourceDeleted(id) => Entry::SourceDeleted(id),
            Entry3::EventDeleted(offset) => Entry::EventDeleted(offset),
            Entry3::SessionDeleted(id) => Entry::SessionDeleted(id),
            Entry3::ProfileDeleted { id, names, keys } => {
                let ids = 1 + names.len() as u64;
                // There were no shortcuts, which are all that is found by when a name began.
                let names = names.into_iter().map(|id| ProfileRef { id, since: 0 }).collect();
                Entry::ProfileDeleted { id, names, keys, ids }
            }
            Entry3::Definition(definition) => Entry::Definition(definition),
            Entry3::DefinitionDeleted { kind, id } => Entry::DefinitionDeleted { kind, id },
            Entry3::ProfileChanged { profile, changes } => Entry::ProfileChanged { profile, changes },
            Entry3::Delivered { destination, offset } => Entry::Delivered { destination, offset },
            Entry3::Absorbed { absorbed, by } => {
                self.absorbed.insert((absorbed.clone(), by.clone()));
                Entry::Absorbed { absorbed, by, merge: Merge::default() }
            }
            Entry3::Delayed(event) => Entry::Delayed(event),
            Entry3::DelayedDone { due, number } => Entry::DelayedDone { due, number },
            Entry3::Passed { kind, id, pass } => Entry::Passed { kind, id, pass },
        }
    }

    /// A name that a client goes on sending or, behind a profile that was split off, one of those that it has again.
    fn name(&mut self, offset: u64, name: Id, profile: ProfileRef) -> Entry {
        if name == profile.id {
            self.split.insert(profile.id.clone());
            return Entry::Split { profile };
        }
        let since = self.names.get(&profile.id).and_then(|names| names.get(&name)).copied().unwrap_or(offset);
        if self.split.contains(&profile.id) {
            // It never led anywhere else than to the profile that is no part of another one any more.
            return Entry::Shortcut { name: ProfileRef { id: name, since }, to: profile };
        }
        Entry::Name { name, since, profile }
    }
}

impl Profile3 {
    /// The profile as it is today; this state of it stands at `offset`.
    fn read(self, offset: u64) -> Profile {
        let names = self.aliases.len();
        let held_inside = (!self.absorbed.is_empty()).then_some(offset);
        let keys = self.keys.into_iter().map(|key| KnownKey { since: self.since, key }).collect();
        let (fields, conflicts) = told_apart(self.fields, self.conflicts);
        Profile {
            written: offset,
            names: names as u64,
            aliases: self.aliases.into_iter().skip(names.saturating_sub(NAMES_SHOWN - 1)).collect(),
            held_inside,
            inserted: self.inserted,
            updated: self.updated,
            visits: self.visits,
            views: self.views,
            latest_visits: self.latest_visits,
            facts: self.facts,
            fields,
            keys,
            conflicts,
            counts: self.counts,
            ..Profile::new(self.id, self.since, self.inserted)
        }
    }
}

/// What a counter is made of stood among what lost.
fn told_apart(fields: Vec<Field3>, conflicts: Vec<Conflict3>) -> (Fields, Vec<Conflict>) {
    let mut noted: BTreeMap<Box<str>, Field> = fields
        .into_iter()
        .map(|field| {
            let added = field.added();
            (field.path, Field { added, ..Field::set(field.offset, field.time) })
        })
        .collect();
    // The latest that was set at or around the place of a counter: what was written before it is no part of the number.
    let set: Vec<(Box<str>, u64)> = conflicts
        .iter()
        .filter(|conflict| conflict.field.added.is_none())
        .map(|conflict| (conflict.field.path.clone(), conflict.field.offset))
        .collect();
    let mut latest_set: HashMap<Box<str>, u64> = HashMap::new();
    let mut lost = Vec::new();
    for Conflict3 { field: Field3 { path, offset, time, added }, value } in conflicts {
        let written = Written { offset, time, is_added: added.is_some(), value };
        let counter = noted.get_mut(&path).filter(|field| field.added.is_some());
        let counter = counter.filter(|_| Value::from(&written.value).as_decimal().is_some());
        let counter = counter.filter(|_| {
            let latest = *latest_set.entry(path.clone()).or_insert_with(|| {
                let around = set.iter().filter(|(set, _)| is_within(set, &path) || is_within(&path, set));
                around.map(|(_, offset)| *offset).max().unwrap_or(0)
            });
            offset >= latest
        });
        match counter {
            Some(field) => field.parts.push(written),
            None => lost.push(Conflict { path, written }),
        }
    }
    (noted.into_iter().collect(), lost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_in_place_of_an_erased_entry_is_read_back() {
        let id = Id::required("somebody").unwrap();
        let mut raw = profile_deleted(&id);
        let first = raw.len();
        entry::encode_into(&mut raw, &Entry::EventDeleted(8));
        let deleted = Entry::ProfileDeleted { id, names: Vec::new(), keys: Vec::new(), ids: 1 };
        assert_eq!(entries(&raw, 7, 2).unwrap(), [deleted, Entry::EventDeleted(8)]);
        assert_eq!(spans(&raw, 2).unwrap(), [0..first, first..raw.len()]);
        assert_eq!(spans(&raw, 3), None);
    }
}
