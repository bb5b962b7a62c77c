//! Where encoded records stand that stand one behind the other: so that some can be replaced and the others stay as they
//! are.

use std::{cell::Cell, io, ops::Range};

use serde::{Deserialize, de::Visitor};

use crate::store::entry::encoding;

/// Where each of `count` records stands, of which one stands behind the other; `None` when the bytes do not begin with
/// these.
pub fn of<'a, T: Deserialize<'a>>(bytes: &'a [u8], count: u32) -> Option<Vec<Range<usize>>> {
    let read = Cell::new(0);
    let mut reader = bincode::Deserializer::with_bincode_read(Measured { bytes, read: &read }, encoding());
    let spans = (0..count).map(|_| {
        let from = read.get();
        T::deserialize(&mut reader).ok()?;
        Some(from..read.get())
    });
    spans.collect()
}

/// Bytes, and how many of them were read.
struct Measured<'a, 'm> {
    bytes: &'a [u8],
    read: &'m Cell<usize>,
}

impl<'a> Measured<'a, '_> {
    fn take(&self, length: usize) -> bincode::Result<&'a [u8]> {
        let from = self.read.get();
        let end = from.checked_add(length);
        let taken = end.and_then(|end| self.bytes.get(from..end));
        let taken = taken.ok_or_else(|| bincode::ErrorKind::Io(io::ErrorKind::UnexpectedEof.into()))?;
        self.read.set(from + length);
        Ok(taken)
    }
}

impl io::Read for Measured<'_, '_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut rest = self.bytes.get(self.read.get()..).unwrap_or_default();
        let count = rest.read(out)?;
        self.read.set(self.read.get() + count);
        Ok(count)
    }
}

impl<'a> bincode::BincodeRead<'a> for Measured<'a, '_> {
    fn forward_read_str<V: Visitor<'a>>(&mut self, length: usize, visitor: V) -> bincode::Result<V::Value> {
        let text = str::from_utf8(self.take(length)?).map_err(bincode::ErrorKind::InvalidUtf8Encoding)?;
        visitor.visit_borrowed_str(text)
    }

    fn get_byte_buffer(&mut self, length: usize) -> bincode::Result<Vec<u8>> {
        self.take(length).map(<[u8]>::to_vec)
    }

    fn forward_read_bytes<V: Visitor<'a>>(&mut self, length: usize, visitor: V) -> bincode::Result<V::Value> {
        visitor.visit_borrowed_bytes(self.take(length)?)
    }
}
