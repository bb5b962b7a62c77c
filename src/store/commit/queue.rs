//! The queue between requests and the committer, and the overlay that goes with it.
//!
//! One lock guards both, so that putting a request into the queue and into the overlay is one step. The lock is a plain
//! one: nothing under it waits, and the committer's thread takes it too.
//!
//! Waits have no limit of their own here: whoever waits sets one.

use std::{
    collections::VecDeque,
    sync::{Arc, PoisonError},
    time::Duration,
};

use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::overlay::Overlay;

use crate::store::{
    entry::{Entry, Fold, Key, State},
    error::Refused,
};
use crate::{clock::Clock, model::Time};

#[cfg(test)]
use shuttle::sync::{Condvar, Mutex, MutexGuard};
/// The lock and its condition; in this crate's own tests those of `shuttle`, which tries every order of threads.
#[cfg(not(test))]
use std::sync::{Condvar, Mutex, MutexGuard};

/// What the queue and the overlay may hold together, as [`Queue::permit`] counts it.
const QUEUE_BYTES: usize = 24 * 1024 * 1024;
/// With so much of that there is a good deal to do: some hundred requests are on their way.
const BUSY_BYTES: usize = 1024 * 1024;
/// What a request takes in queue and overlay beside its body.
const REQUEST_BYTES: usize = 1_024;

pub struct Queue {
    state: Mutex<QueueState>,
    filled: Condvar,
    permits: Arc<Semaphore>,
    /// Where the log is durable, for those who read.
    durable: watch::Sender<Durable>,
    /// The log and the views have everything before this offset.
    applied: watch::Sender<u64>,
}

/// Up to where the log is durable.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Durable {
    offset: u64,
    /// Up to where it is synced too: in relaxed mode that comes later.
    synced: u64,
    generation: Generation,
}

#[derive(Default)]
struct QueueState {
    /// The offset that the next entry gets.
    next: u64,
    overlay: Overlay,
    waiting: VecDeque<Queued>,
    generation: Generation,
    /// Why nothing can be stored now.
    trouble: Option<String>,
    closing: bool,
}

/// Entries of one request on their way to the disk.
pub struct Queued {
    pub first: u64,
    pub entries: Arc<[Entry]>,
    pub done: oneshot::Sender<Result<(), Refused>>,
    pub permit: QueuePermit,
}

/// A request's share of queue and overlay, given back when the views have its entries.
pub struct QueuePermit(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

/// What is in queue and overlay.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct QueueFigures {
    /// How many requests wait for the committer.
    pub requests: usize,
    /// What the requests that are not applied yet take, as [`Queue::permit`] counts it.
    pub bytes: usize,
    /// The most that they may take; who comes then waits for a permit.
    pub bytes_max: usize,
}

/// The state of the store that a request reads: it is raised when queued entries are taken back, and what was read
/// under an older one is stale.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Generation(u64);

/// What is fixed about a request's entries at the moment in which they are queued.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Never decreases along the log.
    pub now: Time,
    /// The offset of the first entry.
    pub offset: u64,
}

/// Entries that are queued; the answer waits for [`Pending::durable`].
#[must_use = "what is queued may still be refused"]
pub struct Pending(oneshot::Receiver<Result<(), Refused>>);

impl Pending {
    /// Waits until the entries are as durable as the setting demands.
    pub async fn durable(self) -> Result<(), Refused> {
        self.0.await.unwrap_or(Err(Refused::OutcomeUnknown))
    }
}

impl Queue {
    pub fn new(end: u64) -> Self {
        Self {
            state: Mutex::new(QueueState { next: end, ..QueueState::default() }),
            filled: Condvar::new(),
            permits: Arc::new(Semaphore::new(QUEUE_BYTES)),
            applied: watch::Sender::new(end),
            durable: watch::Sender::new(Durable { offset: end, synced: end, generation: Generation::default() }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        // Nothing under the lock panics half way through a change, but for the entries that a request builds, which are
        // built before anything is changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for room for a request of `bytes`.
    ///
    /// # Errors
    /// Nothing can be stored now.
    pub async fn permit(&self, bytes: usize) -> Result<QueuePermit, Refused> {
        if let Some(trouble) = self.trouble() {
            return Err(Refused::Stopped(trouble));
        }
        let share = u32::try_from((REQUEST_BYTES + bytes).min(QUEUE_BYTES)).unwrap_or(u32::MAX);
        let permit = self.permits.clone().acquire_many_owned(share).await;
        permit.map(QueuePermit).map_err(|_| Refused::OutcomeUnknown) // the semaphore is never closed
    }

    pub fn generation(&self) -> Generation {
        self.lock().generation
    }

    /// The state under `key` that is on its way to the views, and the offset behind the entries that led to it.
    ///
    /// # Errors
    /// [`Refused::Stale`]: entries were taken back since the reader's `generation`.
    pub fn read(&self, generation: Generation, key: &Key) -> Result<Option<(u64, State)>, Refused> {
        let state = self.lock();
        if state.generation == generation { Ok(state.overlay.get(key)) } else { Err(Refused::Stale) }
    }

    /// Whether much is on its way to the views.
    pub fn is_busy(&self) -> bool {
        self.permits.available_permits() < QUEUE_BYTES - BUSY_BYTES
    }

    /// Whether nothing was ever queued.
    pub fn is_empty(&self) -> bool {
        self.lock().next == 0
    }

    /// The offset behind everything that is queued.
    pub fn end(&self) -> u64 {
        self.lock().next
    }

    /// Queues what `build` makes and shows it to the next requests. Nothing that was read under an older generation is
    /// queued. `build` runs under the queue's lock: it fixes times and offsets in what is otherwise ready.
    pub fn push<T>(
        &self,
        clock: &Clock,
        read_under: Generation,
        permit: QueuePermit,
        build: impl FnOnce(Moment) -> (Vec<Entry>, T),
    ) -> Result<(T, Pending), Refused> {
        let mut state = self.lock();
        if let Some(trouble) = &state.trouble {
            return Err(Refused::Stopped(trouble.clone()));
        }
        if state.closing {
            return Err(Refused::Unavailable("the server is shutting down".into()));
        }
        if read_under != state.generation {
            return Err(Refused::Stale);
        }
        let first = state.next;
        let (entries, made) = build(Moment { now: clock.now(), offset: first });
        let mut fold = Fold::default();
        for (offset, entry) in (first..).zip(&entries) {
            fold.entry(offset, entry);
        }
        state.next += entries.len() as u64;
        let end = state.next;
        state.overlay.add(end, fold);
        let (done, pending) = oneshot::channel();
        state.waiting.push_back(Queued { first, entries: entries.into(), done, permit });
        drop(state);
        self.filled.notify_one();
        Ok((made, Pending(pending)))
    }

    /// Takes up to `most` requests; waits for one, at most for `patience`. `None` when the queue is closed and empty.
    pub fn take(&self, most: usize, patience: Duration) -> Option<Vec<Queued>> {
        let mut state = self.lock();
        if state.waiting.is_empty() && !state.closing {
            let waited = self.filled.wait_timeout(state, patience);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if state.waiting.is_empty() && state.closing {
            return None;
        }
        let count = state.waiting.len().min(most);
        Some(state.waiting.drain(..count).collect())
    }

    /// Everything before `offset` is durable; `is_synced`: also where the setting demands less.
    pub fn set_durable(&self, offset: u64, is_synced: bool) {
        self.durable.send_modify(|durable| {
            durable.offset = offset;
            if is_synced {
                durable.synced = offset;
            }
        });
    }

    /// Everything that is durable is synced.
    pub fn set_synced(&self) {
        self.durable.send_modify(|durable| durable.synced = durable.offset);
    }

    /// The offset behind what stays whatever happens: it is synced, and the log and the views have it.
    pub fn settled_end(&self) -> u64 {
        self.durable.borrow().synced.min(self.applied_end())
    }

    /// Waits until something from `offset` on is settled; the offset behind it, as [`Queue::settled_end`].
    pub async fn settled(&self, offset: u64) -> u64 {
        self.applied(offset + 1).await;
        _ = self.durable.subscribe().wait_for(|durable| durable.synced > offset).await; // as for `applied`
        self.settled_end()
    }

    /// The offset behind what is durable.
    pub fn durable_end(&self) -> u64 {
        self.durable.borrow().offset
    }

    /// Waits until everything before `offset`, which was read under `generation`, is durable.
    ///
    /// # Errors
    /// [`Refused::Stale`]: some of it was taken back, so it must be read again.
    pub async fn durable(&self, generation: Generation, offset: u64) -> Result<(), Refused> {
        let mut durable = self.durable.subscribe();
        let seen = durable.wait_for(|durable| durable.generation != generation || durable.offset >= offset).await;
        match seen {
            Ok(durable) if durable.generation == generation => Ok(()),
            _ => Err(Refused::Stale),
        }
    }

    /// The offset behind what the log and the views have.
    pub fn applied_end(&self) -> u64 {
        *self.applied.borrow()
    }

    /// Waits until the log and the views have everything before `offset`.
    pub async fn applied(&self, offset: u64) {
        _ = self.applied.subscribe().wait_for(|applied| *applied >= offset).await; // the queue lives as long as the store
    }

    /// The views have everything before offset `end`.
    pub fn set_applied(&self, end: u64) {
        self.lock().overlay.applied(end);
        self.applied.send_replace(end);
    }

    /// Why nothing can be stored now, if so.
    pub fn trouble(&self) -> Option<String> {
        self.lock().trouble.clone()
    }

    /// Nothing can be stored until [`Queue::resume`]: what waits is refused, what comes is too. Said again, the latest
    /// reason stands.
    pub fn stop(&self, trouble: &str) {
        let mut state = self.lock();
        if state.trouble.replace(trouble.to_owned()).is_none() {
            tracing::error!(trouble, "nothing can be stored");
        }
        let refused: Vec<Queued> = state.waiting.drain(..).collect();
        drop(state);
        for queued in refused {
            _ = queued.done.send(Err(Refused::Stopped(trouble.to_owned())));
        }
        self.filled.notify_all();
    }

    /// Takes back what was queued from offset `end` on and refused: the states that it led to are gone, and what was
    /// read of them is stale.
    pub fn take_back(&self, end: u64) {
        let mut state = self.lock();
        if state.next == end {
            return; // nothing is behind it
        }
        state.overlay.take_back(end);
        state.next = end;
        state.generation.0 += 1;
        let generation = state.generation;
        self.durable
            .send_modify(|durable| *durable = Durable { offset: end, synced: durable.synced.min(end), generation });
    }

    pub fn resume(&self) {
        if self.lock().trouble.take().is_some() {
            tracing::info!("storing goes on");
        }
    }

    pub fn figures(&self) -> QueueFigures {
        let requests = self.lock().waiting.len();
        let bytes = QUEUE_BYTES.saturating_sub(self.permits.available_permits());
        QueueFigures { requests, bytes, bytes_max: QUEUE_BYTES }
    }

    /// Takes nothing more; what is queued is still committed.
    pub fn close(&self) {
        self.lock().closing = true;
        self.filled.notify_all();
    }

    pub fn is_closing(&self) -> bool {
        self.lock().closing
    }
}

#[cfg(test)]
mod tests;
