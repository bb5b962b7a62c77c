//! Blocks of the log for whoever goes through many of them: the next ones are read and unpacked on another core, while what
//! is sought is looked for in one.

use std::{ops::Range, sync::mpsc, thread};

use super::{EventBlock, Log};
use crate::store::{
    database,
    error::{RESTORE, StoreError},
};

/// How many blocks wait to be looked into. Each has some hundred kilobytes.
const BLOCKS_AHEAD: usize = 2;
/// For fewer entries no thread is started, which takes as long as looking into some.
const ENTRIES_MIN: usize = if cfg!(test) { 10 } else { 1_000 };

/// The blocks that hold some of `offsets`, which ascend, each with the places of those that it holds.
#[derive(Clone)]
struct Blocks<'a> {
    log: &'a Log,
    offsets: &'a [u64],
    next: usize,
}

impl Iterator for Blocks<'_> {
    type Item = Result<(EventBlock, Range<usize>), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = std::mem::replace(&mut self.next, self.offsets.len());
        let offset = *self.offsets.get(first)?;
        // A panic of sled must reach who waits for the block, on whatever thread it is read.
        let read = database::caught(|| self.log.event_block(offset));
        let read = read.unwrap_or_else(|said| Err(StoreError::damaged(&self.log.path, said, RESTORE)));
        read.map(|block| {
            let block = block?; // else the log is shorter than it was
            let end = block.offsets().end;
            self.next = self.offsets.partition_point(|offset| *offset < end);
            Some((block, first..self.next))
        })
        .transpose()
    }
}

impl Log {
    /// Hands each block that holds some of `offsets`, which ascend, to `each`, with the places of those that it holds.
    /// `on_another_core`: others do not need it.
    ///
    /// # Errors
    /// The log is damaged, or what `each` says.
    pub fn each_event_block(
        &self,
        offsets: &[u64],
        on_another_core: bool,
        mut each: impl FnMut(&EventBlock, Range<usize>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let each = |read: Result<_, StoreError>| read.and_then(|(block, places)| each(&block, places));
        let mut blocks = Blocks { log: self, offsets, next: 0 };
        if !on_another_core || offsets.len() < ENTRIES_MIN {
            return blocks.try_for_each(each);
        }
        thread::scope(|scope| {
            let (sender, received) = mpsc::sync_channel(BLOCKS_AHEAD);
            let mut ahead = blocks.clone();
            let read = move || _ = ahead.try_for_each(|block| sender.send(block)); // until nobody takes them
            // It gives way as this thread does, from which it has that.
            match thread::Builder::new().name("queries-ahead".into()).spawn_scoped(scope, read) {
                Ok(_) => received.into_iter().try_for_each(each),
                Err(_) => blocks.try_for_each(each), // the system has no threads left
            }
        })
    }
}
