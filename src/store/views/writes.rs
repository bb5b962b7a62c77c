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
    tree: Tree,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
    /// What stands there now.
    old: Option<sled::IVec>,
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
        for write in writes {
            if let Some(old) = &write.old {
                self.remove(checksum(write.tree, &write.key, old));
            }
            if let Some(new) = &write.value {
                self.add(checksum(write.tree, &write.key, new));
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
                (Key::Session(id), State::Session(session)) => {
                    self.put_session(id, session, &mut writes)?;
                    continue;
                }
                (Key::Session(id), _) => {
                    if let Some(number) = self.tree(Tree::SessionNumbers).get(id.key())? {
                        self.remove_session(&number, &mut writes)?;
                    }
                    // Removed last: as long as it leads there, a batch that is written again finds the rest.
                }
                (Key::Profile(id), state) => {
                    self.put_profile(id, state, &mut writes)?;
                    continue;
                }
                (Key::Name(id), state) => self.index_name(id, state, &mut writes)?,
                (Key::MergeKey(key), state) => self.index_merge_key(*key, state, &mut writes)?,
                _ => {}
            }
            let (tree, key) = tables::place(key);
            match (tree.table().form, tables::encode(state)) {
                (Form::Whole, Some(value)) => self.put(tree, key, value, &mut writes)?,
                (Form::Whole, None) => self.remove(tree, key, &mut writes)?,
                (Form::Parts, Some(value)) => self.put_parts(tree, &key, &value, &mut writes)?,
                (Form::Parts, None) => self.remove_parts(tree, &key, &mut writes)?,
            }
        }
        Ok(writes)
    }

    /// The profile's record, and before it the order in which profiles were made, as [`Views::index_name`].
    fn put_profile(&self, id: &Id, state: &State, writes: &mut Vec<Write>) -> Result<(), sled::Error> {
        let key = id.key();
        let old = database::parts_of(self.tree(Tree::Profiles), &key)?;
        // A profile's record begins with what the profile is called.
        let before = old.first().and_then(|(_, first)| entry::decode::<ProfileRef>(database::value_of_first(first)));
        let now = if let State::Profile(profile) = state { Some(profile.reference()) } else { None };
        if before != now {
            if let Some(before) = before {
                self.remove(Tree::ProfilesMade, profile_key(&before), writes)?;
            }
            if let Some(now) = now {
                add(Tree::ProfilesMade, profile_key(&now), entry::encode(&now), writes);
            }
        }
        match tables::encode(state) {
            Some(value) => replace_parts(Tree::Profiles, &key, &value, old, writes),
            None => remove_parts(Tree::Profiles, old, writes),
        }
        Ok(())
    }

    /// Brings it to the session's profile whose visit it is; before the session itself.
    fn index_visit(&self, session: &Session, writes: &mut Vec<Write>) -> Result<(), sled::Error> {
        let now = session.profile.as_ref().map(|profile| visit_key(profile, session.place()));
        // A session is the visit of one profile: where this is noted, no other one is.
        if let Some(now) = &now
            && self.tree(Tree::SessionsOf).contains_key(now)?
        {
            return Ok(());
        }
        let before = self.session_at(&session.number.to_be_bytes())?;
        if let Some(before) = before.and_then(|before| before.profile) {
            self.remove(Tree::SessionsOf, visit_key(&before, session.place()), writes)?;
        }
        now.map_or(Ok(()), |now| self.put(Tree::SessionsOf, now, Vec::new(), writes))
    }

    /// Brings the index of a profile's names to what `id` means now. It goes before the name itself, so that a batch that
    /// is written again finds what it meant before.
    fn index_name(&self, id: &Id, state: &State, writes: &mut Vec<Write>) -> Result<(), sled::Error> {
        let place = |name: &Name| [&profile_key(&name.profile)[..], &name.said.to_be_bytes()].concat();
        let before = self.tree(Tree::Names).get(id.key())?.and_then(|bytes| entry::decode::<Name>(&bytes));
        let now = if let State::Name(name) = state { Some(name) } else { None };
        if let Some(before) =
            before.map(|before| place(&before)).filter(|before| now.map(place).as_ref() != Some(before))
        {
            self.remove(Tree::NamesOf, before, writes)?;
        }
        match now {
            Some(name) => {
                let reference = ProfileRef { id: id.clone(), since: name.since };
                self.put(Tree::NamesOf, place(name), entry::encode(&reference), writes)
            }
            None => Ok(()),
        }
    }

    /// As [`Views::index_name`], for where a merge key leads.
    fn index_merge_key(&self, key: MergeKey, state: &State, writes: &mut Vec<Write>) -> Result<(), sled::Error> {
        let place = |profile: &ProfileRef| [&profile_key(profile)[..], &key.0].concat();
        let before = self.tree(Tree::MergeKeys).get(key.0)?.and_then(|bytes| entry::decode::<ProfileRef>(&bytes));
        let now = if let State::Leads(profile) = state { Some(profile) } else { None };
        if let Some(before) = before.filter(|before| now != Some(before)) {
            self.remove(Tree::KeysOf, place(&before), writes)?;
        }
        now.map_or(Ok(()), |profile| self.put(Tree::KeysOf, place(profile), Vec::new(), writes))
    }

    fn put_session(&self, id: &Id, session: &Session, writes: &mut Vec<Write>) -> Result<(), sled::Error> {
        let (key, number) = (id.key(), session.number.to_be_bytes());
        let may_be_there = self.known_sessions.may_hold(id);
        let old = if may_be_there { self.tree(Tree::SessionNumbers).get(&key)? } else { None };
        let packed = self.codec.pack(&entry::encode(session));
        if old.as_deref() == Some(&number[..]) {
            self.index_visit(session, writes)?;
            return self.put_parts(Tree::Sessions, &number, &packed, writes);
        }
        if let Some(old) = &old {
            self.remove_session(old, writes)?;
        }
        self.known_sessions.insert(id);
        // Under a new number there is nothing, and most visits are new ones: nothing is looked for.
        let place = session.place();
        // First, so that a batch that is written again does not take it for written.
        add(Tree::SessionsBegun, place_key(place).to_vec(), Vec::new(), writes);
        writes.push(Write { tree: Tree::SessionNumbers, key, value: Some(number.to_vec()), old });
        if let Some(profile) = &session.profile {
            add(Tree::SessionsOf, visit_key(profile, place), Vec::new(), writes);
        }
        replace_parts(Tree::Sessions, &number, &packed, Parts::new(), writes);
        Ok(())
    }

    /// Removes the session of this number, and which profiles it had.
    fn remove_session(&self, number: &[u8], writes: &mut Vec<Write>) -> Result<(), sled::Error> {
        let session = self.session_at(number)?;
        let last = session.as_ref().and_then(|session| session.profile.as_ref()).map(profile_key);
        let shared = |profile: &[u8]| [profile, number].concat();
        for record in self.tree(Tree::Visited).scan_prefix(number) {
            let (key, old) = record?;
            let profile = &key[number.len()..];
            if last.as_deref() != Some(profile) {
                self.remove(Tree::SharedSessions, shared(profile), writes)?;
            }
            writes.push(Write { tree: Tree::Visited, key: key.to_vec(), value: None, old: Some(old) });
        }
        if let Some(last) = last {
            self.remove(Tree::SharedSessions, shared(&last), writes)?;
        }
        if let Some(session) = session {
            if let Some(last) = &session.profile {
                self.remove(Tree::SessionsOf, visit_key(last, session.place()), writes)?;
            }
            self.remove(Tree::SessionsBegun, place_key(session.place()).to_vec(), writes)?;
        }
        self.remove_parts(Tree::Imported, number, writes)?;
        self.remove_parts(Tree::Sessions, number, writes)
    }

    /// The session of this number; `None` where it is not whole, as while a batch is written.
    fn session_at(&self, number: &[u8]) -> Result<Option<Session>, sled::Error> {
        let packed = database::get(self.tree(Tree::Sessions), number)?;
        Ok(packed.and_then(|packed| self.codec.unpack(&packed)).and_then(|bytes| entry::decode(&bytes)))
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
        replace_parts(tree, key, value, database::parts_of(self.tree(tree), key)?, writes);
        Ok(())
    }

    fn remove_parts(&self, tree: Tree, key: &[u8], writes: &mut Vec<Write>) -> Result<(), sled::Error> {
        remove_parts(tree, database::parts_of(self.tree(tree), key)?, writes);
        Ok(())
    }
}

/// Writes a record where there is none.
fn add(tree: Tree, key: Vec<u8>, value: Vec<u8>, writes: &mut Vec<Write>) {
    writes.push(Write { tree, key, value: Some(value), old: None });
}

/// The records under which a value stands.
type Parts = Vec<(Vec<u8>, sled::IVec)>;

fn replace_parts(tree: Tree, key: &[u8], value: &[u8], old: Parts, writes: &mut Vec<Write>) {
    let mut old = old.into_iter();
    for (key, value) in database::parts(key, value) {
        let old = old.next().map(|(_, old)| old);
        writes.push(Write { tree, key, value: Some(value), old });
    }
    writes.extend(old.map(|(key, old)| Write { tree, key, value: None, old: Some(old) }));
}

fn remove_parts(tree: Tree, old: Parts, writes: &mut Vec<Write>) {
    // The first part says how many there are: removed last, so that a batch that is written again finds the rest.
    writes.extend(old.into_iter().rev().map(|(key, old)| Write { tree, key, value: None, old: Some(old) }));
}

/// One record's share of the sum over all of them, whatever their order.
pub(super) fn checksum(tree: Tree, key: &[u8], value: &[u8]) -> u64 {
    let key = crc32c::crc32c_append(crc32c::crc32c(&[tree as u8]), key);
    u64::from(key) << 32 | u64::from(crc32c::crc32c_append(key, value))
}
