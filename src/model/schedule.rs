//! What is to happen later: events with a delay, and how far a schedule is.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Id, Json, ProfileRef, Time};

/// An event that is to happen at its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DelayedEvent {
    pub due: Time,
    pub source: Id,
    pub session: Option<Id>,
    pub profile: Option<ProfileRef>,
    /// Its type.
    pub kind: Arc<str>,
    pub name: Arc<str>,
    pub properties: Json,
    /// How many events emitted each other up to it.
    pub depth: u8,
    /// It is stored when it happens.
    pub saved: bool,
}

impl DelayedEvent {
    /// What the server itself notes of a profile, to be processed as soon as may be.
    pub fn internal(source: Id, profile: ProfileRef, kind: &str, now: Time) -> Self {
        Self {
            due: now,
            source,
            session: None,
            profile: Some(profile),
            kind: kind.into(),
            name: kind.into(),
            properties: Json::empty_object(),
            depth: 0,
            saved: false,
        }
    }
}

/// How far something that is scheduled is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pass {
    /// When it last began.
    pub begun: Time,
    /// The profile that it dealt with last, unless it came to its end.
    pub under_way: Option<Id>,
}
