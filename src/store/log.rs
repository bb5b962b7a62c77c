//! The log: sealed segments, and the live one that grows behind them.
//!
//! The journal has every entry that is not in a sealed segment, so the live segment owes nothing to sled's own
//! recovery: after a crash it is thrown away and filled again.

use std::{
    collections::VecDeque,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::{Mutex, RwLock};

use super::{
    block::{self, Block, Packer},
    entry::{self, Entry},
    error::{At, RESTORE, StoreError},
    folder,
    segment::{Segment, Summary, made_id},
};
use crate::model::{Event, EventRequest, Id};

const LIVE_EXTENSION: &str = "live";
/// How many sealed segments are open at a time.
const OPEN_MAX: usize = 32;

pub struct Log {
    path: PathBuf,
    /// A live segment of this many bytes is full.
    segment_bytes: u64,
    sealed: RwLock<Vec<Arc<Sealed>>>,
    /// The live segment; `None` while it is being sealed or after the log was closed.
    live: RwLock<Option<Live>>,
    /// The sealed segments that are open, the one used last at the end.
    open: Mutex<VecDeque<(u64, Arc<Segment>)>>,
}

/// A segment that is never changed again, and what all of its blocks may hold together.
struct Sealed {
    first: u64,
    end: u64,
    path: PathBuf,
    summary: Mutex<Option<Summary>>,
}

struct Live {
    first: u64,
    path: PathBuf,
    segment: Segment,
    summaries: Vec<Summary>,
    bytes: u64,
    pending: Pending,
    packer: Packer,
}

/// Entries that are too few for a block yet. The journal has them too.
struct Pending {
    summary: Summary,
    raw: Vec<u8>,
}

impl Pending {
    fn new(first: u64) -> Self {
        Self { summary: Summary::new(first), raw: Vec::new() }
    }

    fn entries(&self) -> Vec<Entry> {
        entry::decode_entries(&self.raw, self.summary.count).unwrap_or_default()
    }
}

/// An event with its request and its place.
pub struct FoundEvent {
    pub offset: u64,
    pub request: Arc<EventRequest>,
    pub event: Arc<Event>,
}

/// Entries that stand behind each other, and their encoded form.
pub struct EncodedEntries<'a> {
    pub raw: &'a [u8],
    pub entries: &'a [Arc<[Entry]>],
}

impl Log {
    /// Opens the log. `keep_live`: the last process closed it, so the live segment can be taken as it is.
    ///
    /// # Errors
    /// A segment is missing between two others, or the live one cannot be opened.
    pub fn open(path: &Path, segment_bytes: u64, keep_live: bool) -> Result<Self, StoreError> {
        fs::create_dir_all(path).at(path)?;
        let mut sealed = Vec::new();
        let mut live_path = None;
        for entry in fs::read_dir(path).at(path)? {
            let path = entry.at(path)?.path();
            if path.extension().is_some_and(|extension| extension == LIVE_EXTENSION) {
                if keep_live {
                    live_path = Some(path);
                } else {
                    folder::remove_tree(&path)?; // made again from the journal
                }
                continue;
            }
            let (first, end) = parse_name(&path)
                .ok_or_else(|| StoreError::damaged(&path, "not a name of a segment", "move it away"))?;
            sealed.push(Arc::new(Sealed { first, end, path, summary: Mutex::new(None) }));
        }
        sealed.sort_by_key(|segment| segment.first);
        if let Some(oldest) = sealed.first().filter(|oldest| oldest.first > 0) {
            let what = format!("the segment with the offsets from 0 to {} is missing", oldest.first);
            return Err(StoreError::damaged(&oldest.path, what, RESTORE));
        }
        for pair in sealed.windows(2) {
            if pair[0].end != pair[1].first {
                let what = format!("the segment with the offsets from {} to {} is missing", pair[0].end, pair[1].first);
                return Err(StoreError::damaged(&pair[1].path, what, RESTORE));
            }
        }
        let log = Self {
            path: path.to_owned(),
            segment_bytes,
            sealed: RwLock::new(sealed),
            live: RwLock::new(None),
            open: Mutex::default(),
        };
        let sealed_end = log.sealed_end();
        let live_path = live_path.unwrap_or_else(|| log.live_path(sealed_end));
        *log.live.write() = Some(Live::open(live_path, sealed_end)?);
        Ok(log)
    }

    /// The offset up to which the entries stand in sealed segments: before it, no journal is needed.
    pub fn sealed_end(&self) -> u64 {
        self.sealed.read().last().map_or(0, |segment| segment.end)
    }

    /// The offset behind the last entry.
    pub fn end(&self) -> u64 {
        self.live.read().as_ref().map_or_else(|| self.sealed_end(), |live| live.pending.summary.end())
    }

    /// Puts entries behind the end.
    pub fn append(&self, more: &EncodedEntries<'_>) -> Result<(), StoreError> {
        let mut live = self.live.write();
        let live = live.as_mut().ok_or_else(|| StoreError::damaged(&self.path, "the log is closed", "start again"))?;
        live.append(more)
    }

    /// Whether the live segment has all that it should hold.
    pub fn is_full(&self) -> bool {
        self.live.read().as_ref().is_some_and(|live| live.bytes >= self.segment_bytes)
    }

    /// Seals the live segment and goes on in a new one. Readers of the log wait meanwhile.
    pub fn seal(&self) -> Result<(), StoreError> {
        let mut slot = self.live.write();
        let Some(mut live) = slot.take() else { return Ok(()) };
        live.flush()?;
        let (first, end) = (live.first, live.pending.summary.end());
        let Live { path, segment, .. } = live;
        segment.close()?;
        // Opened and closed once more, it no longer holds what sled must recover: damage is an error then, not a panic.
        Segment::open(&path)?.close()?;
        let sealed_path = self.path.join(format!("{first:020}-{end:020}"));
        fs::rename(&path, &sealed_path).at(&sealed_path)?;
        folder::sync_dir(&self.path)?;
        self.sealed.write().push(Arc::new(Sealed { first, end, path: sealed_path, summary: Mutex::new(None) }));
        *slot = Some(Live::open(self.live_path(end), end)?);
        Ok(())
    }

    /// Writes the live segment out durably; nothing can be appended or read after it.
    pub fn close(&self) -> Result<(), StoreError> {
        let live = self.live.write().take();
        self.open.lock().clear();
        if let Some(mut live) = live {
            live.flush()?;
            live.segment.close()?;
        }
        folder::sync_dir(&self.path)
    }

    /// Hands every block that reaches beyond offset `from` to `each`, in order.
    pub fn scan(
        &self,
        from: u64,
        mut each: impl FnMut(u64, Vec<Entry>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let sealed = self.sealed.read().clone();
        for part in sealed.iter().filter(|part| part.end > from) {
            let segment = self.opened(part)?;
            let mut next = part.first;
            for summary in segment.summaries() {
                let summary = summary?;
                if summary.first != next {
                    let what = format!("the entries from offset {next} to {} are missing", summary.first);
                    return Err(StoreError::damaged(&part.path, what, RESTORE));
                }
                next = summary.end();
                if next > from {
                    let block = segment.block(summary.first)?;
                    each(block.first, segment.entries(&block)?)?;
                }
            }
            if next != part.end {
                let what = format!("the entries from offset {next} to {} are missing", part.end);
                return Err(StoreError::damaged(&part.path, what, RESTORE));
            }
        }
        let live = self.live.read();
        let Some(live) = live.as_ref() else { return Ok(()) };
        for summary in live.summaries.iter().filter(|summary| summary.end() > from) {
            let block = live.segment.block(summary.first)?;
            each(block.first, live.segment.entries(&block)?)?;
        }
        if live.pending.summary.count > 0 {
            each(live.pending.summary.first, live.pending.entries())?;
        }
        Ok(())
    }

    /// The event at `offset`, with its request.
    pub fn event_at(&self, offset: u64) -> Result<Option<FoundEvent>, StoreError> {
        let Some((first, entries)) = self.block_around(offset)? else { return Ok(None) };
        Ok(events(first, &entries).find(|found| found.offset == offset))
    }

    /// The events that the server gave the id `id`, with their offsets.
    pub fn event_made(&self, id: &Id) -> Result<Option<FoundEvent>, StoreError> {
        let Some(number) = made_id(id) else { return Ok(None) };
        let find =
            |first, entries: &[Entry]| events(first, entries).find(|found| !found.event.given && found.event.id == *id);
        let sealed = {
            // The newest first, for that is what is mostly asked for.
            let live = self.live.read();
            if let Some(live) = live.as_ref() {
                if live.pending.summary.may_hold(number)
                    && let Some(found) = find(live.pending.summary.first, &live.pending.entries())
                {
                    return Ok(Some(found));
                }
                for summary in live.summaries.iter().rev().filter(|summary| summary.may_hold(number)) {
                    let block = live.segment.block(summary.first)?;
                    if let Some(found) = find(block.first, &live.segment.entries(&block)?) {
                        return Ok(Some(found));
                    }
                }
            }
            self.sealed.read().clone()
        };
        for part in sealed.iter().rev() {
            if !self.summary_of(part)?.may_hold(number) {
                continue;
            }
            let segment = self.opened(part)?;
            for summary in segment.summaries() {
                let summary = summary?;
                if summary.may_hold(number) {
                    let block = segment.block(summary.first)?;
                    if let Some(found) = find(block.first, &segment.entries(&block)?) {
                        return Ok(Some(found));
                    }
                }
            }
        }
        Ok(None)
    }

    /// The entries of the block that holds `offset`, with the offset of the first; `None` behind the end.
    pub fn block_around(&self, offset: u64) -> Result<Option<(u64, Vec<Entry>)>, StoreError> {
        let sealed = {
            let live = self.live.read();
            if let Some(live) = live.as_ref().filter(|live| offset >= live.first) {
                if offset >= live.pending.summary.first {
                    return Ok(Some((live.pending.summary.first, live.pending.entries())));
                }
                let Some(block) = live.segment.block_at(offset)? else { return Ok(None) };
                return Ok(Some((block.first, live.segment.entries(&block)?)));
            }
            self.sealed.read().clone()
        };
        let Some(part) = sealed.iter().find(|part| (part.first..part.end).contains(&offset)) else { return Ok(None) };
        let segment = self.opened(part)?;
        let Some(block) = segment.block_at(offset)? else { return Ok(None) };
        Ok(Some((block.first, segment.entries(&block)?)))
    }

    fn summary_of(&self, part: &Sealed) -> Result<Summary, StoreError> {
        let mut known = part.summary.lock();
        if let Some(summary) = *known {
            return Ok(summary);
        }
        let segment = self.opened(part)?;
        let mut all = Summary::new(part.first);
        for summary in segment.summaries() {
            all = all.and(&summary?);
        }
        *known = Some(all);
        Ok(all)
    }

    /// The sealed segment, opened if it is not; the one that was used longest ago is closed for it.
    fn opened(&self, part: &Sealed) -> Result<Arc<Segment>, StoreError> {
        let mut open = self.open.lock();
        if let Some(place) = open.iter().position(|(first, _)| *first == part.first)
            && let Some(found) = open.remove(place)
        {
            let segment = found.1.clone();
            open.push_back(found);
            return Ok(segment);
        }
        while open.len() >= OPEN_MAX {
            open.pop_front();
        }
        let segment = Arc::new(Segment::open(&part.path)?);
        open.push_back((part.first, segment.clone()));
        Ok(segment)
    }

    fn live_path(&self, first: u64) -> PathBuf {
        self.path.join(format!("{first:020}.{LIVE_EXTENSION}"))
    }
}

impl Live {
    fn open(path: PathBuf, first: u64) -> Result<Self, StoreError> {
        let segment = Segment::open(&path)?;
        let summaries = segment.summaries().collect::<Result<Vec<_>, _>>()?;
        let end = summaries.last().map_or(first, Summary::end);
        let mut bytes = 0;
        for summary in &summaries {
            bytes += segment.block(summary.first)?.bytes.len() as u64;
        }
        Ok(Self { first, path, segment, summaries, bytes, pending: Pending::new(end), packer: Packer::for_log() })
    }

    fn append(&mut self, more: &EncodedEntries<'_>) -> Result<(), StoreError> {
        more.entries.iter().flat_map(|entries| entries.iter()).for_each(|entry| self.pending.summary.add(entry));
        self.pending.raw.extend_from_slice(more.raw);
        if self.pending.raw.len() >= block::RAW_BYTES { self.flush() } else { Ok(()) }
    }

    /// Puts the pending entries into a block of their own.
    fn flush(&mut self) -> Result<(), StoreError> {
        let summary = self.pending.summary;
        if summary.count > 0 {
            let block = Block::build(&mut self.packer, summary.first, summary.count, &self.pending.raw);
            self.segment.put(&block, &summary)?;
            self.bytes += block.bytes.len() as u64;
            self.summaries.push(summary);
            self.pending = Pending::new(summary.end());
        }
        Ok(())
    }
}

/// The events among `entries`, each with its offset and its request.
fn events(first: u64, entries: &[Entry]) -> impl Iterator<Item = FoundEvent> + '_ {
    let mut request = None;
    (first..).zip(entries).filter_map(move |(offset, entry)| {
        match entry {
            Entry::Request(new) => request = Some(new.clone()),
            Entry::Event(event) => return Some(FoundEvent { offset, request: request.clone()?, event: event.clone() }),
            _ => {}
        }
        None
    })
}

fn parse_name(path: &Path) -> Option<(u64, u64)> {
    let (first, end) = path.file_name()?.to_str()?.split_once('-')?;
    Some((first.parse().ok()?, end.parse().ok()?))
}
