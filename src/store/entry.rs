//! The entries of the log, and the newest states that they lead to.

mod fold;
#[cfg(test)]
mod formerly;
mod skip;

use std::sync::Arc;

use bincode::Options;
use serde::{Deserialize, Deserializer, Serialize};

use crate::model::{
    Aside, Definition, DefinitionKind, DelayedEvent, Erasure, Event, EventRequest, FieldChange, Id, IdHash, Json,
    MergeKey, Named, Pass, Profile, ProfileRef, Session, Source, SourceSecrets, Time,
};

pub use fold::Fold;
pub use skip::{Skipped, skip};

/// One entry of the log. Its offset is its place: the first of a block's offsets plus its place in the block.
///
/// An event stands behind the [`Entry::Request`] it came in, in the same block; one that was imported behind its
/// [`Entry::ImportedRequest`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Entry {
    Request(#[serde(deserialize_with = "shared")] Arc<EventRequest>),
    Event(#[serde(deserialize_with = "shared")] Arc<Event>),
    Session(Arc<Session>),
    Profile(Arc<Profile>),
    /// From here on, which is the offset `since`, `name` leads to `profile`.
    Name {
        name: Id,
        since: u64,
        profile: ProfileRef,
    },
    /// The session numbered `session` had `profile` once and has another now. If that is another person, it `moved` from
    /// the one that `profile` led to then to this one.
    Visited {
        session: u64,
        profile: ProfileRef,
        moved: Option<(ProfileRef, ProfileRef)>,
    },
    Source(Arc<Source>),
    SourceDeleted(Id),
    /// The event at this offset.
    EventDeleted(u64),
    SessionDeleted(Id),
    /// With the newest of its names and keys; older ones were deleted before it.
    ProfileDeleted {
        id: Id,
        names: Vec<ProfileRef>,
        keys: Vec<MergeKey>,
        /// How many ids it had.
        ids: u64,
    },
    Definition(Arc<Definition>),
    DefinitionDeleted {
        kind: DefinitionKind,
        id: Id,
    },
    /// What a request changed in a profile, whose newest state stands before it; for destinations that want to know.
    ProfileChanged {
        profile: ProfileRef,
        changes: Vec<FieldChange>,
    },
    /// A destination has everything before `offset`.
    Delivered {
        destination: Id,
        offset: u64,
    },
    /// A profile is part of another one from here on.
    Absorbed {
        absorbed: ProfileRef,
        by: ProfileRef,
        merge: Merge,
    },
    /// An event that is to happen later; its offset is its number.
    Delayed(Arc<DelayedEvent>),
    /// It happened, or cannot happen any more.
    DelayedDone {
        due: Time,
        number: u64,
    },
    /// How far something that is scheduled is.
    Passed {
        kind: DefinitionKind,
        id: Id,
        pass: Pass,
    },
    /// A state of a profile in a block of format 3, which names its keys; new blocks have none.
    ProfileOfFormat3(Arc<Profile>),
    /// Who follows `name` goes on at `to`, and need not follow the merges one by one.
    Shortcut {
        name: ProfileRef,
        to: ProfileRef,
    },
    /// From here on `profile` is found by `key`.
    MergeKey {
        key: MergeKey,
        profile: ProfileRef,
    },
    /// A profile is part of no other one any more; its newest state follows. Its names are its own again.
    Split {
        profile: ProfileRef,
    },
    /// What a profile that is part of another one would be split off as; an [`Entry::Absorbed`] names it.
    AbsorbedState(Arc<Profile>),
    /// Some of the names of a profile that is about to be deleted, and of the keys that lead to it.
    NamesDeleted {
        names: Vec<ProfileRef>,
        keys: Vec<MergeKey>,
    },
    /// The secrets of a source that are valid from here on. Saving the source again does not touch them.
    SourceSecrets(Arc<SourceSecrets>),
    /// What stood here was erased.
    Erased,
    /// The events at these offsets are gone, and so are their ids: those that clients gave stay used.
    EventsErased {
        erasure: Id,
        events: Vec<u64>,
        given: Vec<(IdHash, u64)>,
    },
    /// Profiles and sessions of these ids were erased.
    IdsErased {
        ids: Vec<IdHash>,
    },
    /// Whose records an erasure is about; erased itself once they are gone from the disk.
    Named(Arc<Named>),
    /// How far an erasure is.
    Erasure(Arc<Erasure>),
    /// What imported events have in common. Its time is the one that they were first stored at, wherever that was: here it
    /// stands behind later ones.
    ImportedRequest(#[serde(deserialize_with = "shared")] Arc<EventRequest>),
    /// An event that was imported: queries and counts have it, and nothing is done about it.
    ImportedEvent(#[serde(deserialize_with = "shared")] Arc<Event>),
    /// The session or profile that was made at the offset `made` was imported. `shown` is an object with those of its
    /// parts that are shown as they came, for they do not follow from the rest.
    Imported {
        made: u64,
        shown: Json,
    },
    /// The item of a destination that stands at offset `item` is set aside, or fared so since.
    SetAside {
        destination: Id,
        item: u64,
        aside: Aside,
    },
    /// These are set aside no more: they were taken, are not there any more, or nobody wants them.
    AsideDone {
        destination: Id,
        items: Vec<u64>,
    },
}

/// What a merge can be taken back by.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "MergeRecord", into = "MergeRecord")]
pub struct Merge {
    /// Where the last state of the profile that was taken in stands in the log; `None`: within a later state of the
    /// other one, in a block of format 3.
    pub state: Option<u64>,
    /// Where the last state of the profile that took it in stands, if it had one.
    pub before: Option<u64>,
    /// The sessions that both had.
    pub shared_visits: u64,
    /// `None` until format 6, which did not note it.
    pub request: Option<MergingRequest>,
    /// The key that both were found by.
    pub key: Option<MergeKey>,
}

/// The request that made two profiles one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergingRequest {
    /// Where it begins in the log.
    pub begins: u64,
    /// From which offset on what it wrote is taken back with the merge: what it wrote before that, it wrote to the one that
    /// goes on.
    pub merges: u64,
}

/// As it is written.
#[derive(Serialize, Deserialize)]
struct MergeRecord {
    state: Option<u64>,
    before: Before,
    shared_visits: u64,
}

/// The state before the merge: the first two have the bytes of the `Option` that it was until format 6.
#[derive(Serialize, Deserialize)]
enum Before {
    None,
    State(u64),
    Noted { before: Option<u64>, request: MergingRequest, key: Option<MergeKey> },
}

impl From<Merge> for MergeRecord {
    fn from(Merge { state, before, shared_visits, request, key }: Merge) -> Self {
        let before = match (request, before) {
            (Some(request), before) => Before::Noted { before, request, key },
            (None, None) => Before::None,
            (None, Some(before)) => Before::State(before),
        };
        Self { state, before, shared_visits }
    }
}

impl From<MergeRecord> for Merge {
    fn from(MergeRecord { state, before, shared_visits }: MergeRecord) -> Self {
        let (before, request, key) = match before {
            Before::None => (None, None, None),
            Before::State(before) => (Some(before), None, None),
            Before::Noted { before, request, key } => (before, Some(request), key),
        };
        Self { state, before, shared_visits, request, key }
    }
}

/// What another id of a profile means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Name {
    /// The offset from which on it does.
    pub since: u64,
    /// The profile that it was given to. It may be a name itself by now.
    pub profile: ProfileRef,
    /// The offset at which this was said.
    pub said: u64,
    /// How it became a name, if it was a profile.
    pub merge: Option<Merge>,
}

/// What a state is found by, in the overlay, in the views and among the locks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    Session(Id),
    /// A profile's own id.
    Profile(Id),
    /// Another name of a profile.
    Name(Id),
    /// A name from which a shortcut leads on.
    Shortcut(ProfileRef),
    /// What a profile is found by beside its ids.
    MergeKey(MergeKey),
    /// An event id that a client gave.
    EventId {
        id: Id,
        source: Id,
    },
    Visited {
        session: u64,
        profile: ProfileRef,
    },
    /// A session that the profile and somebody else had.
    SharedSession {
        profile: ProfileRef,
        session: u64,
    },
    /// A profile of which there are such sessions, or were.
    SharesSessions(ProfileRef),
    DeletedEvent(u64),
    /// The session or profile that was made at this offset was imported.
    Imported(u64),
    Source(Id),
    SourceSecrets(Id),
    Definition(DefinitionKind, Id),
    /// How far a destination is.
    Delivered(Id),
    /// An item that is set aside for a destination, by its offset.
    Aside {
        destination: Id,
        item: u64,
    },
    /// In the order in which they are due.
    Delayed {
        due: Time,
        number: u64,
    },
    /// How far something that is scheduled is.
    Pass(DefinitionKind, Id),
    Erasure(Id),
    /// An id that was erased.
    ErasedId(IdHash),
}

/// The newest state under a [`Key`].
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    Session(Arc<Session>),
    Profile(Arc<Profile>),
    Name(Name),
    /// The profile that a merge key leads to, or the name that a shortcut does.
    Leads(ProfileRef),
    EventId(EventPlace),
    Source(Arc<Source>),
    SourceSecrets(Arc<SourceSecrets>),
    Definition(Arc<Definition>),
    Offset(u64),
    Delayed(Arc<DelayedEvent>),
    Pass(Pass),
    Erasure(Arc<Erasure>),
    /// Parts that are shown as they came.
    Shown(Json),
    Aside(Aside),
    /// The key itself is all there is to know.
    There,
    Gone,
}

impl State {
    /// About what it takes in memory, with its key.
    pub fn bytes(&self) -> usize {
        const RECORD: usize = 512;
        match self {
            Self::Session(session) => RECORD + session.bytes(),
            Self::Profile(profile) => RECORD + profile.bytes(),
            Self::Definition(definition) => RECORD + definition.body.as_str().len(),
            Self::Source(source) => RECORD + source.config.as_str().len(),
            Self::Delayed(event) => RECORD + event.properties.as_str().len(),
            Self::Shown(shown) => RECORD + shown.as_str().len(),
            _ => RECORD,
        }
    }
}

/// Where the event with a client's id stands, and whose it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventPlace {
    pub offset: u64,
    pub profile: Option<ProfileRef>,
}

/// The one way in which records are written as bytes: bincode with variable-length integers.
pub fn encoding() -> impl Options {
    bincode::DefaultOptions::new().allow_trailing_bytes()
}

/// Appends `record` to `out`.
pub fn encode_into(out: &mut Vec<u8>, record: &impl Serialize) {
    // Writing to memory fails only for a sequence of unknown length; the records have none.
    encoding().serialize_into(out, record).expect("records are made of sized parts");
}

/// How many bytes [`encode_into`] appends for `record`.
fn encoded_length(record: &impl Serialize) -> usize {
    let length = encoding().serialized_size(record).expect("records are made of sized parts");
    usize::try_from(length).expect("a record stands in memory")
}

pub fn encode(record: &impl Serialize) -> Vec<u8> {
    let mut out = Vec::new();
    encode_into(&mut out, record);
    out
}

/// Reads what is shared. As serde does it, it would be moved into a box first, and then copied out of it.
fn shared<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Arc<T>, D::Error> {
    T::deserialize(deserializer).map(Arc::new)
}

/// Reads one record; `None` when the bytes are none.
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Option<T> {
    encoding().deserialize(bytes).ok()
}

/// Reads `count` records that stand one behind the other; `None` when the bytes do not begin with these.
pub fn decode_all<'a, T: Deserialize<'a>>(bytes: &'a [u8], count: u32) -> Option<Vec<T>> {
    let mut reader = bincode::Deserializer::from_slice(bytes, encoding());
    (0..count).map(|_| T::deserialize(&mut reader).ok()).collect()
}
