//! The index of a sealed segment in a file. It is made whole, has its name only once it is durable, and is never changed;
//! every part of it is read with its checksum. Its form is in ARCHITECTURE.md.

mod parts;
mod visits;

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::RwLock;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    Builder, Column, Count, Names, PageSpan, SegmentIndex, SegmentProfiles, SegmentSessions, Visit, VisitColumns,
    Visitor, counts, packed,
};
use crate::store::{
    entry,
    error::{At, StoreError},
    files::durable,
};
use parts::{Part, Writer, read_part};
use visits::VisitParts;

const MAGIC: &[u8; 8] = b"TrkIndx\n";
/// 1 had fewer columns, 2 did not tell what was imported, 3 had the facets by other rules. It grows with what a facet says of
/// the same event: counts of old events would else differ from what these show.
const VERSION: u32 = 4;
const HEAD_BYTES: usize = 16;
/// At the end: where the directory stands.
const FOOT_BYTES: usize = 20;
/// Who may read what is stored: its owner.
const FILE_MODE: u32 = 0o600;
const NEW_EXTENSION: &str = "new";

#[derive(Serialize, Deserialize)]
struct Directory {
    first: u64,
    end: u64,
    pages: Vec<(PageSpan, [Part; Column::COUNT])>,
    names: Part,
    /// See [`counts::pack`].
    counts: [Part; 4],
    /// What the numbers of [`Column::FACETS`] stand for.
    texts: [Part; Column::FACETS.len()],
    visits: VisitParts,
}

/// The file, opened.
pub struct IndexFile {
    path: PathBuf,
    file: File,
    directory: Directory,
    pages: Arc<[PageSpan]>,
    /// Something in it could not be read: it is to be made again.
    is_damaged: AtomicBool,
}

impl IndexFile {
    /// Writes what `builder` gathered to the file `path`, durably; no row comes to it any more.
    pub fn write(path: &Path, builder: &Arc<RwLock<Builder>>) -> Result<(), StoreError> {
        let counts = counts::summed(SegmentIndex::in_memory(builder).counts()?.into_iter());
        let new = path.with_extension(NEW_EXTENSION);
        let file = OpenOptions::new().create(true).write(true).truncate(true).mode(FILE_MODE).open(&new).at(&new)?;
        let file = write_all(file, &builder.read(), &counts).at(&new)?;
        file.sync_all().at(&new)?;
        fs::rename(&new, path).at(path)?;
        path.parent().map_or(Ok(()), durable::sync_dir)
    }

    /// Whether the file at `path` is of this form: an older one is made again.
    pub fn is_of_this_form(path: &Path) -> bool {
        let mut head = [0; HEAD_BYTES];
        File::open(path).and_then(|file| file.read_exact_at(&mut head, 0)).is_ok() && head == file_head()
    }

    /// Opens the file at `path`; `None` if there is none that can be read.
    pub fn open(path: &Path) -> Result<Option<Self>, StoreError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).at(path),
        };
        let Some(directory) = directory(&file) else {
            tracing::warn!(path = %path.display(), "the index of a segment is damaged and made again");
            return Ok(None);
        };
        let pages = directory.pages.iter().map(|(span, _)| *span).collect();
        Ok(Some(Self { path: path.to_owned(), file, directory, pages, is_damaged: AtomicBool::new(false) }))
    }

    pub fn is_damaged(&self) -> bool {
        self.is_damaged.load(Ordering::Relaxed)
    }

    pub fn range(&self) -> (u64, u64) {
        (self.directory.first, self.directory.end)
    }

    pub fn pages(&self) -> Arc<[PageSpan]> {
        self.pages.clone()
    }

    pub fn column(&self, page: usize, column: Column) -> Result<Vec<u64>, StoreError> {
        let Some((_, columns)) = self.directory.pages.get(page) else { return Ok(Vec::new()) };
        self.numbers(&columns[column as usize])
    }

    pub fn names(&self) -> Result<Names, StoreError> {
        let (kinds, sources, tags) = self.record(&self.directory.names)?;
        Ok(Names { kinds, sources, tags })
    }

    /// See [`SegmentIndex::counts`].
    pub fn counts(&self) -> Result<Vec<Count>, StoreError> {
        let [quarters, kinds, sources, events] = &self.directory.counts;
        let parts = [self.numbers(quarters)?, self.numbers(kinds)?, self.numbers(sources)?, self.numbers(events)?];
        counts::unpack(parts).ok_or_else(|| self.damaged("counts cannot be read"))
    }

    /// See [`SegmentIndex::texts`].
    pub fn texts(&self, facet: usize) -> Result<Vec<Arc<str>>, StoreError> {
        self.record(&self.directory.texts[facet])
    }

    pub fn visits_of(&self, visitor: Visitor<'_>) -> Result<Vec<(u32, Visit)>, StoreError> {
        self.directory.visits.of(self, visitor)
    }

    pub fn visits(&self) -> Result<Vec<Visit>, StoreError> {
        self.directory.visits.all(self)
    }

    pub fn visit_columns(&self) -> Result<VisitColumns, StoreError> {
        self.directory.visits.columns(self)
    }

    pub fn sessions(&self) -> Result<SegmentSessions, StoreError> {
        self.directory.visits.sessions(self)
    }

    pub fn profile_count(&self) -> usize {
        self.directory.visits.profile_count()
    }

    pub fn profiles(&self) -> Result<SegmentProfiles, StoreError> {
        self.directory.visits.profiles(self)
    }

    fn numbers(&self, part: &Part) -> Result<Vec<u64>, StoreError> {
        let bytes = self.read(part)?;
        packed::unpack(&bytes).ok_or_else(|| self.damaged("packed numbers cannot be read"))
    }

    fn record<T: DeserializeOwned>(&self, part: &Part) -> Result<T, StoreError> {
        let bytes = self.read(part)?;
        entry::decode(&bytes).ok_or_else(|| self.damaged("a record cannot be read"))
    }

    fn read(&self, part: &Part) -> Result<Vec<u8>, StoreError> {
        read_part(&self.file, part).map_err(|error| self.damaged(&error.to_string()))
    }

    /// Notes that the file is to be made again, and tells whoever reads now.
    fn damaged(&self, what: &str) -> StoreError {
        self.is_damaged.store(true, Ordering::Relaxed);
        let what = format!("the index is damaged and made again when it is read next: {what}");
        StoreError::DamagedSegment { path: self.path.display().to_string(), what, behind: self.directory.end }
    }
}

/// Reads where everything stands; `None` if that cannot be read.
fn directory(file: &File) -> Option<Directory> {
    let mut head = [0; HEAD_BYTES];
    file.read_exact_at(&mut head, 0).ok()?;
    if head != file_head() {
        return None;
    }
    let len = file.metadata().ok()?.len();
    let mut foot = [0; FOOT_BYTES];
    file.read_exact_at(&mut foot, len.checked_sub(FOOT_BYTES as u64)?).ok()?;
    let number = |at: usize| foot[at..at + 4].try_into().ok().map(u32::from_le_bytes);
    let at = u64::from_le_bytes(foot[..8].try_into().ok()?);
    let part = Part { at, stored: number(8)?, raw: number(12)?, checksum: number(16)? };
    entry::decode(&read_part(file, &part).ok()?)
}

fn file_head() -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[..8].copy_from_slice(MAGIC);
    head[8..12].copy_from_slice(&VERSION.to_le_bytes());
    let checksum = crc32c::crc32c(&head[..12]);
    head[12..].copy_from_slice(&checksum.to_le_bytes());
    head
}

/// Writes everything to a new file, and hands it back.
fn write_all(file: File, builder: &Builder, counts: &[Count]) -> io::Result<File> {
    let mut out = Writer::new(file)?;
    out.bytes(&file_head())?;
    let mut pages = Vec::new();
    for (page, span) in builder.pages().into_iter().enumerate() {
        let mut parts = Vec::with_capacity(Column::COUNT);
        for column in Column::ALL {
            parts.push(out.part(&builder.packed(page, column))?);
        }
        pages.push((span, parts.try_into().expect("a page has each column")));
    }
    let Names { kinds, sources, tags } = builder.names();
    let names = out.record(&(kinds, sources, tags))?;
    let mut counted = Vec::with_capacity(4);
    for part in counts::pack(counts) {
        counted.push(out.part(&part)?);
    }
    let counts = counted.try_into().expect("counts have four parts");
    let mut texts = Vec::with_capacity(Column::FACETS.len());
    for facet in 0..Column::FACETS.len() {
        texts.push(out.record(&builder.texts(facet))?);
    }
    let texts = texts.try_into().expect("each facet has its texts");
    let visits = VisitParts::write(&mut out, builder.visits())?;
    let (first, end) = (builder.first(), builder.end());
    let directory = Directory { first, end, pages, names, counts, texts, visits };
    let Part { at, stored, raw, checksum } = out.record(&directory)?;
    out.bytes(&at.to_le_bytes())?;
    for number in [stored, raw, checksum] {
        out.bytes(&number.to_le_bytes())?;
    }
    out.end()
}
