//! What brings the views to new states: the records to write and to remove, and their count and sum.

use foldhash::HashMap;

use super::{
    Progress, Views,
    tables::{self, Form, Tree, place_key, profile_key, visit_key},
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
    /// Keys of a set: those that come or go with this record and the ones written before it.
    Keys(Vec<KeyChange>),
}

/// A key of a set that is to be there, or not.
pub(super) struct KeyChange {
    pub tree: Tree,
    pub key: Vec<u8>,
    pub is_there: bool,
}

/// What states lead to.
#[derive(Default)]
struct Changes {
    keys: Vec<KeyChange>,
    records: Vec<Write>,
}

impl Changes {
    fn record(&mut self, tree: Tree, key: Vec<u8>, value: Option<Vec<u8>>, old: Option<sled::IVec>) {
        self.records.push(Write { tree, key, value, changes: Change::Record(old) });
    }

    fn key(&mut self, tree: Tree, key: Vec<u8>, is_there: bool) {
        self.keys.push(KeyChange { tree, key, is_there });
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
                Change::Keys(keys) => keys.iter().for_each(|change| {
                    let checksum = checksum(*tree, &change.key, b"");
                    if change.is_there { self.add(checksum) } else { self.remove(checksum) }
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
        let Changes { keys, records } = self.changes(states).at(&self.path)?;
        // The sets first: what is to go from them is told by what a session or a profile is before, also where a batch is
        // written again.
        let mut writes = self.chunks(keys)?;
        writes.extend(records);
        Ok(writes)
    }

    fn changes(&self, states: &HashMap<Key, State>) -> Result<Changes, sled::Error> {
        let mut changes = Changes::default();
        for (key, state) in states {
            match (key, state) {
                (Key::Session(id), State::Session(session)) => {
                    self.put_session(id, session, &mut changes)?;
                    continue;
                }
                (Key::Session(id), _) => {
                    if let Some(number) = self.tree(Tree::SessionNumbers).get(id.key())? {
                        self.remove_session(&number, &mut changes)?;
                    }
                    // Removed last: as long as it leads there, a batch that is written again finds the rest.
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
                (Form::Set, _) => {} // no key of a state leads to one
            }
        }
        Ok(changes)
    }

    /// The profile's record, and before it the order in which profiles were made, as [`Views::index_name`].
    fn put_profile(&self, id: &Id, state: &State, changes: &mut Changes) -> Result<(), sled::Error> {
        let key = id.key();
        let old = database::parts_of(self.tree(Tree::Profiles), &key)?;
        // A profile's record begins with what the profile is called.
        let before = old.first().and_then(|(_, first)| entry::decode::<ProfileRef>(database::value_of_first(first)));
        let now = if let State::Profile(profile) = state { Some(profile.reference()) } else { None };
        if before != now {
            before.iter().for_each(|before| changes.key(Tree::ProfilesMade, profile_key(before), false));
            now.iter().for_each(|now| changes.key(Tree::ProfilesMade, profile_key(now), true));
        }
        match tables::encode(state) {
            Some(value) => replace_parts(Tree::Profiles, &key, &value, old, changes),
            None => remove_parts(Tree::Profiles, old, changes),
        }
        Ok(())
    }

    /// Brings the index of a profile's names to what `id` means now. It goes before the name itself, so that a batch that
    /// is written again finds what it meant before.
    fn index_name(&self, id: &Id, state: &State, changes: &mut Changes) -> Result<(), sled::Error> {
        let place = |name: &Name| [&profile_key(&name.profile)[..], &name.said.to_be_bytes()].concat();
        let before = self.tree(Tree::Names).get(id.key())?.and_then(|bytes| entry::decode::<Name>(&bytes));
        let now = if let State::Name(name) = state { Some(name) } else { None };
        if let Some(before) =
            before.map(|before| place(&before)).filter(|before| now.map(place).as_ref() != Some(before))
        {
            self.remove(Tree::NamesOf, before, changes)?;
        }
        match now {
            Some(name) => {
                let reference = ProfileRef { id: id.clone(), since: name.since };
                self.put(Tree::NamesOf, place(name), entry::encode(&reference), changes)
            }
            None => Ok(()),
        }
    }

    /// As [`Views::index_name`], for where a merge key leads.
    fn index_merge_key(&self, key: MergeKey, state: &State, changes: &mut Changes) -> Result<(), sled::Error> {
        let place = |profile: &ProfileRef| [&profile_key(profile)[..], &key.0].concat();
        let before = self.tree(Tree::MergeKeys).get(key.0)?.and_then(|bytes| entry::decode::<ProfileRef>(&bytes));
        let now = if let State::Leads(profile) = state { Some(profile) } else { None };
        if let Some(before) = before.filter(|before| now != Some(before)) {
            self.remove(Tree::KeysOf, place(&before), changes)?;
        }
        now.map_or(Ok(()), |profile| self.put(Tree::KeysOf, place(profile), Vec::new(), changes))
    }

    fn put_session(&self, id: &Id, session: &Session, changes: &mut Changes) -> Result<(), sled::Error> {
        let (key, number, place) = (id.key(), session.number.to_be_bytes(), session.place());
        let may_be_there = self.known_sessions.may_hold(id);
        let old = if may_be_there { self.tree(Tree::SessionNumbers).get(&key)? } else { None };
        let packed = self.codec.pack(&entry::encode(session));
        // Under a new number there is nothing, and most visits are new ones: nothing is looked for.
        let mut parts = Parts::new();
        let mut before = None;
        if old.as_deref() == Some(&number[..]) {
            parts = database::parts_of(self.tree(Tree::Sessions), &number)?;
            before = database::joined(&parts).and_then(|packed| self.session_of(&packed)).and_then(|it| it.profile);
        } else {
            if let Some(old) = &old {
                self.remove_session(old, changes)?;
            }
            self.known_sessions.insert(id);
            changes.key(Tree::SessionsBegun, place_key(place).to_vec(), true);
            changes.record(Tree::SessionNumbers, key, Some(number.to_vec()), old);
        }
        if before != session.profile {
            before.iter().for_each(|before| changes.key(Tree::SessionsOf, visit_key(before, place), false));
            session.profile.iter().for_each(|now| changes.key(Tree::SessionsOf, visit_key(now, place), true));
        }
        replace_parts(Tree::Sessions, &number, &packed, parts, changes);
        Ok(())
    }

    /// Removes the session of this number, and which profiles it had.
    fn remove_session(&self, number: &[u8], changes: &mut Changes) -> Result<(), sled::Error> {
        let session = self.session_at(number)?;
        let last = session.as_ref().and_then(|session| session.profile.as_ref()).map(profile_key);
        let shared = |profile: &[u8]| [profile, number].concat();
        for record in self.tree(Tree::Visited).scan_prefix(number) {
            let (key, old) = record?;
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
        self.remove_parts(Tree::Sessions, number, changes)
    }

    /// The session of this number; `None` where it is not whole, as while a batch is written.
    fn session_at(&self, number: &[u8]) -> Result<Option<Session>, sled::Error> {
        let packed = database::get(self.tree(Tree::Sessions), number)?;
        Ok(packed.and_then(|packed| self.session_of(&packed)))
    }

    pub(super) fn session_of(&self, packed: &[u8]) -> Option<Session> {
        self.codec.unpack(packed).and_then(|bytes| entry::decode(&bytes))
    }

    fn put(&self, tree: Tree, key: Vec<u8>, value: Vec<u8>, changes: &mut Changes) -> Result<(), sled::Error> {
        let old = self.tree(tree).get(&key)?;
        changes.record(tree, key, Some(value), old);
        Ok(())
    }

    fn remove(&self, tree: Tree, key: Vec<u8>, changes: &mut Changes) -> Result<(), sled::Error> {
        let old = self.tree(tree).get(&key)?;
        changes.record(tree, key, None, old);
        Ok(())
    }

    fn put_parts(&self, tree: Tree, key: &[u8], value: &[u8], changes: &mut Changes) -> Result<(), sled::Error> {
        replace_parts(tree, key, value, database::parts_of(self.tree(tree), key)?, changes);
        Ok(())
    }

    fn remove_parts(&self, tree: Tree, key: &[u8], changes: &mut Changes) -> Result<(), sled::Error> {
        remove_parts(tree, database::parts_of(self.tree(tree), key)?, changes);
        Ok(())
    }
}

/// The records under which a value stands.
type Parts = Vec<(Vec<u8>, sled::IVec)>;

fn replace_parts(tree: Tree, key: &[u8], value: &[u8], old: Parts, changes: &mut Changes) {
    let mut old = old.into_iter();
    for (key, value) in database::parts(key, value, database::PART_BYTES) {
        let old = old.next().map(|(_, old)| old);
        changes.record(tree, key, Some(value), old);
    }
    old.for_each(|(key, old)| changes.record(tree, key, None, Some(old)));
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
