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

mod condition;
mod consent;
mod definition;
mod destination;
mod digest;
mod event_type;
mod identity;
mod lookup;
mod mapping;
mod operation;
mod people;
mod records;
mod rules;
mod run;
mod schedule;
mod schema;
mod scope;
mod secrets;
mod segment;
mod template;
mod workflow;

use std::collections::HashMap;

pub use definition::read_toml;
pub use destination::{Destination, Target};
pub use identity::Identity;
pub use lookup::{AllowedHosts, Lookups, plain_client};
pub use people::{People, find_profile, referred_profile};
pub use records::{EventDraft, FixedProfile, ProfileDraft, Records, SessionDraft};
pub use rules::{Mistake, Processed, Rules, RulesInForce};
pub use run::Left;
pub use schedule::Schedule;
pub use scope::Scope;
pub use secrets::{Secrets, SecretsError};

use crate::{
    clock::Clock,
    model::{EventType as TypeName, Fault, Id, Json, Value},
    store::{Key, Refused},
};
use lookup::Question;

/// What the server itself notes.
pub const PROFILE_CREATED: &str = "profile-created";
pub const SESSION_OPENED: &str = "session-opened";
pub const VISIT_STARTED: &str = "visit-started";

/// What processing stands on.
pub struct Ground<'a> {
    /// `None`: external systems are not asked.
    pub lookups: Option<&'a Lookups>,
    pub identity: &'a Identity,
    pub clock: &'a Clock,
    pub people: &'a People<'a>,
}

/// Why a request is not processed to its end.
#[derive(Debug)]
pub enum Interrupted {
    /// It needs more names: it starts again with these locked.
    Names(Vec<Key>),
    /// It goes on in this session: it starts again with it.
    Session(Id),
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

/// What a request keeps when it starts again.
#[derive(Default)]
pub struct Memory {
    /// Names that turned up on the way.
    pub names: Vec<Key>,
    /// The session that a workflow attached.
    pub session: Option<Id>,
    answers: HashMap<[u8; 32], Result<Value, String>>,
    profile: Option<Id>,
    events: Vec<Id>,
}

impl Memory {
    /// What an external system says; it is asked once.
    async fn answer(&mut self, lookups: &Lookups, question: &Question) -> Result<Value, String> {
        if let Some(answer) = self.answers.get(&question.hash) {
            return answer.clone();
        }
        let answer = lookups.ask(question).await;
        self.answers.insert(question.hash, answer.clone());
        answer
    }

    /// The id of a profile that the request makes.
    pub fn new_profile(&mut self, ground: &Ground<'_>) -> Id {
        self.profile.get_or_insert_with(|| ground.clock.make_id()).clone()
    }

    /// The id of the event that the request emits as its `number`-th.
    fn new_event(&mut self, ground: &Ground<'_>, number: usize) -> Id {
        while self.events.len() < number {
            self.events.push(ground.clock.make_id());
        }
        self.events[number - 1].clone()
    }
}

/// An event that the server itself makes, with a new id.
pub fn internal_event<'a>(ground: &Ground<'_>, kind: &str, properties: Json, saved: bool) -> EventDraft<'a> {
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
        let mut identifying: Vec<&str> = types.values().filter(|kind| kind.identifies).map(|kind| &*kind.id).collect();
        identifying.sort_unstable();
        assert_eq!(
            identifying,
            [
                "identification",
                "message-opened",
                "message-received",
                "message-sent",
                "messaging-ended",
                "messaging-started",
                "profile-update",
                "sign-in",
                "sign-up",
            ]
        );
    }
}
