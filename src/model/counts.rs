//! How many events of a type came on each of the last days: what conditions count by.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{Time, Zone};

/// Counts of events by type and day, in order. Days are those of UTC, or of the zone that the type is counted in
/// ([`kind_in`]).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DailyCounts(Vec<DailyCount>);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct DailyCount {
    kind: Box<str>,
    /// Days since 1970.
    day: i64,
    count: u64,
}

/// Between a zone and a type: no type holds a control character.
const BEHIND_ZONE: char = '\u{1f}';

/// What the events of a type are counted as, by the days of a zone. With it goes the time of the zone ([`Zone::wall`]).
pub fn kind_in(kind: &str, zone: Zone) -> Cow<'_, str> {
    if zone == Zone::default() { kind.into() } else { format!("{}{BEHIND_ZONE}{kind}", zone.name()).into() }
}

impl DailyCounts {
    /// Counts an event of type `kind`. What is older than `days` is forgotten.
    pub fn add(&mut self, kind: &str, now: Time, days: u64) {
        let today = now.day();
        self.0.retain(|counted| *counted.kind != *kind || is_within(counted.day, today, days));
        *self.entry(kind, today) += 1;
    }

    /// The events of type `kind` in the last `days`, the last of which is today.
    pub fn within(&self, kind: &str, now: Time, days: u64) -> u64 {
        let counted = self.0.iter().filter(|counted| *counted.kind == *kind && is_within(counted.day, now.day(), days));
        counted.map(|counted| counted.count).sum()
    }

    pub fn add_all(&mut self, other: &Self) {
        other.0.iter().for_each(|counted| *self.entry(&counted.kind, counted.day) += counted.count);
    }

    pub fn subtract_all(&mut self, other: &Self) {
        for counted in &other.0 {
            let count = self.entry(&counted.kind, counted.day);
            *count = count.saturating_sub(counted.count);
        }
        self.0.retain(|counted| counted.count > 0);
    }

    /// About what they take in memory.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|counted| 32 + counted.kind.len()).sum()
    }

    fn entry(&mut self, kind: &str, day: i64) -> &mut u64 {
        let place = self.0.binary_search_by(|counted| (&*counted.kind, counted.day).cmp(&(kind, day)));
        let place = place.unwrap_or_else(|place| {
            self.0.insert(place, DailyCount { kind: kind.into(), day, count: 0 });
            place
        });
        &mut self.0[place].count
    }
}

fn is_within(day: i64, today: i64, days: u64) -> bool {
    today.abs_diff(day) < days
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(day: i64) -> Time {
        Time::from_micros(day * 86_400_000_000 + 5)
    }

    #[test]
    fn events_count_for_as_many_days_as_are_asked_for() {
        let mut counts = DailyCounts::default();
        for at in [100, 100, 101, 107] {
            counts.add("a", day(at), 8);
        }
        counts.add("b", day(107), 8);
        let within = |counts: &DailyCounts, days| counts.within("a", day(107), days);
        assert_eq!((within(&counts, 1), within(&counts, 6), within(&counts, 7), within(&counts, 8)), (1, 1, 2, 4));
        assert_eq!(counts.within("a", day(109), 2), 0);
        counts.add("a", day(108), 8);
        assert_eq!(counts.0.len(), 4, "day 100 is forgotten");
        let mut both = counts.clone();
        both.add_all(&counts);
        assert_eq!(within(&both, 7), 6);
        both.subtract_all(&counts);
        assert_eq!(both, counts);
    }

    #[test]
    fn the_days_of_each_zone_are_counted_for_themselves() {
        let zones = ["UTC", "Europe/Warsaw", "America/New_York"].map(|name| Zone::parse(name).unwrap());
        let at = |text: &str| Time::parse(text).unwrap();
        let mut counts = DailyCounts::default();
        for text in ["2026-10-24T21:59:00Z", "2026-10-24T22:01:00Z", "2026-10-25T22:59:00Z", "2026-10-25T23:01:00Z"] {
            zones.iter().for_each(|zone| counts.add(&kind_in("a", *zone), zone.wall(at(text)), 3));
        }
        let today = |text: &str| zones.map(|zone| counts.within(&kind_in("a", zone), zone.wall(at(text)), 1));
        // The 25th has 25 hours in Warsaw: it ends at 23:00 in UTC.
        assert_eq!(today("2026-10-24T23:00:00Z"), [2, 2, 2]);
        assert_eq!(today("2026-10-25T22:59:30Z"), [2, 2, 2]);
        assert_eq!(today("2026-10-25T23:30:00Z"), [2, 1, 2]);
        assert_eq!(today("2026-10-26T03:30:00Z"), [0, 1, 2]);
        assert_eq!(today("2026-10-26T04:30:00Z"), [0, 1, 0]);
        assert_eq!(counts.within("b", at("2026-10-25T23:30:00Z"), 3), 0);
    }
}
