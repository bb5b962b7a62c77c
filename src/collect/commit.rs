//! Everything that a request leads to, queued as one: profile, other names, session, events, and the answer.

use std::sync::Arc;

use super::{
    Collector,
    admit::Admitted,
    disclosure::Withheld,
    identify::Identified,
    parts::{PartEvents, Parts},
    process::Processed,
    repeats::Sifted,
};
use crate::{
    model::{Answer, Debugging, DelayedEvent, EventRequest, Json, Profile, ProfileRef, Time},
    process::{FixedProfile, Interrupted, ProfileDraft, Rules, SessionDraft, referred_profile},
    store::{Entry, Moment},
};

impl Collector {
    /// The answer to a payload that changes nothing: its events were all registered before.
    pub(super) async fn answer_repeats(
        &self,
        admitted: &Admitted,
        identified: &Identified,
        sifted: Sifted<'_>,
        rules: &Rules,
    ) -> Result<Vec<u8>, Interrupted> {
        let reference = sifted.first_repeat.and_then(|place| place.profile);
        let profile = match &reference {
            Some(reference) => referred_profile(&identified.view, reference).await?,
            None => None,
        };
        let session_id = admitted.incoming.payload.session.clone();
        let mut debugging = Debugging { session_id, ..Debugging::default() };
        let session = debugging.session_id.as_ref().and_then(|id| identified.session(id));
        debugging.session.ids.extend(session.map(|session| session.id.clone()));
        if let Some(profile) = &profile {
            debugging.profile.ids.push(profile.id.clone());
        }
        let mut about = Parts::default();
        about.profiles.extend(profile.clone().map(ProfileDraft::known));
        // What the debugger shows here speaks of nobody.
        let withheld = Withheld { debugging: false, ..self.withheld(admitted, &about, rules, false) };
        let mut warnings = sifted.warnings;
        warnings.extend(withheld.warnings());
        let answer = to_json(&Answer {
            whole_profile: self.answers_whole(admitted, withheld),
            profile,
            consent: admitted.source.source.requires_consent,
            warnings,
            debugging: admitted.debugger.then(|| (self.clock.make_id(), debugging)),
            ..Answer::default()
        });
        Ok(identified.view.answer(answer).await?)
    }
}

impl Processed<'_> {
    /// The answer to a payload that is tried out: what would happen, and that nothing was stored.
    pub fn answer_trial(mut self, admitted: &Admitted, now: Time) -> Vec<u8> {
        let Parts { events, profiles, sessions } = &mut self.parts;
        events.iter_mut().flat_map(|part| &mut part.list).for_each(|event| event.saved = false);
        profiles.iter_mut().for_each(|profile| profile.changed = false);
        sessions.iter_mut().for_each(|session| session.saved = false);
        let (_, answer) = self.fix(admitted, Moment { now, offset: 0 });
        answer
    }

    /// Fixes times and offsets: the entries of the log, and the answer that goes out once they are durable.
    pub fn fix(self, admitted: &Admitted, moment: Moment) -> (Vec<Entry>, Vec<u8>) {
        let Self { parts, left, mut warnings, task, withheld, whole_profile, tells_changes } = self;
        let happens = parts.events.iter().any(|part| !part.list.is_empty());
        warnings.extend(withheld.warnings());
        let mut debugging = task.map(|task| (task, saved(&parts, withheld.debugging)));
        if let Some((_, shown)) = debugging.as_mut().filter(|_| !withheld.debugging) {
            shown.segment_errors = left.segment_errors().collect();
            shown.segments = left.segments;
            shown.execution = left.executions;
            shown.logs = left.logs;
        }
        let Fixed { entries, profile } = Fixed::new(parts, tells_changes, happens, moment);
        let answer = Answer {
            profile,
            whole_profile,
            consent: admitted.source.source.requires_consent,
            warnings,
            response: left.response,
            ux: left.ux,
            debugging,
        };
        (entries, to_json(&answer))
    }
}

/// Which records the parts are about, and how many of them are written. `only_sent`: of the events, only those that the
/// client sent, for what the others are depends on who somebody is.
fn saved(parts: &Parts<'_>, only_sent: bool) -> Debugging {
    let Parts { events, profiles, sessions } = parts;
    let mut debugging =
        Debugging { session_id: sessions.first().map(|draft| draft.session.id.clone()), ..Debugging::default() };
    for event in events.iter().flat_map(|part| &part.list).filter(|event| !only_sent || event.was_sent) {
        debugging.events.ids.push(event.id.clone());
        debugging.events.types.push(event.payload.kind.id.clone());
        debugging.stored.extend(event.saved.then(|| event.id.clone()));
    }
    debugging.events.saved = debugging.stored.len();
    debugging.profile.ids.extend(profiles.iter().map(|draft| draft.profile.id.clone()));
    debugging.profile.saved = profiles.iter().filter(|draft| draft.changed).count();
    debugging.session.ids.extend(sessions.iter().map(|draft| draft.session.id.clone()));
    debugging.session.saved = sessions.iter().filter(|draft| draft.saved).count();
    debugging
}

/// What the parts of a request lead to, with times and offsets.
pub struct Fixed {
    pub entries: Vec<Entry>,
    /// The profile that it is about, if it is about one.
    pub profile: Option<Arc<Profile>>,
}

impl Fixed {
    /// `happens`: a client sent events, so that something happens in their session now.
    pub fn new(parts: Parts<'_>, tells_changes: bool, happens: bool, moment: Moment) -> Self {
        let Parts { events, profiles, sessions } = parts;
        let saved = events.iter().flat_map(|part| &part.list).filter(|event| event.saved).count();
        let changed = profiles.iter().filter(|draft| draft.changed).count();
        let mut entries = Entries {
            list: Vec::with_capacity(saved + 4),
            moment,
            last: (saved + changed).saturating_sub(1) as u64,
            tells_changes,
            happens,
            request: None,
        };
        let mut whose: Vec<Option<ProfileRef>> = vec![None; events.len()];
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
        for (part, profile) in events.into_iter().zip(whose) {
            entries.add_events(part, profile);
        }
        let profile = if fixed.len() == 1 { fixed.pop() } else { None };
        Self { entries: entries.list, profile }
    }
}

/// The entries of a request in the making.
struct Entries {
    list: Vec<Entry>,
    moment: Moment,
    /// The last of its offsets that parts may stand for: there are at least as many entries.
    last: u64,
    tells_changes: bool,
    happens: bool,
    /// What the latest events have in common.
    request: Option<Arc<EventRequest>>,
}

impl Entries {
    /// Adds the events of a part with what they have in common.
    fn add_events(&mut self, part: PartEvents<'_>, profile: Option<ProfileRef>) {
        let PartEvents { mut request, anonymous, list, delayed } = part;
        request.inserted = self.moment.now;
        request.profile_less = profile.is_none();
        request.profile = profile;
        if anonymous {
            request.profile = None;
            request.session = None;
            request.context = Json::empty_object();
            request.client = Arc::default();
        }
        for event in delayed {
            let (session, profile) = (request.session.clone(), request.profile.clone());
            self.list.push(Entry::Delayed(Arc::new(DelayedEvent { session, profile, ..event })));
        }
        if list.iter().any(|event| event.saved) && self.request.as_deref() != Some(&request) {
            let request = self.request.insert(Arc::new(request));
            self.list.push(Entry::Request(request.clone()));
        }
        let saved = list.iter().filter(|event| event.saved);
        self.list.extend(saved.map(|event| Entry::Event(Arc::new(event.fixed()))));
    }

    fn add_profile(&mut self, draft: ProfileDraft) -> Arc<Profile> {
        let FixedProfile { profile, alias, absorbed, changed, before } = draft.fix(self.moment, self.last);
        let profile = Arc::new(profile);
        if changed {
            let reference = profile.reference();
            let absorbed = absorbed.into_iter().map(|absorbed| Entry::Absorbed { absorbed, by: reference.clone() });
            self.list.extend(absorbed);
            self.list.push(Entry::Profile(profile.clone()));
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
        self.list.push(Entry::Session(Arc::new(session)));
    }
}

/// The answer as it goes out.
fn to_json(answer: &Answer) -> Vec<u8> {
    serde_json::to_vec(answer).expect("an answer is made of texts, numbers and JSON that was read")
}
