//! Decompression. What zstd would set up anew for each piece, and the room of the last one, stay with the thread.

use std::{cell::RefCell, io, mem};

use zstd::bulk::Decompressor;

/// More room than this does not stay with a thread.
const ROOM_BYTES_MAX: usize = 1024 * 1024;

#[derive(Default)]
struct Kept {
    decompressor: Option<Decompressor<'static>>,
    room: Vec<u8>,
}

thread_local! {
    static KEPT: RefCell<Kept> = RefCell::default();
}

/// Decompresses `packed`.
///
/// # Errors
/// It is damaged, or more than `len` bytes come of it.
pub fn decompress(packed: &[u8], len: usize) -> io::Result<Vec<u8>> {
    KEPT.with_borrow_mut(|Kept { decompressor, room }| {
        let decompressor = match decompressor {
            Some(decompressor) => decompressor,
            None => decompressor.insert(Decompressor::new()?),
        };
        let mut raw = mem::take(room);
        raw.clear();
        raw.reserve_exact(len);
        decompressor.decompress_to_buffer(packed, &mut raw)?;
        // The room may be larger.
        if raw.len() <= len { Ok(raw) } else { Err(io::Error::new(io::ErrorKind::InvalidData, "more than was told")) }
    })
}

/// Takes the room of what was decompressed and is not needed any more, for this thread's next piece: room that goes back
/// to the system is cleared before it is given out again, which takes a third as long as decompressing does.
pub fn give_back(room: Vec<u8>) {
    KEPT.with_borrow_mut(|kept| {
        // A thread that only drops what others decompressed has no use for it.
        if kept.decompressor.is_some() && room.capacity() <= ROOM_BYTES_MAX {
            kept.room = room;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_any_length_follow_each_other() {
        let pieces = [300_000, 10, 0, 70_000, 2_000_000, 5].map(|len: usize| {
            let raw: Vec<u8> = (0..len).map(|at| (at * at / 7) as u8).collect();
            (zstd::bulk::compress(&raw, 1).unwrap(), raw)
        });
        for (packed, raw) in pieces.iter().chain(pieces.iter().rev()) {
            let found = decompress(packed, raw.len()).unwrap();
            assert_eq!(&found, raw);
            give_back(found);
            assert!(decompress(&packed[..packed.len() - 1], raw.len()).is_err(), "it is cut");
        }
        let (packed, raw) = &pieces[0];
        assert!(decompress(packed, raw.len() / 10).is_err(), "more comes than was told");
    }
}
