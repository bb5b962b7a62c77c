//! Goes through the log, segment by segment, and opens the blocks of the rows that a plan names.

use std::{ops::Range, sync::Arc};

use super::{Found, Owners, Read, Record, Scan, named};
use crate::{
    model::{Id, Object, ShownEvent, Time},
    process::Scope,
    read::{
        filter::{EventFilter, Order},
        plan::SegmentPlan,
    },
    store::{BlockEvents, FoundEvent, LogView, StoreError},
};

/// A walk through the log for the events that a filter means.
pub struct EventScan {
    filter: Arc<EventFilter>,
    order: Order,
    /// All ids of the profile that the filter names.
    people: Option<Arc<[Id]>>,
    /// The server's time, for the condition.
    now: Time,
    /// The offsets that were not looked at yet.
    left: Range<u64>,
    plan: Option<SegmentPlan>,
    /// The rows that are to be opened, the next one at the end.
    rows: Vec<u64>,
    pub read: Read,
}

impl EventScan {
    pub fn new(filter: Arc<EventFilter>, order: Order, people: Option<Arc<[Id]>>, left: Range<u64>, now: Time) -> Self {
        Self { filter, order, people, now, left, plan: None, rows: Vec::new(), read: Read::default() }
    }

    /// The offsets that were not looked at yet.
    pub fn left(&self) -> &Range<u64> {
        &self.left
    }

    pub fn is_done(&self) -> bool {
        self.left.is_empty()
    }

    /// Looks a little further, in one block of the log: the next events that are meant, at most `most`; perhaps none yet.
    pub fn step(&mut self, log: &LogView<'_>, most: usize) -> Result<Vec<FoundEvent>, StoreError> {
        if self.rows.is_empty() && !self.plan_further(log)? {
            return Ok(Vec::new());
        }
        let Some(next) = self.rows.last().copied() else { return Ok(Vec::new()) };
        let Some(BlockEvents { events: mut found, offsets: block }) = log.events_around(next)? else {
            self.left = self.left.end..self.left.end; // the log is shorter than it was
            return Ok(Vec::new());
        };
        self.read.blocks += 1;
        let behind = match self.order {
            Order::Newest => self.rows.partition_point(|offset| *offset < block.start),
            Order::Oldest => self.rows.partition_point(|offset| *offset >= block.end),
        };
        let rows = self.rows.split_off(behind);
        let deleted = log.deleted_events(block.clone())?;
        let is_meant = |offset: u64| match self.order {
            Order::Newest => rows.binary_search(&offset).is_ok(),
            Order::Oldest => rows.binary_search_by(|row| offset.cmp(row)).is_ok(),
        };
        found.retain(|event| {
            is_meant(event.offset) && deleted.binary_search(&event.offset).is_err() && self.holds(event)
        });
        if self.order == Order::Newest {
            found.reverse();
        }
        // More may be found than are wanted: the next step begins behind the last one that is answered.
        let last = if found.len() > most { found[most - 1].offset } else { rows[0] };
        found.truncate(most);
        match self.order {
            Order::Newest => self.left.end = last,
            Order::Oldest => self.left.start = last + 1,
        }
        self.rows.extend(rows.into_iter().filter(|offset| self.left.contains(offset)));
        Ok(found)
    }

    /// Finds the next page that has rows; `false` when the step should end before: nothing is left, or enough was done.
    fn plan_further(&mut self, log: &LogView<'_>) -> Result<bool, StoreError> {
        if self.plan.is_none() {
            let next = match self.order {
                Order::Newest => self.left.end.checked_sub(1),
                Order::Oldest => Some(self.left.start),
            };
            let segment = next.filter(|_| !self.left.is_empty()).and_then(|next| self.segment(log, next));
            let Some(index) = segment.map(|first| log.index(first)).transpose()?.flatten() else {
                self.left = self.left.end..self.left.end;
                return Ok(false);
            };
            let plan = SegmentPlan::new(index, &self.filter, self.people.as_deref(), &self.left, self.order)?;
            self.read.skipped += plan.skipped;
            self.plan = Some(plan);
        }
        let Some(plan) = &mut self.plan else { return Ok(false) };
        match plan.next_page()? {
            Some(mut rows) => {
                rows.retain(|offset| self.left.contains(offset));
                if self.order == Order::Oldest {
                    rows.reverse();
                }
                self.rows = rows;
                Ok(!self.rows.is_empty())
            }
            None => {
                let range = plan.range();
                match self.order {
                    Order::Newest => self.left.end = self.left.end.min(range.start),
                    Order::Oldest => self.left.start = self.left.start.max(range.end),
                }
                self.left.start = self.left.start.min(self.left.end);
                self.plan = None;
                Ok(false)
            }
        }
    }

    /// The first offset of the segment that holds `offset`, or of the next one that there is.
    fn segment(&self, log: &LogView<'_>, offset: u64) -> Option<u64> {
        let segments = log.segments();
        let found = match self.order {
            Order::Newest => segments.iter().rev().find(|segment| segment.start <= offset && !segment.is_empty()),
            Order::Oldest => segments.iter().find(|segment| offset < segment.end),
        };
        found.map(|segment| segment.start).filter(|start| *start < self.left.end)
    }

    /// Whether the filter's condition holds; all else was looked at.
    fn holds(&self, event: &FoundEvent) -> bool {
        let Some(condition) = &self.filter.condition else { return true };
        condition.holds(&Scope::stored(&records_of(event), self.now)).unwrap_or(false)
    }
}

/// What a condition over events sees.
pub fn records_of(event: &FoundEvent) -> Object {
    named("event", &ShownEvent { request: event.request.clone(), event: event.event.clone() })
}

/// The events that a scan finds, as they are shown.
pub struct Events {
    scan: EventScan,
    owners: Owners,
}

impl Events {
    pub fn new(scan: EventScan) -> Self {
        Self { scan, owners: Owners::default() }
    }
}

impl Scan for Events {
    fn left(&self) -> Range<u64> {
        self.scan.left.clone()
    }

    fn read(&self) -> Read {
        self.scan.read
    }

    fn step(&mut self, log: &LogView<'_>, most: usize) -> Result<Vec<Found>, StoreError> {
        let found = self.scan.step(log, most)?.into_iter().map(|event| {
            let place = event.offset;
            Ok(Found { place, record: Record::Event(self.owners.shown(log, event)?) })
        });
        found.collect()
    }
}
