//! A connection over which several requests are answered at a time (HTTP/2), each by a task of its own.
//!
//! What holds for a connection of HTTP/1 holds here for each of them: it is finished even if its client goes away, and
//! who does not take its answer is not waited for. The connection's place is free once all of them are done.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hyper::{body::Incoming, rt::Executor};
use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, sleep, sleep_until},
};

use super::{
    activity::Activity,
    admission::Place,
    linger::{LINGER, read_on},
    socket::is_too_little,
};

/// How many requests of a connection are answered at a time, those counted whose client has given them up.
pub const STREAMS_MAX: usize = 32;

tokio::task_local! {
    /// The one whose task this is.
    static STREAM: Arc<Stream>;
}

/// What the requests of a connection share.
pub struct Streams {
    place: Place,
    /// How many requests are under way. Behind a lock, so that the connection's state changes in the same order.
    under_way: Mutex<usize>,
    room: Arc<Semaphore>,
    leaving: watch::Sender<bool>,
    idle_time_max: Duration,
    endless_finish_time_max: Duration,
}

/// An answer on its way to the client.
#[derive(Default)]
pub struct Stream {
    /// There while the client has to take something.
    stall: Mutex<Option<Stall>>,
    is_endless: AtomicBool,
}

#[derive(Clone, Copy)]
struct Stall {
    since: Instant,
    /// What it took since then.
    taken: usize,
}

/// Runs the tasks of a connection's requests.
#[derive(Clone)]
pub struct StreamTasks(Arc<Streams>);

/// A request that counts as under way, also once its client has given it up.
pub struct UnderWay(Arc<Streams>);

/// A request that is being answered.
pub struct Answering {
    pub activity: Arc<Activity>,
    /// There until it is dropped.
    held: Option<(UnderWay, Option<OwnedSemaphorePermit>)>,
}

impl Streams {
    /// `endless_finish_time_max`: how long a client may take, once the connection is to end, for an answer without end.
    pub fn new(place: Place, idle_time_max: Duration, endless_finish_time_max: Duration) -> Arc<Self> {
        Arc::new(Self {
            place,
            under_way: Mutex::new(0),
            room: Arc::new(Semaphore::new(STREAMS_MAX)),
            leaving: watch::Sender::new(false),
            idle_time_max,
            endless_finish_time_max,
        })
    }

    /// What the connection is doing.
    pub fn activity(&self) -> &Arc<Activity> {
        self.place.activity()
    }

    pub fn tasks(self: &Arc<Self>) -> StreamTasks {
        StreamTasks(self.clone())
    }

    /// Has answers end that would never end by themselves.
    pub fn leave(&self) {
        self.leaving.send_replace(true);
    }

    /// A request's head is there.
    pub fn request_begins(self: &Arc<Self>) -> UnderWay {
        let mut under_way = self.under_way.lock();
        *under_way += 1;
        if *under_way == 1 {
            self.activity().request_begins(false);
        }
        UnderWay(self.clone())
    }

    async fn is_leaving(&self) {
        _ = self.leaving.subscribe().wait_for(|leaving| *leaving).await;
    }

    /// Waits until an answer is to be cut off: because its client does not take it, or it would never end.
    async fn cut_off(&self, stream: &Stream) {
        let leaving = async {
            self.is_leaving().await;
            loop {
                sleep(self.endless_finish_time_max).await;
                if stream.is_endless.load(Ordering::Relaxed) {
                    return;
                }
            }
        };
        tokio::select! {
            () = stream.stalled(self.idle_time_max) => {}
            () = leaving => {}
        }
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for StreamTasks {
    fn execute(&self, answered: F) {
        let (streams, stream) = (self.0.clone(), Arc::new(Stream::default()));
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = STREAM.scope(stream.clone(), answered) => {}
                () = streams.cut_off(&stream) => {} // the client is told by a reset of this answer alone
            }
        });
    }
}

impl UnderWay {
    /// Waits for room among the requests that are being answered. hyper lets in as many at a time, but those do not count
    /// with it that a client has given up.
    pub async fn answering(self) -> Arc<Answering> {
        let permit = self.0.room.clone().acquire_owned().await.ok(); // it is never closed
        Arc::new(Answering { activity: Arc::new(Activity::new()), held: Some((self, permit)) })
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut under_way = self.0.under_way.lock();
        *under_way -= 1;
        if *under_way == 0 {
            self.0.activity().answer_ends(Instant::now());
        }
    }
}

impl Answering {
    /// Reads on what comes of a body that nobody wants: some clients miss the answer if they are told to stop sending.
    pub fn read_on(self: &Arc<Self>, body: Incoming) {
        let answering = self.clone();
        tokio::spawn(async move {
            let Some((UnderWay(streams), _)) = &answering.held else { return };
            tokio::select! {
                () = read_on(body, LINGER) => {}
                () = streams.is_leaving() => {}
            }
        });
    }
}

/// What is left to do for a request whose client gave it up is done by a task that holds its place meanwhile.
impl Drop for Answering {
    fn drop(&mut self) {
        let Some(rest) = self.activity.take_unfinished() else { return };
        let held = self.held.take();
        // There is none only where the process ends.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                rest.await;
                drop(held);
            });
        }
    }
}

impl Stream {
    /// The one whose task this is.
    pub fn current() -> Option<Arc<Self>> {
        STREAM.try_with(Arc::clone).ok()
    }

    pub fn never_ends(&self) {
        self.is_endless.store(true, Ordering::Relaxed);
    }

    /// A piece is there for the client to take.
    pub fn give(&self) {
        self.stall.lock().get_or_insert_with(|| Stall { since: Instant::now(), taken: 0 });
    }

    /// It took a piece of so many bytes.
    pub fn take(&self, bytes: usize) {
        if let Some(stall) = &mut *self.stall.lock() {
            stall.taken += bytes;
        }
    }

    /// It has taken everything that there is.
    pub fn rest(&self) {
        *self.stall.lock() = None;
    }

    /// Waits until the client took too little in `time`.
    async fn stalled(&self, time: Duration) {
        while let Some(next) = self.look(Instant::now(), time) {
            sleep_until(next).await;
        }
    }

    /// When to look again; `None`: the client took too little.
    fn look(&self, now: Instant, time: Duration) -> Option<Instant> {
        let mut stall = self.stall.lock();
        match &mut *stall {
            Some(stall) if stall.since + time <= now => {
                if is_too_little(stall.taken, time) {
                    return None;
                }
                *stall = Stall { since: now, taken: 0 };
                Some(now + time)
            }
            Some(stall) => Some(stall.since + time),
            None => Some(now + time),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_secs(10);

    #[test]
    fn a_client_is_waited_for_as_long_as_it_takes_something() {
        let stream = Stream::default();
        let begun = Instant::now();
        let later = |seconds| begun + Duration::from_secs(seconds);
        assert_eq!(stream.look(later(100), TIME), Some(later(110)), "there is nothing to take");
        stream.give();
        assert!(stream.look(later(1), TIME).is_some_and(|next| next >= later(10) && next < later(11)));
        stream.take(20_000);
        stream.give();
        assert_eq!(stream.look(later(11), TIME), Some(later(21)));
        stream.take(5_000);
        assert_eq!(stream.look(later(20), TIME), Some(later(21)));
        assert_eq!(stream.look(later(21), TIME), None, "it took too little");
        stream.rest();
        assert_eq!(stream.look(later(21), TIME), Some(later(31)));
    }
}
