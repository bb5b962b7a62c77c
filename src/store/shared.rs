//! What requests, committer and applier share.
//!
//! | part | written by |
//! |---|---|
//! | queue and overlay | requests push; the committer takes, stops and resumes; the applier says how far the views are |
//! | committed groups | the committer pushes, the applier takes; whoever waits for them or reports damage flushes |
//! | journal | the committer appends; the sealer drops what is sealed; the applier reads it when it makes parts again |
//! | engine (log and views), and why it failed | the applier |
//! | configuration, and the counts of what was committed | the committer, once it is durable |
//! | reported damage | readers; the applier takes it |
//! | what is to be sealed, and new views | who erases; the applier does it |

use std::sync::{Arc, atomic::AtomicU64, mpsc};

use parking_lot::{Mutex, RwLock};

use super::{
    StoreSettings,
    commit::{CommitCounts, CommittedGroups, Queue},
    configuration::Configuration,
    database,
    engine::Engine,
    error::{self, Refused, StoreError},
    files::{durable, folder::Folder},
    journal::Journal,
    readers::{Readers, Share, ThrottlePermit},
    views::Views,
};
use crate::{clock::Clock, count::Histogram};

/// Views that were made anew, and who waits until they are those that are read: it gets those before.
pub struct NewViews {
    pub views: Views,
    pub done: mpsc::Sender<Result<Option<Views>, StoreError>>,
}

pub struct Shared {
    pub settings: StoreSettings,
    pub folder: Folder,
    pub clock: Arc<Clock>,
    pub queue: Queue,
    pub journal: Mutex<Journal>,
    pub committed: CommittedGroups,
    pub configuration: Configuration,
    pub counts: CommitCounts,
    /// Those of the journal.
    pub fsyncs: Arc<Histogram>,
    /// `None` while it is made again.
    engine: RwLock<Option<Arc<Engine>>>,
    /// Why the engine takes no writes, while it does not.
    engine_failure: Mutex<Option<String>>,
    readers: Readers,
    /// What a reader met that says that the live segment or the views are damaged.
    damage: Mutex<Option<StoreError>>,
    /// The live segment is to be sealed once it has everything before this offset, full or not.
    pub seal_before: AtomicU64,
    /// Views that were made anew and are to take the place of those that there are.
    new_views: Mutex<Option<NewViews>>,
}

impl Shared {
    pub fn new(
        settings: StoreSettings,
        folder: Folder,
        clock: Arc<Clock>,
        journal: Journal,
        engine: Engine,
    ) -> Result<Self, StoreError> {
        let readers =
            Readers::new().map_err(|source| StoreError::Io { path: folder.path().display().to_string(), source })?;
        Ok(Self {
            queue: Queue::new(engine.log.end()),
            configuration: Configuration::load(&engine)?,
            settings,
            folder,
            clock,
            counts: CommitCounts::default(),
            fsyncs: journal.fsyncs(),
            journal: Mutex::new(journal),
            committed: CommittedGroups::default(),
            engine: RwLock::new(Some(Arc::new(engine))),
            engine_failure: Mutex::new(None),
            readers,
            damage: Mutex::new(None),
            seal_before: AtomicU64::new(0),
            new_views: Mutex::new(None),
        })
    }

    pub fn engine(&self) -> Option<Arc<Engine>> {
        self.engine.read().clone()
    }

    /// The applier has made the parts again: what was reported of those before is done with.
    pub fn set_engine(&self, engine: Engine) {
        *self.engine.write() = Some(Arc::new(engine));
        self.damage.lock().take();
        self.engine_failure.lock().take();
    }

    /// The applier cannot write to the parts, for this reason.
    pub fn set_engine_failure(&self, failure: &str) {
        *self.engine_failure.lock() = Some(failure.to_owned());
    }

    /// The engine, once no reader has it any more; for the applier, which closes it or makes it again.
    pub fn take_engine(&self) -> Option<Engine> {
        let engine = self.engine.write().take()?;
        Some(unshared(engine))
    }

    /// Has other views read from here on, which say of the log all that those before said; for the applier. Those before,
    /// once no reader has them any more.
    pub fn replace_views(&self, views: Views) -> Option<Views> {
        let mut engine = self.engine.write();
        let before = engine.take()?;
        *engine = Some(Arc::new(Engine { log: before.log.clone(), views }));
        drop(engine);
        Some(unshared(before).views)
    }

    /// Hands views to the applier, which has them read in place of those that there are.
    pub fn hand_views(&self, views: NewViews) {
        *self.new_views.lock() = Some(views);
        self.committed.flush();
    }

    pub fn take_new_views(&self) -> Option<NewViews> {
        self.new_views.lock().take()
    }

    /// The applier is to make the log's live segment and the views again.
    fn report_damage(&self, error: StoreError) {
        tracing::error!(%error, "the store cannot be read");
        self.damage.lock().get_or_insert(error);
        self.committed.flush();
    }

    /// What readers reported; the applier looks to it.
    pub fn take_damage(&self) -> Option<StoreError> {
        self.damage.lock().take()
    }

    /// Reads the views on a thread that may block.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Engine) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Refused> {
        self.read_on(&self.readers.views, read).await
    }

    /// Reads the log on a thread that may block.
    pub async fn read_log<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Engine) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Refused> {
        self.read_on(&self.readers.log, read).await
    }

    /// Reads a part of a query on a thread that may block and gives way to others. `read` is told whether it is throttled.
    pub async fn query<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Engine, bool) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Refused> {
        // It goes with the read, which goes on where nobody waits for it any more.
        let permit = self.throttled().await;
        let read = move |engine: &Engine| {
            let is_throttled = permit.is_some();
            let _permit = permit;
            read(engine, is_throttled)
        };
        self.read_on(&self.readers.queries, read).await
    }

    /// Does work for a query that needs no more of the store, where queries read.
    pub async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refused> {
        let permit = self.throttled().await;
        let work = move || {
            let _permit = permit;
            work()
        };
        let done = self.readers.queries.run(work).await;
        done.ok_or_else(|| Refused::Unavailable("what was read cannot be answered".into()))
    }

    async fn throttled(&self) -> Option<ThrottlePermit> {
        if self.queue.is_busy() { Some(self.readers.throttle().await) } else { None }
    }

    /// A sealed segment that is damaged is the error of whoever reads it; all else that cannot be read can be made again.
    async fn read_on<T: Send + 'static>(
        &self,
        threads: &Share,
        read: impl FnOnce(&Engine) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Refused> {
        let engine = self.engine().ok_or_else(being_made_again)?;
        let said = match threads.run(move || database::caught(|| read(&engine))).await {
            Some(Ok(Ok(read))) => return Ok(read),
            Some(Ok(Err(error @ StoreError::DamagedSegment { .. }))) => {
                tracing::error!(%error, "a part of the log cannot be read");
                return Err(Refused::Damaged(error.to_string()));
            }
            Some(Ok(Err(error))) => {
                self.report_damage(error);
                return Err(being_made_again());
            }
            Some(Err(said)) => said,
            None => "a panic".to_owned(),
        };
        let what = format!("the embedded database failed: {said}");
        self.report_damage(StoreError::damaged(self.folder.path(), what, error::RESTORE));
        Err(being_made_again())
    }

    /// Why nothing may be stored now, whatever the journal says.
    pub fn obstacle(&self) -> Option<String> {
        if let Some(failure) = &*self.engine_failure.lock() {
            return Some(failure.clone());
        }
        let reserve = self.settings.reserve_bytes;
        match durable::free_bytes(self.folder.path()) {
            Ok(free) if free < reserve => Some(format!(
                "the disk is full: {} MiB are free, {} MiB are kept in reserve",
                free >> 20,
                reserve >> 20
            )),
            Ok(_) => None,
            Err(error) => Some(format!("the disk cannot be asked for its free space: {error}")),
        }
    }
}

/// What is shared, once nobody else has it: a reader has it for the length of one read.
fn unshared<T>(mut shared: Arc<T>) -> T {
    loop {
        match Arc::try_unwrap(shared) {
            Ok(own) => return own,
            Err(still) => shared = still,
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

fn being_made_again() -> Refused {
    Refused::Unavailable("the store behind the journal is being made again".into())
}
