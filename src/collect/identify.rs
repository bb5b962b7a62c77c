//! Whose visit is it? Finds session and profile under locks by name (docs/contract.md, section 4).

use std::sync::Arc;

use super::{Collector, admit::Admitted};
use crate::{
    model::{Id, Profile, Session},
    process::{RetryState, find_profile, referred_profile},
    store::{EventPlace, Held, Key, ReadView, Refused},
};

/// How many more names may turn up on the way to a profile.
const NAMES_MAX: usize = 8;

/// The session and the profile of a request, as they are while it holds their names.
pub struct Identified {
    /// What was read of them.
    pub view: ReadView,
    /// The stored ones of the session that was named, and of those that workflows attached.
    sessions: Vec<Arc<Session>>,
    pub person: Person,
    /// For each event of the payload: where the event stands that its source gave the same id before.
    pub repeats: Vec<Option<EventPlace>>,
    pub held: Held,
}

/// Whose request it is.
pub enum Person {
    /// No profile is made or touched.
    ProfileLess,
    Known(Arc<Profile>),
    New {
        /// The id that a source with permanent profile ids gives.
        id: Option<Id>,
        /// The id that the client will go on sending, kept as another name.
        alias: Option<Id>,
    },
}

impl Identified {
    /// The stored session of this id, if there is one.
    pub fn session(&self, id: &Id) -> Option<&Arc<Session>> {
        self.sessions.iter().find(|session| session.id == *id)
    }
}

impl Collector {
    /// Holds the names that the payload names, and those that turned up when the request was processed before.
    pub(super) async fn identify(&self, admitted: &Admitted, retry: &RetryState) -> Result<Identified, Refused> {
        let payload = &admitted.incoming.payload;
        let source = &admitted.source.source.id;
        let session_ids: Vec<&Id> = payload.session.iter().chain(retry.sessions()).collect();
        let mut names = retry.names.clone();
        names.extend(session_ids.iter().map(|id| Key::Session((*id).clone())));
        names.extend(payload.profile.iter().chain(&admitted.passed).cloned().map(Key::Profile));
        let event_ids = payload.events.iter().filter_map(|event| event.id.clone());
        names.extend(event_ids.map(|id| Key::EventId { id, source: source.clone() }));
        for _ in 0..NAMES_MAX {
            let held = self.store.lock(names.clone()).await?;
            let view = self.store.read_view();
            let mut sessions = Vec::with_capacity(session_ids.len());
            for id in &session_ids {
                sessions.extend(view.session(id).await?);
            }
            let person = self.person(admitted, &view, sessions.first().map(|session| &**session)).await?;
            if let Person::Known(profile) = &person {
                let name = Key::Profile(profile.id.clone());
                if !held.holds(&name) {
                    // Found on the way: taken with the others in sorted order, and everything is looked at again.
                    names.push(name);
                    continue;
                }
            }
            let mut repeats = Vec::with_capacity(payload.events.len());
            for event in &payload.events {
                repeats.push(match &event.id {
                    Some(id) => self.repeat(&view, id, source).await?,
                    None => None,
                });
            }
            return Ok(Identified { view, sessions, person, repeats, held });
        }
        Err(Refused::Unavailable("the profile's names change too fast".into()))
    }

    /// Where the event stands, or stood until it was erased, to which this source gave the id before.
    async fn repeat(&self, view: &ReadView, id: &Id, source: &Id) -> Result<Option<EventPlace>, Refused> {
        if let Some(place) = view.event_id(id, source).await? {
            return Ok(Some(place));
        }
        let erased = view.erased_id(|| self.identity.event_hash(id, source)).await?;
        Ok(erased.map(|offset| EventPlace { offset, profile: None }))
    }

    /// The session's profile wins over the payload's, unless the source's profile ids are permanent.
    async fn person(&self, admitted: &Admitted, view: &ReadView, session: Option<&Session>) -> Result<Person, Refused> {
        let incoming = &admitted.incoming;
        let without_session = incoming.payload.session.is_none();
        if incoming.profile_less || without_session {
            return Ok(Person::ProfileLess);
        }
        let sent = incoming.payload.profile.as_ref();
        if let (true, Some(id)) = (admitted.source.keeps_profile_ids(), sent) {
            return Ok(match find_profile(view, id).await? {
                Some(profile) => Person::Known(profile),
                // Should it turn out to be somebody known, the id leads to them.
                None => Person::New { id: Some(id.clone()), alias: self.remembered(view, id).await? },
            });
        }
        if let Some(reference) = session.and_then(|session| session.profile.as_ref())
            && let Some(profile) = referred_profile(view, reference).await?
        {
            return Ok(Person::Known(profile));
        }
        // Who has no profile of their own is who came with the link.
        for id in sent.into_iter().chain(&admitted.passed) {
            if let Some(profile) = find_profile(view, id).await? {
                return Ok(Person::Known(profile));
            }
        }
        // A forged id must not create or reach a profile. A UUID is one that an earlier answer may have given.
        let given = sent.or(admitted.passed.as_ref()).filter(|id| id.is_uuid());
        let alias = match given {
            Some(id) => self.remembered(view, id).await?,
            None => None,
        };
        Ok(Person::New { id: None, alias })
    }

    /// The id as another name of who is new: none that was erased.
    async fn remembered(&self, view: &ReadView, id: &Id) -> Result<Option<Id>, Refused> {
        let erased = view.erased_id(|| self.identity.profile_hash(id)).await?;
        Ok(erased.is_none().then(|| id.clone()))
    }
}
