//! Stretches of time as people in some zone count them: hours, days, weeks, months.

use std::ops::Range;

use chrono::{
    DateTime, Datelike, Days, LocalResult, Months, NaiveDate, NaiveTime, SecondsFormat, TimeDelta, TimeZone, Timelike,
    Utc,
};
use chrono_tz::Tz;

use crate::model::{Fault, Time, Zone};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Minute,
    Hour,
    Day,
    /// From Monday on (ISO 8601).
    Week,
    Month,
}

/// A zone of the IANA's database.
///
/// # Errors
/// There is none of this name.
pub fn zone(name: &str) -> Result<Tz, Fault> {
    Zone::parse(name).map(Zone::tz)
}

/// Finds the stretch of a moment; fast for moments near each other.
pub struct Calendar {
    zone: Tz,
    unit: Unit,
    /// The stretch that was found last.
    last: Range<Time>,
}

impl Calendar {
    pub fn new(zone: Tz, unit: Unit) -> Self {
        Self { zone, unit, last: Time::default()..Time::default() }
    }

    /// The beginning of the stretch that `time` lies in.
    pub fn start(&mut self, time: Time) -> Time {
        self.stretch(time).start
    }

    /// The beginning of the stretch behind the one that `time` lies in.
    pub fn next(&mut self, time: Time) -> Time {
        self.stretch(time).end
    }

    /// The beginnings of the stretches from the one that `first` lies in, if there is any, to those before `end`.
    pub fn starts(&mut self, first: Option<Time>, end: Time) -> impl Iterator<Item = Time> + '_ {
        let start = first.map(|first| self.start(first));
        let next = move |at: &Time| Some(self.next(*at)).filter(|next| next > at);
        std::iter::successors(start, next).take_while(move |at| *at < end)
    }

    /// How the stretch that begins at `start` is called: the date of its first day, or the time at which it begins.
    pub fn name(&self, start: Time) -> String {
        let local = self.local(start);
        match self.unit {
            Unit::Minute | Unit::Hour => local.to_rfc3339_opts(SecondsFormat::Secs, true),
            Unit::Day | Unit::Week | Unit::Month => local.date_naive().to_string(),
        }
    }

    fn stretch(&mut self, time: Time) -> Range<Time> {
        if !self.last.contains(&time) {
            self.last = self.find(time);
        }
        self.last.clone()
    }

    fn find(&self, time: Time) -> Range<Time> {
        let local = self.local(time);
        let seconds = |start: DateTime<Tz>, length: i64| {
            let start = moment(start);
            start..Time::from_micros(start.micros() + length * 1_000_000)
        };
        let today = local.date_naive();
        let first = match self.unit {
            Unit::Minute => return seconds(floored(local, 60), 60),
            // Where clocks are put back, the hour that comes twice is two.
            Unit::Hour => return seconds(floored(local, 3_600), 3_600),
            Unit::Day => today,
            Unit::Week => today - Days::new(local.weekday().num_days_from_monday().into()),
            Unit::Month => today.with_day(1).unwrap_or(today),
        };
        let behind = match self.unit {
            Unit::Week => first.checked_add_days(Days::new(7)),
            Unit::Month => first.checked_add_months(Months::new(1)),
            _ => first.checked_add_days(Days::new(1)),
        };
        self.midnight(first)..self.midnight(behind.unwrap_or(NaiveDate::MAX))
    }

    fn local(&self, time: Time) -> DateTime<Tz> {
        DateTime::<Utc>::from_timestamp_micros(time.micros()).unwrap_or_default().with_timezone(&self.zone)
    }

    /// When a day begins: its midnight, the earlier one where there are two, or the first moment that there is.
    fn midnight(&self, day: NaiveDate) -> Time {
        let mut at = day.and_time(NaiveTime::MIN);
        for _ in 0..=QUARTERS_MISSING_MAX {
            match self.zone.from_local_datetime(&at) {
                LocalResult::Single(found) | LocalResult::Ambiguous(found, _) => return moment(found),
                LocalResult::None => at += TimeDelta::minutes(15),
            }
        }
        moment(Utc.from_utc_datetime(&at).with_timezone(&self.zone)) // a zone that left out a whole day
    }
}

/// How many quarters of an hour a zone may leave out: it never left out more than a day.
const QUARTERS_MISSING_MAX: usize = 24 * 4;

/// The moment at which the local clock last showed a whole number of `seconds` in its hour.
fn floored(local: DateTime<Tz>, seconds: u32) -> DateTime<Tz> {
    let within = (local.minute() * 60 + local.second()) % seconds;
    local - TimeDelta::seconds(within.into()) - TimeDelta::nanoseconds(local.nanosecond().into())
}

fn moment(time: DateTime<Tz>) -> Time {
    Time::from_micros(time.timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(zone_name: &str, unit: Unit, from: &str, count: usize) -> Vec<String> {
        let mut calendar = Calendar::new(zone(zone_name).unwrap(), unit);
        let mut at = calendar.start(Time::parse(from).unwrap());
        let mut names = Vec::new();
        for _ in 0..count {
            names.push(calendar.name(at));
            at = calendar.next(at);
        }
        names
    }

    #[test]
    fn days_are_those_of_the_zone() {
        assert_eq!(names("Europe/Warsaw", Unit::Day, "2026-03-28T23:30:00Z", 2), ["2026-03-29", "2026-03-30"]);
        assert_eq!(names("Asia/Kathmandu", Unit::Day, "2026-01-01T18:14:59Z", 1), ["2026-01-01"]);
        assert_eq!(names("Asia/Kathmandu", Unit::Day, "2026-01-01T18:15:00Z", 1), ["2026-01-02"]);
        assert_eq!(names("UTC", Unit::Week, "2026-11-29T12:00:00Z", 2), ["2026-11-23", "2026-11-30"]);
        assert_eq!(names("UTC", Unit::Month, "2026-11-29T12:00:00Z", 3), ["2026-11-01", "2026-12-01", "2027-01-01"]);
    }

    #[test]
    fn a_day_is_as_long_as_the_clock_makes_it() {
        let day = |from: &str| {
            let mut calendar = Calendar::new(zone("Europe/Warsaw").unwrap(), Unit::Day);
            let start = calendar.start(Time::parse(from).unwrap());
            calendar.next(start).seconds_since(start) / 3_600.0
        };
        assert_eq!(
            (day("2026-03-29T10:00:00Z"), day("2026-10-25T10:00:00Z"), day("2026-11-01T10:00:00Z")),
            (23.0, 25.0, 24.0)
        );
    }

    #[test]
    fn an_hour_that_comes_twice_is_two() {
        assert_eq!(
            names("Europe/Warsaw", Unit::Hour, "2026-10-25T00:10:00Z", 3),
            ["2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00"]
        );
    }

    #[test]
    fn where_there_is_no_midnight_the_day_begins_behind_it() {
        // Brazil put its clocks forward at midnight.
        let mut calendar = Calendar::new(zone("America/Sao_Paulo").unwrap(), Unit::Day);
        let start = calendar.start(Time::parse("2018-11-04T12:00:00Z").unwrap());
        assert_eq!((start, calendar.name(start)), (Time::parse("2018-11-04T03:00:00Z").unwrap(), "2018-11-04".into()));
        let samoa = names("Pacific/Apia", Unit::Day, "2011-12-29T12:00:00Z", 2);
        assert_eq!(samoa[0], "2011-12-29");
    }
}
