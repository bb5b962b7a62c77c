//! What is kept of an erasure: how much went and what is left, and nothing that tells whose it was.

use serde::{Deserialize, Serialize};

use super::{DefinitionKind, EventRequest, Id, ProfileRef, Time};

/// Somebody's records that were erased, or all in them that told who it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Erasure {
    pub id: Id,
    pub kind: ErasureKind,
    pub asked: Time,
    /// How many events it is about, how many sessions, and how many profiles.
    pub events: u64,
    pub sessions: u64,
    pub profiles: u64,
    /// Where the ids stand in the log whose records are to go from the disk.
    pub named_at: u64,
    /// The destinations that are to hear of it.
    pub destinations: Vec<Id>,
    pub left: Vec<Left>,
    /// Since when nothing of it is on the disk.
    pub done: Option<Time>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErasureKind {
    /// The records are gone.
    Erased,
    /// The records are there, without what identifies somebody.
    Forgotten,
}

/// What an erasure does not reach.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Left {
    /// A file that a destination writes: what was delivered to it stands there.
    File { destination: Id, file: Box<str> },
    /// Something that was set up and holds an address or an id of the person.
    Definition { kind: DefinitionKind, id: Id },
    /// A destination that did not take the news before the ids had to go.
    Untold(Id),
}

/// An id of an event, a profile or a session that was erased, hashed with this installation's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IdHash(pub [u8; 16]);

/// The ids of somebody whose records are to go from the disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Named {
    pub erasure: Id,
    pub kind: ErasureKind,
    /// What stands before this offset is to go; whoever has one of the ids from here on is somebody new.
    pub before: u64,
    /// Every id of the person: the profile's own first, then the newest of the others.
    pub ids: Vec<Id>,
    /// The sessions that were theirs alone.
    pub sessions: Vec<Id>,
    /// The profile that goes on, of whom nobody knows any more who it is.
    pub kept: Option<ProfileRef>,
    /// The destinations that hear of it by this entry.
    pub told: Vec<Id>,
}

impl Named {
    /// A request of whoever is forgotten, without what identifies them.
    pub fn strip(&self, request: &EventRequest) -> EventRequest {
        request.stripped(self.kept.clone().filter(|_| request.profile.is_some()))
    }
}
