//! An object of a JSON tree.

use std::collections::HashMap;

use super::Value;

/// From how many keys on an object notes where each stands.
const MANY_KEYS: usize = 32;

/// An object; each key stands once, in the order in which they came.
#[derive(Debug, Default)]
pub struct Object {
    entries: Vec<(Box<str>, Value)>,
    /// Where each key stands, noted when something is put into an object of many keys.
    places: Option<Box<Places>>,
}

/// Apart from its object, most of which have none.
#[derive(Debug)]
struct Places(HashMap<Box<str>, usize>);

impl Object {
    pub const fn new() -> Self {
        Self { entries: Vec::new(), places: None }
    }

    pub fn get(&self, key: &str) -> Option<&Value> {
        self.place(key).map(|place| &self.entries[place].1)
    }

    pub fn insert(&mut self, key: &str, value: Value) {
        *self.entry(key) = value;
    }

    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let place = self.place(key)?;
        if let Some(places) = &mut self.places {
            places.0.remove(key);
            places.0.values_mut().filter(|behind| **behind > place).for_each(|behind| *behind -= 1);
        }
        Some(self.entries.remove(place).1)
    }

    /// Adds an entry whose key is known to be new.
    pub(super) fn push(&mut self, key: Box<str>, value: Value) {
        if let Some(places) = &mut self.places {
            places.0.insert(key.clone(), self.entries.len());
        }
        self.entries.push((key, value));
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(key, value)| (&**key, value))
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Value> {
        self.entries.iter_mut().map(|(_, value)| value)
    }

    fn place(&self, key: &str) -> Option<usize> {
        match &self.places {
            Some(places) => places.0.get(key).copied(),
            None => self.entries.iter().position(|(known, _)| &**known == key),
        }
    }

    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.place(key).map(|place| &mut self.entries[place].1)
    }

    /// The value under `key`, made an empty object if there is none.
    pub(super) fn entry(&mut self, key: &str) -> &mut Value {
        if self.places.is_none() && self.entries.len() >= MANY_KEYS {
            let places = self.entries.iter().enumerate().map(|(place, (key, _))| (key.clone(), place));
            self.places = Some(Box::new(Places(places.collect())));
        }
        let place = self.place(key).unwrap_or_else(|| {
            self.push(key.into(), Value::object());
            self.entries.len() - 1
        });
        &mut self.entries[place].1
    }
}

impl Clone for Object {
    fn clone(&self) -> Self {
        Self { entries: self.entries.clone(), places: None }
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_of_many_keys_keeps_their_order() {
        let key = |number: usize| format!("k{number}");
        let mut object = Object::default();
        (0..3 * MANY_KEYS).for_each(|number| object.insert(&key(number), Value::number(number)));
        assert_eq!(object.remove(&key(5)), Some(Value::number(5)));
        object.insert(&key(7), Value::Null);
        object.insert("last", Value::Null);
        *object.get_mut(&key(8)).unwrap() = Value::Null;
        let clone = object.clone();
        for object in [&object, &clone] {
            let keys: Vec<&str> = object.iter().map(|(key, _)| key).collect();
            let expected = (0..3 * MANY_KEYS).filter(|number| *number != 5).map(key).chain(["last".into()]);
            assert_eq!(keys, expected.collect::<Vec<_>>());
            assert_eq!((object.get(&key(6)), object.get(&key(7))), (Some(&Value::number(6)), Some(&Value::Null)));
            assert_eq!((object.get(&key(5)), object.get(&key(8))), (None, Some(&Value::Null)));
        }
        assert_eq!(object, clone);
    }
}
