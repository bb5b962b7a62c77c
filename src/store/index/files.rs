//! The indexes of the sealed segments, as they are asked for: opened, or made again where there is none.

use std::{
    collections::HashMap,
    fs,
    num::NonZeroUsize,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use lru::LruCache;
use parking_lot::{Mutex, RwLock};

use super::{Builder, IndexFile, SegmentIndex, SegmentSpan};
use crate::store::error::{At, StoreError};

/// How many indexes are open at a time.
const OPEN_MAX: NonZeroUsize = NonZeroUsize::new(256).expect("256 is not zero");
const EXTENSION: &str = "index";

/// The folder of the indexes.
pub struct IndexFiles {
    folder: PathBuf,
    /// By the offset of the segment's first entry, the one used last at the end.
    open: Mutex<LruCache<u64, SegmentIndex>>,
    /// What the events of segments lie within, of those whose index was open; a segment never changes.
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

    /// The index of the segment with the entries `range`; `add` hands each of them to a builder if there is no file, or
    /// it cannot be read.
    pub fn get(
        &self,
        range: Range<u64>,
        add: impl FnOnce(&mut Builder) -> Result<(), StoreError>,
    ) -> Result<SegmentIndex, StoreError> {
        if let Some(index) = self.opened(&range)? {
            return Ok(index);
        }
        let _making = self.making.lock();
        if let Some(index) = self.opened(&range)? {
            return Ok(index);
        }
        let mut builder = Builder::new(range.start);
        add(&mut builder)?;
        let builder = Arc::new(RwLock::new(builder));
        Ok(self.keep(&builder))
    }

    /// Writes what was gathered of a segment that is sealed now. Where that fails it stays in memory until it is needed
    /// no more, and is made again then.
    pub fn keep(&self, builder: &Arc<RwLock<Builder>>) -> SegmentIndex {
        let mut index = SegmentIndex::in_memory(builder);
        let path = self.path(&(index.first..index.end));
        let written = IndexFile::write(&path, builder).and_then(|()| IndexFile::open(&path));
        match written {
            Ok(Some(file)) => index = SegmentIndex::in_file(Arc::new(file)),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the index of a segment cannot be written"),
        }
        self.note(&index);
        index
    }

    fn note(&self, index: &SegmentIndex) {
        self.spans.lock().insert(index.first, index.span());
        self.open.lock().put(index.first, index.clone());
    }

    /// Whether there is a file of it.
    pub fn has(&self, range: &Range<u64>) -> bool {
        self.path(range).exists()
    }

    fn opened(&self, range: &Range<u64>) -> Result<Option<SegmentIndex>, StoreError> {
        let known = self.open.lock().get(&range.start).cloned();
        match known.filter(|index| index.end == range.end) {
            Some(index) if index.is_damaged() => return Ok(None),
            Some(index) => return Ok(Some(index)),
            None => {}
        }
        let Some(file) = IndexFile::open(&self.path(range))? else { return Ok(None) };
        let index = SegmentIndex::in_file(Arc::new(file));
        if (index.first, index.end) != (range.start, range.end) {
            return Ok(None);
        }
        self.note(&index);
        Ok(Some(index))
    }

    fn path(&self, range: &Range<u64>) -> PathBuf {
        self.folder.join(format!("{:020}-{:020}.{EXTENSION}", range.start, range.end))
    }
}
