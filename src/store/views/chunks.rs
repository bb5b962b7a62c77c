//! Trees of which each record holds many keys and what stands under them.
//!
//! sled puts at most 16 records into a page and keeps some 300 bytes in memory of each page. A record for each session,
//! for each profile and for each place in their order would take more of both than it says: so these stand in *chunks*. A
//! chunk is a record under a key of its own, its *fence*; it holds the keys of the tree from there up to the next fence, in
//! order. Those that it holds from the next fence on do not count: a chunk is divided from the last part to the first, so
//! that whoever reads meanwhile, or after the process ended in between, finds the same keys. The first fence is empty, and a
//! fence stays, though its chunk may be empty.
//!
//! In a chunk, each key stands behind its length and that of its value, and before its value. What is too large for a chunk
//! stands in parts, in the tree `large`.

use std::{
    cmp::{Ordering, Reverse},
    collections::VecDeque,
    iter::Peekable,
    ops::Range,
    path::Path,
};

use sled::IVec;

use super::{
    Tree, Views,
    writes::{Change, KeyChange, Made, Write},
};
use crate::store::error::{At, StoreError};

/// A chunk that takes more is divided.
fn chunk_bytes_max(tree: Tree) -> usize {
    match tree {
        _ if cfg!(test) => 120,
        // Keys come in order, mostly: one chunk is written for many.
        Tree::Sessions | Tree::ProfilesMade | Tree::SessionsBegun | Tree::TimedEventIds => 2_048,
        // One is written for each.
        _ => 512,
    }
}

/// The largest value that stands in a chunk.
pub(super) const VALUE_BYTES_MAX: usize = if cfg!(test) { 200 } else { 6_500 };
/// In place of the length of a value that stands in parts.
const IN_PARTS: u16 = u16::MAX;
/// Of the key and of the value, two bytes each. The longest keys are two ids of at most 129 bytes.
const LENGTHS_BYTES: usize = 4;

/// What stands under a key in a chunk.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Stored {
    Here(IVec),
    /// It is too large.
    InParts,
}

impl Stored {
    /// Under a key that says all by being there.
    pub fn nothing() -> Self {
        Self::Here(IVec::default())
    }

    /// What of it stands in the chunk.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Here(value) => value,
            Self::InParts => b"",
        }
    }
}

/// A key, and what stands under it.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub key: IVec,
    pub stored: Stored,
}

impl Pair {
    fn bytes(&self) -> usize {
        LENGTHS_BYTES + self.key.len() + self.stored.bytes().len()
    }

    fn push_to(&self, chunk: &mut Vec<u8>) {
        let length = match &self.stored {
            Stored::Here(value) => value.len() as u16, // at most VALUE_BYTES_MAX
            Stored::InParts => IN_PARTS,
        };
        chunk.extend_from_slice(&(self.key.len() as u16).to_le_bytes());
        chunk.extend_from_slice(&length.to_le_bytes());
        chunk.extend_from_slice(&self.key);
        chunk.extend_from_slice(self.stored.bytes());
    }
}

/// Where a pair stands in a chunk's record: its key and, if it is there, its value.
type Span = (Range<usize>, Option<Range<usize>>);

/// Where the pairs of a chunk's record stand; `None`, and nothing more, where it is none.
fn spans(record: &[u8]) -> impl Iterator<Item = Option<Span>> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = record.get(at..).filter(|rest| !rest.is_empty())?;
        let span = rest.split_first_chunk().and_then(|(&[key, key_high, value, value_high], rest)| {
            let key = usize::from(u16::from_le_bytes([key, key_high]));
            let value = u16::from_le_bytes([value, value_high]);
            let in_chunk = if value == IN_PARTS { 0 } else { usize::from(value) };
            let begin = at + LENGTHS_BYTES;
            let (middle, end) = (begin + key, begin + key + in_chunk);
            (rest.len() >= key + in_chunk).then(|| {
                at = end;
                (begin..middle, (value != IN_PARTS).then_some(middle..end))
            })
        });
        if span.is_none() {
            at = record.len();
        }
        Some(span)
    })
}

fn pair(record: &IVec, (key, value): Span) -> Pair {
    let part = |range: Range<usize>| record.subslice(range.start, range.len());
    Pair { key: part(key), stored: value.map_or(Stored::InParts, |value| Stored::Here(part(value))) }
}

/// A record of a tree, and what of it counts.
struct Chunk {
    fence: IVec,
    pairs: Vec<Pair>,
    /// The next fence; `None`: there is none.
    end: Option<IVec>,
}

impl Chunk {
    /// Whether `key` would stand here; it is not before the fence.
    fn is_place_of(&self, key: &[u8]) -> bool {
        self.end.as_ref().is_none_or(|end| key < &**end)
    }

    /// The records that it is divided into, the last one first, where a chunk may have `bytes_max`.
    fn divided(self, bytes_max: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        // There is to be room in each, for what stands there grows.
        let divided = bytes_max / 4 * 3;
        let bytes: usize = self.pairs.iter().map(Pair::bytes).sum();
        let most = match &self.end {
            _ if bytes <= bytes_max => bytes_max,
            // Behind the last fence mostly more comes.
            None => divided,
            Some(_) => bytes.div_ceil(bytes.div_ceil(divided)),
        };
        let mut parts = vec![(self.fence.to_vec(), Vec::new())];
        let mut bytes = 0;
        for pair in self.pairs {
            if bytes > 0 && (bytes >= most || bytes + pair.bytes() > bytes_max) {
                parts.push((pair.key.to_vec(), Vec::new()));
                bytes = 0;
            }
            bytes += pair.bytes();
            parts.last_mut().into_iter().for_each(|(_, chunk)| pair.push_to(chunk));
        }
        parts.reverse();
        parts
    }

    /// Makes those of the next changes that concern it; which of them changed something.
    fn make(&mut self, tree: Tree, changes: &mut Peekable<impl Iterator<Item = KeyChange>>) -> Vec<Made> {
        let mut made = Vec::new();
        while let Some(change) = changes.next_if(|next| next.tree == tree && self.is_place_of(&next.key)) {
            let KeyChange { key, stored: after, .. } = change;
            let place = self.pairs.binary_search_by(|pair| pair.key[..].cmp(&key));
            let before = place.ok().map(|place| self.pairs[place].stored.clone());
            if before == after {
                continue;
            }
            match (place, after.clone()) {
                (Ok(place), Some(stored)) => self.pairs[place].stored = stored,
                (Ok(place), None) => _ = self.pairs.remove(place),
                (Err(place), Some(stored)) => self.pairs.insert(place, Pair { key: IVec::from(&key[..]), stored }),
                (Err(_), None) => {} // both are none
            }
            made.push(Made { key, before, after });
        }
        made
    }
}

/// A tree whose records are chunks.
#[derive(Clone, Copy)]
pub(super) struct Chunks<'a> {
    tree: Tree,
    records: &'a sled::Tree,
    /// Of the views.
    path: &'a Path,
}

impl<'a> Chunks<'a> {
    pub fn new(tree: Tree, records: &'a sled::Tree, path: &'a Path) -> Self {
        Self { tree, records, path }
    }

    /// What stands under a key.
    pub fn get(&self, key: &[u8]) -> Result<Option<Stored>, StoreError> {
        loop {
            let Some(record) = self.records.range(..=key).next_back() else { return Ok(None) };
            let (fence, record) = record.at(self.path)?;
            for span in spans(&record) {
                let span = span.ok_or_else(|| self.unreadable(&fence))?;
                match record[span.0.clone()].cmp(key) {
                    Ordering::Less => {}
                    // The last chunk that begins before a key has it, whatever is behind that by now.
                    Ordering::Equal => return Ok(Some(pair(&record, span).stored)),
                    Ordering::Greater => break,
                }
            }
            // Where another chunk has the key now, this one was divided since its record was read.
            let next = self.records.get_gt(&fence).at(self.path)?;
            if next.is_none_or(|(next, _)| &*next > key) {
                return Ok(None);
            }
        }
    }

    /// The chunk in which `key` stands, or would.
    fn chunk_of(&self, key: &[u8]) -> Result<Chunk, StoreError> {
        loop {
            let chunk = self.chunk(self.records.range(..=key).next_back().transpose().at(self.path)?)?;
            if chunk.is_place_of(key) {
                return Ok(chunk);
            } // else it was divided since its record was read
        }
    }

    /// The last chunk with a fence before `end` or, without one, of all.
    fn chunk_before(&self, end: Option<&[u8]>) -> Result<Chunk, StoreError> {
        loop {
            let last = end.map_or_else(|| self.records.last(), |end| self.records.get_lt(end));
            let chunk = self.chunk(last.at(self.path)?)?;
            let next = chunk.end.as_deref();
            if next.is_none_or(|next| end.is_some_and(|end| next >= end)) {
                return Ok(chunk);
            } // else it was divided since its record was read
        }
    }

    /// The chunk of a record; of none, that of a tree without a fence.
    fn chunk(&self, record: Option<(IVec, IVec)>) -> Result<Chunk, StoreError> {
        let (fence, record) = record.unwrap_or_default();
        let end = self.records.get_gt(&fence).at(self.path)?.map(|(end, _)| end);
        let mut chunk = Chunk { fence, pairs: Vec::new(), end };
        for span in spans(&record) {
            let pair = pair(&record, span.ok_or_else(|| self.unreadable(&chunk.fence))?);
            if !chunk.is_place_of(&pair.key) {
                break;
            }
            chunk.pairs.push(pair);
        }
        Ok(chunk)
    }

    /// The pairs from the key `start` on, up to `end`, if there is one, in order.
    pub fn pairs(self, start: Vec<u8>, end: Option<Vec<u8>>) -> Pairs<'a> {
        Pairs { chunks: self, start, end, front: VecDeque::new(), back: Vec::new(), is_done: false }
    }

    fn unreadable(&self, fence: &[u8]) -> StoreError {
        super::unreadable(self.path, self.tree, fence)
    }
}

impl Views {
    pub(super) fn chunks(&self, tree: Tree) -> Chunks<'_> {
        Chunks::new(tree, self.tree(tree), &self.path)
    }

    /// The records that bring trees to what `changes` say, which are in the order in which they are made. An index is
    /// written before what it is of, which tells what is to go from it, also where a batch is written again.
    pub(super) fn chunk_writes(&self, mut changes: Vec<KeyChange>) -> Result<Vec<Write>, StoreError> {
        let place = |change: &KeyChange| Reverse(change.tree as u8);
        changes.sort_by(|one, other| (place(one), &one.key).cmp(&(place(other), &other.key)));
        let mut writes = Vec::new();
        let mut changes = changes.into_iter().peekable();
        while let Some(first) = changes.peek() {
            let tree = first.tree;
            let mut chunk = self.chunks(tree).chunk_of(&first.key)?;
            let mut made = chunk.make(tree, &mut changes);
            if made.is_empty() {
                continue;
            }
            // The first record that is written counts for all.
            let records = chunk.divided(chunk_bytes_max(tree)).into_iter();
            writes.extend(records.map(|(key, record)| Write {
                tree,
                key,
                value: Some(record),
                changes: Change::Keys(std::mem::take(&mut made)),
            }));
        }
        Ok(writes)
    }
}

/// Pairs, chunk by chunk, from both ends.
pub(super) struct Pairs<'a> {
    chunks: Chunks<'a>,
    /// What is left: from here on, up to there.
    start: Vec<u8>,
    end: Option<Vec<u8>>,
    /// Those that were read at each end.
    front: VecDeque<Pair>,
    back: Vec<Pair>,
    is_done: bool,
}

impl Pairs<'_> {
    fn is_left(&self, key: &[u8]) -> bool {
        key >= &*self.start && self.end.as_ref().is_none_or(|end| key < &**end)
    }

    fn next_pair(&mut self) -> Result<Option<Pair>, StoreError> {
        loop {
            if let Some(pair) = self.front.pop_front() {
                let is_left = self.is_left(&pair.key);
                self.start = [&pair.key[..], &[0]].concat();
                return Ok(is_left.then_some(pair));
            }
            let chunk = self.chunks.chunk_of(&self.start)?;
            self.front = chunk.pairs.into_iter().filter(|pair| self.is_left(&pair.key)).collect();
            if self.front.is_empty() {
                match chunk.end {
                    Some(end) if self.is_left(&end) => self.start = end.to_vec(),
                    _ => return Ok(None),
                }
            }
        }
    }

    fn next_pair_back(&mut self) -> Result<Option<Pair>, StoreError> {
        loop {
            if let Some(pair) = self.back.pop() {
                let pair = self.is_left(&pair.key).then_some(pair);
                self.end = pair.as_ref().map(|pair| pair.key.to_vec());
                return Ok(pair);
            }
            let chunk = self.chunks.chunk_before(self.end.as_deref())?;
            self.back = chunk.pairs.into_iter().filter(|pair| self.is_left(&pair.key)).collect();
            if self.back.is_empty() {
                if *chunk.fence <= *self.start {
                    return Ok(None);
                }
                self.end = Some(chunk.fence.to_vec());
            }
        }
    }

    fn told(&mut self, next: Result<Option<Pair>, StoreError>) -> Option<Result<Pair, StoreError>> {
        self.is_done = !matches!(next, Ok(Some(_)));
        next.transpose()
    }
}

impl Iterator for Pairs<'_> {
    type Item = Result<Pair, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let next = self.next_pair();
        self.told(next)
    }
}

impl DoubleEndedIterator for Pairs<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let next = self.next_pair_back();
        self.told(next)
    }
}

#[cfg(test)]
mod tests;
