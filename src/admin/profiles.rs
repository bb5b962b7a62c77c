//! Profiles are split off those that took them in, and deleted with all that leads to them
//! (docs/contract.md, sections 4 and 9).

use std::sync::Arc;

use super::{Admin, NotSaved, retry};
use crate::{
    model::{Alias, DelayedEvent, Fault, Id, Profile, ProfileRef, Regained, Session},
    process::{PROFILE_SPLIT, Records, find_profile, referred_profile},
    store::{Entry, Key, Merge, Name, NamesWalk, ReadView, Refused, Store},
};

/// Through how many others a profile may have become part of the one that it is split off from.
const NESTED_MAX: usize = 16;
/// Of how many values it is looked up whose they are, where those of somebody else may be among them.
const REGAINED_MAX: usize = 500;
/// How many names are looked through for the last merge, or for the newest ones.
const LATEST_MAX: usize = 100;
const NEWEST_OF: usize = 10_000;
/// How many names are deleted at a time, and about how many bytes each of these takes in the queue, and a key.
const DELETED_AT_ONCE: usize = 1_000;
const NAME_BYTES: usize = 1_600;

/// A profile that is part of another one.
struct Absorbed {
    profile: ProfileRef,
    by: ProfileRef,
    merge: Merge,
    /// As it was then.
    state: Profile,
    /// The sessions that both had then.
    shared_visits: u64,
}

impl Admin {
    /// Deletes the profile that `id` is one of the ids of, with its other names. `false` if there is none.
    pub async fn delete_profile(&self, id: &Id) -> Result<bool, Refused> {
        retry(|| self.try_delete_profile(id)).await
    }

    /// Splits off the profile `merged` that the one with the id `id` took in; if none is named, the one that had `id`
    /// before, or the last one that was taken in. The ids of both; `None` if there is no such profile.
    ///
    /// # Errors
    /// It became part of it through too many others.
    pub async fn split_profile(&self, id: &Id, merged: Option<&Id>) -> Result<Option<(Id, Id)>, NotSaved> {
        retry(|| async {
            match self.try_split_profile(id, merged).await {
                Ok(split) => Ok(Ok(split)),
                Err(NotSaved::Refused(refused)) => Err(refused),
                Err(invalid) => Ok(Err(invalid)),
            }
        })
        .await?
    }

    async fn try_split_profile(&self, id: &Id, merged: Option<&Id>) -> Result<Option<(Id, Id)>, NotSaved> {
        let view = self.store.read_view();
        let Some(seen) = find_profile(&view, id).await? else { return Ok(view.answer(None).await?) };
        view.applied().await?; // states and names are read from the log and from the views
        let Some(way) = way_to(&view, &seen, merged.unwrap_or(id), merged.is_none()).await? else {
            return Ok(view.answer(None).await?);
        };
        let Some(split) = way.first() else { return Ok(view.answer(None).await?) };
        // The sessions that it came with may be pointed back.
        let visits = split.state.latest_visits.iter().flatten().map(|visit| Key::Session(visit.session.clone()));
        let names = [id, &seen.id, &split.profile.id].into_iter().cloned().map(Key::Profile).chain(visits).collect();
        let bytes = seen.bytes() + way.iter().map(|absorbed| absorbed.state.bytes()).sum::<usize>();
        let decided = self.decide_on(names, bytes).await?;
        let view = &decided.view;
        let name = view.name(&split.profile.id).await?.and_then(|name| name.merge);
        if find_profile(view, id).await?.as_deref() != Some(&*seen) || name.as_ref() != Some(&split.merge) {
            return Err(Refused::Stale.into());
        }
        let taken_out = self.take_out(view, &seen, way).await?;
        let ids = (taken_out.left.id.clone(), taken_out.split.id.clone());
        self.write_at(decided, |offset| taken_out.entries(offset)).await?;
        Ok(Some(ids))
    }

    /// Takes the first profile of the way out of `profile`, and of those through which it became part of that.
    async fn take_out(&self, view: &ReadView, profile: &Profile, way: Vec<Absorbed>) -> Result<TakenOut, Refused> {
        let mut way = way.into_iter();
        let Some(Absorbed { profile: reference, merge, state: mut split, shared_visits, .. }) = way.next() else {
            return Err(Refused::Stale);
        };
        let before = match merge.before {
            Some(offset) => view.profile_at(offset, None).await?.map(|(before, _)| before),
            None => None,
        };
        let mut left = profile.clone();
        let mut between = way.collect::<Vec<_>>();
        for state in between.iter_mut().map(|absorbed| &mut absorbed.state).chain([&mut left]) {
            let mut regained = before.as_ref().map(|before| state.regained(&split, before)).unwrap_or_default();
            if profile.was_split {
                // The state from before the merge also holds what was written to those who were split off since.
                leave_out_of_others(view, &mut regained, &state.reference()).await?;
            }
            state.split_off(&split, shared_visits, before.as_ref(), regained);
            list_names_anew(view, state, &reference).await?;
        }
        // A key that it had may be another's since one was split off it.
        let mut keys = Vec::with_capacity(split.keys.len());
        for known in &split.keys {
            let leads = match view.merge_key(known.key).await? {
                Some(leads) => referred_profile(view, &leads).await?,
                None => None,
            };
            keys.extend(leads.filter(|leads| leads.id == profile.id).map(|_| *known));
        }
        split.keys = keys;
        let now = self.clock.now();
        (left.updated, split.updated) = (now, now);
        (split.was_split, split.gathered, left.gathered) = (true, None, None);
        let sessions = pointed_back(view, profile, &split).await?;
        let tells = self.rules.get().tells_changes();
        let change = |state: &Profile, before| {
            let changes = if tells { state.changes_since(before) } else { Vec::new() };
            (!changes.is_empty()).then(|| Entry::ProfileChanged { profile: state.reference(), changes })
        };
        let changes = [change(&left, Some(profile)), change(&split, None)];
        // The segments of both are looked at again.
        let happens = |profile| DelayedEvent::internal(Records::internal_source(), profile, PROFILE_SPLIT, now);
        let events = [left.reference(), split.reference()].map(happens);
        Ok(TakenOut { left, split, between, changes, sessions, events })
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

/// A profile that is split off, and what that makes of others.
struct TakenOut {
    left: Profile,
    split: Profile,
    /// Those through which it had become part of it, as each would be split off from now on.
    between: Vec<Absorbed>,
    changes: [Option<Entry>; 2],
    sessions: Vec<Session>,
    events: [DelayedEvent; 2],
}

impl TakenOut {
    /// The entries, the first of which stands at `offset`.
    fn entries(self, offset: u64) -> Vec<Entry> {
        let mut entries = vec![Entry::Split { profile: self.split.reference() }];
        for Absorbed { profile, by, merge, mut state, shared_visits } in self.between {
            let written = offset + entries.len() as u64;
            state.written = written;
            entries.push(Entry::AbsorbedState(Arc::new(state)));
            let merge = Merge { state: Some(written), shared_visits, ..merge };
            entries.push(Entry::Absorbed { absorbed: profile, by, merge });
        }
        let profile = self.split.reference();
        let keys = self.split.keys.iter().map(|known| Entry::MergeKey { key: known.key, profile: profile.clone() });
        let keys: Vec<Entry> = keys.collect();
        for (mut state, change) in [self.left, self.split].into_iter().zip(self.changes) {
            state.written = offset + entries.len() as u64;
            entries.push(Entry::Profile(Arc::new(state)));
            entries.extend(change);
        }
        entries.extend(keys);
        entries.extend(self.sessions.into_iter().map(|session| Entry::Session(Arc::new(session))));
        entries.extend(self.events.into_iter().map(|event| Entry::Delayed(Arc::new(event))));
        entries
    }
}

/// How the profile that was called `id` became part of `profile`: itself first, then those through which it did, each with
/// its state. Where it did not and `or_last` says so, the last one that became part of it. `None`: there is none, or its
/// state is not known any more.
async fn way_to(view: &ReadView, profile: &Profile, id: &Id, or_last: bool) -> Result<Option<Vec<Absorbed>>, NotSaved> {
    let mut start = absorbed_name(view, id).await?;
    if start.is_none() && or_last {
        for name in view.latest_names(&profile.reference(), LATEST_MAX).await? {
            start = absorbed_name(view, &name.id).await?;
            if start.is_some() {
                break;
            }
        }
    }
    let Some((name, said)) = start else { return Ok(None) };
    let mut way = vec![(name, said)];
    while let Some(by) = way.last().map(|(_, name)| &name.profile).filter(|by| **by != profile.reference()) {
        let Some(next) = absorbed_name(view, &by.id).await? else { return Ok(None) };
        if way.len() > NESTED_MAX {
            let what = format!(
                "it became part of {} through more than {NESTED_MAX} others: split off {} first",
                profile.id, by.id
            );
            return Err(NotSaved::Invalid(Fault::new("value_error", what).at("id")));
        }
        way.push(next);
    }
    // In a store of format 3, states stand within those of the profiles that took them in.
    let (mut states, mut held_inside) = (Vec::with_capacity(way.len()), profile.held_inside);
    for (reference, Name { profile: by, merge, .. }) in way.into_iter().rev() {
        let Some((merge, offset)) = merge.and_then(|merge| merge.state.or(held_inside).map(|at| (merge, at))) else {
            return Ok(None);
        };
        let Some((state, shared_visits)) = view.profile_at(offset, Some(&reference)).await? else { return Ok(None) };
        held_inside = state.held_inside.or(held_inside);
        let shared_visits = shared_visits.unwrap_or(merge.shared_visits);
        states.push(Absorbed { profile: reference, by, merge, state, shared_visits });
    }
    states.reverse();
    Ok(Some(states))
}

/// What `id` means, if it was a profile's that is part of another one now.
async fn absorbed_name(view: &ReadView, id: &Id) -> Result<Option<(ProfileRef, Name)>, Refused> {
    let name = view.name(id).await?.filter(|name| name.merge.is_some());
    Ok(name.map(|name| (ProfileRef { id: id.clone(), since: name.since }, name)))
}

/// Leaves out what is regained of what was not written to `profile` or those who are part of it, as far as the log says.
async fn leave_out_of_others(view: &ReadView, regained: &mut Regained, profile: &ProfileRef) -> Result<(), Refused> {
    let mut of_others = Vec::new();
    // A request writes many values.
    let mut last: Option<(Arc<Profile>, bool)> = None;
    for (looked_up, (offset, path)) in regained.places().enumerate() {
        if !last.as_ref().is_some_and(|(state, _)| regained.is_of(state, offset, path)) && looked_up < REGAINED_MAX {
            let writer = view.profile_that_wrote(offset, path).await?;
            last = match writer.filter(|state| regained.is_of(state, offset, path)) {
                Some(state) => Some((state.clone(), is_part_of(view, state.reference(), profile).await?)),
                None => None,
            };
        }
        let is_own = last.as_ref().is_some_and(|(state, is_own)| *is_own && regained.is_of(state, offset, path));
        if !is_own {
            of_others.push((offset, path.into()));
        }
    }
    regained.leave_out(of_others);
    Ok(())
}

/// Whether a profile is this one, or part of it through not too many others.
async fn is_part_of(view: &ReadView, mut part: ProfileRef, profile: &ProfileRef) -> Result<bool, Refused> {
    for _ in 0..=NESTED_MAX {
        if part == *profile {
            return Ok(true);
        }
        match absorbed_name(view, &part.id).await? {
            Some((reference, name)) if reference == part => part = name.profile,
            _ => return Ok(false),
        }
    }
    Ok(false)
}

/// Lists the newest names of a profile, of which `split` and all that lead to it are none any more.
async fn list_names_anew(view: &ReadView, profile: &mut Profile, split: &ProfileRef) -> Result<(), Refused> {
    if profile.names == profile.aliases.len() as u64 {
        return Ok(());
    }
    let walk = NamesWalk::new(profile.reference(), Some(split.clone()));
    let (names, _) = view.names(walk, NEWEST_OF).await?;
    profile.list_aliases(names.into_iter().map(|ProfileRef { id, since }| Alias { id, since }).collect());
    Ok(())
}

/// The sessions that a profile came with, as they are when they are its own again and not the survivor's.
async fn pointed_back(view: &ReadView, survivor: &Profile, split: &Profile) -> Result<Vec<Session>, Refused> {
    let mut sessions = Vec::new();
    for visit in split.latest_visits.iter().flatten() {
        let Some(session) = view.session(&visit.session).await? else { continue };
        let Some(reference) = &session.profile else { continue };
        if referred_profile(view, reference).await?.is_some_and(|whose| whose.id == survivor.id) {
            sessions.push(Session { profile: Some(split.reference()), ..(*session).clone() });
        }
    }
    Ok(sessions)
}
