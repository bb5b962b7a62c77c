//! What is due by itself: a delayed event, or something scheduled. It takes the way of a request, without a client.
//!
//! What notes that it is done is queued together with what it leads to: it is done once, also across a crash.

use std::{borrow::Cow, sync::Arc};

use super::{Collector, Rejection, Tries, commit::Fixed};
use crate::{
    model::{DefinitionKind, DelayedEvent, EventPayload, EventType, Id, Pass, Profile, ProfileRef, Session, Time},
    process::{
        EventDraft, Ground, Interrupted, Memory, People, ProfileDraft, Records, Rules, SessionDraft, referred_profile,
    },
    store::{Entry, Generation, Held, Key, Pending, Refused},
};

/// How many more names may turn up on the way to a profile.
const NAMES_MAX: usize = 8;

/// Something that is due.
#[derive(Clone, Debug)]
pub enum Due {
    /// The delayed event of this time and number.
    Event { due: Time, number: u64 },
    /// Something scheduled, for a profile or for nobody in particular. `pass` is how far it is then.
    Scheduled { kind: DefinitionKind, id: Id, profile: Option<ProfileRef>, pass: Pass },
}

/// What was due and is done.
pub struct Performed {
    /// Tells when it is durable.
    pub pending: Pending,
    /// What went wrong on the way.
    pub error: Option<String>,
}

/// What is due, with the session and the profile that it is about, as they are while their names are held.
struct Opened {
    generation: Generation,
    held: Held,
    event: Option<Arc<DelayedEvent>>,
    session: Option<SessionDraft>,
    /// `None` also if it was deleted.
    profile: Option<Arc<Profile>>,
}

impl Collector {
    /// Does what is due; `None` if it was done before.
    ///
    /// # Errors
    /// Nothing can be stored now: it is due still.
    pub async fn perform(&self, due: &Due) -> Result<Option<Performed>, Refused> {
        let rules = self.rules.get();
        let (mut memory, mut tries) = (Memory::default(), Tries::default());
        loop {
            match self.attempt_due(due, &rules, &mut memory).await {
                Ok(performed) => return Ok(performed),
                Err(why) => match tries.again(why, &mut memory) {
                    Ok(()) => {}
                    Err(Interrupted::Refused(refused)) => return Err(refused),
                    // What cannot be kept now cannot be kept later: it is done with.
                    Err(why) => return self.note(due, Some(Rejection::from(why).to_string())).await.map(Some),
                },
            }
        }
    }

    async fn attempt_due(
        &self,
        due: &Due,
        rules: &Rules,
        memory: &mut Memory,
    ) -> Result<Option<Performed>, Interrupted> {
        let Some(opened) = self.open_due(due, memory).await? else { return Ok(None) };
        let Opened { generation, held, event, session, profile } = opened;
        if profile.is_none() && due.is_about_somebody(event.as_deref()) {
            return Ok(Some(self.note(due, None).await?)); // who was deleted meanwhile
        }
        let people = People { store: &self.store, held: &held };
        let ground =
            Ground { lookups: Some(&*self.lookups), identity: &self.identity, clock: &self.clock, people: &people };
        let mut records = self.due_records(event.as_deref(), session, profile);
        let mut said = match due {
            Due::Event { .. } => rules.process(&ground, &mut records, memory).await?,
            Due::Scheduled { kind, id, .. } => {
                rules.process_scheduled(&ground, &mut records, memory, (*kind, id)).await?
            }
        };
        let error = said.left.logs.errors().next().map(str::to_owned);
        let delayed = std::mem::take(&mut said.left.delayed);
        let room = self.store.room(records.bytes()).await?;
        let ((), pending) = self.store.push(generation, room, |moment| {
            let mut entries = Fixed::new(records, delayed, rules.tells_changes(), false, moment).entries;
            entries.push(due.done());
            (entries, ())
        })?;
        drop(held);
        Ok(Some(Performed { pending, error }))
    }

    /// Holds the names of what it is about; `None` if it was done before.
    async fn open_due(&self, due: &Due, memory: &Memory) -> Result<Option<Opened>, Refused> {
        let event = match due {
            Due::Event { due, number } => match self.store.delayed(*due, *number).await? {
                Some(event) => Some(event),
                None => return Ok(None),
            },
            Due::Scheduled { .. } => None,
        };
        let profile = match due {
            Due::Event { .. } => event.as_ref().and_then(|event| event.profile.as_ref()),
            Due::Scheduled { profile, .. } => profile.as_ref(),
        };
        let attached = memory.session.as_ref();
        let session_id = attached.or(event.as_ref().and_then(|event| event.session.as_ref()));
        let mut names = memory.names.clone();
        names.push(due.key());
        names.extend(session_id.cloned().map(Key::Session));
        names.extend(profile.map(|profile| Key::Profile(profile.id.clone())));
        for _ in 0..NAMES_MAX {
            let held = self.store.lock(names.clone()).await?;
            let generation = self.store.generation();
            if let Due::Event { due, number } = due
                && self.store.delayed(*due, *number).await?.is_none()
            {
                return Ok(None);
            }
            let profile = match profile {
                Some(reference) => referred_profile(&self.store, reference).await?,
                None => None,
            };
            if let Some(name) = profile.as_ref().map(|profile| Key::Profile(profile.id.clone()))
                && !held.holds(&name)
            {
                names.push(name);
                continue;
            }
            let stored = match session_id {
                Some(id) => self.store.session(id).await?,
                None => None,
            };
            let session = self.due_session(attached, stored, profile.as_deref());
            return Ok(Some(Opened { generation, held, event, session, profile }));
        }
        Err(Refused::Unavailable("the profile's names change too fast".into()))
    }

    /// The session that it happens in: one that a workflow attached, or the stored one, if it is still this profile's.
    fn due_session(
        &self,
        attached: Option<&Id>,
        stored: Option<Arc<Session>>,
        profile: Option<&Profile>,
    ) -> Option<SessionDraft> {
        let is_theirs = |session: &Session| match (&session.profile, profile) {
            (Some(reference), Some(profile)) => profile.is_or_absorbed(reference),
            (None, None) => true,
            _ => attached.is_some(),
        };
        match (stored, attached) {
            (Some(session), _) => is_theirs(&session).then(|| SessionDraft::new((*session).clone(), true, false)),
            (None, Some(id)) => {
                Some(SessionDraft::new(Session::new(id.clone(), 0, None, self.clock.now()), true, true))
            }
            (None, None) => None,
        }
    }

    fn due_records(
        &self,
        event: Option<&DelayedEvent>,
        session: Option<SessionDraft>,
        profile: Option<Arc<Profile>>,
    ) -> Records<'static> {
        // Of a source that is not there any more, it comes from nowhere.
        let source = event.and_then(|event| self.store.source(&event.source));
        let mut records = Records::internal(source, self.clock.now(), event.is_none_or(|event| event.saved));
        records.request.session = session.as_ref().map(|draft| draft.session.id.clone());
        records.request.profile_less = profile.is_none();
        records.profile = profile.map(ProfileDraft::known);
        records.session = session;
        if let Some(event) = event {
            let kind = EventType { id: event.kind.clone(), name: event.name.clone() };
            let payload = EventPayload::internal(kind, event.properties.clone());
            let mut draft = EventDraft::new(Cow::Owned(payload), self.clock.make_id(), records.saves_events);
            draft.depth = event.depth;
            records.events.push(draft);
        }
        records
    }

    /// Notes that it is done, and nothing else.
    async fn note(&self, due: &Due, error: Option<String>) -> Result<Performed, Refused> {
        let room = self.store.room(0).await?;
        let ((), pending) = self.store.push(self.store.generation(), room, |_| (vec![due.done()], ()))?;
        Ok(Performed { pending, error })
    }
}

impl Due {
    /// What is held so that it is done once.
    fn key(&self) -> Key {
        match self {
            Self::Event { due, number } => Key::Delayed { due: *due, number: *number },
            Self::Scheduled { kind, id, .. } => Key::Pass(*kind, id.clone()),
        }
    }

    fn done(&self) -> Entry {
        match self {
            Self::Event { due, number } => Entry::DelayedDone { due: *due, number: *number },
            Self::Scheduled { kind, id, pass, .. } => Entry::Passed { kind: *kind, id: id.clone(), pass: pass.clone() },
        }
    }

    fn is_about_somebody(&self, event: Option<&DelayedEvent>) -> bool {
        match self {
            Self::Event { .. } => event.is_some_and(|event| event.profile.is_some()),
            Self::Scheduled { profile, .. } => profile.is_some(),
        }
    }
}
