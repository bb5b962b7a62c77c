//! How many people came back, by when they came first (docs/contract.md, section 13).

use std::{collections::BTreeMap, sync::Arc};

use chrono_tz::Tz;
use foldhash::HashMap;
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    super::calendar::{self, Calendar, Unit},
    walk::{ByPerson, Class, Row, RowFilter, walk},
};
use crate::{
    model::{Fault, Time},
    read::{
        Queries,
        filter::Sources,
        parameters::{Parameters, boolean, kind_pattern, moment},
    },
    store::Refused,
};

/// The most periods that are looked at.
const PERIODS_MAX: usize = 400;
/// The classes of rows.
const FIRST: u16 = 1;
const AGAIN: u16 = 2;

/// A query for retention.
pub struct RetentionQuery {
    filter: RowFilter,
    unit: Unit,
    zone: Tz,
}

impl RetentionQuery {
    /// # Errors
    /// A parameter is unknown or cannot be read; the fault names it.
    pub fn read(mut parameters: Parameters, now: Time) -> Result<Self, Fault> {
        let unit = parameters.read("by", |by| match by {
            "day" => Ok(Unit::Day),
            "week" => Ok(Unit::Week),
            "month" => Ok(Unit::Month),
            _ => Err(Fault::new("value_error", "day, week or month is expected")),
        })?;
        let unit = unit.ok_or_else(|| Fault::missing().at("by"))?;
        let mut class = |name| -> Result<Class, Fault> {
            let kind = parameters.read(name, kind_pattern)?;
            Ok(Class { kinds: kind.into_iter().collect(), condition: None })
        };
        let classes = vec![class("first")?, class("again")?];
        let sources = Sources::read(&mut parameters)?;
        let bot = parameters.read("bot", boolean)?;
        let from = parameters.read("from", |text| moment(text, now))?;
        let to = parameters.read("to", |text| moment(text, now))?;
        let zone = parameters.read("tz", calendar::zone)?.unwrap_or(Tz::UTC);
        parameters.end()?;
        Ok(Self { filter: RowFilter { classes, sources, bot, from, to, now }, unit, zone })
    }
}

/// Those who came first within a period.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
pub struct Cohort {
    /// The first day of the period.
    pub cohort: String,
    pub profiles: u64,
    /// How many came back in each later period, up to now.
    pub again: Vec<u64>,
}

/// When each person came first and again.
struct Seen {
    calendar: Calendar,
    /// The beginning of each period that was met, and its place among them; the one that was met last.
    periods: Vec<Time>,
    places: HashMap<Time, u32>,
    last: (Time, u32),
    /// By the number of a person: the period in which they came first and the one in which they came last, or [`NEVER`].
    people: Vec<(u32, u32)>,
    /// How many came first in a period, and how many of them again in another one.
    first: HashMap<u32, u64>,
    again: HashMap<(u32, u32), u64>,
}

const NEVER: u32 = u32::MAX;

impl Seen {
    fn new(calendar: Calendar) -> Self {
        Self {
            calendar,
            periods: Vec::new(),
            places: HashMap::default(),
            last: (Time::default(), NEVER),
            people: Vec::new(),
            first: HashMap::default(),
            again: HashMap::default(),
        }
    }

    /// The place of the period that `time` lies in.
    fn period(&mut self, time: Time) -> u32 {
        let start = self.calendar.start(time);
        if self.last.1 == NEVER || self.last.0 != start {
            let next = u32::try_from(self.periods.len()).unwrap_or(NEVER);
            let place = *self.places.entry(start).or_insert(next);
            if place == next {
                self.periods.push(start);
            }
            self.last = (start, place);
        }
        self.last.1
    }

    fn cohorts(mut self, now: Time) -> Vec<Cohort> {
        let begun = |period: u32| self.periods[period as usize];
        let Some(first) = self.first.keys().map(|period| begun(*period)).min() else { return Vec::new() };
        let mut periods = vec![first];
        while let Some(last) = periods.last().copied().filter(|last| self.calendar.next(*last) <= now)
            && periods.len() < PERIODS_MAX
        {
            periods.push(self.calendar.next(last));
        }
        let place: HashMap<Time, usize> = periods.iter().copied().zip(0..).collect();
        let mut cohorts: BTreeMap<usize, (u64, Vec<u64>)> = BTreeMap::new();
        for (period, profiles) in &self.first {
            if let Some(cohort) = place.get(&begun(*period)) {
                cohorts.insert(*cohort, (*profiles, vec![0; periods.len() - 1 - cohort]));
            }
        }
        for ((first, period), profiles) in &self.again {
            let places = place.get(&begun(*first)).zip(place.get(&begun(*period)));
            let Some((cohort, later)) = places.filter(|(cohort, later)| later > cohort) else { continue };
            if let Some((_, again)) = cohorts.get_mut(cohort) {
                again[later - cohort - 1] += profiles;
            }
        }
        let shown = cohorts.into_iter().map(|(place, (profiles, again))| {
            let cohort = self.calendar.name(periods[place]);
            Cohort { cohort, profiles, again }
        });
        shown.collect()
    }
}

impl ByPerson for Seen {
    fn reserve(&mut self, people: usize) {
        self.people.reserve_exact(people);
    }

    fn see(&mut self, row: Row) {
        let period = self.period(row.time);
        let person = row.person as usize;
        if self.people.len() <= person {
            self.people.resize(person + 1, (NEVER, NEVER));
        }
        let (first, last) = &mut self.people[person];
        if row.classes & FIRST > 0 && *first == NEVER {
            (*first, *last) = (period, period);
            *self.first.entry(period).or_default() += 1;
        }
        if row.classes & AGAIN > 0 && *first != NEVER && *last != period {
            *last = period;
            *self.again.entry((*first, period)).or_default() += 1;
        }
    }

    fn end_part(&mut self) {
        self.people.clear();
    }
}

impl Queries {
    /// How many people came back in each period behind the one in which they came first.
    pub async fn retention(&self, query: RetentionQuery) -> Result<Vec<Cohort>, Refused> {
        let view = self.settled_view().await?;
        let room = self.people.take(&view, query.filter.from, query.filter.to).await?;
        let _turn = self.turn().await?;
        let now = query.filter.to.map_or(query.filter.now, |to| to.min(query.filter.now));
        let seen = Seen::new(Calendar::new(query.zone, query.unit));
        Ok(walk(&view, Arc::new(query.filter), room, seen).await?.cohorts(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_count_where_they_came_first_and_once_in_each_later_period() {
        let mut seen = Seen::new(Calendar::new(Tz::UTC, Unit::Day));
        let day = 86_400_000_000;
        for (person, day_of, classes) in
            [(1, 0, 3), (2, 0, 3), (1, 1, 2), (1, 1, 2), (3, 1, 3), (2, 2, 2), (1, 2, 2), (4, 2, 2), (3, 2, 1)]
        {
            seen.see(Row { time: Time::from_micros(day_of * day + 5), person, classes });
        }
        let cohorts = seen.cohorts(Time::from_micros(2 * day + 6));
        let cohort = |cohort: &str, profiles, again| Cohort { cohort: cohort.into(), profiles, again };
        assert_eq!(cohorts, [cohort("1970-01-01", 2, vec![1, 2]), cohort("1970-01-02", 1, vec![0])]);
    }
}
