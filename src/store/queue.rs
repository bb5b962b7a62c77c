//! The queue between requests and the committer, and the overlay that goes with it.
//!
//! One lock guards both, so that putting a request into the queue and into the overlay is one step. The lock is a plain
//! one: nothing under it waits, and the committer's thread takes it too.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::{
    entry::{Entry, Fold},
    error::Refused,
    overlay::Overlay,
};
use crate::{clock::Clock, model::Time};

/// How long a read waits until what it saw is durable.
const SETTLED_WAIT: Duration = Duration::from_secs(5);
/// What the queue and the overlay may hold together, as [`Queue::room`] counts it.
const ROOM_BYTES: usize = 24 * 1024 * 1024;
/// What a request takes in queue and overlay beside its body.
const REQUEST_BYTES: usize = 1_024;
/// How long a request waits for room.
const ROOM_WAIT: Duration = Duration::from_secs(1);

pub struct Queue {
    state: Mutex<QueueState>,
    filled: Condvar,
    room: Arc<Semaphore>,
    /// Where the log is durable, for those who read.
    durable: watch::Sender<Durable>,
    /// The log and the views have everything before this offset.
    applied: watch::Sender<u64>,
}

/// Up to where the log is durable.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Durable {
    offset: u64,
    /// Raised when queued entries are taken back.
    generation: u64,
}

#[derive(Default)]
pub struct QueueState {
    /// The offset that the next entry gets.
    pub next: u64,
    pub overlay: Overlay,
    waiting: VecDeque<Queued>,
    generation: u64,
    /// Why nothing can be stored now.
    pub trouble: Option<String>,
    pub closing: bool,
}

/// Entries of one request on their way to the disk.
pub struct Queued {
    pub first: u64,
    pub entries: Arc<[Entry]>,
    pub done: oneshot::Sender<Result<(), Refused>>,
    pub room: Room,
}

/// A request's share of queue and overlay, given back when the views have its entries.
pub struct Room(#[expect(dead_code, reason = "held for its drop")] OwnedSemaphorePermit);

/// The state of the store that a request reads: entries built on it are taken only while it stands.
#[derive(Clone, Copy, Debug, PartialEq)]
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
            room: Arc::new(Semaphore::new(ROOM_BYTES)),
            applied: watch::Sender::new(end),
            durable: watch::Sender::new(Durable { offset: end, generation: 0 }),
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock()
    }

    /// Waits for room for a request of `bytes`.
    pub async fn room(&self, bytes: usize) -> Result<Room, Refused> {
        if let Some(trouble) = &self.lock().trouble {
            return Err(Refused::Stopped(trouble.clone()));
        }
        let share = u32::try_from((REQUEST_BYTES + bytes).min(ROOM_BYTES)).unwrap_or(u32::MAX);
        match tokio::time::timeout(ROOM_WAIT, self.room.clone().acquire_many_owned(share)).await {
            Ok(Ok(permit)) => Ok(Room(permit)),
            _ => Err(Refused::Unavailable("too many requests are waiting for the disk".into())),
        }
    }

    pub fn generation(&self) -> Generation {
        Generation(self.lock().generation)
    }

    /// Queues what `build` makes and shows it to the next requests. Nothing that was read under an older generation is
    /// queued. `build` runs under the queue's lock: it fixes times and offsets in what is otherwise ready.
    pub fn push<T>(
        &self,
        clock: &Clock,
        read_under: Generation,
        room: Room,
        build: impl FnOnce(Moment) -> (Vec<Entry>, T),
    ) -> Result<(T, Pending), Refused> {
        let mut state = self.lock();
        if let Some(trouble) = &state.trouble {
            return Err(Refused::Stopped(trouble.clone()));
        }
        if state.closing {
            return Err(Refused::Unavailable("the server is shutting down".into()));
        }
        if read_under.0 != state.generation {
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
        state.waiting.push_back(Queued { first, entries: entries.into(), done, room });
        drop(state);
        self.filled.notify_one();
        Ok((made, Pending(pending)))
    }

    /// Takes up to `most` requests; waits for one, at most for `patience`. `None` when the queue is closed and empty.
    pub fn take(&self, most: usize, patience: Duration) -> Option<Vec<Queued>> {
        let mut state = self.lock();
        if state.waiting.is_empty() && !state.closing {
            self.filled.wait_for(&mut state, patience);
        }
        if state.waiting.is_empty() && state.closing {
            return None;
        }
        let count = state.waiting.len().min(most);
        Some(state.waiting.drain(..count).collect())
    }

    /// Everything before `offset` is durable.
    pub fn is_durable(&self, offset: u64) {
        self.durable.send_modify(|durable| durable.offset = offset);
    }

    /// Waits until everything that is queued now is durable.
    ///
    /// # Errors
    /// [`Refused::Stale`]: some of it was taken back, so what was read must be read again.
    pub async fn settled(&self) -> Result<(), Refused> {
        let (wanted, generation) = {
            let state = self.lock();
            (state.next, state.generation)
        };
        let mut durable = self.durable.subscribe();
        let seen = durable.wait_for(|durable| durable.offset >= wanted || durable.generation != generation);
        match tokio::time::timeout(SETTLED_WAIT, seen).await {
            Ok(Ok(durable)) if durable.generation == generation => Ok(()),
            Ok(_) => Err(Refused::Stale),
            Err(_) => Err(Refused::Unavailable("what was read is not on the disk yet".into())),
        }
    }

    /// Waits until the log and the views have everything that is durable now.
    pub async fn applied(&self) -> Result<(), Refused> {
        let wanted = self.durable.borrow().offset;
        let mut applied = self.applied.subscribe();
        match tokio::time::timeout(SETTLED_WAIT, applied.wait_for(|applied| *applied >= wanted)).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(Refused::Unavailable("what was read is not in the log yet".into())),
        }
    }

    /// Waits until the log and the views have the entry at `offset`.
    pub async fn applied_beyond(&self, offset: u64) {
        _ = self.applied.subscribe().wait_for(|applied| *applied > offset).await; // the queue lives as long as the store
    }

    /// The views have everything before offset `end`.
    pub fn is_applied(&self, end: u64) {
        let mut state = self.lock();
        state.overlay.applied(end);
        drop(state);
        self.applied.send_replace(end);
    }

    /// Nothing can be stored until [`Queue::resume`]: what waits is refused, what comes is too.
    pub fn stop(&self, trouble: &str) {
        let mut state = self.lock();
        if state.trouble.is_none() {
            tracing::error!(trouble, "nothing can be stored");
        }
        state.trouble = Some(trouble.to_owned());
        for queued in state.waiting.drain(..) {
            _ = queued.done.send(Err(Refused::Stopped(trouble.to_owned())));
        }
        drop(state);
        self.filled.notify_all();
    }

    /// Takes back what was queued behind offset `end` and refused, once the views have everything before it: the
    /// states that it led to are gone, and what was read of them is stale. `false`: the views are not that far.
    pub fn take_back(&self, end: u64) -> bool {
        let mut state = self.lock();
        if *self.applied.borrow() < end {
            return false;
        }
        state.overlay.clear();
        state.next = end;
        state.generation += 1;
        let generation = state.generation;
        self.durable.send_modify(|durable| *durable = Durable { offset: end, generation });
        true
    }

    pub fn resume(&self) {
        self.lock().trouble = None;
        tracing::info!("storing goes on");
    }

    /// Takes nothing more; what is queued is still committed.
    pub fn close(&self) {
        self.lock().closing = true;
        self.filled.notify_all();
    }
}
