//! What stands under a key, in whichever form its tree has it.

use serde::Deserialize;
use sled::IVec;

use super::{
    Tree, Views,
    chunks::{Pair, Stored},
    tables::{Form, large_key},
};
use crate::{
    model::Id,
    store::{
        database, entry,
        error::{At, StoreError},
    },
};

/// A key and its value.
type Record = Result<(IVec, IVec), StoreError>;

impl Views {
    /// The records of a tree whose records come in parts.
    pub(super) fn all<'a, T: for<'b> Deserialize<'b>>(
        &'a self,
        tree: Tree,
    ) -> impl Iterator<Item = Result<T, StoreError>> + 'a {
        self.values(tree).map(move |value| {
            let (key, value) = value?;
            entry::decode(&value).ok_or_else(|| self.unreadable(tree, &key))
        })
    }

    /// As [`Views::all`], the keys and values.
    pub(super) fn values(&self, tree: Tree) -> impl Iterator<Item = Result<(Vec<u8>, Vec<u8>), StoreError>> + '_ {
        database::values(self.tree(tree)).filter_map(move |value| {
            let found = value.at(&self.path).and_then(|(key, whole)| {
                let value = if whole.is_some() { whole } else { self.value(tree, &key)? };
                Ok(value.map(|value| (key, value)))
            });
            found.transpose()
        })
    }

    /// What stands under a key, for whoever knows that it is not on its way here.
    pub(super) fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match tree.table().form {
            Form::Whole => Ok(self.tree(tree).get(key).at(&self.path)?.map(|value| value.to_vec())),
            Form::Parts => database::get(self.tree(tree), key).at(&self.path),
            Form::Chunks => match self.chunks(tree).get(key)? {
                Some(Stored::Here(value)) => Ok(Some(value.to_vec())),
                Some(Stored::InParts) => self.get(Tree::Large, &large_key(tree, key)),
                None => Ok(None),
            },
        }
    }

    /// What stands under a key, for whoever does not look first whether it is on its way here.
    pub(super) fn value(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let whole = match tree.table().form {
            Form::Whole => return self.get(tree, key),
            Form::Parts => match database::first_part(self.tree(tree), key).at(&self.path)? {
                Some((_, false)) => None,
                first => Some(first.map(|(value, _)| value)),
            },
            Form::Chunks => match self.chunks(tree).get(key)? {
                Some(Stored::InParts) => None,
                stored => Some(stored.map(|stored| stored.bytes().to_vec())),
            },
        };
        if let Some(value) = whole {
            return Ok(value);
        }
        // Several parts are whole only while no batch is written.
        let _no_batch = self.progress.lock();
        self.get(tree, key)
    }

    /// What stands in a tree of chunks from the key `start` on, up to `end`, if there is one, in order.
    pub(super) fn range(
        &self,
        tree: Tree,
        start: Vec<u8>,
        end: Option<Vec<u8>>,
    ) -> impl DoubleEndedIterator<Item = Record> + '_ {
        self.chunks(tree).pairs(start, end).filter_map(move |pair| {
            let found = pair.and_then(|Pair { key, stored }| {
                let value = match stored {
                    Stored::Here(value) => Some(value),
                    Stored::InParts => self.value(tree, &key)?.map(IVec::from),
                };
                Ok(value.map(|value| (key, value)))
            });
            found.transpose() // one that went meanwhile is none
        })
    }

    /// As [`Views::range`], what stands under keys that begin with `prefix`; also in a tree of whole records.
    pub(super) fn under(&self, tree: Tree, prefix: &[u8]) -> Box<dyn DoubleEndedIterator<Item = Record> + '_> {
        match tree.table().form {
            Form::Chunks => Box::new(self.range(tree, prefix.to_vec(), behind_all(prefix))),
            _ => Box::new(self.tree(tree).scan_prefix(prefix).map(|record| record.at(&self.path))),
        }
    }
}

/// Where what is behind the id `after` begins; no id's key is another one's beginning.
pub(super) fn behind(after: Option<&Id>) -> Vec<u8> {
    after.map_or_else(Vec::new, |after| [after.key(), vec![0]].concat())
}

/// The first key behind all that begin with `prefix`; `None`: there can be none.
pub(super) fn behind_all(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}
