//! Whose events and sessions are by now.

use std::collections::HashMap;

use crate::{
    model::ProfileRef,
    store::{LogView, StoreError},
};

/// The profiles that others are part of by now, of those that were looked up already.
#[derive(Default)]
pub struct Owners {
    known: HashMap<ProfileRef, Option<ProfileRef>>,
}

impl Owners {
    /// The most that are kept.
    const MAX: usize = 10_000;

    /// The profile that `profile` is part of by now, perhaps itself; `None`: it is deleted.
    pub fn of(&mut self, log: &LogView<'_>, profile: &ProfileRef) -> Result<Option<ProfileRef>, StoreError> {
        if let Some(owner) = self.known.get(profile) {
            return Ok(owner.clone());
        }
        if self.known.len() >= Self::MAX {
            self.known.clear();
        }
        let owner = log.owner(profile)?.map(|owner| owner.reference());
        self.known.insert(profile.clone(), owner.clone());
        Ok(owner)
    }
}
