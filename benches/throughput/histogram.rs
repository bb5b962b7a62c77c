//! A latency histogram with logarithmic buckets: 32 to each power of two, so a reading is at most 1.6 % off at any
//! scale, and recording is an increment. Sorting samples would be exact, but a minute's worth of them would push the
//! generator's working set out of the caches that it shares with the daemon.

use std::time::Duration;

const BUCKETS_PER_OCTAVE: u64 = 32;
const BUCKETS: usize = 1920; // every u64 has its bucket: 59 octaves above the first 32 exact values

pub struct Histogram {
    counts: Box<[u64; BUCKETS]>,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: Box::new([0; BUCKETS]), total: 0 }
    }
}

impl Histogram {
    pub fn record(&mut self, latency: Duration) {
        self.counts[bucket(latency.as_nanos() as u64)] += 1;
        self.total += 1;
    }

    pub fn merge(&mut self, other: &Histogram) {
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts.iter()) {
            *mine += theirs;
        }
        self.total += other.total;
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    /// The latency that `share` (0 to 1) of the recorded ones do not exceed, in milliseconds; 0 when there are none.
    pub fn quantile_ms(&self, share: f64) -> f64 {
        let rank = (self.total as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return middle_ns(index as u64) as f64 / 1e6;
            }
        }
        0.0
    }
}

fn bucket(ns: u64) -> usize {
    let octave = (63 - (ns | 1).leading_zeros() as u64).saturating_sub(5);
    (octave * BUCKETS_PER_OCTAVE + (ns >> octave)) as usize
}

fn middle_ns(bucket: u64) -> u64 {
    let octave = (bucket / BUCKETS_PER_OCTAVE).saturating_sub(1);
    let lowest = (bucket - octave * BUCKETS_PER_OCTAVE) << octave;
    lowest + (1 << octave) / 2
}
