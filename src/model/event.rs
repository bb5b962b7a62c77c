//! Events as they are stored (docs/contract.md, section 10); `shown` has what is made of them.

mod shown;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{
    Deserialize, Serialize,
    ser::{SerializeMap, SerializeStruct},
};

use super::{Id, Json, ProfileRef, Time};

pub use shown::{Entity, EventParts, ShownEvent};

/// What the events of one request share; stands once in the log, before them.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(from = "StoredRequest")]
pub struct EventRequest {
    /// The server's time, which orders the log.
    pub inserted: Time,
    pub source: Id,
    pub session: Option<Id>,
    pub profile: Option<ProfileRef>,
    pub profile_less: bool,
    /// The base of each event's `context`.
    pub context: Json,
    pub client: Arc<ClientFacts>,
    /// The user agent is a known bot's.
    pub bot: bool,
    /// The offset of the profile's state as it was with them: as the request left it. `None`: there is no profile, its state
    /// was not stored, or an earlier version stored them, which did not note it.
    pub profile_state: Option<u64>,
    /// They did not come by a request, but from a file. The log says so by the kind of entry.
    pub imported: bool,
}

/// As it stands in the log.
#[derive(Deserialize)]
struct StoredRequest {
    inserted: Time,
    source: Id,
    session: Option<Id>,
    profile: Option<ProfileRef>,
    profile_less: bool,
    context: Json,
    client: Arc<ClientFacts>,
    seen: Seen,
}

/// Who sent a request, and the state of their profile. The first two have the bytes of `false` and `true`, which stand here
/// in a store that an earlier version wrote.
#[derive(Clone, Copy, Serialize, Deserialize)]
enum Seen {
    Person,
    Bot,
    PersonWith(u64),
    BotWith(u64),
}

impl Serialize for EventRequest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let seen = match (self.bot, self.profile_state) {
            (false, None) => Seen::Person,
            (true, None) => Seen::Bot,
            (false, Some(state)) => Seen::PersonWith(state),
            (true, Some(state)) => Seen::BotWith(state),
        };
        let mut stored = serializer.serialize_struct("StoredRequest", 8)?;
        stored.serialize_field("inserted", &self.inserted)?;
        stored.serialize_field("source", &self.source)?;
        stored.serialize_field("session", &self.session)?;
        stored.serialize_field("profile", &self.profile)?;
        stored.serialize_field("profile_less", &self.profile_less)?;
        stored.serialize_field("context", &self.context)?;
        stored.serialize_field("client", &self.client)?;
        stored.serialize_field("seen", &seen)?;
        stored.end()
    }
}

impl From<StoredRequest> for EventRequest {
    fn from(stored: StoredRequest) -> Self {
        let StoredRequest { inserted, source, session, profile, profile_less, context, client, seen } = stored;
        let (bot, profile_state) = match seen {
            Seen::Person => (false, None),
            Seen::Bot => (true, None),
            Seen::PersonWith(state) => (false, Some(state)),
            Seen::BotWith(state) => (true, Some(state)),
        };
        let imported = false;
        Self { inserted, source, session, profile, profile_less, context, client, bot, profile_state, imported }
    }
}

impl EventRequest {
    /// The same without what identifies somebody; it is of `profile`.
    pub fn stripped(&self, profile: Option<ProfileRef>) -> Self {
        let (context, client, profile_state) = (Json::empty_object(), Arc::default(), None);
        Self { profile, context, client, profile_state, ..self.clone() }
    }
}

/// What is known of the client from the connection and the request's head: this list and no more.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub struct ClientFacts {
    /// As the setting `track.ip` lets it be kept.
    #[schemars(skip_serializing_if = "Option::is_none", with = "str")]
    pub ip: Option<Box<str>>,
    #[schemars(skip_serializing_if = "Option::is_none", with = "str")]
    pub user_agent: Option<Box<str>>,
    #[schemars(skip_serializing_if = "Option::is_none", with = "str")]
    pub referer: Option<Box<str>>,
    #[schemars(skip_serializing_if = "Option::is_none", with = "str")]
    pub origin: Option<Box<str>>,
    #[schemars(skip_serializing_if = "Option::is_none", with = "str")]
    pub accept_language: Option<Box<str>>,
}

impl Serialize for ClientFacts {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = [
            ("ip", &self.ip),
            ("user-agent", &self.user_agent),
            ("referer", &self.referer),
            ("origin", &self.origin),
            ("accept-language", &self.accept_language),
        ];
        if !serializer.is_human_readable() {
            return fields.map(|(_, value)| value).serialize(serializer);
        }
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in fields {
            if let Some(value) = value {
                map.serialize_entry(name, value)?;
            }
        }
        map.end()
    }
}

/// An event as the log keeps it, without what its request holds for all of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub id: Id,
    /// The id is the client's, an idempotency key; otherwise the server made it.
    pub given: bool,
    pub kind: Arc<str>,
    pub name: Arc<str>,
    /// When the client says that it happened; `None`: when it was taken.
    pub created: Option<Time>,
    pub properties: Json,
    pub context: Json,
    pub tags: Arc<[Box<str>]>,
    pub outcome: Outcome,
}

impl Event {
    /// The same without what identifies somebody: what it counts as stays.
    pub fn stripped(&self) -> Self {
        let written = Json::empty_object();
        Self {
            properties: Json::empty_object(),
            context: Json::empty_object(),
            outcome: Outcome { written, ..self.outcome.clone() },
            ..self.clone()
        }
    }
}

/// What processing made of an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    pub journey: Option<Arc<str>>,
    /// It keeps to its type's schema.
    pub valid: bool,
    pub status: EventStatus,
    /// An object with those of the parts `data`, `traits`, `hit`, `device` and so on that something was written to;
    /// laid over what is derived. [`IDENTIFIED`] among them is shown in `metadata`.
    pub written: Json,
}

/// Under this name stands `false` with an event that says whose it is and was not let.
pub const IDENTIFIED: &str = "identified";

impl Default for Outcome {
    fn default() -> Self {
        Self { journey: None, valid: true, status: EventStatus::Collected, written: Json::empty_object() }
    }
}

/// How far an event came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EventStatus {
    /// It was stored, and no workflow was concerned with it.
    Collected,
    /// Every workflow that it started came to its end.
    Processed,
    /// A workflow that it started failed.
    Error,
}

impl EventStatus {
    pub fn word(self) -> &'static str {
        match self {
            Self::Collected => "collected",
            Self::Processed => "processed",
            Self::Error => "error",
        }
    }
}
