//! Reading the newest states, and what follows from having read them.

mod people;

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    commit::{Generation, Moment, Pending, QueuePermit},
    entry::{Entry, EventPlace, Key, State},
    error::{Refused, StoreError},
    log::{FoundEvent, MadeIds},
    log_view::LogView,
    shared::Shared,
    views::DueEvent,
};
use crate::model::{
    Aside, Country, DefinitionKind, DelayedEvent, Erasure, Id, IdHash, Json, Pass, Profile, ProfileRef, Session,
    ShownEvent, SourceSecrets, Time,
};

pub use people::{Led, States, owner};

/// How long a read waits until what it saw is durable, or is in the log.
const SETTLE_WAIT: Duration = Duration::from_secs(5);

/// The newest states, as one request reads them: durable ones, and those that other requests queued.
///
/// What was queued can still be refused by the disk. So whoever read something either builds on it, and
/// [`ReadView::push`] takes that only while nothing of what was read was taken back, or speaks of it, and
/// [`ReadView::answer`] waits until what was read is durable. Nothing else may be made of a read. Every read fails with
/// [`Refused::Stale`] once something was taken back since the view was made.
pub struct ReadView {
    shared: Arc<Shared>,
    generation: Generation,
    /// The offset behind the latest of the entries whose states were read here and were not durable then; 0: none.
    undurable: AtomicU64,
}

impl ReadView {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let generation = shared.queue.generation();
        Self { shared, generation, undurable: AtomicU64::new(0) }
    }

    /// Queues the entries that `build` makes of the moment; from here on the next requests see them. Every state that
    /// they are built on was read in this view and under locks that are still held.
    ///
    /// # Errors
    /// Nothing can be stored now, or what was read is stale.
    pub fn push<T>(
        &self,
        permit: QueuePermit,
        build: impl FnOnce(Moment) -> (Vec<Entry>, T),
    ) -> Result<(T, Pending), Refused> {
        self.shared.queue.push(&self.shared.clock, self.generation, permit, build)
    }

    /// `answer`, once everything that was read for it is durable.
    ///
    /// # Errors
    /// [`Refused::Stale`]: some of it was taken back, and it is to be read again; or it is not durable in time.
    pub async fn answer<T>(&self, answer: T) -> Result<T, Refused> {
        let end = self.undurable.load(Ordering::Relaxed);
        if end > 0 {
            let durable = tokio::time::timeout(SETTLE_WAIT, self.shared.queue.durable(self.generation, end)).await;
            durable.map_err(|_| Refused::Unavailable("what was read is not on the disk yet".into()))??;
        }
        Ok(answer)
    }

    /// Waits until the log and the views have everything that is queued now: for what is read from them alone.
    pub async fn applied(&self) -> Result<(), Refused> {
        let end = self.shared.queue.end();
        let applied = async {
            self.shared.queue.durable(self.generation, end).await?;
            self.shared.committed.flush();
            self.shared.queue.applied(end).await;
            Ok(())
        };
        let applied = tokio::time::timeout(SETTLE_WAIT, applied).await;
        applied.map_err(|_| Refused::Unavailable("what was read is not in the log yet".into()))?
    }

    /// Reads a part of a query, as the log and the views have it: see [`ReadView::applied`].
    pub async fn query<T: Send + 'static>(
        &self,
        read: impl FnOnce(&LogView<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Refused> {
        let shared = self.shared.clone();
        let read =
            move |engine: &_, is_throttled| read(&LogView::new(engine, &shared.configuration.concealed, is_throttled));
        self.shared.query(read).await
    }

    /// Does work for a query that needs no more of the store, such as writing its answer, where queries read.
    pub async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refused> {
        self.shared.work(work).await
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
    /// time. What is on its way to the views is not there yet: see [`ReadView::applied`].
    pub async fn profiles(&self, after: Option<&Id>, most: usize) -> Result<Vec<Arc<Profile>>, Refused> {
        let after = after.cloned();
        self.shared.read(move |engine| engine.views.profiles(after.as_ref(), most)).await
    }

    /// As [`ReadView::profiles`], of up to `most` of them those whose facts hold `text`, and perhaps others; with the id of
    /// the last that was looked at, unless there are no more.
    pub async fn profiles_holding(
        &self,
        text: &Arc<str>,
        after: Option<Id>,
        most: usize,
    ) -> Result<(Vec<Arc<Profile>>, Option<Id>), Refused> {
        let text = text.clone();
        self.shared.read(move |engine| engine.views.profiles_holding(&text, after.as_ref(), most)).await
    }

    /// How far a destination is; `None` before anything was ever said of it.
    pub async fn delivered(&self, destination: &Id) -> Result<Option<u64>, Refused> {
        let state = self.newest(Key::Delivered(destination.clone())).await?;
        Ok(if let Some(State::Offset(offset)) = state { Some(offset) } else { None })
    }

    /// How an item fared that is set aside for a destination; `None`: it is not.
    pub async fn aside(&self, destination: &Id, item: u64) -> Result<Option<Aside>, Refused> {
        let state = self.newest(Key::Aside { destination: destination.clone(), item }).await?;
        Ok(if let Some(State::Aside(aside)) = state { Some(aside) } else { None })
    }

    /// Up to `most` items that are set aside for a destination, by their offsets from `from` on, as the views have them: see
    /// [`ReadView::applied`].
    pub async fn asides(&self, destination: &Id, from: u64, most: usize) -> Result<Vec<(u64, Aside)>, Refused> {
        let destination = destination.clone();
        self.shared.read(move |engine| engine.views.asides(&destination, from, most)).await
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

    /// Up to `most` delayed events that are due at `now`, those first that are due longest, as the views have them: those
    /// that just happened may be among them. See [`ReadView::applied`].
    pub async fn due(&self, now: Time, most: usize) -> Result<Vec<DueEvent>, Refused> {
        self.shared.read(move |engine| engine.views.due(now, most)).await
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

    /// Where the event stood whose id had this hash, or where it was said that a profile or a session of such an id was
    /// erased; `None`: none was.
    pub async fn erased_id(&self, hash: impl FnOnce() -> IdHash) -> Result<Option<u64>, Refused> {
        if !self.shared.configuration.has_erased_ids() {
            return Ok(None);
        }
        let state = self.newest(Key::ErasedId(hash())).await?;
        Ok(if let Some(State::Offset(offset)) = state { Some(offset) } else { None })
    }

    pub async fn erasure(&self, id: &Id) -> Result<Option<Arc<Erasure>>, Refused> {
        let state = self.newest(Key::Erasure(id.clone())).await?;
        Ok(if let Some(State::Erasure(erasure)) = state { Some(erasure) } else { None })
    }

    /// The former ids of a profile that was forgotten, while events stand under them still.
    pub fn former_ids(&self, profile: &ProfileRef) -> Vec<Id> {
        self.shared.configuration.concealed.former_ids(profile)
    }

    /// Of the session or profile that was made at the offset `made`, if it was imported: the parts that are shown as they
    /// came.
    pub async fn imported(&self, made: u64) -> Result<Option<Json>, Refused> {
        let state = self.newest(Key::Imported(made)).await?;
        Ok(if let Some(State::Shown(shown)) = state { Some(shown) } else { None })
    }

    /// Which of these events, each a source and an id, are stored already: their source gave the id, or the server made it
    /// for them.
    pub async fn known_events(&self, events: &[(Id, Id)]) -> Result<HashSet<(Id, Id)>, Refused> {
        let (mut known, mut sought) = (HashSet::new(), Vec::new());
        for (source, id) in events {
            match self.on_its_way(&Key::EventId { id: id.clone(), source: source.clone() })? {
                Some(_) => _ = known.insert((source.clone(), id.clone())),
                None => sought.push((source.clone(), id.clone())),
            }
        }
        let found = self.shared.read(move |engine| {
            let mut found = HashSet::new();
            for (source, id) in sought {
                let key = Key::EventId { id, source };
                if engine.views.state(&key)?.is_some()
                    && let Key::EventId { id, source } = key
                {
                    found.insert((source, id));
                }
            }
            Ok(found)
        });
        known.extend(found.await?);
        let ids: MadeIds = events.iter().filter(|event| !known.contains(*event)).map(|(_, id)| id.clone()).collect();
        known.extend(self.shared.read_log(move |engine| engine.log.events_made(&ids)).await?);
        Ok(known)
    }

    pub async fn is_deleted_event(&self, offset: u64) -> Result<bool, Refused> {
        Ok(self.newest(Key::DeletedEvent(offset)).await?.is_some())
    }

    /// Whether something of this kind is set up under this id, as is durable.
    pub fn has_definition(&self, kind: DefinitionKind, id: &Id) -> bool {
        self.shared.configuration.definition(kind, id).is_some()
    }

    /// The countries in which phone numbers are dialled that sources send without a prefix; `None`: of no country.
    pub fn phone_countries(&self) -> Vec<Option<Country>> {
        self.shared.configuration.phone_countries()
    }

    /// Whether there is a source of this id once everything that is queued is done.
    pub async fn has_source(&self, id: &Id) -> Result<bool, Refused> {
        Ok(self.newest(Key::Source(id.clone())).await?.is_some())
    }

    /// The secrets of a source; `None`: it has none, or is not there.
    pub async fn source_secrets(&self, source: &Id) -> Result<Option<Arc<SourceSecrets>>, Refused> {
        let state = self.newest(Key::SourceSecrets(source.clone())).await?;
        Ok(if let Some(State::SourceSecrets(secrets)) = state { Some(secrets) } else { None })
    }

    /// The event with this id, from `source` if it is named, and its offset: the one that a client gave the id if there
    /// is one, else the one that the server made it for. Not one that is deleted.
    pub async fn event(&self, id: &Id, source: Option<&Id>) -> Result<Option<(u64, ShownEvent)>, Refused> {
        let given = self.given_events(id, source).await?;
        for offset in &given {
            if !self.is_deleted_event(*offset).await?
                && let Some(found) = self.event_at(*offset).await?
            {
                return Ok(Some((*offset, found)));
            }
        }
        if !given.is_empty() {
            return Ok(None); // the id means the client's events, and they are gone
        }
        // What stands in the log is found without waiting, also while nothing can be stored.
        let mut made = self.event_made(id).await?;
        if made.is_none() {
            self.applied().await?;
            made = self.event_made(id).await?;
        }
        let Some(FoundEvent { offset, request, event }) = made else { return Ok(None) };
        let is_shown = source.is_none_or(|source| *source == request.source) && !self.is_deleted_event(offset).await?;
        Ok(is_shown.then_some((offset, ShownEvent { request, event })))
    }

    /// Where the events stand to which clients gave the id, in order.
    async fn given_events(&self, id: &Id, source: Option<&Id>) -> Result<Vec<u64>, Refused> {
        let (mut places, sources) = match source {
            Some(source) => (Vec::new(), vec![source.clone()]),
            None => {
                let wanted = id.clone();
                let known = self.shared.read(move |engine| engine.views.event_ids(&wanted)).await?;
                let sources = self.shared.configuration.sources().into_iter().map(|known| known.source.id.clone());
                (known.into_iter().map(|place| place.offset).collect(), sources.collect())
            }
        };
        for from in sources {
            let key = Key::EventId { id: id.clone(), source: from };
            let place = if source.is_some() { self.newest(key).await? } else { self.on_its_way(&key)? };
            places.extend(
                place.and_then(|state| if let State::EventId(place) = state { Some(place.offset) } else { None }),
            );
        }
        places.sort_unstable();
        places.dedup();
        Ok(places)
    }

    /// The event at `offset`, once the log has it.
    async fn event_at(&self, offset: u64) -> Result<Option<ShownEvent>, Refused> {
        if offset >= self.shared.queue.applied_end() {
            self.applied().await?;
        }
        let found = self.shared.read_log(move |engine| engine.log.event_at(offset)).await?;
        let found = found.map(|found| self.shared.configuration.concealed.shown(found));
        Ok(found.map(|FoundEvent { request, event, .. }| ShownEvent { request, event }))
    }

    async fn event_made(&self, id: &Id) -> Result<Option<FoundEvent>, Refused> {
        let wanted = id.clone();
        let found = self.shared.read_log(move |engine| engine.log.event_made(&wanted)).await?;
        Ok(found.map(|found| self.shared.configuration.concealed.shown(found)))
    }

    /// The newest state under `key`: from memory, or from the views.
    async fn newest(&self, key: Key) -> Result<Option<State>, Refused> {
        match self.on_its_way(&key)? {
            Some(State::Gone) => Ok(None),
            Some(state) => Ok(Some(state)),
            // What left memory meanwhile is in the views, and told of there before it left.
            None if self.shared.engine().is_some_and(|engine| !engine.views.may_have(&key)) => Ok(None),
            None => self.shared.read(move |engine| engine.views.state(&key)).await,
        }
    }

    /// The newest state under `key` that memory has; what was not durable when it was read is noted.
    fn on_its_way(&self, key: &Key) -> Result<Option<State>, Refused> {
        let Some((end, state)) = self.shared.queue.read(self.generation, key)? else { return Ok(None) };
        if end > self.shared.queue.durable_end() {
            self.undurable.fetch_max(end, Ordering::Relaxed);
        }
        Ok(Some(state))
    }
}

/// How often something is read again because what was read was taken back.
const ATTEMPTS_MAX: usize = 5;

/// Tries again while what was read is taken back; each attempt has a view of its own.
pub async fn retry<T, F: Future<Output = Result<T, Refused>>>(attempt: impl Fn() -> F) -> Result<T, Refused> {
    for _ in 0..ATTEMPTS_MAX {
        match attempt().await {
            Err(Refused::Stale) => {}
            done => return done,
        }
    }
    Err(Refused::Unavailable("the store is recovering from a failed write".into()))
}
