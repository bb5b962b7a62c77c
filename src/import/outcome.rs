//! What became of a file.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::model::{Fault, Id};

/// How many lines are named that were not taken; more are only counted. Likewise of sources.
const NAMED_MAX: usize = 1_000;

/// Numbers of records by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub events: u64,
    pub sessions: u64,
    pub profiles: u64,
}

/// Why a line was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LineFault {
    pub line: u64,
    pub msg: String,
}

/// What became of the lines of a file.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Outcome {
    /// Records that were stored.
    pub imported: Counts,
    /// Records that were there already.
    pub skipped: Counts,
    /// Lines that were not taken.
    pub failed: u64,
    /// Events and sessions that name a profile that is not there.
    pub without_profile: u64,
    /// The first of the lines that were not taken.
    pub errors: Vec<LineFault>,
    /// Sources that lines name which were not taken because they are not there.
    pub sources_missing: BTreeSet<Id>,
    /// Sources that were registered for it.
    pub sources_made: BTreeSet<Id>,
    /// The ids of the sessions and profiles that were stored, and of those that were there already. Only whoever imports a
    /// list is told.
    #[serde(skip)]
    pub ids: Vec<Id>,
    #[serde(skip)]
    pub ids_skipped: Vec<Id>,
}

impl Outcome {
    /// Notes that a line was not taken.
    pub fn refuse(&mut self, line: u64, fault: &Fault) {
        self.failed += 1;
        if self.errors.len() < NAMED_MAX {
            self.errors.push(LineFault { line, msg: fault.to_string() });
        }
    }

    /// Notes that it was not taken because there is no such source.
    pub fn refuse_source(&mut self, line: u64, source: &Id) {
        self.refuse(line, &Fault::new("value_error", format!("there is no source {source}")).at("id").at("source"));
        if self.sources_missing.len() < NAMED_MAX {
            self.sources_missing.insert(source.clone());
        }
    }

    /// Adds what became of other lines.
    pub fn add(&mut self, other: Self) {
        for (sum, more) in [(&mut self.imported, other.imported), (&mut self.skipped, other.skipped)] {
            sum.events += more.events;
            sum.sessions += more.sessions;
            sum.profiles += more.profiles;
        }
        self.failed += other.failed;
        self.without_profile += other.without_profile;
        let room = NAMED_MAX.saturating_sub(self.errors.len());
        self.errors.extend(other.errors.into_iter().take(room));
        for (known, more) in
            [(&mut self.sources_missing, other.sources_missing), (&mut self.sources_made, other.sources_made)]
        {
            let room = NAMED_MAX.saturating_sub(known.len());
            known.extend(more.into_iter().take(room));
        }
        self.ids.extend(other.ids);
        self.ids_skipped.extend(other.ids_skipped);
    }
}
