//! How many people took one step after the other (docs/contract.md, section 13).

use std::{sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    super::median::Durations,
    walk::{ByPerson, Class, Row, RowFilter, walk},
};
use crate::{
    model::{Fault, Time},
    process::{Expression, duration},
    read::{
        Queries,
        filter::Sources,
        parameters::{Parameters, boolean, kind_pattern, moment},
    },
    store::Refused,
};

const STEPS: std::ops::RangeInclusive<usize> = 2..=8;
/// How long all steps may take, unless it is said.
const WITHIN: Duration = Duration::from_secs(7 * 86_400);

/// A query for a funnel.
pub struct FunnelQuery {
    filter: RowFilter,
    within: Duration,
}

impl FunnelQuery {
    /// # Errors
    /// A parameter is unknown or cannot be read; the fault names it.
    pub fn read(mut parameters: Parameters, now: Time) -> Result<Self, Fault> {
        let steps = parameters.all("step");
        if !STEPS.contains(&steps.len()) {
            return Err(Fault::new("value_error", "2 to 8 steps are expected, each an event type").at("step"));
        }
        let classes = steps.iter().map(|step| read_step(step)).collect::<Result<_, _>>();
        let classes = classes.map_err(|fault| fault.at("step"))?;
        let within = parameters.read("within", duration)?.unwrap_or(WITHIN);
        let sources = Sources::read(&mut parameters)?;
        let bot = parameters.read("bot", boolean)?;
        let from = parameters.read("from", |text| moment(text, now))?;
        let to = parameters.read("to", |text| moment(text, now))?;
        parameters.end()?;
        Ok(Self { filter: RowFilter { classes, sources, bot, from, to, now }, within })
    }
}

/// `checkout-started` or `checkout-started[event.properties.price > 10]`.
fn read_step(text: &str) -> Result<Class, Fault> {
    let (kind, condition) = match text.strip_suffix(']').and_then(|text| text.split_once('[')) {
        Some((kind, condition)) => (kind, Some(Arc::new(Expression::compile_over(condition, "event")?.condition()?))),
        None => (text, None),
    };
    Ok(Class { kinds: vec![kind_pattern(kind)?], condition })
}

/// How many came so far.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
pub struct FunnelStep {
    pub step: usize,
    pub profiles: u64,
    /// Of those who took the first step.
    pub share: Option<f64>,
    /// From the step before.
    pub median_seconds: Option<f64>,
}

/// How far each person came.
struct Walked {
    within_micros: i64,
    steps: usize,
    /// By the number of a person: their place among those who took the first step, or [`NO_WAY`].
    places: Vec<u32>,
    /// How many steps each of them came, and for each step that they reached, but the last one, the latest way that came
    /// so far.
    came: Vec<u8>,
    reached: Vec<Reached>,
    /// How many people reached each step, and how long that first took each of them from the step before.
    profiles: Vec<u64>,
    took: Vec<Durations>,
}

const NO_WAY: u32 = u32::MAX;

#[derive(Clone, Copy, Default)]
struct Reached {
    /// When the first step of that way was taken.
    begun: Time,
    at: Time,
}

impl Walked {
    fn new(within: Duration, steps: usize) -> Self {
        Self {
            within_micros: i64::try_from(within.as_micros()).unwrap_or(i64::MAX),
            steps,
            places: Vec::new(),
            came: Vec::new(),
            reached: Vec::new(),
            profiles: vec![0; steps],
            took: (0..steps).map(|_| Durations::default()).collect(),
        }
    }

    /// How many steps `reached` has of each: nothing comes behind the last one that would look at it.
    fn kept_steps(&self) -> usize {
        self.steps - 1
    }

    fn steps(self) -> Vec<FunnelStep> {
        let first = self.profiles.first().copied().unwrap_or(0);
        let steps = self.profiles.into_iter().zip(self.took).enumerate().map(|(step, (profiles, took))| {
            let share = (first > 0).then(|| profiles as f64 / first as f64);
            FunnelStep { step: step + 1, profiles, share, median_seconds: took.median_seconds() }
        });
        steps.collect()
    }
}

impl ByPerson for Walked {
    fn reserve(&mut self, people: usize) {
        self.places.reserve_exact(people);
        self.came.reserve_exact(people);
        self.reached.reserve_exact(people * self.kept_steps());
    }

    fn see(&mut self, row: Row) {
        let (person, kept) = (row.person as usize, self.kept_steps());
        if self.places.len() <= person {
            self.places.resize(person + 1, NO_WAY);
        }
        if self.places[person] == NO_WAY {
            if row.classes & 1 == 0 {
                return; // who did not take the first step took none
            }
            self.places[person] = u32::try_from(self.came.len()).unwrap_or(NO_WAY);
            self.came.push(0);
            self.reached.resize(self.reached.len() + kept, Reached::default());
        }
        let place = self.places[person] as usize;
        let came = &mut self.came[place];
        let reached = &mut self.reached[place * kept..][..kept];
        // The last step first, so that one event is not two steps.
        let mut classes = row.classes;
        while classes > 0 {
            let step = classes.ilog2() as usize;
            classes ^= 1 << step;
            let before = match step.checked_sub(1) {
                None => Reached { begun: row.time, at: row.time },
                Some(before) if before < usize::from(*came) => reached[before],
                Some(_) => continue,
            };
            if row.time.micros() - before.begun.micros() > self.within_micros {
                continue;
            }
            if step == usize::from(*came) {
                *came += 1;
                self.profiles[step] += 1;
                if step > 0 {
                    self.took[step].push(row.time.micros() - before.at.micros());
                }
            }
            if let Some(reached) = reached.get_mut(step) {
                *reached = Reached { begun: before.begun, at: row.time };
            }
        }
    }

    fn end_part(&mut self) {
        self.places.clear();
        self.came.clear();
        self.reached.clear();
    }
}

impl Queries {
    /// How many people took the steps one after the other, all within the time that the first one began.
    pub async fn funnel(&self, query: FunnelQuery) -> Result<Vec<FunnelStep>, Refused> {
        let view = self.settled_view().await?;
        let room = self.people.take(&view, query.filter.from, query.filter.to).await?;
        let _turn = self.turn().await?;
        let steps = query.filter.classes.len();
        let walked = Walked::new(query.within, steps);
        Ok(walk(&view, Arc::new(query.filter), room, walked).await?.steps())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Person, second and classes.
    fn funnel(steps: usize, within: u64, rows: &[(u32, i64, u16)]) -> Vec<u64> {
        let mut walked = Walked::new(Duration::from_secs(within), steps);
        for (person, second, classes) in rows {
            walked.see(Row { time: Time::from_micros(second * 1_000_000), person: *person, classes: *classes });
        }
        walked.steps().into_iter().map(|step| step.profiles).collect()
    }

    #[test]
    fn steps_count_in_their_order_and_in_time() {
        assert_eq!(funnel(2, 10, &[(1, 0, 1), (1, 5, 2), (2, 0, 2), (2, 1, 1), (3, 0, 1), (3, 11, 2)]), [3, 1]);
        // A later beginning counts, and an earlier one is not forgotten for it.
        assert_eq!(funnel(3, 10, &[(1, 0, 1), (1, 8, 1), (1, 9, 2), (1, 17, 4)]), [1, 1, 1]);
        assert_eq!(funnel(3, 10, &[(1, 0, 1), (1, 2, 2), (1, 8, 1), (1, 9, 4)]), [1, 1, 1]);
        // One event is one step.
        assert_eq!(funnel(2, 10, &[(1, 0, 3)]), [1, 0]);
        assert_eq!(funnel(2, 10, &[(1, 0, 3), (1, 1, 3)]), [1, 1]);
    }
}
