//! The rows of an answer that counts, by times and names.

use std::sync::Arc;

use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::{
    model::{Fault, Time, Value},
    store::Refused,
};

/// The most rows of an answer.
pub const ROWS_MAX: usize = 100_000;

/// Counts, and since when they are whole.
pub struct Counts {
    /// In the order of what they are counted by.
    pub rows: Vec<Row>,
    /// The time of the first event that is kept.
    pub complete_from: Option<Time>,
}

/// Why nothing is counted.
#[derive(Debug)]
pub enum NotCounted {
    /// More rows than an answer may have.
    TooMany(Fault),
    Refused(Refused),
}

impl NotCounted {
    pub fn too_many_rows() -> Self {
        let msg = format!("more than {ROWS_MAX} rows; count by a longer time, or from a later one");
        Self::TooMany(Fault::new("value_error", msg).at("by"))
    }
}

/// An object: what was counted by, then how many there are.
pub struct Row(pub Vec<(&'static str, Cell)>);

/// A value in a row.
pub enum Cell {
    /// What many rows share.
    Name(Arc<str>),
    Count(u64),
    /// `None`: there is nothing whose time is told.
    Seconds(Option<f64>),
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_map(Some(self.0.len()))?;
        for (key, cell) in &self.0 {
            match cell {
                Cell::Name(name) => row.serialize_entry(key, &**name)?,
                Cell::Count(count) => row.serialize_entry(key, count)?,
                Cell::Seconds(seconds) => row.serialize_entry(key, &seconds.map(Value::float))?,
            }
        }
        row.end()
    }
}
