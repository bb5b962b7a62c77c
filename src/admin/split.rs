//! A profile is split off the one that took it in: both have again what was theirs (docs/contract.md, section 4).

use std::{collections::BTreeSet, sync::Arc};

use super::{Admin, NotSaved, retry};
use crate::{
    model::{
        Alias, Country, DelayedEvent, Fault, Id, KnownKey, MergeKey, MergingWrites, Path, Profile, ProfileRef,
        Regained, Session, Theirs, Value,
    },
    process::{Identity, PROFILE_SPLIT, Records, find_profile, referred_profile},
    store::{Entry, Key, Merge, Name, NamesWalk, ReadView, Refused},
};

/// Through how many others a profile may have become part of the one that it is split off from.
const NESTED_MAX: usize = 16;
/// Of how many values it is looked up whose they are, where those of somebody else may be among them.
const REGAINED_MAX: usize = 500;
/// How many names are looked through for the last merge, or for the newest ones.
const LATEST_MAX: usize = 100;
const NEWEST_OF: usize = 10_000;
/// How many of a profile's sessions are looked through for those that one split off came with.
const POINTED_BACK_MAX: usize = 1_000;

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
    /// Splits off the profile `merged` that the one with the id `id` took in; if none is named, the one that had `id`
    /// before, or the last one that was taken in. The ids of both; `None` if there is no such profile.
    ///
    /// # Errors
    /// It became part of it through too many others.
    pub async fn split_profile(
        &self,
        identity: &Identity,
        id: &Id,
        merged: Option<&Id>,
    ) -> Result<Option<(Id, Id)>, NotSaved> {
        let keys = Keys { identity, countries: self.store.read_view().phone_countries() };
        retry(|| async {
            match self.try_split_profile(&keys, id, merged).await {
                Ok(split) => Ok(Ok(split)),
                Err(NotSaved::Refused(refused)) => Err(refused),
                Err(invalid) => Ok(Err(invalid)),
            }
        })
        .await?
    }

    async fn try_split_profile(
        &self,
        keys_at: &Keys<'_>,
        id: &Id,
        merged: Option<&Id>,
    ) -> Result<Option<(Id, Id)>, NotSaved> {
        let view = self.store.read_view();
        let Some(seen) = find_profile(&view, id).await? else { return Ok(view.answer(None).await?) };
        view.applied().await?; // states and names are read from the log and from the views
        let Some(way) = way_to(&view, &seen, merged.unwrap_or(id), merged.is_none()).await? else {
            return Ok(view.answer(None).await?);
        };
        let Some(split) = way.first() else { return Ok(view.answer(None).await?) };
        // The sessions that it came with are pointed back.
        let sessions = sessions_of_split(&view, &way, &split.state).await?;
        let visits = sessions.iter().map(|session| Key::Session(session.id.clone()));
        // Keys may lead to either again.
        let keys =
            split.state.keys.iter().map(|known| Key::MergeKey(known.key)).chain(split.merge.key.map(Key::MergeKey));
        let ids = [id, &seen.id, &split.profile.id].into_iter().cloned().map(Key::Profile);
        let bytes = seen.bytes() + way.iter().map(|absorbed| absorbed.state.bytes()).sum::<usize>();
        let bytes = bytes + sessions.iter().map(Session::bytes).sum::<usize>();
        let decided = self.decide_on(ids.chain(visits).chain(keys).collect(), bytes).await?;
        let view = &decided.view;
        let name = view.name(&split.profile.id).await?.and_then(|name| name.merge);
        if find_profile(view, id).await?.as_deref() != Some(&*seen) || name.as_ref() != Some(&split.merge) {
            return Err(Refused::Stale.into());
        }
        let taken_out = self.take_out(view, keys_at, &seen, way, sessions).await?;
        let ids = (taken_out.left.id.clone(), taken_out.split.id.clone());
        self.write_at(decided, |moment| taken_out.entries(moment.offset)).await?;
        Ok(Some(ids))
    }

    /// Takes the first profile of the way out of `profile`, and of those through which it became part of that.
    async fn take_out(
        &self,
        view: &ReadView,
        keys_at: &Keys<'_>,
        profile: &Profile,
        way: Vec<Absorbed>,
        sessions: Vec<Session>,
    ) -> Result<TakenOut, Refused> {
        let mut way = way.into_iter();
        let Some(Absorbed { profile: reference, by, merge, state: mut split, shared_visits }) = way.next() else {
            return Err(Refused::Stale);
        };
        let before = match merge.before {
            Some(offset) => view.profile_at(offset, None).await?.map(|(before, _)| before),
            None => None,
        };
        let mut theirs = Theirs::of(&split);
        let after = match merge.request {
            Some(request) => view.profile_from(request.begins, &by).await?.map(|after| (request, after)),
            None => None,
        };
        let severed = match after {
            Some((request, after)) => {
                let mut merging = MergingWrites::new(request.merges, &after, before.as_ref(), &split);
                let said = keys_at.said(&merging);
                if let Some((last, ..)) = said.iter().find(|(_, _, key)| Some(*key) == merge.key) {
                    merging.end_at(*last);
                }
                theirs = merging.theirs(&split);
                give_merging(keys_at, &mut split, merging, &after, before.as_ref(), merge.key)
            }
            None => Severed::default(),
        };
        let mut left = profile.clone();
        let mut between = way.collect::<Vec<_>>();
        for state in between.iter_mut().map(|absorbed| &mut absorbed.state).chain([&mut left]) {
            let mut regained = before.as_ref().map(|before| state.regained(&theirs, before)).unwrap_or_default();
            if profile.history.was_split {
                // The state from before the merge also holds what was written to those who were split off since.
                leave_out_of_others(view, &mut regained, &state.reference()).await?;
            }
            state.split_off(&split, &theirs, shared_visits, before.as_ref(), regained);
            list_names_anew(view, state, &reference).await?;
        }
        // A key that it had may be another's since one was split off it, or may have been let go of by the merge.
        let mut keys = Vec::with_capacity(split.keys.len());
        for known in &split.keys {
            match leads_to(view, known.key).await? {
                Some(leads) => keys.extend((leads.id == profile.id).then_some(*known)),
                None => keys.extend(keys_at.stand_in(&split, known.key).then_some(*known)),
            }
        }
        split.keys = keys;
        let mut regained_keys = Vec::new();
        for known in before.iter().flat_map(|before| &before.keys) {
            let is_lost = !left.has_key(known.key) && !split.has_key(known.key);
            if is_lost && keys_at.stand_in(&left, known.key) && leads_to(view, known.key).await?.is_none() {
                regained_keys.push(*known);
            }
        }
        left.keys.extend(&regained_keys);
        left.keys.sort_unstable();
        for (profile, keys) in [(&mut left, severed.of_left), (&mut split, severed.of_split)] {
            for key in keys {
                if !profile.has_key(key) {
                    profile.history.sever(key);
                }
            }
        }
        let now = self.clock.now();
        (left.updated, split.updated) = (now, now);
        (split.history.was_split, split.gathered, left.gathered) = (true, None, None);
        let sessions = pointed_back(view, profile, &split, sessions).await?;
        let tells = self.rules.get().tells_changes();
        let change = |state: &Profile, before| {
            let changes = if tells { state.changes_since(before) } else { Vec::new() };
            (!changes.is_empty()).then(|| Entry::ProfileChanged { profile: state.reference(), changes })
        };
        let changes = [change(&left, Some(profile)), change(&split, None)];
        // The segments of both are looked at again.
        let happens = |profile| DelayedEvent::internal(Records::internal_source(), profile, PROFILE_SPLIT, now);
        let events = [left.reference(), split.reference()].map(happens);
        let regained_keys = regained_keys.into_iter().map(|known| known.key).collect();
        Ok(TakenOut { left, split, between, changes, sessions, events, regained_keys })
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
    /// The keys that lead to the one that is left again.
    regained_keys: Vec<MergeKey>,
}

impl TakenOut {
    /// The entries, the first of which stands at `offset`.
    fn entries(self, offset: u64) -> Vec<Entry> {
        let mut entries = vec![Entry::Split { profile: self.split.reference() }];
        for Absorbed { profile, by, merge, mut state, shared_visits, .. } in self.between {
            let written = offset + entries.len() as u64;
            state.written = written;
            entries.push(Entry::AbsorbedState(Arc::new(state)));
            let merge = Merge { state: Some(written), shared_visits, ..merge };
            entries.push(Entry::Absorbed { absorbed: profile, by, merge });
        }
        let profile = self.split.reference();
        let keys = self.split.keys.iter().map(|known| Entry::MergeKey { key: known.key, profile: profile.clone() });
        let mut keys: Vec<Entry> = keys.collect();
        let left = self.left.reference();
        let regained = self.regained_keys.into_iter();
        keys.extend(regained.map(|key| Entry::MergeKey { key, profile: left.clone() }));
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

/// The keys that join each of two no more that are told apart.
#[derive(Default)]
struct Severed {
    of_left: Vec<MergeKey>,
    of_split: Vec<MergeKey>,
}

/// Gives the profile that is split off what the request wrote that merged it, but for what either was known by:
/// `after` and `before` are that one, right after and before that. The keys that told that they are one do so no more.
fn give_merging(
    keys_at: &Keys<'_>,
    split: &mut Profile,
    mut merging: MergingWrites,
    after: &Profile,
    before: Option<&Profile>,
    by: Option<MergeKey>,
) -> Severed {
    let is_others = |key: MergeKey| before.is_some_and(|before| before.has_key(key)) && !split.has_key(key);
    let said = keys_at.said(&merging);
    let (of_split, of_left) = said
        .iter()
        .map(|(_, _, key)| *key)
        .chain(by)
        .filter(|key| Some(*key) == by || is_others(*key) || split.has_key(*key))
        .partition(|key| !split.has_key(*key));
    // What either is known by already is not new to the one that is split off.
    for (_, path, _) in said.iter().filter(|(_, _, key)| is_others(*key) || split.has_key(*key)) {
        merging.leave_out(path);
    }
    let known = |key: MergeKey| split.has_key(key) || before.is_some_and(|before| before.has_key(key));
    let new: Vec<KnownKey> = after.keys.iter().filter(|it| !known(it.key)).copied().collect();
    split.keys.extend(new.into_iter().filter(|it| said.iter().any(|(_, _, key)| *key == it.key)));
    split.keys.sort_unstable();
    split.take_merging(merging, after, before);
    Severed { of_left, of_split }
}

/// Whom a key leads to.
async fn leads_to(view: &ReadView, key: MergeKey) -> Result<Option<Arc<Profile>>, Refused> {
    match view.merge_key(key).await? {
        Some(leads) => referred_profile(view, &leads).await,
        None => Ok(None),
    }
}

/// Makes keys of what stands in profiles. Phone numbers may have been dialled in the country of any source.
struct Keys<'a> {
    identity: &'a Identity,
    countries: Vec<Option<Country>>,
}

impl Keys<'_> {
    /// The keys that `value` at `place` may have been taken as.
    fn at(&self, place: &Path, value: &Value) -> BTreeSet<MergeKey> {
        self.countries.iter().filter_map(|country| self.identity.key_at(place, value, *country)).collect()
    }

    /// The keys that were said, each with the offset and the path at which it was.
    fn said(&self, merging: &MergingWrites) -> Vec<(u64, String, MergeKey)> {
        let said = merging.set().flat_map(|(offset, path, value)| {
            let steps = Path::read(path);
            let steps = steps.iter().flat_map(|path| path.steps()).map(|step| &**step);
            let place: Path = std::iter::once("profile").chain(steps).collect();
            self.at(&place, value).into_iter().map(move |key| (offset, path.to_owned(), key))
        });
        said.collect()
    }

    /// Whether what the key is made of stands in the profile.
    fn stand_in(&self, profile: &Profile, key: MergeKey) -> bool {
        let facts = Value::from(&profile.facts);
        self.identity.places().any(|place| {
            let value = facts.get(&place.steps()[1..]);
            value.is_some_and(|value| self.at(place, value).contains(&key))
        })
    }
}

/// The newest sessions that a profile came with which is to be split off, as far as they went on with those that took it in.
async fn sessions_of_split(view: &ReadView, way: &[Absorbed], split: &Profile) -> Result<Vec<Session>, Refused> {
    let names = split.aliases.iter().map(|alias| ProfileRef { id: alias.id.clone(), since: alias.since });
    let names: Vec<ProfileRef> = std::iter::once(split.reference()).chain(names).collect();
    let mut sessions = Vec::new();
    for Absorbed { by, .. } in way {
        for session in view.sessions_of(by, POINTED_BACK_MAX).await? {
            let mut was_theirs = false;
            for name in &names {
                was_theirs |= view.has_visited(session.number, name).await?;
            }
            sessions.extend(was_theirs.then_some(session));
        }
    }
    Ok(sessions)
}

/// These sessions, as they are when they are the split profile's again and not the survivor's.
async fn pointed_back(
    view: &ReadView,
    survivor: &Profile,
    split: &Profile,
    sessions: Vec<Session>,
) -> Result<Vec<Session>, Refused> {
    let mut back = Vec::with_capacity(sessions.len());
    for Session { id, number, .. } in sessions {
        let Some(session) = view.session(&id).await?.filter(|session| session.number == number) else { continue };
        let Some(reference) = &session.profile else { continue };
        if referred_profile(view, reference).await?.is_some_and(|whose| whose.id == survivor.id) {
            back.push(Session { profile: Some(split.reference()), ..(*session).clone() });
        }
    }
    Ok(back)
}
