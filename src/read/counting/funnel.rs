//! How many people took one step after the other (contract, section 13).

use std::{collections::HashMap, sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::Serialize;

use super::walk::{Class, Row, RowFilter, walk};
use crate::{
    model::{Fault, Id, Time},
    process::{Expression, duration},
    read::{
        Queries,
        parameters::{Parameters, kind_pattern, moment},
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
        let source = parameters.read("source", Id::required)?;
        let from = parameters.read("from", |text| moment(text, now))?;
        let to = parameters.read("to", |text| moment(text, now))?;
        parameters.end()?;
        Ok(Self { filter: RowFilter { classes, source, from, to, now }, within })
    }
}

/// `checkout-started` or `checkout-started[event.properties.price > 10]`.
fn read_step(text: &str) -> Result<Class, Fault> {
    let (kind, condition) = match text.strip_suffix(']').and_then(|text| text.split_once('[')) {
        Some((kind, condition)) => (kind, Some(Arc::new(Expression::compile_over(condition, "event")?))),
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
    within: Duration,
    steps: usize,
    people: HashMap<u32, Way>,
}

/// A person's way: for each step the latest way that came so far.
#[derive(Default)]
struct Way {
    reached: Vec<Reached>,
    /// From the step before to each, when it was reached first.
    seconds: Vec<f64>,
}

#[derive(Clone, Copy)]
struct Reached {
    /// When the first step of that way was taken.
    begun: Time,
    at: Time,
}

impl Walked {
    fn see(&mut self, row: Row) {
        if row.classes & 1 == 0 && !self.people.contains_key(&row.person) {
            return; // who did not take the first step took none
        }
        let way = self.people.entry(row.person).or_default();
        // The last step first, so that one event is not two steps.
        for step in (0..self.steps).rev().filter(|step| row.classes >> step & 1 == 1) {
            let reached = match step.checked_sub(1) {
                None => Some(Reached { begun: row.time, at: row.time }),
                Some(before) => way
                    .reached
                    .get(before)
                    .filter(|before| row.time <= before.begun.later(self.within))
                    .map(|before| Reached { begun: before.begun, at: row.time }),
            };
            let Some(reached) = reached else { continue };
            if step < way.reached.len() {
                way.reached[step] = reached;
            } else if step == way.reached.len() {
                let before = way.reached.last().map_or(row.time, |before| before.at);
                way.seconds.push(row.time.seconds_since(before));
                way.reached.push(reached);
            }
        }
    }

    fn steps(self) -> Vec<FunnelStep> {
        let first = self.people.len() as f64;
        let step = |step: usize| {
            let mut seconds: Vec<f64> = self.people.values().filter_map(|way| way.seconds.get(step).copied()).collect();
            let profiles = seconds.len() as u64;
            let share = (first > 0.0).then(|| profiles as f64 / first);
            let median_seconds = if step > 0 { median(&mut seconds) } else { None };
            FunnelStep { step: step + 1, profiles, share, median_seconds }
        };
        (0..self.steps).map(step).collect()
    }
}

/// The middle one, or the mean of the two in the middle.
fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    Some(if values.len().is_multiple_of(2) { (values[middle - 1] + upper) / 2.0 } else { upper })
}

impl Queries {
    /// How many people took the steps one after the other, all within the time that the first one began.
    pub async fn funnel(&self, query: FunnelQuery) -> Result<Vec<FunnelStep>, Refused> {
        let _turn = self.turn().await?;
        let view = self.settled_view().await?;
        let steps = query.filter.classes.len();
        let walked = Walked { within: query.within, steps, people: HashMap::new() };
        Ok(walk(&view, Arc::new(query.filter), walked, Walked::see).await?.steps())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Person, second and classes.
    fn funnel(steps: usize, within: u64, rows: &[(u32, i64, u16)]) -> Vec<u64> {
        let mut walked = Walked { within: Duration::from_secs(within), steps, people: HashMap::new() };
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

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&mut []), None);
    }
}
