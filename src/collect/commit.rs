//! Everything that a request leads to, queued as one: profile, other names, session, events, and the answer.

use std::sync::Arc;

use super::{
    Collector, Rejection,
    admit::Admitted,
    identify::{Identified, Person, referred_profile},
    process::Processed,
    to_json,
};
use crate::{
    model::{
        Alias, Answer, Debugging, Event, EventPayload, EventRequest, Fault, Id, Json, Outcome, Profile, ProfileRef,
        SavedRecords, Session, landing,
    },
    store::{Entry, Moment},
};

/// A request that is ready but for its time and its place in the log.
pub struct Prepared<'a> {
    person: PreparedPerson,
    session: Option<PreparedSession>,
    /// The events that took effect, each with its id; `true`: to be stored.
    events: Vec<(Id, &'a EventPayload, bool)>,
    views: u64,
    warnings: Vec<String>,
    /// This request's id, if the answer is to tell.
    task: Option<Id>,
    whole_profile: bool,
}

enum PreparedPerson {
    ProfileLess,
    Known(Arc<Profile>),
    New { id: Id, alias: Option<Id> },
}

/// A session that is to be stored.
struct PreparedSession {
    id: Id,
    stored: Option<Arc<Session>>,
    context: Json,
    properties: Json,
    /// Of a new session: the address of a campaign that it began at.
    landing: Option<Box<str>>,
    /// The profile that the request found was this session's before, or is.
    had_profile: bool,
}

impl Collector {
    /// Does everything that may fail or take long before the request's moment.
    pub(super) async fn prepare<'a>(
        &self,
        admitted: &'a Admitted,
        identified: &Identified,
        processed: Processed<'a>,
    ) -> Result<Prepared<'a>, Rejection> {
        let payload = &admitted.incoming.payload;
        let session = match &payload.session {
            Some(id) if admitted.save_session => Some(self.prepare_session(id, admitted, identified).await?),
            _ => None,
        };
        let events = processed.events.into_iter();
        let events =
            events.map(|(event, save)| (event.id.clone().unwrap_or_else(|| self.clock.make_id()), event, save));
        Ok(Prepared {
            person: match &identified.person {
                Person::ProfileLess => PreparedPerson::ProfileLess,
                Person::Known(profile) => PreparedPerson::Known(profile.clone()),
                Person::New { id, alias } => {
                    PreparedPerson::New { id: id.clone().unwrap_or_else(|| self.clock.make_id()), alias: alias.clone() }
                }
            },
            session,
            events: events.collect(),
            views: processed.views,
            warnings: processed.warnings,
            task: admitted.debugger.then(|| self.clock.make_id()),
            whole_profile: payload.options.profile && self.settings.profile,
        })
    }

    async fn prepare_session(
        &self,
        id: &Id,
        admitted: &Admitted,
        identified: &Identified,
    ) -> Result<PreparedSession, Rejection> {
        let payload = &admitted.incoming.payload;
        let stored = identified.session.clone();
        let (context, properties) = match &stored {
            Some(session) => {
                (session.context.updated(&payload.context), session.properties.updated(&payload.properties))
            }
            None => (payload.context.clone(), payload.properties.clone()),
        };
        let gathered = context.as_str().len() + properties.as_str().len();
        if gathered > self.settings.session_bytes_max {
            let most = self.settings.session_bytes_max;
            let msg =
                format!("the session would gather {gathered} bytes of context and properties, at most {most} are kept");
            return Err(Rejection::Invalid(Fault::new("value_error", msg).at("context")));
        }
        let had_profile = match (&stored, &identified.person) {
            (Some(session), Person::Known(profile)) => {
                let profile = profile.reference();
                session.profile.as_ref() == Some(&profile) || self.store.has_visited(session.number, &profile).await?
            }
            _ => false,
        };
        let landing = match &stored {
            Some(_) => None,
            None => payload.events.iter().find_map(|event| landing(&context, &event.context)),
        };
        Ok(PreparedSession { id: id.clone(), stored, context, properties, landing, had_profile })
    }

    /// The answer to a payload that changes nothing: its events were all registered before.
    pub(super) async fn answer_repeats(
        &self,
        admitted: &Admitted,
        identified: &Identified,
        processed: Processed<'_>,
    ) -> Result<Vec<u8>, Rejection> {
        let options = &admitted.incoming.payload.options;
        let reference = processed.first_repeat.and_then(|place| place.profile);
        let profile = match &reference {
            Some(reference) => referred_profile(&self.store, reference).await?,
            None => None,
        };
        self.store.settled().await?;
        let mut debugging = Debugging::new(admitted);
        if let Some(session) = &identified.session {
            debugging.session.ids.push(session.id.clone());
        }
        if let Some(profile) = &profile {
            debugging.profile.ids.push(profile.id.clone());
        }
        Ok(to_json(&Answer {
            profile: profile.map(|profile| (*profile).clone()),
            whole_profile: options.profile && self.settings.profile,
            consent: admitted.source.source.requires_consent,
            warnings: processed.warnings,
            debugging: admitted.debugger.then(|| (self.clock.make_id(), debugging)),
        }))
    }
}

impl Prepared<'_> {
    /// What the session takes in the queue: all that it gathered is written again.
    pub fn session_bytes(&self) -> usize {
        self.session.as_ref().map_or(0, |session| session.context.as_str().len() + session.properties.as_str().len())
    }

    /// Fixes times and offsets: the entries of the log, and the answer that goes out once they are durable.
    pub fn fix(self, admitted: &Admitted, moment: Moment) -> (Vec<Entry>, Vec<u8>) {
        let mut entries = Vec::with_capacity(self.events.len() + 4);
        let mut debugging = Debugging::new(admitted);
        let profile = self.fix_profile(moment, &mut entries, &mut debugging);
        let reference = profile.as_ref().map(Profile::reference);
        self.fix_session(admitted, moment, reference.as_ref(), &mut entries, &mut debugging);
        self.fix_events(admitted, moment, reference, &mut entries, &mut debugging);
        let answer = Answer {
            profile,
            whole_profile: self.whole_profile,
            consent: admitted.source.source.requires_consent,
            warnings: self.warnings,
            debugging: self.task.map(|task| (task, debugging)),
        };
        (entries, to_json(&answer))
    }

    fn fix_profile(&self, moment: Moment, entries: &mut Vec<Entry>, debugging: &mut Debugging) -> Option<Profile> {
        let (mut profile, new_alias, mut changed) = match &self.person {
            PreparedPerson::ProfileLess => return None,
            PreparedPerson::Known(profile) => ((**profile).clone(), None, false),
            PreparedPerson::New { id, alias } => {
                (Profile::new(id.clone(), moment.offset, moment.now), alias.clone(), true)
            }
        };
        if let Some(alias) = &new_alias {
            profile.aliases.push(Alias { id: alias.clone(), since: moment.offset });
        }
        if self.session.as_ref().is_some_and(|session| !session.had_profile) {
            profile.begin_visit(moment.now);
            changed = true;
        }
        changed |= self.views > 0;
        profile.views += self.views;
        debugging.profile.ids.push(profile.id.clone());
        if changed {
            profile.updated = moment.now;
            debugging.profile.saved = 1;
            entries.push(Entry::Profile(Arc::new(profile.clone())));
            entries.extend(new_alias.map(|name| Entry::Name { name, profile: profile.reference() }));
        }
        Some(profile)
    }

    fn fix_session(
        &self,
        admitted: &Admitted,
        moment: Moment,
        profile: Option<&ProfileRef>,
        entries: &mut Vec<Entry>,
        debugging: &mut Debugging,
    ) {
        debugging.session.ids.extend(admitted.incoming.payload.session.clone());
        let Some(prepared) = &self.session else { return };
        let mut session = match &prepared.stored {
            Some(session) => (**session).clone(),
            None => {
                let number = moment.offset + entries.len() as u64;
                let channel = admitted.source.source.channel.clone();
                let mut session = Session::new(prepared.id.clone(), number, channel, moment.now);
                let told = !prepared.context.as_str().contains("userAgent");
                session.user_agent = admitted.incoming.client.user_agent.clone().filter(|_| told);
                session.landing.clone_from(&prepared.landing);
                session
            }
        };
        if let Some(profile) = profile.filter(|profile| session.profile.as_ref() != Some(profile)) {
            let earlier = session.profile.replace(profile.clone());
            entries.extend(earlier.map(|profile| Entry::Visited { session: session.number, profile }));
        }
        session.context = prepared.context.clone();
        session.properties = prepared.properties.clone();
        if let Some(device) = &admitted.incoming.payload.device {
            session.device = Some(device.clone());
        }
        session.updated = moment.now;
        if !self.events.is_empty() {
            session.touch(moment.now);
        }
        debugging.session.saved = 1;
        entries.push(Entry::Session(Arc::new(session)));
    }

    fn fix_events(
        &self,
        admitted: &Admitted,
        moment: Moment,
        profile: Option<ProfileRef>,
        entries: &mut Vec<Entry>,
        debugging: &mut Debugging,
    ) {
        let incoming = &admitted.incoming;
        if self.events.iter().any(|(_, _, save)| *save) {
            entries.push(Entry::Request(Arc::new(EventRequest {
                inserted: moment.now,
                source: admitted.source.source.id.clone(),
                session: incoming.payload.session.clone(),
                profile_less: profile.is_none(),
                profile,
                context: incoming.payload.context.clone(),
                client: incoming.client.clone(),
                bot: admitted.bot,
            })));
        }
        for (id, event, save) in &self.events {
            debugging.events.ids.push(id.clone());
            debugging.events.types.push(event.kind.id.clone());
            if !save {
                continue;
            }
            debugging.events.saved += 1;
            debugging.stored.push(id.clone());
            entries.push(Entry::Event(Arc::new(Event {
                id: id.clone(),
                given: event.id.is_some(),
                kind: event.kind.id.clone(),
                name: event.kind.name.clone(),
                created: event.created,
                properties: event.properties.clone(),
                context: event.context.clone(),
                tags: event.tags.clone(),
                outcome: Outcome::default(),
            })));
        }
    }
}

impl Debugging {
    fn new(admitted: &Admitted) -> Self {
        Self {
            session_id: admitted.incoming.payload.session.clone(),
            stored: Vec::new(),
            session: SavedRecords::default(),
            events: SavedRecords::default(),
            profile: SavedRecords::default(),
        }
    }
}
