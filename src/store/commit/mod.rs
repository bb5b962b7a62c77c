//! How entries become durable and known: what requests push, in one order, on its way to the journal and the views.
//!
//! ```text
//! locks      requests of one name take effect one after another
//! queue      what they push, with the overlay that shows it to the next ones
//! committer  a thread: one frame of the journal for all that is queued, then the answers
//! applier    a thread: what is in the journal goes into the log and the views
//! ```

mod applier;
mod committer;
mod group;
mod locks;
mod overlay;
mod queue;

pub(super) use applier::Applier;
pub(super) use committer::{CommitCounts, Committer};
pub(super) use group::CommittedGroups;
pub(super) use locks::Locks;
pub(super) use queue::{Generation, Queue};

pub use locks::Held;
pub use queue::{Moment, Pending, QueueFigures, QueuePermit};
