//! What happens to the events: builds the records that the request is about, and has them processed.

use std::{borrow::Cow, collections::VecDeque};

use super::{
    Collector,
    admit::Admitted,
    disclosure::Withheld,
    identify::{Identified, Person},
    parts::Parts,
    repeats::{Sifted, SiftedEvent},
};
use crate::{
    model::{EventRequest, Fault, Id, Json, Session, SourceType, Time, landing},
    process::{
        EventDraft, Interrupted, Outcome, People, ProcessContext, Processing, ProfileDraft, Records, Rest, RetryState,
        Rules, SessionDraft,
    },
};

/// A request that is ready but for its time and its place in the log.
pub struct Processed<'a> {
    pub parts: Parts<'a>,
    pub outcome: Outcome,
    pub warnings: Vec<String>,
    /// This request's id, if the answer is to tell.
    pub task: Option<Id>,
    pub withheld: Withheld,
    pub whole_profile: bool,
    /// Somebody wants to know what changes in profiles.
    pub tells_changes: bool,
}

impl Collector {
    /// Does everything that may fail or take long before the request's moment.
    pub(super) async fn process<'a>(
        &self,
        admitted: &'a Admitted,
        identified: &Identified,
        sifted: Sifted<'a>,
        rules: &Rules,
        retry: &mut RetryState,
    ) -> Result<Processed<'a>, Interrupted> {
        let incoming = &admitted.incoming;
        let asks = incoming.dry_run.as_ref().is_none_or(|dry_run| dry_run.lookups);
        let people = People { view: &identified.view, held: &identified.held, searches: &self.searches };
        let context = self.context(&people, asks);
        let (mut parts, mut outcome, mut again) = (Parts::default(), Outcome::new(admitted.debugger), false);
        let sent = in_parts(admitted, sifted.events).into_iter().map(|(place, events)| {
            let events = events.into_iter().map(|SiftedEvent { event, save, place }| {
                let id = event.id.clone().unwrap_or_else(|| retry.event_id(place, &self.clock));
                EventDraft::new(Cow::Borrowed(event), id, save)
            });
            (place, Part::Sent(events.collect()))
        });
        let mut waiting: VecDeque<(usize, Part<'a>)> = sent.collect();
        while let Some((place, part)) = waiting.pop_front() {
            let mut records = self.records(admitted, identified, &mut parts, place, rules, retry)?;
            match part {
                Part::Sent(events) => records.events = events,
                Part::Rest(rest) => Rest { events: records.events, profile: records.profile } = *rest,
            }
            let processing =
                Processing { rules, context: &context, records: &mut records, retry, outcome: &mut outcome };
            if let Err(why) = processing.events(false).await {
                // The others are gone through too, so that it starts again with all names at once.
                retry.note(why, place)?;
                again = true;
            }
            // Where events turned out to be several people's, those of the next one follow.
            records.rest.drain(..).rev().for_each(|rest| waiting.push_front((place, Part::Rest(Box::new(rest)))));
            parts.push(records);
        }
        if again {
            return Err(Interrupted::Again);
        }
        let withheld = self.withheld(admitted, &parts, rules, retry.has_sought());
        let mut warnings = sifted.warnings;
        warnings.append(&mut outcome.warnings);
        Ok(Processed {
            parts,
            outcome,
            warnings,
            task: admitted.full_answer.then(|| self.clock.make_id()),
            withheld,
            whole_profile: self.answers_whole(admitted, withheld),
            tells_changes: rules.tells_changes(),
        })
    }

    /// What processing stands on.
    pub(super) fn context<'a>(&'a self, people: &'a People<'a>, asks: bool) -> ProcessContext<'a> {
        ProcessContext {
            lookups: asks.then_some(&*self.lookups),
            identity: &self.identity,
            clock: &self.clock,
            people,
            loops: &self.loops,
            saves_internal: self.settings.internal_events,
        }
    }

    /// The records of the part that begins at `place`, before anything happens and without its events.
    fn records<'a>(
        &self,
        admitted: &'a Admitted,
        identified: &Identified,
        parts: &mut Parts<'a>,
        place: usize,
        rules: &Rules,
        retry: &mut RetryState,
    ) -> Result<Records<'a>, Interrupted> {
        let payload = &admitted.incoming.payload;
        let now = self.clock.now();
        let request = EventRequest {
            inserted: now,
            source: admitted.source.source.id.clone(),
            session: payload.session.clone(),
            profile: None,
            profile_less: matches!(identified.person, Person::ProfileLess),
            context: payload.context.clone(),
            client: admitted.incoming.client.clone(),
            bot: admitted.bot,
            profile_state: None, // noted with the moment of the request
            imported: false,
        };
        let mut records = Records::new(request, admitted.source.clone(), now, admitted.save_events);
        parts.lend(&mut records);
        records.passed.clone_from(&admitted.passed);
        records.opted_out = admitted.opted_out;
        records.by_webhook = admitted.incoming.endpoint == SourceType::Webhook;
        records.keeps_profile = admitted.source.keeps_profile_ids() && payload.profile.is_some();
        records.may_identify |= admitted.trusted;
        records.may_learn = self.may_learn(admitted);
        records.profile = match &identified.person {
            Person::ProfileLess => None,
            Person::Known(profile) => Some(ProfileDraft::known(profile.clone())),
            Person::New { id, alias } => {
                let id = id.clone().unwrap_or_else(|| retry.new_id(&self.clock));
                Some(ProfileDraft::made(id, alias.clone(), records.part, now))
            }
        };
        let consented = !rules.lacks_consent(&records);
        let mut session = |id: &Id| match parts.take_session(id) {
            Some(session) => Ok(session),
            None => {
                let stored = identified.session(id).map(|session| &**session);
                self.session(admitted, id.clone(), stored, now, consented)
            }
        };
        match (&payload.session, retry.session(place)) {
            (Some(id), _) => records.session = Some(session(id)?),
            (None, Some(id)) => records.attachable = Some(session(id)?),
            (None, None) => {}
        }
        Ok(records)
    }

    /// The session as it goes on with this payload.
    fn session(
        &self,
        admitted: &Admitted,
        id: Id,
        stored: Option<&Session>,
        now: Time,
        consented: bool,
    ) -> Result<SessionDraft, Interrupted> {
        let payload = &admitted.incoming.payload;
        // Where a new one stands in the log is not known yet.
        let made = || Session::new(id, 0, admitted.source.source.channel.clone(), now);
        let mut session = stored.cloned().unwrap_or_else(made);
        let is_new = stored.is_none();
        let before = admitted.source.source.requires_consent.then(|| Box::new(session.clone()));
        if !consented {
            // What the payload says of the client is not kept.
            return Ok(SessionDraft::new(session, admitted.save_session, is_new));
        }
        session.context = self.gathered(&session.context, &payload.context, "context")?;
        session.properties = self.gathered(&session.properties, &payload.properties, "properties")?;
        if let Some(device) = &payload.device {
            session.device = Some(device.clone());
        }
        if is_new {
            let told = session.context.as_str().contains("userAgent");
            session.user_agent = admitted.incoming.client.user_agent.clone().filter(|_| !told);
            // What the payload says of the page goes for all its events, and is another's in the session's next payload.
            let mut contexts = payload.events.iter().map(|event| &event.context).chain([&payload.context]);
            session.landing = contexts.find_map(|context| landing(&session.context, context));
        }
        let mut draft = SessionDraft::new(session, admitted.save_session, is_new);
        draft.before = before;
        Ok(draft)
    }

    /// What a session has of its payloads' `what`, once `more` is written over it.
    fn gathered(&self, before: &Json, more: &Json, what: &str) -> Result<Json, Interrupted> {
        let gathered = before.updated(more);
        let (bytes, most) = (gathered.as_str().len(), self.settings.session_bytes_max);
        if bytes > most {
            let msg = format!("the session would gather {bytes} bytes of {what}, at most {most} are kept");
            return Err(Interrupted::Invalid(Fault::new("value_error", msg).at(what)));
        }
        Ok(gathered)
    }
}

/// Events that are processed together.
enum Part<'a> {
    Sent(Vec<EventDraft<'a>>),
    /// What is another person's than the events before it.
    Rest(Box<Rest<'a>>),
}

/// The events in the parts that they are processed in, each with the place where it begins in the payload.
fn in_parts<'a>(admitted: &Admitted, events: Vec<SiftedEvent<'a>>) -> Vec<(usize, Vec<SiftedEvent<'a>>)> {
    if admitted.incoming.payload.session.is_some() {
        return vec![(0, events)];
    }
    events.into_iter().map(|event| (event.place, vec![event])).collect()
}
