//! Session records as the views hold them: mostly what a browser says of itself, the same names each time.

use std::cell::RefCell;

use parking_lot::Mutex;
use zstd::bulk::Decompressor;

/// What browsers send as a session's context: names and values that zstd need not learn anew in each record.
const SESSION_DICTIONARY: &[u8] = include_bytes!("session.dictionary");
const SESSION_COMPRESSION_LEVEL: i32 = 1;
/// A session is bounded by what a request may bring and what it may have gathered before; see `collect`.
const SESSION_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Packs session records with a dictionary of what browsers send.
pub struct SessionCodec {
    packer: Mutex<zstd::bulk::Compressor<'static>>,
}

impl SessionCodec {
    pub fn new() -> Self {
        let packer = zstd::bulk::Compressor::with_dictionary(SESSION_COMPRESSION_LEVEL, SESSION_DICTIONARY);
        Self { packer: Mutex::new(packer.expect("any bytes are a dictionary")) }
    }

    pub fn pack(&self, record: &[u8]) -> Vec<u8> {
        self.packer.lock().compress(record).expect("memory takes all of it")
    }

    /// `None` when the bytes are no packed record.
    pub fn unpack(&self, packed: &[u8]) -> Option<Vec<u8>> {
        thread_local! {
            /// Making one takes longer than most records.
            static UNPACKER: RefCell<Decompressor<'static>> = RefCell::new(
                Decompressor::with_dictionary(SESSION_DICTIONARY).expect("any bytes are a dictionary")
            );
        }
        let size = zstd::zstd_safe::get_frame_content_size(packed).ok()??;
        let size = usize::try_from(size).ok().filter(|size| *size <= SESSION_BYTES_MAX)?;
        UNPACKER.with_borrow_mut(|unpacker| unpacker.decompress(packed, size)).ok()
    }
}
