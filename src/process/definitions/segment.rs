//! Segments: groups of profiles, each by a condition that holds for its members.

use schemars::JsonSchema;
use serde::Deserialize;

use super::schedule::{Schedule, When};
use crate::{
    model::{Definition, DefinitionKind, Fault, Id, Logs, Path, Value, Zone},
    process::{
        expression::{condition::Expression, scope::Scope},
        outcome::{Outcome, RuleOutcome},
        records::Records,
    },
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Segment")]
pub struct Written {
    /// Over the profile.
    #[schemars(extend("format" = "cel"))]
    condition: String,
    /// Whether entering and leaving are events.
    #[serde(default)]
    events: bool,
    /// How often all profiles are looked at, if the condition depends on the time.
    #[schemars(regex(pattern = super::DURATION))]
    every: Option<String>,
    /// Where its days begin: an IANA zone; what the settings say if not set.
    #[schemars(extend("format" = "time-zone"))]
    tz: Option<String>,
}

/// How often all profiles are looked at unless it is said.
const EVERY: &str = "1h";

/// A segment that was compiled.
#[derive(Debug)]
pub struct Segment {
    pub id: Id,
    pub condition: Expression,
    pub zone: Zone,
    pub events: bool,
}

/// A profile entered or left a segment.
#[derive(Clone, Debug, PartialEq)]
pub struct Crossing {
    pub segment: Id,
    pub entered: bool,
    /// It is to be an event.
    pub event: bool,
}

impl Segment {
    /// The segment, and when all profiles are looked at; in `zone` unless it says another.
    ///
    /// # Errors
    /// A field is missing or wrong, or the condition does not compile; the fault names it.
    pub fn compile(definition: &Definition, zone: Zone) -> Result<(Self, Schedule), Fault> {
        let written: Written = super::read(definition)?;
        let zone = super::zone(written.tz.as_deref(), zone)?;
        let condition = Expression::compile_counting(&written.condition)
            .and_then(Expression::condition)
            .map_err(|fault| fault.at("condition"))?;
        if let Some(other) =
            ["event", "session", "source", "steps", "segment"].iter().find(|name| condition.mentions(name))
        {
            return Err(
                Fault::new("value_error", format!("a segment speaks of the profile, not of {other}")).at("condition")
            );
        }
        let when = match (condition.depends_on_time(), written.every.as_deref()) {
            (true, every) => Some(When::every(every.unwrap_or(EVERY)).map_err(|fault| fault.at("every"))?),
            (false, None) => None,
            (false, Some(_)) => {
                let what = "the condition does not depend on the time: it is looked at with each change";
                return Err(Fault::new("value_error", what).at("every"));
            }
        };
        let id = definition.id.clone();
        let schedule = Schedule::new(definition, when, true, true);
        Ok((Self { id, condition, zone, events: written.events }, schedule))
    }
}

/// Brings the profile's segments up to date; returns those that it entered or left. A segment that a workflow added and
/// nobody defined stays.
pub fn update(segments: &[Segment], records: &mut Records<'_>, outcome: &mut Outcome) -> Vec<Crossing> {
    if segments.is_empty() || records.profile.is_none() {
        return Vec::new();
    }
    let mut members = members(records);
    let mut crossings = Vec::new();
    let scope = Scope::new(records, None);
    let holding = Expression::all_hold(segments.iter().map(|segment| (&segment.condition, segment.zone)), &scope);
    for (segment, holds) in segments.iter().zip(holding) {
        let was = members.iter().any(|id| **id == *segment.id.text());
        let is = match holds {
            Ok(holds) => holds,
            Err(error) => {
                let (kind, id) = (DefinitionKind::Segment, segment.id.clone());
                outcome.not_evaluated.push(RuleOutcome { kind, id, error: Some(error) });
                continue;
            }
        };
        if is != was {
            crossings.push(Crossing { segment: segment.id.clone(), entered: is, event: segment.events });
            if is {
                members.push((*segment.id.text()).into());
            } else {
                members.retain(|id| **id != *segment.id.text());
            }
        }
    }
    if !crossings.is_empty() {
        set_members(records, members, &mut outcome.logs);
    }
    crossings
}

impl Segment {
    /// The profile leaves it, whatever its condition says.
    pub fn leave(&self, records: &mut Records<'_>, logs: &mut Logs) -> Crossing {
        let mut members = members(records);
        members.retain(|member| **member != *self.id.text());
        set_members(records, members, logs);
        Crossing { segment: self.id.clone(), entered: false, event: self.events }
    }

    /// Whether the profile should enter or leave it.
    ///
    /// # Errors
    /// Its condition cannot be evaluated.
    pub fn is_crossed(&self, records: &Records<'_>) -> Result<bool, String> {
        let is_member = members(records).iter().any(|id| **id == *self.id.text());
        Ok(self.condition.holds(&Scope::new(records, None).in_zone(self.zone))? != is_member)
    }
}

/// The ids of the segments that the profile is in.
pub fn members(records: &Records<'_>) -> Vec<Box<str>> {
    let segments = records.profile.as_ref().and_then(|draft| draft.get(&["segments".into()]));
    match segments {
        Some(Value::List(list)) => list.iter().filter_map(|id| id.as_str().map(Into::into)).collect(),
        _ => Vec::new(),
    }
}

pub fn set_members(records: &mut Records<'_>, members: Vec<Box<str>>, logs: &mut Logs) {
    let path: Path = ["profile", "segments"].into_iter().collect();
    let members = Value::List(members.into_iter().map(Value::Text).collect());
    if let Err(error) = records.write(None, &path, Some(members)) {
        logs.error(error.to_string());
    }
}
