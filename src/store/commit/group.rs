//! What is in the journal, on its way to the log and the views.

use std::sync::Arc;

use super::queue::QueuePermit;

use crate::store::{entry::Entry, log::Block};

/// What the applier is told.
pub enum ApplierMessage {
    Committed(CommittedGroup),
    /// Somebody waits for what is committed, or reported damage.
    Flush,
}

/// A group that is in the journal.
pub struct CommittedGroup {
    /// The offset behind its last entry.
    pub end: u64,
    pub blocks: Vec<CommittedBlock>,
    /// Given back when it is dropped.
    pub _permits: Vec<QueuePermit>,
}

/// A block of a group, with what it was made from.
pub struct CommittedBlock {
    pub block: Block,
    pub raw: Vec<u8>,
    pub entries: Vec<Arc<[Entry]>>,
}
