//! The server's time and the ids made from it: neither goes back, even if the machine's clock does.

use std::{
    sync::atomic::{AtomicBool, AtomicI64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use uuid::{ContextV7, Timestamp, Uuid};

use crate::model::{Id, Time};

/// How far the server's time may be ahead of the machine's clock before that is told, in microseconds.
const AHEAD_MAX: i64 = 60_000_000;

/// Shared by everything that stamps a time or makes an id.
#[derive(Default)]
pub struct Clock {
    /// The latest time given out or seen in the log, in microseconds since 1970.
    latest: AtomicI64,
    context: Mutex<ContextV7>,
    /// It was told that this clock is ahead of the machine's.
    is_ahead_told: AtomicBool,
}

impl Clock {
    /// Now, or the latest time given out where the machine's clock is behind it.
    pub fn now(&self) -> Time {
        let machine = machine_micros();
        let latest = self.latest.fetch_max(machine, Ordering::Relaxed);
        if latest > machine + AHEAD_MAX && !self.is_ahead_told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                latest = %Time::from_micros(latest),
                machine = %Time::from_micros(machine),
                "the machine's clock is behind the latest time in the log: until it is there, everything happens at that time"
            );
        }
        Time::from_micros(latest.max(machine))
    }

    /// The time at which everything happens until the machine's clock is there, if it is behind by more than a minute:
    /// the server's time never goes back.
    pub fn stands_at(&self) -> Option<Time> {
        let latest = self.latest.load(Ordering::Relaxed);
        (latest > machine_micros() + AHEAD_MAX).then(|| Time::from_micros(latest))
    }

    /// Makes sure that no time before `seen` is given out from here on.
    pub fn not_before(&self, seen: Time) {
        self.latest.fetch_max(seen.micros(), Ordering::Relaxed);
    }

    /// A new id: a UUID of version 7, larger than each one before it.
    pub fn make_id(&self) -> Id {
        let micros = self.now().micros().max(0).unsigned_abs();
        let nanos = u32::try_from(micros % 1_000_000 * 1_000).unwrap_or_default();
        let context = self.context.lock();
        Uuid::new_v7(Timestamp::from_unix(&*context, micros / 1_000_000, nanos)).into()
    }
}

/// The machine's clock, in microseconds since 1970.
fn machine_micros() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX)).micros()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_grow_even_if_the_clock_goes_back() {
        let clock = Clock::default();
        let mut last = clock.make_id();
        for _ in 0..10_000 {
            let next = clock.make_id();
            assert!(next > last, "{next} after {last}");
            last = next;
        }
        // A log written by a clock that was a century ahead.
        assert_eq!(clock.stands_at(), None);
        let ahead = Time::parse("2126-01-01T00:00:00Z").unwrap();
        clock.not_before(ahead);
        assert_eq!(clock.stands_at(), Some(ahead));
        assert!(clock.now() >= ahead);
        assert!(clock.make_id() > last);
    }
}
