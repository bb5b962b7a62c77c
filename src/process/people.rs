//! Finding profiles while events are processed, under the locks that the request holds.

use std::sync::Arc;

use super::{Ground, Interrupted, identity, records::Records};
use crate::{
    model::{Id, MergeKey, Path, Profile, ProfileRef},
    store::{Held, Key, Refused, Store},
};

/// The stored profiles, as a request may see them: it works on one only while it holds its name.
pub struct People<'a> {
    pub store: &'a Store,
    pub held: &'a Held,
}

impl People<'_> {
    /// The profile that `id` is one of the ids of.
    pub async fn by_id(&self, id: &Id) -> Result<Option<Arc<Profile>>, Interrupted> {
        self.hold(vec![Key::Profile(id.clone())])?;
        let found = find_profile(self.store, id).await?;
        self.held_too(found)
    }

    /// The profile that a merge key leads to.
    pub async fn by_key(&self, key: MergeKey) -> Result<Option<Arc<Profile>>, Interrupted> {
        self.hold(vec![Key::MergeKey(key)])?;
        let found = match self.store.merge_key(key).await? {
            Some(reference) => referred_profile(self.store, &reference).await?,
            None => None,
        };
        self.held_too(found)
    }

    /// Counts the session as a visit of the profile, if it is stored and never had this profile before.
    pub async fn note_visit(&self, records: &mut Records<'_>) -> Result<(), Refused> {
        let (Some(draft), Some(session)) = (&mut records.profile, &records.session) else { return Ok(()) };
        if !session.saved {
            return Ok(());
        }
        let had = !draft.is_new && !session.is_new && {
            let reference = draft.profile.reference();
            session.session.profile.as_ref() == Some(&reference)
                || self.store.has_visited(session.session.number, &reference).await?
        };
        if !had {
            draft.begin_visit(records.now);
        }
        Ok(())
    }

    fn held_too(&self, found: Option<Arc<Profile>>) -> Result<Option<Arc<Profile>>, Interrupted> {
        if let Some(profile) = &found {
            self.hold(vec![Key::Profile(profile.id.clone())])?;
        }
        Ok(found)
    }

    /// Makes sure that the request holds `names`.
    fn hold(&self, mut names: Vec<Key>) -> Result<(), Interrupted> {
        names.retain(|name| !self.held.holds(name));
        if names.is_empty() { Ok(()) } else { Err(Interrupted::Names(names)) }
    }
}

/// What an event that may identify wrote gives the profile the keys that nobody else has.
pub async fn identify(
    ground: &Ground<'_>,
    records: &mut Records<'_>,
    paths: impl Iterator<Item = &Path>,
) -> Result<(), Interrupted> {
    for path in paths {
        let Some(draft) = &records.profile else { return Ok(()) };
        let Some(kind) = identity::kind_at(path) else { continue };
        let key = draft.get(&path.steps()[1..]).and_then(|value| ground.identity.key(kind, value));
        let Some(key) = key.filter(|key| !draft.profile.keys.contains(key)) else { continue };
        if ground.people.by_key(key).await?.is_none()
            && let Some(draft) = &mut records.profile
        {
            draft.add_key(key);
        }
    }
    Ok(())
}

/// The profile that `id` is one of the ids of.
pub async fn find_profile(store: &Store, id: &Id) -> Result<Option<Arc<Profile>>, Refused> {
    if let Some(profile) = store.profile(id).await? {
        return Ok(Some(profile));
    }
    match store.name(id).await? {
        Some(reference) => referred_profile(store, &reference).await,
        None => Ok(None),
    }
}

/// The profile that was meant: not somebody else's who has its id since it was deleted.
pub async fn referred_profile(store: &Store, reference: &ProfileRef) -> Result<Option<Arc<Profile>>, Refused> {
    let profile = store.profile(&reference.id).await?;
    Ok(profile.filter(|profile| profile.since == reference.since))
}
