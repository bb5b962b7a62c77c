//! Sessions as they are stored and shown (docs/contract.md, sections 4 and 10).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Derived, Id, Json, Place, ProfileRef, Time, Value,
    derived::{self, Told},
    event::Entity,
    json::free_object,
};

/// A visit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    pub id: Id,
    /// The offset at which it was made: its name in the store, which grows where the client's ids do not.
    pub number: u64,
    /// Whose visit it is. The profile may have been deleted since.
    pub profile: Option<ProfileRef>,
    pub context: Json,
    pub properties: Json,
    pub device: Option<Id>,
    /// The user agent it began with, where the context does not tell it.
    pub user_agent: Option<Box<str>>,
    /// The campaign's address that it began at, where the context does not tell the campaign.
    pub landing: Option<Box<str>>,
    /// What processing wrote to it.
    pub traits: Json,
    /// The channel of the source it began at.
    pub channel: Option<Box<str>>,
    pub inserted: Time,
    pub updated: Time,
    pub first_event: Option<Time>,
    pub last_event: Option<Time>,
}

/// A visit, as it is shown.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Session")]
pub struct ShownSession<'a> {
    id: &'a Id,
    profile: Option<Entity<'a>>,
    #[schemars(schema_with = "free_object")]
    context: &'a Json,
    #[schemars(schema_with = "free_object")]
    properties: &'a Json,
    #[schemars(schema_with = "free_object")]
    traits: &'a Json,
    #[schemars(schema_with = "free_object")]
    device: Json,
    #[schemars(schema_with = "free_object")]
    os: Json,
    #[schemars(schema_with = "free_object")]
    app: Json,
    /// The campaign.
    #[schemars(schema_with = "free_object")]
    utm: Json,
    metadata: Metadata<'a>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct Metadata<'a> {
    time: Times,
    /// Of the source it began at.
    channel: Option<&'a str>,
    status: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    imported: bool,
}

#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct Times {
    insert: Time,
    update: Time,
    /// Seconds from the first to the last event.
    duration: f64,
}

impl Session {
    pub fn new(id: Id, number: u64, channel: Option<Box<str>>, now: Time) -> Self {
        Self {
            id,
            number,
            profile: None,
            context: Json::empty_object(),
            properties: Json::empty_object(),
            device: None,
            user_agent: None,
            landing: None,
            traits: Json::empty_object(),
            channel,
            inserted: now,
            updated: now,
            first_event: None,
            last_event: None,
        }
    }

    /// Its place among sessions: they are ordered by when they began.
    pub fn place(&self) -> Place {
        Place { time: self.inserted, offset: self.number }
    }

    /// About how many bytes the parts take that a session gathers.
    pub fn bytes(&self) -> usize {
        let texts = [&self.user_agent, &self.landing, &self.channel].into_iter().flatten().map(|text| text.len());
        let parts = [&self.context, &self.properties, &self.traits].map(|part| part.as_str().len());
        texts.sum::<usize>() + parts.iter().sum::<usize>()
    }

    /// What counts of it, without all else, for that identifies somebody; it is the visit of `profile`.
    pub fn stripped(&self, profile: Option<ProfileRef>) -> Self {
        Self {
            profile,
            updated: self.updated,
            first_event: self.first_event,
            last_event: self.last_event,
            ..Self::new(self.id.clone(), self.number, self.channel.clone(), self.inserted)
        }
    }

    /// Notes that events of this session were taken.
    pub fn touch(&mut self, now: Time) {
        self.first_event.get_or_insert(now);
        self.last_event = Some(now);
    }

    /// The session as it is shown.
    pub fn shown(&self) -> ShownSession<'_> {
        self.shown_if_imported(None)
    }

    /// As [`Session::shown`]; `imported`: it was, and these of its parts are shown as they came.
    pub fn shown_if_imported(&self, imported: Option<&Json>) -> ShownSession<'_> {
        let duration = self.first_event.zip(self.last_event).map_or(0.0, |(first, last)| last.seconds_since(first));
        let told = Told { user_agent: self.user_agent.as_deref(), ..Told::default() };
        let mut derived = Derived::new(&self.context, told);
        if let Some(id) = &self.device {
            derived.name_device(id);
        }
        if let Some(landing) = &self.landing {
            derived.utm = derived::campaign(&self.context, landing);
        }
        if let Some(Value::Object(shown)) = imported.filter(|shown| !shown.is_empty_object()).map(Value::from) {
            for (part, place) in derived.parts_of_session() {
                if let Some(value) = shown.get(part) {
                    *place = value.to_json();
                }
            }
        }
        ShownSession {
            id: &self.id,
            profile: self.profile.as_ref().map(|profile| Entity { id: &profile.id }),
            context: &self.context,
            properties: &self.properties,
            traits: &self.traits,
            device: derived.device,
            os: derived.os,
            app: derived.app,
            utm: derived.utm,
            metadata: Metadata {
                time: Times { insert: self.inserted, update: self.updated, duration },
                channel: self.channel.as_deref(),
                status: "active",
                imported: imported.is_some(),
            },
        }
    }
}
