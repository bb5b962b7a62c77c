//! What happens to the events: builds the records that the request is about, and has them processed.

use std::borrow::Cow;

use super::{
    Collector,
    admit::Admitted,
    identify::{Identified, Person},
    repeats::Sifted,
};
use crate::{
    model::{EventRequest, Fault, Id, Json, Session, landing},
    process::{
        self, EventDraft, Ground, Interrupted, Memory, PROFILE_CREATED, People, ProfileDraft, Records, Rules,
        SESSION_OPENED, SessionDraft, VISIT_STARTED, internal_event,
    },
};

/// A request that is ready but for its time and its place in the log.
pub struct Processed<'a> {
    pub records: Records<'a>,
    pub said: process::Processed,
    pub warnings: Vec<String>,
    /// This request's id, if the answer is to tell.
    pub task: Option<Id>,
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
        memory: &mut Memory,
    ) -> Result<Processed<'a>, Interrupted> {
        let incoming = &admitted.incoming;
        let now = self.clock.now();
        let request = EventRequest {
            inserted: now,
            source: admitted.source.source.id.clone(),
            session: identified.session_id.clone(),
            profile: None,
            profile_less: matches!(identified.person, Person::ProfileLess),
            context: incoming.payload.context.clone(),
            client: incoming.client.clone(),
            bot: admitted.bot,
        };
        let people = People { store: &self.store, held: &identified.held };
        let asks = incoming.trial.is_none_or(|trial| trial.lookups);
        let ground = Ground {
            lookups: asks.then_some(&*self.lookups),
            identity: &self.identity,
            clock: &self.clock,
            people: &people,
        };
        let mut records = Records::new(request, admitted.source.clone(), now, admitted.save_events);
        records.profile = match &identified.person {
            Person::ProfileLess => None,
            Person::Known(profile) => Some(ProfileDraft::known(profile.clone())),
            Person::New { id, alias } => {
                let id = id.clone().unwrap_or_else(|| memory.new_profile(&ground));
                Some(ProfileDraft::made(id, alias.clone(), now))
            }
        };
        records.session = self.session(admitted, identified, &records, !rules.lacks_consent(&records))?;
        people.note_visit(&mut records).await?;
        self.note_beginnings(&ground, rules, &mut records);
        records.events.extend(sifted.events.into_iter().map(|(event, save)| {
            let id = event.id.clone().unwrap_or_else(|| self.clock.make_id());
            EventDraft::new(Cow::Borrowed(event), id, save)
        }));
        let said = rules.process(&ground, &mut records, memory).await?;
        Ok(Processed {
            records,
            said,
            warnings: sifted.warnings,
            task: admitted.debugger.then(|| self.clock.make_id()),
            tells_changes: rules.tells_changes(),
            whole_profile: incoming.payload.options.profile && self.settings.profile,
        })
    }

    /// The session as it goes on with this payload.
    fn session(
        &self,
        admitted: &Admitted,
        identified: &Identified,
        records: &Records<'_>,
        consented: bool,
    ) -> Result<Option<SessionDraft>, Interrupted> {
        let Some(id) = &identified.session_id else { return Ok(None) };
        let payload = &admitted.incoming.payload;
        let mut session = match &identified.session {
            Some(session) => (**session).clone(),
            None => {
                let channel = admitted.source.source.channel.clone();
                // Where it stands in the log is not known yet.
                Session::new(id.clone(), 0, channel, records.now)
            }
        };
        let is_new = identified.session.is_none();
        if !consented {
            // What the payload says of the client is not kept.
            return Ok(Some(SessionDraft::new(session, admitted.save_session, is_new)));
        }
        session.context = self.gathered(&session.context, &payload.context, "context")?;
        session.properties = self.gathered(&session.properties, &payload.properties, "properties")?;
        if let Some(device) = &payload.device {
            session.device = Some(device.clone());
        }
        if is_new {
            let told = session.context.as_str().contains("userAgent");
            session.user_agent = admitted.incoming.client.user_agent.clone().filter(|_| !told);
            session.landing = payload.events.iter().find_map(|event| landing(&session.context, &event.context));
        }
        Ok(Some(SessionDraft::new(session, admitted.save_session, is_new)))
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

    /// What the server itself notes: events like any other, for those who set something up for them.
    fn note_beginnings(&self, ground: &Ground<'_>, rules: &Rules, records: &mut Records<'_>) {
        let profile = records.profile.as_ref();
        let beginnings = [
            (PROFILE_CREATED, profile.is_some_and(|draft| draft.is_new)),
            (SESSION_OPENED, records.session.as_ref().is_some_and(|draft| draft.is_new && draft.saved)),
            (VISIT_STARTED, profile.is_some_and(ProfileDraft::began_visit)),
        ];
        let saved = self.settings.internal_events;
        for (kind, _) in beginnings.into_iter().filter(|(kind, began)| *began && (saved || rules.listens(kind))) {
            let saved = saved && records.saves_events;
            records.events.push(internal_event(ground, kind, Json::empty_object(), saved));
        }
    }
}
