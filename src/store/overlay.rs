//! The overlay: states that are queued or committed and not yet in the views, answered from memory.
//!
//! States stay for a while after the views have them, for a visitor who was just here is likely to be back.

use std::collections::{HashMap, VecDeque};

use super::entry::{Fold, Key, State};

/// How many states stay after the views have them.
const RECENT_MAX: usize = 4_096;

#[derive(Default)]
pub struct Overlay {
    states: HashMap<Key, (u64, State)>,
    /// States in the order in which they came, each with the offset behind its entries.
    order: VecDeque<(u64, Key)>,
    /// The views have everything before this offset.
    applied: u64,
}

impl Overlay {
    /// Takes the states that the entries before offset `end` lead to.
    pub fn add(&mut self, end: u64, fold: Fold) {
        for (key, state) in fold.states {
            self.order.push_back((end, key.clone()));
            self.states.insert(key, (end, state));
        }
    }

    pub fn get(&self, key: &Key) -> Option<State> {
        self.states.get(key).map(|(_, state)| state.clone())
    }

    /// The views have everything before offset `end`.
    pub fn applied(&mut self, end: u64) {
        self.applied = end;
        while self.order.len() > RECENT_MAX {
            let Some((at, _)) = self.order.front() else { return };
            if *at > self.applied {
                return;
            }
            if let Some((at, key)) = self.order.pop_front()
                && self.states.get(&key).is_some_and(|(newest, _)| *newest == at)
            {
                self.states.remove(&key);
            }
        }
    }

    /// Forgets everything: the views have all that is committed.
    pub fn clear(&mut self) {
        self.states.clear();
        self.order.clear();
    }
}
