//! The log: sealed segments, and the live one that grows behind them.
//!
//! The journal has every entry that is not in a sealed segment, so the live segment owes nothing to sled's own
//! recovery: after a crash it is thrown away and filled again. A full one is sealed beside the collecting: another live
//! one takes its place, and it is read until the sealed one stands.

mod block;
mod each_block;
mod events;
mod format3;
mod live;
mod made;
mod rewriting;
mod sealed;
mod segment;
mod spans;

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::RwLock;

use super::{
    entry::Entry,
    error::{At, RESTORE, StoreError},
    figures::SegmentFigures,
    files::{
        checksums::{self, Comparison},
        durable,
    },
    index::{IndexFiles, SegmentIndex, SegmentSpan},
};
use crate::model::{Id, Profile, ProfileRef};
use live::Live;
use sealed::{NEW_EXTENSION, OpenSegments};
use segment::made_id;

pub use block::{Block, Encoded, Packer, RAW_BYTES};
pub use events::{EventBlock, FoundEvent};
pub use made::MadeIds;
pub use sealed::Sealed;

const LIVE_EXTENSION: &str = "live";

pub struct Log {
    path: Arc<Path>,
    /// A live segment of this many bytes is full.
    segment_bytes: u64,
    /// The live segment; `None` after the log was closed. Taken before `sealing`, and this before `sealed`.
    live: RwLock<Option<Live>>,
    /// A full one that is being sealed; it is gone only once it stands among the sealed ones.
    sealing: RwLock<Option<Arc<Live>>>,
    sealed: RwLock<Vec<Arc<Sealed>>>,
    open: OpenSegments,
    indexes: IndexFiles,
}

/// Entries that stand behind each other, and their encoded form.
pub struct EncodedEntries<'a> {
    /// The version of blocks that they are encoded for.
    pub version: u16,
    pub raw: &'a [u8],
    pub entries: &'a [Arc<[Entry]>],
}

impl Log {
    /// Opens the log in the folder `path`, with the indexes of its segments in the folder `indexes`. `keep_live`: the last
    /// process closed it, so the live segment can be taken if it is as it was then.
    ///
    /// # Errors
    /// A segment is missing between two others, or the live one cannot be opened.
    pub fn open(path: &Path, indexes: &Path, segment_bytes: u64, keep_live: bool) -> Result<Self, StoreError> {
        let (sealed, live) = segments(path)?;
        let sealed_end = sealed.last().map_or(0, |segment| segment.end);
        let kept = path.join(format!("{sealed_end:020}.{LIVE_EXTENSION}"));
        for path in live {
            if !(keep_live && path == kept && is_as_closed(&path)?) {
                durable::remove_tree(&path)?; // made again from the journal
            }
        }
        if kept.exists() {
            checksums::forget(&kept)?;
        }
        let live = Live::open(&kept, sealed_end)?;
        let indexes = IndexFiles::new(indexes)?;
        indexes.retain(sealed.iter().map(|segment| &segment.name))?;
        Ok(Self {
            path: path.into(),
            segment_bytes,
            live: RwLock::new(Some(live)),
            sealing: RwLock::default(),
            sealed: RwLock::new(sealed),
            open: OpenSegments::default(),
            indexes,
        })
    }

    /// The offset up to which the entries stand in sealed segments: before it, no journal is needed.
    pub fn sealed_end(&self) -> u64 {
        self.sealed.read().last().map_or(0, |segment| segment.end)
    }

    pub fn sealed(&self) -> Vec<Arc<Sealed>> {
        self.sealed.read().clone()
    }

    /// How many segments there are; looks for the file of each index.
    pub fn figures(&self) -> SegmentFigures {
        SegmentFigures {
            live: 1 + usize::from(self.sealing.read().is_some()),
            sealed: self.sealed.read().len(),
            without_index: self.without_index().len(),
        }
    }

    /// The offset behind the last entry.
    pub fn end(&self) -> u64 {
        self.live.read().as_ref().map_or_else(|| self.sealed_end(), Live::end)
    }

    /// Puts entries behind the end.
    pub fn append(&self, more: &EncodedEntries<'_>) -> Result<(), StoreError> {
        let mut live = self.live.write();
        let live = live.as_mut().ok_or_else(|| StoreError::damaged(&self.path, "the log is closed", "start again"))?;
        live.append(more)
    }

    /// Whether the live segment is full, or has everything before offset `before`, and none is being sealed.
    pub fn is_to_seal(&self, before: u64) -> bool {
        let is_wanted = |live: &Live| live.first < before && live.end() >= before;
        let is_ready = |live: &Live| live.bytes >= self.segment_bytes || is_wanted(live);
        self.sealing.read().is_none() && self.live.read().as_ref().is_some_and(is_ready)
    }

    /// Lets another live segment take the place of the full one, which is to be sealed; called by whoever appends.
    pub fn roll(&self) -> Result<(), StoreError> {
        let end = self.end();
        let next = Live::open(&self.path.join(format!("{end:020}.{LIVE_EXTENSION}")), end)?;
        let mut slot = self.live.write();
        if let Some(live) = slot.as_mut() {
            live.flush()?;
        }
        let mut sealing = self.sealing.write();
        *sealing = slot.replace(next).map(Arc::new);
        Ok(())
    }

    /// Seals the segment that [`Log::roll`] set aside, if there is one. Readers go on, and so does whoever appends.
    ///
    /// # Errors
    /// It cannot be written, and is to be sealed still; or it cannot be read.
    pub fn seal(&self) -> Result<(), StoreError> {
        let Some(full) = self.sealing.read().clone() else { return Ok(()) };
        let sealed = Sealed::write(&self.path, &full)?;
        self.indexes.keep(&sealed.name, full.index());
        self.sealed.write().push(Arc::new(sealed));
        *self.sealing.write() = None;
        durable::remove_tree(&full.path)
    }

    /// Writes the live segment out durably; nothing can be appended or read after it. One that is to be sealed is made
    /// again from the journal at the next start.
    pub fn close(&self) -> Result<(), StoreError> {
        let live = self.live.write().take();
        self.sealing.write().take();
        self.open.close();
        if let Some(live) = live {
            live.close()?;
        }
        durable::sync_dir(&self.path)
    }

    /// Hands every block that reaches beyond offset `from` to `each`, in order.
    pub fn scan(
        &self,
        from: u64,
        mut each: impl FnMut(u64, Vec<Entry>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        for part in self.sealed().iter().filter(|part| part.end > from) {
            part.scan(&self.open, from, &mut each)?;
        }
        let live = self.live.read();
        if let Some(sealing) = self.sealing.read().as_ref() {
            sealing.scan(from, &mut each)?;
        }
        live.as_ref().map_or(Ok(()), |live| live.scan(from, &mut each))
    }

    /// The first offset of each segment and the one behind its last, in order; the live one is the last.
    pub fn segments(&self) -> Vec<Range<u64>> {
        let live = self.live.read();
        let unsealed = self.sealing.read().as_ref().map(|sealing| sealing.first..sealing.end());
        let live = live.as_ref().map(|live| live.first..live.end());
        let sealed = self.sealed.read();
        sealed.iter().map(|part| part.first..part.end).chain(unsealed).chain(live).collect()
    }

    /// The index of the segment that begins at offset `first`; `None` if none does. That of a sealed one is made if there
    /// is none.
    pub fn index(&self, first: u64) -> Result<Option<SegmentIndex>, StoreError> {
        if let Some(live) = self.live.read().as_ref().filter(|live| live.first == first) {
            return Ok(Some(SegmentIndex::in_memory(live.index())));
        }
        if let Some(sealing) = self.sealing.read().as_ref().filter(|sealing| sealing.first == first) {
            return Ok(Some(SegmentIndex::in_memory(sealing.index())));
        }
        let part = self.sealed.read().iter().find(|part| part.first == first).cloned();
        let made = part.map(|part| {
            self.indexes.get(&part.name, |builder| {
                part.scan(&self.open, part.first, &mut |_, entries| {
                    entries.iter().for_each(|entry| builder.add(entry));
                    Ok(())
                })
            })
        });
        made.transpose()
    }

    /// What the events lie within of the segment with the entries `range`; `None`: there are none.
    pub fn span(&self, range: &Range<u64>) -> Result<Option<SegmentSpan>, StoreError> {
        match self.indexes.span(range) {
            Some(known) => Ok(known),
            None => Ok(self.index(range.start)?.and_then(|index| index.span())),
        }
    }

    /// The sealed segments that have no index yet, by their first offsets.
    pub fn without_index(&self) -> Vec<u64> {
        let sealed = self.sealed();
        sealed.iter().filter(|part| !self.indexes.has(&part.name)).map(|part| part.first).collect()
    }

    /// The block that holds `offset`, unpacked; `None` behind the end.
    pub fn event_block(&self, offset: u64) -> Result<Option<EventBlock>, StoreError> {
        let block = self.in_block(offset, |block| Ok(block.into_owned()))?;
        Ok(block.map(|encoded| EventBlock::new(encoded, self.path.clone())))
    }

    /// The event at `offset`, with its request.
    pub fn event_at(&self, offset: u64) -> Result<Option<FoundEvent>, StoreError> {
        Ok(self.in_block(offset, |block| block.events_at(&[offset], |_, _| true))?.and_then(|mut found| found.pop()))
    }

    /// The event that the server gave the id `id`.
    pub fn event_made(&self, id: &Id) -> Result<Option<FoundEvent>, StoreError> {
        let Some(number) = made_id(id) else { return Ok(None) };
        if let Some(live) = self.live.read().as_ref()
            && let Some(found) = live.event_made(id, number)?
        {
            return Ok(Some(found));
        }
        let sealing = self.sealing.read().clone();
        if let Some(sealing) = sealing
            && let Some(found) = sealing.event_made(id, number)?
        {
            return Ok(Some(found));
        }
        // One that is damaged may have it, if no other one has.
        let mut damage = None;
        for part in self.sealed().iter().rev() {
            match part.event_made(&self.open, id, number) {
                Ok(None) => {}
                Ok(found) => return Ok(found),
                Err(error) => damage = Some(error),
            }
        }
        damage.map_or(Ok(None), Err)
    }

    /// The entries of the block that holds `offset`, with the offset of the first; `None` behind the end.
    pub fn block_around(&self, offset: u64) -> Result<Option<(u64, Vec<Entry>)>, StoreError> {
        self.in_block(offset, |block| Ok((block.first, block.entries()?)))
    }

    /// The profile whose state stands at `offset`: see [`Encoded::profile_at`].
    pub fn profile_at(
        &self,
        offset: u64,
        wanted: Option<&ProfileRef>,
    ) -> Result<Option<(Profile, Option<u64>)>, StoreError> {
        self.in_block(offset, |block| block.profile_at(offset, wanted)).map(Option::flatten)
    }

    /// The first state of a profile that notes that something was written to it at `offset` and `path`: the request that
    /// wrote it stored that state, there or nearby.
    pub fn profile_that_wrote(&self, offset: u64, path: &str) -> Result<Option<Arc<Profile>>, StoreError> {
        let wrote = |entries: Vec<Entry>| {
            let states = entries.into_iter().filter_map(|entry| match entry {
                Entry::Profile(state) | Entry::ProfileOfFormat3(state) => Some(state),
                _ => None,
            });
            states.into_iter().find(|state| state.notes_write(offset, path))
        };
        let Some((first, entries)) = self.block_around(offset)? else { return Ok(None) };
        // What a request stores may begin in the block before, or go on in the next one.
        let end = first + entries.len() as u64;
        if let Some(before) = first.checked_sub(1)
            && let Some(found) = self.block_around(before)?.and_then(|(_, entries)| wrote(entries))
        {
            return Ok(Some(found));
        }
        match wrote(entries) {
            Some(found) => Ok(Some(found)),
            None => Ok(self.block_around(end)?.and_then(|(_, entries)| wrote(entries))),
        }
    }

    /// The first state of the profile that stands at `offset` or behind it, where a request begins that stored one.
    pub fn profile_from(&self, offset: u64, profile: &ProfileRef) -> Result<Option<Arc<Profile>>, StoreError> {
        let Some((first, entries)) = self.block_around(offset)? else { return Ok(None) };
        let end = first + entries.len() as u64;
        let found = |first: u64, entries: Vec<Entry>| {
            let behind = (first..).zip(entries).filter(|(at, _)| *at >= offset).map(|(_, entry)| entry);
            let mut states = behind.filter_map(|entry| match entry {
                Entry::Profile(state) => Some(state),
                _ => None,
            });
            states.find(|state| state.reference() == *profile)
        };
        match found(first, entries) {
            Some(state) => Ok(Some(state)),
            // What a request stores may go on in the next block.
            None => Ok(self.block_around(end)?.and_then(|(first, entries)| found(first, entries))),
        }
    }

    /// What `read` finds in the block that holds `offset`; `None` behind the end.
    fn in_block<T>(
        &self,
        offset: u64,
        read: impl FnOnce(Encoded<'_>) -> Result<T, &'static str>,
    ) -> Result<Option<T>, StoreError> {
        // Whoever reads may be held up for long, and must not hold up who appends: the segments are not locked meanwhile.
        let found = |live: &Live| (offset >= live.first).then(|| live.find(offset));
        let live = self.live.read().as_ref().and_then(found);
        let unsealed = live.or_else(|| self.sealing.read().as_deref().and_then(found));
        if let Some(block) = unsealed {
            return block.map_or(Ok(None), |block| block.read(read));
        }
        let part = self.sealed.read().iter().find(|part| (part.first..part.end).contains(&offset)).cloned();
        part.map(|part| part.in_block(&self.open, offset, read)).transpose()
    }
}

/// The sealed segments in a folder, in order, and the folders of live ones. What was being sealed is removed.
///
/// # Errors
/// A segment is missing between two others.
pub fn segments(path: &Path) -> Result<(Vec<Arc<Sealed>>, Vec<PathBuf>), StoreError> {
    let (mut sealed, mut live) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(path).at(path)? {
        let path = entry.at(path)?.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some(LIVE_EXTENSION) => live.push(path),
            Some(NEW_EXTENSION) => durable::remove_tree(&path)?, // a number there tells how often one was written anew
            _ => {
                let name = path.clone();
                let segment = Sealed::of(path)
                    .ok_or_else(|| StoreError::damaged(&name, "not a name of a segment", "move it away"))?;
                sealed.push(Arc::new(segment));
            }
        }
    }
    sealed.sort_by_key(|segment: &Arc<Sealed>| (segment.first, segment.name.generation));
    // Of one that was written anew, the last stands.
    for pair in sealed.windows(2).filter(|pair| pair[0].name.range == pair[1].name.range) {
        durable::remove_tree(pair[0].path())?;
    }
    sealed.dedup_by(|later, earlier| {
        let is_same = later.name.range == earlier.name.range;
        if is_same {
            std::mem::swap(later, earlier);
        }
        is_same
    });
    let mut end = 0;
    for segment in &sealed {
        if segment.first != end {
            let what = format!("the segment with the offsets from {end} to {} is missing", segment.first);
            return Err(StoreError::damaged(segment.path(), what, RESTORE));
        }
        end = segment.end;
    }
    Ok((sealed, live))
}

/// Whether a live segment is as it was when it was closed.
fn is_as_closed(path: &Path) -> Result<bool, StoreError> {
    let comparison = checksums::compare(path)?;
    if let Comparison::Differs(what) = &comparison {
        tracing::warn!(segment = %path.display(), what, "the live segment is damaged and made again from the journal");
    }
    Ok(comparison == Comparison::Same)
}

#[cfg(test)]
mod tests;
