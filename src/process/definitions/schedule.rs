//! Schedules: what is set up and due by itself, without a request.

use std::time::Duration;

use chrono::{NaiveDateTime, TimeDelta, TimeZone};
use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};

use crate::model::{Definition, DefinitionKind, Fault, Id, Time, Zone};

const EVERY_MIN: Duration = Duration::from_secs(1);
const EVERY_MAX: Duration = Duration::from_secs(366 * 86_400);

/// When something is due again.
#[derive(Debug)]
pub enum When {
    Every(Duration),
    /// At the minutes that match, by the clocks of the zone.
    Cron {
        cron: Box<Cron>,
        zone: Zone,
        hours: Hours,
    },
}

/// What a pattern says of hours, which decides what becomes of those that come twice or not at all when clocks change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hours {
    /// It names them: what is due in one of them is due once a day, in the first of two, or right behind one that is left
    /// out.
    Named,
    /// It goes on all the time.
    Any,
}

/// The most minutes that clocks left out: Samoa left out a day.
const MINUTES_MISSING_MAX: usize = 24 * 60;

/// Something that is due by itself: a segment, or a workflow.
#[derive(Debug)]
pub struct Schedule {
    pub kind: DefinitionKind,
    pub id: Id,
    /// When it was set up as it is.
    pub saved: Time,
    /// It is due as soon as it is set up.
    pub at_once: bool,
    pub when: Option<When>,
    /// It is about each profile that it wants, not about nobody in particular.
    pub profiles: bool,
}

impl Schedule {
    pub fn new(definition: &Definition, when: Option<When>, at_once: bool, profiles: bool) -> Self {
        let Definition { kind, id, saved, .. } = definition;
        Self { kind: *kind, id: id.clone(), saved: *saved, at_once, when, profiles }
    }
}

impl When {
    /// Reads `30m`, `12h`, `7d`.
    ///
    /// # Errors
    /// It is no such time, or shorter than a second or longer than a year.
    pub fn every(text: &str) -> Result<Self, Fault> {
        let every = super::duration(text)?;
        if (EVERY_MIN..=EVERY_MAX).contains(&every) {
            Ok(Self::Every(every))
        } else {
            Err(Fault::new("value_error", "1s to 366d are expected"))
        }
    }

    /// Reads a pattern of five fields, as crontab(5) describes them.
    ///
    /// # Errors
    /// It is none, or nothing ever matches it.
    pub fn cron(text: &str, zone: Zone) -> Result<Self, Fault> {
        let wrong = |what: String| Fault::new("value_error", format!("not a cron pattern, like 0 3 * * *: {what}"));
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(text).map_err(|error| wrong(error.to_string()))?;
        let when = Self::Cron { cron: Box::new(cron), zone, hours: Hours::of(text) };
        when.next(Time::default()).map(|_| ()).ok_or_else(|| wrong("nothing matches it".into()))?;
        Ok(when)
    }

    /// The first time behind `last`; `None` if there is none.
    pub fn next(&self, last: Time) -> Option<Time> {
        match self {
            Self::Every(every) => Some(last.later(*every)),
            Self::Cron { cron, zone, hours: Hours::Any } => {
                let next = cron.find_next_occurrence(&zone.local(last), false).ok()?;
                Some(Time::from_micros(next.timestamp_micros()))
            }
            Self::Cron { cron, zone, hours: Hours::Named } => {
                let mut shown = zone.local(last).naive_local().and_utc();
                loop {
                    shown = cron.find_next_occurrence(&shown, false).ok()?;
                    let next = first_moment(*zone, shown.naive_utc())?;
                    if next > last {
                        return Some(next);
                    }
                }
            }
        }
    }
}

impl Hours {
    /// Of a pattern that was read: its second field, or a word like `@daily`.
    fn of(pattern: &str) -> Self {
        let any = pattern.split_whitespace().nth(1).map_or(pattern.trim() == "@hourly", |hours| hours.starts_with('*'));
        if any { Self::Any } else { Self::Named }
    }
}

/// When clocks of the zone first show this, or what comes next if they leave it out.
fn first_moment(zone: Zone, shown: NaiveDateTime) -> Option<Time> {
    let minutes = std::iter::successors(Some(shown), |shown| shown.checked_add_signed(TimeDelta::minutes(1)));
    let found =
        minutes.take(MINUTES_MISSING_MAX + 1).find_map(|shown| zone.tz().from_local_datetime(&shown).earliest());
    found.map(|found| Time::from_micros(found.timestamp_micros()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cron(pattern: &str, zone: &str) -> When {
        When::cron(pattern, Zone::parse(zone).unwrap()).unwrap()
    }

    /// The first times behind `from`, to the minute.
    fn times(pattern: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
        let (when, from) = (cron(pattern, zone), Time::parse(from).unwrap());
        // It begins a moment after it is due.
        let next = |last: &Time| when.next(last.later(Duration::from_millis(400)));
        let times = std::iter::successors(when.next(from), next).take(count);
        times.map(|time| time.to_string()[5..16].to_owned()).collect()
    }

    #[test]
    fn a_daily_time_comes_once_a_day_whatever_the_clocks_do() {
        let warsaw = |pattern, from| times(pattern, "Europe/Warsaw", from, 3);
        assert_eq!(warsaw("30 3 * * *", "2026-03-27T12:00:00Z"), ["03-28T02:30", "03-29T01:30", "03-30T01:30"]);
        // Clocks go from 2:00 to 3:00.
        assert_eq!(warsaw("30 2 * * *", "2026-03-27T12:00:00Z"), ["03-28T01:30", "03-29T01:00", "03-30T00:30"]);
        assert_eq!(warsaw("0 2 * * *", "2026-03-27T12:00:00Z"), ["03-28T01:00", "03-29T01:00", "03-30T00:00"]);
        // Clocks go from 3:00 back to 2:00.
        assert_eq!(warsaw("30 2 * * *", "2026-10-23T12:00:00Z"), ["10-24T00:30", "10-25T00:30", "10-26T01:30"]);
        assert_eq!(warsaw("0 3 * * *", "2026-10-23T12:00:00Z"), ["10-24T01:00", "10-25T02:00", "10-26T02:00"]);
        assert_eq!(warsaw("0,30 2 * * *", "2026-10-24T12:00:00Z"), ["10-25T00:00", "10-25T00:30", "10-26T01:00"]);
        assert_eq!(warsaw("0,30 2 * * *", "2026-03-28T12:00:00Z"), ["03-29T01:00", "03-30T00:00", "03-30T00:30"]);
        assert_eq!(warsaw("59 1-2 * * SUN", "2026-03-28T12:00:00Z"), ["03-29T00:59", "03-29T01:00", "04-04T23:59"]);
        // Midnight that there is none of, and two of.
        let times_in = |zone, from| times("0 0 * * *", zone, from, 3);
        assert_eq!(
            times_in("America/Sao_Paulo", "2018-11-02T12:00:00Z"),
            ["11-03T03:00", "11-04T03:00", "11-05T02:00"]
        );
        assert_eq!(times_in("America/Havana", "2026-10-30T12:00:00Z"), ["10-31T04:00", "11-01T04:00", "11-02T05:00"]);
        // By the day of the zone: it is Monday in Auckland before it is in Warsaw.
        assert_eq!(times("0 9 * * MON", "Pacific/Auckland", "2026-06-01T12:00:00Z", 1), ["06-07T21:00"]);
    }

    #[test]
    fn what_is_due_all_the_time_goes_on_while_the_clocks_change() {
        let warsaw = |pattern, from, count| times(pattern, "Europe/Warsaw", from, count);
        assert_eq!(
            warsaw("*/30 * * * *", "2026-10-24T23:50:00Z", 5),
            ["10-25T00:00", "10-25T00:30", "10-25T01:00", "10-25T01:30", "10-25T02:00"]
        );
        assert_eq!(warsaw("*/30 * * * *", "2026-03-29T00:10:00Z", 3), ["03-29T00:30", "03-29T01:00", "03-29T01:30"]);
        assert_eq!(
            warsaw("0 * * * *", "2026-10-24T23:30:00Z", 4),
            ["10-25T00:00", "10-25T01:00", "10-25T02:00", "10-25T03:00"]
        );
    }

    #[test]
    fn times_follow_each_other() {
        let next = |when: &When, last: &str| when.next(Time::parse(last).unwrap()).unwrap().to_string();
        let nightly = cron("30 3 * * *", "UTC");
        assert_eq!(next(&nightly, "2026-11-25T03:29:59.999Z"), "2026-11-25T03:30:00.000000Z");
        assert_eq!(next(&nightly, "2026-11-25T03:30:00Z"), "2026-11-26T03:30:00.000000Z");
        assert_eq!(next(&cron("0 9 29 2 *", "UTC"), "2026-01-01T00:00:00Z"), "2028-02-29T09:00:00.000000Z");
        assert_eq!(next(&cron("0 9 * * MON-FRI", "UTC"), "2026-11-27T09:00:00Z"), "2026-11-30T09:00:00.000000Z");
        assert_eq!(next(&When::every("90s").unwrap(), "2026-11-25T00:00:00Z"), "2026-11-25T00:01:30.000000Z");
        for wrong in ["", "* * * *", "0 0 3 * * *", "61 * * * *", "0 0 30 2 *", "often"] {
            assert!(When::cron(wrong, Zone::default()).is_err(), "{wrong}");
        }
        for wrong in ["", "5", "0s", "999ms", "367d"] {
            assert!(When::every(wrong).is_err(), "{wrong}");
        }
    }
}
