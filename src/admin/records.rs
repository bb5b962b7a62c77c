//! Events, sessions and profiles, one by one (contract, section 9).

use std::sync::Arc;

use super::{Admin, retry};
use crate::{
    model::{Id, Profile, Session, ShownEvent},
    process::{find_profile, referred_profile},
    store::{Entry, Key, Refused},
};

impl Admin {
    /// The event with this id, from `source` if two share it.
    pub async fn event(&self, id: &Id, source: Option<&Id>) -> Result<Option<ShownEvent>, Refused> {
        let found = retry(|| self.store.event(id, source)).await?;
        Ok(found.map(|(_, event)| event))
    }

    /// The session, without its profile if that was deleted.
    pub async fn session(&self, id: &Id) -> Result<Option<Session>, Refused> {
        retry(|| self.read_session(id)).await
    }

    /// The profile that `id` is one of the ids of.
    pub async fn profile(&self, id: &Id) -> Result<Option<Arc<Profile>>, Refused> {
        retry(|| async {
            let found = find_profile(&self.store, id).await?;
            self.store.settled().await.map(|()| found)
        })
        .await
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

    async fn read_session(&self, id: &Id) -> Result<Option<Session>, Refused> {
        let session = self.store.session(id).await?;
        let mut session = session.map(|session| (*session).clone());
        if let Some(session) = &mut session
            && let Some(reference) = &session.profile
            && referred_profile(&self.store, reference).await?.is_none()
        {
            session.profile = None;
        }
        self.store.settled().await.map(|()| session)
    }

    async fn try_delete_event(&self, id: &Id, source: Option<&Id>) -> Result<bool, Refused> {
        let Some((offset, _)) = self.store.event(id, source).await? else { return Ok(false) };
        let decided = self.decide(vec![Key::DeletedEvent(offset)]).await?;
        if self.store.is_deleted_event(offset).await? {
            return self.nothing().await;
        }
        self.write(decided, vec![Entry::EventDeleted(offset)]).await
    }

    async fn try_delete_session(&self, id: &Id) -> Result<bool, Refused> {
        let decided = self.decide(vec![Key::Session(id.clone())]).await?;
        if self.store.session(id).await?.is_none() {
            return self.nothing().await;
        }
        self.write(decided, vec![Entry::SessionDeleted(id.clone())]).await
    }

    async fn try_delete_profile(&self, id: &Id) -> Result<bool, Refused> {
        let Some(seen) = find_profile(&self.store, id).await? else { return self.nothing().await };
        let names = |profile: &Profile| {
            let mut names = vec![Key::Profile(id.clone()), Key::Profile(profile.id.clone())];
            names.extend(profile.aliases.iter().map(|alias| Key::Profile(alias.id.clone())));
            names
        };
        let decided = self.decide(names(&seen)).await?;
        let Some(profile) = find_profile(&self.store, id).await? else { return self.nothing().await };
        if !names(&profile).iter().all(|name| decided.held.holds(name)) {
            return Err(Refused::Stale); // it was given another name before the locks were there
        }
        let other_names = profile.aliases.iter().map(|alias| alias.id.clone()).collect();
        let (id, keys) = (profile.id.clone(), profile.keys.clone());
        self.write(decided, vec![Entry::ProfileDeleted { id, names: other_names, keys }]).await
    }
}
