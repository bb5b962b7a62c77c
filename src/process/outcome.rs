//! What processing leaves beside the records, and how much of it a request may lead to.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::{
    model::{DefinitionKind, Execution, Id, Json, Logs, Object, Path, Value},
    process::{loops::Repeated, records::NoRoom},
};

/// The most steps that the workflows of an event take together, and how long the events of a request may take.
const STEPS_MAX: usize = 1_000;
const TIME_MAX: Duration = Duration::from_secs(20);
/// How long a request keeps a thread to itself.
const TURN_MAX: Duration = Duration::from_millis(10);
/// How many events a request may emit, as many as it may bring, and the most bytes of properties that they have together.
const EMITTED_MAX: usize = 1_000;
const EMITTED_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The most bytes of what steps led to that the debugger shows.
const RESULTS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What processing leaves beside the records.
#[derive(Default)]
pub struct Outcome {
    pub executions: BTreeMap<Id, Vec<Execution>>,
    pub logs: Logs,
    pub response: Object,
    pub ux: Vec<Value>,
    /// What whoever sent the events is told.
    pub warnings: Vec<String>,
    /// Workflows and segments whose condition could not be evaluated.
    pub not_evaluated: Vec<RuleOutcome>,
    /// Workflows that follow from themselves by delayed events, and ran once more.
    pub repeated: Vec<Repeated>,
    /// The segments that the profiles are in.
    pub segments: Vec<Box<str>>,
    steps: usize,
    emitted: usize,
    emitted_bytes: usize,
    /// How many bytes of steps' results may still be shown.
    results_left: usize,
    begun: Option<Instant>,
    /// When others were last let to their turn.
    rested: Option<Instant>,
}

/// How a workflow, or a segment's condition, went.
#[derive(Clone)]
pub struct RuleOutcome {
    pub kind: DefinitionKind,
    pub id: Id,
    pub error: Option<String>,
}

impl Outcome {
    /// `shows`: somebody wants to see what each step led to.
    pub fn new(shows: bool) -> Self {
        Self { results_left: if shows { RESULTS_BYTES_MAX } else { 0 }, ..Self::default() }
    }

    /// A step's result as the debugger shows it, if it does and did not show as much as it may.
    pub fn shown(&mut self, result: &Value) -> Option<Json> {
        if self.results_left == 0 {
            return None;
        }
        let bytes = result.size();
        if bytes > self.results_left {
            self.logs.warn("the steps led to more than is shown: some results are left out".into());
            self.results_left = 0;
            return None;
        }
        self.results_left -= bytes;
        Some(result.to_json())
    }

    /// Tells whoever sent the events that what they say at `place` leads to no profile, or to another one. Only who
    /// `may_learn` something of others is told whether there is one that it leads to.
    pub fn warn_not_found_by(&mut self, place: &Path, why: NoRoom, may_learn: bool) {
        let why = if may_learn { why.to_string() } else { format!("{}, or {}", NoRoom::Keys, NoRoom::Together) };
        self.warn(format!("{place}: the profile is not found by this: {why}"));
    }

    /// Tells whoever sent the events, once.
    pub fn warn(&mut self, warning: String) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// How what is set up went: what ended each early, if something did.
    pub fn outcomes(&self) -> Vec<RuleOutcome> {
        let executions = self.executions.iter().flat_map(|(id, executions)| executions.iter().map(move |it| (id, it)));
        let told = |execution: &Execution| match (&execution.event, &execution.error) {
            (Some(event), Some(error)) => Some(format!("event {event}: {error}")),
            (_, error) => error.clone(),
        };
        let kind = DefinitionKind::Workflow;
        let ran = executions.map(|(id, execution)| RuleOutcome { kind, id: id.clone(), error: told(execution) });
        ran.chain(self.not_evaluated.iter().cloned()).collect()
    }

    /// The segments whose condition could not be evaluated, and why.
    pub fn segment_errors(&self) -> impl Iterator<Item = String> {
        let segments = self.not_evaluated.iter().filter(|outcome| outcome.kind == DefinitionKind::Segment);
        segments.filter_map(|RuleOutcome { id, error, .. }| error.as_ref().map(|error| format!("{id}: {error}")))
    }

    /// Whether there is time left for another event; others have their turn now and then.
    pub async fn has_time(&mut self) -> bool {
        let now = Instant::now();
        if now - *self.rested.get_or_insert(now) > TURN_MAX {
            tokio::task::yield_now().await;
            self.rested = Some(now);
        }
        now - *self.begun.get_or_insert(now) < TIME_MAX
    }

    /// Takes a step of a workflow.
    ///
    /// # Errors
    /// They are too many, or took too long.
    pub fn take_step(&mut self) -> Result<(), String> {
        self.steps += 1;
        if self.steps > STEPS_MAX || self.begun.is_some_and(|begun| begun.elapsed() > TIME_MAX) {
            return Err("the workflows take too many steps, or too long".into());
        }
        Ok(())
    }

    /// Takes an event that is emitted, with properties of so many bytes.
    ///
    /// # Errors
    /// They are too many, or too large together.
    pub fn take_emitted(&mut self, bytes: usize) -> Result<(), String> {
        self.emitted += 1;
        self.emitted_bytes += bytes;
        if self.emitted > EMITTED_MAX {
            return Err("too many events emit each other".into());
        }
        if self.emitted_bytes > EMITTED_BYTES_MAX {
            return Err("the events that are emitted have too large properties".into());
        }
        Ok(())
    }

    /// Steps are counted anew: for another event, or a segment that was entered or left.
    pub fn begin(&mut self) {
        self.steps = 0;
    }
}
