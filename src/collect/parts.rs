//! The parts of a request: its events with what they are about.
//!
//! The events of a session are one part. Those of a list without a session may be about different people: each is a
//! part of its own, which goes on with the profiles and sessions as the parts before left them.

use crate::{
    model::{DelayedEvent, EventRequest, Id},
    process::{EventDraft, ProfileDraft, Records, SessionDraft},
};

#[derive(Default)]
pub struct Parts<'a> {
    /// The events of each part.
    pub events: Vec<PartEvents<'a>>,
    /// The profiles that the parts are about; each knows of which.
    pub profiles: Vec<ProfileDraft>,
    /// The sessions that the parts happened in; each knows which.
    pub sessions: Vec<SessionDraft>,
}

/// The events of a part, with what they have in common but for their profile and session.
pub struct PartEvents<'a> {
    pub request: EventRequest,
    /// They are stored without what tells whose they are.
    pub anonymous: bool,
    pub list: Vec<EventDraft<'a>>,
    /// Those that are to happen later.
    pub delayed: Vec<DelayedEvent>,
}

impl<'a> Parts<'a> {
    /// Lets the next part see what the others are about.
    pub fn lend(&mut self, records: &mut Records<'a>) {
        records.part = self.events.len();
        records.first_event = self.events.iter().map(|part| part.list.len()).sum();
        records.turn_to(0);
        records.others = std::mem::take(&mut self.profiles);
    }

    /// The session of this id, as the parts before left it.
    pub fn take_session(&mut self, id: &Id) -> Option<SessionDraft> {
        let place = self.sessions.iter().position(|draft| draft.session.id == *id)?;
        Some(self.sessions.remove(place))
    }

    pub fn push(&mut self, records: Records<'a>) {
        let Records { part, profile, others, session, attachable, events, delayed, request, anonymous, .. } = records;
        self.profiles = others;
        if let Some(mut profile) = profile {
            profile.parts.push(part);
            self.profiles.push(profile);
        }
        if let Some(mut session) = session {
            session.parts.push(part);
            self.sessions.push(session);
        }
        // It was not attached after all; other parts may have happened in it.
        self.sessions.extend(attachable.filter(|session| !session.parts.is_empty()));
        self.events.push(PartEvents { request, anonymous, list: events, delayed });
    }
}
