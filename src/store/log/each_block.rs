//! Goes through many blocks of the log, on two cores where others do not need them.

use std::{
    ops::Range,
    panic,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use parking_lot::Mutex;

use super::{EventBlock, Log};
use crate::store::{
    database,
    error::{RESTORE, StoreError},
};

/// For fewer entries no thread is started, which takes as long as looking into some.
const ENTRIES_MIN: usize = if cfg!(test) { 10 } else { 1_000 };

/// The blocks that hold some of the offsets at `places`, each with the places of those that it holds.
struct Blocks<'a> {
    log: &'a Log,
    /// They ascend.
    offsets: &'a [u64],
    places: Range<usize>,
}

impl Iterator for Blocks<'_> {
    type Item = Result<(EventBlock, Range<usize>), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Range { start, end } = std::mem::replace(&mut self.places, 0..0);
        let offset = *self.offsets[start..end].first()?;
        // A panic of sled must reach who waits for the block, on whatever thread it is read.
        let read = database::caught(|| self.log.event_block(offset));
        let read = read.unwrap_or_else(|said| Err(StoreError::damaged(&self.log.path, said, RESTORE)));
        read.map(|block| {
            let block = block?; // else the log is shorter than it was
            let behind = block.offsets().end;
            self.places = start + self.offsets[start..end].partition_point(|offset| *offset < behind)..end;
            Some((block, start..self.places.start))
        })
        .transpose()
    }
}

impl Log {
    /// Makes something of each block that holds some of `offsets`, which ascend, and of the places of those that it holds,
    /// and hands it to `each`, one after the other. `on_two_cores`: others do not need them; each goes through a half of the
    /// offsets then, and a block that stands in both comes twice.
    ///
    /// # Errors
    /// The log is damaged, or what `make` says.
    pub fn each_event_block<T>(
        &self,
        offsets: &[u64],
        on_two_cores: bool,
        make: impl Fn(&EventBlock, Range<usize>) -> Result<T, StoreError> + Sync,
        each: impl FnMut(T) + Send,
    ) -> Result<(), StoreError> {
        let each = Mutex::new(each);
        let has_failed = AtomicBool::new(false);
        let go_through = |places| {
            for read in (Blocks { log: self, offsets, places }) {
                if has_failed.load(Ordering::Relaxed) {
                    break; // the other half says why
                }
                let made = read.and_then(|(block, places)| make(&block, places));
                let made = made.inspect_err(|_| has_failed.store(true, Ordering::Relaxed))?;
                (each.lock())(made);
            }
            Ok(())
        };
        let end = offsets.len();
        if !on_two_cores || end < ENTRIES_MIN {
            return go_through(0..end);
        }
        let middle = end / 2;
        thread::scope(|scope| {
            // It gives way as this thread does, from which it has that.
            let other = thread::Builder::new().name("queries-half".into());
            let Ok(other) = other.spawn_scoped(scope, || go_through(middle..end)) else {
                return go_through(0..end); // the system has no threads left
            };
            let first = go_through(0..middle);
            first.and(other.join().unwrap_or_else(|panicked| panic::resume_unwind(panicked)))
        })
    }
}
