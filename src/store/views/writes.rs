//! What brings the views to new states: the records to write and to remove, and their count and sum.

use std::collections::HashMap;

use super::{Progress, Tree, Views, definition_key, delayed_key, event_key, visited_key};
use crate::{
    model::{Id, Session},
    store::{
        entry::{self, Key, State},
        error::{At, StoreError},
        tree,
    },
};

/// One record to write or, without a value, to remove.
pub(super) struct Write {
    tree: Tree,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
    /// What stands there now.
    old: Option<sled::IVec>,
}

impl Progress {
    /// Counts what `writes` add, replace and remove.
    pub(super) fn count(&mut self, writes: &[Write]) {
        for write in writes {
            if let Some(old) = &write.old {
                self.records -= 1;
                self.sum = self.sum.wrapping_sub(checksum(write.tree, &write.key, old));
            }
            if let Some(new) = &write.value {
                self.records += 1;
                self.sum = self.sum.wrapping_add(checksum(write.tree, &write.key, new));
            }
        }
    }
}

impl Views {
    pub(super) fn write(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        for Write { tree, key, value, .. } in writes {
            let tree = self.tree(tree);
            match value {
                Some(value) => tree.insert(key, value).at(&self.path)?,
                None => tree.remove(key).at(&self.path)?,
            };
        }
        Ok(())
    }

    /// The records that bring the views to `states`.
    pub(super) fn writes(&self, states: &HashMap<Key, State>) -> Result<Vec<Write>, sled::Error> {
        let mut writes = Vec::with_capacity(states.len() * 2);
        for (key, state) in states {
            match (key, state) {
                (Key::Session(id), State::Session(session)) => self.put_session(id, session, &mut writes)?,
                (Key::Session(id), _) => {
                    if let Some(number) = self.tree(Tree::SessionNumbers).get(id.key())? {
                        self.remove_session(&number, &mut writes)?;
                        // Removed last: as long as it leads there, a batch that is written again finds the rest.
                        self.remove(Tree::SessionNumbers, id.key(), &mut writes)?;
                    }
                }
                (Key::Profile(id), State::Profile(profile)) => {
                    self.put_parts(Tree::Profiles, &id.key(), &entry::encode(profile), &mut writes)?;
                }
                (Key::Profile(id), _) => self.remove_parts(Tree::Profiles, &id.key(), &mut writes)?,
                (Key::Name(id), State::Name(profile)) => {
                    self.put(Tree::Names, id.key(), entry::encode(profile), &mut writes)?;
                }
                (Key::Name(id), _) => self.remove(Tree::Names, id.key(), &mut writes)?,
                (Key::EventId { id, source }, State::EventId(place)) => {
                    self.put(Tree::EventIds, event_key(id, Some(source)), entry::encode(place), &mut writes)?;
                }
                (Key::EventId { id, source }, _) => {
                    self.remove(Tree::EventIds, event_key(id, Some(source)), &mut writes)?
                }
                (Key::Visited { session, profile }, _) => {
                    self.put(Tree::Visited, visited_key(*session, profile), Vec::new(), &mut writes)?;
                }
                (Key::DeletedEvent(offset), _) => {
                    self.put(Tree::DeletedEvents, offset.to_be_bytes().to_vec(), Vec::new(), &mut writes)?;
                }
                (Key::MergeKey(key), State::Name(profile)) => {
                    self.put(Tree::MergeKeys, key.0.to_vec(), entry::encode(profile), &mut writes)?;
                }
                (Key::MergeKey(key), _) => self.remove(Tree::MergeKeys, key.0.to_vec(), &mut writes)?,
                (Key::Definition(kind, id), State::Definition(definition)) => {
                    let key = definition_key(*kind, id);
                    self.put_parts(Tree::Definitions, &key, &entry::encode(definition), &mut writes)?;
                }
                (Key::Definition(kind, id), _) => {
                    self.remove_parts(Tree::Definitions, &definition_key(*kind, id), &mut writes)?;
                }
                (Key::Delivered(id), State::Offset(offset)) => {
                    self.put(Tree::Deliveries, id.key(), entry::encode(offset), &mut writes)?;
                }
                (Key::Delivered(id), _) => self.remove(Tree::Deliveries, id.key(), &mut writes)?,
                (Key::Delayed { due, number }, State::Delayed(event)) => {
                    self.put_parts(Tree::Delayed, &delayed_key(*due, *number), &entry::encode(event), &mut writes)?;
                }
                (Key::Delayed { due, number }, _) => {
                    self.remove_parts(Tree::Delayed, &delayed_key(*due, *number), &mut writes)?;
                }
                (Key::Pass(kind, id), State::Pass(pass)) => {
                    self.put(Tree::Passes, definition_key(*kind, id), entry::encode(pass), &mut writes)?;
                }
                (Key::Pass(kind, id), _) => self.remove(Tree::Passes, definition_key(*kind, id), &mut writes)?,
                (Key::Source(id), State::Source(source)) => {
                    self.put_parts(Tree::Sources, &id.key(), &entry::encode(source), &mut writes)?;
                }
                (Key::Source(id), _) => self.remove_parts(Tree::Sources, &id.key(), &mut writes)?,
                (Key::SourceSecrets(id), State::SourceSecrets(secrets)) => {
                    self.put_parts(Tree::SourceSecrets, &id.key(), &entry::encode(secrets), &mut writes)?;
                }
                (Key::SourceSecrets(id), _) => self.remove_parts(Tree::SourceSecrets, &id.key(), &mut writes)?,
            }
        }
        Ok(writes)
    }

    fn put_session(&self, id: &Id, session: &Session, writes: &mut Vec<Write>) -> Result<(), sled::Error> {
        let number = session.number.to_be_bytes();
        let old = self.tree(Tree::SessionNumbers).get(id.key())?;
        if old.as_ref().is_none_or(|old| *old != number) {
            if let Some(old) = &old {
                self.remove_session(old, writes)?;
            }
            writes.push(Write { tree: Tree::SessionNumbers, key: id.key(), value: Some(number.to_vec()), old });
        }
        self.put_parts(Tree::Sessions, &number, &self.codec.pack(&entry::encode(session)), writes)
    }

    /// Removes the session of this number, and which profiles it had.
    fn remove_session(&self, number: &[u8], writes: &mut Vec<Write>) -> Result<(), sled::Error> {
        for record in self.tree(Tree::Visited).scan_prefix(number) {
            let (key, old) = record?;
            writes.push(Write { tree: Tree::Visited, key: key.to_vec(), value: None, old: Some(old) });
        }
        self.remove_parts(Tree::Sessions, number, writes)
    }

    fn put(&self, tree: Tree, key: Vec<u8>, value: Vec<u8>, writes: &mut Vec<Write>) -> Result<(), sled::Error> {
        let old = self.tree(tree).get(&key)?;
        writes.push(Write { tree, key, value: Some(value), old });
        Ok(())
    }

    fn remove(&self, tree: Tree, key: Vec<u8>, writes: &mut Vec<Write>) -> Result<(), sled::Error> {
        let old = self.tree(tree).get(&key)?;
        writes.push(Write { tree, key, value: None, old });
        Ok(())
    }

    fn put_parts(&self, tree: Tree, key: &[u8], value: &[u8], writes: &mut Vec<Write>) -> Result<(), sled::Error> {
        let mut old = tree::parts_of(self.tree(tree), key)?.into_iter();
        for (key, value) in tree::parts(key, value) {
            let old = old.next().map(|(_, old)| old);
            writes.push(Write { tree, key, value: Some(value), old });
        }
        writes.extend(old.map(|(key, old)| Write { tree, key, value: None, old: Some(old) }));
        Ok(())
    }

    fn remove_parts(&self, tree: Tree, key: &[u8], writes: &mut Vec<Write>) -> Result<(), sled::Error> {
        // The first part says how many there are: removed last, so that a batch that is written again finds the rest.
        let old = tree::parts_of(self.tree(tree), key)?.into_iter().rev();
        writes.extend(old.map(|(key, old)| Write { tree, key, value: None, old: Some(old) }));
        Ok(())
    }
}

/// One record's share of the sum over all of them, whatever their order.
pub(super) fn checksum(tree: Tree, key: &[u8], value: &[u8]) -> u64 {
    let key = crc32c::crc32c_append(crc32c::crc32c(&[tree as u8]), key);
    u64::from(key) << 32 | u64::from(crc32c::crc32c_append(key, value))
}
