//! The trees of the views: what each is called, and how keys and states become its records.

use crate::{
    model::{DefinitionKind, Id, Place, ProfileRef, Time},
    store::{
        entry::{self, Key, State},
        index::{number_time, time_number},
    },
};

/// The trees, in the order in which they enter the checksum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tree {
    /// Session id to number.
    SessionNumbers,
    /// Number to session.
    Sessions,
    /// Id to profile.
    Profiles,
    /// Id to what it means.
    Names,
    /// A profile and where it was said, to a name of it.
    NamesOf,
    /// A name to where a shortcut leads from it.
    Shortcuts,
    /// Merge key to profile.
    MergeKeys,
    /// A profile and a merge key that leads to it.
    KeysOf,
    /// Event id and source to the event's place, but for ids in [`Tree::TimedEventIds`].
    EventIds,
    /// A session's number and an earlier profile of it.
    Visited,
    /// A profile and the number of a session that somebody else had, too.
    SharedSessions,
    /// A profile of which there are or were such sessions.
    SharingSessions,
    /// The offset of a deleted event.
    DeletedEvents,
    /// Id to source.
    Sources,
    /// Kind and id to definition.
    Definitions,
    /// Destination to offset.
    Deliveries,
    /// When it is due and its number, to event.
    Delayed,
    /// Kind and id of what is scheduled, to how far it is.
    Passes,
    /// Id of a source to its secrets.
    SourceSecrets,
    /// A profile and the place of a session that is its visit.
    SessionsOf,
    /// When a profile was made, to the profile.
    ProfilesMade,
    /// The place of a session.
    SessionsBegun,
    /// Id to erasure.
    Erasures,
    /// The hash of an id that was erased, to the offset of the event or of where that was said.
    ErasedIds,
    /// The offset at which a session or profile was made that was imported, to the parts that are shown as they came.
    Imported,
    /// A destination and the offset of an item that is set aside for it, to how that fared.
    Asides,
    /// A tree and a key of it, to what stands under the key there and is too large for a chunk.
    Large,
    /// As [`Tree::EventIds`], of ids that tell when they were made: they come in order, the others in any.
    TimedEventIds,
}

/// How the records of a tree stand in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    /// Each is small.
    Whole,
    /// In parts.
    Parts,
    /// Many to a record (`chunks.rs`); what is too large for that stands in [`Tree::Large`].
    Chunks,
}

/// What is to be known of a tree.
pub struct Table {
    pub tree: Tree,
    pub name: &'static str,
    pub form: Form,
    /// Reads a record; `None` when it is none.
    pub decode: fn(&[u8]) -> Option<State>,
}

const fn table(tree: Tree, name: &'static str, form: Form, decode: fn(&[u8]) -> Option<State>) -> Table {
    Table { tree, name, form, decode }
}

/// Each tree, in the order of their places. What no key leads to is an index, which is written along with what it is of, and
/// stands behind it.
pub const TABLES: [Table; 28] = [
    table(Tree::SessionNumbers, "session_numbers", Form::Chunks, index),
    table(Tree::Sessions, "sessions", Form::Chunks, index),
    table(Tree::Profiles, "profiles", Form::Chunks, |bytes| entry::decode(bytes).map(State::Profile)),
    table(Tree::Names, "names", Form::Chunks, |bytes| entry::decode(bytes).map(State::Name)),
    table(Tree::NamesOf, "names_of", Form::Chunks, index),
    table(Tree::Shortcuts, "shortcuts", Form::Whole, |bytes| entry::decode(bytes).map(State::Leads)),
    table(Tree::MergeKeys, "merge_keys", Form::Chunks, |bytes| entry::decode(bytes).map(State::Leads)),
    table(Tree::KeysOf, "keys_of", Form::Chunks, index),
    table(Tree::EventIds, "event_ids", Form::Whole, |bytes| entry::decode(bytes).map(State::EventId)),
    table(Tree::Visited, "visited", Form::Whole, there),
    table(Tree::SharedSessions, "shared_sessions", Form::Whole, there),
    table(Tree::SharingSessions, "sharing_sessions", Form::Whole, there),
    table(Tree::DeletedEvents, "deleted_events", Form::Whole, there),
    table(Tree::Sources, "sources", Form::Parts, |bytes| entry::decode(bytes).map(State::Source)),
    table(Tree::Definitions, "definitions", Form::Parts, |bytes| entry::decode(bytes).map(State::Definition)),
    table(Tree::Deliveries, "deliveries", Form::Whole, |bytes| entry::decode(bytes).map(State::Offset)),
    table(Tree::Delayed, "delayed", Form::Parts, |bytes| entry::decode(bytes).map(State::Delayed)),
    table(Tree::Passes, "passes", Form::Whole, |bytes| entry::decode(bytes).map(State::Pass)),
    table(Tree::SourceSecrets, "source_secrets", Form::Parts, |bytes| entry::decode(bytes).map(State::SourceSecrets)),
    table(Tree::SessionsOf, "sessions_of", Form::Chunks, index),
    table(Tree::ProfilesMade, "profiles_made", Form::Chunks, index),
    table(Tree::SessionsBegun, "sessions_begun", Form::Chunks, index),
    table(Tree::Erasures, "erasures", Form::Parts, |bytes| entry::decode(bytes).map(State::Erasure)),
    table(Tree::ErasedIds, "erased_ids", Form::Whole, |bytes| entry::decode(bytes).map(State::Offset)),
    table(Tree::Imported, "imported", Form::Parts, |bytes| entry::decode(bytes).map(State::Shown)),
    table(Tree::Asides, "asides", Form::Whole, |bytes| entry::decode(bytes).map(State::Aside)),
    table(Tree::Large, "large", Form::Parts, index),
    table(Tree::TimedEventIds, "timed_event_ids", Form::Chunks, |bytes| entry::decode(bytes).map(State::EventId)),
];

fn there(_: &[u8]) -> Option<State> {
    Some(State::There)
}

fn index(_: &[u8]) -> Option<State> {
    None
}

impl Tree {
    pub fn table(self) -> &'static Table {
        static ALL: [Table; TABLES.len()] = TABLES;
        &ALL[self as usize]
    }
}

/// The tree that holds the state under `key`, and the record's key in it; of a session, that of its number.
pub fn place(key: &Key) -> (Tree, Vec<u8>) {
    match key {
        Key::Session(id) => (Tree::SessionNumbers, id.key()),
        Key::Profile(id) => (Tree::Profiles, id.key()),
        Key::Name(id) => (Tree::Names, id.key()),
        Key::Shortcut(name) => (Tree::Shortcuts, profile_key(name)),
        Key::MergeKey(key) => (Tree::MergeKeys, key.0.to_vec()),
        Key::EventId { id, source } => (event_tree(id), event_key(id, Some(source))),
        Key::Visited { session, profile } => {
            (Tree::Visited, [&session.to_be_bytes()[..], &profile_key(profile)].concat())
        }
        Key::SharedSession { profile, session } => {
            (Tree::SharedSessions, [&profile_key(profile)[..], &session.to_be_bytes()].concat())
        }
        Key::SharesSessions(profile) => (Tree::SharingSessions, profile_key(profile)),
        Key::DeletedEvent(offset) => (Tree::DeletedEvents, offset.to_be_bytes().to_vec()),
        Key::Imported(made) => (Tree::Imported, made.to_be_bytes().to_vec()),
        Key::Source(id) => (Tree::Sources, id.key()),
        Key::Definition(kind, id) => (Tree::Definitions, definition_key(*kind, id)),
        Key::Delivered(id) => (Tree::Deliveries, id.key()),
        Key::Delayed { due, number } => (Tree::Delayed, delayed_key(*due, *number)),
        Key::Pass(kind, id) => (Tree::Passes, definition_key(*kind, id)),
        Key::SourceSecrets(id) => (Tree::SourceSecrets, id.key()),
        Key::Erasure(id) => (Tree::Erasures, id.key()),
        Key::Aside { destination, item } => (Tree::Asides, aside_key(destination, *item)),
        Key::ErasedId(hash) => (Tree::ErasedIds, hash.0.to_vec()),
    }
}

/// The record of a state; `None`: there is none any more.
pub fn encode(state: &State) -> Option<Vec<u8>> {
    Some(match state {
        State::Session(session) => entry::encode(session),
        State::Profile(profile) => entry::encode(profile),
        State::Name(name) => entry::encode(name),
        State::Leads(profile) => entry::encode(profile),
        State::EventId(place) => entry::encode(place),
        State::Source(source) => entry::encode(source),
        State::SourceSecrets(secrets) => entry::encode(secrets),
        State::Definition(definition) => entry::encode(definition),
        State::Offset(offset) => entry::encode(offset),
        State::Delayed(event) => entry::encode(event),
        State::Pass(pass) => entry::encode(pass),
        State::Erasure(erasure) => entry::encode(erasure),
        State::Shown(shown) => entry::encode(shown),
        State::Aside(aside) => entry::encode(aside),
        State::There => Vec::new(),
        State::Gone => return None,
    })
}

/// In the order in which profiles were made; no key is another one's beginning.
pub fn profile_key(profile: &ProfileRef) -> Vec<u8> {
    [&profile.since.to_be_bytes()[..], &profile.id.key()].concat()
}

/// The profile that [`profile_key`] made a key of.
pub fn parse_profile_key(key: &[u8]) -> Option<ProfileRef> {
    let (since, id) = key.split_first_chunk()?;
    Some(ProfileRef { id: Id::from_key(id)?, since: u64::from_be_bytes(*since) })
}

/// In the order of places.
pub fn place_key(place: Place) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&time_number(place.time).to_be_bytes());
    key[8..].copy_from_slice(&place.offset.to_be_bytes());
    key
}

/// The place whose [`place_key`] a key ends with; `None`: it is none.
pub fn parse_place(key: &[u8]) -> Option<Place> {
    let key: &[u8; 16] = key.last_chunk()?;
    let [time, offset] = [0, 8].map(|at| key[at..at + 8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte)));
    Some(Place { time: number_time(time), offset })
}

/// A visit of a profile, in the order of the places of its sessions.
pub fn visit_key(profile: &ProfileRef, session: Place) -> Vec<u8> {
    [&profile_key(profile)[..], &place_key(session)].concat()
}

/// The tree that holds the places of events with this id.
pub fn event_tree(id: &Id) -> Tree {
    if id.tells_time() { Tree::TimedEventIds } else { Tree::EventIds }
}

/// The id first, so that all sources that used it stand together.
pub fn event_key(id: &Id, source: Option<&Id>) -> Vec<u8> {
    [id.key(), source.map(Id::key).unwrap_or_default()].concat()
}

/// Where the value of a key stands that is too large for a chunk. No key of a tree is another one's beginning.
pub fn large_key(tree: Tree, key: &[u8]) -> Vec<u8> {
    [&[tree as u8], key].concat()
}

/// Those of a destination stand together, in the order of their items.
pub fn aside_key(destination: &Id, item: u64) -> Vec<u8> {
    [&destination.key()[..], &item.to_be_bytes()].concat()
}

fn definition_key(kind: DefinitionKind, id: &Id) -> Vec<u8> {
    [&[kind as u8][..], &id.key()].concat()
}

/// Ordered by time; nothing is due before 1970.
pub fn delayed_key(due: Time, number: u64) -> Vec<u8> {
    [due.micros().max(0).to_be_bytes(), number.to_be_bytes()].concat()
}

pub fn parse_delayed_key(key: &[u8]) -> (Time, u64) {
    let part = |from: usize| key.get(from..from + 8).and_then(|bytes| bytes.try_into().ok()).unwrap_or_default();
    (Time::from_micros(i64::from_be_bytes(part(0))), u64::from_be_bytes(part(8)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tree_stands_in_its_place() {
        for (place, table) in TABLES.iter().enumerate() {
            assert_eq!(table.tree as usize, place, "{}", table.name);
        }
    }
}
