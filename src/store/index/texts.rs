//! Texts of any number and their numbers, as many as there is room for.

use std::{hash::BuildHasher, sync::Arc};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

/// The number of what says nothing.
pub const UNTOLD: u64 = 0;
/// The number of a text that found no room: the event itself tells it.
pub const UNLISTED: u64 = 1;
const FIRST_LISTED: u32 = 2;

/// As many as a number of two bytes tells, and what they take together: a page that has an address of its own for
/// everybody must not fill the memory.
const TEXTS_MAX: usize = 65_536 - FIRST_LISTED as usize;
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// Texts, each with a number, in the order in which they came.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    /// Places among the texts, by the hash of each.
    places: HashTable<u32>,
    texts: Vec<Arc<str>>,
    bytes: usize,
    hasher: RandomState,
}

impl Texts {
    /// The number of `text`.
    pub fn number(&mut self, text: &str) -> u64 {
        if text.is_empty() {
            return UNTOLD;
        }
        let Self { places, texts, hasher, .. } = self;
        let hash = hasher.hash_one(text);
        if let Some(place) = places.find(hash, |place| *texts[*place as usize] == *text) {
            return u64::from(place + FIRST_LISTED);
        }
        if texts.len() == TEXTS_MAX || self.bytes + text.len() > BYTES_MAX {
            return UNLISTED;
        }
        let place = u32::try_from(texts.len()).expect("there are at most as many as two bytes tell");
        texts.push(text.into());
        self.bytes += text.len();
        places.insert_unique(hash, place, |place| hasher.hash_one(&*texts[*place as usize]));
        u64::from(place + FIRST_LISTED)
    }

    pub fn all(&self) -> &[Arc<str>] {
        &self.texts
    }
}

/// The place among the texts of one that has a number of its own.
pub fn place_of(number: u64) -> Option<usize> {
    usize::try_from(number).ok()?.checked_sub(FIRST_LISTED as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_beyond_the_room_have_no_number_of_their_own() {
        let mut texts = Texts::default();
        assert_eq!((texts.number(""), texts.number("a"), texts.number("b"), texts.number("a")), (UNTOLD, 2, 3, 2));
        let numbers: Vec<u64> = (0..70_000).map(|page| texts.number(&format!("/{page}"))).collect();
        assert_eq!(numbers.iter().filter(|number| **number == UNLISTED).count(), 70_002 - TEXTS_MAX);
        assert_eq!((texts.number("/69999"), texts.number("b"), texts.all().len()), (UNLISTED, 3, TEXTS_MAX));
        let mut long = Texts::default();
        let listed = (0..20_000).filter(|page| long.number(&format!("{page:0500}")) != UNLISTED).count();
        assert_eq!(listed, BYTES_MAX / 500);
    }
}
