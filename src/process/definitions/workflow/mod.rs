//! Workflows: what starts them, and the steps that they take. Compiled from what people write; `run` runs them.

mod step;

use std::{sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    operation::Operation,
    schedule::{Schedule, When},
};
use crate::{
    model::{Definition, EventType, Fault, Id, KnownBy, Path, Zone},
    process::{
        definitions,
        expression::{
            condition::{Count, Expression},
            template::{Template, ValueTemplate},
        },
        outbound::lookup::Lookup,
    },
};
use step::StepDefinition;

const ANY: &str = "*";

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Workflow")]
pub struct Written {
    #[serde(default = "definitions::enabled")]
    enabled: bool,
    /// The event types that start it; `*` is every type.
    #[serde(default)]
    on: Vec<String>,
    /// The segments whose entering or leaving starts it.
    #[serde(default)]
    on_entering: Vec<String>,
    #[serde(default)]
    on_leaving: Vec<String>,
    /// The sources whose events start it; any if none is named.
    #[serde(default)]
    sources: Vec<String>,
    /// When it starts by itself: a cron pattern, or how often.
    #[schemars(extend("format" = "cron"))]
    schedule: Option<String>,
    #[schemars(regex(pattern = definitions::DURATION))]
    every: Option<String>,
    /// Where its days begin and by which clocks it is scheduled: an IANA zone; what the settings say if not set.
    #[schemars(extend("format" = "time-zone"))]
    tz: Option<String>,
    /// By itself, it starts for each profile for which its condition holds.
    #[serde(default)]
    profiles: bool,
    /// The condition under which it starts.
    #[schemars(extend("format" = "cel"))]
    r#if: Option<String>,
    /// Taken in order.
    #[serde(default)]
    step: Vec<StepDefinition>,
}

/// A workflow that was compiled.
#[derive(Debug)]
pub struct Workflow {
    pub id: Id,
    /// The event types that start it.
    pub on: Vec<Arc<str>>,
    /// Events of every type start it.
    pub on_any: bool,
    pub on_entering: Vec<Box<str>>,
    pub on_leaving: Vec<Box<str>>,
    pub sources: Vec<Box<str>>,
    pub zone: Zone,
    pub condition: Option<Expression>,
    pub steps: Vec<Step>,
    pub enabled: bool,
}

#[derive(Debug)]
pub struct Step {
    /// Its name, or its place.
    pub id: Box<str>,
    pub condition: Option<Expression>,
    pub continue_on_error: bool,
    pub action: Action,
}

#[derive(Debug)]
pub enum Action {
    Change(Vec<Change>),
    /// Puts a hash in the place of each value.
    Hash(Vec<Path>),
    /// Puts stars in the place of each character but the last ones.
    Mask(Vec<Path>),
    Segments {
        add: Vec<Box<str>>,
        remove: Vec<Box<str>>,
    },
    AttachProfile(AttachProfile),
    AttachSession(Template),
    /// Reads the session that the profile had before.
    PreviousSession,
    Lookup(Lookup),
    Emit {
        kind: EventType,
        properties: ValueTemplate,
        /// It happens later.
        delay: Option<Duration>,
    },
    Response(ValueTemplate),
    Ux(ValueTemplate),
    Discard,
    Log(Template),
    Choose(Vec<Branch>),
    Stop,
}

#[derive(Debug)]
pub struct Change {
    pub operation: Operation,
    pub path: Path,
    pub value: Option<ValueTemplate>,
}

/// Whose an event is that came without a profile.
#[derive(Debug)]
pub struct AttachProfile {
    pub by: By,
    /// Make a profile when there is none.
    pub create: bool,
    /// Two that are known become one.
    pub join: bool,
}

#[derive(Debug)]
pub enum By {
    Known(KnownBy, Template),
    Field(Path, Template),
    New,
}

#[derive(Debug)]
pub struct Branch {
    pub condition: Option<Expression>,
    pub steps: Vec<Step>,
}

impl Step {
    /// Whether it may ask an external system.
    fn asks(&self) -> bool {
        match &self.action {
            Action::Lookup(_) => true,
            Action::Choose(branches) => branches.iter().any(|branch| branch.steps.iter().any(Self::asks)),
            _ => false,
        }
    }
}

impl Workflow {
    /// Whether it may ask an external system.
    pub fn asks(&self) -> bool {
        self.steps.iter().any(Step::asks)
    }

    /// The workflow, and when it starts by itself, if it does; in `zone` unless it says another.
    ///
    /// # Errors
    /// A field is missing or wrong, or something in it does not compile; the fault names the place.
    pub fn compile(definition: &Definition, zone: Zone) -> Result<(Self, Option<Schedule>), Fault> {
        let written: Written = definitions::read(definition)?;
        let zone = definitions::zone(written.tz.as_deref(), zone)?;
        let on_any = written.on.iter().any(|kind| kind == ANY);
        let types = written.on.iter().enumerate().filter(|(_, kind)| *kind != ANY);
        let types = types.map(|(index, kind)| {
            let parsed = EventType::parse(kind).and_then(|kind| match kind.id.contains(ANY) {
                true => Err(Fault::new("value_error", "* stands alone, for every type")),
                false => Ok(kind.id),
            });
            parsed.map_err(|fault| fault.at_index(index).at("on"))
        });
        let when = match (written.schedule.as_deref(), written.every.as_deref()) {
            (Some(pattern), None) => Some(When::cron(pattern, zone).map_err(|fault| fault.at("schedule"))?),
            (None, Some(every)) => Some(When::every(every).map_err(|fault| fault.at("every"))?),
            (None, None) if written.profiles => {
                return Err(Fault::new("value_error", "profiles = true needs a schedule").at("profiles"));
            }
            (None, None) => None,
            (Some(_), Some(_)) => return Err(Fault::new("value_error", "one of schedule and every is expected")),
        };
        let starts = [&written.on, &written.on_entering, &written.on_leaving];
        if when.is_none() && starts.iter().all(|list| list.is_empty()) {
            let what = "nothing starts it: on, on_entering, on_leaving, schedule or every is expected";
            return Err(Fault::new("value_error.missing", what));
        }
        if written.step.is_empty() {
            return Err(Fault::missing().at("step"));
        }
        let schedule = when.map(|when| Schedule::new(definition, Some(when), false, written.profiles));
        let workflow = Self {
            id: definition.id.clone(),
            on: types.collect::<Result<_, _>>()?,
            on_any,
            on_entering: step::boxed(written.on_entering),
            on_leaving: step::boxed(written.on_leaving),
            sources: step::boxed(written.sources),
            zone,
            condition: step::condition(written.r#if.as_deref())?,
            steps: step::compile(&written.step)?,
            enabled: written.enabled,
        };
        Ok((workflow, schedule))
    }

    /// The events that its conditions count.
    pub fn counts(&self) -> Vec<Count> {
        let mut counts = counts_of(self.condition.as_ref());
        counts.extend(self.steps.iter().flat_map(Step::counts));
        counts
    }

    /// The places in profiles by whose values its steps find people.
    pub fn searched(&self) -> Vec<Path> {
        self.steps.iter().flat_map(Step::searched).collect()
    }

    /// Whether it lets events of this type happen later.
    pub fn delays(&self, kind: &str) -> bool {
        self.steps.iter().any(|step| step.delays(kind))
    }

    /// Whether it takes events of this source.
    pub fn takes_source(&self, source: &Id) -> bool {
        self.sources.is_empty() || self.sources.iter().any(|known| **known == *source.text())
    }
}

impl Step {
    fn counts(&self) -> Vec<Count> {
        let mut counts = counts_of(self.condition.as_ref());
        if let Action::Choose(branches) = &self.action {
            for branch in branches {
                counts.extend(counts_of(branch.condition.as_ref()));
                counts.extend(branch.steps.iter().flat_map(Self::counts));
            }
        }
        counts
    }

    fn delays(&self, kind: &str) -> bool {
        match &self.action {
            Action::Emit { kind: emitted, delay: Some(_), .. } => *emitted.id == *kind,
            Action::Choose(branches) => branches.iter().flat_map(|branch| &branch.steps).any(|step| step.delays(kind)),
            _ => false,
        }
    }

    fn searched(&self) -> Vec<Path> {
        match &self.action {
            Action::AttachProfile(AttachProfile { by: By::Field(path, _), .. }) => vec![path.clone()],
            Action::Choose(branches) => {
                branches.iter().flat_map(|branch| &branch.steps).flat_map(Self::searched).collect()
            }
            _ => Vec::new(),
        }
    }
}

fn counts_of(condition: Option<&Expression>) -> Vec<Count> {
    condition.map_or(&[][..], Expression::counts).to_vec()
}
