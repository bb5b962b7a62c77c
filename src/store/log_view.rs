//! What queries read: the log by its indexes and its events, and what the views know of them.

use std::ops::Range;

use super::{engine::Engine, error::StoreError, index::SegmentIndex, log::FoundEvent};
use crate::model::{Id, ProfileRef};

/// The log and the views while a part of a query is read. Held for that part only, so that they can be made again when
/// one of them fails.
pub struct LogView<'a> {
    engine: &'a Engine,
}

impl<'a> LogView<'a> {
    pub(super) fn new(engine: &'a Engine) -> Self {
        Self { engine }
    }

    /// The offsets of each segment, in order; the live one is the last.
    pub fn segments(&self) -> Vec<Range<u64>> {
        self.engine.log.segments()
    }

    /// The index of the segment whose first entry stands at offset `first`; `None` if there is no such segment. That of
    /// an older store is made when it is asked for.
    ///
    /// # Errors
    /// The segment is damaged.
    pub fn index(&self, first: u64) -> Result<Option<SegmentIndex>, StoreError> {
        self.engine.log.index(first)
    }

    /// The events at `offsets`, which ascend, and how many blocks were read for them.
    ///
    /// # Errors
    /// A segment is damaged.
    pub fn events(&self, offsets: &[u64]) -> Result<(Vec<FoundEvent>, u64), StoreError> {
        self.engine.log.events_at(offsets)
    }

    /// The offsets of deleted events within `range`, ascending.
    pub fn deleted_events(&self, range: Range<u64>) -> Result<Vec<u64>, StoreError> {
        self.engine.views.deleted_events(range)
    }

    /// Up to `most` other ids of people, those behind the id `after`, each with the profile that it was given to: that may
    /// be part of another one by now.
    pub fn names(&self, after: Option<&Id>, most: usize) -> Result<Vec<(Id, ProfileRef)>, StoreError> {
        self.engine.views.names(after, most)
    }
}
