//! Trees that are sets of keys, many in each record.
//!
//! sled puts at most 16 records into a page and keeps some 300 bytes in memory of each page. A set that has a key for each
//! visit would take more of both than it says: so its keys stand in *chunks*. A chunk is a record under a key of its own,
//! its *fence*; it holds the keys of the set from there up to the next fence, in order. Those that it holds from the next
//! fence on do not count: a chunk is divided from the last part to the first, so that whoever reads meanwhile, or after the
//! process ended in between, finds the same keys. A fence stays, though its chunk may be empty.

use std::{collections::VecDeque, iter::Peekable};

use super::{
    Tree, Views,
    writes::{Change, KeyChange, Write},
};
use crate::store::error::{At, StoreError};

/// Keys that take more together are divided.
const CHUNK_BYTES: usize = if cfg!(test) { 120 } else { 2_048 };

/// A part of a set.
struct Chunk {
    fence: Vec<u8>,
    /// Those of the set that stand in it.
    keys: Vec<Vec<u8>>,
    /// The next fence; `None`: there is none.
    end: Option<Vec<u8>>,
}

impl Chunk {
    /// Whether the set's `key` would stand here; it is not before the fence.
    fn is_place_of(&self, key: &[u8]) -> bool {
        self.end.as_ref().is_none_or(|end| key < &**end)
    }

    /// The chunks that it is divided into, the last one first.
    fn divided(self) -> Vec<(Vec<u8>, Vec<u8>)> {
        // Behind the last fence mostly more comes: what is full stays as it is. Elsewhere there is to be room.
        let most = if self.end.is_none() { CHUNK_BYTES } else { CHUNK_BYTES / 2 };
        let bytes: usize = self.keys.iter().map(|key| key.len()).sum();
        let most = if bytes > CHUNK_BYTES { most } else { CHUNK_BYTES };
        let mut parts = vec![(self.fence, Vec::new())];
        let mut bytes = 0;
        for key in self.keys {
            if bytes > 0 && bytes + key.len() > most {
                parts.push((key.clone(), Vec::new()));
                bytes = 0;
            }
            bytes += key.len();
            parts.last_mut().into_iter().for_each(|(_, value)| push(value, &key));
        }
        parts.reverse();
        parts
    }
}

fn push(value: &mut Vec<u8>, key: &[u8]) {
    // No key of a set is longer: an id has at most 128 bytes.
    value.extend_from_slice(&(key.len() as u16).to_le_bytes());
    value.extend_from_slice(key);
}

/// The keys in a chunk's record; `None`: it is none.
fn parse(mut value: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut keys = Vec::new();
    while let Some((length, rest)) = value.split_first_chunk() {
        let (key, rest) = rest.split_at_checked(u16::from_le_bytes(*length).into())?;
        keys.push(key.to_vec());
        value = rest;
    }
    value.is_empty().then_some(keys)
}

impl Views {
    /// The chunk in which `key` stands, or would.
    fn chunk_of(&self, tree: Tree, key: &[u8]) -> Result<Chunk, StoreError> {
        self.chunk(tree, self.tree(tree).range(..=key).next_back().transpose().at(&self.path)?)
    }

    /// The chunk of a record; of none, that of a set without a fence.
    fn chunk(&self, tree: Tree, record: Option<(sled::IVec, sled::IVec)>) -> Result<Chunk, StoreError> {
        let (fence, value) = record.unwrap_or_default();
        let end = self.tree(tree).get_gt(&fence).at(&self.path)?.map(|(end, _)| end.to_vec());
        let keys = parse(&value).ok_or_else(|| self.unreadable(tree, &fence))?;
        let mut chunk = Chunk { fence: fence.to_vec(), keys, end };
        let behind = chunk.keys.partition_point(|key| chunk.is_place_of(key));
        chunk.keys.truncate(behind);
        Ok(chunk)
    }

    /// The records that bring the sets to what `changes` say, which are in the order in which they are made.
    pub(super) fn chunks(&self, mut changes: Vec<KeyChange>) -> Result<Vec<Write>, StoreError> {
        changes.sort_by(|one, other| (one.tree as u8, &one.key).cmp(&(other.tree as u8, &other.key)));
        let mut writes = Vec::new();
        let mut changes = changes.into_iter().peekable();
        while let Some(first) = changes.peek() {
            let tree = first.tree;
            let mut chunk = self.chunk_of(tree, &first.key)?;
            let made = make(&mut chunk, tree, &mut changes);
            if made.is_empty() {
                continue;
            }
            let mut parts = chunk.divided();
            let (first, value) = parts.remove(0);
            let others = parts.into_iter().map(|(fence, value)| (fence, value, Vec::new()));
            writes.extend([(first, value, made)].into_iter().chain(others).map(|(key, value, keys)| Write {
                tree,
                key,
                value: Some(value),
                changes: Change::Keys(keys),
            }));
        }
        Ok(writes)
    }

    /// The keys of a set from `start` on, up to `end`, if there is one, in order.
    pub(super) fn keys(&self, tree: Tree, start: Vec<u8>, end: Option<Vec<u8>>) -> Keys<'_> {
        Keys { views: self, tree, start, end, front: VecDeque::new(), back: Vec::new(), is_done: false }
    }
}

/// Makes those of the next changes that concern the chunk; which of them changed something.
fn make(chunk: &mut Chunk, tree: Tree, changes: &mut Peekable<impl Iterator<Item = KeyChange>>) -> Vec<KeyChange> {
    let mut made = Vec::new();
    while let Some(change) = changes.next_if(|next| next.tree == tree && chunk.is_place_of(&next.key)) {
        match (chunk.keys.binary_search(&change.key), change.is_there) {
            (Err(place), true) => chunk.keys.insert(place, change.key.clone()),
            (Ok(place), false) => _ = chunk.keys.remove(place),
            _ => continue,
        }
        made.push(change);
    }
    made
}

/// The keys of a set, chunk by chunk, from both ends.
pub(super) struct Keys<'a> {
    views: &'a Views,
    tree: Tree,
    /// What is left: from here on, up to there.
    start: Vec<u8>,
    end: Option<Vec<u8>>,
    /// Those that were read at each end.
    front: VecDeque<Vec<u8>>,
    back: Vec<Vec<u8>>,
    is_done: bool,
}

impl Keys<'_> {
    fn is_left(&self, key: &[u8]) -> bool {
        key >= &*self.start && self.end.as_ref().is_none_or(|end| key < &**end)
    }

    fn next_key(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        loop {
            if let Some(key) = self.front.pop_front() {
                self.start = [&key[..], &[0]].concat();
                return Ok(self.end.as_ref().is_none_or(|end| key < *end).then_some(key));
            }
            let chunk = self.views.chunk_of(self.tree, &self.start)?;
            self.front = chunk.keys.into_iter().filter(|key| self.is_left(key)).collect();
            if self.front.is_empty() {
                match chunk.end {
                    Some(end) if self.is_left(&end) => self.start = end,
                    _ => return Ok(None),
                }
            }
        }
    }

    fn next_key_back(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        loop {
            if let Some(key) = self.back.pop() {
                let key = (key >= self.start).then_some(key);
                self.end.clone_from(&key);
                return Ok(key);
            }
            let records = self.views.tree(self.tree);
            let last = self.end.as_ref().map_or_else(|| records.last(), |end| records.get_lt(end));
            let chunk = self.views.chunk(self.tree, last.at(&self.views.path)?)?;
            self.back = chunk.keys.into_iter().filter(|key| self.is_left(key)).collect();
            if self.back.is_empty() {
                if chunk.fence <= self.start {
                    return Ok(None);
                }
                self.end = Some(chunk.fence);
            }
        }
    }

    fn told(&mut self, next: Result<Option<Vec<u8>>, StoreError>) -> Option<Result<Vec<u8>, StoreError>> {
        self.is_done = !matches!(next, Ok(Some(_)));
        next.transpose()
    }
}

impl Iterator for Keys<'_> {
    type Item = Result<Vec<u8>, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let next = self.next_key();
        self.told(next)
    }
}

impl DoubleEndedIterator for Keys<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let next = self.next_key_back();
        self.told(next)
    }
}
