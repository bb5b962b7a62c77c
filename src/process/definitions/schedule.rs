//! Schedules: what is set up and due by itself, without a request.

use std::time::Duration;

use chrono::{DateTime, Utc};
use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};

use crate::model::{Definition, DefinitionKind, Fault, Id, Time};

const EVERY_MIN: Duration = Duration::from_secs(1);
const EVERY_MAX: Duration = Duration::from_secs(366 * 86_400);

/// When something is due again.
#[derive(Debug)]
pub enum When {
    Every(Duration),
    /// At the minutes that match, in UTC.
    Cron(Box<Cron>),
}

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
    pub fn cron(text: &str) -> Result<Self, Fault> {
        let wrong = |what: String| Fault::new("value_error", format!("not a cron pattern, like 0 3 * * *: {what}"));
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(text).map_err(|error| wrong(error.to_string()))?;
        let when = Self::Cron(Box::new(cron));
        when.next(Time::default()).map(|_| ()).ok_or_else(|| wrong("nothing matches it".into()))?;
        Ok(when)
    }

    /// The first time behind `last`; `None` if there is none.
    pub fn next(&self, last: Time) -> Option<Time> {
        match self {
            Self::Every(every) => Some(last.later(*every)),
            Self::Cron(cron) => {
                let last: DateTime<Utc> = DateTime::from_timestamp_micros(last.micros())?;
                let next = cron.find_next_occurrence(&last, false).ok()?;
                Some(Time::from_micros(next.timestamp_micros()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_follow_each_other() {
        let next = |when: &When, last: &str| when.next(Time::parse(last).unwrap()).unwrap().to_string();
        let nightly = When::cron("30 3 * * *").unwrap();
        assert_eq!(next(&nightly, "2026-11-25T03:29:59.999Z"), "2026-11-25T03:30:00.000000Z");
        assert_eq!(next(&nightly, "2026-11-25T03:30:00Z"), "2026-11-26T03:30:00.000000Z");
        assert_eq!(next(&When::cron("0 9 29 2 *").unwrap(), "2026-01-01T00:00:00Z"), "2028-02-29T09:00:00.000000Z");
        assert_eq!(
            next(&When::cron("0 9 * * MON-FRI").unwrap(), "2026-11-27T09:00:00Z"),
            "2026-11-30T09:00:00.000000Z"
        );
        assert_eq!(next(&When::every("90s").unwrap(), "2026-11-25T00:00:00Z"), "2026-11-25T00:01:30.000000Z");
        for wrong in ["", "* * * *", "0 0 3 * * *", "61 * * * *", "0 0 30 2 *", "often"] {
            assert!(When::cron(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "5", "0s", "999ms", "367d"] {
            assert!(When::every(wrong).is_err(), "{wrong}");
        }
    }
}
