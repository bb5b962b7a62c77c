//! How many there were (contract, section 13): `events` counts events from the indexes alone, `funnel` and `retention`
//! people, whose rows `walk` goes through with the numbers that `persons` gives them. `calendar` knows when days begin.

mod calendar;
mod events;
mod funnel;
mod persons;
mod retention;
mod walk;

pub use events::{CountQuery, Counts, NotCounted};
pub use funnel::{FunnelQuery, FunnelStep};
pub use retention::{Cohort, RetentionQuery};
