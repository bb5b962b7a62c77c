//! Where a record stands among others of its kind.

use std::ops::Range;

use super::Time;

/// A place in the order of records: by the server's time, and by offset where that is the same. What was imported has the
/// time that it came with, so its place is in the past although its offset is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub time: Time,
    pub offset: u64,
}

impl Place {
    /// A place in an order by offset alone.
    pub fn in_log(offset: u64) -> Self {
        Self { time: Time::default(), offset }
    }

    /// The first place of a time.
    pub fn begin(time: Time) -> Self {
        Self { time, offset: 0 }
    }

    /// All places.
    pub fn all() -> Range<Self> {
        Self::begin(Time::from_micros(i64::MIN))..Self { time: Time::from_micros(i64::MAX), offset: u64::MAX }
    }

    /// The place behind this one.
    pub fn next(self) -> Self {
        Self { offset: self.offset.saturating_add(1), ..self }
    }
}
