//! The middle of how long things took.

/// How long each of many took. In memory, four bytes for each that took up to 71 minutes, and eight for each other one.
#[derive(Default)]
pub struct Durations {
    /// In microseconds.
    short: Vec<u32>,
    /// What is more than `u32` holds.
    long: Vec<u64>,
}

impl Durations {
    /// Adds one; what ended before it began took no time.
    pub fn push(&mut self, micros: i64) {
        let micros = u64::try_from(micros).unwrap_or(0);
        match u32::try_from(micros) {
            Ok(micros) => self.short.push(micros),
            Err(_) => self.long.push(micros),
        }
    }

    /// The median in seconds: the middle one, or the mean of the two in the middle; `None`: there are none.
    pub fn median_seconds(mut self) -> Option<f64> {
        let count = self.short.len() + self.long.len();
        let lower = self.at(count.checked_sub(1)? / 2);
        let upper = self.at(count / 2);
        Some((lower as f64 + upper as f64) / 2.0 / 1e6)
    }

    /// The one at a place in their order; there are more than `place`.
    fn at(&mut self, place: usize) -> u64 {
        match place.checked_sub(self.short.len()) {
            None => (*self.short.select_nth_unstable(place).1).into(),
            Some(place) => *self.long.select_nth_unstable(place).1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        let median = |seconds: &[f64]| {
            let mut durations = Durations::default();
            seconds.iter().for_each(|seconds| durations.push((seconds * 1e6) as i64));
            durations.median_seconds()
        };
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[0.5]), Some(0.5));
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[-7.0, -5.0, 3.0]), Some(0.0));
        let day = 86_400.0;
        assert_eq!(median(&[day, 2.0, 3.0 * day]), Some(day));
        assert_eq!(median(&[2.0 * day, 1.0, day, 2.0]), Some(day / 2.0 + 1.0));
        assert_eq!(median(&[9.0 * day, day]), Some(5.0 * day));
    }
}
