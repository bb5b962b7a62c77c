//! What happens to an event: its type's schema and mapping, what identifies its profile, segments, workflows.
//!
//! ```text
//! event type   schema, journey, tags, mapping to event and profile
//! identity     what was written may tell whose profile it is
//! workflows    that the event starts, step by step
//! segments     once the profile stands; entering and leaving may start more
//! ```
//!
//! `pipeline.rs` has these steps, top to bottom; `whose.rs` asks before each event whether it is another person's.
//! [`Rules`] is what people set up, compiled once when it changes (`definitions/` has a file for each kind). `identity/`
//! says who is who, `expression/` evaluates conditions and fills templates, `run.rs` runs a workflow's steps, `outbound/`
//! asks external systems. This module changes only [`Records`]: nothing is stored here. It knows no HTTP server and no
//! sled; it asks the store for profiles and external systems for facts.

mod definitions;
mod digest;
mod expression;
mod identity;
mod loops;
mod outbound;
mod outcome;
mod pipeline;
mod records;
mod retry;
mod rules;
mod run;
mod tally;
mod whose;

pub use definitions::{
    consent::CONSENT_UPDATE,
    destination::{Destination, Target},
    duration, read_toml,
    redirect::Redirect,
    schedule::Schedule,
};
pub use digest::{hex, sha256};
pub use expression::{condition::Expression, scope::Scope};
pub use identity::{
    blocked::key_of_blocked,
    keys::{Identity, IdentitySettings, KeyPlace},
    people::{People, Searches, find_profile, referred_profile},
};
pub use loops::LoopBound;
pub use outbound::{
    hosts::AllowedHosts,
    lookup::{LookupFigures, Lookups, plain_client},
    post::NotTaken,
    secrets::{Secrets, SecretsError},
};
pub use outcome::Outcome;
pub use pipeline::{PROFILE_MERGED, PROFILE_SPLIT, Processing};
pub use records::{EventDraft, PreparedProfile, ProfileDraft, Records, Rest, SessionDraft};
pub use retry::RetryState;
pub use rules::{Mistake, Rules, RulesInForce, definition_schema};
pub use tally::{Tallies, Tally};

use crate::{
    clock::Clock,
    model::{EventType as TypeName, Fault, Id, Json},
    store::{Key, Refused},
};

/// What processing stands on.
pub struct ProcessContext<'a> {
    /// `None`: external systems are not asked.
    pub lookups: Option<&'a Lookups>,
    pub identity: &'a Identity,
    pub clock: &'a Clock,
    pub people: &'a People<'a>,
    pub loops: &'a LoopBound,
    /// Whether what the server itself notes is stored as events.
    pub saves_internal: bool,
}

/// Why a request is not processed to its end.
#[derive(Debug)]
pub enum Interrupted {
    /// It needs more names: it starts again with these locked.
    Names(Vec<Key>),
    /// It goes on in this session: it starts again with it.
    Session(Id),
    /// It starts again with what it remembers.
    Again,
    /// An event does not keep to its schema.
    NotAccepted(String),
    /// What the client sent cannot be kept.
    Invalid(Fault),
    Refused(Refused),
}

impl From<Refused> for Interrupted {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// An event that the server itself makes, with a new id.
fn internal_event<'a>(context: &ProcessContext<'_>, kind: &str, properties: Json, saved: bool) -> EventDraft<'a> {
    let kind = TypeName { id: kind.into(), name: kind.into() };
    EventDraft::internal(kind, properties, context.clock.make_id(), saved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ready_made_compiles() {
        let types = definitions::event_type::ready_made().unwrap();
        assert_eq!(types.len(), 65);
    }
}
