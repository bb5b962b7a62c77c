//! Goes through sessions in the order in which they began.

use std::{collections::BTreeSet, ops::Range, sync::Arc};

use super::{
    Found, LOOKED_AT_TOGETHER, Read, Record, STEP_BYTES, Scan, first_events::FirstEvents, holds, owners::SessionOwners,
};
use crate::{
    model::{Place, ProfileRef, Session, Time},
    read::filter::{Order, SessionFilter},
    store::{LogView, StoreError},
};

/// Of how many ids of a person the first session is sought in a step.
const SOUGHT_TOGETHER: usize = 1_000;

/// A walk for the sessions that a filter means.
pub struct SessionScan {
    filter: Arc<SessionFilter>,
    order: Order,
    /// The visits of the profile that the filter names.
    visits: Option<Visits>,
    /// The server's time, for the condition.
    now: Time,
    left: Range<Place>,
    /// Where the log ended when it was begun.
    end: u64,
    owners: SessionOwners,
}

impl SessionScan {
    /// What of `left` was made at offsets before `end`. `people`: all that the profile which the filter names was called.
    pub fn new(
        filter: Arc<SessionFilter>,
        order: Order,
        people: Option<Arc<[ProfileRef]>>,
        (end, left): (u64, Range<Place>),
        now: Time,
    ) -> Self {
        let visits = people.map(|people| Visits { people, order, sought: 0, heads: BTreeSet::new() });
        let left = filter.bound(&left);
        Self { filter, order, visits, now, left, end, owners: SessionOwners::default() }
    }

    /// The next session, whatever the filter says of it.
    fn next(&mut self, log: &LogView<'_>) -> Result<Option<Session>, StoreError> {
        let Some(visits) = &mut self.visits else {
            return self.order.through(log.sessions(self.left.clone())).next().transpose();
        };
        while let Some(place) = visits.next(log, &self.left)? {
            if let Some(session) = log.session_numbered(place.offset)? {
                return Ok(Some(session));
            }
        }
        Ok(None)
    }
}

impl Scan for SessionScan {
    fn left(&self) -> Range<Place> {
        self.left.clone()
    }

    fn read(&self) -> Read {
        Read::default()
    }

    fn step(&mut self, log: &LogView<'_>, most: usize) -> Result<Vec<Found>, StoreError> {
        if let Some(visits) = &mut self.visits
            && !visits.seek(log, &self.left)?
        {
            return Ok(Vec::new());
        }
        let mut first_events = FirstEvents::new(log);
        let (mut found, mut bytes) = (Vec::new(), 0);
        for _ in 0..LOOKED_AT_TOGETHER {
            if found.len() == most || bytes >= STEP_BYTES {
                break;
            }
            let Some(mut session) = self.next(log)? else {
                self.left = self.left.end..self.left.end;
                break;
            };
            self.left = self.order.behind(session.place(), &self.left);
            if session.number >= self.end {
                continue;
            }
            if let Some(source) = &self.filter.source
                && first_events.source(&session)?.as_ref() != Some(source)
            {
                continue;
            }
            if let Some(profile) = &session.profile {
                session.profile = self.owners.of(log, profile)?;
            }
            let imported = log.imported(session.number)?;
            let shown = session.shown_if_imported(imported.as_ref());
            let is_meant = holds(self.filter.condition.as_deref(), "session", &shown, self.now);
            drop(shown);
            if is_meant {
                bytes += session.bytes();
                found.push(Found { place: session.place(), record: Record::Session(Box::new(session), imported) });
            }
        }
        Ok(found)
    }
}

/// The visits of a person under each of their ids, in one order.
struct Visits {
    people: Arc<[ProfileRef]>,
    order: Order,
    /// Of how many the first visit was sought.
    sought: usize,
    /// The place of the next visit of each that has one, and whose it is.
    heads: BTreeSet<(Place, usize)>,
}

impl Visits {
    /// Seeks the first visit of some more; `false`: there are others still.
    fn seek(&mut self, log: &LogView<'_>, left: &Range<Place>) -> Result<bool, StoreError> {
        let until = self.people.len().min(self.sought + SOUGHT_TOGETHER);
        for person in self.sought..until {
            self.seek_one(log, person, left.clone())?;
        }
        self.sought = until;
        Ok(self.sought == self.people.len())
    }

    fn seek_one(&mut self, log: &LogView<'_>, person: usize, range: Range<Place>) -> Result<(), StoreError> {
        if range.is_empty() {
            return Ok(());
        }
        let next = self.order.through(log.visits_of(&self.people[person], range)).next().transpose()?;
        self.heads.extend(next.map(|place| (place, person)));
        Ok(())
    }

    /// The place of the next session that is left; one that went from id to id meanwhile comes once.
    fn next(&mut self, log: &LogView<'_>, left: &Range<Place>) -> Result<Option<Place>, StoreError> {
        loop {
            let next = match self.order {
                Order::Newest => self.heads.pop_last(),
                Order::Oldest => self.heads.pop_first(),
            };
            let Some((place, person)) = next else { return Ok(None) };
            self.seek_one(log, person, self.order.behind(place, left))?;
            if left.contains(&place) {
                return Ok(Some(place));
            }
        }
    }
}
