//! Events, sessions and profiles, one by one (contract, section 9).

use std::sync::Arc;

use super::{Admin, retry};
use crate::{
    model::{DelayedEvent, Id, Profile, Session, ShownEvent},
    process::{PROFILE_SPLIT, Records, find_profile, referred_profile},
    store::{Entry, Key, ReadView, Refused},
};

impl Admin {
    /// The event with this id, from `source` if two share it.
    pub async fn event(&self, id: &Id, source: Option<&Id>) -> Result<Option<ShownEvent>, Refused> {
        let found = retry(|| async {
            let view = self.store.read_view();
            let Some((_, mut event)) = view.event(id, source).await? else { return view.answer(None).await };
            // Past events are those of whom their profile is part of by now.
            if let Some(reference) = &event.request.profile
                && let Some(profile) = referred_profile(&view, reference).await?
                && profile.id != reference.id
            {
                let mut request = (*event.request).clone();
                request.profile = Some(profile.reference());
                event.request = Arc::new(request);
            }
            view.answer(Some(event)).await
        });
        found.await
    }

    /// The session, without its profile if that was deleted.
    pub async fn session(&self, id: &Id) -> Result<Option<Session>, Refused> {
        let found = retry(|| async {
            let view = self.store.read_view();
            view.answer(read_session(&view, id).await?).await
        });
        found.await
    }

    /// The profile that `id` is one of the ids of.
    pub async fn profile(&self, id: &Id) -> Result<Option<Arc<Profile>>, Refused> {
        let found = retry(|| async {
            let view = self.store.read_view();
            view.answer(find_profile(&view, id).await?).await
        });
        found.await
    }

    /// Deletes an event; its id stays used. `false` if there is none.
    pub async fn delete_event(&self, id: &Id, source: Option<&Id>) -> Result<bool, Refused> {
        retry(|| self.try_delete_event(id, source)).await
    }

    /// Deletes a session; its events stay. `false` if there is none.
    pub async fn delete_session(&self, id: &Id) -> Result<bool, Refused> {
        retry(|| self.try_delete_session(id)).await
    }

    /// Deletes the profile that `id` is one of the ids of, with its other names. `false` if there is none.
    pub async fn delete_profile(&self, id: &Id) -> Result<bool, Refused> {
        retry(|| self.try_delete_profile(id)).await
    }

    /// Splits off the profile `merged` that the one with the id `id` took in; if none is named, the one that had `id`
    /// before, or the last one that was taken in. The ids of both; `None` if there is no such profile.
    pub async fn split_profile(&self, id: &Id, merged: Option<&Id>) -> Result<Option<(Id, Id)>, Refused> {
        retry(|| self.try_split_profile(id, merged)).await
    }

    async fn try_split_profile(&self, id: &Id, merged: Option<&Id>) -> Result<Option<(Id, Id)>, Refused> {
        let view = self.store.read_view();
        let Some(seen) = find_profile(&view, id).await? else { return view.answer(None).await };
        let mut held_names = names(id, &seen);
        // The sessions that the profiles came with may be pointed back.
        let visits = seen.absorbed.iter().flat_map(|absorbed| absorbed.profile.latest_visits.iter().flatten());
        held_names.extend(visits.map(|visit| Key::Session(visit.session.clone())));
        let decided = self.decide_on(held_names, seen.facts.as_str().len()).await?;
        let view = &decided.view;
        let Some(profile) = find_profile(view, id).await? else { return view.answer(None).await };
        if *profile != *seen {
            return Err(Refused::Stale);
        }
        let named = profile.absorbed.iter().find(|absorbed| absorbed.profile.id == *merged.unwrap_or(id));
        let last = profile.absorbed.last().filter(|_| merged.is_none());
        let Some(merged) = named.or(last).map(|absorbed| absorbed.profile.id.clone()) else {
            return view.answer(None).await;
        };
        let mut left = (*profile).clone();
        let Some(mut split) = left.split(&merged) else { return view.answer(None).await };
        let now = self.clock.now();
        (left.updated, split.updated) = (now, now);
        let ids = (left.id.clone(), split.id.clone());
        let (survivor, reference) = (left.reference(), split.reference());
        let own_names = split.ids().cloned().map(|name| Entry::Name { name, profile: reference.clone() });
        let own_names = own_names.collect::<Vec<_>>();
        let sessions = pointed_back(view, &left, &split).await?;
        let tells = self.rules.get().tells_changes();
        let mut entries = Vec::new();
        for (state, before) in [(left, Some(&*profile)), (split, None)] {
            let changes = if tells { state.changes_since(before) } else { Vec::new() };
            let reference = state.reference();
            entries.push(Entry::Profile(Arc::new(state)));
            if !changes.is_empty() {
                entries.push(Entry::ProfileChanged { profile: reference, changes });
            }
        }
        entries.extend(own_names);
        entries.extend(sessions.into_iter().map(|session| Entry::Session(Arc::new(session))));
        // The segments of both are looked at again.
        let split_event = |profile| DelayedEvent::internal(Records::internal_source(), profile, PROFILE_SPLIT, now);
        entries.extend([survivor, reference].map(|profile| Entry::Delayed(Arc::new(split_event(profile)))));
        self.write(decided, entries).await.map(|_| Some(ids))
    }

    async fn try_delete_event(&self, id: &Id, source: Option<&Id>) -> Result<bool, Refused> {
        let view = self.store.read_view();
        let Some((offset, _)) = view.event(id, source).await? else { return view.answer(false).await };
        let decided = self.decide(vec![Key::DeletedEvent(offset)]).await?;
        if decided.view.is_deleted_event(offset).await? {
            return decided.view.answer(false).await;
        }
        self.write(decided, vec![Entry::EventDeleted(offset)]).await
    }

    async fn try_delete_session(&self, id: &Id) -> Result<bool, Refused> {
        let decided = self.decide(vec![Key::Session(id.clone())]).await?;
        if decided.view.session(id).await?.is_none() {
            return decided.view.answer(false).await;
        }
        self.write(decided, vec![Entry::SessionDeleted(id.clone())]).await
    }

    async fn try_delete_profile(&self, id: &Id) -> Result<bool, Refused> {
        let view = self.store.read_view();
        let Some(seen) = find_profile(&view, id).await? else { return view.answer(false).await };
        let decided = self.decide(names(id, &seen)).await?;
        let Some(profile) = find_profile(&decided.view, id).await? else { return decided.view.answer(false).await };
        if !names(id, &profile).iter().all(|name| decided.held.holds(name)) {
            return Err(Refused::Stale); // it was given another name before the locks were there
        }
        let other_names = profile.aliases.iter().map(|alias| alias.id.clone()).collect();
        let (id, keys) = (profile.id.clone(), profile.keys.clone());
        self.write(decided, vec![Entry::ProfileDeleted { id, names: other_names, keys }]).await
    }
}

/// The sessions that a profile came with, as they are when they are its own again and not the survivor's.
async fn pointed_back(view: &ReadView, survivor: &Profile, split: &Profile) -> Result<Vec<Session>, Refused> {
    let mut sessions = Vec::new();
    for visit in split.latest_visits.iter().flatten() {
        let session = view.session(&visit.session).await?;
        let is_survivors =
            |session: &Arc<Session>| session.profile.as_ref().is_some_and(|it| survivor.is_or_absorbed(it));
        let session = session.filter(is_survivors);
        let profile = Some(split.reference());
        sessions.extend(session.map(|session| Session { profile, ..(*session).clone() }));
    }
    Ok(sessions)
}

/// The session, without its profile if that was deleted.
async fn read_session(view: &ReadView, id: &Id) -> Result<Option<Session>, Refused> {
    let session = view.session(id).await?;
    let mut session = session.map(|session| (*session).clone());
    if let Some(session) = &mut session
        && let Some(reference) = &session.profile
    {
        let found = referred_profile(view, reference).await?;
        session.profile = found.map(|profile| profile.reference());
    }
    Ok(session)
}

/// Every name that a profile is found by, with the one that was given.
fn names(id: &Id, profile: &Profile) -> Vec<Key> {
    std::iter::once(id).chain(profile.ids()).cloned().map(Key::Profile).collect()
}
