//! Numbers that the modules keep of what they do: any thread adds to them at the price of an atomic addition, and nobody
//! waits for anybody.

use std::{
    borrow::Cow,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Serialize, Serializer};

/// How often something happened since the process started.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn increment(&self) {
        self.add(1);
    }

    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The upper bounds of a histogram's buckets, which count what takes at most so long; one more counts the rest.
const BOUNDS: [Duration; 16] = [
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2_500),
    Duration::from_secs(5),
    Duration::from_secs(10),
];
const BUCKETS: usize = BOUNDS.len() + 1;

/// How long something took, each time since the process started.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    nanos: AtomicU64,
}

impl Histogram {
    pub fn observe(&self, time: Duration) {
        let bucket = BOUNDS.partition_point(|bound| *bound < time);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub fn get(&self) -> Durations {
        Durations {
            buckets: std::array::from_fn(|bucket| self.buckets[bucket].load(Ordering::Relaxed)),
            seconds: Duration::from_nanos(self.nanos.load(Ordering::Relaxed)).as_secs_f64(),
        }
    }
}

/// What a histogram holds at a moment.
#[derive(Clone, Debug)]
pub struct Durations {
    buckets: [u64; BUCKETS],
    /// All together.
    pub seconds: f64,
}

impl Durations {
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// How many fell into each bucket, behind its upper bound in seconds.
    pub fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = BOUNDS.iter().map(Duration::as_secs_f64).chain([f64::INFINITY]);
        bounds.zip(self.buckets).collect()
    }

    /// The least bound, in seconds, that this part of them kept to; `None` if there is none.
    fn at_most(&self, part: f64) -> Option<f64> {
        let wanted = (self.count() as f64 * part).ceil() as u64;
        let mut counted = 0;
        let bucket = self.buckets.iter().position(|count| {
            counted += count;
            counted >= wanted.max(1)
        });
        BOUNDS.get(bucket?).map(Duration::as_secs_f64)
    }
}

/// How often something was done, and how long it took.
#[derive(Serialize, JsonSchema)]
struct Shown {
    count: u64,
    /// All together.
    seconds: f64,
    /// The bound, in seconds, that half of them kept to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64")]
    median_at_most: Option<f64>,
    /// The bound, in seconds, that 99 % of them kept to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64")]
    p99_at_most: Option<f64>,
}

impl Serialize for Durations {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Shown {
            count: self.count(),
            seconds: self.seconds,
            median_at_most: self.at_most(0.5),
            p99_at_most: self.at_most(0.99),
        }
        .serialize(serializer)
    }
}

impl JsonSchema for Durations {
    fn schema_name() -> Cow<'static, str> {
        "Durations".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Shown::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_counts_what_takes_at_most_its_bound() {
        let histogram = Histogram::default();
        for micros in [0, 100, 101, 250, 9_999_999, 10_000_000, 10_000_001] {
            histogram.observe(Duration::from_micros(micros));
        }
        let durations = histogram.get();
        let filled: Vec<_> = durations.buckets().into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(0.0001, 2), (0.00025, 2), (10.0, 2), (f64::INFINITY, 1)]);
        assert_eq!(durations.count(), 7);
        assert!((durations.seconds - 30.000_451).abs() < 1e-9, "{}", durations.seconds);
    }

    #[test]
    fn people_are_shown_the_bounds_that_half_and_nearly_all_kept_to() {
        let histogram = Histogram::default();
        let shown = || serde_json::to_value(histogram.get()).unwrap();
        assert_eq!(shown(), serde_json::json!({"count": 0, "seconds": 0.0}));
        (0..99).for_each(|_| histogram.observe(Duration::from_micros(900)));
        histogram.observe(Duration::from_secs(3));
        assert_eq!((&shown()["median_at_most"], &shown()["p99_at_most"]), (&0.001.into(), &0.001.into()));
        (0..2).for_each(|_| histogram.observe(Duration::from_secs(11)));
        assert_eq!(shown()["p99_at_most"], serde_json::Value::Null, "there is no such bound");
    }
}
