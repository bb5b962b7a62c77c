//! The journal: append-only files that make what was taken durable, before the log in sled has it.
//!
//! One thread appends, one frame per group of requests. In normal running it is only written; it is read at start and
//! when the parts behind it are made again. The form is in ARCHITECTURE.md.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use super::{
    block::Block,
    error::{At, RESTORE, StoreError},
    folder::sync_dir,
};

const FILE_MAGIC: &[u8; 8] = b"TrkJrnl\n";
const FILE_VERSION: u32 = 1;
const FILE_HEAD_BYTES: usize = 16;
const FRAME_MAGIC: &[u8; 4] = b"TrkF";
const FRAME_HEAD_BYTES: usize = 20;
const EXTENSION: &str = "journal";

/// The newest journal file, open for appending.
pub struct Journal {
    folder: PathBuf,
    path: PathBuf,
    file: File,
    /// The length up to which all is well.
    good: u64,
}

impl Journal {
    /// Starts a new file, durably, whose first frame will begin at `offset`.
    pub fn create(folder: &Path, offset: u64) -> Result<Self, StoreError> {
        fs::create_dir_all(folder).at(folder)?;
        let path = folder.join(format!("{offset:020}.{EXTENSION}"));
        // A file of that name can only be one that nothing was written to.
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(&path).at(&path)?;
        file.write_all(&file_head()).at(&path)?;
        file.sync_all().at(&path)?;
        sync_dir(folder)?;
        Ok(Self { folder: folder.to_owned(), path, file, good: FILE_HEAD_BYTES as u64 })
    }

    /// Opens the newest file, whose frames were read and end at `good`.
    fn open(folder: &Path, path: PathBuf, good: u64) -> Result<Self, StoreError> {
        let mut file = OpenOptions::new().write(true).open(&path).at(&path)?;
        file.seek(SeekFrom::Start(good)).at(&path)?;
        Ok(Self { folder: folder.to_owned(), path, file, good })
    }

    /// Bytes in the newest file.
    pub fn bytes(&self) -> u64 {
        self.good
    }

    /// Appends a frame; [`Journal::sync`] makes it durable, [`Journal::accept`] counts it as written.
    pub fn append(&mut self, frame: &[u8]) -> io::Result<()> {
        self.file.write_all(frame)
    }

    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// What was appended so far stays.
    pub fn accept(&mut self, frame_len: usize) {
        self.good += frame_len as u64;
    }

    /// Takes back what was appended and not accepted, durably.
    ///
    /// # Errors
    /// It cannot be confirmed that it is gone.
    pub fn cut_back(&mut self) -> io::Result<()> {
        if self.file.metadata()?.len() != self.good {
            self.file.set_len(self.good)?;
            self.file.sync_all()?;
        }
        self.file.seek(SeekFrom::Start(self.good)).map(|_| ())
    }

    /// Goes on in a new file that begins at `offset`.
    pub fn roll(&mut self, offset: u64) -> Result<(), StoreError> {
        self.file.sync_all().at(&self.path)?;
        *self = Self::create(&self.folder, offset)?;
        Ok(())
    }
}

/// Removes the files all of whose entries lie before `offset`.
pub fn remove_before(folder: &Path, offset: u64) -> Result<(), StoreError> {
    let files = files(folder)?;
    for pair in files.windows(2) {
        if pair[1].first <= offset {
            fs::remove_file(&pair[0].path).at(&pair[0].path)?;
        }
    }
    sync_dir(folder)
}

/// The bytes of a frame that holds `blocks`.
pub fn frame<'a>(blocks: impl Iterator<Item = &'a Block>) -> Vec<u8> {
    let mut frame = vec![0; FRAME_HEAD_BYTES];
    let mut first = None;
    for block in blocks {
        first.get_or_insert(block.first);
        frame.extend_from_slice(&block.bytes);
    }
    let payload_len = u32::try_from(frame.len() - FRAME_HEAD_BYTES).expect("a group is bounded far below 4 GiB");
    frame[..4].copy_from_slice(FRAME_MAGIC);
    frame[4..8].copy_from_slice(&payload_len.to_le_bytes());
    frame[12..20].copy_from_slice(&first.unwrap_or(0).to_le_bytes());
    let checksum = frame_checksum(&frame);
    frame[8..12].copy_from_slice(&checksum.to_le_bytes());
    frame
}

/// Covers everything in a frame but the magic and itself.
fn frame_checksum(frame: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&frame[4..8]), &frame[12..])
}

fn file_head() -> [u8; FILE_HEAD_BYTES] {
    let mut head = [0; FILE_HEAD_BYTES];
    head[..8].copy_from_slice(FILE_MAGIC);
    head[8..12].copy_from_slice(&FILE_VERSION.to_le_bytes());
    let checksum = crc32c::crc32c(&head[..12]);
    head[12..].copy_from_slice(&checksum.to_le_bytes());
    head
}

/// What the journal's files hold, as read at start.
pub struct Recovered {
    /// The offset of the first frame that any file may hold.
    pub first: u64,
    /// The offset behind the last entry.
    pub end: u64,
    /// `None` when there is no file at all.
    newest: Option<(PathBuf, u64)>,
}

impl Recovered {
    /// Whether there is no file at all.
    pub fn is_missing(&self) -> bool {
        self.newest.is_none()
    }

    /// Opens the journal for appending behind what was read. The newest file is written anew first where `rewrite`
    /// says so: after a crash, what was read may stand in the page cache alone, and it must not be shown or answered
    /// from before it is on the disk.
    pub fn open(self, folder: &Path, rewrite: bool) -> Result<Journal, StoreError> {
        let Some((path, good)) = self.newest else {
            return Journal::create(folder, self.end);
        };
        if rewrite {
            let new = path.with_extension("new");
            let mut bytes = Vec::new();
            File::open(&path).at(&path)?.take(good).read_to_end(&mut bytes).at(&path)?;
            if bytes.len() < FILE_HEAD_BYTES {
                bytes = file_head().to_vec();
            }
            let mut file = File::create(&new).at(&new)?;
            file.write_all(&bytes).at(&new)?;
            file.sync_all().at(&new)?;
            fs::rename(&new, &path).at(&path)?;
            sync_dir(folder)?;
        }
        Journal::open(folder, path, good.max(FILE_HEAD_BYTES as u64))
    }
}

/// Reads the journal's files and hands each block from offset `from` on to `each`.
///
/// `torn_end`: the last process crashed, so the last frame of the newest file may be torn; it is passed over then.
///
/// # Errors
/// A file is damaged, or entries are missing between two files: file and byte are named. Or `each` failed.
pub fn read(
    folder: &Path,
    from: u64,
    torn_end: bool,
    mut each: impl FnMut(Block) -> Result<(), StoreError>,
) -> Result<Recovered, StoreError> {
    let files = files(folder)?;
    let first = files.first().map_or(from, |file| file.first);
    let mut end = first;
    let mut newest = None;
    for (index, file) in files.iter().enumerate() {
        if file.first != end {
            let what = format!("the entries from offset {end} to {} are missing before this file", file.first);
            return Err(StoreError::damaged(&file.path, what, RESTORE));
        }
        let bytes = fs::read(&file.path).at(&file.path)?;
        let may_be_torn = torn_end && index + 1 == files.len();
        let good = read_file(&file.path, &bytes, may_be_torn, &mut end, |block| {
            if block.end() > from { each(block) } else { Ok(()) }
        })?;
        newest = Some((file.path.clone(), good as u64));
    }
    Ok(Recovered { first, end, newest })
}

/// Reads the frames of one file from offset `end` on, which grows with them; returns the length of the good part.
fn read_file(
    path: &Path,
    bytes: &[u8],
    may_be_torn: bool,
    end: &mut u64,
    mut each: impl FnMut(Block) -> Result<(), StoreError>,
) -> Result<usize, StoreError> {
    if bytes.get(..FILE_HEAD_BYTES) != Some(&file_head()) {
        if bytes.get(..8) == Some(FILE_MAGIC) && bytes.get(8..12) != Some(&FILE_VERSION.to_le_bytes()) && !may_be_torn {
            return Err(StoreError::damaged(path, "a journal file of an unknown version", RESTORE));
        }
        if may_be_torn && !(4..bytes.len()).any(|at| parse_frame(&bytes[at..]).is_some()) {
            return Ok(0); // the file was being made
        }
        return Err(StoreError::damaged(path, "the file's head is damaged", RESTORE));
    }
    let mut at = FILE_HEAD_BYTES;
    while at < bytes.len() {
        let Some((first, payload)) = parse_frame(&bytes[at..]) else {
            // A group is written at a time: behind a torn frame nothing follows. What follows makes it damage.
            let follows =
                (at + 1..bytes.len()).find(|next| parse_frame(&bytes[*next..]).is_some_and(|(first, _)| first > *end));
            return match follows {
                None if may_be_torn => Ok(at),
                _ => {
                    Err(StoreError::damaged(path, format!("the frame at byte {at}, offset {end}, is damaged"), RESTORE))
                }
            };
        };
        if first != *end {
            let what = format!("the frame at byte {at} begins at offset {first}, expected is {end}");
            return Err(StoreError::damaged(path, what, RESTORE));
        }
        let mut rest = payload;
        while !rest.is_empty() {
            let block = Block::parse(rest).ok().filter(|block| block.first == *end);
            let block = block.ok_or_else(|| {
                StoreError::damaged(
                    path,
                    format!("a block at offset {end}, in the frame at byte {at}, is damaged"),
                    RESTORE,
                )
            })?;
            rest = &rest[block.bytes.len()..];
            *end = block.end();
            each(block)?;
        }
        at += FRAME_HEAD_BYTES + payload.len();
    }
    Ok(at)
}

/// The first offset and the payload of the frame at the start of `bytes`; `None` when no whole frame stands there.
fn parse_frame(bytes: &[u8]) -> Option<(u64, &[u8])> {
    if !bytes.starts_with(FRAME_MAGIC) {
        return None;
    }
    let len = u32::from_le_bytes(bytes.get(4..8)?.try_into().ok()?) as usize;
    let checksum = u32::from_le_bytes(bytes.get(8..12)?.try_into().ok()?);
    let first = u64::from_le_bytes(bytes.get(12..20)?.try_into().ok()?);
    let frame = bytes.get(..FRAME_HEAD_BYTES.checked_add(len)?)?;
    (frame_checksum(frame) == checksum).then_some((first, &frame[FRAME_HEAD_BYTES..]))
}

struct JournalFile {
    first: u64,
    path: PathBuf,
}

/// The journal's files, the oldest first. What a crash left half made is removed by [`Recovered::open`]'s rename.
fn files(folder: &Path) -> Result<Vec<JournalFile>, StoreError> {
    let mut files = Vec::new();
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
        entries => entries.at(folder)?,
    };
    for entry in entries {
        let path = entry.at(folder)?.path();
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        model::Id,
        store::{block::Packer, entry},
    };

    fn block(first: u64, count: u32) -> Block {
        let mut raw = Vec::new();
        for number in 0..count {
            let id = Id::required(&format!("session-{first}-{number}")).unwrap();
            entry::encode_into(&mut raw, &entry::Entry::SessionDeleted(id));
        }
        Block::build(&mut Packer::for_journal(), first, count, &raw)
    }

    /// Three frames in a first file, two in a second one; returns the offsets at which they begin.
    fn written(folder: &Path) -> Vec<u64> {
        let mut journal = Journal::create(folder, 0).unwrap();
        let mut firsts = Vec::new();
        let mut next = 0;
        for (index, counts) in [[1, 2], [3, 1], [5, 1], [2, 2], [1, 7]].iter().enumerate() {
            if index == 3 {
                journal.roll(next).unwrap();
            }
            firsts.push(next);
            let blocks: Vec<Block> = counts
                .iter()
                .map(|count| {
                    let block = block(next, *count);
                    next = block.end();
                    block
                })
                .collect();
            let frame = frame(blocks.iter());
            journal.append(&frame).unwrap();
            journal.accept(frame.len());
        }
        journal.sync().unwrap();
        firsts
    }

    fn read_all(folder: &Path, torn_end: bool) -> Result<(Vec<u64>, u64), StoreError> {
        let mut firsts = Vec::new();
        let recovered = read(folder, 0, torn_end, |block| {
            firsts.push(block.first);
            Ok(())
        })?;
        Ok((firsts, recovered.end))
    }

    fn newest(folder: &Path) -> PathBuf {
        files(folder).unwrap().pop().unwrap().path
    }

    #[test]
    fn what_was_appended_is_read_back_and_appended_to() {
        let folder = tempfile::tempdir().unwrap();
        written(folder.path());
        let (firsts, end) = read_all(folder.path(), false).unwrap();
        assert_eq!((firsts.len(), end), (10, 25));
        let recovered = read(folder.path(), 20, false, |_| Ok(())).unwrap();
        let mut journal = recovered.open(folder.path(), true).unwrap();
        let frame = frame([block(25, 3)].iter());
        journal.append(&frame).unwrap();
        assert_eq!(read_all(folder.path(), false).unwrap().1, 28);
        journal.cut_back().unwrap();
        assert_eq!(read_all(folder.path(), false).unwrap().1, 25);
    }

    #[test]
    fn only_the_last_frame_of_the_newest_file_can_be_torn() {
        let folder = tempfile::tempdir().unwrap();
        let firsts = written(folder.path());
        let path = newest(folder.path());
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert!(read_all(folder.path(), false).is_err(), "after a clean end nothing is torn");
        assert_eq!(read_all(folder.path(), true).unwrap().1, firsts[4]);
        let mut flipped = whole.clone();
        flipped[FILE_HEAD_BYTES + FRAME_HEAD_BYTES + 3] ^= 1;
        fs::write(&path, &flipped).unwrap();
        let error = read_all(folder.path(), true).unwrap_err().to_string();
        assert!(error.contains("byte 16, offset 13"), "{error}");
    }

    #[test]
    fn a_missing_file_is_a_gap() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::create(folder.path(), 0).unwrap();
        for first in [0, 1, 2] {
            journal.append(&frame([block(first, 1)].iter())).unwrap();
            journal.roll(first + 1).unwrap();
        }
        fs::remove_file(folder.path().join(format!("{:020}.journal", 1))).unwrap();
        let error = read_all(folder.path(), true).unwrap_err().to_string();
        assert!(error.contains("offset 1 to 2"), "{error}");
        remove_before(folder.path(), 2).unwrap();
        assert_eq!(read_all(folder.path(), true).unwrap().1, 3);
    }

    #[test]
    fn a_file_that_was_being_made_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        written(folder.path());
        for half in [&b""[..], b"TrkJ"] {
            fs::write(folder.path().join(format!("{:020}.journal", 25)), half).unwrap();
            let recovered = read(folder.path(), 0, true, |_| Ok(())).unwrap();
            let mut journal = recovered.open(folder.path(), true).unwrap();
            journal.append(&frame([block(25, 1)].iter())).unwrap();
            assert_eq!(read_all(folder.path(), false).unwrap().1, 26);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn a_flipped_bit_is_damage_or_the_torn_end_and_never_other_entries(at: prop::sample::Index, bit in 0..8, torn_end: bool) {
            let folder = tempfile::tempdir().unwrap();
            let firsts = written(folder.path());
            let path = newest(folder.path());
            let mut bytes = fs::read(&path).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= 1_u8 << bit;
            fs::write(&path, bytes).unwrap();
            match read_all(folder.path(), torn_end) {
                Err(error) => prop_assert!(error.to_string().contains("damaged") || error.to_string().contains("version"), "{}", error),
                Ok((_, end)) => prop_assert!(torn_end && end == firsts[4], "read up to {}", end),
            }
        }
    }
}
