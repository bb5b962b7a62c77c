//! The threads that reads of the store may block: of their own, so that nothing else that blocks can hold them up.
//!
//! Reads of the views and of the log have each a share: a request asks the views and waits for nobody who goes through
//! the log from its beginning. Queries have one that gives way: while the processor is saturated it gets a tenth, and
//! while much is collected it leaves half of the cores alone.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::{OwnedSemaphorePermit, Semaphore},
};

/// The fewest threads of a share.
const THREADS_MIN: usize = 2;
/// How nice a thread of queries is: to the scheduler its work weighs a tenth of that of others (sched(7)).
const QUERY_NICENESS: i32 = 10;
/// How long nobody gets the permit of who read, at most: others wait for it.
const REST_MAX: Duration = Duration::from_millis(200);

pub struct Readers {
    pub views: Share,
    pub log: Share,
    pub queries: Share,
    /// The permits of those who read for queries while much is collected.
    throttle: Arc<Semaphore>,
}

/// The permit to read one part for a query while much is collected. However nice a thread is, once it runs it keeps its core
/// for milliseconds, and whoever is woken for a request waits for that unless there is another core: so half of them are
/// left alone, and where somebody read, nobody does for as long as that took, or [`REST_MAX`].
pub struct ThrottlePermit {
    begun: Instant,
    permit: Option<OwnedSemaphorePermit>,
    /// Whoever holds it may be dropped where no runtime is entered.
    runtime: Handle,
}

impl Drop for ThrottlePermit {
    fn drop(&mut self) {
        let (rest, permit) = (self.begun.elapsed().min(REST_MAX), self.permit.take());
        self.runtime.spawn(async move {
            tokio::time::sleep(rest).await;
            drop(permit);
        });
    }
}

/// Threads for one kind of read; what more is asked waits for one of them.
pub struct Share(Option<Runtime>);

impl Readers {
    /// # Errors
    /// The system has no threads left.
    pub fn new() -> std::io::Result<Self> {
        // As many as there are cores: reads are short and mostly answered from memory, and each thread more that is
        // woken for one costs more than it waits.
        let threads = std::thread::available_parallelism().map_or(THREADS_MIN, usize::from).max(THREADS_MIN);
        Ok(Self {
            views: Share::new("views", threads, 0)?,
            log: Share::new("log", threads, 0)?,
            queries: Share::new("queries", threads, QUERY_NICENESS)?,
            throttle: Arc::new(Semaphore::new(threads / 2)),
        })
    }

    /// Waits for a permit to read one part for a query while much is collected; to be called in a runtime.
    pub async fn throttle(&self) -> ThrottlePermit {
        let permit = self.throttle.clone().acquire_owned().await.ok(); // it is never closed
        ThrottlePermit { begun: Instant::now(), permit, runtime: Handle::current() }
    }
}

impl Share {
    fn new(name: &str, threads: usize, niceness: i32) -> std::io::Result<Self> {
        // A runtime of which only the threads for blocking work are used; they are started when they are needed.
        let mut builder = Builder::new_current_thread();
        builder.max_blocking_threads(threads).thread_name(name);
        if niceness > 0 {
            // On Linux this is the calling thread's alone. Where it is not allowed, queries do not give way.
            builder.on_thread_start(move || _ = rustix::process::setpriority_process(None, niceness));
        }
        Ok(Self(Some(builder.build()?)))
    }

    /// Runs a read; `None` if it panicked.
    pub async fn run<T: Send + 'static>(&self, read: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        self.0.as_ref()?.spawn_blocking(read).await.ok()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        // A read that hangs on the disk must not keep the process.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
