//! What a connection is doing: told by its socket and by whoever answers, read by whoever needs its place.

use std::{
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

/// What the connection is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The first byte of a request.
    Idle,
    /// The rest of a request's head.
    Head,
    /// The answer; the body has limits of its own.
    Answer,
    /// That the client takes the answer.
    Writing,
}

type Rest = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection's state, shared by its task, its socket and [`Admission`](super::Admission).
pub struct Activity {
    opened: Instant,
    /// The phase in the lowest two bits; above them, in the first two phases, since when the connection rests, in
    /// milliseconds from `opened`.
    state: AtomicU64,
    /// Pieces of the answer are still to come.
    streams: AtomicBool,
    /// They would never end by themselves.
    is_endless: AtomicBool,
    asked_to_leave: AtomicBool,
    asked: Notify,
    /// The request's body was not read whole.
    body_left: AtomicBool,
    unfinished: Mutex<Option<Rest>>,
    /// What was not read, where it can be read on without the connection.
    left_body: Mutex<Option<Incoming>>,
}

const IDLE: u64 = 0;
const HEAD: u64 = 1;
const ANSWER: u64 = 2;
const WRITING: u64 = 3;
const PHASE_BITS: u32 = 2;

impl Activity {
    pub fn new() -> Self {
        Self {
            opened: Instant::now(),
            state: AtomicU64::new(IDLE),
            streams: AtomicBool::new(false),
            is_endless: AtomicBool::new(false),
            asked_to_leave: AtomicBool::new(false),
            asked: Notify::new(),
            body_left: AtomicBool::new(false),
            unfinished: Mutex::new(None),
            left_body: Mutex::new(None),
        }
    }

    pub fn phase(&self) -> Phase {
        phase(self.state.load(Ordering::Relaxed))
    }

    /// The first byte of a request is there. The connection rests all the same until the head is whole: a head that
    /// trickles in must not hold a place better than a client that keeps still.
    pub(super) fn head_begins(&self) {
        self.state.fetch_or(HEAD, Ordering::Relaxed);
    }

    /// A request's head is there; `has_body` tells whether a body follows.
    pub fn request_begins(&self, has_body: bool) {
        self.body_left.store(has_body, Ordering::Relaxed);
        self.state.store(ANSWER, Ordering::Relaxed);
    }

    pub fn body_was_read(&self) {
        self.body_left.store(false, Ordering::Relaxed);
    }

    /// The answer is known; from here on it is written.
    pub fn answer_begins(&self) {
        self.state.store(WRITING, Ordering::Relaxed);
    }

    /// The answer comes in pieces, and is under way until the last of them is there, also while none comes. `is_endless`:
    /// there is no last one.
    pub(super) fn stream_begins(&self, is_endless: bool) {
        self.is_endless.store(is_endless, Ordering::Relaxed);
        self.streams.store(true, Ordering::Relaxed);
    }

    pub(super) fn stream_ends(&self) {
        self.is_endless.store(false, Ordering::Relaxed);
        self.streams.store(false, Ordering::Relaxed);
    }

    /// Whether pieces of the answer are still to come.
    pub(super) fn streams(&self) -> bool {
        self.streams.load(Ordering::Relaxed)
    }

    /// Whether the answer would never end by itself.
    pub fn is_endless(&self) -> bool {
        self.is_endless.load(Ordering::Relaxed)
    }

    /// Everything was written.
    pub(super) fn answer_ends(&self, now: Instant) {
        let since = now.saturating_duration_since(self.opened).as_millis() as u64;
        self.state.store(since << PHASE_BITS | IDLE, Ordering::Relaxed);
    }

    /// Whether the client may still be sending what nobody reads: a body that was refused, or what is no request.
    pub fn leaves_unread(&self) -> bool {
        self.body_left.load(Ordering::Relaxed) || self.phase() == Phase::Head
    }

    /// Whether no request is under way.
    pub fn rests(&self) -> bool {
        matches!(self.phase(), Phase::Idle | Phase::Head)
    }

    /// Since when no request is under way; `None` while one is.
    pub fn resting_since(&self) -> Option<Instant> {
        let state = self.state.load(Ordering::Relaxed);
        let rests = matches!(phase(state), Phase::Idle | Phase::Head);
        rests.then(|| self.opened + Duration::from_millis(state >> PHASE_BITS))
    }

    /// The same of a connection that was not asked to end.
    pub fn rests_since(&self) -> Option<Instant> {
        self.resting_since().filter(|_| !self.was_asked_to_leave())
    }

    /// Asks the connection to end: now if no request is under way, else once it is answered.
    pub(super) fn ask_to_leave(&self) {
        self.asked_to_leave.store(true, Ordering::Relaxed);
        self.asked.notify_one();
    }

    pub(super) fn was_asked_to_leave(&self) -> bool {
        self.asked_to_leave.load(Ordering::Relaxed)
    }

    /// Waits until the connection is asked to end.
    pub async fn asked_to_leave(&self) {
        self.asked.notified().await;
    }

    /// Keeps what is left to do for a request whose connection ended; the connection's task does it.
    pub fn leave_unfinished(&self, rest: Rest) {
        *self.unfinished.lock() = Some(rest);
    }

    /// Keeps a body that was not read, of a request that is one of many.
    pub fn leave_body(&self, body: Incoming) {
        *self.left_body.lock() = Some(body);
    }

    pub fn take_left_body(&self) -> Option<Incoming> {
        self.left_body.lock().take()
    }

    pub fn take_unfinished(&self) -> Option<Rest> {
        self.unfinished.lock().take()
    }
}

fn phase(state: u64) -> Phase {
    match state & ((1 << PHASE_BITS) - 1) {
        IDLE => Phase::Idle,
        HEAD => Phase::Head,
        ANSWER => Phase::Answer,
        _ => Phase::Writing,
    }
}
