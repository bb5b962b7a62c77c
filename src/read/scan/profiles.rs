//! Goes through profiles in the order in which they were made.

use std::{ops::Range, sync::Arc};

use super::{Found, LOOKED_AT_TOGETHER, Read, Record, STEP_BYTES, Scan, holds};
use crate::{
    model::{Place, Profile, Time},
    read::filter::{Order, ProfileFilter},
    store::{LogView, StoreError},
};

/// A walk for the profiles that a filter means.
pub struct ProfileScan {
    filter: Arc<ProfileFilter>,
    order: Order,
    /// The server's time, for the condition.
    now: Time,
    left: Range<Place>,
    /// Where the log ended when it was begun.
    end: u64,
}

impl ProfileScan {
    /// What of `left` stands at offsets before `end`.
    pub fn new(filter: Arc<ProfileFilter>, order: Order, (end, left): (u64, Range<Place>), now: Time) -> Self {
        Self { filter, order, now, left, end }
    }

    /// The one profile that all keys of the filter lead to, if it was not looked at yet.
    fn by_keys(&self, log: &LogView<'_>) -> Result<Option<Arc<Profile>>, StoreError> {
        let mut found: Option<Arc<Profile>> = None;
        for wanted in &self.filter.keys {
            let mut led = log.profile_by_key(wanted.key)?;
            if led.is_none()
                && let Some(former) = wanted.former
            {
                let says_so = |profile: &Arc<Profile>| wanted.identity.says(&profile.facts, wanted.key, None);
                led = log.profile_by_key(former)?.filter(says_so);
            }
            let Some(led) = led else { return Ok(None) };
            if found.as_ref().is_some_and(|found| found.reference() != led.reference()) {
                return Ok(None);
            }
            found = Some(led);
        }
        Ok(found.filter(|profile| self.offsets().contains(&profile.since)))
    }

    /// Those that were not looked at yet. Profiles are ordered by them alone.
    fn offsets(&self) -> Range<u64> {
        self.left.start.offset..self.left.end.offset.min(self.end)
    }

    /// The record of the profile, if the filter means it.
    fn meant(&self, log: &LogView<'_>, profile: Arc<Profile>) -> Result<Option<Found>, StoreError> {
        if !self.filter.takes(&profile) {
            return Ok(None);
        }
        let imported = log.imported(profile.since)?.is_some();
        let shown = profile.shown_if_imported(imported);
        let is_meant = holds(self.filter.condition.as_deref(), "profile", &shown, self.now);
        drop(shown);
        Ok(is_meant.then(|| Found { place: Place::in_log(profile.since), record: Record::Profile(profile, imported) }))
    }
}

impl Scan for ProfileScan {
    fn left(&self) -> Range<Place> {
        self.left.clone()
    }

    fn read(&self) -> Read {
        Read::default()
    }

    /// As elsewhere, but profiles that were made at one offset, by one request, come together.
    fn step(&mut self, log: &LogView<'_>, most: usize) -> Result<Vec<Found>, StoreError> {
        if !self.filter.keys.is_empty() {
            let found = self.by_keys(log)?.map(|profile| self.meant(log, profile)).transpose()?.flatten();
            self.left = self.left.end..self.left.end;
            return Ok(found.into_iter().collect());
        }
        let (mut list, mut bytes, mut last) = (Vec::new(), 0, None);
        for (count, made) in self.order.through(log.profiles_made(self.offsets())).enumerate() {
            let made = made?;
            let is_long = list.len() >= most || count >= LOOKED_AT_TOGETHER || bytes >= STEP_BYTES;
            if is_long && last != Some(made.since) {
                self.left = last.map_or(self.left.clone(), |last| self.order.behind(Place::in_log(last), &self.left));
                return Ok(list);
            }
            last = Some(made.since);
            if let Some(profile) = log.profile(&made)?
                && let Some(found) = self.meant(log, profile)?
            {
                bytes += found.record.bytes();
                list.push(found);
            }
        }
        self.left = self.left.end..self.left.end;
        Ok(list)
    }
}
