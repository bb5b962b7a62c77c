//! What was stored lately, read once for all who follow the log.
//!
//! One task reads the log while somebody listens, and keeps the newest events of the types that any of them wants, so many
//! that they take a bounded part of the memory. Whoever listens has but a place among them. One that is slower than events
//! come finds its place gone. `recent` is what is kept.

mod recent;

use std::{collections::HashMap, ops::Range, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

use super::{
    filter::{EventFilter, KindPattern},
    scan::EventScan,
};
use crate::{
    clock::Clock,
    store::{Refused, Store, retry},
    supervise::{Next, supervise},
};
use recent::Ring;
pub use recent::{Recent, Stretch};

/// How many events are read at once: a block is mostly read once, or twice.
pub const READ_TOGETHER: usize = 512;
/// How often those who listen are told that there is more. What comes after a pause is told at once; without this, a
/// hundred of them would be woken for each batch that is stored, which takes more than telling them.
const TOLD_EVERY: Duration = Duration::from_millis(100);
/// They are told earlier of so many stretches: less than half of what is kept.
const TOLD_TOGETHER: usize = 4;

/// Reads the log while somebody listens.
pub struct Follower {
    store: Arc<Store>,
    clock: Arc<Clock>,
    listeners_max: usize,
    state: Mutex<State>,
    /// Where the newest events end.
    grown: watch::Sender<u64>,
    ended: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    /// Those who listen, by their numbers.
    listeners: HashMap<u64, Listening>,
    /// The number of who listens next.
    next: u64,
    /// What any of them wants.
    wanted: Arc<EventFilter>,
    /// What is kept from this offset on has all that is wanted.
    wanted_from: u64,
    /// Raised each time that reading begins anew: what is read for an earlier one is not kept.
    begun: u64,
    task: Option<JoinHandle<()>>,
    ring: Ring,
}

/// What is known of somebody who listens.
struct Listening {
    /// The types that are wanted; none: any type.
    kinds: Arc<[KindPattern]>,
    /// What is kept from before this offset was read without asking what this one wants.
    since: u64,
}

/// A place among those who listen, free once it is dropped.
pub struct Listener {
    follower: Arc<Follower>,
    number: u64,
}

impl Follower {
    pub fn new(store: Arc<Store>, clock: Arc<Clock>, listeners_max: usize) -> Self {
        Self {
            store,
            clock,
            listeners_max,
            state: Mutex::default(),
            grown: watch::Sender::new(0),
            ended: watch::Sender::new(false),
        }
    }

    /// How many listen.
    pub fn listeners(&self) -> usize {
        self.state.lock().listeners.len()
    }

    /// Lets everybody go, and nobody in.
    pub fn end(&self) {
        self.ended.send_replace(true);
    }

    /// A place for somebody who wants events of these types; none: any type.
    ///
    /// # Errors
    /// As many listen as may, or it has ended.
    pub fn listen(self: &Arc<Self>, kinds: &[KindPattern]) -> Result<Listener, Refused> {
        if *self.ended.borrow() {
            return Err(Refused::Unavailable("the server is shutting down".into()));
        }
        let mut state = self.state.lock();
        if state.listeners.len() >= self.listeners_max {
            return Err(Refused::Unavailable("as many readers follow as read.max_live allows".into()));
        }
        if state.listeners.is_empty() {
            let at = self.store.settled_end();
            state.begun += 1;
            (state.ring, state.wanted_from) = (Ring::at(at), at);
            state.task = Some(tokio::spawn(self.clone().run(state.begun)));
        }
        let number = state.add(kinds);
        Ok(Listener { follower: self.clone(), number })
    }

    async fn run(self: Arc<Self>, begun: u64) {
        let told = |ended| {
            match ended {
                Ok(refused) => tracing::warn!(%refused, "the log cannot be followed now"),
                Err(panic) => tracing::error!(panic, "following the log panicked and goes on"),
            }
            Next::AfterPause
        };
        supervise(|| self.follow(begun), told).await;
    }

    /// Reads what comes; why it cannot go on.
    async fn follow(&self, begun: u64) -> Refused {
        let mut pace = interval(TOLD_EVERY);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let at = self.state.lock().ring.range.end;
            self.store.settled(at).await;
            pace.tick().await;
            let read = self.read_together(begun).await;
            self.tell(begun);
            if let Err(refused) = read {
                return refused;
            }
        }
    }

    /// Reads what is there by now, and tells of it so often that what is kept outlasts it.
    async fn read_together(&self, begun: u64) -> Result<(), Refused> {
        for stretches in 1.. {
            let (at, wanted, known) = {
                let state = self.state.lock();
                (state.ring.range.end, state.wanted.clone(), state.next)
            };
            let end = self.store.settled_end();
            if at >= end {
                break;
            }
            let stretch = retry(|| self.read(at..end, wanted.clone())).await?;
            if !self.state.lock().keep(begun, &wanted, known, stretch) {
                return std::future::pending().await; // it is about to be stopped
            }
            if stretches % TOLD_TOGETHER == 0 {
                self.tell(begun);
            }
        }
        Ok(())
    }

    /// Tells those who listen how far it is.
    fn tell(&self, begun: u64) {
        let state = self.state.lock();
        if state.begun == begun {
            self.grown.send_replace(state.ring.range.end);
        }
    }

    /// The first wanted events within `range`, and up to where these are all.
    async fn read(&self, range: Range<u64>, wanted: Arc<EventFilter>) -> Result<Stretch, Refused> {
        let start = range.start;
        let (view, now) = (self.store.read_view(), self.clock.now());
        let stretch = view.query(move |log| {
            let mut scan = EventScan::along_log(wanted, None, range, now);
            let mut found = Vec::new();
            while found.is_empty() && !scan.is_done() {
                found = scan.step(log, READ_TOGETHER)?;
                found.retain(|event| !event.request.imported);
            }
            Stretch::of(start..scan.left().start.offset, found, log)
        });
        stretch.await
    }
}

impl State {
    /// The number of somebody new who wants events of these types.
    fn add(&mut self, kinds: &[KindPattern]) -> u64 {
        let number = self.next;
        self.next += 1;
        self.listeners.insert(number, Listening { kinds: kinds.into(), since: 0 });
        if self.look_who_listens() {
            self.wanted_from = self.ring.range.end;
        }
        if let Some(listening) = self.listeners.get_mut(&number) {
            listening.since = self.wanted_from;
        }
        number
    }

    /// Brings what is wanted to what those want who listen now; whether that is something else than before.
    fn look_who_listens(&mut self) -> bool {
        let mut kinds: Vec<KindPattern> = Vec::new();
        if self.listeners.values().all(|listening| !listening.kinds.is_empty()) {
            kinds.extend(self.listeners.values().flat_map(|listening| listening.kinds.iter().cloned()));
            kinds.sort_unstable();
            kinds.dedup();
        }
        let is_other = self.wanted.kinds != kinds;
        if is_other {
            self.wanted = Arc::new(EventFilter { kinds, ..EventFilter::default() });
        }
        is_other
    }

    /// Keeps what was read of what was wanted when `known` was the next number: who came since then looks for theirs there
    /// without it. `false` if it is for nobody who listens now.
    fn keep(&mut self, begun: u64, wanted: &Arc<EventFilter>, known: u64, stretch: Stretch) -> bool {
        if self.begun != begun {
            return false;
        }
        if !Arc::ptr_eq(&self.wanted, wanted) {
            self.wanted_from = stretch.range.end;
            let newer = self.listeners.iter_mut().filter(|(number, _)| **number >= known);
            newer.for_each(|(_, listening)| listening.since = stretch.range.end);
        }
        let weight = stretch.events.iter().map(Recent::weight).sum();
        self.ring.push(stretch, weight);
        true
    }

    /// See [`Listener::from`].
    fn from(&self, number: u64, at: u64) -> Option<Vec<Arc<Stretch>>> {
        self.listeners.get(&number).filter(|listening| at >= listening.since)?;
        self.ring.from(at)
    }
}

impl Listener {
    /// What was stored lately from offset `at` on, some of it; `None` if it is not kept any more, or was stored before.
    pub fn from(&self, at: u64) -> Option<Vec<Arc<Stretch>>> {
        self.follower.state.lock().from(self.number, at)
    }

    /// The offset behind what was stored lately.
    pub fn end(&self) -> u64 {
        self.follower.state.lock().ring.range.end
    }

    /// Waits until there is something from offset `at` on, which is not before what is kept.
    pub async fn grown(&self, at: u64) {
        _ = self.follower.grown.subscribe().wait_for(|end| *end > at).await; // it lives as long as who listens
    }

    /// Turns true once everybody is to go.
    pub fn ended(&self) -> watch::Receiver<bool> {
        self.follower.ended.subscribe()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut state = self.follower.state.lock();
        state.listeners.remove(&self.number);
        state.look_who_listens();
        if state.listeners.is_empty() {
            state.begun += 1;
            state.ring = Ring::default();
            if let Some(task) = state.task.take() {
                task.abort();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_what_those_want_who_listen() {
        let mut state = State { ring: Ring::at(10), wanted_from: 10, ..State::default() };
        let add = |state: &mut State, kinds: &[&str]| {
            let kinds: Vec<_> = kinds.iter().map(|kind| KindPattern::Exactly((*kind).into())).collect();
            state.add(&kinds)
        };
        let takes = |state: &State| ["a", "b", "c"].map(|kind| state.wanted.takes_kind(kind));
        let asked = |state: &State| (state.wanted.clone(), state.next);
        let read = |start: u64| Stretch { range: start..start + 10, events: Vec::new() };
        let is_kept_for = |state: &State, number: u64, at: u64| state.from(number, at).is_some();
        let keep = |state: &mut State, (wanted, known): (Arc<EventFilter>, u64), start: u64| {
            assert!(state.keep(0, &wanted, known, read(start)));
        };

        let first = add(&mut state, &["b"]);
        assert_eq!(takes(&state), [false, true, false]);
        let for_first = asked(&state);
        let same = add(&mut state, &["b"]);
        let other = add(&mut state, &["b", "a"]);
        assert_eq!(takes(&state), [true, true, false]);
        keep(&mut state, for_first, 10);
        assert!(is_kept_for(&state, first, 10), "it is what this one wants");
        assert!(!is_kept_for(&state, other, 19) && is_kept_for(&state, other, 20), "it was read for others");
        assert!(is_kept_for(&state, same, 20));
        let for_all = asked(&state);
        keep(&mut state, for_all, 20);
        let late = add(&mut state, &["a", "b"]);
        assert!(is_kept_for(&state, late, 20), "what is kept from there on was read for the same types");
        let any = add(&mut state, &[]);
        assert_eq!(takes(&state), [true; 3], "whoever names no type wants all");
        assert!(!is_kept_for(&state, any, 29) && is_kept_for(&state, any, 30));
        state.listeners.remove(&any);
        assert!(state.look_who_listens());
        assert_eq!(takes(&state), [true, true, false]);
        let (wanted, known) = asked(&state);
        assert!(!state.keep(1, &wanted, known, read(30)), "it is for nobody who listens now");
        assert_eq!(state.ring.range, 10..30);
    }
}
