//! The committer: takes what is queued, makes it durable in the journal as one frame, and lets its requests answer.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{
    group::{CommittedBlock, CommittedGroup, CommittedGroups},
    queue::{Queue, Queued},
};

use crate::{
    count::Counter,
    store::{
        configuration::Configuration,
        entry::{self, Entry},
        error::Refused,
        files::disk::Disk,
        journal::{Frame, Journal, NotAppended},
        log::{Block, Packer, RAW_BYTES},
    },
};

/// The most requests in a group.
const GROUP_REQUESTS_MAX: usize = 512;
/// How long the committer sleeps when nothing is queued.
const IDLE: Duration = Duration::from_secs(1);
/// How often it looks whether the disk takes writes again.
const RETRY: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 250 });

/// What was committed since the store was opened.
#[derive(Debug, Default)]
pub struct CommitCounts {
    pub groups: Counter,
    pub events: Counter,
}

pub struct Committer<'a, D: Disk> {
    queue: &'a Queue,
    journal: &'a Mutex<Journal<D>>,
    configuration: &'a Configuration,
    counts: &'a CommitCounts,
    committed: &'a CommittedGroups,
    /// In relaxed mode: how long what was answered may stay unsynced.
    flush_interval: Option<Duration>,
    /// Why nothing may be stored now, whatever the journal says: the disk is too full, or what is behind the journal is
    /// being made again.
    obstacle: &'a (dyn Fn() -> Option<String> + Sync),
    packer: Packer,
    /// How many bytes the last block's entries took: the next one's may take about as many.
    last_block: usize,
    /// In relaxed mode: since when something is written and not synced.
    unsynced_since: Option<Instant>,
}

impl<'a, D: Disk> Committer<'a, D> {
    pub fn new(
        queue: &'a Queue,
        journal: &'a Mutex<Journal<D>>,
        configuration: &'a Configuration,
        counts: &'a CommitCounts,
        committed: &'a CommittedGroups,
        flush_interval: Option<Duration>,
        obstacle: &'a (dyn Fn() -> Option<String> + Sync),
    ) -> Self {
        Self {
            queue,
            journal,
            configuration,
            counts,
            committed,
            flush_interval,
            obstacle,
            packer: Packer::for_journal(),
            last_block: 0,
            unsynced_since: None,
        }
    }

    /// Runs until the queue is closed and empty. Returns whether the journal is whole and synced then.
    pub fn run(mut self) -> bool {
        let patience = self.flush_interval.unwrap_or(IDLE).min(IDLE);
        while let Some(group) = self.queue.take(GROUP_REQUESTS_MAX, patience) {
            if !group.is_empty() {
                self.commit(group);
            }
            self.sync_if_due();
            if self.queue.trouble().is_some() {
                self.recover();
            }
        }
        match self.journal.lock().close() {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%error, "the journal cannot be made whole; the next start does it");
                false
            }
        }
    }

    fn commit(&mut self, group: Vec<Queued>) {
        let mut blocks = Vec::new();
        let mut done = Vec::with_capacity(group.len());
        let mut permits = Vec::with_capacity(group.len());
        let mut block = OpenBlock::with_room(self.last_block);
        for Queued { first, entries, done: answer, permit } in group {
            block.add(first, entries);
            if block.raw.len() >= RAW_BYTES {
                let full = std::mem::replace(&mut block, OpenBlock::with_room(RAW_BYTES));
                blocks.push(full.close(&mut self.packer));
            }
            done.push(answer);
            permits.push(permit);
        }
        if !block.entries.is_empty() {
            blocks.push(block.close(&mut self.packer));
        }
        let Some(first) = blocks.first().map(|committed| committed.block.first) else { return };
        self.last_block = blocks.last().map_or(0, |committed| committed.raw.len());
        let frame = Frame::new(first, blocks.iter().map(|committed| &committed.block));
        match self.write(&frame) {
            Ok(()) => {
                self.configuration.note(blocks.iter().flat_map(|committed| &committed.entries));
                let entries = blocks.iter().flat_map(|committed| &committed.entries).flat_map(|entries| entries.iter());
                self.counts.events.add(entries.filter(|entry| matches!(entry, Entry::Event(_))).count() as u64);
                self.counts.groups.increment();
                // First, so that whoever hears that it is durable finds it on its way.
                let group = CommittedGroup { end: frame.end, blocks, _permits: permits };
                self.committed.push(group);
                self.queue.set_durable(frame.end, self.unsynced_since.is_none());
                for answer in done {
                    _ = answer.send(Ok(())); // a client that went away does not wait
                }
            }
            Err(refused) => {
                self.queue.stop(&refused.to_string());
                // Also where it may still be there: it is cut off before anything else is written, and only a crash
                // before that can bring it back.
                self.queue.take_back(self.queue.durable_end());
                for answer in done {
                    _ = answer.send(Err(refused.clone()));
                }
            }
        }
    }

    /// Appends the group's frame and makes it as durable as the setting demands.
    fn write(&mut self, frame: &Frame) -> Result<(), Refused> {
        if let Some(obstacle) = (self.obstacle)() {
            return Err(Refused::Stopped(obstacle));
        }
        let mut journal = self.journal.lock();
        let appended = match self.flush_interval {
            Some(_) => {
                self.unsynced_since.get_or_insert_with(Instant::now);
                journal.append(frame)
            }
            None => journal.append_durably(frame),
        };
        appended.map_err(|error| {
            tracing::error!(%error, "a group was not stored");
            match error {
                NotAppended::TakenBack(_) => Refused::Stopped(error.to_string()),
                NotAppended::Unknown(_) => Refused::OutcomeUnknown,
            }
        })
    }

    /// In relaxed mode: makes durable what waits for it, and tries again and again where that fails.
    fn sync_if_due(&mut self) {
        let (Some(interval), Some(since)) = (self.flush_interval, self.unsynced_since) else { return };
        if since.elapsed() < interval {
            return;
        }
        match self.journal.lock().sync() {
            Ok(()) => {
                self.unsynced_since = None;
                self.queue.set_synced();
            }
            Err(error) => self.queue.stop(&format!("the journal cannot be synced: {error}")),
        }
    }

    /// Nothing can be stored: takes back what was refused, waits until the journal takes frames again, and goes on.
    fn recover(&mut self) {
        loop {
            match self.try_again() {
                Ok(()) => return self.queue.resume(),
                // The latest reason is the one that is told.
                Err(obstacle) => self.queue.stop(&obstacle),
            }
            if self.queue.is_closing() {
                return;
            }
            thread::sleep(RETRY);
        }
    }

    /// Whether what was refused is gone and frames can be appended again.
    fn try_again(&mut self) -> Result<(), String> {
        let mut journal = self.journal.lock();
        journal.clean().map_err(|error| format!("the journal cannot be written: {error}"))?;
        self.queue.take_back(self.queue.durable_end());
        if let Some(obstacle) = (self.obstacle)() {
            return Err(obstacle);
        }
        journal.probe().map_err(|error| error.to_string())?;
        self.unsynced_since = None;
        self.queue.set_synced();
        Ok(())
    }
}

/// The block that is being filled.
#[derive(Default)]
struct OpenBlock {
    first: Option<u64>,
    count: u32,
    raw: Vec<u8>,
    entries: Vec<Arc<[Entry]>>,
}

impl OpenBlock {
    /// For entries of about `bytes`.
    fn with_room(bytes: usize) -> Self {
        Self { raw: Vec::with_capacity(bytes + bytes / 4), ..Self::default() }
    }

    fn add(&mut self, first: u64, entries: Arc<[Entry]>) {
        self.first.get_or_insert(first);
        self.count += entries.len() as u32;
        entries.iter().for_each(|entry| entry::encode_into(&mut self.raw, entry));
        self.entries.push(entries);
    }

    fn close(self, packer: &mut Packer) -> CommittedBlock {
        let block = Block::build(packer, self.first.unwrap_or(0), self.count, &self.raw);
        CommittedBlock { block, raw: self.raw, entries: self.entries }
    }
}

#[cfg(test)]
mod tests;
