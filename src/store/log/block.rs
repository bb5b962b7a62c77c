//! Blocks: entries of the log that stand together, compressed and checked. The form is in ARCHITECTURE.md.

use std::{borrow::Cow, ops::Range, sync::Arc};

use crate::{
    model::{EventRequest, Id, Profile, ProfileRef},
    store::{
        decompress,
        entry::{self, Entry, Skipped},
        log::{
            FoundEvent,
            events::{events, imported},
            format3,
        },
    },
};

/// About how much a block holds before it is compressed: so much that a visit's next requests mostly meet the one
/// before in it, and still little enough to be read for one event.
pub const RAW_BYTES: usize = 256 * 1024;
pub const HEAD_BYTES: usize = 30;
const MAGIC: &[u8; 4] = b"TrkB";
/// The version of the entries in new blocks, and the one of format 3.
pub const VERSION: u16 = 2;
const VERSION_OF_FORMAT_3: u16 = 1;
const CHECKSUM_AT: usize = 26;
const UNREADABLE: &str = "a block's entries cannot be read";

/// Compresses blocks; keeps what zstd would set up anew for each.
pub struct Packer(zstd::bulk::Compressor<'static>);

impl Packer {
    /// For blocks of the journal, which requests wait for and which are gone soon.
    pub fn for_journal() -> Self {
        Self::with_level(1)
    }

    /// For blocks of the log, which stay: nearly as fast, and the levels above cost three times as much for a few per
    /// cent.
    pub fn for_log() -> Self {
        Self::with_level(3)
    }

    fn with_level(level: i32) -> Self {
        Self(zstd::bulk::Compressor::new(level).expect("the level is one of zstd's"))
    }
}

/// A block as bytes, with what its head says.
#[derive(Clone, Debug)]
pub struct Block {
    /// Which form its entries have.
    pub version: u16,
    pub first: u64,
    pub count: u32,
    pub raw_len: u32,
    pub bytes: Vec<u8>,
}

impl Block {
    /// The offset behind its last entry.
    pub fn end(&self) -> u64 {
        self.first + u64::from(self.count)
    }

    /// Compresses `raw`, the encoded entries from offset `first` on.
    pub fn build(packer: &mut Packer, first: u64, count: u32, raw: &[u8]) -> Self {
        Self::build_as(packer, VERSION, first, count, raw)
    }

    /// As [`Block::build`], of entries of another version.
    pub fn build_as(packer: &mut Packer, version: u16, first: u64, count: u32, raw: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + raw.len() / 4);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&version.to_le_bytes());
        bytes.extend_from_slice(&first.to_le_bytes());
        bytes.extend_from_slice(&count.to_le_bytes());
        let raw_len = u32::try_from(raw.len()).expect("a group is bounded far below 4 GiB");
        bytes.extend_from_slice(&raw_len.to_le_bytes());
        let packed = packer.0.compress(raw).expect("memory takes all of it");
        let packed_len = u32::try_from(packed.len()).expect("a group is bounded far below 4 GiB");
        bytes.extend_from_slice(&packed_len.to_le_bytes());
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&bytes), &packed);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes.extend_from_slice(&packed);
        Self { version, first, count, raw_len, bytes }
    }

    /// Reads the block at the start of `bytes`; bytes may follow it.
    pub fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let (head, end) = Self::parse_head(bytes)?;
        Ok(Self { bytes: bytes[..end].to_vec(), ..head })
    }

    /// Reads the block that `bytes` are.
    pub fn whole(bytes: Vec<u8>) -> Result<Self, &'static str> {
        let (head, end) = Self::parse_head(&bytes)?;
        if end == bytes.len() { Ok(Self { bytes, ..head }) } else { Err("a block is longer than it says") }
    }

    /// The block at the start of `bytes`, still without these, and where it ends.
    fn parse_head(bytes: &[u8]) -> Result<(Self, usize), &'static str> {
        let number = |at: usize| bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map(u32::from_le_bytes);
        if !bytes.starts_with(MAGIC) {
            return Err("not a block");
        }
        let version = bytes.get(4..6).and_then(|two| two.try_into().ok()).map(u16::from_le_bytes);
        let Some(version) = version.filter(|version| [VERSION, VERSION_OF_FORMAT_3].contains(version)) else {
            return Err("a block of an unknown version");
        };
        let first = bytes.get(6..14).and_then(|eight| eight.try_into().ok()).map(u64::from_le_bytes);
        let (Some(first), Some(count), Some(raw_len), Some(packed_len), Some(checksum)) =
            (first, number(14), number(18), number(22), number(CHECKSUM_AT))
        else {
            return Err("a block is cut");
        };
        let end = HEAD_BYTES + packed_len as usize;
        let packed = bytes.get(HEAD_BYTES..end).ok_or("a block is cut")?;
        if crc32c::crc32c_append(crc32c::crc32c(&bytes[..CHECKSUM_AT]), packed) != checksum {
            return Err("a block's checksum is wrong");
        }
        Ok((Self { version, first, count, raw_len, bytes: Vec::new() }, end))
    }

    /// The encoded entries.
    pub fn unpack(&self) -> Result<Vec<u8>, &'static str> {
        let raw = decompress::decompress(&self.bytes[HEAD_BYTES..], self.raw_len as usize);
        raw.ok().filter(|raw| raw.len() == self.raw_len as usize).ok_or("a block cannot be decompressed")
    }

    /// Its entries as they were encoded.
    pub fn encoded(&self) -> Result<Encoded<'static>, &'static str> {
        Ok(Encoded { version: self.version, first: self.first, count: self.count, raw: self.unpack()?.into() })
    }

    pub fn entries(&self) -> Result<Vec<Entry>, &'static str> {
        self.encoded()?.entries()
    }
}

/// Encoded entries that stand one behind the other.
pub struct Encoded<'a> {
    pub version: u16,
    pub first: u64,
    pub count: u32,
    pub raw: Cow<'a, [u8]>,
}

impl Encoded<'_> {
    /// The offset behind the last entry.
    pub fn end(&self) -> u64 {
        self.first + u64::from(self.count)
    }

    pub fn into_owned(self) -> Encoded<'static> {
        let Self { version, first, count, raw } = self;
        Encoded { version, first, count, raw: raw.into_owned().into() }
    }

    pub fn entries(&self) -> Result<Vec<Entry>, &'static str> {
        let entries = match self.version {
            VERSION => entry::decode_all(&self.raw, self.count),
            _ => format3::entries(&self.raw, self.first, self.count),
        };
        entries.ok_or(UNREADABLE)
    }

    /// The events at the offsets `wanted`, which ascend, but those that `may_be_meant` refuses by offset and properties:
    /// of these nothing is made, as of other entries. It need not be asked.
    pub fn events_at(
        &self,
        wanted: &[u64],
        mut may_be_meant: impl FnMut(u64, &str) -> bool,
    ) -> Result<Vec<FoundEvent>, &'static str> {
        if self.version != VERSION {
            let entries = self.entries()?;
            let mut found: Vec<FoundEvent> = events(self.first, &entries).collect();
            found.retain(|event| wanted.binary_search(&event.offset).is_ok());
            return Ok(found);
        }
        let mut wanted = wanted.iter().copied().skip_while(|offset| *offset < self.first).peekable();
        let mut found = Vec::new();
        let mut request = RequestOf { bytes: &[], read: None };
        let mut rest = &*self.raw;
        for offset in self.first..self.end() {
            let Some(next) = wanted.peek() else { break };
            let bytes = rest;
            let is_wanted = *next == offset;
            match entry::skip(&mut rest).ok_or(UNREADABLE)? {
                Skipped::Request => request = RequestOf { bytes, read: None },
                Skipped::Event { properties } if is_wanted => {
                    if !may_be_meant(offset, std::str::from_utf8(properties).map_err(|_| UNREADABLE)?) {
                        wanted.next();
                        continue;
                    }
                    let Some(Entry::Event(event) | Entry::ImportedEvent(event)) = entry::decode(bytes) else {
                        return Err(UNREADABLE);
                    };
                    found.push(FoundEvent { offset, request: request.read()?, event });
                }
                Skipped::Event { .. } | Skipped::Other => {}
            }
            if is_wanted {
                wanted.next();
            }
        }
        Ok(found)
    }

    pub fn is_of_format_3(&self) -> bool {
        self.version == VERSION_OF_FORMAT_3
    }

    /// Where each entry of a block of format 3 stands among the encoded ones.
    pub fn spans(&self) -> Result<Vec<Range<usize>>, &'static str> {
        format3::spans(&self.raw, self.count).ok_or("a block's entries cannot be read")
    }

    /// That a profile is deleted, as an entry of a block of format 3.
    pub fn profile_deleted_of_format_3(id: &Id) -> Vec<u8> {
        format3::profile_deleted(id)
    }

    /// The profile whose state stands at `offset`: `wanted`, or any. In an entry of format 3, the state of `wanted` may
    /// stand within that of a profile that took it in; it comes with how many sessions both had then.
    pub fn profile_at(
        &self,
        offset: u64,
        wanted: Option<&ProfileRef>,
    ) -> Result<Option<(Profile, Option<u64>)>, &'static str> {
        let place = usize::try_from(offset - self.first).map_err(|_| "a block is too long")?;
        match self.entries()?.into_iter().nth(place) {
            Some(Entry::Profile(found) | Entry::ProfileOfFormat3(found) | Entry::AbsorbedState(found))
                if wanted.is_none_or(|wanted| found.reference() == *wanted) =>
            {
                Ok(Some(((*found).clone(), None)))
            }
            Some(Entry::ProfileOfFormat3(_)) => {
                let held = wanted.and_then(|it| format3::held_inside(&self.raw, self.count, (offset, place), it));
                Ok(held.map(|(profile, shared_visits)| (profile, Some(shared_visits))))
            }
            _ => Ok(None),
        }
    }
}

/// The request of the events that follow it, read for the first of them that is wanted.
struct RequestOf<'a> {
    bytes: &'a [u8],
    read: Option<Arc<EventRequest>>,
}

impl RequestOf<'_> {
    fn read(&mut self) -> Result<Arc<EventRequest>, &'static str> {
        if let Some(read) = &self.read {
            return Ok(read.clone());
        }
        let request = match entry::decode(self.bytes) {
            Some(Entry::Request(request)) => request,
            Some(Entry::ImportedRequest(request)) => imported(request),
            _ => return Err(UNREADABLE),
        };
        Ok(self.read.insert(request).clone())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entries(names: &[String]) -> Vec<Entry> {
        names.iter().filter_map(|name| Id::parse(name).ok().flatten()).map(Entry::SessionDeleted).collect()
    }

    fn build(first: u64, entries: &[Entry]) -> Block {
        let mut raw = Vec::new();
        entries.iter().for_each(|entry| entry::encode_into(&mut raw, entry));
        Block::build(&mut Packer::for_log(), first, u32::try_from(entries.len()).unwrap(), &raw)
    }

    proptest! {
        #[test]
        fn a_block_reads_back_what_was_written(first: u64, names: Vec<String>, behind: Vec<u8>) {
            let entries = entries(&names);
            let mut bytes = build(first, &entries).bytes;
            bytes.extend_from_slice(&behind);
            let block = Block::parse(&bytes).unwrap();
            prop_assert_eq!((block.first, block.entries().unwrap()), (first, entries));
        }

        #[test]
        fn a_damaged_block_is_told(names in prop::collection::vec("[a-z]{1,20}", 1..20), at: prop::sample::Index, bit in 0..8) {
            let mut bytes = build(7, &entries(&names)).bytes;
            let at = at.index(bytes.len());
            bytes[at] ^= 1_u8 << bit;
            prop_assert!(Block::parse(&bytes).is_err());
            bytes[at] ^= 1_u8 << bit;
            prop_assert!(Block::parse(&bytes[..at]).is_err());
        }

        #[test]
        fn arbitrary_bytes_are_no_entries_or_some(bytes: Vec<u8>, count in 0_u32..100) {
            for version in [VERSION, VERSION_OF_FORMAT_3] {
                _ = Encoded { version, first: 7, count, raw: bytes.as_slice().into() }.entries();
            }
        }
    }
}
