//! Files and folders whose writing lasts: what is made, renamed or removed is on the disk before it counts.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use crate::store::error::{At, StoreError};

/// How much is written to find out whether the disk takes writes: more than what sled writes at a time.
const PROBE_BYTES: usize = 1024 * 1024;

/// Puts a file of these bytes at `path`, whole and durable, or leaves what is there.
pub fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let new = path.with_extension("new");
    let mut file = File::create(&new).at(&new)?;
    file.write_all(bytes).at(&new)?;
    file.sync_all().at(&new)?;
    fs::rename(&new, path).at(path)?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Whether the folder takes a file and makes it durable.
pub fn probe(folder: &Path) -> Result<(), StoreError> {
    let path = folder.join("probe");
    write_durably(&path, &[0; PROBE_BYTES])?;
    fs::remove_file(&path).at(&path)?;
    sync_dir(folder)
}

/// Makes what was created, renamed or removed in a folder durable.
pub fn sync_dir(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|folder| folder.sync_all()).at(path)
}

/// Makes every file below `path` durable, and the folders' entries.
pub fn sync_tree(path: &Path) -> Result<(), StoreError> {
    for entry in fs::read_dir(path).at(path)? {
        let entry = entry.at(path)?;
        if entry.file_type().at(path)?.is_dir() {
            sync_tree(&entry.path())?;
        } else {
            File::open(entry.path()).and_then(|file| file.sync_all()).at(&entry.path())?;
        }
    }
    sync_dir(path)
}

/// Removes a folder and everything in it, if it is there.
pub fn remove_tree(path: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).at(path),
        _ => Ok(()),
    }
}

/// The bytes that may still be written to the disk that holds `path`.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(path)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}
