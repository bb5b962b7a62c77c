//! Everything that a request leads to, queued as one: profile, other names, session, events, and the answer.

use std::sync::Arc;

use super::{
    Collector,
    admit::Admitted,
    identify::Identified,
    parts::{PartEvents, Parts},
    process::Processed,
    repeats::Sifted,
};
use crate::{
    model::{
        Answer, Debugging, DelayedEvent, Event, EventRequest, FullAnswer, Json, Profile, ProfileRef, Session, Time,
    },
    process::{EventDraft, Interrupted, PreparedProfile, Rules, referred_profile},
    store::{Entry, Moment, ReadView, Refused},
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
        let session = admitted.incoming.payload.session.clone();
        let mut debugging = Debugging::default();
        let stored = session.as_ref().and_then(|id| identified.session(id));
        debugging.session.ids.extend(stored.map(|session| session.id.clone()));
        if let Some(profile) = &profile {
            debugging.profile.ids.push(profile.id.clone());
        }
        let withheld = self.withheld_of_repeats(admitted, identified, profile.as_ref(), rules);
        let mut warnings = sifted.warnings;
        warnings.extend(withheld.warnings());
        let answer = to_json(&Answer {
            whole_profile: self.answers_whole(admitted, withheld),
            profile,
            consent: admitted.source.source.requires_consent,
            warnings,
            made_session: admitted.made_session(),
            full: admitted.full_answer.then(|| FullAnswer { task: self.clock.make_id(), session, events: Vec::new() }),
            debugging: admitted.debugger.then_some(debugging),
            ..Answer::default()
        });
        Ok(identified.view.answer(answer).await?)
    }
}

impl Processed<'_> {
    /// The answer to a payload that is tried out: what would happen, and that nothing was stored.
    pub async fn answer_trial(mut self, admitted: &Admitted, view: &ReadView, now: Time) -> Result<Vec<u8>, Refused> {
        let Parts { events, profiles, sessions } = &mut self.parts;
        events.iter_mut().flat_map(|part| &mut part.list).for_each(|event| event.saved = false);
        profiles.iter_mut().for_each(|profile| profile.changed = false);
        sessions.iter_mut().for_each(|session| session.saved = false);
        let (prepared, mut answer) = self.prepare(admitted, view).await?;
        answer.profile = prepared.finalize(Moment { now, offset: 0 }).profile;
        view.answer(to_json(&answer)).await
    }

    /// Everything that does not need the request's moment: what it leads to, and the answer but for its profile.
    pub async fn prepare(self, admitted: &Admitted, view: &ReadView) -> Result<(Prepared, Answer), Refused> {
        let Self { parts, outcome, mut warnings, task, withheld, whole_profile, tells_changes } = self;
        let happens = parts.events.iter().any(|part| !part.list.is_empty());
        warnings.extend(withheld.warnings());
        let full = task.map(|task| FullAnswer {
            task,
            session: parts.sessions.first().map(|draft| draft.session.id.clone()),
            events: stored(&parts, withheld.noted).map(|event| event.id.clone()).collect(),
        });
        let mut debugging = admitted.debugger.then(|| saved(&parts, withheld.noted));
        if let Some(shown) = debugging.as_mut().filter(|_| !withheld.debugging) {
            shown.segment_errors = outcome.segment_errors().collect();
            shown.segments = outcome.segments;
            shown.execution = outcome.executions;
            shown.logs = outcome.logs;
        }
        let prepared = Prepared::new(parts, view, tells_changes, happens).await?;
        let answer = Answer {
            profile: None,
            whole_profile,
            consent: admitted.source.source.requires_consent,
            warnings,
            response: outcome.response,
            ux: outcome.ux,
            made_session: admitted.made_session(),
            full,
            debugging,
        };
        Ok((prepared, answer))
    }
}

/// Which records the parts are about, and how many of them are written. `only_sent`: as with [`told`].
fn saved(parts: &Parts<'_>, only_sent: bool) -> Debugging {
    let Parts { profiles, sessions, .. } = parts;
    let mut debugging = Debugging::default();
    debugging.events.ids.extend(stored(parts, only_sent).map(|event| event.id.clone()));
    debugging.events.types.extend(told(parts, only_sent).map(|event| event.payload.kind.id.clone()));
    debugging.events.saved = debugging.events.ids.len();
    debugging.profile.ids.extend(profiles.iter().map(|draft| draft.profile.id.clone()));
    debugging.profile.saved = profiles.iter().filter(|draft| draft.changed).count();
    debugging.session.ids.extend(sessions.iter().map(|draft| draft.session.id.clone()));
    debugging.session.saved = sessions.iter().filter(|draft| draft.saved).count();
    debugging
}

/// The events that an answer may tell of: the client's own, as it sent them, then what the server notes. `only_sent`: none
/// of these, for what they are depends on who somebody is.
fn told<'a>(parts: &'a Parts<'_>, only_sent: bool) -> impl Iterator<Item = &'a EventDraft<'a>> {
    let all = || parts.events.iter().flat_map(|part| &part.list);
    all().filter(|event| event.was_sent).chain(all().filter(move |event| !event.was_sent && !only_sent))
}

/// Those that are stored.
fn stored<'a>(parts: &'a Parts<'_>, only_sent: bool) -> impl Iterator<Item = &'a EventDraft<'a>> {
    told(parts, only_sent).filter(|event| event.saved)
}

/// What the parts of a request lead to, but for its moment: what takes long is done before that.
pub struct Prepared {
    profiles: Vec<PreparedProfile>,
    sessions: Vec<PreparedSession>,
    events: Vec<PreparedEvents>,
    /// A client sent events, so that something happens in their session now.
    happens: bool,
}

/// The session of some parts.
struct PreparedSession {
    session: Session,
    is_new: bool,
    parts: Vec<usize>,
    /// Whose it is so far: the profile that the stored session's leads to by now.
    whose: Option<ProfileRef>,
}

/// The events of a part.
struct PreparedEvents {
    request: EventRequest,
    anonymous: bool,
    list: Vec<Arc<Event>>,
    delayed: Vec<DelayedEvent>,
}

/// What a request leads to, with times and offsets.
pub struct Finalized {
    pub entries: Vec<Entry>,
    /// The profile that it is about, if it is about one.
    pub profile: Option<Arc<Profile>>,
}

impl Prepared {
    pub async fn new(parts: Parts<'_>, view: &ReadView, tells_changes: bool, happens: bool) -> Result<Self, Refused> {
        let Parts { events, profiles, sessions } = parts;
        let profiles: Vec<_> = profiles.into_iter().map(|draft| draft.prepare(tells_changes)).collect();
        let mut prepared = Vec::with_capacity(sessions.len());
        for draft in sessions.into_iter().filter(|draft| draft.saved) {
            let (is_new, parts) = (draft.is_new, draft.parts.clone());
            let session = draft.prepare();
            let whose = match &session.profile {
                Some(earlier) if moves(&profiles, &parts, earlier) => referred_profile(view, earlier).await?,
                _ => None,
            };
            let whose = whose.map(|profile| profile.reference());
            prepared.push(PreparedSession { session, is_new, parts, whose });
        }
        let events = events.into_iter().map(|part| {
            let PartEvents { request, anonymous, list, delayed } = part;
            let saved = list.iter().filter(|event| event.saved);
            PreparedEvents { request, anonymous, list: saved.map(|event| Arc::new(event.fixed())).collect(), delayed }
        });
        Ok(Self { profiles, sessions: prepared, events: events.collect(), happens })
    }

    /// About what it takes in the queue beside a payload: all that a session and a profile gathered is written again.
    pub fn bytes(&self) -> usize {
        let delayed = self.events.iter().flat_map(|part| &part.delayed).map(|event| event.properties.as_str().len());
        let sessions = self.sessions.iter().map(|prepared| prepared.session.bytes());
        let profiles = self.profiles.iter().map(PreparedProfile::bytes);
        sessions.chain(profiles).chain(delayed).sum()
    }

    /// Fills in times and offsets.
    pub fn finalize(self, moment: Moment) -> Finalized {
        let Self { profiles, sessions, events, happens } = self;
        let saved: usize = events.iter().map(|part| part.list.len()).sum();
        let changed: usize = profiles.iter().map(PreparedProfile::entries).sum();
        let mut entries = Entries {
            list: Vec::with_capacity(saved + 4),
            moment,
            last: (saved + changed).saturating_sub(1) as u64,
            happens,
            request: None,
        };
        // The place of each part's profile.
        let mut whose: Vec<Option<usize>> = vec![None; events.len()];
        let mut fixed = Vec::with_capacity(profiles.len());
        for (place, prepared) in profiles.into_iter().enumerate() {
            for part in &prepared.parts {
                whose[*part] = Some(place);
            }
            fixed.push(entries.add_profile(prepared));
        }
        for session in sessions {
            entries.add_session(session, &whose, &fixed);
        }
        let session = events.first().and_then(|part| part.request.session.clone());
        let in_one_session = session.is_some() && events.iter().all(|part| part.request.session == session);
        let last = whose.last().copied().flatten();
        for (part, profile) in events.into_iter().zip(whose) {
            entries.add_events(part, profile.map(|place| &fixed[place]));
        }
        let answered = match last {
            // Of several people in one session, the last event's.
            Some(last) if in_one_session => Some(last),
            _ => (fixed.len() == 1).then_some(0),
        };
        let profile = answered.map(|place| fixed.swap_remove(place).profile);
        Finalized { entries: entries.list, profile }
    }
}

/// Whether the session of these parts, which had the profile `earlier`, has another one with one of them.
fn moves(profiles: &[PreparedProfile], parts: &[usize], earlier: &ProfileRef) -> bool {
    let mut concerned = profiles.iter().filter(|profile| profile.parts.iter().any(|part| parts.contains(part)));
    concerned.any(|profile| !profile.is_or_took_in(earlier))
}

/// A profile that is stored with the request, and those that became part of it.
struct FinalizedProfile {
    profile: Arc<Profile>,
    took_in: Vec<ProfileRef>,
    /// Where its state stands in the log; `None`: it is not stored.
    state: Option<u64>,
}

impl FinalizedProfile {
    fn is_or_took_in(&self, reference: &ProfileRef) -> bool {
        self.profile.id == reference.id && self.profile.since == reference.since || self.took_in.contains(reference)
    }
}

/// The entries of a request in the making.
struct Entries {
    list: Vec<Entry>,
    moment: Moment,
    /// The last of its offsets that parts may stand for: there are at least as many entries.
    last: u64,
    happens: bool,
    /// What the latest events have in common.
    request: Option<Arc<EventRequest>>,
}

impl Entries {
    /// Adds the events of a part with what they have in common.
    fn add_events(&mut self, part: PreparedEvents, profile: Option<&FinalizedProfile>) {
        let PreparedEvents { mut request, anonymous, list, delayed } = part;
        request.inserted = self.moment.now;
        request.profile_less = profile.is_none();
        request.profile = profile.map(|profile| profile.profile.reference());
        request.profile_state = profile.and_then(|profile| profile.state);
        if anonymous {
            request.profile = None;
            request.profile_state = None;
            request.session = None;
            request.context = Json::empty_object();
            request.client = Arc::default();
        }
        for event in delayed {
            let (session, profile) = (request.session.clone(), request.profile.clone());
            self.list.push(Entry::Delayed(Arc::new(DelayedEvent { session, profile, ..event })));
        }
        if !list.is_empty() && self.request.as_deref() != Some(&request) {
            let request = self.request.insert(Arc::new(request));
            self.list.push(Entry::Request(request.clone()));
        }
        self.list.extend(list.into_iter().map(Entry::Event));
    }

    fn add_profile(&mut self, prepared: PreparedProfile) -> FinalizedProfile {
        let is_stored = prepared.is_stored();
        let (profile, entries) = prepared.finalize(self.moment, self.list.len() as u64, self.last);
        let took_in = entries.iter().filter_map(|entry| match entry {
            Entry::Absorbed { absorbed, .. } => Some(absorbed.clone()),
            _ => None,
        });
        let took_in = took_in.collect();
        self.list.extend(entries);
        let state = is_stored.then_some(profile.written);
        FinalizedProfile { profile, took_in, state }
    }

    /// Adds a session with the profiles that it had in the request, one after another.
    fn add_session(&mut self, prepared: PreparedSession, whose: &[Option<usize>], profiles: &[FinalizedProfile]) {
        let PreparedSession { mut session, is_new, parts, whose: mut so_far } = prepared;
        if is_new {
            session.number = self.moment.offset + self.list.len() as u64;
            session.inserted = self.moment.now;
        }
        for profile in parts.iter().filter_map(|part| profiles.get(whose[*part]?)) {
            let now = profile.profile.reference();
            let (before, from) = (session.profile.replace(now.clone()), so_far.replace(now.clone()));
            let Some(earlier) = before.filter(|before| *before != now) else { continue };
            let is_same = |reference: &ProfileRef| profile.is_or_took_in(reference);
            let from = from.filter(|from| !is_same(from) && !is_same(&earlier));
            let moved = from.map(|from| (from, now));
            self.list.push(Entry::Visited { session: session.number, profile: earlier, moved });
        }
        session.updated = self.moment.now;
        if self.happens {
            session.touch(self.moment.now);
        }
        self.list.push(Entry::Session(Arc::new(session)));
    }
}

/// The answer as it goes out.
pub fn to_json(answer: &Answer) -> Vec<u8> {
    serde_json::to_vec(answer).expect("an answer is made of texts, numbers and JSON that was read")
}
