//! Records, page by page or one behind the other.

use std::{ops::Range, sync::Arc, time::Instant};

use tokio::sync::OwnedSemaphorePermit;

use super::{
    Queries,
    cursor::Cursor,
    filter::{EventFilter, Order, SessionFilter},
    query::{Query, Wanted},
    scan::{EventScan, Events, ProfileScan, Read, Record, Scan, SessionScan, Timeline},
};
use crate::{
    model::{Id, Place, ProfileRef},
    process::find_profile,
    store::{NamesWalk, ReadView, Refused, retry},
};

/// How many records are gathered before a stream hands them on.
const STREAMED_TOGETHER: usize = 1_024;
/// A page ends with the record that makes it longer than so many bytes.
const PAGE_BYTES: usize = 8 * 1024 * 1024;
/// How many names of a profile are read at once.
const NAMES_TOGETHER: usize = 10_000;

/// A page of records.
pub struct Page {
    pub records: Vec<Record>,
    /// Where the query goes on; `None`: that was all.
    pub cursor: Option<String>,
    pub read: Read,
    /// It is one of the queries that run until it is written.
    _turn: OwnedSemaphorePermit,
}

/// Records one behind the other, without end of a page.
pub struct RecordStream {
    view: Arc<ReadView>,
    /// Elsewhere only while it is at its next step.
    scan: Option<Box<dyn Scan>>,
    /// How many are still wanted.
    wanted: usize,
    _turn: OwnedSemaphorePermit,
}

impl Queries {
    /// A page of `limit` records at most: shorter, perhaps empty, where gathering it takes too long or they are large, with
    /// a cursor then.
    pub async fn page(&self, query: &Query, limit: usize) -> Result<Page, Refused> {
        let until = Instant::now() + self.settings.page_time;
        let mut stream = self.stream(query, limit).await?;
        let (mut records, mut bytes) = (Vec::new(), 0);
        let begun = stream.left();
        // A page that ends early has come further, however little time there was.
        while stream.wanted > 0 && bytes < PAGE_BYTES && (Instant::now() < until || stream.left() == begun) {
            let Some(more) = stream.step().await? else { break };
            bytes += more.iter().map(Record::bytes).sum::<usize>();
            records.extend(more);
        }
        let read = stream.scan.as_ref().map_or_else(Read::default, |scan| scan.read());
        let left = stream.left().filter(|left| !left.is_empty());
        let cursor = left.map(|left| {
            let place = match query.order {
                Order::Newest => left.end,
                Order::Oldest => left.start,
            };
            Cursor { place }.to_text(&query.identity)
        });
        Ok(Page { records, cursor, read, _turn: stream._turn })
    }

    /// The records that the query means, `limit` at most, as they are stored now.
    pub async fn stream(&self, query: &Query, limit: usize) -> Result<RecordStream, Refused> {
        let turn = self.turn().await?;
        let (view, scan) = retry(|| self.begin(query)).await?;
        Ok(RecordStream { view: Arc::new(view), scan: Some(scan), wanted: limit, _turn: turn })
    }

    /// A view that has everything that was answered before, and a walk through what the query means there.
    async fn begin(&self, query: &Query) -> Result<(ReadView, Box<dyn Scan>), Refused> {
        let view = self.store.read_view();
        view.applied().await?;
        let person = match query.wanted.profile() {
            Some(id) => Some(Person::find(&view, id).await?),
            None => None,
        };
        let end = view.answer(self.store.end()).await?;
        let (order, now) = (query.order, self.clock.now());
        let all = Place::all();
        let left = match (query.cursor, order) {
            (Some(cursor), Order::Newest) => all.start..cursor.place,
            (Some(cursor), Order::Oldest) => cursor.place..all.end,
            (None, _) => all,
        };
        let left = (end, left);
        let ids = person.as_ref().map(|person| person.ids.clone());
        let people = person.map(|person| person.called);
        let events =
            |filter: &Arc<EventFilter>| Events::new(EventScan::new(filter.clone(), order, ids, left.clone(), now));
        let sessions = |filter: &Arc<SessionFilter>| SessionScan::new(filter.clone(), order, people, left.clone(), now);
        let scan: Box<dyn Scan> = match &query.wanted {
            Wanted::Events(filter) => Box::new(events(filter)),
            Wanted::Sessions(filter) => Box::new(sessions(filter)),
            Wanted::Profiles(filter) => Box::new(ProfileScan::new(filter.clone(), order, left, now)),
            Wanted::Timeline(of_events, of_sessions) => {
                Box::new(Timeline::new(order, events(of_events), sessions(of_sessions)))
            }
        };
        Ok((view, scan))
    }
}

impl RecordStream {
    /// The next records; `None`: that was all.
    pub async fn next(&mut self) -> Result<Option<Vec<Record>>, Refused> {
        loop {
            match self.step().await? {
                Some(records) if records.is_empty() => {}
                end => return Ok(end),
            }
        }
    }

    /// Does work for this query where its records are read; others may be looked for meanwhile.
    pub fn work<T: Send + 'static, W: FnOnce() -> T + Send + 'static>(
        &self,
        work: W,
    ) -> impl Future<Output = Result<T, Refused>> + Send + use<T, W> {
        let view = self.view.clone();
        async move { view.work(work).await }
    }

    /// The places that were not looked at yet.
    fn left(&self) -> Option<Range<Place>> {
        self.scan.as_ref().map(|scan| scan.left())
    }

    /// Looks a little further: perhaps nothing is found. `None`: that was all.
    async fn step(&mut self) -> Result<Option<Vec<Record>>, Refused> {
        if self.wanted == 0 || self.left().is_none_or(|left| left.is_empty()) {
            return Ok(None);
        }
        let Some(mut scan) = self.scan.take() else { return Ok(None) };
        let most = self.wanted.min(STREAMED_TOGETHER);
        let step = self.view.query(move |log| {
            let found = scan.step(log, most)?;
            Ok((found, scan))
        });
        let (found, scan) = step.await?;
        self.scan = Some(scan);
        self.wanted = self.wanted.saturating_sub(found.len());
        Ok(Some(found.into_iter().map(|found| found.record).collect()))
    }
}

/// Whose records are meant.
pub struct Person {
    pub ids: Arc<[Id]>,
    /// Each id as it was made or given; none where nobody is there.
    called: Arc<[ProfileRef]>,
}

impl Person {
    /// The person that `id` leads to; of nobody who is there, `id` itself: their events may be.
    pub async fn find(view: &ReadView, id: &Id) -> Result<Self, Refused> {
        let Some(profile) = find_profile(view, id).await? else {
            return Ok(Self { ids: [id.clone()].into(), called: [].into() });
        };
        let mut called = vec![profile.reference()];
        let mut walk = NamesWalk::new(profile.reference(), None);
        loop {
            let (names, next) = view.names(walk, NAMES_TOGETHER).await?;
            if names.is_empty() {
                break;
            }
            called.extend(names);
            walk = next;
        }
        called.sort();
        called.dedup();
        let former = view.former_ids(&profile.reference());
        let mut ids: Vec<Id> = called.iter().map(|name| name.id.clone()).chain([id.clone()]).chain(former).collect();
        ids.sort();
        ids.dedup();
        Ok(Self { ids: ids.into(), called: called.into() })
    }
}
