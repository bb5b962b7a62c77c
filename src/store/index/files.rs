//! The indexes of the sealed segments, as they are asked for: opened, or made again where there is none.

use std::{
    collections::{HashMap, HashSet},
    fmt, fs, io,
    num::NonZeroUsize,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use lru::LruCache;
use parking_lot::{Mutex, RwLock};

use super::{Builder, IndexFile, SegmentIndex, SegmentSpan};
use crate::store::{
    error::{At, StoreError},
    files::durable,
};

/// How many indexes are open at a time.
const OPEN_MAX: NonZeroUsize = NonZeroUsize::new(256).expect("256 is not zero");
const EXTENSION: &str = "index";
/// Of a file that is being written.
const NEW_EXTENSION: &str = "new";

/// A segment as it was written once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentName {
    pub range: Range<u64>,
    /// How often it was written anew.
    pub generation: u32,
}

impl SegmentName {
    fn key(&self) -> (u64, u32) {
        (self.range.start, self.generation)
    }
}

/// The name of its folder, and of its index but for the extension.
impl fmt::Display for SegmentName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:020}-{:020}", self.range.start, self.range.end)?;
        if self.generation > 0 { write!(out, ".{}", self.generation) } else { Ok(()) }
    }
}

/// The folder of the indexes.
pub struct IndexFiles {
    folder: PathBuf,
    /// By the offset of the segment's first entry and how often it was written anew, the one used last at the end.
    open: Mutex<LruCache<(u64, u32), SegmentIndex>>,
    /// What the events of segments lie within, of those whose index was open; of one that was written anew, what they lay
    /// within before.
    spans: Mutex<HashMap<u64, Option<SegmentSpan>>>,
    /// Held by whoever makes one, so that each is made once.
    making: Mutex<()>,
}

impl IndexFiles {
    /// Those of another form, as another version wrote them, are removed: they count as missing.
    ///
    /// # Errors
    /// The folder cannot be made or read, or such a file not be removed.
    pub fn new(folder: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(folder).at(folder)?;
        for file in fs::read_dir(folder).at(folder)? {
            let path = file.at(folder)?.path();
            if path.extension().is_some_and(|extension| extension == EXTENSION) && !IndexFile::is_of_this_form(&path) {
                fs::remove_file(&path).at(&path)?;
            }
        }
        Ok(Self {
            folder: folder.to_owned(),
            open: Mutex::new(LruCache::new(OPEN_MAX)),
            spans: Mutex::default(),
            making: Mutex::default(),
        })
    }

    /// What the events lie within of the segment with the entries `range`, if it is known; the inner `None`: there are none.
    pub fn span(&self, range: &Range<u64>) -> Option<Option<SegmentSpan>> {
        self.spans.lock().get(&range.start).cloned()
    }

    /// Removes the files that are no index of these segments.
    pub fn retain<'a>(&self, segments: impl Iterator<Item = &'a SegmentName>) -> Result<(), StoreError> {
        let kept: HashSet<PathBuf> = segments.map(|segment| self.path(segment)).collect();
        for entry in fs::read_dir(&self.folder).at(&self.folder)? {
            let path = entry.at(&self.folder)?.path();
            let is_index =
                path.extension().is_some_and(|extension| extension == EXTENSION || extension == NEW_EXTENSION);
            if is_index && !kept.contains(&path) {
                fs::remove_file(&path).at(&path)?;
            }
        }
        durable::sync_dir(&self.folder)
    }

    /// The index of the segment; `add` hands each of its entries to a builder if there is no file, or it cannot be read.
    pub fn get(
        &self,
        segment: &SegmentName,
        add: impl FnOnce(&mut Builder) -> Result<(), StoreError>,
    ) -> Result<SegmentIndex, StoreError> {
        if let Some(index) = self.opened(segment)? {
            return Ok(index);
        }
        let _making = self.making.lock();
        if let Some(index) = self.opened(segment)? {
            return Ok(index);
        }
        let mut builder = Builder::new(segment.range.start);
        add(&mut builder)?;
        let builder = Arc::new(RwLock::new(builder));
        Ok(self.keep(segment, &builder))
    }

    /// Removes the index of a segment that is not there any more.
    pub fn remove(&self, segment: &SegmentName) -> Result<(), StoreError> {
        self.open.lock().pop(&segment.key());
        let path = self.path(segment);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).at(&path),
            _ => durable::sync_dir(&self.folder),
        }
    }

    /// Writes what was gathered of a segment that is sealed now. Where that fails it stays in memory until it is needed
    /// no more, and is made again then.
    pub fn keep(&self, segment: &SegmentName, builder: &Arc<RwLock<Builder>>) -> SegmentIndex {
        let mut index = SegmentIndex::in_memory(builder);
        let path = self.path(segment);
        let written = IndexFile::write(&path, builder).and_then(|()| IndexFile::open(&path));
        match written {
            Ok(Some(file)) => index = SegmentIndex::in_file(Arc::new(file)),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the index of a segment cannot be written"),
        }
        self.note(segment, &index);
        index
    }

    fn note(&self, segment: &SegmentName, index: &SegmentIndex) {
        self.spans.lock().insert(index.first, index.span());
        self.open.lock().put(segment.key(), index.clone());
    }

    /// Whether there is a file of it.
    pub fn has(&self, segment: &SegmentName) -> bool {
        self.path(segment).exists()
    }

    fn opened(&self, segment: &SegmentName) -> Result<Option<SegmentIndex>, StoreError> {
        let range = &segment.range;
        let known = self.open.lock().get(&segment.key()).cloned();
        match known.filter(|index| index.end == range.end) {
            Some(index) if index.is_damaged() => return Ok(None),
            Some(index) => return Ok(Some(index)),
            None => {}
        }
        let Some(file) = IndexFile::open(&self.path(segment))? else { return Ok(None) };
        let index = SegmentIndex::in_file(Arc::new(file));
        if (index.first, index.end) != (range.start, range.end) {
            return Ok(None);
        }
        self.note(segment, &index);
        Ok(Some(index))
    }

    fn path(&self, segment: &SegmentName) -> PathBuf {
        self.folder.join(format!("{segment}.{EXTENSION}"))
    }
}
