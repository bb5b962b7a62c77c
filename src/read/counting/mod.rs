//! How many there were (contract, section 13), from the indexes of segments: `events` counts events, `top` by what they
//! tell; `visits` counts visits, which `whole_visits` goes through; `funnel` and `retention` count people, whose rows `walk`
//! goes through, and `by_time` where something was imported, as `scattered` has the visits of which something was.
//! `persons` has a number for everybody, `terms` says which events are meant, `calendar` when days begin.

mod blocks;
mod by_time;
mod calendar;
mod events;
mod funnel;
mod median;
mod persons;
mod retention;
mod rows;
mod scattered;
mod terms;
mod top;
mod values;
mod visits;
mod walk;
mod whole_visits;

pub use events::CountQuery;
pub use funnel::{FunnelQuery, FunnelStep};
pub use retention::{Cohort, RetentionQuery};
pub use rows::{Counts, NotCounted, Row};
pub use top::{Often, Other, Top, TopQuery, TopRow};
pub use visits::VisitsQuery;
