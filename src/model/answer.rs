//! The answer to a payload (contract, section 3).

use std::sync::Arc;

use serde::{Serialize, ser::SerializeMap};

use super::{
    Debugging, Id, Object, Profile, Value,
    event::{Empty, Entity},
};

/// What the client is told: the seed's answer, and nothing more unless there is something to say.
#[derive(Default)]
pub struct Answer {
    pub profile: Option<Arc<Profile>>,
    /// The client asked for the whole profile and may have it.
    pub whole_profile: bool,
    /// The source requires consent.
    pub consent: bool,
    pub warnings: Vec<String>,
    /// What workflows answer.
    pub response: Object,
    /// What workflows want to be shown: a list of `{tag, props, content}`.
    pub ux: Vec<Value>,
    /// What really happened, if the client asked for it and may know.
    /// Comes with the request's id.
    pub debugging: Option<(Id, Debugging)>,
}

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
            map.serialize_entry("errors", &[""; 0])?;
        }
        if self.debugging.is_some() || !self.ux.is_empty() {
            map.serialize_entry("ux", &self.ux)?;
        }
        if self.debugging.is_some() || !self.response.is_empty() {
            map.serialize_entry("response", &Value::Object(self.response.clone()))?;
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
