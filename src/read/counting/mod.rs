//! How many there were (docs/contract.md, section 13), from the indexes of segments: `events` counts events, `top` by
//! what they tell, `visits` counts visits and `people` people. `persons` has a number for everybody, `terms` says which
//! events are meant, `calendar` when days begin.

mod blocks;
mod calendar;
mod events;
mod median;
mod people;
mod persons;
mod rows;
mod terms;
mod top;
mod values;
mod visits;

pub use events::CountQuery;
pub use people::{Cohort, FunnelQuery, FunnelStep, RetentionQuery};
pub use persons::PeopleRoom;
pub use rows::{Counts, NotCounted, Row};
pub use top::{Often, Other, Top, TopQuery, TopRow};
pub use visits::VisitsQuery;
