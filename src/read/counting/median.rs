//! The middle of what was measured.

/// The median of these microseconds, in seconds: the middle one, or the mean of the two in the middle.
pub fn median_seconds(micros: &mut [u64]) -> Option<f64> {
    if micros.is_empty() {
        return None;
    }
    let is_even = micros.len().is_multiple_of(2);
    let (below, upper, _) = micros.select_nth_unstable(micros.len() / 2);
    let lower = below.iter().max().filter(|_| is_even).unwrap_or(upper);
    Some((*lower as f64 + *upper as f64) / 2.0 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median_seconds(&mut [3_000_000, 1_000_000, 2_000_000]), Some(2.0));
        assert_eq!(median_seconds(&mut [4_000_000, 1_000_000, 2_000_000, 3_000_000]), Some(2.5));
        assert_eq!(median_seconds(&mut [500_000]), Some(0.5));
        assert_eq!(median_seconds(&mut []), None);
    }
}
