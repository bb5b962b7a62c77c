//! Events, sessions and profiles, one by one (docs/contract.md, section 9).

use std::sync::Arc;

use super::{Admin, retry};
use crate::{
    model::{Id, Json, Profile, Session, ShownEvent},
    process::{find_profile, referred_profile},
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

    /// The session, without its profile if that was deleted; if it was imported, with the parts that are shown as they
    /// came.
    pub async fn session(&self, id: &Id) -> Result<Option<(Session, Option<Json>)>, Refused> {
        let found = retry(|| async {
            let view = self.store.read_view();
            let Some(session) = read_session(&view, id).await? else { return view.answer(None).await };
            let imported = view.imported(session.number).await?;
            view.answer(Some((session, imported))).await
        });
        found.await
    }

    /// The profile that `id` is one of the ids of, and whether it was imported.
    pub async fn profile(&self, id: &Id) -> Result<Option<(Arc<Profile>, bool)>, Refused> {
        let found = retry(|| async {
            let view = self.store.read_view();
            let Some(profile) = find_profile(&view, id).await? else { return view.answer(None).await };
            let imported = view.imported(profile.since).await?.is_some();
            view.answer(Some((profile, imported))).await
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
