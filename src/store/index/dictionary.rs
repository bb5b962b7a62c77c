//! Values and their numbers, in the order in which they came.

use std::hash::{BuildHasher, Hash};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

#[derive(Clone, Debug)]
pub struct Dictionary<T> {
    /// Found by the hash of the value that each stands for.
    numbers: HashTable<u32>,
    values: Vec<T>,
    hasher: RandomState,
}

impl<T> Default for Dictionary<T> {
    fn default() -> Self {
        Self { numbers: HashTable::new(), values: Vec::new(), hasher: RandomState::default() }
    }
}

impl<T: Clone + Eq + Hash> Dictionary<T> {
    /// The number of `value`, which has one from now on.
    pub fn number(&mut self, value: &T) -> u32 {
        let Self { numbers, values, hasher } = self;
        let hash = hasher.hash_one(value);
        if let Some(number) = numbers.find(hash, |number| values[*number as usize] == *value) {
            return *number;
        }
        let number = u32::try_from(values.len()).expect("a segment holds fewer events");
        values.push(value.clone());
        numbers.insert_unique(hash, number, |number| hasher.hash_one(&values[*number as usize]));
        number
    }

    /// The number of `value`, if it has one.
    pub fn find(&self, value: &T) -> Option<u32> {
        let hash = self.hasher.hash_one(value);
        self.numbers.find(hash, |number| self.values[*number as usize] == *value).copied()
    }

    pub fn values(&self) -> &[T] {
        &self.values
    }
}
