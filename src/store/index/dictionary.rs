//! Values and their numbers, in the order in which they came.

use std::{collections::HashMap, hash::Hash};

#[derive(Clone, Debug)]
pub struct Dictionary<T> {
    numbers: HashMap<T, u32>,
    values: Vec<T>,
}

impl<T> Default for Dictionary<T> {
    fn default() -> Self {
        Self { numbers: HashMap::new(), values: Vec::new() }
    }
}

impl<T: Clone + Eq + Hash> Dictionary<T> {
    /// The number of `value`, which has one from now on.
    pub fn number(&mut self, value: &T) -> u32 {
        if let Some(number) = self.numbers.get(value) {
            return *number;
        }
        let number = u32::try_from(self.values.len()).expect("a segment holds fewer events");
        self.numbers.insert(value.clone(), number);
        self.values.push(value.clone());
        number
    }

    pub fn values(&self) -> &[T] {
        &self.values
    }
}
