//! A segment: a part of the log in a small sled database of its own.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::block::{Block, Encoded};
use crate::{
    model::{Id, ShortId},
    store::{
        database::{self, Handle},
        entry::{self, Entry},
        error::{At, RESTORE, StoreError},
        files::durable,
    },
};

/// Blocks are read once in a while and mostly new; the system's page cache holds the rest.
const CACHE_BYTES: u64 = 4 * 1024 * 1024;

/// What a block may hold, so that it need not be read to know that it does not.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub first: u64,
    pub count: u32,
    /// The smallest and the largest id that the server made for an event in it.
    pub made_ids: Option<(u128, u128)>,
}

impl Summary {
    pub fn new(first: u64) -> Self {
        Self { first, count: 0, made_ids: None }
    }

    pub fn add(&mut self, entry: &Entry) {
        self.count += 1;
        if let Entry::Event(event) = entry
            && let (false, Some(id)) = (event.given, made_id(&event.id))
        {
            let (least, most) = self.made_ids.unwrap_or((id, id));
            self.made_ids = Some((least.min(id), most.max(id)));
        }
    }

    pub fn end(&self) -> u64 {
        self.first + u64::from(self.count)
    }

    pub fn may_hold(&self, id: u128) -> bool {
        self.made_ids.is_some_and(|(least, most)| (least..=most).contains(&id))
    }

    /// This summary, widened to cover `other` behind it.
    pub fn and(&self, other: &Self) -> Self {
        let made_ids = match (self.made_ids, other.made_ids) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (one, other) => one.or(other),
        };
        Self { first: self.first, count: self.count + other.count, made_ids }
    }
}

/// The number that a server-made id is; `None` for an id that the server cannot have made.
pub fn made_id(id: &Id) -> Option<u128> {
    let ShortId::Uuid(number) = ShortId::of(id) else { return None };
    (uuid::Uuid::from_u128(number).get_version_num() == 7).then_some(number)
}

pub struct Segment {
    path: PathBuf,
    db: Handle<sled::Db>,
    /// First offset to the block's bytes, in parts.
    blocks: Handle<sled::Tree>,
    /// First offset to the block's [`Summary`].
    summaries: Handle<sled::Tree>,
}

impl Segment {
    /// Opens the segment in the folder `path`, making it if there is none.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let db = database::open(path, CACHE_BYTES, RESTORE)?;
        let blocks = database::open_tree(path, &db, "blocks")?;
        let summaries = database::open_tree(path, &db, "summaries")?;
        Ok(Self { path: path.to_owned(), db, blocks, summaries })
    }

    /// Puts a block behind the others, in parts of `part_bytes`.
    pub fn put(&self, block: &Block, summary: &Summary, part_bytes: usize) -> Result<(), StoreError> {
        let key = block.first.to_be_bytes();
        for (key, part) in database::parts(&key, &block.bytes, part_bytes) {
            self.blocks.insert(key, part).at(&self.path)?;
        }
        self.summaries.insert(key, entry::encode(summary)).at(&self.path)?;
        Ok(())
    }

    /// The summaries of all blocks, in order.
    pub fn summaries(&self) -> impl Iterator<Item = Result<Summary, StoreError>> + '_ {
        self.summaries.iter().values().map(|value| {
            let value = value.at(&self.path)?;
            entry::decode(&value).ok_or_else(|| self.damaged("a block's summary cannot be read"))
        })
    }

    /// The block that holds `offset`.
    pub fn block_at(&self, offset: u64) -> Result<Option<Block>, StoreError> {
        let Some(found) = self.summaries.range(..=offset.to_be_bytes()).next_back() else { return Ok(None) };
        let (key, _) = found.at(&self.path)?;
        let first =
            u64::from_be_bytes(key.as_ref().try_into().map_err(|_| self.damaged("a summary's key is damaged"))?);
        let block = self.block(first)?;
        Ok((offset < block.end()).then_some(block))
    }

    /// The block that begins at `first`.
    pub fn block(&self, first: u64) -> Result<Block, StoreError> {
        let bytes = database::get(&self.blocks, &first.to_be_bytes()).at(&self.path)?;
        let bytes = bytes.ok_or_else(|| self.damaged(&format!("the block at offset {first} is missing")))?;
        let block = Block::whole(bytes).map_err(|what| self.damaged_at(what, first))?;
        if block.first != first {
            return Err(self.damaged(&format!("another block stands at offset {first}")));
        }
        Ok(block)
    }

    pub fn entries(&self, block: &Block) -> Result<Vec<Entry>, StoreError> {
        self.read(block, |block| block.entries())
    }

    /// What `read` finds in the entries of a block of it.
    pub fn read<T>(
        &self,
        block: &Block,
        read: impl FnOnce(Encoded<'_>) -> Result<T, &'static str>,
    ) -> Result<T, StoreError> {
        block.encoded().and_then(read).map_err(|what| self.damaged_at(what, block.first))
    }

    /// Reads every block.
    pub fn read_through(self) -> Result<Self, StoreError> {
        for summary in self.summaries() {
            self.block(summary?.first)?;
        }
        Ok(self)
    }

    /// Writes everything to the segment's files and makes them durable.
    pub fn close(self) -> Result<(), StoreError> {
        let Self { path, db, blocks, summaries } = self;
        drop((blocks, summaries));
        database::close(&path, RESTORE, db)?;
        durable::sync_tree(&path)
    }

    /// What is said of damage of the block that begins at `offset`.
    pub fn damaged_at(&self, what: &str, offset: u64) -> StoreError {
        self.damaged(&format!("{what} at offset {offset}"))
    }

    fn damaged(&self, what: &str) -> StoreError {
        StoreError::damaged(&self.path, what, RESTORE)
    }
}
