//! Sealed segments: never changed again, opened when they are read.
//!
//! Damage in one of them is the error of whoever reads what is damaged, and of nobody else.

use std::{
    collections::{HashSet, VecDeque},
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

use super::{
    FoundEvent, MadeIds,
    block::{Block, Encoded, Packer},
    live::{self, Live},
    segment::{Segment, Summary},
};
use crate::{
    model::Id,
    store::{
        database,
        entry::Entry,
        error::{At, StoreError},
        files::{
            checksums::{self, Comparison},
            durable,
        },
        index::SegmentName,
    },
};

/// How many sealed segments are open at a time.
const OPEN_MAX: usize = if cfg!(test) { 2 } else { 32 };
/// How many bytes of blocks are read of the open ones before that of which most were read is closed: sled looks what of
/// its cache is to go only once in a while, and what was gone through once would stay.
const READ_BYTES_MAX: u64 = if cfg!(test) { 512 * 1024 } else { 32 * 1024 * 1024 };
/// How often a segment is read before it is taken for one that reading does not change any more.
const SETTLE_MAX: usize = 4;
/// Of a segment that is being sealed.
pub const NEW_EXTENSION: &str = "new";

/// What becomes of a block's encoded entries; `None`: they stay as they are.
pub type Change<'a> = &'a dyn Fn(&Encoded<'_>) -> Result<Option<Vec<u8>>, &'static str>;

/// A segment that is never changed again.
pub struct Sealed {
    pub first: u64,
    /// The offset behind its last entry.
    pub end: u64,
    pub name: SegmentName,
    path: PathBuf,
    /// What is known of it from having opened it; held while it is opened, so that this is done once.
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// It was compared with its checksums.
    is_compared: bool,
    /// Open still, where it was closed while somebody reads it: sled opens nothing twice.
    opened: Weak<OpenSegment>,
    /// What all of its blocks may hold together.
    summary: Option<Summary>,
}

/// An open sealed segment.
pub struct OpenSegment {
    segment: Segment,
    summaries: Vec<Summary>,
    /// How many bytes of blocks were read.
    read_bytes: AtomicU64,
}

impl OpenSegment {
    fn new(segment: Segment, summaries: Vec<Summary>) -> Self {
        Self { segment, summaries, read_bytes: AtomicU64::new(0) }
    }
}

/// The sealed segments that are open, the one used last at the end.
#[derive(Default)]
pub struct OpenSegments(Mutex<VecDeque<(SegmentName, Arc<OpenSegment>)>>);

impl Sealed {
    /// The segment in the folder `path`, as its name says; `None` if the name says nothing.
    pub fn of(path: PathBuf) -> Option<Self> {
        let (first, rest) = path.file_name()?.to_str()?.split_once('-')?;
        let (end, generation) = rest.split_once('.').unwrap_or((rest, "0"));
        let (first, end, generation) = (first.parse().ok()?, end.parse().ok()?, generation.parse().ok()?);
        Some(Self::named(path, SegmentName { range: first..end, generation }))
    }

    fn named(path: PathBuf, name: SegmentName) -> Self {
        Self { first: name.range.start, end: name.range.end, name, path, known: Mutex::default() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes what a full live segment holds as a sealed one below `folder`, durably. The live one stays as it is, and
    /// can be read meanwhile.
    pub fn write(folder: &Path, live: &Live) -> Result<Self, StoreError> {
        let name = SegmentName { range: live.first..live.end(), generation: 0 };
        Self::put(folder, name, live.blocks())
    }

    /// Whether there is a block that `change` makes something else of.
    pub fn would_change(&self, open: &OpenSegments, change: Change<'_>) -> Result<bool, StoreError> {
        let opened = self.opened(open)?;
        for summary in &opened.summaries {
            if self.read(&opened, summary, |block| change(&block))?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Writes the segment once more below `folder`, durably, with what `change` makes of its blocks. This one stays.
    pub fn rewrite(&self, folder: &Path, open: &OpenSegments, change: Change<'_>) -> Result<Self, StoreError> {
        let opened = self.opened(open)?;
        let mut packer = Packer::for_log();
        let blocks = opened.summaries.iter().map(|summary| {
            self.guarded(summary.end(), || {
                let block = opened.segment.block(summary.first)?;
                let Some(raw) = opened.segment.read(&block, |block| change(&block))? else {
                    return Ok((*summary, block));
                };
                let changed =
                    Encoded { version: block.version, first: block.first, count: block.count, raw: raw.into() };
                let mut summary = Summary::new(block.first);
                let entries = changed.entries().map_err(|what| self.damaged(what, summary.end()))?;
                entries.iter().for_each(|entry| summary.add(entry));
                Ok((summary, Block::build_as(&mut packer, block.version, block.first, block.count, &changed.raw)))
            })
        });
        let name = SegmentName { generation: self.name.generation + 1, ..self.name.clone() };
        Self::put(folder, name, blocks)
    }

    /// Takes a segment from the disk in whose place another one is read; nobody reads it any more.
    pub fn remove(&self, open: &OpenSegments) -> Result<(), StoreError> {
        open.forget(&self.name);
        database::wait_until_unused(&self.path)?;
        durable::remove_tree(&self.path)
    }

    fn put(
        folder: &Path,
        name: SegmentName,
        blocks: impl Iterator<Item = Result<(Summary, Block), StoreError>>,
    ) -> Result<Self, StoreError> {
        let path = folder.join(name.to_string());
        let new = path.with_extension(NEW_EXTENSION);
        durable::remove_tree(&new)?;
        let segment = Segment::open(&new)?;
        for block in blocks {
            let (summary, block) = block?;
            segment.put(&block, &summary, database::PART_BYTES)?;
        }
        segment.close()?;
        // Opened and closed once more, it no longer holds what sled must recover: damage is an error then, not a panic.
        // And who reads what was written writes still, for sled then divides nodes that grew too large.
        for _ in 0..SETTLE_MAX {
            Segment::open(&new)?.read_through()?.close()?;
            if checksums::compare(&new)? == Comparison::Same {
                break;
            }
            checksums::note(&new)?;
        }
        fs::rename(&new, &path).at(&path)?;
        durable::sync_dir(folder)?;
        Ok(Self::named(path, name))
    }

    /// Compares it with the checksums that were noted when it was sealed; it is not open. One whose files differ although
    /// all of its blocks are whole was changed by sled while it was read: that is noted.
    pub fn compare(&self) -> Result<Comparison, StoreError> {
        let compared = checksums::compare(&self.path)?;
        if let Comparison::Differs(what) = &compared
            && self.is_whole()
        {
            tracing::info!(segment = %self.path.display(), what, "all blocks of the segment are whole; noted anew");
            checksums::note(&self.path)?;
            return Ok(Comparison::Same);
        }
        Ok(compared)
    }

    /// Whether each entry stands in a block that can be read.
    fn is_whole(&self) -> bool {
        let read = self.guarded(self.end, || {
            let segment = Segment::open(&self.path)?;
            let summaries = segment.summaries().collect::<Result<Vec<_>, _>>()?;
            let opened = OpenSegment::new(segment, summaries);
            for summary in &opened.summaries {
                self.read(&opened, summary, |block| block.entries())?;
            }
            let gap = self.gap(&opened, self.first);
            opened.segment.close()?;
            gap.map_or(Ok(()), Err)
        });
        read.is_ok()
    }

    /// The segment, opened if it is not; the one that was used longest ago is closed for it.
    fn opened(&self, open: &OpenSegments) -> Result<Arc<OpenSegment>, StoreError> {
        open.close_most_read();
        if let Some(found) = open.get(&self.name) {
            return Ok(found);
        }
        // Others are opened meanwhile; who wants this one too waits for it.
        let mut known = self.known.lock();
        if let Some(found) = open.get(&self.name) {
            return Ok(found);
        }
        if let Some(found) = known.opened.upgrade() {
            open.put(self.name.clone(), found.clone());
            return Ok(found);
        }
        if !known.is_compared {
            let compared = self.compare().map_err(|error| self.damaged(&error.what(), self.end))?;
            if let Comparison::Differs(what) = compared {
                // Blocks have checksums of their own, so those that are whole can be read still.
                tracing::error!(segment = %self.path.display(), what, "a sealed segment of the log is damaged");
            }
            known.is_compared = true;
        }
        // It may have been closed a moment ago.
        let opened = database::wait_until_unused(&self.path).and_then(|()| Segment::open(&self.path));
        let segment = opened.map_err(|error| self.damaged(&error.what(), self.end))?;
        let summaries = self.guarded(self.end, || segment.summaries().collect::<Result<Vec<_>, _>>())?;
        let opened = Arc::new(OpenSegment::new(segment, summaries));
        known.opened = Arc::downgrade(&opened);
        // Where some are missing, nobody can tell what it does not hold.
        if known.summary.is_none() && self.gap(&opened, self.first).is_none() {
            let all = opened.summaries.iter().fold(Summary::new(self.first), |all, next| all.and(next));
            known.summary = Some(all);
        }
        open.put(self.name.clone(), opened.clone());
        Ok(opened)
    }

    /// What `read` finds in the block that holds `offset`.
    pub fn in_block<T>(
        &self,
        open: &OpenSegments,
        offset: u64,
        read: impl FnOnce(Encoded<'_>) -> Result<T, &'static str>,
    ) -> Result<T, StoreError> {
        let opened = self.opened(open)?;
        let behind = opened.summaries.partition_point(|summary| summary.first <= offset);
        let next = opened.summaries.get(behind).map_or(self.end, |summary| summary.first);
        let found = behind.checked_sub(1).and_then(|place| opened.summaries.get(place));
        let Some(summary) = found.filter(|summary| offset < summary.end()) else {
            return Err(self.damaged(&format!("the entry at offset {offset} is missing"), next));
        };
        self.read(&opened, summary, read)
    }

    /// The event that the server gave the id `id`, whose number is `number`.
    pub fn event_made(&self, open: &OpenSegments, id: &Id, number: u128) -> Result<Option<FoundEvent>, StoreError> {
        if self.known.lock().summary.is_some_and(|summary| !summary.may_hold(number)) {
            return Ok(None);
        }
        let opened = self.opened(open)?;
        // One that is damaged may have it, if no other one has.
        let mut damage = self.gap(&opened, self.first);
        for summary in opened.summaries.iter().filter(|summary| summary.may_hold(number)) {
            match self.read(&opened, summary, |block| block.entries()) {
                Ok(entries) => {
                    if let Some(found) = live::find_made(summary.first, &entries, id) {
                        return Ok(Some(found));
                    }
                }
                Err(error) => damage = Some(error),
            }
        }
        damage.map_or(Ok(None), Err)
    }

    /// See [`super::Log::events_made`].
    pub fn events_made(
        &self,
        open: &OpenSegments,
        ids: &MadeIds,
        found: &mut HashSet<(Id, Id)>,
    ) -> Result<(), StoreError> {
        if self.known.lock().summary.is_some_and(|summary| !ids.may_be_in(&summary)) {
            return Ok(());
        }
        let opened = self.opened(open)?;
        for summary in opened.summaries.iter().filter(|summary| ids.may_be_in(summary)) {
            ids.find(&self.read(&opened, summary, |block| block.entries())?, found);
        }
        self.gap(&opened, self.first).map_or(Ok(()), Err)
    }

    /// Hands every block that reaches beyond offset `from` to `each`, in order.
    pub fn scan(
        &self,
        open: &OpenSegments,
        from: u64,
        each: &mut impl FnMut(u64, Vec<Entry>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let opened = self.opened(open)?;
        if let Some(gap) = self.gap(&opened, from) {
            return Err(gap);
        }
        let summaries = opened.summaries.iter().filter(|summary| summary.end() > from).copied();
        let summaries: Vec<Summary> = summaries.collect();
        drop(opened); // so that it can be closed on the way
        for summary in summaries {
            let opened = self.opened(open)?;
            each(summary.first, self.read(&opened, &summary, |block| block.entries())?)?;
        }
        Ok(())
    }

    fn read<T>(
        &self,
        opened: &OpenSegment,
        summary: &Summary,
        read: impl FnOnce(Encoded<'_>) -> Result<T, &'static str>,
    ) -> Result<T, StoreError> {
        self.guarded(summary.end(), || {
            let block = opened.segment.block(summary.first)?;
            opened.read_bytes.fetch_add(block.bytes.len() as u64, Ordering::Relaxed);
            opened.segment.read(&block, read)
        })
    }

    /// Reads what stands before offset `behind`: whatever fails there, sled's panics too, is damage to this segment.
    fn guarded<T>(&self, behind: u64, read: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        match database::caught(read) {
            Ok(read) => read.map_err(|error| self.damaged(&error.what(), behind)),
            Err(said) => Err(self.damaged(&format!("the database failed: {said}"), behind)),
        }
    }

    /// The damage that some entry from offset `from` on stands in no block, if so.
    fn gap(&self, opened: &OpenSegment, from: u64) -> Option<StoreError> {
        let mut next = self.first;
        let ends = opened.summaries.iter().map(|summary| (summary.first, summary.end()));
        for (first, end) in ends.chain([(self.end, self.end)]) {
            if first != next && first > from {
                return Some(self.damaged(&format!("the entry at offset {next} is missing"), first));
            }
            next = end;
        }
        None
    }

    /// `behind` is the offset from which on the segment may be whole again.
    fn damaged(&self, what: &str, behind: u64) -> StoreError {
        StoreError::DamagedSegment { path: self.path.display().to_string(), what: what.to_owned(), behind }
    }
}

impl OpenSegments {
    fn get(&self, name: &SegmentName) -> Option<Arc<OpenSegment>> {
        let mut open = self.0.lock();
        let place = open.iter().position(|(known, _)| known == name)?;
        let found = open.remove(place)?;
        let segment = found.1.clone();
        open.push_back(found);
        Some(segment)
    }

    fn put(&self, name: SegmentName, segment: Arc<OpenSegment>) {
        let mut open = self.0.lock();
        let over = (open.len() + 1).saturating_sub(OPEN_MAX);
        let closed: Vec<_> = open.drain(..over).collect();
        open.push_back((name, segment));
        drop(open);
        drop(closed);
    }

    /// Closes the segment of which most was read, once so much was read of all that are open.
    fn close_most_read(&self) {
        let read = |(_, segment): &(SegmentName, Arc<OpenSegment>)| segment.read_bytes.load(Ordering::Relaxed);
        let mut open = self.0.lock();
        if open.iter().map(read).sum::<u64>() <= READ_BYTES_MAX {
            return;
        }
        let most = (0..open.len()).max_by_key(|place| read(&open[*place]));
        let closed = most.and_then(|place| open.remove(place));
        drop(open);
        drop(closed);
    }

    fn forget(&self, name: &SegmentName) {
        self.0.lock().retain(|(known, _)| known != name);
    }

    pub fn close(&self) {
        self.0.lock().clear();
    }
}
