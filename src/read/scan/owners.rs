//! Whose events and sessions are by now.

use std::{collections::HashMap, sync::Arc};

use crate::{
    model::{ProfileRef, ShownEvent},
    store::{FoundEvent, LogView, StoreError},
};

/// What was found about the profiles that were looked up last.
#[derive(Default)]
struct Known(HashMap<ProfileRef, Option<ProfileRef>>);

impl Known {
    /// The most that are kept.
    const MAX: usize = 10_000;

    fn of(
        &mut self,
        profile: &ProfileRef,
        look_up: impl FnOnce(&ProfileRef) -> Result<Option<ProfileRef>, StoreError>,
    ) -> Result<Option<ProfileRef>, StoreError> {
        if let Some(found) = self.0.get(profile) {
            return Ok(found.clone());
        }
        if self.0.len() >= Self::MAX {
            self.0.clear();
        }
        let found = look_up(profile)?;
        self.0.insert(profile.clone(), found.clone());
        Ok(found)
    }
}

/// The profiles that those of sessions are part of by now.
#[derive(Default)]
pub struct SessionOwners(Known);

impl SessionOwners {
    /// The profile that `profile` is part of by now, perhaps itself; `None`: it is deleted.
    pub fn of(&mut self, log: &LogView<'_>, profile: &ProfileRef) -> Result<Option<ProfileRef>, StoreError> {
        self.0.of(profile, |profile| log.owner_called(profile))
    }
}

/// The profiles that those of events are part of by now. Events keep the profile that they were stored with where it was
/// deleted, so it is not asked whether it is there: the profiles that were taken in by another one are fewer, and near
/// each other on the disk.
#[derive(Default)]
pub struct EventOwners(Known);

impl EventOwners {
    /// The event as it is shown: with the profile that its own is part of by now.
    pub fn shown(&mut self, log: &LogView<'_>, found: FoundEvent) -> Result<ShownEvent, StoreError> {
        let FoundEvent { mut request, event, .. } = found;
        if let Some(profile) = &request.profile
            && let Some(owner) = self.0.of(profile, |profile| log.merged_into(profile))?
        {
            Arc::make_mut(&mut request).profile = Some(owner);
        }
        Ok(ShownEvent { request, event })
    }
}
