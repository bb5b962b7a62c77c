//! Delivering events and changed profiles to other systems: each destination reads the log at its own pace.
//!
//! How far a destination is, is an entry of the log itself, written once a delivery was taken: so each item is
//! delivered at least once, also across a restart, and from any offset again. A delivery that fails is tried again
//! until it is taken, with longer and longer pauses; what waits behind it waits in the log.

mod file;
mod item;
mod people;
mod status;
mod target;

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::Arc,
};

use tokio::{sync::watch, task::JoinHandle};

use crate::{
    clock::Clock,
    model::Id,
    process::{Destination, Lookups, RulesInForce},
    store::{Entry, Key, Refused, Store},
    supervise::{PAUSE, PAUSE_MAX},
};
use file::Files;
use item::{Batch, Wanted};
use status::Statuses;

pub use status::Status;

/// What an entry that notes a delivery takes in the queue.
const ENTRY_BYTES: usize = 128;

pub struct Deliveries {
    store: Arc<Store>,
    clock: Arc<Clock>,
    rules: Arc<RulesInForce>,
    lookups: Arc<Lookups>,
    files: Files,
    status: Statuses,
}

/// A destination at work; dropped, it stops.
struct Running {
    destination: Arc<Destination>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Deliveries {
    /// `folder` is where files of deliveries are.
    pub fn new(
        store: Arc<Store>,
        clock: Arc<Clock>,
        rules: Arc<RulesInForce>,
        lookups: Arc<Lookups>,
        folder: PathBuf,
    ) -> Self {
        Self { store, clock, rules, lookups, files: Files::new(folder), status: Statuses::default() }
    }

    /// How a destination fares; `None` if it is not at work.
    pub fn status(&self, destination: &Id) -> Option<Status> {
        // What is in force says which destinations there are; who is at work hears of it a moment later.
        let rules = self.rules.get();
        let destination = rules.destinations().iter().find(|known| known.enabled && known.id == *destination)?;
        Some(self.status_now(&destination.id))
    }

    /// How each destination that is enabled fares.
    pub fn statuses(&self) -> BTreeMap<Id, Status> {
        let rules = self.rules.get();
        let enabled = rules.destinations().iter().filter(|destination| destination.enabled);
        enabled.map(|destination| (destination.id.clone(), self.status_now(&destination.id))).collect()
    }

    fn status_now(&self, destination: &Id) -> Status {
        let mut status = self.status.get(destination);
        status.lag = self.store.end().saturating_sub(status.offset);
        status
    }

    /// Delivers until `ended` says so, to the destinations that are in force.
    pub async fn run(self: Arc<Self>, mut ended: watch::Receiver<bool>) {
        let mut rules = self.rules.changes();
        let mut running: HashMap<Id, Running> = HashMap::new();
        loop {
            let wanted = rules.borrow_and_update().clone();
            let wanted = wanted.destinations().iter().filter(|destination| destination.enabled);
            let mut kept = HashMap::new();
            for destination in wanted {
                let before = running.remove(&destination.id);
                let same = before.filter(|before| before.destination.is_same(destination));
                let running = same.unwrap_or_else(|| Running {
                    destination: destination.clone(),
                    task: tokio::spawn(self.clone().deliver_all(destination.clone())),
                });
                kept.insert(destination.id.clone(), running);
            }
            running = kept;
            self.status.retain(|id| running.contains_key(id));
            tokio::select! {
                changed = rules.changed() => if changed.is_err() { return },
                _ = ended.wait_for(|ended| *ended) => return,
            }
        }
    }

    /// Follows the log for one destination.
    async fn deliver_all(self: Arc<Self>, destination: Arc<Destination>) {
        self.status.keep_going(&destination.id, || self.follow(&destination)).await;
    }

    /// Delivers what comes, from where the destination is; returns when somebody sent it elsewhere.
    async fn follow(&self, destination: &Destination) -> Result<(), Refused> {
        let id = &destination.id;
        let mut noted = self.delivered(id).await?;
        let mut at = noted.unwrap_or_else(|| self.store.end());
        self.status.note(id, |status| (status.offset, status.error) = (at, None));
        let (mut looked_to, mut pause) = (at, PAUSE);
        loop {
            // Made anew for each try: whoever is deleted meanwhile is not handed out.
            let batch = self.batch(destination, at).await?;
            self.note_undecided(id, &batch, &mut looked_to);
            if batch.items.is_empty() {
                if self.delivered(id).await? != noted {
                    return Ok(());
                }
            } else {
                let items = batch.items.iter().map(|item| item.json.as_str());
                if let Err(error) = target::deliver(&self.lookups, &self.files, &destination.target, items).await {
                    tracing::warn!(destination = %id, error, "a delivery failed and is tried again");
                    self.status.note(id, |status| (status.failures, status.error) = (status.failures + 1, Some(error)));
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                    if self.delivered(id).await? != noted {
                        return Ok(());
                    }
                    continue;
                }
                pause = PAUSE;
                self.status.note(id, |status| (status.failures, status.error) = (0, None));
                if !self.advance(id, noted, batch.end).await? {
                    return Ok(());
                }
                noted = Some(batch.end);
                self.status.note(id, |status| status.delivered += batch.items.len() as u64);
            }
            at = batch.end;
            self.status.note(id, |status| status.offset = at);
        }
    }

    /// The next items from offset `at` on, once there is something.
    async fn batch(&self, destination: &Destination, at: u64) -> Result<Batch, Refused> {
        let (first, entries) = self.store.entries(at).await?;
        let (view, rules) = (self.store.read_view(), self.rules.get());
        let wanted = Wanted { store: &self.store, view: &view, rules: &rules, destination, now: self.clock.now() };
        let batch = wanted.batch(first, &entries, at).await?;
        view.answer(batch).await
    }

    /// Tells of the items whose condition could not be evaluated, each once.
    fn note_undecided(&self, id: &Id, batch: &Batch, looked_to: &mut u64) {
        for (offset, error) in batch.undecided.iter().filter(|(offset, _)| offset >= looked_to) {
            tracing::warn!(destination = %id, error, "the destination's condition cannot be evaluated");
            self.status.note(id, |status| {
                status.undecided += 1;
                status.undecided_error = Some(format!("offset {offset}: if: {error}"));
            });
        }
        *looked_to = batch.end.max(*looked_to);
    }

    /// Notes that the destination has everything before `offset`, durably. `false`: it was sent elsewhere meanwhile.
    async fn advance(&self, id: &Id, noted: Option<u64>, offset: u64) -> Result<bool, Refused> {
        let held = self.store.lock(vec![Key::Delivered(id.clone())]).await?;
        let permit = self.store.permit(ENTRY_BYTES).await?;
        let view = self.store.read_view();
        if view.delivered(id).await? != noted {
            return Ok(false);
        }
        let entry = Entry::Delivered { destination: id.clone(), offset };
        let ((), pending) = view.push(permit, |_| (vec![entry], ()))?;
        drop(held);
        pending.durable().await.map(|()| true)
    }

    /// How far the destination is, durably.
    async fn delivered(&self, id: &Id) -> Result<Option<u64>, Refused> {
        let view = self.store.read_view();
        view.answer(view.delivered(id).await?).await
    }
}
