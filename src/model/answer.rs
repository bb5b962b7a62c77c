//! The answer to a payload (docs/contract.md, section 3).

use std::{borrow::Cow, sync::Arc};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;

use super::{
    Debugging, Id, Object, Profile, Value,
    event::Entity,
    json::{free_object, free_objects},
    profile::ShownProfile,
};

/// What the client is told: profile and source, and more only where there is something to say.
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
    /// The session, if the server made its id for a client that makes none.
    pub made_session: Option<Id>,
    /// What an answer has that has all of its parts.
    pub full: Option<FullAnswer>,
    /// What really happened, if the client asked for it and may know; `full` is there, too.
    pub debugging: Option<Debugging>,
}

/// What an answer tells beside, where the client asked for the debugger or the source's answers are full.
pub struct FullAnswer {
    /// The request's id.
    pub task: Id,
    pub session: Option<Id>,
    /// The ids of the events that were stored: the client's own first, then what the server notes.
    pub events: Vec<Id>,
}

/// What became of a payload, and whose it is.
#[derive(Serialize, JsonSchema)]
struct Shown<'a> {
    profile: ShownOwner<'a>,
    source: ShownSource,
    /// The request's id. Like the fields that only come with it, it is there if the debugger is asked for, or where the
    /// source's answers are full.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Id")]
    task: Option<&'a Id>,
    /// Also there if the server made its id. `null`: there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Entity<'a>>")]
    session: Option<Option<Entity<'a>>>,
    /// The ids of the events that were stored: the client's own first, then what the server notes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "[Id]")]
    events: Option<&'a [Id]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "[&'a str; 0]")]
    errors: Option<[&'a str; 0]>,
    /// What workflows want to be shown: a list of `{tag, props, content}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "free_objects")]
    ux: Option<&'a [Value]>,
    /// What workflows answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "free_object")]
    response: Option<Value>,
    /// What was not done as the client may have meant it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "[String]")]
    warnings: Option<&'a [String]>,
    /// What really happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Debugging")]
    debugging: Option<&'a Debugging>,
}

/// Whose the events are: nobody's, or somebody of whom the id or everything is told.
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "Owner")]
enum ShownOwner<'a> {
    Whole(Box<ShownProfile<'a>>),
    Id(Entity<'a>),
    Nobody {},
}

#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct ShownSource {
    /// The source requires consent.
    consent: bool,
}

impl Serialize for Answer {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let full = self.full.as_ref();
        let shows_all = full.is_some();
        let made = self.made_session.as_ref().map(Some);
        Shown {
            profile: match &self.profile {
                None => ShownOwner::Nobody {},
                Some(profile) if self.whole_profile => ShownOwner::Whole(Box::new(profile.shown())),
                Some(profile) => ShownOwner::Id(Entity { id: &profile.id }),
            },
            source: ShownSource { consent: self.consent },
            task: full.map(|full| &full.task),
            session: full.map(|full| full.session.as_ref()).or(made).map(|id| id.map(|id| Entity { id })),
            events: full.map(|full| &*full.events),
            errors: full.map(|_| []),
            ux: Some(&*self.ux).filter(|ux| shows_all || !ux.is_empty()),
            response: (shows_all || !self.response.is_empty()).then(|| Value::Object(self.response.clone())),
            warnings: Some(&*self.warnings).filter(|warnings| shows_all || !warnings.is_empty()),
            debugging: self.debugging.as_ref(),
        }
        .serialize(serializer)
    }
}

impl JsonSchema for Answer {
    fn schema_name() -> Cow<'static, str> {
        "Answer".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Shown::json_schema(generator)
    }
}
