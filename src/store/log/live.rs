//! The live segment: entries that are applied and not sealed yet. The journal has them too.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::RwLock;

use super::{
    EncodedEntries, FoundEvent, MadeIds,
    block::{Block, Encoded, Packer, RAW_BYTES, VERSION},
    events::events,
    segment::{Segment, Summary},
};
use crate::{
    model::Id,
    store::{
        entry::Entry,
        error::{RESTORE, StoreError},
        files::checksums,
        index::Builder,
    },
};

/// Blocks stand in smaller parts than in sealed segments. Each part is an access to sled's cache, and each of its 256 shards
/// looks what is to go once in 64 of them: of parts of 7,000 bytes, two thirds of a segment of 68 MB would stay in memory, of
/// these a quarter. Sealed ones are closed instead, for more parts take more pages, each of which takes some memory as well.
const LIVE_PART_BYTES: usize = 1_000;

pub struct Live {
    /// The offset of its first entry.
    pub first: u64,
    pub path: PathBuf,
    /// Shared with those who read a block of it.
    segment: Arc<Segment>,
    summaries: Vec<Summary>,
    /// Of its blocks.
    pub bytes: u64,
    pending: Pending,
    packer: Packer,
    /// Of all of its entries, pending ones too.
    index: Arc<RwLock<Builder>>,
}

/// Entries that are too few for a block yet.
struct Pending {
    summary: Summary,
    version: u16,
    raw: Vec<u8>,
}

impl Pending {
    fn new(first: u64) -> Self {
        Self { summary: Summary::new(first), version: VERSION, raw: Vec::new() }
    }

    /// Begins the next block at offset `first`, in the room of the last one.
    fn clear(&mut self, first: u64) {
        self.summary = Summary::new(first);
        self.version = VERSION;
        self.raw.clear();
        self.raw.shrink_to(2 * RAW_BYTES); // what one large group took
    }

    fn encoded(&self) -> Encoded<'_> {
        let Summary { first, count, .. } = self.summary;
        Encoded { version: self.version, first, count, raw: self.raw.as_slice().into() }
    }

    fn entries(&self) -> Vec<Entry> {
        self.encoded().entries().unwrap_or_default()
    }
}

impl Live {
    /// Opens the segment in the folder `path`, whose first entry stands or will stand at offset `first`.
    pub fn open(path: &Path, first: u64) -> Result<Self, StoreError> {
        let mut segment = Segment::open(path)?;
        let summaries = segment.summaries().collect::<Result<Vec<_>, _>>()?;
        let end = summaries.last().map_or(first, Summary::end);
        let mut bytes = 0;
        let mut index = Builder::new(first);
        for summary in &summaries {
            let block = segment.block(summary.first)?;
            bytes += block.bytes.len() as u64;
            segment.entries(&block)?.iter().for_each(|entry| index.add(entry));
        }
        if bytes > 0 {
            // What was read once would stay in memory until the segment is sealed: sled looks only once in a while what
            // of its cache is to go.
            segment.close()?;
            segment = Segment::open(path)?;
        }
        Ok(Self {
            first,
            path: path.to_owned(),
            segment: Arc::new(segment),
            summaries,
            bytes,
            pending: Pending::new(end),
            packer: Packer::for_log(),
            index: Arc::new(RwLock::new(index)),
        })
    }

    /// The offset behind its last entry.
    pub fn end(&self) -> u64 {
        self.pending.summary.end()
    }

    pub fn append(&mut self, more: &EncodedEntries<'_>) -> Result<(), StoreError> {
        if more.version != self.pending.version {
            self.flush()?; // a block's entries have one form
            self.pending.version = more.version;
        }
        let mut index = self.index.write();
        for entry in more.entries.iter().flat_map(|entries| entries.iter()) {
            self.pending.summary.add(entry);
            index.add(entry);
        }
        drop(index);
        self.pending.raw.extend_from_slice(more.raw);
        if self.pending.raw.len() >= RAW_BYTES { self.flush() } else { Ok(()) }
    }

    pub fn index(&self) -> &Arc<RwLock<Builder>> {
        &self.index
    }

    /// Puts the pending entries into a block of their own.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        let summary = self.pending.summary;
        if summary.count > 0 {
            let Pending { version, raw, .. } = &self.pending;
            let block = Block::build_as(&mut self.packer, *version, summary.first, summary.count, raw);
            self.segment.put(&block, &summary, LIVE_PART_BYTES)?;
            self.bytes += block.bytes.len() as u64;
            self.summaries.push(summary);
            self.pending.clear(summary.end());
        }
        Ok(())
    }

    /// Its blocks, in order; pending entries are not among them.
    pub fn blocks(&self) -> impl Iterator<Item = Result<(Summary, Block), StoreError>> + '_ {
        self.summaries.iter().map(|summary| Ok((*summary, self.segment.block(summary.first)?)))
    }

    /// Where the entry at `offset` stands; `None` behind the end.
    pub fn find(&self, offset: u64) -> Option<LiveBlock> {
        if offset >= self.end() {
            return None;
        }
        let is_pending = offset >= self.pending.summary.first;
        let pending = is_pending.then(|| self.pending.encoded().into_owned());
        Some(LiveBlock { segment: self.segment.clone(), pending, offset })
    }

    /// The event that the server gave the id `id`, whose number is `number`.
    pub fn event_made(&self, id: &Id, number: u128) -> Result<Option<FoundEvent>, StoreError> {
        // The newest first, for that is what is mostly asked for.
        if self.pending.summary.may_hold(number)
            && let Some(found) = find_made(self.pending.summary.first, &self.pending.entries(), id)
        {
            return Ok(Some(found));
        }
        for summary in self.summaries.iter().rev().filter(|summary| summary.may_hold(number)) {
            let block = self.segment.block(summary.first)?;
            if let Some(found) = find_made(block.first, &self.segment.entries(&block)?, id) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// See [`super::Log::events_made`].
    pub fn events_made(&self, ids: &MadeIds, found: &mut HashSet<(Id, Id)>) -> Result<(), StoreError> {
        if ids.may_be_in(&self.pending.summary) {
            ids.find(&self.pending.entries(), found);
        }
        for summary in self.summaries.iter().filter(|summary| ids.may_be_in(summary)) {
            let block = self.segment.block(summary.first)?;
            ids.find(&self.segment.entries(&block)?, found);
        }
        Ok(())
    }

    /// Hands every block that reaches beyond offset `from` to `each`, in order.
    pub fn scan(
        &self,
        from: u64,
        each: &mut impl FnMut(u64, Vec<Entry>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        for summary in self.summaries.iter().filter(|summary| summary.end() > from) {
            let block = self.segment.block(summary.first)?;
            each(block.first, self.segment.entries(&block)?)?;
        }
        if self.pending.summary.count > 0 {
            each(self.pending.summary.first, self.pending.entries())?;
        }
        Ok(())
    }

    /// Writes it out durably and notes what it is.
    pub fn close(mut self) -> Result<(), StoreError> {
        self.flush()?;
        let being_read = || StoreError::damaged(&self.path, "somebody reads it still", RESTORE);
        Arc::into_inner(self.segment).ok_or_else(being_read)?.close()?;
        checksums::note(&self.path)
    }
}

/// A block of the live segment, to be read while others append to that.
pub struct LiveBlock {
    segment: Arc<Segment>,
    /// What is in no block of the segment yet; `None`: the block is one of the segment's.
    pending: Option<Encoded<'static>>,
    /// Of an entry in it.
    offset: u64,
}

impl LiveBlock {
    /// What `read` finds in it.
    pub fn read<T>(self, read: impl FnOnce(Encoded<'_>) -> Result<T, &'static str>) -> Result<Option<T>, StoreError> {
        let Self { segment, pending, offset } = self;
        if let Some(pending) = pending {
            let first = pending.first;
            return read(pending).map(Some).map_err(|what| segment.damaged_at(what, first));
        }
        let Some(block) = segment.block_at(offset)? else { return Ok(None) };
        segment.read(&block, read).map(Some)
    }
}

/// The event among `entries` that the server gave the id `id`.
pub fn find_made(first: u64, entries: &[Entry], id: &Id) -> Option<FoundEvent> {
    events(first, entries).find(|found| !found.event.given && found.event.id == *id)
}
