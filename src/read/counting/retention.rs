//! How many people came back, by when they came first (contract, section 13).

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    calendar::{self, Calendar, Unit},
    walk::{Class, Row, RowFilter, walk},
};
use crate::{
    model::{Fault, Id, Time},
    read::{
        Queries,
        parameters::{Parameters, kind_pattern, moment},
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
        let source = parameters.read("source", Id::required)?;
        let from = parameters.read("from", |text| moment(text, now))?;
        let to = parameters.read("to", |text| moment(text, now))?;
        let zone = parameters.read("tz", calendar::zone)?.unwrap_or(Tz::UTC);
        parameters.end()?;
        Ok(Self { filter: RowFilter { classes, source, from, to, now }, unit, zone })
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
    /// The beginning of each period that was met, to its place among them.
    people: HashMap<u32, (Time, Vec<Time>)>,
}

impl Seen {
    fn see(&mut self, row: Row) {
        let period = self.calendar.start(row.time);
        if row.classes & FIRST > 0 {
            self.people.entry(row.person).or_insert_with(|| (period, Vec::new()));
        }
        if row.classes & AGAIN > 0
            && let Some((first, again)) = self.people.get_mut(&row.person)
            && period > *first
            && again.last() != Some(&period)
        {
            again.push(period);
        }
    }

    fn cohorts(mut self, now: Time) -> Vec<Cohort> {
        let Some(first) = self.people.values().map(|(first, _)| *first).min() else { return Vec::new() };
        let mut periods = vec![first];
        while let Some(last) = periods.last().copied().filter(|last| self.calendar.next(*last) <= now)
            && periods.len() < PERIODS_MAX
        {
            periods.push(self.calendar.next(last));
        }
        let place: HashMap<Time, usize> = periods.iter().copied().zip(0..).collect();
        let mut cohorts: BTreeMap<usize, (u64, Vec<u64>)> = BTreeMap::new();
        for (first, again) in self.people.values() {
            let Some(cohort) = place.get(first).copied() else { continue };
            let later = periods.len() - 1 - cohort;
            let (profiles, counts) = cohorts.entry(cohort).or_insert_with(|| (0, vec![0; later]));
            *profiles += 1;
            for period in again.iter().filter_map(|period| place.get(period)) {
                counts[period - cohort - 1] += 1;
            }
        }
        let shown = cohorts.into_iter().map(|(place, (profiles, again))| {
            let cohort = self.calendar.name(periods[place]);
            Cohort { cohort, profiles, again }
        });
        shown.collect()
    }
}

impl Queries {
    /// How many people came back in each period behind the one in which they came first.
    pub async fn retention(&self, query: RetentionQuery) -> Result<Vec<Cohort>, Refused> {
        let _turn = self.turn().await?;
        let view = self.settled_view().await?;
        let now = query.filter.to.map_or(query.filter.now, |to| to.min(query.filter.now));
        let seen = Seen { calendar: Calendar::new(query.zone, query.unit), people: HashMap::new() };
        Ok(walk(&view, Arc::new(query.filter), seen, Seen::see).await?.cohorts(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_count_where_they_came_first_and_once_in_each_later_period() {
        let mut seen = Seen { calendar: Calendar::new(Tz::UTC, Unit::Day), people: HashMap::new() };
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
