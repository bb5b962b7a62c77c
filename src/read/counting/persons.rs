//! Who the visits of the log are of, as people are merged now.

use std::{collections::hash_map::RandomState, hash::BuildHasher};

use foldhash::HashMap;
use hashbrown::{HashTable, hash_table::Entry};

use crate::{
    model::{Id, ProfileRef, ShortId},
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

/// A profile's id, and the offset at which the profile was made.
type Key = (u128, u64);

/// Numbers for people: one for all ids of a person.
#[derive(Default)]
pub struct Persons {
    keys: IdKeys,
    /// Where another id of somebody leads.
    leads: HashMap<Key, Key>,
    /// Found by the hashes of their keys, which stand once: of a million people, a map would take twice as much.
    numbers: HashTable<u32>,
    hasher: foldhash::fast::RandomState,
    /// By their numbers, the key of each person: the id's halves, and the offset.
    people: Vec<[u64; 3]>,
}

impl Persons {
    /// Reads which ids lead to other ones.
    pub async fn read(view: &ReadView) -> Result<Self, Refused> {
        let mut persons = Self::default();
        let mut after: Option<Id> = None;
        loop {
            let from = after.take();
            let names = view.query(move |log| log.names(from.as_ref(), NAMES_TOGETHER)).await?;
            let Some((last, _)) = names.last() else { return Ok(persons) };
            after = Some(last.id.clone());
            for (name, profile) in &names {
                let lead = (persons.key(name), persons.key(profile));
                persons.leads.insert(lead.0, lead.1);
            }
        }
    }

    /// The person whom each visit is of; [`NOBODY`] where that is not known.
    pub fn of_visits(&mut self, columns: &VisitColumns, profiles: &SegmentProfiles) -> Vec<u32> {
        let keys: Vec<Key> =
            profiles.ids.iter().zip(&profiles.since).map(|(id, since)| (self.keys.key(id), *since)).collect();
        let people: Vec<u32> = keys.into_iter().map(|key| self.number(key)).collect();
        let person = |profile: &u32| match *profile {
            NOWHERE => NOBODY,
            profile => people.get(profile as usize).copied().unwrap_or(NOBODY),
        };
        columns.profiles.iter().map(person).collect()
    }

    /// The offset at which a person was made.
    pub fn made(&self, person: u32) -> Option<u64> {
        self.people.get(person as usize).map(|[.., made]| *made)
    }

    /// The number of the person that a profile is part of.
    fn number(&mut self, profile: Key) -> u32 {
        let mut at = profile;
        // No way is longer than there are names.
        for _ in 0..self.leads.len() {
            match self.leads.get(&at) {
                Some(next) if *next != at => at = *next,
                _ => break,
            }
        }
        let ((id, made), Self { numbers, hasher, people, .. }) = (at, self);
        let key = [(id >> 64) as u64, id as u64, made];
        let is_it = |number: &u32| people.get(*number as usize) == Some(&key);
        let hash_of = |number: &u32| hasher.hash_one(people[*number as usize]);
        match numbers.entry(hasher.hash_one(key), is_it, hash_of) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(place) => {
                let number = u32::try_from(people.len()).unwrap_or(NOBODY);
                place.insert(number);
                people.push(key);
                number
            }
        }
    }

    fn key(&self, profile: &ProfileRef) -> Key {
        (self.keys.key(ShortId::of(&profile.id)), profile.since)
    }
}
