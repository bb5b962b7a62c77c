//! Finding profiles while events are processed, under the locks that the request holds.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::MutexGuard;

use crate::{
    model::{DefinitionKind, Id, MergeKey, Path, Profile, ProfileRef, Session, Value},
    process::{
        Interrupted,
        identity::blocked::blocked_key_id,
        records::{ProfileDraft, Records, Visits},
    },
    store::{Held, Key, ReadView, Refused},
};

/// How long all profiles are looked through, and how many are read at a time.
const SEARCH_MAX: Duration = Duration::from_secs(2);
const SEARCH_STEP: usize = 1_000;
/// How long nobody looks through them again once that took too long: requests wait meanwhile, and hold names.
const SEARCH_PAUSE: Duration = Duration::from_secs(60);

/// Searches through all profiles: one at a time, and for a while none where there are too many.
#[derive(Default)]
pub struct Searches {
    turn: tokio::sync::Mutex<()>,
    refused_until: Mutex<Option<Instant>>,
}

impl Searches {
    /// The turn to search, and until when; `None`: there are too many profiles, or too many who search.
    async fn begin(&self) -> Option<(MutexGuard<'_, ()>, Instant)> {
        let until = Instant::now() + SEARCH_MAX;
        if self.is_refused() {
            return None;
        }
        let turn = tokio::time::timeout(SEARCH_MAX, self.turn.lock()).await.ok()?;
        (!self.is_refused()).then_some((turn, until))
    }

    fn is_refused(&self) -> bool {
        self.refused_until.lock().is_some_and(|until| Instant::now() < until)
    }

    fn refuse(&self) {
        *self.refused_until.lock() = Some(Instant::now() + SEARCH_PAUSE);
    }
}

/// The stored profiles, as a request may see them: it works on one only while it holds its name.
pub struct People<'a> {
    pub view: &'a ReadView,
    pub held: &'a Held,
    pub searches: &'a Searches,
}

impl People<'_> {
    /// The profile that `id` is one of the ids of.
    pub async fn by_id(&self, id: &Id) -> Result<Option<Arc<Profile>>, Interrupted> {
        self.hold(vec![Key::Profile(id.clone())])?;
        let found = find_profile(self.view, id).await?;
        self.held_too(found)
    }

    /// The profile that a merge key leads to.
    pub async fn by_key(&self, key: MergeKey) -> Result<Option<Arc<Profile>>, Interrupted> {
        if self.is_blocked(key) {
            return Ok(None);
        }
        self.hold(vec![Key::MergeKey(key)])?;
        let found = match self.view.merge_key(key).await? {
            Some(reference) => referred_profile(self.view, &reference).await?,
            None => None,
        };
        self.held_too(found)
    }

    /// Whether the key joined too many people, so that it finds nobody.
    pub fn is_blocked(&self, key: MergeKey) -> bool {
        self.view.has_definition(DefinitionKind::BlockedKey, &blocked_key_id(key))
    }

    /// The one profile that has `value` at `path`; all of them are looked through, under the value's `name`, so that
    /// two requests do not make two profiles of it.
    ///
    /// # Errors
    /// The inner error: there are several, or too many profiles to look through. Once there are, that is said at once for
    /// a while.
    pub async fn by_field(
        &self,
        name: MergeKey,
        path: &Path,
        value: &Value,
    ) -> Result<Result<Option<Arc<Profile>>, String>, Interrupted> {
        self.hold(vec![Key::MergeKey(name)])?;
        self.view.applied().await?;
        let too_many = || format!("there are too many profiles to look through for {path}; make it a merge key");
        let Some((_turn, until)) = self.searches.begin().await else { return Ok(Err(too_many())) };
        let text = value.to_text();
        // As it stands within a JSON string: most profiles do not have it anywhere.
        let within = Value::text(&text).to_json();
        let within: Arc<str> = within.as_str().trim_matches('"').into();
        let has = |profile: &Profile| {
            Value::from(&profile.facts).get(&path.steps()[1..]).is_some_and(|found| found.to_text() == text)
        };
        let (mut found, mut after): (Option<Arc<Profile>>, Option<Id>) = (None, None);
        loop {
            let (some, last) = self.view.profiles_holding(&within, after, SEARCH_STEP).await?;
            for profile in some.into_iter().filter(|profile| has(profile)) {
                if found.replace(profile).is_some() {
                    return Ok(Err(format!("{path}: more than one profile has this value")));
                }
            }
            if last.is_none() {
                return self.held_too(found).map(Ok);
            }
            after = last;
            if Instant::now() > until {
                self.searches.refuse();
                return Ok(Err(too_many()));
            }
        }
    }

    /// Counts the session as a visit of the profile, if it is stored and never had this profile before: `true` then.
    pub async fn note_visit(&self, records: &mut Records<'_>) -> Result<bool, Refused> {
        let (Some(draft), Some(session)) = (&mut records.profile, &records.session) else { return Ok(false) };
        if !session.saved || draft.has_begun(&session.session.id) {
            return Ok(false);
        }
        let begins = draft.is_new || session.is_new || !self.has_visited(&session.session, draft).await?;
        if begins {
            draft.begin_visit(session.session.id.clone(), records.now);
        }
        Ok(begins)
    }

    /// The session that the profile had before the one that is processed.
    pub async fn previous_session(&self, records: &Records<'_>) -> Result<Option<Arc<Session>>, Refused> {
        let Some(draft) = &records.profile else { return Ok(None) };
        let current = records.session.as_ref().map(|session| &session.session.id);
        let visits = draft.profile.latest_visits.iter().flatten();
        let Some(before) = visits.map(|visit| &visit.session).find(|id| Some(*id) != current) else { return Ok(None) };
        let Some(session) = self.view.session(before).await? else { return Ok(None) };
        // Its id may have been used again by somebody else.
        let Some(reference) = &session.profile else { return Ok(None) };
        Ok(self.leads_to(reference, draft).await?.then_some(session))
    }

    /// Whether the profile that is meant is that of the draft by now.
    async fn leads_to(&self, reference: &ProfileRef, draft: &ProfileDraft) -> Result<bool, Refused> {
        if draft.is_or_took_in(reference) {
            return Ok(true);
        }
        let found = referred_profile(self.view, reference).await?;
        Ok(found.is_some_and(|found| draft.is_or_took_in(&found.reference())))
    }

    /// Whether the session ever had the profile, or one that it took in: of those, the newest are looked for.
    async fn has_visited(&self, session: &Session, draft: &ProfileDraft) -> Result<bool, Refused> {
        if let Some(current) = &session.profile
            && self.leads_to(current, draft).await?
        {
            return Ok(true);
        }
        let profile = &draft.profile;
        if self.view.has_visited(session.number, &profile.reference()).await? {
            return Ok(true);
        }
        if profile.aliases.is_empty() || !self.may_share_sessions(profile).await? {
            return Ok(false);
        }
        for name in known_as(profile).skip(1) {
            if self.view.has_visited(session.number, &name).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether there may be sessions that the profile, or one that it took in, and somebody else had.
    async fn may_share_sessions(&self, profile: &Profile) -> Result<bool, Refused> {
        Ok(profile.shares_sessions || self.view.shares_sessions(&profile.reference()).await?)
    }

    /// What becomes of the visits when two drafts become one.
    pub async fn visits_of_both(&self, draft: &ProfileDraft, other: &ProfileDraft) -> Result<Visits, Refused> {
        let mut visits = Visits { shared: 0, are_shared: false, begun: Vec::new() };
        if !draft.is_new && !other.is_new {
            let of_one = self.may_share_sessions(&draft.profile).await?;
            let of_other = self.may_share_sessions(&other.profile).await?;
            visits.are_shared = of_one || of_other;
            // A session that both had is one of those of each.
            if of_one && of_other {
                let names = |draft: &ProfileDraft| known_as(&draft.profile).collect();
                visits.shared = self.view.shared_sessions(names(draft), names(other)).await?;
            }
        }
        for id in draft.begun().iter().chain(other.begun().iter().filter(|id| !draft.has_begun(id))) {
            let (had_mine, had_other) =
                (self.has_visited_stored(id, draft).await?, self.has_visited_stored(id, other).await?);
            let (has_mine, has_other) = (had_mine || draft.has_begun(id), had_other || other.has_begun(id));
            visits.shared += u64::from(has_mine && has_other);
            if !had_mine && !had_other {
                visits.begun.push(id.clone());
            }
        }
        Ok(visits)
    }

    /// Whether the session, as it is stored, ever had the profile.
    async fn has_visited_stored(&self, id: &Id, draft: &ProfileDraft) -> Result<bool, Refused> {
        match self.view.session(id).await? {
            Some(session) if !draft.is_new => self.has_visited(&session, draft).await,
            _ => Ok(false),
        }
    }

    fn held_too(&self, found: Option<Arc<Profile>>) -> Result<Option<Arc<Profile>>, Interrupted> {
        if let Some(profile) = &found {
            self.hold(vec![Key::Profile(profile.id.clone())])?;
        }
        Ok(found)
    }

    /// Makes sure that the request holds `names`.
    pub fn hold(&self, mut names: Vec<Key>) -> Result<(), Interrupted> {
        names.retain(|name| !self.held.holds(name));
        if names.is_empty() { Ok(()) } else { Err(Interrupted::Names(names)) }
    }
}

/// The names that sessions may know a profile by: its own, and the newest of the others.
fn known_as(profile: &Profile) -> impl Iterator<Item = ProfileRef> + '_ {
    let names = profile.aliases.iter().rev().map(|alias| ProfileRef { id: alias.id.clone(), since: alias.since });
    std::iter::once(profile.reference()).chain(names)
}

/// The profile that `id` is one of the ids of.
pub async fn find_profile(view: &ReadView, id: &Id) -> Result<Option<Arc<Profile>>, Refused> {
    view.person(id, None).await
}

/// The profile that was meant, or the one that took it in: not somebody else's who has its id since it was deleted.
pub async fn referred_profile(view: &ReadView, reference: &ProfileRef) -> Result<Option<Arc<Profile>>, Refused> {
    view.person(&reference.id, Some(reference.since)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_searches_at_a_time_and_nobody_once_there_are_too_many() {
        let searches = Searches::default();
        let first = searches.begin().await;
        assert!(first.is_some());
        assert!(searches.begin().await.is_none(), "the first one did not end in time");
        drop(first);
        assert!(searches.begin().await.is_some());
        searches.refuse();
        assert!(searches.begin().await.is_none());
    }
}
