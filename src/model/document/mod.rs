//! Records as they come in from files: what this project exports, the reference's documents, Segment's messages.
//!
//! A document has its own time and id, and is checked as what a client sends is. What it says of other records is by
//! their ids alone.

mod event;
mod members;
mod profile;
mod segment;
mod session;

use super::{ClientFacts, Event, Fault, Id, Json, Profile, Reader, Session, Time};
use members::Members;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    Event,
    Session,
    Profile,
}

impl RecordKind {
    /// # Errors
    /// It is none of the words.
    pub fn read(word: &str) -> Result<Self, Fault> {
        let kind = [Self::Event, Self::Session, Self::Profile].into_iter().find(|kind| kind.plural() == word);
        kind.ok_or_else(|| Fault::new("value_error", "events, sessions or profiles is expected"))
    }

    /// The word for all of them.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Event => "events",
            Self::Session => "sessions",
            Self::Profile => "profiles",
        }
    }
}

/// A record that is to be imported.
#[derive(Debug)]
pub enum Document {
    Event(Box<EventDocument>),
    Session(Box<SessionDocument>),
    Profile(Box<ProfileDocument>),
}

/// An event, with what it has in common with others.
#[derive(Debug)]
pub struct EventDocument {
    /// `None`: the document names none.
    pub source: Option<Id>,
    pub session: Option<Id>,
    pub profile: Option<Id>,
    /// When it was stored first.
    pub inserted: Time,
    pub profile_less: bool,
    pub client: ClientFacts,
    pub bot: bool,
    /// With all of its context.
    pub event: std::sync::Arc<Event>,
    /// What it says of its profile, which is made if nobody has the id.
    pub person: Option<Person>,
}

/// What a message says of a person beside the id.
#[derive(Debug)]
pub struct Person {
    /// Another id of theirs.
    pub alias: Option<Id>,
    pub traits: Json,
}

/// A session, but for its place in the log.
#[derive(Debug)]
pub struct SessionDocument {
    pub profile: Option<Id>,
    pub session: Session,
    /// An object with those of its parts that do not follow from the rest.
    pub shown: Json,
}

/// A profile, but for its place in the log.
#[derive(Debug)]
pub struct ProfileDocument {
    pub profile: Profile,
    /// Its other ids.
    pub names: Vec<Id>,
    /// When the latest visit began, and the one before it.
    pub visits: [Option<Time>; 2],
}

/// The members of documents of all kinds.
const FIELDS: &[&str] = &[
    "id",
    "type",
    "name",
    "source",
    "session",
    "profile",
    "properties",
    "context",
    "request",
    "tags",
    "traits",
    "data",
    "journey",
    "metadata",
    "hit",
    "utm",
    "device",
    "os",
    "app",
    "ids",
    "primary_id",
    "stats",
    "segments",
    "interests",
    "consents",
    "aux",
    "event",
    "messageId",
    "anonymousId",
    "userId",
    "previousId",
    "groupId",
    "timestamp",
    "originalTimestamp",
    "receivedAt",
    "sentAt",
    "_source",
];

impl Document {
    /// Reads one record. `kind`: which it is to be; else that is told by what it has.
    ///
    /// # Errors
    /// It is no JSON object, or none of the documents that are known, or a field of it is missing or wrong; the fault
    /// names it. Also where it says that it was stored after `now`.
    pub fn read(text: &[u8], kind: Option<RecordKind>, now: Time) -> Result<Self, Fault> {
        let mut reader = Reader::new(text, 0)?;
        let mut members = Members::read(&mut reader, FIELDS)?;
        reader.end()?;
        // As a search engine's dump wraps them.
        if let Some(wrapped) = members.get("_source") {
            members = Members::of(wrapped, FIELDS).map_err(|fault| fault.at("_source"))?;
        }
        if segment::is_message(&members) && kind.is_none_or(|kind| kind == RecordKind::Event) {
            return segment::read(&members, text, now).map(|event| Self::Event(Box::new(event)));
        }
        let kind = kind.or_else(|| told_kind(&members)).ok_or_else(|| {
            Fault::new(
                "value_error",
                "neither an event (type), a session (profile) nor a profile (ids, stats or segments)",
            )
        })?;
        Ok(match kind {
            RecordKind::Event => Self::Event(Box::new(event::read(&members, now)?)),
            RecordKind::Session => Self::Session(Box::new(session::read(&members, now)?)),
            RecordKind::Profile => Self::Profile(Box::new(profile::read(&members, now)?)),
        })
    }
}

fn told_kind(members: &Members) -> Option<RecordKind> {
    let has = |names: &[&str]| names.iter().any(|name| members.mentions(name));
    match () {
        () if has(&["type"]) => Some(RecordKind::Event),
        () if has(&["ids", "stats", "segments", "interests", "consents"]) => Some(RecordKind::Profile),
        () if has(&["profile"]) => Some(RecordKind::Session),
        () => None,
    }
}

/// `time`, which may not lie after `now`: an import does not move the server's time.
fn past(time: Time, now: Time) -> Result<Time, Fault> {
    if time <= now { Ok(time) } else { Err(Fault::new("value_error", "it lies in the future")) }
}

#[cfg(test)]
mod tests;
