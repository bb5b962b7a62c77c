//! Profiles are deleted with all that leads to them, and made one by call (docs/contract.md, sections 4 and 9).

use super::{Admin, NotSaved, retry};
use crate::{
    model::{DelayedEvent, Fault, Id, Profile, ProfileRef},
    process::{PROFILE_MERGED, People, ProfileDraft, Records, Searches, find_profile},
    store::{Entry, Key, NamesWalk, ReadView, Refused, Store},
};

/// How many names are deleted at a time, and about how many bytes each of these takes in the queue, and a key.
const DELETED_AT_ONCE: usize = 1_000;
const NAME_BYTES: usize = 1_600;

impl Admin {
    /// Deletes the profile that `id` is one of the ids of, with its other names. `false` if there is none.
    pub async fn delete_profile(&self, id: &Id) -> Result<bool, Refused> {
        retry(|| self.try_delete_profile(id)).await
    }

    /// Makes the profiles with these ids one, whatever tells them apart but their size. The id of the one that goes on;
    /// `None` if there is none with one of the ids.
    ///
    /// # Errors
    /// Together they are more than is kept of one.
    pub async fn merge_profiles(&self, id: &Id, with: &Id) -> Result<Option<Id>, NotSaved> {
        retry(|| async {
            match self.try_merge_profiles(id, with).await {
                Ok(merged) => Ok(Ok(merged)),
                Err(NotSaved::Refused(refused)) => Err(refused),
                Err(invalid) => Ok(Err(invalid)),
            }
        })
        .await?
    }

    async fn try_merge_profiles(&self, id: &Id, with: &Id) -> Result<Option<Id>, NotSaved> {
        let invalid = |what: String| NotSaved::Invalid(Fault::new("value_error", what).at("with"));
        let view = self.store.read_view();
        let Some(seen) = find_profile(&view, id).await? else { return Ok(view.answer(None).await?) };
        let Some(other) = find_profile(&view, with).await? else { return Ok(view.answer(None).await?) };
        let names = [id, with, &seen.id, &other.id].into_iter().cloned().map(Key::Profile).collect();
        let decided = self.decide_on(names, 2 * (seen.bytes() + other.bytes())).await?;
        let (view, held) = (&decided.view, &decided.held);
        if find_profile(view, id).await?.as_deref() != Some(&*seen)
            || find_profile(view, with).await?.as_deref() != Some(&*other)
        {
            return Err(Refused::Stale.into());
        }
        if seen.reference() == other.reference() {
            return Ok(view.answer(Some(seen.id.clone())).await?);
        }
        let [mut one, other] = [&seen, &other].map(|profile| ProfileDraft::known(profile.clone()));
        one.check_room_for(&other.profile).map_err(|why| invalid(why.to_string()))?;
        let visits = People { view, held, searches: &Searches::default() }.visits_of_both(&one, &other).await;
        let visits = visits?;
        // One that is very large takes its time.
        let tells = self.rules.get().tells_changes();
        let prepared = decided.view.work(move || {
            one.absorb(other, visits, None, 0);
            one.prepare(tells)
        });
        let prepared = prepared.await?;
        let (now, survivor) = (self.clock.now(), prepared.id().clone());
        // Its segments are looked at again.
        let happens = |profile| DelayedEvent::internal(Records::internal_source(), profile, PROFILE_MERGED, now);
        self.write_at(decided, |moment| {
            let (profile, mut entries) = prepared.finalize(moment, 0, 0);
            entries.push(Entry::Delayed(happens(profile.reference()).into()));
            entries
        })
        .await?;
        Ok(Some(survivor))
    }

    async fn try_delete_profile(&self, id: &Id) -> Result<bool, Refused> {
        let view = self.store.read_view();
        let Some(seen) = find_profile(&view, id).await? else { return view.answer(false).await };
        let decided = self.decide([id, &seen.id].map(|id| Key::Profile(id.clone())).into()).await?;
        let Some(profile) = find_profile(&decided.view, id).await? else { return decided.view.answer(false).await };
        if profile.id != seen.id {
            return Err(Refused::Stale); // it became part of another one before the locks were there
        }
        if !profile.lists_all() {
            delete_names(&self.store, &decided.view, &profile).await?;
        }
        self.write(decided, vec![profile_deleted(&profile)]).await
    }
}

/// Deletes a profile, with the names and keys that it lists.
pub(crate) fn profile_deleted(profile: &Profile) -> Entry {
    let names = profile.aliases.iter().map(|alias| ProfileRef { id: alias.id.clone(), since: alias.since });
    Entry::ProfileDeleted {
        id: profile.id.clone(),
        names: names.collect(),
        keys: profile.keys.iter().map(|known| known.key).collect(),
        ids: 1 + profile.names,
    }
}

/// Deletes the names of a profile whose own name is held, and the keys that lead to any of them, some at a time: those
/// first that nothing leads to. Should it end half way, the profile is still there, to be deleted again.
pub(crate) async fn delete_names(store: &Store, view: &ReadView, profile: &Profile) -> Result<(), Refused> {
    view.applied().await?;
    let mut walk = NamesWalk::new(profile.reference(), None);
    loop {
        let (names, further) = view.names(walk, DELETED_AT_ONCE).await?;
        walk = further;
        let is_last = names.is_empty();
        let of = if is_last { vec![profile.reference()] } else { names.clone() };
        let keys = view.keys_of(of).await?;
        let permit = store.permit((names.len() + keys.len()) * NAME_BYTES).await?;
        let ((), pending) = view.push(permit, |_| (vec![Entry::NamesDeleted { names, keys }], ()))?;
        pending.durable().await?;
        if is_last {
            return Ok(());
        }
    }
}
