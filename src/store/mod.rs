//! The store: a journal that makes things durable, the log in sled behind it, and views of the log.
//!
//! The only room that knows sled and bincode, and it knows no HTTP. What the other rooms use is [`Store`]: locks by
//! name, permits of the queue, read views, one call that queues entries, and the log's events. It is kept this narrow
//! so that a stream and key-value buckets of a distributed engine can take its place.
//!
//! A request's entries go through `commit`: queued, written to the `journal` (durable, answered), applied to `log` and
//! `views`. What is on its way answers from memory; a `read_view` reads both. ARCHITECTURE.md has the forms on disk.

mod check;
mod commit;
mod concealed;
mod configuration;
mod database;
mod decompress;
mod engine;
mod entry;
mod erasing;
mod error;
mod figures;
mod files;
mod index;
mod journal;
mod log;
mod log_view;
mod read_view;
mod readers;
mod shared;
mod views;

use std::{
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{
    clock::Clock,
    model::{Definition, DefinitionKind, Erasure, Id, RegisteredSource},
};

use commit::{Applier, Committer, Locks};
use engine::{Engine, Opening, ViewsTrust};
use error::At;
use files::{disk::RealDisk, durable, folder::LastEnd};
use journal::Journal;
use shared::Shared;

pub use check::{Checked, Finding, check};
pub use commit::{Held, Moment, Pending, QueuePermit};
pub use engine::Report;
pub use entry::{Entry, EventPlace, Key, Merge, MergingRequest, Name};
pub use error::{Refused, StoreError};
pub use figures::{Holdings, StoreFigures};
pub use files::folder::{Durability, Folder};
pub use index::{
    BETWEEN, BOT, Began, Column, Count, NOWHERE, Names, PAGE_ROWS, PageSpan, QUARTER_MICROS, SegmentIndex,
    SegmentProfiles, SegmentSessions, SegmentSpan, UNLISTED, UNTOLD, VALID, VisitColumns, Visitor, facet_text,
    number_time, place_of, time_number,
};
pub use log::{EventBlock, FoundEvent};
pub use log_view::LogView;
pub use read_view::{ReadView, retry};
pub use views::{DueEvent, NamesWalk};

/// How long a request waits for room in the queue.
const PERMIT_WAIT: Duration = Duration::from_secs(1);
/// How long a request waits for the locks it needs.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// Where and how the store keeps things.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    pub path: PathBuf,
    pub durability: Durability,
    /// In relaxed mode: how long what was answered may stay unsynced.
    pub flush_interval: Duration,
    /// A segment of the log of this many bytes is sealed.
    pub segment_bytes: u64,
    /// Nothing is stored while the disk has less than this many bytes free.
    pub reserve_bytes: u64,
}

/// The open store.
pub struct Store {
    shared: Arc<Shared>,
    epoch: u64,
    locks: Locks,
    threads: Mutex<Option<Threads>>,
    /// Held by whoever erases from the disk.
    erasing: Mutex<()>,
    /// Why one of the threads ended before its time.
    failure: watch::Receiver<Option<String>>,
}

struct Threads {
    /// Whether the journal is whole and synced.
    committer: JoinHandle<bool>,
    /// Whether the log and the views are closed.
    applier: JoinHandle<bool>,
}

impl Store {
    /// Opens the store in a folder that this process has taken, and recovers what the last process left.
    ///
    /// # Errors
    /// The store is damaged, or cannot be written.
    pub fn open(
        settings: &StoreSettings,
        folder: Folder,
        clock: Arc<Clock>,
        report: Report<'_>,
    ) -> Result<Self, StoreError> {
        let last_end = folder.last_end()?;
        Self::start(settings, clock, folder, last_end, last_end.into(), report)
    }

    /// As [`Store::open`], with the views made anew from the log.
    pub fn open_rebuilt(
        settings: &StoreSettings,
        folder: Folder,
        clock: Arc<Clock>,
        report: Report<'_>,
    ) -> Result<Self, StoreError> {
        let last_end = folder.last_end()?;
        Self::start(settings, clock, folder, last_end, ViewsTrust::Rebuilt, report)
    }

    fn start(
        settings: &StoreSettings,
        clock: Arc<Clock>,
        folder: Folder,
        last_end: LastEnd,
        views: ViewsTrust,
        report: Report<'_>,
    ) -> Result<Self, StoreError> {
        folder.mark_running(settings.durability)?;
        if let Some(format) = folder.carry_over()? {
            tracing::info!("the store was of format {format}; no older version takes it from here on");
        }
        let crashed = last_end != LastEnd::Clean;
        let how = Opening {
            segment_bytes: settings.segment_bytes,
            keep_live: !crashed,
            views,
            may_be_short: last_end.was_relaxed(),
        };
        if last_end.lost_writes() {
            folder.begin_epoch()?;
        }
        std::fs::create_dir_all(folder.journal()).at(&folder.journal())?;
        let journal = Journal::open(RealDisk, &folder.journal(), 0, settings.segment_bytes, crashed)?;
        let engine = Engine::open(&folder, &journal, &how, report)?;
        let epoch = folder.epoch()?;
        durable::sync_dir(folder.path())?; // the names of the parts that were just made
        clock.not_before(engine.views.progress().latest);
        let shared = Arc::new(Shared::new(settings.clone(), folder, clock, journal, engine)?);
        let (failed, failure) = watch::channel(None);
        let tell = || {
            let (shared, failed) = (shared.clone(), failed.clone());
            // What waits is refused, and whoever opened the store ends the process.
            move |why: String| {
                shared.queue.stop(&why);
                failed.send_replace(Some(why));
            }
        };
        let applier = Applier::new(shared.clone());
        let applier = spawn("applier", shared.folder.path(), move || applier.run(), tell())?;
        let run = {
            let shared = shared.clone();
            move || {
                let is_relaxed = shared.settings.durability == Durability::Relaxed;
                let interval = is_relaxed.then_some(shared.settings.flush_interval);
                let obstacle = || shared.obstacle();
                let Shared { queue, journal, committed, configuration, counts, .. } = &*shared;
                Committer::new(queue, journal, configuration, counts, committed, interval, &obstacle).run()
            }
        };
        let committer = spawn("committer", shared.folder.path(), run, tell())?;
        spawn_indexer(shared.clone())?;
        let threads = Mutex::new(Some(Threads { committer, applier }));
        Ok(Self { shared, epoch, locks: Locks::default(), threads, erasing: Mutex::default(), failure })
    }

    /// Waits until the store has failed for good, which it does only by a bug; why. Nothing that was acknowledged is at
    /// stake, but nothing can be stored until it is opened again.
    pub async fn failed(&self) -> String {
        let mut failure = self.failure.clone();
        match failure.wait_for(Option::is_some).await {
            Ok(failure) => failure.clone().unwrap_or_default(),
            Err(_) => std::future::pending().await, // both threads ended in good order
        }
    }

    /// Waits for room for entries of about `bytes` in the queue. Asked for last, with the locks held: who has room
    /// never waits for a lock.
    pub async fn permit(&self, bytes: usize) -> Result<QueuePermit, Refused> {
        let permit = tokio::time::timeout(PERMIT_WAIT, self.shared.queue.permit(bytes)).await;
        permit.map_err(|_| Refused::Unavailable("too many requests are waiting for the disk".into()))?
    }

    /// Waits until this request alone holds `names`.
    pub async fn lock(&self, names: Vec<Key>) -> Result<Held, Refused> {
        let held = tokio::time::timeout(LOCK_WAIT, self.locks.take(names.clone())).await;
        held.map_err(|_| {
            self.locks.forget_unused(&names);
            Refused::Unavailable("too many requests for one session or profile".into())
        })
    }

    /// The newest states, as they are from here on; to be asked for once the locks are held.
    pub fn read_view(&self) -> ReadView {
        ReadView::new(self.shared.clone())
    }

    /// The block of the log that holds `offset`: its entries and the offset of the first, without what is to go of people
    /// who were erased or forgotten. Waits until it is there; only what is durable is.
    pub async fn entries(&self, offset: u64) -> Result<(u64, Vec<Entry>), Refused> {
        self.shared.queue.applied(offset + 1).await;
        let found = self.shared.read_log(move |engine| engine.log.block_around(offset)).await?;
        let (first, mut entries) = found.ok_or_else(|| Refused::Unavailable("the log is being made again".into()))?;
        self.shared.configuration.concealed.conceal(first, &mut entries);
        Ok((first, entries))
    }

    /// Tells the log from others: what was read at an offset of it is there still, unless it was deleted. Another one begins
    /// when entries that were answered may be lost, which relaxed mode allows, or when a backup takes the log's place.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The offset behind the last entry that is durable.
    pub fn end(&self) -> u64 {
        self.shared.queue.durable_end()
    }

    /// The offset behind what stays whatever happens: it is in the log, and also in relaxed mode no crash takes it back.
    pub fn settled_end(&self) -> u64 {
        self.shared.queue.settled_end()
    }

    /// Waits until something from `offset` on is settled; the offset behind it, as [`Store::settled_end`].
    pub async fn settled(&self, offset: u64) -> u64 {
        self.shared.queue.settled(offset).await
    }

    /// Whether nothing was ever stored.
    pub fn is_empty(&self) -> bool {
        self.shared.queue.is_empty()
    }

    /// The source of this id, as it is durable.
    pub fn source(&self, id: &Id) -> Option<Arc<RegisteredSource>> {
        self.shared.configuration.source(id)
    }

    /// All sources, in the order of their ids.
    pub fn sources(&self) -> Vec<Arc<RegisteredSource>> {
        self.shared.configuration.sources()
    }

    /// What is set up beside sources, as it is durable, in the order of kinds and ids.
    pub fn definitions(&self) -> Vec<Arc<Definition>> {
        self.shared.configuration.definitions()
    }

    pub fn definition(&self, kind: DefinitionKind, id: &Id) -> Option<Arc<Definition>> {
        self.shared.configuration.definition(kind, id)
    }

    /// The erasures that are not done, the one that was asked for first at the beginning.
    pub fn erasures(&self) -> Vec<Arc<Erasure>> {
        self.shared.configuration.erasures()
    }

    /// Takes everything from the disk that these erasures, which are durable, are about; blocks, for as long as reading the
    /// log takes. Collecting goes on.
    ///
    /// # Errors
    /// A part of the log is damaged, the disk takes no writes, or the store is being closed: it is to be done again then.
    pub fn erase(&self, erasures: &[Arc<Erasure>]) -> Result<(), StoreError> {
        let _one_at_a_time = self.erasing.lock();
        erasing::erase(&self.shared, erasures)
    }

    /// Why nothing can be stored now, if so.
    pub async fn trouble(&self) -> Option<String> {
        if let Some(trouble) = self.shared.queue.trouble() {
            return Some(trouble);
        }
        let shared = self.shared.clone();
        tokio::task::spawn_blocking(move || shared.obstacle()).await.ok()?
    }

    /// Commits what is queued and closes everything, durably. Blocks; nothing is taken any more.
    pub fn close(&self) {
        let Some(threads) = self.threads.lock().take() else { return };
        self.shared.queue.close();
        drop(self.erasing.lock()); // it ends soon, and leaves nothing half done
        let is_journal_whole = threads.committer.join().unwrap_or(false);
        self.shared.committed.close();
        let is_closed = threads.applier.join().unwrap_or(false);
        // Else the next start takes the store for one whose process ended, and makes it whole.
        if is_journal_whole
            && is_closed
            && let Err(error) = self.shared.folder.mark_closed()
        {
            tracing::error!(%error, "the store cannot be marked as closed; the next start checks it");
        }
    }
}

/// Makes the indexes that sealed segments have not, as those that an earlier version wrote, and looks into all for the times
/// of their events, on a thread of its own. A query that needs one before does so itself.
fn spawn_indexer(shared: Arc<Shared>) -> Result<(), StoreError> {
    let path = shared.folder.path().to_owned();
    let Some((missing, sealed)) = shared.engine().map(|engine| (engine.log.without_index(), engine.log.sealed()))
    else {
        return Ok(());
    };
    let ranges: Vec<_> = sealed.iter().map(|part| part.first..part.end).collect();
    if ranges.is_empty() {
        return Ok(());
    }
    let run = move || {
        let mut done = 0;
        for range in ranges {
            // Held for one segment only, so that the parts can be made again or closed.
            let Some(engine) = shared.engine().filter(|_| !shared.queue.is_closing()) else { return };
            match database::caught(|| engine.log.span(&range).map(|_| ())) {
                Ok(Ok(())) if missing.contains(&range.start) => {
                    done += 1;
                    tracing::info!(done, of = missing.len(), "a segment of the log got its index");
                }
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(%error, "a segment of the log gets no index"),
                Err(said) => tracing::error!(said, "a segment of the log gets no index"),
            }
        }
    };
    std::thread::Builder::new().name("indexer".into()).spawn(run).at(&path).map(|_| ())
}

/// Starts a thread of the store. If it panics, which only a bug can make it do, `failed` is told, and it ends in no good
/// order.
fn spawn(
    name: &'static str,
    folder: &Path,
    run: impl FnOnce() -> bool + Send + 'static,
    failed: impl FnOnce(String) + Send + 'static,
) -> Result<JoinHandle<bool>, StoreError> {
    let guarded = move || {
        let ran = std::panic::catch_unwind(AssertUnwindSafe(run));
        ran.unwrap_or_else(|_| {
            failed(format!("the {name} failed; nothing that was acknowledged is lost, start again"));
            false
        })
    };
    std::thread::Builder::new().name(name.into()).spawn(guarded).at(folder)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_thread_that_panics_tells_so_and_ends_in_no_good_order() {
        let (failed, told) = mpsc::channel();
        let run = || panic!("a bug");
        let thread = spawn("committer", Path::new("data"), run, move |why| failed.send(why).unwrap()).unwrap();
        assert!(!thread.join().unwrap());
        let why = told.recv().unwrap();
        assert!(why.contains("the committer failed") && why.contains("nothing that was acknowledged is lost"), "{why}");
    }
}
