//! What is due by itself: a delayed event, or something scheduled. It takes the way of a request, without a client.
//!
//! What notes that it is done is queued together with what it leads to: it is done once, also across a crash.

use std::{collections::VecDeque, sync::Arc};

use super::{Collector, Rejection, RetryBudget, commit::Prepared, parts::Parts};
use crate::{
    model::{DefinitionKind, DelayedEvent, EventType, Id, Pass, Profile, ProfileRef, Session, Time},
    process::{
        EventDraft, Interrupted, Outcome, People, Processing, ProfileDraft, Records, Rest, RetryState, Rules,
        SessionDraft, referred_profile,
    },
    store::{Entry, Held, Key, Pending, ReadView, Refused},
};

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

/// Why something that was due was not done.
pub enum NotDone {
    /// Nothing can be stored now: it is due still.
    Refused(Refused),
    /// It cannot be done, now or later: whoever asked for it says so, and notes that it is done with.
    Impossible(String),
}

/// What is due, with the session and the profile that it is about, as they are while their names are held.
struct Opened {
    view: ReadView,
    held: Held,
    event: Option<Arc<DelayedEvent>>,
    session: Option<SessionDraft>,
    /// One that a workflow asked for.
    attachable: Option<SessionDraft>,
    /// `None` also if it was deleted.
    profile: Option<Arc<Profile>>,
}

impl Collector {
    /// Does what is due; `None` if it was done before. `retry`: what was asked ahead for it.
    ///
    /// # Errors
    /// It is due still, or can never be done.
    pub async fn perform(&self, due: &Due, retry: RetryState) -> Result<Option<Performed>, NotDone> {
        let (performed, _) = self.go_through(due, retry, true).await;
        performed
    }

    /// Asks external systems what it takes to do what is due, and does nothing: it waits for nobody when it is done, in its
    /// order. What cannot be asked is told then.
    pub async fn ask_ahead(&self, due: &Due) -> RetryState {
        self.go_through(due, RetryState::default(), false).await.1
    }

    async fn go_through(
        &self,
        due: &Due,
        mut retry: RetryState,
        stores: bool,
    ) -> (Result<Option<Performed>, NotDone>, RetryState) {
        let mut budget = RetryBudget::default();
        let performed = loop {
            match self.attempt_due(due, &self.rules.get(), &mut retry, stores).await {
                Ok(performed) => break Ok(performed),
                Err(why) => match budget.again(why, &mut retry) {
                    Ok(()) => {}
                    Err(Interrupted::Refused(refused)) => break Err(NotDone::Refused(refused)),
                    Err(why) => break Err(NotDone::Impossible(Rejection::from(why).to_string())),
                },
            }
        };
        (performed, retry)
    }

    async fn attempt_due(
        &self,
        due: &Due,
        rules: &Arc<Rules>,
        retry: &mut RetryState,
        stores: bool,
    ) -> Result<Option<Performed>, Interrupted> {
        retry.begin();
        let Some(opened) = self.open_due(due, retry, stores).await? else { return Ok(None) };
        let Opened { view, held, event, session, attachable, profile } = opened;
        if profile.is_none() && due.profile(event.as_deref()).is_some() {
            if !stores {
                return Ok(None);
            }
            let pending = self.note(due).await?; // who was deleted meanwhile
            return Ok(Some(Performed { pending, error: None }));
        }
        let people = People { view: &view, held: &held, searches: &self.searches };
        let context = self.context(&people, true);
        let mut records = self.due_records(event.as_deref(), session, profile, retry);
        records.attachable = attachable;
        let mut outcome = Outcome::default();
        let processing = Processing { rules, context: &context, records: &mut records, retry, outcome: &mut outcome };
        match due {
            // Time went by: what a segment's condition holds for may be another.
            Due::Event { .. } => processing.events(true).await?,
            Due::Scheduled { kind, id, .. } => processing.scheduled(*kind, id).await?,
        }
        if !stores {
            return Ok(None);
        }
        self.check_in_force(rules, retry)?;
        let error = outcome.logs.errors().next().map(str::to_owned);
        let outcomes = outcome.outcomes();
        let mut parts = Parts::default();
        let mut waiting = VecDeque::from(std::mem::take(&mut records.rest));
        parts.push(records);
        while let Some(Rest { events, profile }) = waiting.pop_front() {
            // Events that turned out to be another person's go on in the same session.
            let session = event.as_ref().and_then(|event| parts.take_session(event.session.as_ref()?));
            let mut records = self.due_records(event.as_deref(), session, None, retry);
            parts.lend(&mut records);
            (records.events, records.profile) = (events, profile);
            records.request.profile_less = records.profile.is_none();
            let processing =
                Processing { rules, context: &context, records: &mut records, retry, outcome: &mut outcome };
            processing.events(false).await?;
            records.rest.drain(..).rev().for_each(|rest| waiting.push_front(rest));
            parts.push(records);
        }
        let prepared = Prepared::new(parts, &view, rules.tells_changes(), false).await?;
        let permit = self.store.permit(prepared.bytes()).await?;
        let ((), pending) = view.push(permit, |moment| {
            let mut entries = prepared.finalize(moment).entries;
            entries.push(due.done());
            (entries, ())
        })?;
        drop(held);
        self.loops.note(outcome.repeated);
        self.rules.tallies.note_all(outcomes, &self.clock);
        Ok(Some(Performed { pending, error }))
    }

    /// Holds the names of what it is about; `None` if it was done before.
    async fn open_due(&self, due: &Due, retry: &RetryState, stores: bool) -> Result<Option<Opened>, Interrupted> {
        let event = delayed_event(&self.store.read_view(), due).await?;
        if event.is_none() && matches!(due, Due::Event { .. }) {
            return Ok(None);
        }
        let reference = due.profile(event.as_deref());
        let session_id = event.as_ref().and_then(|event| event.session.as_ref());
        let mut names = retry.names.clone();
        names.extend(stores.then(|| due.key()));
        names.extend(session_id.into_iter().chain(retry.session(0)).cloned().map(Key::Session));
        names.extend(reference.map(|profile| Key::Profile(profile.id.clone())));
        let held = self.store.lock(names).await?;
        let view = self.store.read_view();
        if event.is_some() && delayed_event(&view, due).await?.is_none() {
            return Ok(None);
        }
        let profile = match reference {
            Some(reference) => referred_profile(&view, reference).await?,
            None => None,
        };
        if let Some(name) = profile.as_ref().map(|profile| Key::Profile(profile.id.clone()))
            && !held.holds(&name)
        {
            return Err(Interrupted::Names(vec![name]));
        }
        let session = match session_id {
            Some(id) => session_of(&view, id, profile.as_deref()).await?,
            None => None,
        };
        let session = session.map(|session| SessionDraft::new((*session).clone(), true, false));
        let attachable = match retry.session(0) {
            Some(id) => Some(self.attachable(&view, id).await?),
            None => None,
        };
        Ok(Some(Opened { view, held, event, session, attachable, profile }))
    }

    /// The session with this id, as it is stored or as it begins.
    async fn attachable(&self, view: &ReadView, id: &Id) -> Result<SessionDraft, Refused> {
        Ok(match view.session(id).await? {
            Some(session) => SessionDraft::new((*session).clone(), true, false),
            None => SessionDraft::new(Session::new(id.clone(), 0, None, self.clock.now()), true, true),
        })
    }

    fn due_records(
        &self,
        event: Option<&DelayedEvent>,
        session: Option<SessionDraft>,
        profile: Option<Arc<Profile>>,
        retry: &mut RetryState,
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
            let (id, properties) = (retry.event_id(0, &self.clock), event.properties.clone());
            let mut draft = EventDraft::internal(kind, properties, id, records.saves_events);
            draft.emitted = true;
            records.events.push(draft);
            records.chain = event.chain.clone();
        }
        records
    }

    /// Notes that it is done, and nothing else.
    pub async fn note(&self, due: &Due) -> Result<Pending, Refused> {
        let permit = self.store.permit(0).await?;
        let ((), pending) = self.store.read_view().push(permit, |_| (vec![due.done()], ()))?;
        Ok(pending)
    }
}

/// The delayed event that is due, if it is one and did not happen yet.
async fn delayed_event(view: &ReadView, due: &Due) -> Result<Option<Arc<DelayedEvent>>, Refused> {
    match due {
        Due::Event { due, number } => view.delayed(*due, *number).await,
        Due::Scheduled { .. } => Ok(None),
    }
}

/// The session that what is due happens in: as long as it is the profile's, or nobody's.
async fn session_of(view: &ReadView, id: &Id, profile: Option<&Profile>) -> Result<Option<Arc<Session>>, Refused> {
    let Some(session) = view.session(id).await? else { return Ok(None) };
    let is_theirs = match (&session.profile, profile) {
        (Some(reference), Some(profile)) => {
            let whose = referred_profile(view, reference).await?;
            whose.is_some_and(|whose| whose.reference() == profile.reference())
        }
        (None, None) => true,
        _ => false,
    };
    Ok(Some(session).filter(|_| is_theirs))
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

    /// The profile that it is about; `event` is the one that is due.
    fn profile<'a>(&'a self, event: Option<&'a DelayedEvent>) -> Option<&'a ProfileRef> {
        match self {
            Self::Event { .. } => event?.profile.as_ref(),
            Self::Scheduled { profile, .. } => profile.as_ref(),
        }
    }
}
