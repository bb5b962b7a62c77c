//! The journal: append-only files that make what was taken durable, before the log in sled has it.
//!
//! Whoever uses it knows offsets and frames, and no files: a frame is appended behind the last one or not at all, blocks
//! are read from an offset on, and what stands before an offset is dropped. One thread appends, one frame per group of
//! requests. In normal running it is only written; it is read at start and when the parts behind it are made again.
//!
//! The newest file has *room*: zeros behind its last frame, which the next frames are written over. A sync of what lies
//! within a file's length needs not make the length durable, too, which takes as long again as making the frame so.

mod frame;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use super::{
    error::{At, RESTORE, StoreError},
    files::disk::{Disk, DiskFile, RealDisk},
    log::Block,
};
use crate::count::Histogram;
use frame::{FILE_HEAD_BYTES, file_head, read_file};

pub use frame::Frame;

const EXTENSION: &str = "journal";
/// Of a file that is being made; it is given its name once it is whole and durable.
const NEW_EXTENSION: &str = "new";

/// How many zeros are written behind a frame for which there was no more room.
const ROOM_BYTES: usize = if cfg!(test) { 200 } else { 256 * 1024 };

/// The journal, open for appending.
pub struct Journal<D: Disk = RealDisk> {
    disk: D,
    folder: PathBuf,
    /// The offset of the first frame that any file may hold.
    first: u64,
    /// The offset behind the last entry.
    end: u64,
    /// The newest file.
    path: PathBuf,
    file: D::File,
    /// The length of the newest file up to which it is what was appended.
    len: u64,
    /// The byte of the newest file before which there is room.
    room_end: u64,
    /// A file of this many bytes is full.
    file_bytes: u64,
    /// What stands behind `len`, but for room.
    rest: Rest,
    /// What of the newest file is on the disk is not known: a sync failed.
    is_unsynced: bool,
    /// Of the newest file.
    fsyncs: Arc<Histogram>,
}

/// What stands in the newest file behind what was appended.
#[derive(Clone, Copy, PartialEq)]
enum Rest {
    Nothing,
    /// Whatever a write that failed left.
    Written,
    /// It is cut off, but that may not be durable.
    Cut,
}

/// Why a frame was not appended.
#[derive(Debug, thiserror::Error)]
pub enum NotAppended {
    /// Nothing of it is there, durably.
    #[error("the journal cannot be written: {0}")]
    TakenBack(String),
    /// Some or all of it may be there.
    #[error("the journal cannot be written, and what was written cannot be taken back: {0}")]
    Unknown(String),
}

impl<D: Disk> Journal<D> {
    /// Opens the journal in `folder`, which holds none yet or all that was appended from some offset on; a new one
    /// begins at `begin`.
    ///
    /// `crashed`: the last process did not close it. Then the last frame may be torn, and is cut off; and what was read
    /// may stand in the page cache alone, so the newest file is written anew before anything of it is shown.
    ///
    /// # Errors
    /// A file is damaged, or entries are missing between two files: file and byte are named.
    pub fn open(disk: D, folder: &Path, begin: u64, file_bytes: u64, crashed: bool) -> Result<Self, StoreError> {
        let files = files(&disk, folder)?;
        let head = FILE_HEAD_BYTES as u64;
        let (first, end, path, file, len) = match files.last() {
            None => {
                let (path, file) = create(&disk, folder, begin).at(folder)?;
                (begin, begin, path, file, head)
            }
            Some(newest) => {
                let (end, len) = read_files(&disk, &files, 0, crashed, |_| Ok(()))?;
                let path = newest.path.clone();
                let file = if crashed { rewrite(&disk, folder, &path, len) } else { disk.open(&path) };
                (files[0].first, end, path.clone(), file.at(&path)?, len.max(head))
            }
        };
        Ok(Self {
            disk,
            folder: folder.to_owned(),
            first,
            end,
            path,
            file,
            len,
            room_end: len,
            file_bytes,
            rest: Rest::Nothing,
            is_unsynced: false,
            fsyncs: Arc::default(),
        })
    }

    /// The offset of the first entry that it may hold.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The offset behind its last entry.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// How long its fsyncs took, also those to come.
    pub fn fsyncs(&self) -> Arc<Histogram> {
        self.fsyncs.clone()
    }

    /// Appends a frame behind the last one; [`Journal::sync`] makes it durable.
    pub fn append(&mut self, frame: &Frame) -> Result<(), NotAppended> {
        self.prepare(frame)?;
        let written = self.write(frame);
        self.keep(frame, written)
    }

    /// Appends a frame behind the last one, durably.
    pub fn append_durably(&mut self, frame: &Frame) -> Result<(), NotAppended> {
        self.prepare(frame)?;
        let written = self.write(frame).and_then(|()| self.sync_file());
        self.keep(frame, written)
    }

    /// Writes a frame behind the last one, and more room behind it if there was not enough.
    fn write(&mut self, frame: &Frame) -> io::Result<()> {
        let end = self.len + frame.bytes.len() as u64;
        if end <= self.room_end {
            return self.file.write(self.len, &frame.bytes);
        }
        let mut bytes = Vec::with_capacity(frame.bytes.len() + ROOM_BYTES);
        bytes.extend_from_slice(&frame.bytes);
        bytes.resize(bytes.capacity(), 0);
        self.file.write(self.len, &bytes)?;
        self.room_end = self.len + bytes.len() as u64;
        Ok(())
    }

    /// Makes sure that the next frame can follow: what could not be taken back is, and a full file gives way to a new
    /// one.
    fn prepare(&mut self, frame: &Frame) -> Result<(), NotAppended> {
        let taken_back = |error: io::Error| NotAppended::TakenBack(error.to_string());
        if frame.first != self.end {
            let what = format!("a frame of offset {} cannot stand behind offset {}", frame.first, self.end);
            return Err(NotAppended::TakenBack(what));
        }
        self.clean().map_err(taken_back)?;
        let is_full = self.len >= self.file_bytes;
        if is_full {
            self.begin_file().map_err(taken_back)?;
        } else if self.is_unsynced {
            self.sync().map_err(taken_back)?;
        }
        Ok(())
    }

    /// Lets the next frame stand in a file of its own: what stands before it can be dropped then. The offset behind the
    /// last entry.
    ///
    /// # Errors
    /// The file cannot be made; the next frame stands where it would have.
    pub fn begin_file(&mut self) -> io::Result<u64> {
        self.close()?;
        if self.path != file_path(&self.folder, self.end) {
            let (path, file) = create(&self.disk, &self.folder, self.end)?;
            (self.path, self.file, self.len) = (path, file, FILE_HEAD_BYTES as u64);
            self.room_end = self.len;
        }
        Ok(self.end)
    }

    fn keep(&mut self, frame: &Frame, written: io::Result<()>) -> Result<(), NotAppended> {
        match written {
            Ok(()) => {
                self.len += frame.bytes.len() as u64;
                self.end = frame.end;
                Ok(())
            }
            Err(error) => {
                self.rest = Rest::Written;
                match self.clean() {
                    Ok(()) => Err(NotAppended::TakenBack(error.to_string())),
                    Err(_) => Err(NotAppended::Unknown(error.to_string())),
                }
            }
        }
    }

    /// Takes back what was written and not appended, durably.
    ///
    /// # Errors
    /// It cannot be confirmed that it is gone.
    pub fn clean(&mut self) -> io::Result<()> {
        if self.rest == Rest::Cut || (self.rest == Rest::Written && self.file.len()? != self.len) {
            self.rest = Rest::Cut;
            self.room_end = self.len;
            self.file.cut(self.len)?;
        }
        self.rest = Rest::Nothing;
        Ok(())
    }

    /// Makes everything durable that was appended, and cuts the room off: nothing else stands in the files then.
    pub fn close(&mut self) -> io::Result<()> {
        self.sync()?;
        if self.room_end > self.len {
            self.rest = Rest::Cut;
        }
        self.clean()
    }

    /// Makes everything durable that was appended. Once that failed, the system may take for written what is not: the
    /// file is written anew then.
    pub fn sync(&mut self) -> io::Result<()> {
        self.clean()?;
        if !self.is_unsynced {
            match self.sync_file() {
                Ok(()) => return Ok(()),
                Err(error) => tracing::warn!(%error, "the journal could not be synced and is written anew"),
            }
            self.is_unsynced = true;
        }
        self.file = rewrite(&self.disk, &self.folder, &self.path, self.len)?;
        self.room_end = self.len;
        self.is_unsynced = false;
        Ok(())
    }

    fn sync_file(&self) -> io::Result<()> {
        let begun = Instant::now();
        let synced = self.file.sync();
        self.fsyncs.observe(begun.elapsed());
        synced
    }

    /// Finds out whether frames can be appended, durably: by appending one that holds nothing.
    pub fn probe(&mut self) -> Result<(), NotAppended> {
        self.sync().map_err(|error| NotAppended::TakenBack(error.to_string()))?;
        self.append_durably(&Frame::new(self.end, std::iter::empty()))
    }

    /// Hands each block that reaches beyond offset `from` to `each`, in order.
    pub fn read(&self, from: u64, each: impl FnMut(Block) -> Result<(), StoreError>) -> Result<(), StoreError> {
        read_files(&self.disk, &files(&self.disk, &self.folder)?, from, false, each).map(|_| ())
    }

    /// Drops what only stands before `offset`.
    pub fn drop_before(&mut self, offset: u64) -> Result<(), StoreError> {
        let files = files(&self.disk, &self.folder)?;
        for pair in files.windows(2) {
            if pair[1].first <= offset {
                self.disk.remove(&pair[0].path).at(&pair[0].path)?;
                self.first = pair[1].first;
            }
        }
        self.disk.sync_folder(&self.folder).at(&self.folder)
    }
}

/// Reads a journal without opening it; the offsets of its first entry and behind its last one, and `None` if there is
/// none.
pub fn inspect(
    folder: &Path,
    crashed: bool,
    each: impl FnMut(Block) -> Result<(), StoreError>,
) -> Result<Option<(u64, u64)>, StoreError> {
    let files = files(&RealDisk, folder)?;
    let Some(first) = files.first().map(|file| file.first) else { return Ok(None) };
    let (end, _) = read_files(&RealDisk, &files, 0, crashed, each)?;
    Ok(Some((first, end)))
}

/// Makes a file whose first frame will begin at `offset`. It has its name once it is whole and durable, so no file is
/// ever half made, and a second try makes it again.
fn create<D: Disk>(disk: &D, folder: &Path, offset: u64) -> io::Result<(PathBuf, D::File)> {
    let path = file_path(folder, offset);
    let file = put(disk, folder, &path, &file_head())?;
    Ok((path, file))
}

/// The file whose first frame begins at `offset`.
fn file_path(folder: &Path, offset: u64) -> PathBuf {
    folder.join(format!("{offset:020}.{EXTENSION}"))
}

/// Puts a copy of the first `len` bytes of a file in its place, durably.
fn rewrite<D: Disk>(disk: &D, folder: &Path, path: &Path, len: u64) -> io::Result<D::File> {
    let mut bytes = disk.read(path)?;
    let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
    if bytes.len() < len {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than what was written to it"));
    }
    bytes.truncate(len);
    if bytes.len() < FILE_HEAD_BYTES {
        bytes = file_head().to_vec();
    }
    put(disk, folder, path, &bytes)
}

/// Puts a file of these bytes at `path`, durably; it stays open for appending.
fn put<D: Disk>(disk: &D, folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<D::File> {
    let new = path.with_extension(NEW_EXTENSION);
    let file = disk.create(&new)?;
    file.write(0, bytes)?;
    file.sync()?;
    disk.rename(&new, path)?;
    disk.sync_folder(folder)?;
    Ok(file)
}

struct JournalFile {
    first: u64,
    path: PathBuf,
}

/// The journal's files, the oldest first.
fn files(disk: &impl Disk, folder: &Path) -> Result<Vec<JournalFile>, StoreError> {
    let mut files = Vec::new();
    for path in disk.list(folder).at(folder)? {
        if path.extension().is_some_and(|extension| extension == EXTENSION) {
            let first = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
            let first =
                first.ok_or_else(|| StoreError::damaged(&path, "not a name of a journal file", "move it away"))?;
            files.push(JournalFile { first, path });
        }
    }
    files.sort_by_key(|file| file.first);
    Ok(files)
}

/// Hands each block from offset `from` on to `each`; the offset behind the last entry, and how much of the newest file
/// is good.
fn read_files(
    disk: &impl Disk,
    files: &[JournalFile],
    from: u64,
    crashed: bool,
    mut each: impl FnMut(Block) -> Result<(), StoreError>,
) -> Result<(u64, u64), StoreError> {
    let mut end = files.first().map_or(from, |file| file.first);
    let mut good = 0;
    for (index, file) in files.iter().enumerate() {
        if file.first != end {
            let what = format!("the entries from offset {end} to {} are missing before this file", file.first);
            return Err(StoreError::damaged(&file.path, what, RESTORE));
        }
        let bytes = disk.read(&file.path).at(&file.path)?;
        let may_be_torn = crashed && index + 1 == files.len();
        good = read_file(&file.path, &bytes, may_be_torn, &mut end, |block| {
            if block.end() > from { each(block) } else { Ok(()) }
        })?;
    }
    Ok((end, good as u64))
}

#[cfg(test)]
mod tests;
