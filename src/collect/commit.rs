//! Everything that a request leads to, queued as one: profile, other names, session, events, and the answer.

use std::sync::Arc;

use super::{Collector, admit::Admitted, identify::Identified, parts::Parts, process::Processed, repeats::Sifted};
use crate::{
    model::{Answer, Debugging, DelayedEvent, EventRequest, Json, Profile, ProfileRef, Time},
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
        let session_id = admitted.incoming.payload.session.clone();
        let mut debugging = Debugging { session_id, ..Debugging::default() };
        let session = debugging.session_id.as_ref().and_then(|id| identified.session(id));
        debugging.session.ids.extend(session.map(|session| session.id.clone()));
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
        self.parts.sessions.iter_mut().for_each(|session| session.saved = false);
        let events = self.parts.records.iter_mut().flat_map(|records| &mut records.events);
        events.for_each(|event| event.saved = false);
        let (_, answer) = self.fix(admitted, Moment { now, offset: 0 });
        answer
    }

    /// Fixes times and offsets: the entries of the log, and the answer that goes out once they are durable.
    pub fn fix(self, admitted: &Admitted, moment: Moment) -> (Vec<Entry>, Vec<u8>) {
        let Self { parts, left, warnings, task, whole_profile, tells_changes } = self;
        let happens = parts.records.iter().any(|records| !records.events.is_empty());
        let Fixed { entries, profile, mut debugging } = Fixed::new(parts, tells_changes, happens, moment);
        if admitted.incoming.trial.is_some() {
            debugging.profile.saved = 0;
        }
        debugging.segment_errors = left.segment_errors().collect();
        debugging.segments = left.segments;
        debugging.execution = left.executions;
        debugging.logs = left.logs;
        let answer = Answer {
            profile,
            whole_profile,
            consent: admitted.source.source.requires_consent,
            warnings,
            response: left.response,
            ux: left.ux,
            debugging: task.map(|task| (task, debugging)),
        };
        (entries, to_json(&answer))
    }
}

/// What the parts of a request lead to, with times and offsets.
pub struct Fixed {
    pub entries: Vec<Entry>,
    /// The profile that it is about, if it is about one.
    pub profile: Option<Profile>,
    pub debugging: Debugging,
}

impl Fixed {
    /// `happens`: a client sent events, so that something happens in their session now.
    pub fn new(parts: Parts<'_>, tells_changes: bool, happens: bool, moment: Moment) -> Self {
        let Parts { records, profiles, sessions } = parts;
        let events: usize = records.iter().map(|records| records.events.len()).sum();
        let list = Vec::with_capacity(events + 4);
        let mut entries =
            Entries { list, moment, tells_changes, happens, request: None, debugging: Debugging::default() };
        let mut whose: Vec<Option<ProfileRef>> = vec![None; records.len()];
        let mut fixed = Vec::with_capacity(profiles.len());
        for mut draft in profiles {
            let parts = std::mem::take(&mut draft.parts);
            let profile = entries.add_profile(draft);
            parts.into_iter().for_each(|part| whose[part] = Some(profile.reference()));
            fixed.push(profile);
        }
        for draft in sessions {
            let profiles: Vec<ProfileRef> = draft.parts.iter().filter_map(|part| whose[*part].clone()).collect();
            entries.add_session(draft, &profiles);
        }
        for (records, profile) in records.into_iter().zip(whose) {
            entries.add_events(records, profile);
        }
        let profile = if fixed.len() == 1 { fixed.pop() } else { None };
        Self { entries: entries.list, profile, debugging: entries.debugging }
    }
}

/// The entries of a request in the making.
struct Entries {
    list: Vec<Entry>,
    moment: Moment,
    tells_changes: bool,
    happens: bool,
    /// What the latest events have in common.
    request: Option<Arc<EventRequest>>,
    debugging: Debugging,
}

impl Entries {
    /// Adds the events of a part with what they have in common.
    fn add_events(&mut self, records: Records<'_>, profile: Option<ProfileRef>) {
        let mut request = records.request;
        request.inserted = self.moment.now;
        request.profile_less = profile.is_none();
        request.profile = profile;
        if records.anonymous {
            request.profile = None;
            request.session = None;
            request.context = Json::empty_object();
            request.client = Arc::default();
        }
        for event in records.delayed {
            let (session, profile) = (request.session.clone(), request.profile.clone());
            self.list.push(Entry::Delayed(Arc::new(DelayedEvent { session, profile, ..event })));
        }
        if records.events.iter().any(|event| event.saved) && self.request.as_deref() != Some(&request) {
            let request = self.request.insert(Arc::new(request));
            self.list.push(Entry::Request(request.clone()));
        }
        for event in records.events {
            self.add_event(&event);
        }
    }

    fn add_profile(&mut self, draft: ProfileDraft) -> Profile {
        let FixedProfile { profile, alias, absorbed, changed, before } = draft.fix(self.moment.offset, self.moment.now);
        self.debugging.profile.ids.push(profile.id.clone());
        if changed {
            self.debugging.profile.saved += 1;
            let reference = profile.reference();
            let absorbed = absorbed.into_iter().map(|absorbed| Entry::Absorbed { absorbed, by: reference.clone() });
            self.list.extend(absorbed);
            self.list.push(Entry::Profile(Arc::new(profile.clone())));
            let changes = if self.tells_changes { profile.changes_since(before.as_deref()) } else { Vec::new() };
            if !changes.is_empty() {
                self.list.push(Entry::ProfileChanged { profile: reference.clone(), changes });
            }
            self.list.extend(alias.map(|name| Entry::Name { name, profile: reference }));
        }
        profile
    }

    /// `profiles` are those that it had in the request, one after another.
    fn add_session(&mut self, draft: SessionDraft, profiles: &[ProfileRef]) {
        let id = draft.session.id.clone();
        self.debugging.session_id.get_or_insert_with(|| id.clone());
        self.debugging.session.ids.push(id);
        if !draft.saved {
            return;
        }
        let is_new = draft.is_new;
        let mut session = draft.fix();
        if is_new {
            session.number = self.moment.offset + self.list.len() as u64;
            session.inserted = self.moment.now;
        }
        for profile in profiles {
            if session.profile.as_ref() != Some(profile) {
                let earlier = session.profile.replace(profile.clone());
                self.list.extend(earlier.map(|profile| Entry::Visited { session: session.number, profile }));
            }
        }
        session.updated = self.moment.now;
        if self.happens {
            session.touch(self.moment.now);
        }
        self.debugging.session.saved += 1;
        self.list.push(Entry::Session(Arc::new(session)));
    }

    fn add_event(&mut self, event: &EventDraft<'_>) {
        let events = &mut self.debugging.events;
        events.ids.push(event.id.clone());
        events.types.push(event.payload.kind.id.clone());
        if event.saved {
            events.saved += 1;
            self.debugging.stored.push(event.id.clone());
            self.list.push(Entry::Event(Arc::new(event.fixed())));
        }
    }
}

/// The answer as it goes out.
fn to_json(answer: &Answer) -> Vec<u8> {
    serde_json::to_vec(answer).expect("an answer is made of texts, numbers and JSON that was read")
}
