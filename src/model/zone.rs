//! Time zones: where a day begins and what clocks show.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::{Fault, Time};

/// A zone of the IANA's database; UTC unless something else is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Zone(Tz);

impl Default for Zone {
    fn default() -> Self {
        Self(Tz::UTC)
    }
}

impl Zone {
    /// # Errors
    /// There is none of this name.
    pub fn parse(name: &str) -> Result<Self, Fault> {
        let wrong = |_| Fault::new("value_error", "an IANA zone is expected, like Europe/Warsaw");
        name.parse().map(Self).map_err(wrong)
    }

    pub fn tz(self) -> Tz {
        self.0
    }

    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// What clocks of the zone show at a moment.
    pub fn local(self, time: Time) -> DateTime<Tz> {
        DateTime::<Utc>::from_timestamp_micros(time.micros()).unwrap_or_default().with_timezone(&self.0)
    }

    /// The moment at which clocks of UTC show what those of the zone show at `time`: its day is the zone's.
    pub fn wall(self, time: Time) -> Time {
        if self.0 == Tz::UTC {
            time
        } else {
            Time::from_micros(self.local(time).naive_local().and_utc().timestamp_micros())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_where_the_clocks_of_the_zone_say() {
        let day = |zone: &str, time: &str| Zone::parse(zone).unwrap().wall(Time::parse(time).unwrap()).day();
        let first = Time::parse("2026-03-28T00:00:00Z").unwrap().day();
        for (zone, time, days) in [
            ("UTC", "2026-03-28T23:59:59Z", 0),
            ("Europe/Warsaw", "2026-03-28T22:59:59Z", 0),
            ("Europe/Warsaw", "2026-03-28T23:00:00Z", 1),
            ("Europe/Warsaw", "2026-03-29T21:59:59Z", 1), // a day of 23 hours
            ("Europe/Warsaw", "2026-03-29T22:00:00Z", 2),
            ("America/New_York", "2026-03-28T03:59:59Z", -1),
            ("Pacific/Kiritimati", "2026-03-28T10:00:00Z", 1),
        ] {
            assert_eq!(day(zone, time), first + days, "{zone} {time}");
        }
        for wrong in ["", "Warsaw", "+02:00", "europe/warsaw "] {
            assert!(Zone::parse(wrong).is_err(), "{wrong}");
        }
    }
}
