//! What the storage folder takes on the disk.

use std::{fs, io, os::unix::fs::MetadataExt, path::Path};

use schemars::JsonSchema;
use serde::Serialize;

/// How deep a folder is looked into; nothing of the store stands deeper.
const DEPTH_MAX: usize = 8;
/// The system counts what a file takes in blocks of so many bytes.
const BLOCK_BYTES: u64 = 512;

/// What each part of the storage folder takes, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Usage {
    pub journal: u64,
    pub segments: u64,
    pub indexes: u64,
    pub views: u64,
    pub deliveries: u64,
    /// All that stands beside them.
    pub other: u64,
}

/// What the parts of a storage folder take on the disk now; reads the folders, and no file.
pub fn measure(folder: &Path) -> io::Result<Usage> {
    let mut usage = Usage::default();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let part = match entry.file_name().to_str() {
            Some("journal") => &mut usage.journal,
            Some("segments") => &mut usage.segments,
            Some("indexes") => &mut usage.indexes,
            Some(name) if name == "views" || name.starts_with("views.") => &mut usage.views,
            Some("deliveries") => &mut usage.deliveries,
            _ => &mut usage.other,
        };
        *part += bytes(&entry.path(), DEPTH_MAX)?;
    }
    Ok(usage)
}

/// What a file or a folder takes, links as such. What goes away meanwhile, or is not ours to look into (`lost+found`),
/// takes nothing.
fn bytes(path: &Path, depth: usize) -> io::Result<u64> {
    let here = match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.is_dir() => return Ok(metadata.blocks() * BLOCK_BYTES),
        Ok(metadata) => metadata.blocks() * BLOCK_BYTES,
        Err(error) if is_passed_over(&error) => return Ok(0),
        Err(error) => return Err(error),
    };
    if depth == 0 {
        return Ok(here);
    }
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if is_passed_over(&error) => return Ok(here),
        Err(error) => return Err(error),
    };
    entries.map(|entry| bytes(&entry?.path(), depth - 1)).try_fold(here, |sum, bytes| Ok(sum + bytes?))
}

fn is_passed_over(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_what_its_files_take() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, bytes: usize| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, vec![1; bytes]).unwrap();
            fs::File::open(path).unwrap().sync_all().unwrap(); // what it takes is known from here on
        };
        put("segments/0-9/db", 200_000);
        put("segments/9.live/blobs/1", 100_000);
        put("views/db", 50_000);
        put("format", 10);
        std::os::unix::fs::symlink(folder.path(), folder.path().join("journal")).unwrap(); // as a link, not a turn
        let usage = measure(folder.path()).unwrap();
        assert!((300_000..400_000).contains(&usage.segments), "{usage:?}");
        assert!((50_000..100_000).contains(&usage.views), "{usage:?}");
        assert!(usage.journal < 50_000 && usage.deliveries == 0, "{usage:?}");
    }
}
