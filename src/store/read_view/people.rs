//! Whom an id or a key leads to, and what leads to a profile.

use std::sync::{Arc, atomic::Ordering};

use super::ReadView;
use crate::{
    model::{Id, MergeKey, Profile, ProfileRef, Session},
    store::{
        commit::Generation,
        engine::Engine,
        entry::{Key, Name, State},
        error::{Refused, StoreError},
        shared::Shared,
        views::NamesWalk,
    },
};

/// How many shortcuts may stand between a name and its profile. Names are united by weight, so among n of them no way is
/// longer than about 2 log2(n): this is enough for any number of names.
const SHORTCUTS_MAX: usize = 128;
/// How many merges are followed one by one, where something was split off.
const MERGES_MAX: usize = 100_000;

impl ReadView {
    /// What `name` means, if it is another name of a profile.
    pub async fn name(&self, name: &Id) -> Result<Option<Name>, Refused> {
        let state = self.newest(Key::Name(name.clone())).await?;
        Ok(if let Some(State::Name(name)) = state { Some(name) } else { None })
    }

    /// The profile that is found by `key`, or a name of it.
    pub async fn merge_key(&self, key: MergeKey) -> Result<Option<ProfileRef>, Refused> {
        let state = self.newest(Key::MergeKey(key)).await?;
        Ok(if let Some(State::Leads(profile)) = state { Some(profile) } else { None })
    }

    /// The profile that `id` leads to: its own, or that of whoever it is another name of by now. With `since`, only what
    /// the id meant from that offset on: it may be somebody else's since a deletion.
    pub async fn person(&self, id: &Id, since: Option<u64>) -> Result<Option<Arc<Profile>>, Refused> {
        if let Some(profile) = self.profile(id).await? {
            return Ok(Some(profile).filter(|profile| since.is_none_or(|since| since == profile.since)));
        }
        let Some(name) = self.name(id).await?.filter(|name| since.is_none_or(|since| since == name.since)) else {
            return Ok(None);
        };
        let start = ProfileRef { id: id.clone(), since: name.since };
        match self.walk(move |walk| follow(walk, start, name)).await? {
            Led::ToProfile(found) => Ok(Some(found)),
            Led::Nowhere => Ok(None),
            Led::TooFar => Err(Refused::Unavailable("a name leads through too many merges".into())),
        }
    }

    /// Up to `most` more of the names that a walk finds, as the views have them: see [`ReadView::applied`].
    pub async fn names(&self, mut walk: NamesWalk, most: usize) -> Result<(Vec<ProfileRef>, NamesWalk), Refused> {
        self.shared.read(move |engine| Ok((engine.views.walk_names(&mut walk, most)?, walk))).await
    }

    /// The names of a profile itself that were said last, the last one first, as the views have them.
    pub async fn latest_names(&self, profile: &ProfileRef, most: usize) -> Result<Vec<ProfileRef>, Refused> {
        let profile = profile.clone();
        self.shared.read(move |engine| engine.views.latest_names(&profile, most)).await
    }

    /// The keys that lead to these profiles and to none of their names, as the views have them.
    pub async fn keys_of(&self, profiles: Vec<ProfileRef>) -> Result<Vec<MergeKey>, Refused> {
        let keys = move |engine: &Engine| {
            let keys = profiles.iter().map(|profile| engine.views.keys_of(profile)).collect::<Result<Vec<_>, _>>()?;
            Ok(keys.concat())
        };
        self.shared.read(keys).await
    }

    /// The state of a profile that the log has at `offset`: that of `wanted`, or of any. In a block of format 3, that of
    /// `wanted` may stand within that of a profile that took it in; it comes with how many sessions both had then. See
    /// [`ReadView::applied`].
    pub async fn profile_at(
        &self,
        offset: u64,
        wanted: Option<&ProfileRef>,
    ) -> Result<Option<(Profile, Option<u64>)>, Refused> {
        let wanted = wanted.cloned();
        self.shared.read_log(move |engine| engine.log.profile_at(offset, wanted.as_ref())).await
    }

    /// The state of `profile` that the log has at `offset`. `None`: it has none there, or not any more, or it is to go, for
    /// whoever it is of was erased or forgotten. See [`ReadView::applied`].
    pub async fn state_of(&self, profile: &ProfileRef, offset: u64) -> Result<Option<Arc<Profile>>, Refused> {
        if self.shared.configuration.concealed.of(&profile.id, offset).is_some() {
            return Ok(None);
        }
        match self.profile_at(offset, Some(profile)).await {
            Ok(found) => Ok(found.map(|(state, _)| Arc::new(state))),
            Err(Refused::Damaged(_)) => Ok(None), // where else it is read, it is told
            Err(refused) => Err(refused),
        }
    }

    /// The state of the profile that the request at `offset` stored, if it wrote there what stands at `path`; it was called
    /// so then. See [`ReadView::applied`].
    pub async fn profile_that_wrote(&self, offset: u64, path: &str) -> Result<Option<Arc<Profile>>, Refused> {
        let path = Box::from(path);
        self.shared.read_log(move |engine| engine.log.profile_that_wrote(offset, &path)).await
    }

    /// The state of the profile that the request stored that begins at `offset`. See [`ReadView::applied`].
    pub async fn profile_from(&self, offset: u64, profile: &ProfileRef) -> Result<Option<Arc<Profile>>, Refused> {
        let profile = profile.clone();
        self.shared.read_log(move |engine| engine.log.profile_from(offset, &profile)).await
    }

    /// The newest sessions that are visits of the profile, as it is called there, up to `most`, as the views have them.
    pub async fn sessions_of(&self, profile: &ProfileRef, most: usize) -> Result<Vec<Session>, Refused> {
        let profile = profile.clone();
        let read = move |engine: &Engine| {
            let places = engine.views.visits_of(&profile, crate::model::Place::all()).rev().take(most);
            let sessions = places.map(|place| engine.views.session_numbered(place?.offset));
            sessions.filter_map(Result::transpose).collect()
        };
        self.shared.read(read).await
    }

    /// Whether there may be sessions that the profile, as it was called then, and somebody else had.
    pub async fn shares_sessions(&self, profile: &ProfileRef) -> Result<bool, Refused> {
        Ok(self.newest(Key::SharesSessions(profile.clone())).await?.is_some())
    }

    /// How many sessions a profile of both lists had.
    pub async fn shared_sessions(&self, ones: Vec<ProfileRef>, others: Vec<ProfileRef>) -> Result<u64, Refused> {
        self.applied().await?;
        self.shared.read(move |engine| engine.views.shared_sessions(&ones, &others)).await
    }

    /// Reads states one after the other, each to be known before the next one is sought.
    async fn walk<T: Send + 'static>(
        &self,
        steps: impl FnOnce(&mut Walk<'_>) -> Result<T, Interrupted> + Send + 'static,
    ) -> Result<T, Refused> {
        let (shared, generation) = (self.shared.clone(), self.generation);
        let walked = self.shared.read(move |engine| {
            let mut walk = Walk { shared: &shared, engine, generation, undurable: 0 };
            match steps(&mut walk) {
                Ok(found) => Ok(Ok((found, walk.undurable))),
                Err(Interrupted::Refused(refused)) => Ok(Err(refused)),
                Err(Interrupted::Store(error)) => Err(error),
            }
        });
        let (found, undurable) = walked.await??;
        self.undurable.fetch_max(undurable, Ordering::Relaxed);
        Ok(found)
    }
}

/// Reading states one after the other on a thread that may block.
struct Walk<'a> {
    shared: &'a Shared,
    engine: &'a Engine,
    generation: Generation,
    /// As in [`ReadView`].
    undurable: u64,
}

/// Why a walk did not come to its end.
enum Interrupted {
    Refused(Refused),
    Store(StoreError),
}

impl States for Walk<'_> {
    type Error = Interrupted;

    fn newest(&mut self, key: &Key) -> Result<Option<State>, Interrupted> {
        let queued = self.shared.queue.read(self.generation, key).map_err(Interrupted::Refused)?;
        let Some((end, state)) = queued else { return self.engine.views.state(key).map_err(Interrupted::Store) };
        if end > self.shared.queue.durable_end() {
            self.undurable = self.undurable.max(end);
        }
        Ok(Some(state).filter(|state| *state != State::Gone))
    }
}

/// The newest states, read one after the other.
pub trait States {
    type Error;

    fn newest(&mut self, key: &Key) -> Result<Option<State>, Self::Error>;
}

/// Where an id or a profile leads.
pub enum Led {
    ToProfile(Arc<Profile>),
    /// Nobody has it, or whoever had it was deleted.
    Nowhere,
    /// Through too many merges to follow.
    TooFar,
}

/// Where the profile that was meant leads: to itself, or to whoever took it in.
pub fn owner<S: States>(states: &mut S, profile: &ProfileRef) -> Result<Led, S::Error> {
    match come_to(states, profile)? {
        Place::Profile(found) => Ok(Led::ToProfile(found)),
        Place::Name(name) => follow(states, profile.clone(), name),
        Place::Nothing => Ok(Led::Nowhere),
    }
}

enum Place {
    Profile(Arc<Profile>),
    Name(Name),
    /// It was deleted, whoever has its id now.
    Nothing,
}

/// What stands under the id of a profile that something led to.
fn come_to<S: States>(states: &mut S, profile: &ProfileRef) -> Result<Place, S::Error> {
    if let Some(State::Profile(found)) = states.newest(&Key::Profile(profile.id.clone()))? {
        return Ok(if found.since == profile.since { Place::Profile(found) } else { Place::Nothing });
    }
    match states.newest(&Key::Name(profile.id.clone()))? {
        Some(State::Name(name)) if name.since == profile.since => Ok(Place::Name(name)),
        _ => Ok(Place::Nothing),
    }
}

/// Where a name leads: over shortcuts or, where they may lead astray, merge by merge.
fn follow<S: States>(states: &mut S, start: ProfileRef, name: Name) -> Result<Led, S::Error> {
    let (mut at, mut next) = (start, name.profile.clone());
    for _ in 0..SHORTCUTS_MAX {
        if let Some(State::Leads(further)) = states.newest(&Key::Shortcut(at))? {
            next = further;
        }
        match come_to(states, &next)? {
            Place::Profile(found) if !found.history.was_split => return Ok(Led::ToProfile(found)),
            Place::Name(name) => (at, next) = (next, name.profile),
            Place::Profile(_) | Place::Nothing => break,
        }
    }
    // One of those on the way was split off, or is deleted: shortcuts know nothing of it.
    let mut next = name.profile;
    for _ in 0..MERGES_MAX {
        match come_to(states, &next)? {
            Place::Profile(found) => return Ok(Led::ToProfile(found)),
            Place::Name(name) => next = name.profile,
            Place::Nothing => return Ok(Led::Nowhere),
        }
    }
    Ok(Led::TooFar)
}
