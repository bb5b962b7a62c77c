//! The overlay: states that are queued or committed and not yet in the views, answered from memory.
//!
//! States stay for a while after the views have them, for a visitor who was just here is likely to be back.

use std::collections::{HashMap, VecDeque};

use super::entry::{Fold, Key, State};

/// How many bytes of states stay after the views have them.
const RECENT_BYTES: usize = 8 * 1024 * 1024;

#[derive(Default)]
pub struct Overlay {
    states: HashMap<Key, (u64, State)>,
    /// States in the order in which they came.
    order: VecDeque<Came>,
    /// What the states in `order` take together.
    bytes: usize,
}

struct Came {
    /// The offset behind the entries that led to the state.
    end: u64,
    key: Key,
    bytes: usize,
}

impl Overlay {
    /// Takes the states that the entries before offset `end` lead to.
    pub fn add(&mut self, end: u64, fold: Fold) {
        for (key, state) in fold.states {
            let bytes = state.bytes();
            self.bytes += bytes;
            self.order.push_back(Came { end, key: key.clone(), bytes });
            self.states.insert(key, (end, state));
        }
    }

    pub fn get(&self, key: &Key) -> Option<State> {
        self.states.get(key).map(|(_, state)| state.clone())
    }

    /// The views have everything before offset `applied`.
    pub fn applied(&mut self, applied: u64) {
        while self.bytes > RECENT_BYTES && self.order.front().is_some_and(|oldest| oldest.end <= applied) {
            let Some(Came { end, key, bytes }) = self.order.pop_front() else { return };
            self.bytes -= bytes;
            if self.states.get(&key).is_some_and(|(newest, _)| *newest == end) {
                self.states.remove(&key);
            }
        }
    }

    /// Forgets everything: the views have all that is committed.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}
