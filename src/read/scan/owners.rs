//! Whose events and sessions are by now.

use std::{collections::HashMap, sync::Arc};

use crate::{
    model::{ProfileRef, ShownEvent},
    store::{FoundEvent, LogView, StoreError},
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
        let owner = log.owner_called(profile)?;
        self.known.insert(profile.clone(), owner.clone());
        Ok(owner)
    }

    /// The event as it is shown: with the profile that its own is part of by now.
    pub fn shown(&mut self, log: &LogView<'_>, found: FoundEvent) -> Result<ShownEvent, StoreError> {
        let FoundEvent { mut request, event, .. } = found;
        let owner = request.profile.as_ref().map(|profile| self.of(log, profile)).transpose()?.flatten();
        // Events keep the profile that they were stored with where it was deleted.
        if let Some(owner) = owner.filter(|owner| request.profile.as_ref() != Some(owner)) {
            Arc::make_mut(&mut request).profile = Some(owner);
        }
        Ok(ShownEvent { request, event })
    }
}
