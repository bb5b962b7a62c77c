//! The disk under the daemon: the second floor, which is what a plain synced file takes, and what a store occupies.

use super::Result;
use super::payload::{Case, Template, Visitor};
use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const TMPFS_MAGIC: u32 = 0x0102_1994;
/// The unit of `st_blocks`.
const BLOCK_BYTES: u64 = 512;

/// Bytes that a store occupies, by what it keeps them for.
#[derive(Clone, Copy, Default)]
pub struct Occupied {
    pub journal: u64,
    pub log: u64,
    pub views: u64,
}

/// Appends the bodies of `group` requests and syncs, over and over; returns requests ("records") per second. This is
/// what any collector is bound by that writes down what it was sent before it answers.
pub fn append_and_sync(folder: &Path, case: Case, group: usize, duration: Duration) -> Result<f64> {
    let template = Arc::new(Template::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))));
    let mut bytes = Vec::new();
    for number in 0..group as u64 {
        bytes.extend_from_slice(Visitor::new(case, template.clone(), number).next_body());
    }
    let mut file = File::create(folder.join("append-floor"))?;
    file.sync_all()?;
    let begin = Instant::now();
    let mut records = 0;
    while begin.elapsed() < duration {
        file.write_all(&bytes)?;
        file.sync_data()?;
        records += group;
    }
    Ok(records as f64 / begin.elapsed().as_secs_f64())
}

/// What the folders of a store take on the disk. A folder that does not exist takes nothing.
pub fn occupied(storage: &Path) -> Result<Occupied> {
    Ok(Occupied {
        journal: allocated_bytes(&storage.join("journal"))?,
        log: allocated_bytes(&storage.join("segments"))?,
        views: allocated_bytes(&storage.join("views"))?,
    })
}

/// Allocated blocks as `du` counts them: sparse files count what they have, not what they claim.
fn allocated_bytes(path: &Path) -> Result<u64> {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return Ok(0);
    };
    let mut total = metadata.blocks() * BLOCK_BYTES;
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            total += allocated_bytes(&entry?.path())?;
        }
    }
    Ok(total)
}

/// Refuses a folder in memory: a sync that costs nothing says nothing about a store that syncs.
pub fn require_real_disk(folder: &Path) -> Result<()> {
    if rustix::fs::statfs(folder)?.f_type as u32 == TMPFS_MAGIC {
        return Err(format!("{} is in memory (tmpfs); build into a folder on a disk", folder.display()).into());
    }
    Ok(())
}

/// Writes out what earlier runs left behind, so that the next one does not pay for it.
pub fn settle() {
    rustix::fs::sync();
}
