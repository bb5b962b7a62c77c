//! How the last hour went: a few figures, noted twice a minute.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::watch;

/// How often the figures are noted, and how many times are kept.
const EVERY: Duration = Duration::from_secs(30);
const KEPT: usize = 121;

/// Figures of a moment.
#[derive(Clone, Copy, Debug)]
struct Moment {
    at: Instant,
    events: u64,
    requests: u64,
    cpu_seconds: f64,
    resident_bytes: u64,
    queued: u64,
}

/// A stretch between two moments.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stretch {
    /// How long ago it ended.
    pub seconds_ago: u64,
    pub events_per_second: f64,
    pub requests_per_second: f64,
    /// Of one core.
    pub cpu_percent: f64,
    pub resident_bytes: u64,
    /// How many requests waited to be stored.
    pub queued: u64,
}

/// What was noted in the last hour.
#[derive(Default)]
pub struct Curves(Mutex<VecDeque<Moment>>);

impl super::Metrics {
    /// Notes the figures again and again until `ended` says so; `requests` tells how many requests there were.
    pub async fn follow(&self, requests: impl Fn() -> u64, mut ended: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = ended.wait_for(|ended| *ended) => return,
            }
            let (store, process) = (self.store.figures(), super::process_figures());
            self.curves.note(Moment {
                at: Instant::now(),
                events: store.events,
                requests: requests(),
                cpu_seconds: process.cpu_seconds,
                resident_bytes: process.resident_bytes.unwrap_or(0),
                queued: store.queue.requests as u64,
            });
        }
    }

    /// The last hour, the oldest stretch first.
    pub fn last_hour(&self) -> Vec<Stretch> {
        self.curves.stretches(Instant::now())
    }
}

impl Curves {
    fn note(&self, moment: Moment) {
        let mut moments = self.0.lock();
        if moments.len() == KEPT {
            moments.pop_front();
        }
        moments.push_back(moment);
    }

    fn stretches(&self, now: Instant) -> Vec<Stretch> {
        let moments = self.0.lock();
        let pairs = moments.iter().zip(moments.iter().skip(1));
        pairs
            .map(|(from, to)| {
                let seconds = to.at.duration_since(from.at).as_secs_f64().max(0.001);
                let rate = |from: u64, to: u64| to.saturating_sub(from) as f64 / seconds;
                Stretch {
                    seconds_ago: now.duration_since(to.at).as_secs(),
                    events_per_second: rate(from.events, to.events),
                    requests_per_second: rate(from.requests, to.requests),
                    cpu_percent: (to.cpu_seconds - from.cpu_seconds).max(0.0) / seconds * 100.0,
                    resident_bytes: to.resident_bytes,
                    queued: to.queued,
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_the_time_between_and_an_hour_is_kept() {
        let (curves, begun) = (Curves::default(), Instant::now());
        let moment = |number: u64| Moment {
            at: begun + EVERY * number as u32,
            events: number * 300,
            requests: number * 30,
            cpu_seconds: number as f64 * 3.0,
            resident_bytes: 7,
            queued: 1,
        };
        assert!(curves.stretches(begun).is_empty());
        (0..200).for_each(|number| curves.note(moment(number)));
        let all = curves.stretches(begun + EVERY * 199);
        assert_eq!((all.len(), all[0].seconds_ago, all[119].seconds_ago), (120, 119 * 30, 0));
        let of_each = (all[0].events_per_second, all[0].requests_per_second, all[0].cpu_percent.round());
        assert_eq!(of_each, (10.0, 1.0, 10.0));
    }
}
