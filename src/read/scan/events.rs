//! Goes through events: finds which rows may be meant, and opens the blocks that they stand in.

use std::{collections::VecDeque, ops::Range, sync::Arc};

use super::{
    EventOwners, Found, Read, Record, Scan,
    rows::{Rows, Sequence},
};
use crate::{
    model::{Id, Place, Time},
    process::Scope,
    read::filter::{EventFilter, Order},
    store::{EventBlock, FoundEvent, LogView, StoreError},
};

/// How many blocks a step reads, so that it stays short.
const BLOCKS_TOGETHER: usize = 16;
/// How many events are read before a condition decides which of them are meant.
const DECIDED_TOGETHER: usize = 256;
/// How many blocks are kept, for the rows that stand there and come later.
const BLOCKS_KEPT: usize = 4;

/// A walk through the log for the events that a filter means.
pub struct EventScan {
    filter: Arc<EventFilter>,
    /// The server's time, for the condition.
    now: Time,
    rows: Rows,
    /// The blocks that were read last, the last one at the end.
    blocks: VecDeque<EventBlock>,
    opened: u64,
}

impl EventScan {
    /// In order of time: what of `left` stands at offsets before `end`. `people`: all ids of the profile that the filter
    /// names.
    pub fn new(
        filter: Arc<EventFilter>,
        order: Order,
        people: Option<Arc<[Id]>>,
        (end, left): (u64, Range<Place>),
        now: Time,
    ) -> Self {
        let rows = Rows::new(filter.clone(), people, (order, Sequence::Time), end, left);
        Self { filter, now, rows, blocks: VecDeque::new(), opened: 0 }
    }

    /// In the order of the log, from the oldest on.
    pub fn along_log(filter: Arc<EventFilter>, people: Option<Arc<[Id]>>, offsets: Range<u64>, now: Time) -> Self {
        let left = Place::in_log(offsets.start)..Place::in_log(offsets.end);
        let rows = Rows::new(filter.clone(), people, (Order::Oldest, Sequence::Log), offsets.end, left);
        Self { filter, now, rows, blocks: VecDeque::new(), opened: 0 }
    }

    /// The places that were not looked at yet.
    pub fn left(&self) -> &Range<Place> {
        self.rows.left()
    }

    pub fn is_done(&self) -> bool {
        self.left().is_empty()
    }

    /// What it read so far.
    pub fn read(&self) -> Read {
        Read { blocks: self.opened, skipped: self.rows.skipped }
    }

    /// Looks a little further, in a few blocks of the log: the next events that are meant, at most `most`; perhaps none
    /// yet.
    pub fn step(&mut self, log: &LogView<'_>, most: usize) -> Result<Vec<FoundEvent>, StoreError> {
        let mut found = Vec::new();
        let mut blocks = 0;
        while found.len() < most && blocks < BLOCKS_TOGETHER && self.rows.find(log)? {
            let together = if self.filter.condition.is_some() { DECIDED_TOGETHER } else { most - found.len() };
            let rows = self.rows.ahead(together);
            for event in self.read_events(log, &rows, &mut blocks)? {
                self.rows.pop();
                found.extend(event.filter(|event| self.holds(event)));
                if found.len() == most {
                    break;
                }
            }
        }
        Ok(found)
    }

    /// Reads the events that stand at the offsets `rows`, which need not ascend, in their order: each block is read once
    /// for all of them. Fewer, where they stand in too many blocks. `None`: it is deleted, or not meant.
    fn read_events(
        &mut self,
        log: &LogView<'_>,
        rows: &[u64],
        blocks: &mut usize,
    ) -> Result<Vec<Option<FoundEvent>>, StoreError> {
        let mut ascending: Vec<(u64, usize)> = rows.iter().copied().zip(0..).collect();
        ascending.sort_unstable();
        let offsets: Vec<u64> = ascending.iter().map(|(offset, _)| *offset).collect();
        let mut events: Vec<Option<FoundEvent>> = rows.iter().map(|_| None).collect();
        let mut done: Vec<Range<u64>> = Vec::new();
        for (place, offset) in rows.iter().enumerate() {
            if done.iter().any(|block| block.contains(offset)) {
                continue;
            }
            if *blocks >= BLOCKS_TOGETHER && place > 0 {
                events.truncate(place);
                break;
            }
            *blocks += 1;
            let Some(block) = self.block(log, *offset)? else {
                self.rows.end(); // the log is shorter than it was
                return Ok(Vec::new());
            };
            let range = block.offsets();
            let wanted =
                offsets.partition_point(|row| *row < range.start)..offsets.partition_point(|row| *row < range.end);
            let mut places = ascending[wanted.clone()].iter();
            let wanted = &offsets[wanted];
            let (Some(first), Some(last)) = (wanted.first(), wanted.last()) else { continue };
            let deleted = log.deleted_events(*first..last + 1)?;
            for event in log.events_at(&block, wanted, |_, properties| self.may_hold(properties))? {
                let row = places.find(|(offset, _)| *offset == event.offset);
                if let Some((_, place)) = row.filter(|_| deleted.binary_search(&event.offset).is_err()) {
                    events[*place] = Some(event);
                }
            }
            done.push(range);
            self.blocks.push_back(block);
        }
        Ok(events)
    }

    /// The block of the log that holds `offset`.
    fn block(&mut self, log: &LogView<'_>, offset: u64) -> Result<Option<EventBlock>, StoreError> {
        let kept = self.blocks.iter().position(|block| block.offsets().contains(&offset));
        if let Some(block) = kept.and_then(|place| self.blocks.remove(place)) {
            return Ok(Some(block));
        }
        self.opened += 1;
        if self.blocks.len() == BLOCKS_KEPT {
            self.blocks.pop_front();
        }
        log.event_block(offset)
    }

    /// Whether the filter's condition may hold for an event with these properties.
    fn may_hold(&self, properties: &str) -> bool {
        let condition = self.filter.condition.as_ref();
        condition.is_none_or(|condition| condition.holds_by_properties(properties, self.now).unwrap_or(true))
    }

    /// Whether the filter's condition holds; all else was looked at.
    fn holds(&self, event: &FoundEvent) -> bool {
        let Some(condition) = &self.filter.condition else { return true };
        condition.holds(&Scope::stored_event(&event.shown(), self.now)).unwrap_or(false)
    }
}

/// The events that a scan finds, as they are shown.
pub struct Events {
    scan: EventScan,
    owners: EventOwners,
}

impl Events {
    pub fn new(scan: EventScan) -> Self {
        Self { scan, owners: EventOwners::default() }
    }
}

impl Scan for Events {
    fn left(&self) -> Range<Place> {
        self.scan.left().clone()
    }

    fn read(&self) -> Read {
        self.scan.read()
    }

    fn step(&mut self, log: &LogView<'_>, most: usize) -> Result<Vec<Found>, StoreError> {
        let found = self.scan.step(log, most)?.into_iter().map(|event| {
            let place = Place { time: event.request.inserted, offset: event.offset };
            Ok(Found { place, record: Record::Event(self.owners.shown(log, event)?) })
        });
        found.collect()
    }
}
