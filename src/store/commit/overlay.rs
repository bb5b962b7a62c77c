//! The overlay: states that are queued or committed and not yet in the views, answered from memory.
//!
//! States stay for a while after the views have them, for a visitor who was just here is likely to be back.

use std::collections::VecDeque;

use foldhash::HashMap;

use crate::store::entry::{Fold, Key, State};

/// How many bytes of states stay after the views have them.
const RECENT_BYTES: usize = 8 * 1024 * 1024;

#[derive(Default)]
pub struct Overlay {
    /// The newest state under each key, and the offset behind the entries that led to it.
    newest: HashMap<Key, (u64, State)>,
    /// Every state that was added, the oldest first: what was newest before the later ones were taken back.
    added: VecDeque<Added>,
    /// What the states in `added` take together.
    bytes: usize,
}

struct Added {
    /// The offset behind the entries that led to the state.
    end: u64,
    key: Key,
    state: State,
    bytes: usize,
}

impl Overlay {
    /// Takes the states that the entries before offset `end` lead to.
    pub fn add(&mut self, end: u64, fold: Fold) {
        for (key, state) in fold.states {
            let bytes = state.bytes();
            self.bytes += bytes;
            self.newest.insert(key.clone(), (end, state.clone()));
            self.added.push_back(Added { end, key, state, bytes });
        }
    }

    /// The newest state under `key`, and the offset behind the entries that led to it.
    pub fn get(&self, key: &Key) -> Option<(u64, State)> {
        self.newest.get(key).cloned()
    }

    /// The views have everything before offset `applied`.
    pub fn applied(&mut self, applied: u64) {
        while self.bytes > RECENT_BYTES && self.added.front().is_some_and(|oldest| oldest.end <= applied) {
            let Some(Added { end, key, bytes, .. }) = self.added.pop_front() else { return };
            self.bytes -= bytes;
            if self.newest.get(&key).is_some_and(|(newest, _)| *newest == end) {
                self.newest.remove(&key);
            }
        }
    }

    /// Forgets the states that the entries from offset `end` on led to: those before them are the newest again.
    pub fn take_back(&mut self, end: u64) {
        while self.added.back().is_some_and(|last| last.end > end) {
            let Some(Added { key, bytes, .. }) = self.added.pop_back() else { return };
            self.bytes -= bytes;
            self.newest.remove(&key);
        }
        self.newest = self.added.iter().map(|added| (added.key.clone(), (added.end, added.state.clone()))).collect();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A fold that says of each of `keys` that its newest offset is `value`.
    fn fold(keys: &[u64], value: u64) -> Fold {
        let mut fold = Fold::default();
        fold.states.extend(keys.iter().map(|key| (Key::DeletedEvent(*key), State::Offset(value))));
        fold
    }

    fn get(overlay: &Overlay, key: u64) -> Option<(u64, State)> {
        overlay.get(&Key::DeletedEvent(key))
    }

    #[test]
    fn what_the_views_have_stays_only_while_there_is_room() {
        let mut overlay = Overlay::default();
        let many: Vec<u64> = (0..2 * RECENT_BYTES as u64 / State::There.bytes() as u64).collect();
        overlay.add(1, fold(&many, 1));
        overlay.add(2, fold(&[0], 2));
        overlay.applied(0);
        assert!(overlay.newest.len() == many.len(), "nothing goes before the views have it");
        overlay.applied(2);
        assert!(overlay.bytes <= RECENT_BYTES && overlay.newest.len() <= many.len() / 2 + 1);
        assert_eq!(get(&overlay, 0), Some((2, State::Offset(2))), "the newest stays longest");
    }

    proptest! {
        /// Any adding and taking back gives what adding only what stayed gives.
        #[test]
        fn taking_back_leaves_no_trace(steps in prop::collection::vec((prop::collection::vec(0_u64..6, 1..4), 0_u64..4), 1..40)) {
            let (mut overlay, mut kept) = (Overlay::default(), Vec::<(u64, Vec<u64>)>::new());
            let mut end = 0;
            for (keys, back) in steps {
                if back == 0 && end > 0 {
                    end /= 2;
                    overlay.take_back(end);
                    kept.retain(|(kept_end, _)| *kept_end <= end);
                }
                end += 1;
                overlay.add(end, fold(&keys, end));
                kept.push((end, keys));
            }
            for key in 0..6 {
                let expected = kept.iter().rev().find(|(_, keys)| keys.contains(&key)).map(|(end, _)| (*end, State::Offset(*end)));
                prop_assert_eq!(get(&overlay, key), expected);
            }
        }
    }
}
