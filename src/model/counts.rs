//! How many events of a type came on each of the last days: what conditions count by.

use serde::{Deserialize, Serialize};

use super::Time;

/// Counts of events by type and day, in order. Days are those of UTC.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DailyCounts(Vec<DailyCount>);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct DailyCount {
    kind: Box<str>,
    /// Days since 1970.
    day: i64,
    count: u64,
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
}
