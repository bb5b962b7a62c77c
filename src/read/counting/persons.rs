//! Who the visits of the log are of, as people are merged now: so many people at a time that they take little memory. If
//! there are more, the log is gone through several times, each time for a part of all people.

use std::{collections::hash_map::RandomState, hash::BuildHasher};

use foldhash::HashMap;
use hashbrown::{HashTable, hash_table::Entry};

use crate::{
    model::{Id, ShortId, Time},
    store::{NOWHERE, ReadView, Refused, SegmentProfiles, VisitColumns},
};

/// How many names are read at once.
const NAMES_TOGETHER: usize = 10_000;

/// Nobody is known of a row.
pub const NOBODY: u32 = u32::MAX;

/// Numbers for ids that are as good as the ids: the UUIDs themselves, and of other ids hashes of 128 bits under keys of
/// their own, so that a million take few bytes and nobody can make two of them meet.
#[derive(Clone, Default)]
pub struct IdKeys([RandomState; 2]);

impl IdKeys {
    pub fn key(&self, id: ShortId<'_>) -> u128 {
        match id {
            ShortId::Uuid(uuid) => uuid,
            ShortId::Text(text) => {
                let [high, low] = self.0.each_ref().map(|hasher| u128::from(hasher.hash_one(text)));
                high << 64 | low
            }
        }
    }
}

/// A profile: 64 bits of its id's key, for few are made at the same offset, and the offset at which it was made.
type Key = (u64, u64);

/// Numbers for the people of a part of all people: one for all ids of a person.
#[derive(Default)]
pub struct Persons {
    part: u64,
    parts: u64,
    keys: IdKeys,
    /// Where another id of somebody leads.
    leads: HashMap<Key, Key>,
    /// Found by the hashes of their keys, which stand once: of a million people, a map would take twice as much.
    numbers: HashTable<u32>,
    hasher: foldhash::fast::RandomState,
    /// By their numbers, the key of each person.
    people: Vec<Key>,
}

impl Persons {
    /// Reads which ids lead to other ones. About as many people as `most` are a part, of those whom segments name that
    /// have something from `from` on and before `to`.
    pub async fn read(view: &ReadView, from: Option<Time>, to: Option<Time>, most: usize) -> Result<Self, Refused> {
        let profiles = view.query(move |log| {
            let mut profiles = 0;
            for span in log.spans()? {
                let (earliest, latest) = span.inserted;
                if from.is_none_or(|from| latest >= from)
                    && to.is_none_or(|to| earliest < to)
                    && let Some(index) = log.index(span.range.start)?
                {
                    profiles += index.profile_count();
                }
            }
            Ok(profiles)
        });
        let parts = profiles.await?.div_ceil(most) as u64;
        let mut persons = Self { parts, ..Self::default() };
        let mut after: Option<Id> = None;
        loop {
            let from = after.take();
            let names = view.query(move |log| log.names(from.as_ref(), NAMES_TOGETHER)).await?;
            let Some((last, _)) = names.last() else { return Ok(persons) };
            after = Some(last.id.clone());
            for (name, profile) in &names {
                let [from, to] = [name, profile].map(|it| persons.key(ShortId::of(&it.id), it.since));
                persons.leads.insert(from, to);
            }
        }
    }

    /// Goes on to the next part, whose people have numbers of their own; `false`: there is none.
    pub fn next_part(&mut self) -> bool {
        self.part += 1;
        self.numbers.clear();
        self.people.clear();
        self.part < self.parts
    }

    /// The person whom each visit is of; [`NOBODY`] where that is not known or is somebody of another part.
    pub fn of_visits(&mut self, columns: &VisitColumns, profiles: &SegmentProfiles) -> Vec<u32> {
        let keys: Vec<Key> = profiles.ids.iter().zip(&profiles.since).map(|(id, since)| self.key(id, *since)).collect();
        let people: Vec<u32> = keys.into_iter().map(|key| self.number(key)).collect();
        let person = |profile: &u32| match *profile {
            NOWHERE => NOBODY,
            profile => people.get(profile as usize).copied().unwrap_or(NOBODY),
        };
        columns.profiles.iter().map(person).collect()
    }

    /// The offset at which a person was made.
    pub fn made(&self, person: u32) -> Option<u64> {
        self.people.get(person as usize).map(|(_, made)| *made)
    }

    /// The number of the person that a profile is part of.
    fn number(&mut self, profile: Key) -> u32 {
        let mut person = profile;
        // No way is longer than there are names.
        for _ in 0..self.leads.len() {
            match self.leads.get(&person) {
                Some(next) if *next != person => person = *next,
                _ => break,
            }
        }
        let Self { part, parts, numbers, hasher, people, .. } = self;
        let hash = hasher.hash_one(person);
        if *parts > 1 && (hash >> 32) % *parts != *part {
            return NOBODY;
        }
        let is_it = |number: &u32| people.get(*number as usize) == Some(&person);
        let hash_of = |number: &u32| hasher.hash_one(people[*number as usize]);
        match numbers.entry(hash, is_it, hash_of) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(place) => {
                let number = u32::try_from(people.len()).unwrap_or(NOBODY);
                place.insert(number);
                people.push(person);
                number
            }
        }
    }

    fn key(&self, id: ShortId<'_>, since: u64) -> Key {
        let key = self.keys.key(id);
        ((key >> 64) as u64 ^ key as u64, since)
    }
}
