//! The answer to a payload (contract, section 3).

use serde::{Serialize, ser::SerializeMap};

use super::{
    Id, Profile,
    event::{Empty, Entity},
};

/// What the client is told: the seed's answer, and nothing more unless there is something to say.
pub struct Answer {
    pub profile: Option<Profile>,
    /// The client asked for the whole profile and may have it.
    pub whole_profile: bool,
    /// The source requires consent.
    pub consent: bool,
    pub warnings: Vec<String>,
    /// What really happened, if the client asked for it and may know.
    /// Comes with the request's id.
    pub debugging: Option<(Id, Debugging)>,
}

/// What the debugger shows.
pub struct Debugging {
    pub session_id: Option<Id>,
    /// The ids of the events that were stored.
    pub stored: Vec<Id>,
    pub session: SavedRecords,
    pub events: SavedRecords,
    pub profile: SavedRecords,
}

/// How a kind of record fared.
#[derive(Default, Serialize)]
pub struct SavedRecords {
    /// How many records were written; 0 where nothing changed or saving was off.
    pub saved: usize,
    pub errors: Vec<String>,
    /// The ids concerned.
    pub ids: Vec<Id>,
    /// Of events: their types.
    pub types: Vec<Box<str>>,
}

const NONE: [&str; 0] = [];

impl Serialize for Answer {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Source {
            consent: bool,
        }
        let mut map = serializer.serialize_map(None)?;
        match &self.profile {
            None => map.serialize_entry("profile", &Empty {})?,
            Some(profile) if self.whole_profile => map.serialize_entry("profile", &profile.shown())?,
            Some(profile) => map.serialize_entry("profile", &Entity { id: &profile.id })?,
        }
        map.serialize_entry("source", &Source { consent: self.consent })?;
        if let Some((task, debugging)) = &self.debugging {
            map.serialize_entry("task", task)?;
            map.serialize_entry("session", &debugging.session_id.as_ref().map(|id| Entity { id }))?;
            map.serialize_entry("events", &debugging.stored)?;
            map.serialize_entry("ux", &NONE)?;
            map.serialize_entry("response", &Empty {})?;
            map.serialize_entry("errors", &NONE)?;
        }
        if self.debugging.is_some() || !self.warnings.is_empty() {
            map.serialize_entry("warnings", &self.warnings)?;
        }
        if let Some((_, debugging)) = &self.debugging {
            map.serialize_entry("debugging", debugging)?;
        }
        map.end()
    }
}

/// The seed's `debugging` object, in full.
impl Serialize for Debugging {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Segmentation {
            errors: [&'static str; 0],
            ids: [&'static str; 0],
        }
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("session", &self.session)?;
        map.serialize_entry("events", &self.events)?;
        map.serialize_entry("profile", &self.profile)?;
        map.serialize_entry("execution", &Empty {})?;
        map.serialize_entry("segmentation", &Segmentation { errors: NONE, ids: NONE })?;
        map.serialize_entry("logs", &NONE)?;
        map.end()
    }
}
