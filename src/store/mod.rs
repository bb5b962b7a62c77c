//! The store: a journal that makes things durable, the log in sled behind it, and views of the log.
//!
//! The only room that knows sled and bincode, and it knows no HTTP. What the other rooms use is [`Store`]: room in the
//! queue, locks by name, the newest states, one call that queues entries, and the log's events. It is kept this narrow
//! so that a stream and key-value buckets of a distributed engine can take its place.
//!
//! A request's entries go `queue` → `committer` → `journal` (durable, answered) → `applier` → `log` and `views`. What
//! is on its way answers from the `overlay`. ARCHITECTURE.md has the forms on disk.

mod applier;
mod block;
mod check;
mod committed;
mod committer;
mod engine;
mod entry;
mod error;
mod folder;
mod journal;
mod locks;
mod log;
mod overlay;
mod queue;
mod segment;
mod session_codec;
mod shared;
mod tree;
mod views;

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicU64, mpsc},
    thread::JoinHandle,
    time::Duration,
};

use parking_lot::{Mutex, RwLock};

use crate::{
    clock::Clock,
    model::{
        Definition, DefinitionKind, DelayedEvent, Id, MergeKey, Pass, Profile, ProfileRef, RegisteredSource, Session,
        ShownEvent, Time,
    },
};

use engine::{Engine, Opening, ViewsTrust};
use folder::LastEnd;
use log::FoundEvent;
use queue::Queue;
use shared::Shared;

pub use check::{Finding, check};
pub use engine::Report;
use entry::State;
pub use entry::{Entry, EventPlace, Key};
pub use error::{Refused, StoreError};
pub use folder::{Durability, Folder};
pub use locks::Held;
pub use queue::{Generation, Moment, Pending, Room};

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
    locks: locks::Locks,
    threads: Mutex<Option<Threads>>,
}

struct Threads {
    committer: JoinHandle<()>,
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
        let crashed = last_end != LastEnd::Clean;
        let how = Opening {
            segment_bytes: settings.segment_bytes,
            keep_live: !crashed,
            views,
            torn_end: crashed,
            may_be_short: last_end.was_relaxed(),
        };
        let (engine, recovered) = Engine::open(&folder, &how, report)?;
        let journal = recovered.open(&folder.journal(), crashed)?;
        engine.seal_if_full(&folder)?;
        folder::sync_dir(folder.path())?; // the names of the parts that were just made
        let end = engine.log.end();
        clock.not_before(engine.views.progress().latest);
        let sources = engine.views.sources()?.into_iter().map(|source| (source.id.clone(), Arc::new(source.into())));
        let definitions = engine.views.definitions()?.into_iter();
        let definitions = definitions.map(|definition| ((definition.kind, definition.id.clone()), definition));
        let (to_applier, words) = mpsc::channel();
        let shared = Arc::new(Shared {
            clock,
            words: Mutex::new(Some(to_applier.clone())),
            queue: Queue::new(end),
            journal: Mutex::new(journal),
            sources: RwLock::new(sources.collect()),
            definitions: RwLock::new(definitions.collect()),
            engine: RwLock::new(Some(Arc::new(engine))),
            doubt: Mutex::new(None),
            durable_end: AtomicU64::new(end),
            segment_bytes: settings.segment_bytes,
            reserve_bytes: settings.reserve_bytes,
            flush_interval: (settings.durability == Durability::Relaxed).then_some(settings.flush_interval),
            folder,
        });
        let spawn_error = |source| StoreError::Io { path: settings.path.display().to_string(), source };
        let applier = std::thread::Builder::new().name("applier".into()).spawn({
            let shared = shared.clone();
            move || applier::run(&shared, &words)
        });
        let applier = applier.map_err(spawn_error)?;
        let committer = std::thread::Builder::new().name("committer".into()).spawn({
            let shared = shared.clone();
            move || committer::run(&shared, &to_applier)
        });
        let committer = committer.map_err(spawn_error)?;
        Ok(Self { shared, locks: locks::Locks::default(), threads: Mutex::new(Some(Threads { committer, applier })) })
    }

    /// Waits for room for entries of about `bytes` in the queue. Asked for last, with the locks held: who has room
    /// never waits for a lock.
    pub async fn room(&self, bytes: usize) -> Result<Room, Refused> {
        self.shared.queue.room(bytes).await
    }

    /// Waits until this request alone holds `names`.
    pub async fn lock(&self, names: Vec<Key>) -> Result<Held, Refused> {
        let held = tokio::time::timeout(LOCK_WAIT, self.locks.take(names.clone())).await;
        held.map_err(|_| {
            self.locks.forget_unused(&names);
            Refused::Unavailable("too many requests for one session or profile".into())
        })
    }

    /// Names the state of the store; to be asked before anything is read that entries are built on.
    pub fn generation(&self) -> Generation {
        self.shared.queue.generation()
    }

    /// Queues the entries that `build` makes of the moment; from here on the next requests see them. Every state that
    /// they are built on was read under `read_under` and under locks that are still held.
    ///
    /// # Errors
    /// Nothing can be stored now, or what was read is stale.
    pub fn push<T>(
        &self,
        read_under: Generation,
        room: Room,
        build: impl FnOnce(Moment) -> (Vec<Entry>, T),
    ) -> Result<(T, Pending), Refused> {
        self.shared.queue.push(&self.shared.clock, read_under, room, build)
    }

    /// Waits until everything that can be read now is durable.
    pub async fn settled(&self) -> Result<(), Refused> {
        self.shared.queue.settled().await
    }

    /// Waits until the views have everything that can be read now.
    pub async fn caught_up(&self) -> Result<(), Refused> {
        self.shared.queue.settled().await?;
        self.shared.hurry();
        self.shared.queue.applied().await
    }

    pub async fn session(&self, id: &Id) -> Result<Option<Arc<Session>>, Refused> {
        let state = self.newest(Key::Session(id.clone())).await?;
        Ok(if let Some(State::Session(session)) = state { Some(session) } else { None })
    }

    /// The profile with this id of its own.
    pub async fn profile(&self, id: &Id) -> Result<Option<Arc<Profile>>, Refused> {
        let state = self.newest(Key::Profile(id.clone())).await?;
        Ok(if let Some(State::Profile(profile)) = state { Some(profile) } else { None })
    }

    /// Up to `most` profiles, those that come behind the id `after` in the order of the view, which is the same every
    /// time. What is on its way to the views is not there yet: see [`Store::caught_up`].
    pub async fn profiles(&self, after: Option<&Id>, most: usize) -> Result<Vec<Arc<Profile>>, Refused> {
        let after = after.cloned();
        self.read(move |engine| engine.views.profiles(after.as_ref(), most)).await
    }

    /// The profile that `name` is another name of.
    pub async fn name(&self, name: &Id) -> Result<Option<ProfileRef>, Refused> {
        let state = self.newest(Key::Name(name.clone())).await?;
        Ok(if let Some(State::Name(profile)) = state { Some(profile) } else { None })
    }

    /// The profile that is found by `key`.
    pub async fn merge_key(&self, key: MergeKey) -> Result<Option<ProfileRef>, Refused> {
        let state = self.newest(Key::MergeKey(key)).await?;
        Ok(if let Some(State::Name(profile)) = state { Some(profile) } else { None })
    }

    /// How far a destination is; `None` before anything was ever said of it.
    pub async fn delivered(&self, destination: &Id) -> Result<Option<u64>, Refused> {
        let state = self.newest(Key::Delivered(destination.clone())).await?;
        Ok(if let Some(State::Offset(offset)) = state { Some(offset) } else { None })
    }

    /// How far something that is scheduled is; `None` before it ever began.
    pub async fn pass(&self, kind: DefinitionKind, id: &Id) -> Result<Option<Pass>, Refused> {
        let state = self.newest(Key::Pass(kind, id.clone())).await?;
        Ok(if let Some(State::Pass(pass)) = state { Some(pass) } else { None })
    }

    /// The delayed event of this time and number, unless it happened.
    pub async fn delayed(&self, due: Time, number: u64) -> Result<Option<Arc<DelayedEvent>>, Refused> {
        let state = self.newest(Key::Delayed { due, number }).await?;
        Ok(if let Some(State::Delayed(event)) = state { Some(event) } else { None })
    }

    /// Times and numbers of up to `most` delayed events that are due at `now`, as the views have them: those that just
    /// happened may be among them.
    pub async fn due(&self, now: Time, most: usize) -> Result<Vec<(Time, u64)>, Refused> {
        self.read(move |engine| engine.views.due(now, most)).await
    }

    /// A stretch of the log that holds `offset`: its entries and the offset of the first. Waits until it is there; only
    /// what is durable is.
    pub async fn entries(&self, offset: u64) -> Result<(u64, Vec<Entry>), Refused> {
        self.shared.queue.applied_beyond(offset).await;
        let found = self.read(move |engine| engine.log.block_around(offset)).await?;
        found.ok_or_else(|| Refused::Unavailable("the log is being made again".into()))
    }

    /// The offset behind the last entry that is durable.
    pub fn end(&self) -> u64 {
        self.shared.durable_end()
    }

    /// Where the event stands that came from `source` with the client's id `id`.
    pub async fn event_id(&self, id: &Id, source: &Id) -> Result<Option<EventPlace>, Refused> {
        let state = self.newest(Key::EventId { id: id.clone(), source: source.clone() }).await?;
        Ok(if let Some(State::EventId(place)) = state { Some(place) } else { None })
    }

    /// Whether the session numbered `session` had `profile` before another one.
    pub async fn has_visited(&self, session: u64, profile: &ProfileRef) -> Result<bool, Refused> {
        Ok(self.newest(Key::Visited { session, profile: profile.clone() }).await?.is_some())
    }

    /// How many sessions had a profile of both lists. Only sessions that changed their profile can have: these are
    /// looked through.
    pub async fn shared_sessions(&self, ones: Vec<ProfileRef>, others: Vec<ProfileRef>) -> Result<u64, Refused> {
        if ones.is_empty() || others.is_empty() {
            return Ok(0);
        }
        self.caught_up().await?;
        self.read(move |engine| engine.views.shared_sessions(&ones, &others)).await
    }

    pub async fn is_deleted_event(&self, offset: u64) -> Result<bool, Refused> {
        Ok(self.newest(Key::DeletedEvent(offset)).await?.is_some())
    }

    /// The event with this id, from `source` if it is named, and its offset: the one that a client gave the id if there
    /// is one, else the one that the server made it for. Only what is durable and not deleted.
    pub async fn event(&self, id: &Id, source: Option<&Id>) -> Result<Option<(u64, ShownEvent)>, Refused> {
        // What is on its way to the log is found there once it is applied, so it is waited for.
        let (id, source) = (id.clone(), source.cloned());
        self.caught_up().await?;
        self.read(move |engine| {
            let from_source = |wanted: &Id| source.as_ref().is_none_or(|source| source == wanted);
            let places = match &source {
                Some(source) => {
                    let key = Key::EventId { id: id.clone(), source: source.clone() };
                    match engine.views.state(&key)? {
                        Some(State::EventId(place)) => vec![place],
                        _ => Vec::new(),
                    }
                }
                None => engine.views.event_ids(&id)?,
            };
            let given = !places.is_empty();
            let mut places: Vec<u64> = places.into_iter().map(|place| place.offset).collect();
            places.sort_unstable();
            for offset in places {
                if engine.views.state(&Key::DeletedEvent(offset))?.is_none()
                    && let Some(FoundEvent { request, event, .. }) = engine.log.event_at(offset)?
                {
                    return Ok(Some((offset, ShownEvent { request, event })));
                }
            }
            if given {
                return Ok(None); // the id means the client's events, and they are gone
            }
            let Some(FoundEvent { offset, request, event }) = engine.log.event_made(&id)? else { return Ok(None) };
            let shown = from_source(&request.source) && engine.views.state(&Key::DeletedEvent(offset))?.is_none();
            Ok(shown.then_some((offset, ShownEvent { request, event })))
        })
        .await
    }

    /// Whether nothing was ever stored.
    pub fn is_empty(&self) -> bool {
        self.shared.queue.lock().next == 0
    }

    /// The source of this id, as it is durable.
    pub fn source(&self, id: &Id) -> Option<Arc<RegisteredSource>> {
        self.shared.sources.read().get(id).cloned()
    }

    /// Whether there is a source of this id once everything that is queued is done.
    pub async fn has_source(&self, id: &Id) -> Result<bool, Refused> {
        Ok(self.newest(Key::Source(id.clone())).await?.is_some())
    }

    /// All sources, in the order of their ids.
    pub fn sources(&self) -> Vec<Arc<RegisteredSource>> {
        let mut sources: Vec<_> = self.shared.sources.read().values().cloned().collect();
        sources.sort_by(|a, b| a.source.id.cmp(&b.source.id));
        sources
    }

    /// What is set up beside sources, as it is durable, in the order of kinds and ids.
    pub fn definitions(&self) -> Vec<Arc<Definition>> {
        self.shared.definitions.read().values().cloned().collect()
    }

    pub fn definition(&self, kind: DefinitionKind, id: &Id) -> Option<Arc<Definition>> {
        self.shared.definitions.read().get(&(kind, id.clone())).cloned()
    }

    /// Why nothing can be stored now, if so.
    pub async fn trouble(&self) -> Option<String> {
        if let Some(trouble) = self.shared.queue.lock().trouble.clone() {
            return Some(trouble);
        }
        let shared = self.shared.clone();
        let space = tokio::task::spawn_blocking(move || shared.check_space()).await;
        space.ok()?.err()
    }

    /// Commits what is queued and closes everything, durably. Blocks; nothing is taken any more.
    pub fn close(&self) {
        let Some(threads) = self.threads.lock().take() else { return };
        self.shared.queue.close();
        self.shared.words.lock().take();
        if threads.committer.join().is_err() {
            tracing::error!("the committer ended in a panic");
        }
        let closed = threads.applier.join().unwrap_or(false);
        if closed && let Err(error) = self.shared.folder.mark_closed() {
            tracing::error!(%error, "the store cannot be marked as closed; the next start checks it");
        }
    }

    /// The newest state under `key`: from memory, or from the views.
    async fn newest(&self, key: Key) -> Result<Option<State>, Refused> {
        if let Some(state) = self.shared.queue.lock().overlay.get(&key) {
            return Ok(Some(state).filter(|state| *state != State::Gone));
        }
        self.read(move |engine| engine.views.state(&key)).await
    }

    /// Reads the log or the views on a thread that may block.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Engine) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Refused> {
        let unavailable = || Refused::Unavailable("the store behind the journal is being made again".into());
        let engine = self.shared.engine().ok_or_else(unavailable)?;
        match tokio::task::spawn_blocking(move || read(&engine)).await {
            Ok(Ok(read)) => Ok(read),
            Ok(Err(error)) => {
                tracing::error!(%error, "the store cannot be read");
                self.shared.cast_doubt(error);
                Err(unavailable())
            }
            Err(panicked) => {
                tracing::error!(%panicked, "reading the store failed");
                let what = "the embedded database failed";
                self.shared.cast_doubt(StoreError::damaged(self.shared.folder.path(), what, error::RESTORE));
                Err(unavailable())
            }
        }
    }
}
