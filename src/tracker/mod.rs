//! The browser script (docs/contract.md, section 18): what a page sends by itself, and what it calls.
//!
//! `script/` has it as people read it, a file for each thing it does, in the order in which `build.rs` joins them:
//!
//! ```text
//! safety    nothing of it throws into the page
//! storage   what is kept in the browser
//! options   what the page asks for
//! visit     who it is, and which visit
//! queue     events wait until an answer confirms them
//! page      pages, and what is done on them
//! ux        draws what workflows answer
//! start     what pages call, and what happens by itself
//! ```
//!
//! The build makes it small and compresses it; it is served as it is.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

/// The script, small.
pub const SCRIPT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tracardi.js"));
/// The same, compressed with gzip: at most 4 KiB, which a test holds.
pub const COMPRESSED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tracardi.js.gz"));

/// What tells this version of the script from others.
pub fn etag() -> &'static str {
    static TAG: LazyLock<String> =
        LazyLock::new(|| format!("\"{}\"", crate::process::hex(&Sha256::digest(SCRIPT)[..8])));
    &TAG
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_under_four_kibibytes_compressed() {
        assert!(COMPRESSED.len() < 4_096, "{} bytes", COMPRESSED.len());
    }
}
