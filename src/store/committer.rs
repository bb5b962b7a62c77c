//! The committer: takes what is queued, makes it durable in the journal as one frame, and lets its requests answer.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use super::{
    block::{self, Block, Packer},
    committed::{ApplierMessage, CommittedBlock, CommittedGroup},
    entry::{self, Entry},
    error::{Refused, StoreError},
    folder, journal,
    queue::Queued,
    shared::Shared,
};

/// The most requests in a group.
const GROUP_REQUESTS_MAX: usize = 512;
/// How long the committer sleeps when nothing is queued.
const IDLE: Duration = Duration::from_secs(1);
/// How often it looks whether the disk takes writes again.
const RETRY: Duration = Duration::from_millis(250);

/// Runs until the queue is closed and empty.
pub fn run(shared: &Shared, to_applier: &mpsc::Sender<ApplierMessage>) {
    let mut committer = Committer { shared, to_applier, packer: Packer::for_journal(), unsynced_since: None };
    let patience = shared.flush_interval.unwrap_or(IDLE).min(IDLE);
    while let Some(group) = shared.queue.take(GROUP_REQUESTS_MAX, patience) {
        if !group.is_empty() {
            committer.commit(group);
        }
        committer.flush_if_due();
        if shared.queue.trouble().is_some() {
            committer.recover();
        }
    }
    if let Err(error) = shared.journal.lock().sync() {
        tracing::error!(%error, "the journal cannot be synced");
    }
}

struct Committer<'a> {
    shared: &'a Shared,
    to_applier: &'a mpsc::Sender<ApplierMessage>,
    packer: Packer,
    /// In relaxed mode: since when something is written and not synced.
    unsynced_since: Option<Instant>,
}

impl Committer<'_> {
    fn commit(&mut self, group: Vec<Queued>) {
        let mut blocks = Vec::new();
        let mut done = Vec::with_capacity(group.len());
        let mut permits = Vec::with_capacity(group.len());
        let mut block = OpenBlock::default();
        for Queued { first, entries, done: answer, permit } in group {
            block.add(first, entries);
            if block.raw.len() >= block::RAW_BYTES {
                blocks.push(std::mem::take(&mut block).close(&mut self.packer));
            }
            done.push(answer);
            permits.push(permit);
        }
        if !block.entries.is_empty() {
            blocks.push(block.close(&mut self.packer));
        }
        let end = blocks.last().map_or(0, |committed| committed.block.end());
        match self.write(&blocks, end) {
            Ok(()) => {
                self.shared.note_configuration(blocks.iter().flat_map(|committed| &committed.entries));
                // First, so that whoever hears that it is durable finds it on its way; the applier outlives the
                // committer.
                let group = CommittedGroup { end, blocks, _permits: permits };
                _ = self.to_applier.send(ApplierMessage::Committed(group));
                self.shared.queue.set_durable(end);
                for answer in done {
                    _ = answer.send(Ok(())); // a client that went away does not wait
                }
            }
            Err(refused) => {
                self.shared.queue.stop(&refused.to_string());
                for answer in done {
                    _ = answer.send(Err(refused.clone()));
                }
            }
        }
    }

    /// Appends the group's frame and makes it as durable as the setting demands.
    fn write(&mut self, blocks: &[CommittedBlock], end: u64) -> Result<(), Refused> {
        self.shared.check_space().map_err(Refused::Stopped)?;
        let mut journal = self.shared.journal.lock();
        if journal.bytes() >= self.shared.segment_bytes {
            let first = blocks.first().map_or(end, |committed| committed.block.first);
            journal.roll(first).map_err(|error| Refused::Stopped(error.to_string()))?;
            self.unsynced_since = None;
        }
        let frame = journal::frame(blocks.iter().map(|committed| &committed.block));
        let written = journal.append(&frame).and_then(|()| match self.shared.flush_interval {
            Some(_) => {
                self.unsynced_since.get_or_insert_with(Instant::now);
                Ok(())
            }
            None => journal.sync(),
        });
        match written {
            Ok(()) => {
                journal.accept(frame.len());
                Ok(())
            }
            Err(error) => {
                tracing::error!(%error, "the journal cannot be written");
                match journal.cut_back() {
                    Ok(()) => Err(Refused::Stopped(format!("the journal cannot be written: {error}"))),
                    Err(_) => Err(Refused::OutcomeUnknown),
                }
            }
        }
    }

    fn flush_if_due(&mut self) {
        let Some(interval) = self.shared.flush_interval else { return };
        if self.unsynced_since.is_some_and(|since| since.elapsed() >= interval) {
            self.unsynced_since = None;
            if let Err(error) = self.shared.journal.lock().sync() {
                self.shared.queue.stop(&format!("the journal cannot be synced: {error}"));
            }
        }
    }

    /// Nothing can be stored: takes back what was refused, waits until the disk takes writes again, and goes on.
    fn recover(&mut self) {
        let shared = self.shared;
        let mut taken_back = false;
        loop {
            let clean = shared.journal.lock().cut_back().is_ok();
            if clean && !taken_back {
                shared.queue.take_back(shared.queue.durable_end());
                taken_back = true;
            }
            if taken_back
                && clean
                && shared.is_engine_up()
                && shared.check_space().is_ok()
                && probe(shared.folder.path()).is_ok()
            {
                shared.queue.resume();
                return;
            }
            if shared.queue.is_closing() {
                return;
            }
            thread::sleep(RETRY);
        }
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

/// Whether the folder takes a file and makes it durable.
fn probe(path: &Path) -> Result<(), StoreError> {
    use super::error::At;
    let probe = path.join("probe");
    let write = || -> io::Result<()> {
        let mut file = File::create(&probe)?;
        file.write_all(&[0; 4096])?;
        file.sync_all()
    };
    write().at(&probe)?;
    fs::remove_file(&probe).at(&probe)?;
    folder::sync_dir(path)
}
