//! Everything that a request leads to, queued as one: profile, other names, session, events, and the answer.

use std::sync::Arc;

use super::{Collector, admit::Admitted, identify::Identified, process::Processed, repeats::Sifted};
use crate::{
    model::{Answer, Debugging, DelayedEvent, Json, Profile, ProfileRef, Time},
    process::{EventDraft, FixedProfile, Interrupted, ProfileDraft, Records, SessionDraft, referred_profile},
    store::{Entry, Moment},
};

impl Collector {
    /// The answer to a payload that changes nothing: its events were all registered before.
    pub(super) async fn answer_repeats(
        &self,
        admitted: &Admitted,
        identified: &Identified,
        sifted: Sifted<'_>,
    ) -> Result<Vec<u8>, Interrupted> {
        let options = &admitted.incoming.payload.options;
        let reference = sifted.first_repeat.and_then(|place| place.profile);
        let profile = match &reference {
            Some(reference) => referred_profile(&self.store, reference).await?,
            None => None,
        };
        self.store.settled().await?;
        let mut debugging = Debugging { session_id: identified.session_id.clone(), ..Debugging::default() };
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
            warnings: sifted.warnings,
            debugging: admitted.debugger.then(|| (self.clock.make_id(), debugging)),
            ..Answer::default()
        }))
    }
}

impl Processed<'_> {
    /// The answer to a payload that is tried out: what would happen, and that nothing was stored.
    pub fn answer_trial(mut self, admitted: &Admitted, now: Time) -> Vec<u8> {
        if let Some(draft) = &mut self.records.session {
            draft.saved = false;
        }
        self.records.events.iter_mut().for_each(|event| event.saved = false);
        let (_, answer) = self.fix(admitted, Moment { now, offset: 0 });
        answer
    }

    /// Fixes times and offsets: the entries of the log, and the answer that goes out once they are durable.
    pub fn fix(self, admitted: &Admitted, moment: Moment) -> (Vec<Entry>, Vec<u8>) {
        let Self { records, mut said, warnings, task, whole_profile, tells_changes } = self;
        let happens = !records.events.is_empty();
        let Fixed { entries, profile, mut debugging } =
            Fixed::new(records, std::mem::take(&mut said.left.delayed), tells_changes, happens, moment);
        if admitted.incoming.trial.is_some() {
            debugging.profile.saved = 0;
        }
        debugging.execution = said.left.executions;
        debugging.logs = said.left.logs;
        debugging.segments = said.segments;
        debugging.segment_errors = said.segment_errors;
        let answer = Answer {
            profile,
            whole_profile,
            consent: admitted.source.source.requires_consent,
            warnings,
            response: said.left.response,
            ux: said.left.ux,
            debugging: task.map(|task| (task, debugging)),
        };
        (entries, to_json(&answer))
    }
}

/// What records lead to, with times and offsets.
pub struct Fixed {
    pub entries: Vec<Entry>,
    pub profile: Option<Profile>,
    pub debugging: Debugging,
}

impl Fixed {
    /// `happens`: a client sent events, so that something happens in their session now.
    pub fn new(
        records: Records<'_>,
        delayed: Vec<DelayedEvent>,
        tells_changes: bool,
        happens: bool,
        moment: Moment,
    ) -> Self {
        let mut entries = Entries { list: Vec::with_capacity(records.events.len() + 4), moment };
        let session_id = records.session.as_ref().map(|draft| draft.session.id.clone());
        let mut debugging = Debugging { session_id, ..Debugging::default() };
        let profile = records.profile.map(|draft| entries.add_profile(draft, tells_changes, &mut debugging));
        let reference = profile.as_ref().map(Profile::reference);
        if let Some(draft) = records.session {
            entries.add_session(draft, reference.as_ref(), happens, &mut debugging);
        }
        let mut request = records.request;
        request.inserted = moment.now;
        request.profile_less = reference.is_none();
        request.profile = reference;
        if records.anonymous {
            request.profile = None;
            request.session = None;
            request.context = Json::empty_object();
            request.client = Arc::default();
        }
        for event in delayed {
            let (session, profile) = (request.session.clone(), request.profile.clone());
            entries.list.push(Entry::Delayed(Arc::new(DelayedEvent { session, profile, ..event })));
        }
        if records.events.iter().any(|event| event.saved) {
            entries.list.push(Entry::Request(Arc::new(request)));
        }
        for event in records.events {
            entries.add_event(&event, &mut debugging);
        }
        Self { entries: entries.list, profile, debugging }
    }
}

/// The entries of a request in the making.
struct Entries {
    list: Vec<Entry>,
    moment: Moment,
}

impl Entries {
    fn add_profile(&mut self, draft: ProfileDraft, tells_changes: bool, debugging: &mut Debugging) -> Profile {
        let changes = if tells_changes && draft.changed { draft.changes() } else { Vec::new() };
        let FixedProfile { profile, alias, absorbed, changed } = draft.fix(self.moment.offset, self.moment.now);
        debugging.profile.ids.push(profile.id.clone());
        if changed {
            debugging.profile.saved = 1;
            let reference = profile.reference();
            let absorbed = absorbed.into_iter().map(|absorbed| Entry::Absorbed { absorbed, by: reference.clone() });
            self.list.extend(absorbed);
            self.list.push(Entry::Profile(Arc::new(profile.clone())));
            if !changes.is_empty() {
                self.list.push(Entry::ProfileChanged { profile: reference.clone(), changes });
            }
            self.list.extend(alias.map(|name| Entry::Name { name, profile: reference }));
        }
        profile
    }

    fn add_session(
        &mut self,
        draft: SessionDraft,
        profile: Option<&ProfileRef>,
        happens: bool,
        debugging: &mut Debugging,
    ) {
        debugging.session.ids.push(draft.session.id.clone());
        if !draft.saved {
            return;
        }
        let is_new = draft.is_new;
        let mut session = draft.fix();
        if is_new {
            session.number = self.moment.offset + self.list.len() as u64;
            session.inserted = self.moment.now;
        }
        if let Some(profile) = profile.filter(|profile| session.profile.as_ref() != Some(profile)) {
            let earlier = session.profile.replace(profile.clone());
            self.list.extend(earlier.map(|profile| Entry::Visited { session: session.number, profile }));
        }
        session.updated = self.moment.now;
        if happens {
            session.touch(self.moment.now);
        }
        debugging.session.saved = 1;
        self.list.push(Entry::Session(Arc::new(session)));
    }

    fn add_event(&mut self, event: &EventDraft<'_>, debugging: &mut Debugging) {
        debugging.events.ids.push(event.id.clone());
        debugging.events.types.push(event.payload.kind.id.clone());
        if event.saved {
            debugging.events.saved += 1;
            debugging.stored.push(event.id.clone());
            self.list.push(Entry::Event(Arc::new(event.fixed())));
        }
    }
}

/// The answer as it goes out.
fn to_json(answer: &Answer) -> Vec<u8> {
    serde_json::to_vec(answer).expect("an answer is made of texts, numbers and JSON that was read")
}
