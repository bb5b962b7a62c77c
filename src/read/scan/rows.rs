//! The rows of events that may be meant, in the order in which they are answered, as the segments' indexes tell.
//!
//! Pages of rows are opened in the order of the first row that each may have. A row is handed on once no page that is not
//! open may have one before it. Where times only grow along the log, pages come one after the other and one is open at a
//! time. Those with imported events may lie anywhere in time and overlap others: their rows are merged. So many rows are
//! kept meanwhile that they take little memory; of more, those farthest behind are dropped, and looked for again once the
//! others are handed on.

use std::{cmp::Ordering, collections::BinaryHeap, num::NonZeroUsize, ops::Range, sync::Arc};

use lru::LruCache;

use crate::{
    model::{Id, Place, Time},
    read::{
        filter::{EventFilter, Order},
        plan::SegmentPlan,
    },
    store::{LogView, SegmentSpan, StoreError},
};

/// How many parts are opened together, so that a step stays short.
const OPENED_TOGETHER: usize = 32;
/// The most rows that are known and not handed on.
const ROWS_MAX: usize = 32 * 1024;
/// How many segments are planned at a time.
const PLANS_MAX: NonZeroUsize = NonZeroUsize::new(8).expect("8 is not zero");

/// What rows are ordered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sequence {
    /// The server's time, and the offset where that is the same.
    Time,
    /// The offset alone.
    Log,
}

impl Sequence {
    fn place(self, place: Place) -> Place {
        match self {
            Self::Time => place,
            Self::Log => Place::in_log(place.offset),
        }
    }
}

/// The rows of a log that may be meant.
pub struct Rows {
    filter: Arc<EventFilter>,
    /// All ids of the profile that the filter names.
    people: Option<Arc<[Id]>>,
    order: Order,
    sequence: Sequence,
    /// Where the log ended when it was begun to be looked through.
    end: u64,
    /// The places that were not looked at yet.
    left: Range<Place>,
    merge: Option<Merge>,
    /// How many pages were left out.
    pub skipped: u64,
    /// What was left out is counted: of rows that are looked for again it is not.
    counts: bool,
}

impl Rows {
    /// Those that stand at offsets before `end`.
    pub fn new(
        filter: Arc<EventFilter>,
        people: Option<Arc<[Id]>>,
        (order, sequence): (Order, Sequence),
        end: u64,
        left: Range<Place>,
    ) -> Self {
        Self { filter, people, order, sequence, end, left, merge: None, skipped: 0, counts: true }
    }

    /// The places that were not looked at yet.
    pub fn left(&self) -> &Range<Place> {
        &self.left
    }

    /// Takes the next row.
    pub fn pop(&mut self) -> Option<Place> {
        let Ranked(next, _) = self.merge.as_ref()?.next()?;
        self.merge.as_mut()?.rows.pop();
        self.left = self.order.behind(next, &self.left);
        Some(next)
    }

    /// The offsets of the next rows that are known, in order: at most `most`.
    pub fn ahead(&self, most: usize) -> Vec<u64> {
        let Some(merge) = &self.merge else { return Vec::new() };
        let known = merge.rows.iter().rev().take_while(|row| merge.is_before_parts(row));
        known.take(most).map(|row| row.0.offset).collect()
    }

    /// Looks a little further for the next row; whether it is known then.
    pub fn find(&mut self, log: &LogView<'_>) -> Result<bool, StoreError> {
        for _ in 0..OPENED_TOGETHER {
            if self.left.is_empty() {
                return Ok(false);
            }
            let mut merge = match self.merge.take() {
                Some(merge) => merge,
                None => self.begin(log)?,
            };
            if merge.next().is_some() {
                self.merge = Some(merge);
                return Ok(true);
            }
            match merge.next_part() {
                Some(part) => {
                    // Where the log was made again meanwhile, what is left of it is looked through anew.
                    if self.open(log, &mut merge, part)? {
                        self.merge = Some(merge);
                    } else {
                        self.counts = false;
                    }
                }
                None => match merge.dropped {
                    Some(Ranked(place, _)) => {
                        self.left = self.order.from(place, &self.left);
                        self.counts = false;
                    }
                    None => self.end(),
                },
            }
        }
        // Everything before what may come next was looked at.
        if let Some(Ranked(place, _)) = self.merge.as_ref().and_then(Merge::first) {
            self.left = self.order.from(place, &self.left);
        }
        Ok(false)
    }

    /// Nothing is left.
    pub fn end(&mut self) {
        self.left = self.left.end..self.left.end;
        self.merge = None;
    }

    /// Begins with all segments that may have rows that are left.
    fn begin(&mut self, log: &LogView<'_>) -> Result<Merge, StoreError> {
        let spans = match self.sequence {
            Sequence::Time => log.spans()?,
            Sequence::Log => {
                let all = Place::all();
                let inserted = (all.start.time, all.end.time);
                let span = |range| SegmentSpan { range, inserted, imported: false, pages: 0 };
                log.segments().into_iter().filter(|range| !range.is_empty()).map(span).collect()
            }
        };
        let mut merge = Merge::default();
        for SegmentSpan { range, inserted, pages, .. } in spans {
            if range.start < self.end && self.filter.may_take_times(inserted) {
                if let Some(first) = self.first_left(inserted, (range.start, range.end - 1)) {
                    merge.parts.push(Part { first, range, page: None });
                }
            } else {
                self.skip(pages as u64);
            }
        }
        Ok(merge)
    }

    fn skip(&mut self, pages: u64) {
        if self.counts {
            self.skipped += pages;
        }
    }

    /// The first place in order that a row may have whose time and offset lie within these, ends included, if it may have
    /// one that is left.
    fn first_left(&self, times: (Time, Time), offsets: (u64, u64)) -> Option<Ranked> {
        let place = |time, offset| self.sequence.place(Place { time, offset });
        let (least, most) = (place(times.0, offsets.0), place(times.1, offsets.1));
        let is_left = least < self.left.end && most >= self.left.start;
        is_left.then(|| Ranked(if self.order == Order::Newest { most } else { least }, self.order))
    }

    /// Opens a part of what is ahead: the pages of a segment, or the rows of a page. `false`: it is not there any more.
    fn open(&mut self, log: &LogView<'_>, merge: &mut Merge, part: Part) -> Result<bool, StoreError> {
        let Part { range, page, .. } = part;
        if !merge.plans.contains(&range.start) {
            let index = log.index(range.start)?;
            let Some(index) = index.filter(|index| index.end >= range.end) else { return Ok(false) };
            let plan = SegmentPlan::new(index, &self.filter, self.people.as_deref())?;
            merge.plans.put(range.start, plan);
        }
        let Some(plan) = merge.plans.get(&range.start) else { return Ok(false) };
        let Some(page) = page else {
            let mut opened = 0;
            for (page, span) in plan.pages() {
                let first = self.first_left(span.inserted, span.offsets);
                if let Some(first) = first.filter(|_| span.offsets.0 < self.end) {
                    merge.parts.push(Part { first, range: range.clone(), page: Some(page) });
                    opened += 1;
                }
            }
            let skipped = plan.page_count() - opened;
            self.skip(skipped);
            return Ok(true);
        };
        let places = plan.rows(page)?.into_iter().filter(|place| place.offset < self.end);
        let places = places.map(|place| self.sequence.place(place)).filter(|place| self.left.contains(place));
        merge.add(places.map(|place| Ranked(place, self.order)));
        Ok(true)
    }
}

/// The rows of open pages, and what is not open yet.
struct Merge {
    parts: BinaryHeap<Part>,
    /// In order, the next one at the end.
    rows: Vec<Ranked>,
    /// The first row that was dropped.
    dropped: Option<Ranked>,
    /// Of the segments that were opened last, by their first offsets.
    plans: LruCache<u64, SegmentPlan>,
}

impl Default for Merge {
    fn default() -> Self {
        Self { parts: BinaryHeap::new(), rows: Vec::new(), dropped: None, plans: LruCache::new(PLANS_MAX) }
    }
}

impl Merge {
    /// The next row, if no part may have one before it.
    fn next(&self) -> Option<Ranked> {
        self.rows.last().copied().filter(|row| self.is_before_parts(row))
    }

    fn is_before_parts(&self, row: &Ranked) -> bool {
        self.parts.peek().is_none_or(|part| part.first < *row)
    }

    /// The next part, if it may have rows before those that were dropped.
    fn next_part(&mut self) -> Option<Part> {
        let is_needed = |part: &Part| self.dropped.is_none_or(|dropped| part.first > dropped);
        if self.parts.peek().is_some_and(is_needed) { self.parts.pop() } else { None }
    }

    /// The first place that may come.
    fn first(&self) -> Option<Ranked> {
        let part = self.parts.peek().map(|part| part.first);
        [self.rows.last().copied(), part, self.dropped].into_iter().flatten().max()
    }

    fn add(&mut self, rows: impl Iterator<Item = Ranked>) {
        let dropped = self.dropped;
        self.rows.extend(rows.filter(|row| dropped.is_none_or(|dropped| *row > dropped)));
        self.rows.sort(); // what stands there is sorted, and so is mostly what comes
        let over = self.rows.len().saturating_sub(ROWS_MAX);
        if let Some(first) = self.rows.drain(..over).next_back() {
            self.dropped = Some(first);
        }
    }
}

/// A segment, or a page of one, that was not opened yet.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    /// The first place in order that a row of it may have.
    first: Ranked,
    /// The offsets of the segment.
    range: Range<u64>,
    page: Option<usize>,
}

impl Ord for Part {
    fn cmp(&self, other: &Self) -> Ordering {
        self.first.cmp(&other.first)
    }
}

impl PartialOrd for Part {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A place that compares as the greater, the earlier it comes in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ranked(Place, Order);

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        match self.1 {
            Order::Newest => self.0.cmp(&other.0),
            Order::Oldest => other.0.cmp(&self.0),
        }
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
