//! The index of a sealed segment in a file. It is made whole, has its name only once it is durable, and is never changed;
//! every part of it is read with its checksum. Its form is in ARCHITECTURE.md.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
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
    Builder, Column, Count, Names, PageSpan, SegmentIndex, Visit, Visitor, counts,
    filter::{Filter, fingerprint},
    packed,
};
use crate::{
    model::Id,
    store::{
        entry,
        error::{At, StoreError},
        files::folder,
    },
};

const MAGIC: &[u8; 8] = b"TrkIndx\n";
const VERSION: u32 = 1;
const HEAD_BYTES: usize = 16;
/// At the end: where the directory stands.
const FOOT_BYTES: usize = 20;
/// Who may read what is stored: its owner.
const FILE_MODE: u32 = 0o600;
const NEW_EXTENSION: &str = "new";
/// How many visits are read for one, and how many keys.
const VISITS_TOGETHER: usize = 512;
const KEYS_TOGETHER: usize = 4_096;
const ZSTD_LEVEL: i32 = 3;
/// More than any part takes, so that a damaged length does not ask for all memory.
const PART_BYTES_MAX: u32 = 1 << 30;

/// A part of the file.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Part {
    at: u64,
    /// How many bytes it takes, and how many before it was compressed; the same: it was not.
    stored: u32,
    raw: u32,
    checksum: u32,
}

#[derive(Serialize, Deserialize)]
struct Directory {
    first: u64,
    end: u64,
    pages: Vec<(PageSpan, [Part; Column::COUNT])>,
    names: Part,
    /// See [`counts::pack`].
    counts: [Part; 4],
    /// [`VISITS_TOGETHER`] each.
    visits: Vec<Part>,
    sessions: Keys,
    profiles: Keys,
}

/// In which visits an id occurs: fingerprints of ids in ascending order, and the number of a visit for each.
#[derive(Serialize, Deserialize)]
struct Keys {
    filter: Filter,
    chunks: Vec<KeyChunk>,
}

#[derive(Serialize, Deserialize)]
struct KeyChunk {
    /// The greatest fingerprint in it.
    most: u32,
    fingerprints: Part,
    visits: Part,
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
        let counts = SegmentIndex::in_memory(builder).counts()?;
        let new = path.with_extension(NEW_EXTENSION);
        let file = OpenOptions::new().create(true).write(true).truncate(true).mode(FILE_MODE).open(&new).at(&new)?;
        let file = Writer { out: BufWriter::new(file), at: 0 }.all(&builder.read(), &counts).at(&new)?;
        file.sync_all().at(&new)?;
        fs::rename(&new, path).at(path)?;
        path.parent().map_or(Ok(()), folder::sync_dir)
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

    /// See [`SegmentIndex::visits_of`].
    pub fn visits_of(&self, visitor: Visitor<'_>) -> Result<Vec<(u32, Visit)>, StoreError> {
        let (keys, id) = match visitor {
            Visitor::Session(id) => (&self.directory.sessions, id),
            Visitor::Profile(id) => (&self.directory.profiles, id),
        };
        let wanted = fingerprint(id);
        if !keys.filter.may_hold(wanted) {
            return Ok(Vec::new());
        }
        let mut numbers = Vec::new();
        let begin = keys.chunks.partition_point(|chunk| chunk.most < wanted);
        for chunk in &keys.chunks[begin..] {
            let fingerprints = self.numbers(&chunk.fingerprints)?;
            let visits = self.numbers(&chunk.visits)?;
            let from = fingerprints.partition_point(|known| *known < u64::from(wanted));
            let to = fingerprints.partition_point(|known| *known <= u64::from(wanted));
            numbers.extend_from_slice(visits.get(from..to).unwrap_or_default());
            if to < fingerprints.len() {
                break;
            }
        }
        numbers.sort_unstable();
        let mut found = Vec::new();
        let mut group: Option<(usize, Vec<Visit>)> = None;
        for number in numbers {
            let (place, within) = (number as usize / VISITS_TOGETHER, number as usize % VISITS_TOGETHER);
            let visits = match &group {
                Some((known, visits)) if *known == place => visits,
                _ => {
                    let part = self.directory.visits.get(place).ok_or_else(|| self.damaged("a visit is missing"))?;
                    &group.insert((place, self.record(part)?)).1
                }
            };
            // Another id may have the same fingerprint.
            if let (Some(visit), Ok(number)) =
                (visits.get(within).filter(|visit| visit.is_of(visitor)), number.try_into())
            {
                found.push((number, visit.clone()));
            }
        }
        Ok(found)
    }

    pub fn visits(&self) -> Result<Vec<Visit>, StoreError> {
        let mut all = Vec::new();
        for part in &self.directory.visits {
            all.extend(self.record::<Vec<Visit>>(part)?);
        }
        Ok(all)
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

fn read_part(file: &File, part: &Part) -> io::Result<Vec<u8>> {
    let is_damaged = |what: &'static str| io::Error::new(io::ErrorKind::InvalidData, what);
    if part.stored > PART_BYTES_MAX || part.raw > PART_BYTES_MAX {
        return Err(is_damaged("a length is not one"));
    }
    let mut bytes = vec![0; part.stored as usize];
    file.read_exact_at(&mut bytes, part.at)?;
    if crc32c::crc32c(&bytes) != part.checksum {
        return Err(is_damaged("a checksum differs"));
    }
    if part.raw == part.stored { Ok(bytes) } else { zstd::bulk::decompress(&bytes, part.raw as usize) }
}

/// Writes the file, part by part.
struct Writer {
    out: BufWriter<File>,
    at: u64,
}

impl Writer {
    fn all(mut self, builder: &Builder, counts: &[Count]) -> io::Result<File> {
        self.bytes(&file_head())?;
        let mut pages = Vec::new();
        for (page, span) in builder.pages().into_iter().enumerate() {
            let mut parts = Vec::with_capacity(Column::COUNT);
            for column in Column::ALL {
                parts.push(self.part(&builder.packed(page, column))?);
            }
            pages.push((span, parts.try_into().expect("a page has each column")));
        }
        let Names { kinds, sources, tags } = builder.names();
        let names = self.part(&entry::encode(&(kinds, sources, tags)))?;
        let mut counted = Vec::with_capacity(4);
        for part in counts::pack(counts) {
            counted.push(self.part(&part)?);
        }
        let counts = counted.try_into().expect("counts have four parts");
        let all = builder.visits();
        let mut visits = Vec::new();
        for together in all.chunks(VISITS_TOGETHER) {
            visits.push(self.part(&entry::encode(&together))?);
        }
        let sessions = self.keys(&all, |visit| visit.session.as_ref())?;
        let profiles = self.keys(&all, |visit| visit.profile.as_ref().map(|profile| &profile.id))?;
        let (first, end) = (builder.first(), builder.end());
        let directory = Directory { first, end, pages, names, counts, visits, sessions, profiles };
        let Part { at, stored, raw, checksum } = self.part(&entry::encode(&directory))?;
        self.bytes(&at.to_le_bytes())?;
        for number in [stored, raw, checksum] {
            self.bytes(&number.to_le_bytes())?;
        }
        self.out.into_inner().map_err(io::IntoInnerError::into_error)
    }

    fn keys<'a>(&mut self, visits: &'a [Visit], id: impl Fn(&'a Visit) -> Option<&'a Id>) -> io::Result<Keys> {
        let numbered = (0_u64..).zip(visits);
        let mut keys: Vec<(u32, u64)> =
            numbered.filter_map(|(number, visit)| Some((fingerprint(id(visit)?), number))).collect();
        keys.sort_unstable();
        let filter = Filter::new(keys.iter().map(|(fingerprint, _)| *fingerprint));
        let mut chunks = Vec::new();
        for chunk in keys.chunks(KEYS_TOGETHER) {
            let (fingerprints, visits): (Vec<u64>, Vec<u64>) =
                chunk.iter().map(|(fingerprint, visit)| (u64::from(*fingerprint), *visit)).unzip();
            chunks.push(KeyChunk {
                most: chunk.last().map_or(0, |(fingerprint, _)| *fingerprint),
                fingerprints: self.part(&packed::pack(&fingerprints))?,
                visits: self.part(&packed::pack(&visits))?,
            });
        }
        Ok(Keys { filter, chunks })
    }

    /// Writes a part, compressed where that makes it smaller.
    fn part(&mut self, raw: &[u8]) -> io::Result<Part> {
        let packed = zstd::bulk::compress(raw, ZSTD_LEVEL)?;
        let stored = if packed.len() < raw.len() { &packed } else { raw };
        let len = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(|_| io::Error::other("a part is too large"));
        let checksum = crc32c::crc32c(stored);
        let part = Part { at: self.at, stored: len(stored)?, raw: len(raw)?, checksum };
        self.bytes(stored)?;
        Ok(part)
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.at += bytes.len() as u64;
        self.out.write_all(bytes)
    }
}
