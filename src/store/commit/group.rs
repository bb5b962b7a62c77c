//! What is in the journal, on its way to the log and the views.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use super::queue::QueuePermit;

use crate::store::{entry::Entry, log::Block};

/// About how many entries the applier takes at once, so that a profile touched often is written once.
const BATCH_ENTRIES: u64 = 8_192;
/// With so many that wait the applier is behind, and requests may be waiting for the room that a batch takes: it takes
/// [`SMALL_BATCH_ENTRIES`] at once, so that they go on evenly.
const BEHIND_ENTRIES: u64 = 2 * BATCH_ENTRIES;
const SMALL_BATCH_ENTRIES: u64 = 1_024;
/// How long the first entries of a batch wait for more of them.
const BATCH_TIME: Duration = Duration::from_millis(200);
/// The same where somebody waits for them, unless the last batch is older: many who ask do not make many small ones.
const WANTED_TIME: Duration = Duration::from_millis(25);

/// A group that is in the journal.
pub struct CommittedGroup {
    /// The offset behind its last entry.
    pub end: u64,
    pub blocks: Vec<CommittedBlock>,
    /// Given back when it is dropped.
    pub _permits: Vec<QueuePermit>,
}

impl CommittedGroup {
    fn entries(&self) -> u64 {
        self.blocks.iter().map(|committed| u64::from(committed.block.count)).sum()
    }
}

/// A block of a group, with what it was made from.
pub struct CommittedBlock {
    pub block: Block,
    pub raw: Vec<u8>,
    pub entries: Vec<Arc<[Entry]>>,
}

/// Committed groups, from the committer to the applier, which is woken once a batch: woken for each group, both took
/// longer over that than over some of their requests. The permits that groups hold bound it.
#[derive(Default)]
pub struct CommittedGroups {
    waiting: Mutex<Waiting>,
    wake: Condvar,
}

#[derive(Default)]
struct Waiting {
    groups: VecDeque<CommittedGroup>,
    /// How many they hold together.
    entries: u64,
    /// Somebody waits for them, or reported damage.
    is_wanted: bool,
    is_closed: bool,
    /// When the last batch was taken.
    taken: Option<Instant>,
}

impl Waiting {
    /// Whether there is nothing more to wait for.
    fn is_full(&self) -> bool {
        self.entries >= BATCH_ENTRIES || self.is_closed
    }

    /// When a batch is to be taken, if it is begun to be gathered at `begun`; `None`: now.
    fn due(&self, begun: Instant) -> Option<Instant> {
        if self.is_full() {
            return None;
        }
        let due = if self.is_wanted { self.taken? + WANTED_TIME } else { begun + BATCH_TIME };
        (due > Instant::now()).then_some(due)
    }
}

impl CommittedGroups {
    pub fn push(&self, group: CommittedGroup) {
        let mut waiting = self.waiting.lock();
        let (was_empty, was_full) = (waiting.groups.is_empty(), waiting.is_full());
        waiting.entries += group.entries();
        waiting.groups.push_back(group);
        if was_empty || (!was_full && waiting.is_full()) {
            self.wake.notify_one();
        }
    }

    /// Lets the applier go on with what there is.
    pub fn flush(&self) {
        self.waiting.lock().is_wanted = true;
        self.wake.notify_one();
    }

    /// Nothing comes any more.
    pub fn close(&self) {
        self.waiting.lock().is_closed = true;
        self.wake.notify_one();
    }

    /// The next batch: once there are enough entries, or their time is up. It may be empty where somebody waits for it.
    /// `None` once it is closed and everything was taken.
    pub fn next_batch(&self) -> Option<Vec<CommittedGroup>> {
        let mut waiting = self.waiting.lock();
        while waiting.groups.is_empty() && !waiting.is_wanted && !waiting.is_full() {
            self.wake.wait(&mut waiting);
        }
        let begun = Instant::now();
        while let Some(due) = waiting.due(begun) {
            self.wake.wait_until(&mut waiting, due);
        }
        waiting.taken = Some(Instant::now());
        if waiting.groups.is_empty() && waiting.is_closed {
            return None;
        }
        let most = if waiting.entries < BEHIND_ENTRIES { BATCH_ENTRIES } else { SMALL_BATCH_ENTRIES };
        let (mut batch, mut entries) = (Vec::new(), 0);
        while entries < most
            && let Some(group) = waiting.groups.pop_front()
        {
            entries += group.entries();
            batch.push(group);
        }
        waiting.entries -= entries;
        waiting.is_wanted &= !waiting.groups.is_empty();
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::Id,
        store::{entry, log::Packer},
    };

    fn group(first: u64, count: u32) -> CommittedGroup {
        let mut raw = Vec::new();
        (0..count).for_each(|_| entry::encode_into(&mut raw, &Entry::SessionDeleted(Id::required("s").unwrap())));
        let block = Block::build(&mut Packer::for_journal(), first, count, &raw);
        let end = block.end();
        CommittedGroup { end, blocks: vec![CommittedBlock { block, raw, entries: Vec::new() }], _permits: Vec::new() }
    }

    fn ends(batch: Option<Vec<CommittedGroup>>) -> Option<Vec<u64>> {
        batch.map(|batch| batch.iter().map(|group| group.end).collect())
    }

    #[test]
    fn a_batch_is_taken_once_it_is_large_old_or_wanted() {
        let groups = CommittedGroups::default();
        let large = BATCH_ENTRIES as u32 - 1;
        groups.push(group(0, large));
        groups.push(group(u64::from(large), 1));
        groups.push(group(BATCH_ENTRIES, 3));
        assert_eq!(ends(groups.next_batch()), Some(vec![u64::from(large), BATCH_ENTRIES]), "it is large");
        let begun = Instant::now();
        assert_eq!(ends(groups.next_batch()), Some(vec![BATCH_ENTRIES + 3]));
        assert!(begun.elapsed() >= BATCH_TIME, "it is old");
        groups.flush();
        assert_eq!(ends(groups.next_batch()), Some(Vec::new()), "it is wanted");
        groups.push(group(BATCH_ENTRIES + 3, 1));
        groups.close();
        assert_eq!(ends(groups.next_batch()), Some(vec![BATCH_ENTRIES + 4]));
        assert_eq!(ends(groups.next_batch()), None);
    }

    #[test]
    fn batches_are_small_while_many_wait() {
        let groups = CommittedGroups::default();
        let (count, pushed) = (1_000, BEHIND_ENTRIES / 1_000 + 1);
        (0..pushed).for_each(|number| groups.push(group(number * count, count as u32)));
        let taken = |groups: &CommittedGroups| groups.next_batch().map(|batch| batch.len());
        assert_eq!(taken(&groups), Some(2), "it is behind");
        assert_eq!(taken(&groups), Some(9), "it is not any more");
    }

    #[test]
    fn whoever_waits_for_a_batch_is_woken() {
        let groups = CommittedGroups::default();
        std::thread::scope(|scope| {
            let taken = scope.spawn(|| {
                std::iter::from_fn(|| groups.next_batch()).flatten().map(|group| group.end).collect::<Vec<_>>()
            });
            for first in 0..3 * BATCH_ENTRIES {
                groups.push(group(first, 1));
            }
            groups.close();
            assert_eq!(taken.join().unwrap(), (1..=3 * BATCH_ENTRIES).collect::<Vec<_>>());
        });
    }
}
