//! Events, page by page or one behind the other.

use std::{collections::HashMap, sync::Arc, time::Instant};

use tokio::sync::OwnedSemaphorePermit;

use super::{
    Queries,
    cursor::Cursor,
    filter::Order,
    parameters::EventQuery,
    scan::{EventScan, Read},
};
use crate::{
    model::{Id, ProfileRef, ShownEvent},
    process::{find_profile, referred_profile},
    store::{FoundEvent, NamesWalk, ReadView, Refused, retry},
};

/// How many events are gathered before a stream hands them on.
const STREAMED_TOGETHER: usize = 256;
/// How many names of a profile are read at once.
const NAMES_TOGETHER: usize = 10_000;

/// A page of events.
pub struct EventPage {
    pub events: Vec<ShownEvent>,
    /// Where the query goes on; `None`: that was all.
    pub cursor: Option<String>,
    pub read: Read,
}

/// Events one behind the other, without end of a page.
pub struct EventStream {
    view: ReadView,
    scan: Option<EventScan>,
    /// How many are still wanted.
    wanted: usize,
    owners: Owners,
    _turn: OwnedSemaphorePermit,
}

impl Queries {
    /// A page of `limit` events at most: shorter, perhaps empty, where gathering it takes too long, with a cursor then.
    pub async fn events(&self, query: &Arc<EventQuery>, limit: usize) -> Result<EventPage, Refused> {
        let until = Instant::now() + self.settings.page_time;
        let mut stream = self.event_stream(query, limit).await?;
        let mut events = Vec::new();
        while stream.wanted > 0 && Instant::now() < until {
            let Some(more) = stream.step().await? else { break };
            events.extend(more);
        }
        let read = stream.scan.as_ref().map_or_else(Read::default, |scan| scan.read);
        let cursor = stream.scan.as_ref().filter(|scan| !scan.is_done()).map(|scan| {
            let offset = match query.order {
                Order::Newest => scan.left().end,
                Order::Oldest => scan.left().start,
            };
            Cursor { offset }.to_text(&query.identity)
        });
        Ok(EventPage { events, cursor, read })
    }

    /// The events that the query means, `limit` at most, as they are stored now.
    pub async fn event_stream(&self, query: &Arc<EventQuery>, limit: usize) -> Result<EventStream, Refused> {
        let turn = self.turn().await?;
        let (view, people, end) = retry(|| self.begin(query.filter.profile.as_ref())).await?;
        let left = match (query.cursor, query.order) {
            (Some(cursor), Order::Newest) => 0..cursor.offset.min(end),
            (Some(cursor), Order::Oldest) => cursor.offset.min(end)..end,
            (None, _) => 0..end,
        };
        let filter = query.filter.clone();
        let scan = EventScan::new(filter, query.order, people, left, self.clock.now());
        Ok(EventStream { view, scan: Some(scan), wanted: limit, owners: Owners::default(), _turn: turn })
    }

    /// A view that has everything that was answered before, the ids of the person that is meant, and the end of the log.
    async fn begin(&self, profile: Option<&Id>) -> Result<(ReadView, Option<Arc<[Id]>>, u64), Refused> {
        let view = self.store.read_view();
        view.applied().await?;
        let people = match profile {
            Some(id) => Some(ids_of(&view, id).await?.into()),
            None => None,
        };
        let end = view.answer(self.store.end()).await?;
        Ok((view, people, end))
    }
}

impl EventStream {
    /// The next events; `None`: that was all.
    pub async fn next(&mut self) -> Result<Option<Vec<ShownEvent>>, Refused> {
        loop {
            match self.step().await? {
                Some(events) if events.is_empty() => {}
                end => return Ok(end),
            }
        }
    }

    /// Looks a little further: perhaps nothing is found. `None`: that was all.
    async fn step(&mut self) -> Result<Option<Vec<ShownEvent>>, Refused> {
        if self.wanted == 0 || self.scan.as_ref().is_none_or(EventScan::is_done) {
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
        self.wanted -= found.len();
        let mut shown = Vec::with_capacity(found.len());
        for event in found {
            shown.push(self.owners.shown(&self.view, event).await?);
        }
        Ok(Some(shown))
    }
}

/// Whose events are by now, of those that were looked up already.
#[derive(Default)]
pub(super) struct Owners {
    known: HashMap<ProfileRef, Option<ProfileRef>>,
}

impl Owners {
    /// The most that are kept.
    const MAX: usize = 10_000;

    /// The event as it is shown: with the profile that its own is part of by now.
    pub async fn shown(&mut self, view: &ReadView, found: FoundEvent) -> Result<ShownEvent, Refused> {
        let FoundEvent { mut request, event, .. } = found;
        let Some(reference) = request.profile.clone() else { return Ok(ShownEvent { request, event }) };
        if !self.known.contains_key(&reference) {
            if self.known.len() >= Self::MAX {
                self.known.clear();
            }
            let owner = referred_profile(view, &reference).await?.map(|profile| profile.reference());
            self.known.insert(reference.clone(), owner.filter(|owner| *owner != reference));
        }
        if let Some(Some(owner)) = self.known.get(&reference) {
            Arc::make_mut(&mut request).profile = Some(owner.clone());
        }
        Ok(ShownEvent { request, event })
    }
}

/// All ids of the person that `id` leads to; of nobody who is there, `id` itself: their events may be.
pub(super) async fn ids_of(view: &ReadView, id: &Id) -> Result<Vec<Id>, Refused> {
    let Some(profile) = find_profile(view, id).await? else { return Ok(vec![id.clone()]) };
    let mut ids = vec![id.clone(), profile.id.clone()];
    let mut walk = NamesWalk::new(profile.reference(), None);
    loop {
        let (names, next) = view.names(walk, NAMES_TOGETHER).await?;
        if names.is_empty() {
            break;
        }
        ids.extend(names.into_iter().map(|name| name.id));
        walk = next;
    }
    ids.sort();
    ids.dedup();
    Ok(ids)
}
