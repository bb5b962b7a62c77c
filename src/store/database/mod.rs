//! Access to sled as this store needs it: opened where a panic is caught, values cut into parts.
//!
//! sled can panic on a damaged database; a node above 131,052 bytes becomes a file that is never synced, so no value is
//! larger than [`PART_BYTES`].

mod handle;
mod panics;

pub use handle::Handle;
pub use panics::caught;

use std::{
    fs::{File, TryLockError},
    io,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use crate::store::error::{At, StoreError};

/// The largest value put into a tree; longer ones are cut into parts of this size or less.
pub const PART_BYTES: usize = 7_000;
/// The most parts that there is room for before they are read: a damaged count does not ask for all memory.
const PARTS_AT_ONCE: usize = 100;
/// How many bytes behind the key say which part it is.
const PART_NUMBER_BYTES: usize = 3;
/// How long sled may take to be done with a closed database.
const CLOSE_WAIT: Duration = Duration::from_secs(10);

/// Opens the database at `path` with `cache_bytes` of cache, without a flushing thread of its own.
pub fn open(path: &Path, cache_bytes: u64, advice: &'static str) -> Result<Handle<sled::Db>, StoreError> {
    let config = sled::Config::new().path(path).cache_capacity(cache_bytes).flush_every_ms(None);
    guarded(path, advice, || config.open())?.map(Handle::new).at(path)
}

pub fn open_tree(path: &Path, db: &sled::Db, name: &str) -> Result<Handle<sled::Tree>, StoreError> {
    db.open_tree(name).map(Handle::new).at(path)
}

/// Closes a database: everything it holds in memory is written to its files, and nothing changes them from here on.
pub fn close(path: &Path, advice: &'static str, db: Handle<sled::Db>) -> Result<(), StoreError> {
    let db = db.into_inner();
    guarded(path, advice, || db.flush().map(|_| drop(db)))?.at(path)?;
    wait_until_unused(path)
}

/// Waits until sled has done with the database at `path`: it cuts files on threads of its own, which may still be at it,
/// and holds a lock on the file as long as one of them is.
pub fn wait_until_unused(path: &Path) -> Result<(), StoreError> {
    let until = Instant::now() + CLOSE_WAIT;
    let file = &path.join("db");
    let lock = File::open(file).at(file)?;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if Instant::now() < until => thread::sleep(Duration::from_millis(1)),
            Err(error) => return Err(io::Error::from(error)).at(file),
        }
    }
}

/// Runs what may panic inside sled and makes the panic an error that names `path`.
fn guarded<T>(path: &Path, advice: &'static str, run: impl FnOnce() -> T) -> Result<T, StoreError> {
    caught(run).map_err(|said| StoreError::damaged(path, format!("the database cannot be read ({said})"), advice))
}

/// The records that hold `value` under `key`, each `part_bytes` of it: the first says how many there are.
pub fn parts<'a>(
    key: &'a [u8],
    value: &'a [u8],
    part_bytes: usize,
) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> + use<'a> {
    let count = value.len().div_ceil(part_bytes).max(1);
    (0..count).map(move |part| {
        let start = part * part_bytes;
        let bytes = &value[start..value.len().min(start + part_bytes)];
        let mut record = Vec::with_capacity(bytes.len() + 4);
        if part == 0 {
            record.extend_from_slice(&(count as u32).to_be_bytes());
        }
        record.extend_from_slice(bytes);
        (part_key(key, part), record)
    })
}

/// Puts the value that [`parts`] cut together again; `None` when it is not there or a part of it is missing.
pub fn get(tree: &sled::Tree, key: &[u8]) -> Result<Option<Vec<u8>>, sled::Error> {
    let Some(first) = tree.get(part_key(key, 0))? else { return Ok(None) };
    let begin = value_of_first(&first);
    let count = part_count(&first);
    let mut value = Vec::with_capacity(if count == 1 { begin.len() } else { count.min(PARTS_AT_ONCE) * begin.len() });
    value.extend_from_slice(begin);
    for part in 1..count {
        match tree.get(part_key(key, part))? {
            Some(bytes) => value.extend_from_slice(&bytes),
            None => return Ok(None),
        }
    }
    Ok(Some(value))
}

/// How the value that [`parts`] cut begins, and whether that is all of it.
pub fn first_part(tree: &sled::Tree, key: &[u8]) -> Result<Option<(Vec<u8>, bool)>, sled::Error> {
    let first = tree.get(part_key(key, 0))?;
    Ok(first.map(|first| (value_of_first(&first).to_vec(), part_count(&first) == 1)))
}

/// How the value begins whose first part this is.
fn value_of_first(first: &[u8]) -> &[u8] {
    first.get(4..).unwrap_or_default()
}

/// The values that [`parts`] cut, each with its key; `None` in place of one that has several parts.
pub fn values(tree: &sled::Tree) -> impl Iterator<Item = Result<(Vec<u8>, Option<Vec<u8>>), sled::Error>> {
    tree.iter().filter_map(|record| {
        let found = record.map(|(key, first)| {
            let key = first_part_of(&key)?.to_vec();
            Some((key, (part_count(&first) == 1).then(|| value_of_first(&first).to_vec())))
        });
        found.transpose()
    })
}

/// The records under which `key`'s value stands now.
pub fn parts_of(tree: &sled::Tree, key: &[u8]) -> Result<Vec<(Vec<u8>, sled::IVec)>, sled::Error> {
    let Some(first) = tree.get(part_key(key, 0))? else { return Ok(Vec::new()) };
    let count = part_count(&first);
    let mut records = vec![(part_key(key, 0), first)];
    for part in 1..count {
        let key = part_key(key, part);
        if let Some(record) = tree.get(&key)? {
            records.push((key, record));
        }
    }
    Ok(records)
}

/// The key whose value's first part stands under `part_key`; `None` for a further part.
fn first_part_of(part_key: &[u8]) -> Option<&[u8]> {
    part_key.strip_suffix(&[0; PART_NUMBER_BYTES])
}

fn part_count(first: &[u8]) -> usize {
    first.get(..4).and_then(|four| four.try_into().ok()).map_or(1, u32::from_be_bytes) as usize
}

fn part_key(key: &[u8], part: usize) -> Vec<u8> {
    // No key is another one's beginning, so the parts of a value stand together.
    let mut part_key = Vec::with_capacity(key.len() + PART_NUMBER_BYTES);
    part_key.extend_from_slice(key);
    part_key.extend_from_slice(&(part as u32).to_be_bytes()[4 - PART_NUMBER_BYTES..]);
    part_key
}
