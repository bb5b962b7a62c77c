//! Finding profiles while events are processed, under the locks that the request holds.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Interrupted,
    records::{ProfileDraft, Records, Visits},
};
use crate::{
    model::{Id, MergeKey, Path, Profile, ProfileRef, Session, Value},
    store::{Held, Key, ReadView, Refused},
};

/// How long all profiles are looked through, and how many are read at a time.
const SEARCH_MAX: Duration = Duration::from_secs(2);
const SEARCH_STEP: usize = 1_000;

/// The stored profiles, as a request may see them: it works on one only while it holds its name.
pub struct People<'a> {
    pub view: &'a ReadView,
    pub held: &'a Held,
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
        self.hold(vec![Key::MergeKey(key)])?;
        let found = match self.view.merge_key(key).await? {
            Some(reference) => referred_profile(self.view, &reference).await?,
            None => None,
        };
        self.held_too(found)
    }

    /// The one profile that has `value` at `path`; all of them are looked through, under the value's `name`, so that
    /// two requests do not make two profiles of it.
    ///
    /// # Errors
    /// The inner error: there are several, or too many profiles to look through.
    pub async fn by_field(
        &self,
        name: MergeKey,
        path: &Path,
        value: &Value,
    ) -> Result<Result<Option<Arc<Profile>>, String>, Interrupted> {
        self.hold(vec![Key::MergeKey(name)])?;
        self.view.applied().await?;
        let until = Instant::now() + SEARCH_MAX;
        let text = value.to_text();
        // As it stands within a JSON string: most profiles do not have it anywhere.
        let within = Value::text(&text).to_json();
        let within = within.as_str().trim_matches('"');
        let has = |profile: &Profile| {
            profile.facts.as_str().contains(within)
                && Value::from(&profile.facts).get(&path.steps()[1..]).is_some_and(|found| found.to_text() == text)
        };
        let (mut found, mut after): (Option<Arc<Profile>>, Option<Id>) = (None, None);
        loop {
            let some = self.view.profiles(after.as_ref(), SEARCH_STEP).await?;
            for profile in some.iter().filter(|profile| has(profile)) {
                if found.replace(profile.clone()).is_some() {
                    return Ok(Err(format!("{path}: more than one profile has this value")));
                }
            }
            match some.last() {
                Some(last) if some.len() == SEARCH_STEP => after = Some(last.id.clone()),
                _ => return self.held_too(found).map(Ok),
            }
            if Instant::now() > until {
                return Ok(Err(format!("there are too many profiles to look for {path}; make it a merge key")));
            }
        }
    }

    /// Counts the session as a visit of the profile, if it is stored and never had this profile before: `true` then.
    pub async fn note_visit(&self, records: &mut Records<'_>) -> Result<bool, Refused> {
        let (Some(draft), Some(session)) = (&mut records.profile, &records.session) else { return Ok(false) };
        if !session.saved || draft.has_begun(&session.session.id) {
            return Ok(false);
        }
        let begins = draft.is_new || session.is_new || !self.has_visited(&session.session, &draft.profile).await?;
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
        let session = self.view.session(before).await?;
        // Its id may have been used again by somebody else.
        let is_theirs =
            |session: &Arc<Session>| session.profile.as_ref().is_some_and(|it| draft.profile.is_or_absorbed(it));
        Ok(session.filter(is_theirs))
    }

    /// Whether the session ever had the profile, or one that it took in.
    async fn has_visited(&self, session: &Session, profile: &Profile) -> Result<bool, Refused> {
        let current = session.profile.as_ref();
        if current.is_some_and(|current| profile.is_or_absorbed(current)) {
            return Ok(true);
        }
        for reference in profile.references() {
            if self.view.has_visited(session.number, &reference).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What becomes of the visits when a draft and another profile become one; in `begun`, the other one is for the
    /// first time in this request.
    pub async fn visits_of_both(&self, draft: &ProfileDraft, other: &Profile, begun: &[Id]) -> Result<Visits, Refused> {
        let mine: Vec<ProfileRef> = if draft.is_new { Vec::new() } else { draft.profile.references().collect() };
        let mut visits =
            Visits { shared: self.view.shared_sessions(mine, other.references().collect()).await?, begun: Vec::new() };
        for id in draft.begun().iter().chain(begun.iter().filter(|id| !draft.has_begun(id))) {
            let (had_mine, had_other) =
                (self.has_visited_stored(id, &draft.profile).await?, self.has_visited_stored(id, other).await?);
            let (has_mine, has_other) = (had_mine || draft.has_begun(id), had_other || begun.contains(id));
            visits.shared += u64::from(has_mine && has_other);
            if !had_mine && !had_other {
                visits.begun.push(id.clone());
            }
        }
        Ok(visits)
    }

    /// Whether the session, as it is stored, ever had the profile.
    async fn has_visited_stored(&self, id: &Id, profile: &Profile) -> Result<bool, Refused> {
        match self.view.session(id).await? {
            Some(session) => self.has_visited(&session, profile).await,
            None => Ok(false),
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

/// The profile that `id` is one of the ids of.
pub async fn find_profile(view: &ReadView, id: &Id) -> Result<Option<Arc<Profile>>, Refused> {
    if let Some(profile) = view.profile(id).await? {
        return Ok(Some(profile));
    }
    match view.name(id).await? {
        Some(reference) => referred_profile(view, &reference).await,
        None => Ok(None),
    }
}

/// The profile that was meant, or the one that took it in: not somebody else's who has its id since it was deleted.
pub async fn referred_profile(view: &ReadView, reference: &ProfileRef) -> Result<Option<Arc<Profile>>, Refused> {
    let found = match view.profile(&reference.id).await? {
        Some(profile) => Some(profile),
        None => match view.name(&reference.id).await? {
            Some(by) => view.profile(&by.id).await?.filter(|profile| profile.since == by.since),
            None => None,
        },
    };
    Ok(found.filter(|profile| profile.is_or_absorbed(reference)))
}
