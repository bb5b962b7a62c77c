//! Goes through sessions in the order in which they were made.

use std::{collections::BTreeSet, ops::Range, sync::Arc};

use super::{Found, LOOKED_AT_TOGETHER, Read, Record, Scan, first_events::FirstEvents, holds, owners::Owners};
use crate::{
    model::{ProfileRef, Session, Time},
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
    left: Range<u64>,
    /// Only what began within the filter's times is left.
    is_bounded: bool,
    owners: Owners,
}

impl SessionScan {
    /// `people`: all that the profile which the filter names was called.
    pub fn new(
        filter: Arc<SessionFilter>,
        order: Order,
        people: Option<Arc<[ProfileRef]>>,
        left: Range<u64>,
        now: Time,
    ) -> Self {
        let visits = people.map(|people| Visits { people, order, sought: 0, heads: BTreeSet::new() });
        Self { filter, order, visits, now, left, is_bounded: false, owners: Owners::default() }
    }

    /// Leaves out what began too early or too late: the server's time never decreases from one session to the next.
    fn bound(&mut self, log: &LogView<'_>) -> Result<(), StoreError> {
        if let Some(from) = self.filter.from {
            self.left.start = begun_from(log, self.left.clone(), from)?;
        }
        if let Some(to) = self.filter.to {
            self.left.end = begun_from(log, self.left.clone(), to)?;
        }
        self.is_bounded = true;
        Ok(())
    }

    /// The next session, whatever the filter says of it.
    fn next(&mut self, log: &LogView<'_>) -> Result<Option<Session>, StoreError> {
        let Some(visits) = &mut self.visits else {
            return self.order.through(log.sessions(self.left.clone())).next().transpose();
        };
        while let Some(number) = visits.next(log, &self.left)? {
            if let Some(session) = log.session_numbered(number)? {
                return Ok(Some(session));
            }
        }
        Ok(None)
    }
}

impl Scan for SessionScan {
    fn left(&self) -> Range<u64> {
        self.left.clone()
    }

    fn read(&self) -> Read {
        Read::default()
    }

    fn step(&mut self, log: &LogView<'_>, most: usize) -> Result<Vec<Found>, StoreError> {
        if !self.is_bounded {
            self.bound(log)?;
        }
        if let Some(visits) = &mut self.visits
            && !visits.seek(log, &self.left)?
        {
            return Ok(Vec::new());
        }
        let mut first_events = FirstEvents::new(log);
        let mut found = Vec::new();
        for _ in 0..LOOKED_AT_TOGETHER {
            if found.len() == most {
                break;
            }
            let Some(mut session) = self.next(log)? else {
                self.left = self.left.end..self.left.end;
                break;
            };
            self.left = self.order.behind(session.number, &self.left);
            if !self.filter.takes_time(&session) {
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
            if holds(self.filter.condition.as_deref(), "session", &session.shown(), self.now) {
                found.push(Found { place: session.number, record: Record::Session(Box::new(session)) });
            }
        }
        Ok(found)
    }
}

/// The number within `range` from which on sessions began at `time` or later.
fn begun_from(log: &LogView<'_>, range: Range<u64>, time: Time) -> Result<u64, StoreError> {
    let Range { mut start, mut end } = range;
    while start < end {
        let middle = start + (end - start) / 2;
        match log.sessions(middle..end).next().transpose()? {
            Some(session) if session.inserted < time => start = session.number + 1,
            _ => end = middle,
        }
    }
    Ok(start)
}

/// The visits of a person under each of their ids, in one order.
struct Visits {
    people: Arc<[ProfileRef]>,
    order: Order,
    /// Of how many the first visit was sought.
    sought: usize,
    /// The next visit of each that has one, and the place of whose it is.
    heads: BTreeSet<(u64, usize)>,
}

impl Visits {
    /// Seeks the first visit of some more; `false`: there are others still.
    fn seek(&mut self, log: &LogView<'_>, left: &Range<u64>) -> Result<bool, StoreError> {
        let until = self.people.len().min(self.sought + SOUGHT_TOGETHER);
        for place in self.sought..until {
            self.seek_one(log, place, left.clone())?;
        }
        self.sought = until;
        Ok(self.sought == self.people.len())
    }

    fn seek_one(&mut self, log: &LogView<'_>, place: usize, range: Range<u64>) -> Result<(), StoreError> {
        if range.is_empty() {
            return Ok(());
        }
        let next = self.order.through(log.visits_of(&self.people[place], range)).next().transpose()?;
        self.heads.extend(next.map(|number| (number, place)));
        Ok(())
    }

    /// The number of the next session that is left; one that went from id to id meanwhile comes once.
    fn next(&mut self, log: &LogView<'_>, left: &Range<u64>) -> Result<Option<u64>, StoreError> {
        loop {
            let next = match self.order {
                Order::Newest => self.heads.pop_last(),
                Order::Oldest => self.heads.pop_first(),
            };
            let Some((number, place)) = next else { return Ok(None) };
            self.seek_one(log, place, self.order.behind(number, left))?;
            if left.contains(&number) {
                return Ok(Some(number));
            }
        }
    }
}
