//! What is in the journal, on its way to the log and the views.

use std::sync::Arc;

use super::{block::Block, entry::Entry, queue::Room};

/// What the applier is told.
pub enum Word {
    Committed(Committed),
    /// Somebody waits for what is committed, or has doubts.
    Hurry,
}

/// A group that is in the journal.
pub struct Committed {
    /// The offset behind its last entry.
    pub end: u64,
    pub stretches: Vec<Stretch>,
    /// Given back when it is dropped.
    pub _rooms: Vec<Room>,
}

/// A block of a group, with what it was made from.
pub struct Stretch {
    pub block: Block,
    pub raw: Vec<u8>,
    pub entries: Vec<Arc<[Entry]>>,
}
