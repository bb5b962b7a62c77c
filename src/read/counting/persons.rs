//! Who the visits of the log are of, as people are merged now.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher,
};

use crate::{
    model::{Id, ProfileRef},
    store::{ReadView, Refused},
};

/// How many names are read at once.
const NAMES_TOGETHER: usize = 10_000;

/// Nobody is known of a row.
pub const NOBODY: u32 = u32::MAX;

/// Numbers for people: one for all ids of a person.
///
/// Ids are kept as hashes of 128 bits under keys of this process' own, so that a million people take few bytes and nobody
/// can make two of them meet.
pub struct Persons {
    hashers: [RandomState; 2],
    /// Where another id of somebody leads.
    leads: HashMap<u128, u128>,
    numbers: HashMap<u128, u32>,
}

impl Persons {
    /// Reads which ids lead to other ones.
    pub async fn read(view: &ReadView) -> Result<Self, Refused> {
        let mut persons = Self { hashers: Default::default(), leads: HashMap::new(), numbers: HashMap::new() };
        let mut after: Option<Id> = None;
        loop {
            let from = after.clone();
            let names = view.query(move |log| log.names(from.as_ref(), NAMES_TOGETHER)).await?;
            let Some((last, _)) = names.last() else { return Ok(persons) };
            after = Some(last.clone());
            for (name, profile) in &names {
                let (name, profile) = (persons.hash(name), persons.hash(&profile.id));
                persons.leads.insert(name, profile);
            }
        }
    }

    /// The number of the person that a profile is part of.
    pub fn number(&mut self, profile: Option<&ProfileRef>) -> u32 {
        let Some(profile) = profile else { return NOBODY };
        let mut at = self.hash(&profile.id);
        // No way is longer than there are names.
        for _ in 0..self.leads.len() {
            match self.leads.get(&at) {
                Some(next) if *next != at => at = *next,
                _ => break,
            }
        }
        let next = u32::try_from(self.numbers.len()).unwrap_or(NOBODY);
        *self.numbers.entry(at).or_insert(next)
    }

    fn hash(&self, id: &Id) -> u128 {
        let [high, low] = [&self.hashers[0], &self.hashers[1]].map(|hasher| u128::from(hasher.hash_one(id)));
        high << 64 | low
    }
}
