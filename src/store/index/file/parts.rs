//! The parts that an index file is made of: each has its length and checksum, and is compressed where that pays.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    os::unix::fs::FileExt,
};

use serde::{Deserialize, Serialize};
use zstd::bulk::Compressor;

use crate::store::{decompress::decompress, entry, index::packed};

const ZSTD_LEVEL: i32 = 3;
/// More than any part takes, so that a damaged length does not ask for all memory.
const PART_BYTES_MAX: u32 = 1 << 30;

/// A part of the file.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Part {
    pub at: u64,
    /// How many bytes it takes, and how many before it was compressed; the same: it was not.
    pub stored: u32,
    pub raw: u32,
    pub checksum: u32,
}

pub fn read_part(file: &File, part: &Part) -> io::Result<Vec<u8>> {
    let is_damaged = |what: &'static str| io::Error::new(io::ErrorKind::InvalidData, what);
    if part.stored > PART_BYTES_MAX || part.raw > PART_BYTES_MAX {
        return Err(is_damaged("a length is not one"));
    }
    let mut bytes = vec![0; part.stored as usize];
    file.read_exact_at(&mut bytes, part.at)?;
    if crc32c::crc32c(&bytes) != part.checksum {
        return Err(is_damaged("a checksum differs"));
    }
    if part.raw == part.stored {
        return Ok(bytes);
    }
    decompress(&bytes, part.raw as usize)
}

/// Writes the file, part by part.
pub struct Writer {
    out: BufWriter<File>,
    at: u64,
    compressor: Compressor<'static>,
}

impl Writer {
    pub fn new(file: File) -> io::Result<Self> {
        Ok(Self { out: BufWriter::new(file), at: 0, compressor: Compressor::new(ZSTD_LEVEL)? })
    }

    /// Writes a part, compressed where that makes it smaller by an eighth: it is read faster as it is.
    pub fn part(&mut self, raw: &[u8]) -> io::Result<Part> {
        let packed = self.compressor.compress(raw)?;
        let stored = if packed.len() <= raw.len() - raw.len() / 8 && packed.len() < raw.len() { &packed } else { raw };
        let len = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(|_| io::Error::other("a part is too large"));
        let checksum = crc32c::crc32c(stored);
        let part = Part { at: self.at, stored: len(stored)?, raw: len(raw)?, checksum };
        self.bytes(stored)?;
        Ok(part)
    }

    /// A part of numbers.
    pub fn numbers(&mut self, numbers: &[u64]) -> io::Result<Part> {
        self.part(&packed::pack(numbers))
    }

    /// A part that is one record.
    pub fn record(&mut self, record: &impl Serialize) -> io::Result<Part> {
        self.part(&entry::encode(record))
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.at += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    /// The file, with all that was written.
    pub fn end(self) -> io::Result<File> {
        self.out.into_inner().map_err(io::IntoInnerError::into_error)
    }
}
