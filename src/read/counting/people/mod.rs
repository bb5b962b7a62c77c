//! Counts of people: funnels and retention. `walk` goes through a person's events in the order of time, `by_time` does so
//! where something was imported.

mod by_time;
mod funnel;
mod retention;
mod walk;

pub use funnel::{FunnelQuery, FunnelStep};
pub use retention::{Cohort, RetentionQuery};
