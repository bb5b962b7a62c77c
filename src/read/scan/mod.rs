//! Walks for the records that a filter means, one kind of record a file, each in the order of their places.

mod events;
mod first_events;
mod owners;
mod profiles;
mod rows;
mod sessions;
mod timeline;

use std::{ops::Range, sync::Arc};

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crate::{
    model::{Json, Object, Place, Profile, Session, ShownEvent, Time, Value},
    process::{Expression, Scope},
    store::{LogView, StoreError},
};

pub use events::{EventScan, Events};
pub use owners::EventOwners;
pub use profiles::ProfileScan;
pub use sessions::SessionScan;
pub use timeline::Timeline;

/// How many sessions or profiles a step looks at, so that it stays short.
const LOOKED_AT_TOGETHER: usize = 1_024;
/// A step ends with the session or profile that makes what it found longer than so many bytes; events are as many as a few
/// blocks hold.
const STEP_BYTES: usize = 1024 * 1024;

/// A walk for records of a kind, in the order of their places: events by when they were taken, sessions by when they
/// began, profiles by the offset at which they were made.
pub trait Scan: Send {
    /// The places that were not looked at yet; none: it is done.
    fn left(&self) -> Range<Place>;

    /// What it read so far.
    fn read(&self) -> Read;

    /// Looks a little further: the next records that are meant, at most `most`; perhaps none yet.
    fn step(&mut self, log: &LogView<'_>, most: usize) -> Result<Vec<Found>, StoreError>;
}

/// A record and its place.
pub struct Found {
    pub place: Place,
    pub record: Record,
}

/// A record as it is shown.
pub enum Record {
    Event(ShownEvent),
    /// If it was imported, with the parts that are shown as they came.
    Session(Box<Session>, Option<Json>),
    /// With whether it was imported.
    Profile(Arc<Profile>, bool),
    /// One of a list of several kinds, with its kind.
    OfKind(Value),
}

impl Record {
    /// About how many bytes it takes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Event(ShownEvent { request, event }) => {
                let parts = [&event.properties, &event.context, &event.outcome.written, &request.context];
                parts.iter().map(|part| part.as_str().len()).sum()
            }
            Self::Session(session, _) => session.bytes(),
            Self::Profile(profile, _) => profile.bytes(),
            Self::OfKind(record) => record.size(),
        }
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Event(event) => event.serialize(serializer),
            Self::Session(session, imported) => session.shown_if_imported(imported.as_ref()).serialize(serializer),
            Self::Profile(profile, imported) => profile.shown_if_imported(*imported).serialize(serializer),
            Self::OfKind(record) => record.serialize(serializer),
        }
    }
}

/// What a query read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "WhatWasRead")]
pub struct Read {
    /// Blocks of the log that were opened.
    pub blocks: u64,
    /// Pages of 4,096 events that an index left out.
    pub skipped: u64,
}

/// Whether a filter's condition, if there is one, holds for the record of this name.
fn holds(condition: Option<&Expression>, name: &'static str, record: &impl Serialize, now: Time) -> bool {
    let Some(condition) = condition else { return true };
    let mut records = Object::default();
    records.insert(name, Value::shown(record));
    condition.holds(&Scope::stored(&records, now)).unwrap_or(false)
}
