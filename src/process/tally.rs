//! How what is set up fared since the daemon started.

use std::collections::HashMap;

use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    clock::Clock,
    model::{DefinitionKind, Id, Time},
    process::outcome::RuleOutcome,
};

/// How often a workflow ran, or a segment's schedule did something, and what went wrong.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Tally {
    pub performed: u64,
    pub failures: u64,
    /// What went wrong last, and when.
    pub error: Option<String>,
    pub failed: Option<Time>,
}

/// The tally of each thing that did something.
#[derive(Default)]
pub struct Tallies(Mutex<HashMap<(DefinitionKind, Id), Tally>>);

impl Tallies {
    /// Notes how what is set up went.
    pub fn note_all(&self, outcomes: Vec<RuleOutcome>, clock: &Clock) {
        for RuleOutcome { kind, id, error } in outcomes {
            self.note(kind, &id, error, clock.now());
        }
    }

    /// Notes that something was done, and what went wrong with it.
    pub fn note(&self, kind: DefinitionKind, id: &Id, error: Option<String>, now: Time) {
        let mut tallies = self.0.lock();
        let tally = tallies.entry((kind, id.clone())).or_default();
        tally.performed += 1;
        let Some(error) = error else { return };
        tally.failures += 1;
        tally.failed = Some(now);
        let is_new = tally.error.as_ref() != Some(&error);
        tally.error = Some(error.clone());
        drop(tallies);
        if is_new {
            tracing::warn!(%id, %error, "a {} fails", kind.word());
        }
    }

    pub fn get(&self, kind: DefinitionKind, id: &Id) -> Tally {
        self.0.lock().get(&(kind, id.clone())).cloned().unwrap_or_default()
    }

    /// Forgets what is not set up any more.
    pub(super) fn retain(&self, is_set_up: impl Fn(DefinitionKind, &Id) -> bool) {
        self.0.lock().retain(|(kind, id), _| is_set_up(*kind, id));
    }
}
