//! Event types: what an event of a type must look like, and what it means for event and profile.

use std::{collections::HashMap, sync::Arc};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    mapping::{LineDefinition, Mapping},
    schema::Schema,
};
use crate::{
    model::{Definition, DefinitionKind, EventType as TypeName, Fault, Json, Logs, Time, Value, Zone, check_tag},
    process::records::Records,
};

/// The types that people already send, in the same form as everybody's configuration.
const READY_MADE: &str = include_str!("event_types.toml");

/// An event type as it is written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "EventType")]
pub struct Written {
    /// Given to its events in place of those that were sent.
    tags: Option<Vec<String>>,
    /// Where on their way its events say that somebody is.
    journey: Option<JourneyDefinition>,
    /// JSON Schemas of what its events hold, and of the traits of the profile.
    #[serde(default)]
    schema: SchemaDefinition,
    #[serde(default)]
    on_invalid: OnInvalid,
    /// What is copied where.
    #[serde(default)]
    map: Vec<LineDefinition>,
    /// Whether such events may give a profile a merge key; those that are ready-made may where they say one.
    identifies: Option<bool>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
struct SchemaDefinition {
    properties: Option<Json>,
    context: Option<Json>,
    traits: Option<Json>,
}

/// The schema of what a profile holds, as mistakes name it.
const PROFILE_TRAITS: &str = "profile.traits";

/// What breaks a schema.
#[derive(Debug)]
pub struct Wrong {
    pub what: String,
    /// It is the profile, and not what was sent.
    pub is_of_profile: bool,
}

/// What becomes of an event that does not keep to its schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub enum OnInvalid {
    /// The payload is refused.
    #[default]
    Reject,
    /// The event is stored and marked, and changes no profile.
    Mark,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a text is expected, or first_visit and later")]
#[schemars(inline)]
enum JourneyDefinition {
    Always(String),
    ByVisit { first_visit: String, later: String },
}

/// An event type that was compiled.
#[derive(Debug)]
pub struct EventType {
    pub id: Arc<str>,
    tags: Option<Arc<[Box<str>]>>,
    journey: Option<Journey>,
    properties: Option<Schema>,
    context: Option<Schema>,
    traits: Option<Schema>,
    pub on_invalid: OnInvalid,
    /// What its events mean for event, session and profile.
    pub mapping: Mapping,
    pub identifies: bool,
}

#[derive(Debug)]
struct Journey {
    first_visit: Arc<str>,
    later: Arc<str>,
}

/// All event types by their ids.
pub type EventTypes = HashMap<Arc<str>, Arc<EventType>>;

impl EventType {
    /// Days begin for it where `zone` says.
    ///
    /// # Errors
    /// A field is missing or wrong, or something in it does not compile; the fault names the place.
    pub fn compile(definition: &Definition, zone: Zone) -> Result<Self, Fault> {
        Self::compile_as(definition, false, zone)
    }

    fn compile_as(definition: &Definition, ready_made: bool, zone: Zone) -> Result<Self, Fault> {
        let written: Written = super::read(definition)?;
        let schema = |schema: &Option<Json>, name: &str| {
            let compiled = schema.as_ref().map(|schema| Schema::compile(&Value::from(schema))).transpose();
            compiled.map_err(|fault| fault.at(name).at("schema"))
        };
        for (index, tag) in written.tags.iter().flatten().enumerate() {
            check_tag(index, tag).map_err(|fault| fault.at_index(index).at("tags"))?;
        }
        let mapping = Mapping::compile(&written.map, ready_made, zone).map_err(|fault| fault.at("map"))?;
        let id = TypeName::parse(&definition.id.text()).map_err(|fault| fault.at("id"))?.id;
        if *id != *definition.id.text() {
            return Err(Fault::new("value_error", format!("events of this type have the type {id}")).at("id"));
        }
        Ok(Self {
            id,
            tags: written.tags.map(|tags| tags.into_iter().map(Into::into).collect()),
            journey: written.journey.map(|journey| match journey {
                JourneyDefinition::Always(state) => {
                    Journey { first_visit: state.as_str().into(), later: state.as_str().into() }
                }
                JourneyDefinition::ByVisit { first_visit, later } => {
                    Journey { first_visit: first_visit.into(), later: later.into() }
                }
            }),
            properties: schema(&written.schema.properties, "properties")?,
            context: schema(&written.schema.context, "context")?,
            traits: schema(&written.schema.traits, "traits")?,
            on_invalid: written.on_invalid,
            identifies: written.identifies.unwrap_or(ready_made),
            mapping,
        })
    }

    /// What is wrong with an event of this type, if something is.
    pub fn check(&self, records: &Records<'_>, event: usize) -> Result<(), Wrong> {
        let at = |name: &str, wrong: String| Wrong {
            what: format!("{}: {name}: {wrong}", self.id),
            is_of_profile: name == PROFILE_TRAITS,
        };
        let draft = &records.events[event];
        if let Some(schema) = &self.properties {
            let properties = draft.properties();
            let checked =
                if draft.payload.from_form { schema.check_form(properties) } else { schema.check(properties) };
            checked.map_err(|wrong| at("properties", wrong))?;
        }
        if let Some(schema) = &self.context {
            let context = records.request.context.updated(&draft.payload.context);
            schema.check(&Value::from(&context)).map_err(|wrong| at("context", wrong))?;
        }
        if let (Some(schema), Some(profile)) = (&self.traits, &records.profile) {
            let traits = profile.get(&["traits".into()]).cloned().unwrap_or_else(Value::object);
            // Who sent the event must not learn from this what the profile holds.
            schema.check_unseen(&traits).map_err(|wrong| at(PROFILE_TRAITS, wrong))?;
        }
        Ok(())
    }

    /// Journey, tags, and what the mapping says of the event itself.
    pub fn apply_to_event(&self, records: &mut Records<'_>, event: usize, logs: &mut Logs) {
        if let Some(journey) = &self.journey {
            let visits = records.profile.as_ref().map_or(0, |draft| draft.profile.visits);
            let state = if visits <= 1 { &journey.first_visit } else { &journey.later };
            records.events[event].journey = Some(state.clone());
        }
        if let Some(tags) = &self.tags {
            records.events[event].tags = Some(tags.clone());
        }
        self.mapping.apply_to_event(records, event, logs);
    }
}

/// The ready-made types. A configured type takes the place of the one of its name.
pub fn ready_made() -> Result<EventTypes, Fault> {
    let tables = super::read_toml(READY_MADE)?;
    let mut types = EventTypes::new();
    let tables = Value::from(&tables);
    let list = tables.as_object().and_then(|tables| tables.get("event_type"));
    if let Some(Value::List(list)) = list {
        for table in list {
            let compiled = EventType::compile_as(
                &Definition::new(DefinitionKind::EventType, table.to_json(), Time::default())?,
                true,
                Zone::default(), // none of them speaks of the time
            )?;
            types.insert(compiled.id.clone(), Arc::new(compiled));
        }
    }
    Ok(types)
}
