//! What leads to a profile from here on, and what does no more.

use crate::{
    model::{MergeKey, Path, ProfileRef},
    store::Merge,
};

/// What a request changes about the names and keys of a profile. Few do, so that a draft has it on the heap.
#[derive(Default)]
pub struct NameChanges {
    /// The stored profiles that it took in, and how each can be split off again.
    pub absorbed: Vec<(ProfileRef, Merge)>,
    /// Names that lead elsewhere since it took in others.
    pub shortcuts: Vec<(ProfileRef, ProfileRef)>,
    /// The keys that lead to it from here on.
    pub new_keys: Vec<MergeKey>,
    /// The keys that lead to it no more.
    pub former_keys: Vec<MergeKey>,
    /// The keys that find nobody from here on, each with the place where it stands.
    pub blocked_keys: Vec<(Path, MergeKey)>,
}

impl NameChanges {
    /// Adds those of a profile that became part of it.
    pub fn append(&mut self, mut other: Self) {
        self.absorbed.append(&mut other.absorbed);
        self.shortcuts.append(&mut other.shortcuts);
        self.new_keys.append(&mut other.new_keys);
        self.former_keys.append(&mut other.former_keys);
        self.blocked_keys.append(&mut other.blocked_keys);
    }

    /// Whether it took in this profile.
    pub fn took_in(&self, reference: &ProfileRef) -> bool {
        self.absorbed.iter().any(|(absorbed, _)| absorbed == reference)
    }

    /// How many entries they lead to at most.
    pub fn entries(&self) -> usize {
        let keys = self.new_keys.len() + self.former_keys.len() + 2 * self.blocked_keys.len();
        self.absorbed.len() + self.shortcuts.len() + keys
    }
}
