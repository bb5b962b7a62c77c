//! What happens to an event: its type's schema and mapping, what identifies its profile, segments, workflows.
//!
//! ```text
//! event type   schema, journey, tags, mapping to event and profile
//! identity     what was written may tell whose profile it is
//! workflows    that the event starts, step by step
//! segments     once the profile stands; entering and leaving may start more
//! ```
//!
//! [`Rules`] is what people set up, compiled once when it changes. The room changes only [`Records`]: nothing is stored
//! here. It knows no HTTP server and no sled; it asks the store for profiles and external systems for facts.

mod attach;
mod condition;
mod consent;
mod definition;
mod destination;
mod digest;
mod dns;
mod event_type;
mod hosts;
mod identity;
mod left;
mod lookup;
mod mapping;
mod memory;
mod operation;
mod people;
mod records;
mod redirect;
mod rules;
mod run;
mod schedule;
mod schema;
mod scope;
mod secrets;
mod segment;
mod tally;
mod template;
mod workflow;

pub use condition::Expression;
pub use consent::CONSENT_UPDATE;
pub use definition::{duration, read_toml};
pub use destination::{Destination, Target};
pub use digest::hex;
pub use hosts::AllowedHosts;
pub use identity::Identity;
pub use left::Left;
pub use lookup::{LookupFigures, Lookups, plain_client};
pub use memory::Memory;
pub use people::{People, Searches, find_profile, referred_profile};
pub use records::{EventDraft, PreparedProfile, ProfileDraft, Records, SessionDraft};
pub use redirect::Redirect;
pub use rules::{Mistake, PROFILE_SPLIT, Processing, Rules, RulesInForce, definition_schema};
pub use schedule::Schedule;
pub use scope::Scope;
pub use secrets::{Secrets, SecretsError};
pub use tally::{Tallies, Tally};

use crate::{
    clock::Clock,
    model::{EventType as TypeName, Fault, Id, Json},
    store::{Key, Refused},
};

/// What processing stands on.
pub struct Ground<'a> {
    /// `None`: external systems are not asked.
    pub lookups: Option<&'a Lookups>,
    pub identity: &'a Identity,
    pub clock: &'a Clock,
    pub people: &'a People<'a>,
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
fn internal_event<'a>(ground: &Ground<'_>, kind: &str, properties: Json, saved: bool) -> EventDraft<'a> {
    let kind = TypeName { id: kind.into(), name: kind.into() };
    EventDraft::internal(kind, properties, ground.clock.make_id(), saved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ready_made_compiles() {
        let types = event_type::ready_made().unwrap();
        assert_eq!(types.len(), 65);
    }
}
