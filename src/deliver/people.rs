//! Whose an item is: as they are now, which says whether anything is handed out of them, and as they were with it.

use std::{collections::HashMap, sync::Arc};

use crate::{
    model::{EventRequest, Profile, ProfileRef},
    process::referred_profile,
    store::{Entry, ReadView, Refused, Store},
};

/// How many blocks are looked through for an earlier state where the one that is wanted is not there, and how many writes
/// of what stands in the profile now beyond these.
const BLOCKS_MAX: usize = 64;
const WRITES_MAX: usize = 8;

/// A block of the log: its entries, the first of which stands at offset `first`.
#[derive(Clone, Copy)]
pub struct Block<'a> {
    pub first: u64,
    pub entries: &'a [Entry],
}

impl<'a> Block<'a> {
    /// The state of `profile` at `offset`, if that is in the block.
    fn state(&self, profile: &ProfileRef, offset: u64) -> Option<&'a Arc<Profile>> {
        let place = usize::try_from(offset.checked_sub(self.first)?).ok()?;
        state(self.entries.get(place)?, profile)
    }

    /// The last state of `profile` before `offset` in the block.
    fn state_before(&self, profile: &ProfileRef, offset: u64) -> Option<&'a Arc<Profile>> {
        let end = usize::try_from(offset.saturating_sub(self.first)).ok()?.min(self.entries.len());
        self.entries[..end].iter().rev().find_map(|entry| state(entry, profile))
    }
}

fn state<'a>(entry: &'a Entry, wanted: &ProfileRef) -> Option<&'a Arc<Profile>> {
    match entry {
        Entry::Profile(state) | Entry::ProfileOfFormat3(state) if state.reference() == *wanted => Some(state),
        _ => None,
    }
}

/// The people whose items are delivered together.
pub struct People<'a> {
    store: &'a Store,
    view: &'a ReadView,
    /// Whom each reference leads to now; `None`: they are deleted.
    now: HashMap<ProfileRef, Option<Arc<Profile>>>,
    /// The states that were read from the log, by their offsets.
    states: HashMap<u64, Option<Arc<Profile>>>,
    /// What stands for states that are not there, by their offsets.
    earlier: HashMap<u64, Option<Arc<Profile>>>,
}

/// Somebody as they were with an item.
pub struct AsWas {
    pub profile: Arc<Profile>,
    /// It is another state than the one that was wanted, which is not there.
    pub is_other: bool,
}

impl<'a> People<'a> {
    pub fn new(store: &'a Store, view: &'a ReadView) -> Self {
        Self { store, view, now: HashMap::new(), states: HashMap::new(), earlier: HashMap::new() }
    }

    /// Whom `profile` leads to now; `None`: they are deleted, and nothing is handed out of them.
    pub async fn now(&mut self, profile: &ProfileRef) -> Result<Option<Arc<Profile>>, Refused> {
        if let Some(known) = self.now.get(profile) {
            return Ok(known.clone());
        }
        let found = referred_profile(self.view, profile).await?;
        self.now.insert(profile.clone(), found.clone());
        Ok(found)
    }

    /// The profile of an event at `offset`, which leads to `now`, as it was with it. Where that state is not there, the
    /// newest earlier one that is found; of an event that an earlier version stored without a note, the state as it is now.
    pub async fn with_event(
        &mut self,
        request: &EventRequest,
        offset: u64,
        block: Block<'_>,
        now: &Arc<Profile>,
    ) -> Result<Option<AsWas>, Refused> {
        let Some(profile) = &request.profile else { return Ok(None) };
        let is_now = now.reference() == *profile;
        let exact = |profile: &Arc<Profile>| Some(AsWas { profile: profile.clone(), is_other: false });
        let Some(noted) = request.profile_state else {
            let known = block.state_before(profile, offset).or((is_now && now.written < offset).then_some(now));
            return match known {
                Some(state) if self.is_whole(state, now).await? => Ok(exact(state)),
                _ => Ok(Some(AsWas { profile: now.clone(), is_other: true })),
            };
        };
        if is_now && now.written == noted {
            return Ok(exact(now));
        }
        if let Some(state) = self.state(profile, noted, block).await?
            && self.is_whole(&state, now).await?
        {
            return Ok(exact(&state));
        }
        let earlier = match self.earlier.get(&noted) {
            Some(known) => known.clone(),
            None => self.earlier(profile, noted, now).await?,
        };
        self.earlier.insert(noted, earlier.clone());
        Ok(earlier.map(|profile| AsWas { profile, is_other: true }))
    }

    /// The state of a profile, which leads to `now`, that stands at `offset`.
    pub async fn stored(
        &mut self,
        profile: &ProfileRef,
        offset: u64,
        block: Block<'_>,
        now: &Arc<Profile>,
    ) -> Result<Option<Arc<Profile>>, Refused> {
        match self.state(profile, offset, block).await? {
            Some(state) if self.is_whole(&state, now).await? => Ok(Some(state)),
            _ => Ok(None),
        }
    }

    async fn state(
        &mut self,
        profile: &ProfileRef,
        offset: u64,
        block: Block<'_>,
    ) -> Result<Option<Arc<Profile>>, Refused> {
        if let Some(state) = block.state(profile, offset) {
            return Ok(Some(state.clone()));
        }
        if let Some(known) = self.states.get(&offset) {
            return Ok(known.clone());
        }
        let found = self.view.state_of(profile, offset).await?;
        self.states.insert(offset, found.clone());
        Ok(found)
    }

    /// The newest state before `offset`: that of the blocks before it, else among those of the requests that wrote what
    /// stands in the profile now.
    async fn earlier(
        &mut self,
        profile: &ProfileRef,
        offset: u64,
        now: &Arc<Profile>,
    ) -> Result<Option<Arc<Profile>>, Refused> {
        let mut at = offset;
        for _ in 0..BLOCKS_MAX {
            let Some(last) = at.checked_sub(1) else { return Ok(None) };
            let (first, entries) = match self.store.entries(last).await {
                Ok(found) => found,
                Err(Refused::Damaged(_)) => break,
                Err(refused) => return Err(refused),
            };
            let before = usize::try_from(at - first).map_or(entries.len(), |count| count.min(entries.len()));
            for entry in entries[..before].iter().rev() {
                if let Some(found) = state(entry, profile)
                    && self.is_whole(found, now).await?
                {
                    return Ok(Some(found.clone()));
                }
            }
            at = first;
        }
        self.earlier_writer(profile, at, now).await
    }

    async fn earlier_writer(
        &mut self,
        profile: &ProfileRef,
        offset: u64,
        now: &Arc<Profile>,
    ) -> Result<Option<Arc<Profile>>, Refused> {
        let mut writes: Vec<(u64, &str)> = now.fields.iter().map(|(path, field)| (field.offset, path)).collect();
        writes.retain(|(at, _)| *at < offset);
        writes.sort_unstable();
        writes.dedup_by_key(|(at, _)| *at);
        for (at, path) in writes.into_iter().rev().take(WRITES_MAX) {
            let wrote = match self.view.profile_that_wrote(at, path).await {
                Ok(found) => found,
                Err(Refused::Damaged(_)) => None,
                Err(refused) => return Err(refused),
            };
            if let Some(state) = wrote.filter(|state| state.reference() == *profile && state.written < offset)
                && let Some(state) = self.view.state_of(profile, state.written).await?
                && self.is_whole(&state, now).await?
            {
                return Ok(Some(state));
            }
        }
        Ok(None)
    }

    /// Whether nothing in the state is of somebody who was part of the profile then, was split off and is deleted.
    async fn is_whole(&mut self, state: &Arc<Profile>, now: &Arc<Profile>) -> Result<bool, Refused> {
        for alias in state.aliases.iter().filter(|alias| !now.aliases.contains(alias)) {
            let name = ProfileRef { id: alias.id.clone(), since: alias.since };
            if name != now.reference() && self.now(&name).await?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
