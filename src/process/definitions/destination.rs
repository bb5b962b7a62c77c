//! Destinations: where events and changed profiles are delivered to. The module `deliver` does it.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::duration;
use crate::{
    model::{Definition, EventType, Fault, Id, Json, Object, Time, Zone},
    process::{
        expression::{condition::Expression, scope::Scope},
        outbound::post::{self, Webhook},
    },
};

const BATCH: usize = 100;
const BATCH_MAX: usize = 1_000;
const RETRY_FOR: Duration = Duration::from_secs(60 * 60);
const RETRY_FOR_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Destination")]
pub struct Written {
    #[serde(default = "super::enabled")]
    enabled: bool,
    /// The types of the events that are delivered; `*` is every type.
    #[serde(default)]
    events: Vec<String>,
    /// Whether changed profiles are delivered.
    #[serde(default)]
    profiles: bool,
    /// Whether each event comes with its profile, as that was with it.
    #[serde(default)]
    with_profile: bool,
    /// A condition over event and profile, as that was with the event.
    #[schemars(extend("format" = "cel"))]
    r#if: Option<String>,
    /// Where items are posted to; this or a file.
    webhook: Option<post::Definition>,
    /// The name of a file in the folder of deliveries.
    file: Option<String>,
    /// The most items in a delivery.
    #[schemars(range(min = 1, max = BATCH_MAX))]
    batch: Option<usize>,
    /// How long an item is tried again that is not taken, though others are; then it is set aside for good.
    #[schemars(regex(pattern = super::DURATION))]
    retry_for: Option<String>,
}

/// A destination that was compiled.
#[derive(Debug)]
pub struct Destination {
    pub id: Id,
    /// As it was written.
    body: Json,
    pub enabled: bool,
    events: Vec<Box<str>>,
    pub profiles: bool,
    /// Whether the profile comes with each event.
    pub with_profile: bool,
    condition: Option<Expression>,
    /// Where days begin for it.
    zone: Zone,
    pub target: Target,
    pub batch: usize,
    /// How long an item is tried again that is not taken, though others are.
    pub retry_for: Duration,
}

#[derive(Debug)]
pub enum Target {
    Webhook(Webhook),
    /// A file's name in the folder of deliveries.
    File(Box<str>),
}

impl Destination {
    /// # Errors
    /// A field is missing or wrong, or the condition does not compile; the fault names it.
    pub fn compile(definition: &Definition, zone: Zone) -> Result<Self, Fault> {
        let written: Written = super::read(definition)?;
        let types = written.events.iter().enumerate().map(|(index, kind)| {
            let at = |fault: Fault| fault.at_index(index).at("events");
            EventType::parse(kind).map(|kind| kind.id.as_ref().into()).map_err(at)
        });
        let batch = written.batch.unwrap_or(BATCH);
        if batch == 0 || batch > BATCH_MAX {
            return Err(Fault::new("value_error", format!("1 to {BATCH_MAX} is expected")).at("batch"));
        }
        if written.events.is_empty() && !written.profiles {
            return Err(Fault::new("value_error", "event types or profiles = true is expected").at("events"));
        }
        let retry_for = written.retry_for.as_deref().map(duration).transpose().map_err(|it| it.at("retry_for"))?;
        let retry_for = retry_for.unwrap_or(RETRY_FOR);
        if retry_for > RETRY_FOR_MAX {
            return Err(Fault::new("value_error", "at most 30d is expected").at("retry_for"));
        }
        let target = match (written.webhook, written.file) {
            (Some(webhook), None) => Target::Webhook(webhook.compile().map_err(|fault| fault.at("webhook"))?),
            (None, Some(name)) => Target::File(file_name(&name).map_err(|fault| fault.at("file"))?),
            _ => return Err(Fault::new("value_error", "one of webhook and file is expected")),
        };
        let condition = written
            .r#if
            .as_deref()
            .map(|text| Expression::compile(text)?.condition())
            .transpose()
            .map_err(|it| it.at("if"))?;
        let is_seen = |name: &&&str| condition.as_ref().is_some_and(|condition| condition.mentions(name));
        if let Some(other) = ["session", "source", "steps", "segment"].iter().find(is_seen) {
            let what = format!("a destination's condition speaks of the event and the profile, not of {other}");
            return Err(Fault::new("value_error", what).at("if"));
        }
        Ok(Self {
            id: definition.id.clone(),
            body: definition.body.clone(),
            enabled: written.enabled,
            events: types.collect::<Result<_, _>>()?,
            profiles: written.profiles,
            with_profile: written.with_profile,
            condition,
            zone,
            target,
            batch,
            retry_for,
        })
    }

    /// Whether it is set up as `other` is.
    pub fn is_same(&self, other: &Self) -> bool {
        self.id == other.id && self.body == other.body
    }

    pub fn takes_type(&self, kind: &str) -> bool {
        self.events.iter().any(|known| **known == *kind || **known == *"*")
    }

    /// Whether the profile of an event is looked at.
    pub fn sees_profile(&self) -> bool {
        self.with_profile || self.condition.as_ref().is_some_and(|condition| condition.mentions("profile"))
    }

    /// Whether the condition holds for records as they are stored, each under its name, at the time `now`.
    ///
    /// # Errors
    /// It cannot be evaluated.
    pub fn takes(&self, records: &Object, now: Time) -> Result<bool, String> {
        self.condition
            .as_ref()
            .map_or(Ok(true), |condition| condition.holds(&Scope::stored(records, now).in_zone(self.zone)))
    }
}

/// A name without a way: deliveries stay in their folder.
fn file_name(name: &str) -> Result<Box<str>, Fault> {
    let fine = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\']);
    let fine = fine && !name.contains(char::is_control);
    if fine && name.len() <= 128 {
        Ok(name.into())
    } else {
        Err(Fault::new("value_error", "a file's name is expected"))
    }
}
