//! Loops over delayed events: a workflow that leads to itself by events that happen later runs so often for one person in
//! a day, and no more.
//!
//! A delayed event carries how often each workflow ran that led to it, so nothing is stored of people for this, a loop is
//! known after a restart, and what no delayed event led to is not counted. Beside it, memory has the latest counts, for a
//! loop may lead to itself several times at once.

use std::num::NonZeroUsize;

use lru::LruCache;
use parking_lot::Mutex;

use super::records::Records;
use crate::model::{Id, Runs};

/// Of how many workflows and people memory has counts; what is forgotten is carried by delayed events still.
const REMEMBERED_MAX: NonZeroUsize = NonZeroUsize::new(10_000).expect("it is not zero");

/// What bounds loops.
pub struct LoopBound {
    /// 0: nothing does.
    runs_per_day: u64,
    latest: Mutex<LruCache<(Id, Whom), Runs>>,
}

/// Whom a workflow runs for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Whom {
    Profile(Id),
    Session(Id),
    Nobody,
}

/// A workflow that follows from itself ran once more.
#[derive(Clone, Debug)]
pub struct Repeated {
    whom: Whom,
    runs: Runs,
}

impl LoopBound {
    pub fn new(runs_per_day: u64) -> Self {
        Self { runs_per_day, latest: Mutex::new(LruCache::new(REMEMBERED_MAX)) }
    }

    /// How often the workflow runs today with this run, which `repeated` notes if it follows from itself.
    ///
    /// # Errors
    /// It must not run again today: why.
    pub(super) fn run(
        &self,
        workflow: &Id,
        records: &Records<'_>,
        repeated: &mut Vec<Repeated>,
    ) -> Result<Runs, String> {
        let first = Runs { workflow: workflow.clone(), day: records.now.day(), count: 1 };
        let Some(carried) = records.chain.of(workflow) else { return Ok(first) };
        let whom = Whom::of(records);
        let latest = self.latest.lock().get(&(workflow.clone(), whom.clone())).cloned();
        let of_request =
            repeated.iter().filter(|it| it.runs.workflow == *workflow && it.whom == whom).map(|it| &it.runs);
        let known = of_request.chain(&latest).chain([carried]).filter(|runs| runs.day == first.day);
        let count = known.map(|runs| runs.count).max().unwrap_or(0) + 1;
        if self.runs_per_day > 0 && count > self.runs_per_day {
            return Err(format!(
                "it follows from itself by delayed events, and ran {} times for one person today: more are not let \
                 (workflow.runs_per_day)",
                count - 1
            ));
        }
        let runs = Runs { count, ..first };
        repeated.push(Repeated { whom, runs: runs.clone() });
        Ok(runs)
    }

    /// Remembers what ran, once it is stored.
    pub fn note(&self, repeated: Vec<Repeated>) {
        let mut latest = self.latest.lock();
        for Repeated { whom, runs } in repeated {
            latest.put((runs.workflow.clone(), whom), runs);
        }
    }
}

impl Whom {
    fn of(records: &Records<'_>) -> Self {
        match (&records.profile, &records.session) {
            (Some(draft), _) => Self::Profile(draft.profile.id.clone()),
            (None, Some(draft)) => Self::Session(draft.session.id.clone()),
            (None, None) => Self::Nobody,
        }
    }
}
