//! The form of a journal file: a head, then frames of blocks. ARCHITECTURE.md has it byte by byte.

use std::path::Path;

use crate::store::{
    error::{RESTORE, StoreError},
    log::Block,
};

const FILE_MAGIC: &[u8; 8] = b"TrkJrnl\n";
const FILE_VERSION: u32 = 1;
pub const FILE_HEAD_BYTES: usize = 16;
const FRAME_MAGIC: &[u8; 4] = b"TrkF";
pub const FRAME_HEAD_BYTES: usize = 20;

/// Blocks that are written at once, as bytes.
pub struct Frame {
    /// The offset of the first entry.
    pub first: u64,
    /// The offset behind the last entry.
    pub end: u64,
    pub bytes: Vec<u8>,
}

impl Frame {
    /// The frame that holds `blocks`, the first of which begins at offset `first`. A frame of no blocks says nothing; to
    /// write it shows that the journal can be written.
    pub fn new<'a>(first: u64, blocks: impl Iterator<Item = &'a Block>) -> Self {
        let mut bytes = vec![0; FRAME_HEAD_BYTES];
        let mut end = first;
        for block in blocks {
            end = block.end();
            bytes.extend_from_slice(&block.bytes);
        }
        let payload_len = u32::try_from(bytes.len() - FRAME_HEAD_BYTES).expect("a group is bounded far below 4 GiB");
        bytes[..4].copy_from_slice(FRAME_MAGIC);
        bytes[4..8].copy_from_slice(&payload_len.to_le_bytes());
        bytes[12..20].copy_from_slice(&first.to_le_bytes());
        let checksum = frame_checksum(&bytes);
        bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
        Self { first, end, bytes }
    }
}

/// Covers everything in a frame but the magic and itself.
fn frame_checksum(frame: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&frame[4..8]), &frame[12..])
}

pub fn file_head() -> [u8; FILE_HEAD_BYTES] {
    let mut head = [0; FILE_HEAD_BYTES];
    head[..8].copy_from_slice(FILE_MAGIC);
    head[8..12].copy_from_slice(&FILE_VERSION.to_le_bytes());
    let checksum = crc32c::crc32c(&head[..12]);
    head[12..].copy_from_slice(&checksum.to_le_bytes());
    head
}

/// Reads the frames of one file from offset `end` on, which grows with them; returns the length of the good part.
///
/// # Errors
/// The file is damaged: file and byte are named. Or `each` failed.
pub fn read_file(
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
            return Ok(0); // an earlier version was making the file
        }
        return Err(StoreError::damaged(path, "the file's head is damaged", RESTORE));
    }
    let mut at = FILE_HEAD_BYTES;
    while at < bytes.len() {
        let Some((first, payload)) = parse_frame(&bytes[at..]) else {
            if bytes[at..].iter().all(|byte| *byte == 0) {
                return Ok(at); // room for frames to come
            }
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
                let what = format!("a block at offset {end}, in the frame at byte {at}, is damaged");
                StoreError::damaged(path, what, RESTORE)
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
