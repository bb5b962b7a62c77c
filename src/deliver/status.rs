//! How destinations fare, and that they go on.

use std::collections::HashMap;

use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    model::Id,
    store::Refused,
    supervise::{Next, supervise},
};

/// How a destination fares.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "DestinationStatus")]
pub struct Status {
    /// It has everything before this offset.
    pub offset: u64,
    /// How many entries of the log it has not looked at yet.
    pub lag: u64,
    /// How many items were delivered since the start.
    pub delivered: u64,
    /// How many deliveries failed one after another, and why the last one did.
    pub failures: u64,
    pub error: Option<String>,
    /// That will not change by itself: it was answered with a status like 400, 401, 404 or 410.
    pub lasting: bool,
    /// How many items are set aside, and how many of these are tried again by themselves.
    pub aside: u64,
    pub retried: u64,
    /// How many that were given up were forgotten since the start, for there were too many.
    pub forgotten: u64,
    /// For how many items the condition could not be evaluated since the start, so that they were not delivered, and why
    /// for the last one.
    pub undecided: u64,
    pub undecided_error: Option<String>,
    /// How often the work for it panicked since the start and went on, and what the last panic said.
    pub panics: u64,
    pub panic: Option<String>,
}

/// The status of each destination at work.
#[derive(Default)]
pub struct Statuses(Mutex<HashMap<Id, Status>>);

impl Statuses {
    pub fn get(&self, id: &Id) -> Status {
        self.0.lock().get(id).cloned().unwrap_or_default()
    }

    pub fn note(&self, id: &Id, change: impl FnOnce(&mut Status)) {
        change(self.0.lock().entry(id.clone()).or_default());
    }

    /// Forgets who is not at work any more.
    pub fn retain(&self, is_at_work: impl Fn(&Id) -> bool) {
        self.0.lock().retain(|id, _| is_at_work(id));
    }

    /// Does the work for a destination again and again, and tells why it ended.
    pub async fn keep_going<F: Future<Output = Result<(), Refused>>>(&self, id: &Id, work: impl Fn() -> F) {
        supervise(work, |ended| match ended {
            Ok(Ok(())) => Next::AtOnce, // sent back to an earlier place
            Ok(Err(refused)) => {
                self.note(id, |status| status.error = Some(refused.to_string()));
                Next::AfterPause
            }
            Err(panic) => {
                tracing::error!(destination = %id, panic, "a delivery panicked and goes on");
                self.note(id, |status| (status.panics, status.panic) = (status.panics + 1, Some(panic)));
                Next::AfterPause
            }
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, time::Duration};

    use super::*;

    #[tokio::test]
    async fn a_destination_that_panics_says_so_and_goes_on() {
        let (statuses, id, runs) = (Statuses::default(), Id::required("crm").unwrap(), Cell::new(0));
        let work = || async {
            runs.set(runs.get() + 1);
            match runs.get() {
                1 => panic!("no luck"),
                2 => Err(Refused::Stale),
                _ => std::future::pending().await,
            }
        };
        let working = tokio::time::timeout(Duration::from_secs(3), statuses.keep_going(&id, work));
        assert!(working.await.is_err() && runs.get() == 3, "it goes on");
        let status = statuses.get(&id);
        assert_eq!((status.panics, status.error), (1, Some(Refused::Stale.to_string())));
        assert!(status.panic.is_some_and(|panic| panic.contains("no luck")));
        statuses.retain(|_| false);
        assert_eq!(statuses.get(&id).panics, 0);
    }
}
