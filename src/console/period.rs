//! The time that a page is about, and the source, as its address says them.

use std::{ops::RangeInclusive, time::Duration};

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use maud::{Markup, html};

use super::{Asked, Console, Role, Trouble, frame::in_zone};
use crate::model::{Fault, Id, Time};

/// The periods to choose from: word, name, days.
const PERIODS: [(&str, &str, i64); 5] = [
    ("today", "Today", 1),
    ("7d", "7 days", 7),
    ("30d", "30 days", 30),
    ("90d", "90 days", 90),
    ("365d", "A year", 365),
];
const USUAL: &str = "7d";
/// A period of more days than this is shown by days, else by hours.
const DAYS_BY_HOUR: i64 = 2;
/// The years that may be said: what is a day before or behind them can still be written as a time (RFC 3339).
const YEARS: RangeInclusive<i32> = 2..=9998;
/// No period begins before it.
const FIRST_DAY: NaiveDate = NaiveDate::from_ymd_opt(2, 1, 1).unwrap(); // there is such a day, or it does not compile

/// A time from a day's beginning on, up to now or to a day's end.
pub struct Period {
    pub from: Time,
    pub to: Time,
    /// The period before it, as long.
    pub before: (Time, Time),
    /// `hour` or `day`: in which steps it is shown.
    pub step: &'static str,
    pub sources: Vec<Id>,
    /// Known bots do not count.
    pub without_bots: bool,
    pub zone: Tz,
}

impl Period {
    /// The period of an address: `period`, or `from` and `to`, days in the visitor's zone, both inclusive.
    ///
    /// # Errors
    /// One of them is none.
    pub fn read(asked: &Asked, now: Time) -> Result<Self, Trouble> {
        let zone = asked.visitor.zone;
        let today = day_of(now, zone);
        let sources = asked.sources().map(Id::required).collect::<Result<Vec<_>, _>>();
        let sources = sources.map_err(|fault| fault.at("source"))?;
        let without_bots = asked.said(BOTS) == Some(BOTS_OUT);
        let day = |name: &str| match asked.said(name) {
            None => Ok(None),
            Some(text) => {
                let fault = || Fault::new("value_error", "a day is expected, like 2026-11-30").at(name);
                a_day(text).map(Some).ok_or_else(fault)
            }
        };
        let (first, last) = match (day("from")?, day("to")?) {
            (None, None) => {
                let word = asked.said("period").unwrap_or(USUAL);
                let days = PERIODS.iter().find(|(known, ..)| *known == word).map(|(.., days)| *days);
                let days = days.ok_or_else(|| Fault::new("value_error", "no such period").at("period"))?;
                (today - TimeDelta::days(days - 1), today)
            }
            (first, last) => (first.unwrap_or(today), last.unwrap_or(today)),
        };
        if first > last {
            return Err(Fault::new("value_error", "it ends before it begins").at("to").into());
        }
        let days = (last - first).num_days() + 1;
        let (from, to) = (beginning(first, zone), beginning(last + TimeDelta::days(1), zone));
        let before = (beginning((first - TimeDelta::days(days)).max(FIRST_DAY), zone), from);
        // What has not been yet is compared with nothing.
        let ended = to.micros().min(now.micros()) - from.micros();
        let before_to = Time::from_micros(before.0.micros().saturating_add(ended)).min(before.1);
        let step = if days > DAYS_BY_HOUR { "day" } else { "hour" };
        Ok(Self { from, to, before: (before.0, before_to), step, sources, without_bots, zone })
    }

    /// The parameters of a query over it.
    pub fn query(&self) -> Vec<(String, String)> {
        self.query_of(self.from, self.to)
    }

    /// The parameters of a query over the period before it.
    pub fn query_before(&self) -> Vec<(String, String)> {
        self.query_of(self.before.0, self.before.1)
    }

    fn query_of(&self, from: Time, to: Time) -> Vec<(String, String)> {
        let mut query = vec![("from".into(), rfc3339(from)), ("to".into(), rfc3339(to))];
        query.extend(self.sources.iter().map(|source| ("source".into(), source.to_string())));
        query.extend(self.without_bots.then(|| ("bot".into(), "false".into())));
        query
    }

    /// As people say it.
    pub fn name(&self) -> String {
        let last = self.to.earlier(Duration::from_micros(1));
        let (first, last) = (in_zone(self.from, self.zone, "%Y-%m-%d"), in_zone(last, self.zone, "%Y-%m-%d"));
        if first == last { first } else { format!("{first} to {last}") }
    }
}

/// The switch that takes known bots out.
const BOTS: &str = "bots";
const BOTS_OUT: &str = "out";
/// The names under which an address says a period, sources and whether bots count.
pub const NAMES: [&str; 5] = ["period", "from", "to", "source", BOTS];

impl Asked {
    /// The sources that the address says.
    pub fn sources(&self) -> impl Iterator<Item = &str> {
        self.query.pairs().filter(|(name, id)| *name == "source" && !id.trim().is_empty()).map(|(_, id)| id.trim())
    }
}

impl Console {
    /// Where period and source are chosen; `more` are other fields of the same form.
    pub fn choice(&self, asked: &Asked, path: &str, more: &Markup) -> Markup {
        if asked.visitor.role == Role::Guest {
            return html! {}; // the link says it
        }
        let said = asked.said("period").unwrap_or(if asked.said("from").is_some() { "" } else { USUAL });
        html! {
            form.filters method="get" action={ "/console/" (path) } {
                label {
                    "Period"
                    select name="period" {
                        @for (word, name, _) in PERIODS {
                            option value=(word) selected[word == said] { (name) }
                        }
                        @if said.is_empty() { option value="" selected { "Days" } }
                    }
                }
                @if said.is_empty() {
                    label { "From" input type="date" name="from" value=[asked.said("from")]; }
                    label { "To" input type="date" name="to" value=[asked.said("to")]; }
                }
                (self.source_choice(asked))
                label.row.small {
                    input type="checkbox" name=(BOTS) value=(BOTS_OUT) checked[asked.said(BOTS) == Some(BOTS_OUT)];
                    "Without bots"
                }
                (more)
                button.second { "Show" }
            }
        }
    }

    /// Where one or several sources are picked; none is all.
    pub fn source_choice(&self, asked: &Asked) -> Markup {
        let chosen: Vec<&str> = asked.sources().collect();
        let all = self.admin.sources(None);
        let name = match &chosen[..] {
            [] => "All".to_owned(),
            [one] => all.iter().find(|it| *it.source.id.text() == **one).map_or("One", |it| &it.source.name).to_owned(),
            several => format!("{} sources", several.len()),
        };
        html! {
            details.choice {
                summary { "Source: " (name) }
                div {
                    @for found in all {
                        label.row {
                            input type="checkbox" name="source" value=(found.source.id)
                                checked[chosen.contains(&&*found.source.id.text())];
                            (found.source.name)
                        }
                    }
                }
            }
        }
    }
}

/// A day or a time in a zone, as pages show them: `2026-11-30`, `2026-11-30 14:05`; of a day that something ends with, its
/// end. `None`: it is neither.
pub fn day_or_time(text: &str, zone: Tz, is_end: bool) -> Option<Time> {
    if let Some(day) = a_day(text) {
        return Some(beginning(if is_end { day + TimeDelta::days(1) } else { day }, zone));
    }
    let formats = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"];
    let time = formats.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())?;
    let time = Some(time).filter(|time| YEARS.contains(&time.year()))?;
    Some(Time::from_micros(zone.from_local_datetime(&time).earliest()?.timestamp_micros()))
}

/// A moment as a query says it.
pub fn rfc3339(time: Time) -> String {
    in_zone(time, Tz::UTC, "%Y-%m-%dT%H:%M:%S%.6fZ")
}

/// A day of a year that times are known of.
fn a_day(text: &str) -> Option<NaiveDate> {
    NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|day| YEARS.contains(&day.year()))
}

fn day_of(time: Time, zone: Tz) -> NaiveDate {
    chrono::DateTime::from_timestamp_micros(time.micros()).unwrap_or_default().with_timezone(&zone).date_naive()
}

/// When a day begins: where the clock jumps over midnight, at the first moment that there is.
fn beginning(day: NaiveDate, zone: Tz) -> Time {
    let midnight = day.and_time(NaiveTime::MIN);
    let found = (0..=3).find_map(|hours| zone.from_local_datetime(&(midnight + TimeDelta::hours(hours))).earliest());
    let moment = found.map_or_else(|| midnight.and_utc(), |found| found.with_timezone(&Utc));
    Time::from_micros(moment.timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_times_are_read_as_they_are_shown() {
        let read = |text, is_end| day_or_time(text, Tz::Europe__Warsaw, is_end).map(rfc3339);
        assert_eq!(read("2026-11-30", false).as_deref(), Some("2026-11-29T23:00:00.000000Z"));
        assert_eq!(read("2026-11-30", true).as_deref(), Some("2026-11-30T23:00:00.000000Z"));
        assert_eq!(read("2026-11-30 14:05", true).as_deref(), Some("2026-11-30T13:05:00.000000Z"));
        assert_eq!((read("-24h", false), read("30.11.2026", false)), (None, None));
    }

    #[test]
    fn a_day_begins_where_the_zone_says() {
        let day = |text: &str| NaiveDate::parse_from_str(text, "%Y-%m-%d").unwrap();
        let begins = |text, zone| rfc3339(beginning(day(text), zone));
        assert_eq!(begins("2026-11-30", Tz::UTC), "2026-11-30T00:00:00.000000Z");
        assert_eq!(begins("2026-11-30", Tz::Asia__Kathmandu), "2026-11-29T18:15:00.000000Z");
        // The clocks of Santiago go from 24:00 to 01:00.
        assert_eq!(begins("2026-09-06", Tz::America__Santiago), "2026-09-06T04:00:00.000000Z");
    }
}
