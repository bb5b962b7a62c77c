//! Events as they are stored and shown (contract, section 10).

use std::{borrow::Cow, sync::Arc};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize, ser::SerializeMap};

use super::{Derived, Id, Json, ProfileRef, Time, Value, derived::Told, json::free_object};

/// What the events of one request share; stands once in the log, before them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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

/// An event with its request, as `GET /event/ID` shows it.
pub struct ShownEvent {
    pub request: Arc<EventRequest>,
    pub event: Arc<Event>,
}

/// `{"id": ...}`.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
pub(super) struct Entity<'a> {
    pub id: &'a Id,
}

/// What happened.
#[derive(Serialize, JsonSchema)]
struct Shown<'a> {
    id: &'a Id,
    /// In lower case, with `-` between its words.
    r#type: &'a str,
    /// The type as it was sent.
    name: &'a str,
    source: Entity<'a>,
    session: Option<Entity<'a>>,
    profile: Option<Entity<'a>>,
    #[schemars(schema_with = "free_object")]
    properties: &'a Json,
    #[schemars(schema_with = "free_object")]
    context: Json,
    request: &'a ClientFacts,
    tags: &'a [Box<str>],
    #[schemars(schema_with = "free_object")]
    traits: Value,
    #[schemars(schema_with = "free_object")]
    data: Value,
    journey: Journey<'a>,
    metadata: Metadata,
    /// The page.
    #[schemars(schema_with = "free_object")]
    hit: Value,
    /// The campaign.
    #[schemars(schema_with = "free_object")]
    utm: Value,
    #[schemars(schema_with = "free_object")]
    device: Value,
    #[schemars(schema_with = "free_object")]
    os: Value,
    #[schemars(schema_with = "free_object")]
    app: Value,
}

#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct Journey<'a> {
    state: Option<&'a str>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct Metadata {
    time: Times,
    profile_less: bool,
    status: EventStatus,
    /// It keeps to its type's schema.
    valid: bool,
    /// The user agent is a known bot's.
    bot: bool,
    /// `false` with an event that says whose it is and was not let.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    identified: Option<Value>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct Times {
    /// The server's, which counts.
    insert: Time,
    /// The client's, if it said one.
    create: Time,
}

impl Serialize for ShownEvent {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { request, event } = self;
        let context = request.context.updated(&event.context);
        let client = &request.client;
        let derived = Derived::new(
            &context,
            Told {
                user_agent: client.user_agent.as_deref(),
                accept_language: client.accept_language.as_deref(),
                referer: client.referer.as_deref(),
            },
        );
        let written = Value::from(&event.outcome.written);
        let laid_over = |derived: Value, part: &str| {
            let mut shown = derived;
            let written = written.as_object().and_then(|parts| parts.get(part)).and_then(Value::as_object);
            if let (Some(written), Some(shown)) = (written, shown.as_object_mut()) {
                written.iter().for_each(|(key, value)| shown.insert(key, value.clone()));
            }
            shown
        };
        Shown {
            id: &event.id,
            r#type: &event.kind,
            name: &event.name,
            source: Entity { id: &request.source },
            session: request.session.as_ref().map(|id| Entity { id }),
            profile: request.profile.as_ref().map(|profile| Entity { id: &profile.id }),
            properties: &event.properties,
            context,
            request: &request.client,
            tags: &event.tags,
            traits: laid_over(Value::object(), "traits"),
            data: laid_over(Value::object(), "data"),
            journey: Journey { state: event.outcome.journey.as_deref() },
            metadata: Metadata {
                time: Times { insert: request.inserted, create: event.created.unwrap_or(request.inserted) },
                profile_less: request.profile_less,
                status: event.outcome.status,
                valid: event.outcome.valid,
                bot: request.bot,
                identified: written.get(&[IDENTIFIED.into()]).cloned(),
            },
            hit: laid_over(derived.hit, "hit"),
            utm: laid_over(derived.utm, "utm"),
            device: laid_over(derived.device, "device"),
            os: laid_over(derived.os, "os"),
            app: laid_over(derived.app, "app"),
        }
        .serialize(serializer)
    }
}

impl JsonSchema for ShownEvent {
    fn schema_name() -> Cow<'static, str> {
        "Event".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Shown::json_schema(generator)
    }
}
