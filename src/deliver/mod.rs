//! Delivering events and changed profiles to other systems: each destination reads the log at its own pace.
//!
//! How far a destination is, is an entry of the log itself, written once a delivery was taken: so each item is
//! delivered at least once, also across a restart, and from any offset again. A delivery that fails is tried again with
//! longer and longer pauses; what waits behind it waits in the log. An item that alone is not taken while others are stops
//! nobody: it is set aside, and noted in the log (`asides.rs`).
//!
//! ```text
//! course     a destination's way through the log: one try after the other
//! item       what it wants of a block, made from the log for each try; people: whose it is, now and then
//! target     hands it over; refusal: what it means that it was not taken
//! asides     what is set aside, as the course knows it; aside: as administrators see it
//! ```

mod aside;
mod asides;
mod course;
mod file;
mod item;
mod people;
mod refusal;
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
    process::{Destination, Lookups, Rules, RulesInForce},
    store::{Entry, ReadView, Refused, Store},
};
use course::Course;
use file::Files;
use item::{Item, Wanted};
use status::Statuses;

pub use aside::{Sent, ShownAside};
pub use status::Status;

/// What an entry that notes a delivery takes in the queue, with the state that it leads to.
const ENTRY_BYTES: usize = 640;
/// How many items are noted together that are set aside no more.
const DONE_TOGETHER: usize = 1_000;

pub struct Deliveries {
    store: Arc<Store>,
    clock: Arc<Clock>,
    rules: Arc<RulesInForce>,
    lookups: Arc<Lookups>,
    files: Files,
    status: Statuses,
    /// Tells that somebody did something about what is set aside.
    changed: watch::Sender<u64>,
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
        Self {
            store,
            clock,
            rules,
            lookups,
            files: Files::new(folder),
            status: Statuses::default(),
            changed: watch::Sender::default(),
        }
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
        self.status.keep_going(&destination.id, || Course::follow(&self, &destination)).await;
    }

    /// What stands at offset `item` for the destination, made from the log; `None`: it is not there any more, or not wanted.
    /// `block` keeps the block that was read last.
    async fn item(
        &self,
        destination: &Destination,
        item: u64,
        block: &mut Option<(u64, Vec<Entry>)>,
    ) -> Result<Option<Item>, Refused> {
        let is_there = |(first, entries): &(u64, Vec<Entry>)| (*first..first + entries.len() as u64).contains(&item);
        if !block.as_ref().is_some_and(is_there) {
            *block = Some(self.store.entries(item).await?);
        }
        let Some((first, entries)) = block else { return Ok(None) };
        let (view, rules) = (self.store.read_view(), self.rules.get());
        let wanted = self.wanted(&view, &rules, destination, 1);
        view.answer(wanted.one(*first, entries, item).await?).await
    }

    fn wanted<'a>(
        &'a self,
        view: &'a ReadView,
        rules: &'a Rules,
        destination: &'a Destination,
        most: usize,
    ) -> Wanted<'a> {
        Wanted { store: &self.store, view, rules, destination, now: self.clock.now(), most }
    }

    /// Writes entries durably.
    async fn write(&self, view: &ReadView, entries: Vec<Entry>) -> Result<(), Refused> {
        let states =
            entries.iter().map(|entry| if let Entry::AsideDone { items, .. } = entry { items.len() } else { 1 });
        let permit = self.store.permit(ENTRY_BYTES * states.sum::<usize>()).await?;
        let ((), pending) = view.push(permit, |_| (entries, ()))?;
        pending.durable().await
    }

    /// How far the destination is, durably.
    async fn delivered(&self, id: &Id) -> Result<Option<u64>, Refused> {
        let view = self.store.read_view();
        view.answer(view.delivered(id).await?).await
    }
}
