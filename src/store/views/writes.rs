//! What brings the views to new states: the records to write and to remove, and their count and sum.

use foldhash::HashMap;

use super::{
    Progress, Views,
    chunks::{Stored, VALUE_BYTES_MAX},
    tables::{self, Form, Tree, large_key, place_key, profile_key, visit_key},
};
use crate::{
    model::{Id, MergeKey, ProfileRef, Session},
    store::{
        database,
        entry::{self, Key, Name, State},
        error::{At, StoreError},
    },
};

/// One record to write or, without a value, to remove.
pub(super) struct Write {
    pub tree: Tree,
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
    pub changes: Change,
}

/// What a write changes of what is counted.
pub(super) enum Change {
    /// The record itself; what stands there now.
    Record(Option<sled::IVec>),
    /// A chunk: the keys that come, change or go with this record and those written behind it.
    Keys(Vec<Made>),
}

/// What is to stand under a key of a tree of chunks; `None`: nothing.
pub(super) struct KeyChange {
    pub tree: Tree,
    pub key: Vec<u8>,
    pub stored: Option<Stored>,
}

/// What stood under a key of a tree of chunks, and what does now.
pub(super) struct Made {
    pub key: Vec<u8>,
    pub before: Option<Stored>,
    pub after: Option<Stored>,
}

/// What states lead to.
#[derive(Default)]
struct Changes {
    /// Of the sets: in which order sessions and profiles were made, and whose sessions are.
    sets: Vec<KeyChange>,
    records: Vec<Write>,
    /// Values in chunks.
    values: Vec<KeyChange>,
}

impl Changes {
    fn record(&mut self, tree: Tree, key: Vec<u8>, value: Option<Vec<u8>>, old: Option<sled::IVec>) {
        self.records.push(Write { tree, key, value, changes: Change::Record(old) });
    }

    fn key(&mut self, tree: Tree, key: Vec<u8>, is_there: bool) {
        self.sets.push(KeyChange { tree, key, stored: is_there.then(Stored::nothing) });
    }

    fn value(&mut self, tree: Tree, key: Vec<u8>, stored: Option<Stored>) {
        self.values.push(KeyChange { tree, key, stored });
    }
}

impl Progress {
    /// Counts a record that there was none of, by its checksum.
    pub(super) fn add(&mut self, checksum: u64) {
        self.records += 1;
        self.sum = self.sum.wrapping_add(checksum);
    }

    /// Takes a record out of the count.
    pub(super) fn remove(&mut self, checksum: u64) {
        self.records -= 1;
        self.sum = self.sum.wrapping_sub(checksum);
    }

    /// Counts what `writes` add, replace and remove.
    pub(super) fn count(&mut self, writes: &[Write]) {
        for Write { tree, key, value, changes } in writes {
            match changes {
                Change::Record(old) => {
                    old.iter().for_each(|old| self.remove(checksum(*tree, key, old)));
                    value.iter().for_each(|new| self.add(checksum(*tree, key, new)));
                }
                Change::Keys(made) => made.iter().for_each(|made| {
                    let checksum = |stored: &Stored| checksum(*tree, &made.key, stored.bytes());
                    made.before.iter().for_each(|before| self.remove(checksum(before)));
                    made.after.iter().for_each(|after| self.add(checksum(after)));
                }),
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
    pub(super) fn writes(&self, states: &HashMap<Key, State>) -> Result<Vec<Write>, StoreError> {
        let Changes { sets, records, values } = self.changes(states)?;
        // The sets first: what is to go from them is told by what a session or a profile is before, also where a batch is
        // written again. What stands in parts before the chunk that says so; names and merge keys, whose indexes stand in
        // chunks as well, are never as large.
        let mut writes = self.chunk_writes(sets)?;
        writes.extend(records);
        writes.extend(self.chunk_writes(values)?);
        Ok(writes)
    }

    fn changes(&self, states: &HashMap<Key, State>) -> Result<Changes, StoreError> {
        let mut changes = Changes::default();
        for (key, state) in states {
            match (key, state) {
                (Key::Session(id), State::Session(session)) => {
                    self.put_session(id, session, &mut changes)?;
                    continue;
                }
                (Key::Session(id), _) => {
                    if let Some(number) = self.session_number(id)? {
                        self.remove_session(&number, &mut changes)?;
                    }
                    changes.value(Tree::SessionNumbers, id.key(), None);
                    continue;
                }
                (Key::Profile(id), state) => {
                    self.put_profile(id, state, &mut changes)?;
                    continue;
                }
                (Key::Name(id), state) => self.index_name(id, state, &mut changes)?,
                (Key::MergeKey(key), state) => self.index_merge_key(*key, state, &mut changes)?,
                _ => {}
            }
            let (tree, key) = tables::place(key);
            match (tree.table().form, tables::encode(state)) {
                (Form::Whole, Some(value)) => self.put(tree, key, value, &mut changes)?,
                (Form::Whole, None) => self.remove(tree, key, &mut changes)?,
                (Form::Parts, Some(value)) => self.put_parts(tree, &key, &value, &mut changes)?,
                (Form::Parts, None) => self.remove_parts(tree, &key, &mut changes)?,
                (Form::Chunks, value) => self.put_value(tree, key, value, &mut changes)?,
            }
        }
        Ok(changes)
    }

    /// The profile's record, and before it the order in which profiles were made, as [`Views::index_name`].
    fn put_profile(&self, id: &Id, state: &State, changes: &mut Changes) -> Result<(), StoreError> {
        let key = id.key();
        let before = self.get(Tree::Profiles, &key)?;
        // A profile's record begins with what the profile is called.
        let before = before.as_deref().and_then(entry::decode::<ProfileRef>);
        let now = if let State::Profile(profile) = state { Some(profile.reference()) } else { None };
        if before != now {
            before.iter().for_each(|before| changes.key(Tree::ProfilesMade, profile_key(before), false));
            now.iter().for_each(|now| changes.key(Tree::ProfilesMade, profile_key(now), true));
        }
        self.put_value(Tree::Profiles, key, tables::encode(state), changes)
    }

    /// Brings the index of a profile's names to what `id` means now. It goes before the name itself, so that a batch that
    /// is written again finds what it meant before.
    fn index_name(&self, id: &Id, state: &State, changes: &mut Changes) -> Result<(), StoreError> {
        let place = |name: &Name| [&profile_key(&name.profile)[..], &name.said.to_be_bytes()].concat();
        let before = self.get(Tree::Names, &id.key())?.and_then(|bytes| entry::decode::<Name>(&bytes));
        let now = if let State::Name(name) = state { Some(name) } else { None };
        if let Some(before) =
            before.map(|before| place(&before)).filter(|before| now.map(place).as_ref() != Some(before))
        {
            self.put_value(Tree::NamesOf, before, None, changes)?;
        }
        match now {
            Some(name) => {
                let reference = ProfileRef { id: id.clone(), since: name.since };
                self.put_value(Tree::NamesOf, place(name), Some(entry::encode(&reference)), changes)
            }
            None => Ok(()),
        }
    }

    /// As [`Views::index_name`], for where a merge key leads.
    fn index_merge_key(&self, key: MergeKey, state: &State, changes: &mut Changes) -> Result<(), StoreError> {
        let place = |profile: &ProfileRef| [&profile_key(profile)[..], &key.0].concat();
        let before = self.get(Tree::MergeKeys, &key.0)?.and_then(|bytes| entry::decode::<ProfileRef>(&bytes));
        let now = if let State::Leads(profile) = state { Some(profile) } else { None };
        if let Some(before) = before.filter(|before| now != Some(before)) {
            self.put_value(Tree::KeysOf, place(&before), None, changes)?;
        }
        now.map_or(Ok(()), |profile| self.put_value(Tree::KeysOf, place(profile), Some(Vec::new()), changes))
    }

    fn put_session(&self, id: &Id, session: &Session, changes: &mut Changes) -> Result<(), StoreError> {
        let (number, place) = (session.number.to_be_bytes(), session.place());
        let old = if self.known_sessions.may_hold(id) { self.session_number(id)? } else { None };
        let packed = self.codec.pack(&entry::encode(session));
        let before = if old.as_deref() == Some(&number[..]) {
            self.session_at(&number)?.and_then(|session| session.profile)
        } else {
            old.map_or(Ok(()), |old| self.remove_session(&old, changes))?;
            self.known_sessions.insert(id);
            changes.key(Tree::SessionsBegun, place_key(place).to_vec(), true);
            changes.value(Tree::SessionNumbers, id.key(), Some(Stored::Here(number[..].into())));
            None
        };
        if before != session.profile {
            before.iter().for_each(|before| changes.key(Tree::SessionsOf, visit_key(before, place), false));
            session.profile.iter().for_each(|now| changes.key(Tree::SessionsOf, visit_key(now, place), true));
        }
        self.put_value(Tree::Sessions, number.to_vec(), Some(packed), changes)
    }

    /// Removes the session of this number, and which profiles it had.
    fn remove_session(&self, number: &[u8], changes: &mut Changes) -> Result<(), StoreError> {
        let session = self.session_at(number)?;
        let last = session.as_ref().and_then(|session| session.profile.as_ref()).map(profile_key);
        let shared = |profile: &[u8]| [profile, number].concat();
        for record in self.tree(Tree::Visited).scan_prefix(number) {
            let (key, old) = record.at(&self.path)?;
            let profile = &key[number.len()..];
            if last.as_deref() != Some(profile) {
                self.remove(Tree::SharedSessions, shared(profile), changes)?;
            }
            changes.record(Tree::Visited, key.to_vec(), None, Some(old));
        }
        if let Some(last) = last {
            self.remove(Tree::SharedSessions, shared(&last), changes)?;
        }
        if let Some(session) = session {
            if let Some(last) = &session.profile {
                changes.key(Tree::SessionsOf, visit_key(last, session.place()), false);
            }
            changes.key(Tree::SessionsBegun, place_key(session.place()).to_vec(), false);
        }
        self.remove_parts(Tree::Imported, number, changes)?;
        self.put_value(Tree::Sessions, number.to_vec(), None, changes)
    }

    /// The number under which the session stands.
    fn session_number(&self, id: &Id) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(Tree::SessionNumbers, &id.key())
    }

    /// The session of this number; `None` where it is not whole, as while a batch is written.
    fn session_at(&self, number: &[u8]) -> Result<Option<Session>, StoreError> {
        let packed = self.get(Tree::Sessions, number)?;
        Ok(packed.and_then(|packed| self.session_of(&packed)))
    }

    /// Puts a value under a key of a tree of chunks or, without one, removes what stands there.
    fn put_value(
        &self,
        tree: Tree,
        key: Vec<u8>,
        value: Option<Vec<u8>>,
        changes: &mut Changes,
    ) -> Result<(), StoreError> {
        let large_key = large_key(tree, &key);
        let stored = match value {
            Some(value) if value.len() > VALUE_BYTES_MAX => {
                self.put_parts(Tree::Large, &large_key, &value, changes)?;
                Some(Stored::InParts)
            }
            other => {
                self.remove_parts(Tree::Large, &large_key, changes)?;
                other.map(|value| Stored::Here(value.into()))
            }
        };
        changes.value(tree, key, stored);
        Ok(())
    }

    pub(super) fn session_of(&self, packed: &[u8]) -> Option<Session> {
        self.codec.unpack(packed).and_then(|bytes| entry::decode(&bytes))
    }

    fn put(&self, tree: Tree, key: Vec<u8>, value: Vec<u8>, changes: &mut Changes) -> Result<(), StoreError> {
        let old = self.tree(tree).get(&key).at(&self.path)?;
        changes.record(tree, key, Some(value), old);
        Ok(())
    }

    fn remove(&self, tree: Tree, key: Vec<u8>, changes: &mut Changes) -> Result<(), StoreError> {
        let old = self.tree(tree).get(&key).at(&self.path)?;
        changes.record(tree, key, None, old);
        Ok(())
    }

    fn put_parts(&self, tree: Tree, key: &[u8], value: &[u8], changes: &mut Changes) -> Result<(), StoreError> {
        replace_parts(tree, key, value, database::parts_of(self.tree(tree), key).at(&self.path)?, changes);
        Ok(())
    }

    fn remove_parts(&self, tree: Tree, key: &[u8], changes: &mut Changes) -> Result<(), StoreError> {
        remove_parts(tree, database::parts_of(self.tree(tree), key).at(&self.path)?, changes);
        Ok(())
    }
}

/// The records under which a value stands.
type Parts = Vec<(Vec<u8>, sled::IVec)>;

fn replace_parts(tree: Tree, key: &[u8], value: &[u8], mut old: Parts, changes: &mut Changes) {
    let new: Vec<_> = database::parts(key, value, database::PART_BYTES).collect();
    // The first part says how many there are: what is too many goes before it is written.
    remove_parts(tree, old.split_off(new.len().min(old.len())), changes);
    let mut old = old.into_iter().map(|(_, old)| old);
    new.into_iter().for_each(|(key, part)| changes.record(tree, key, Some(part), old.next()));
}

fn remove_parts(tree: Tree, old: Parts, changes: &mut Changes) {
    // The first part says how many there are: removed last, so that a batch that is written again finds the rest.
    old.into_iter().rev().for_each(|(key, old)| changes.record(tree, key, None, Some(old)));
}

/// One record's share of the sum over all of them, whatever their order.
pub(super) fn checksum(tree: Tree, key: &[u8], value: &[u8]) -> u64 {
    let key = crc32c::crc32c_append(crc32c::crc32c(&[tree as u8]), key);
    u64::from(key) << 32 | u64::from(crc32c::crc32c_append(key, value))
}
