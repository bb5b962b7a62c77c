//! Whose an event is by what it says of its person, before and while that is written.

use crate::{
    model::{Logs, MergeKey, Path},
    process::{
        Interrupted,
        definitions::event_type::EventType,
        identity::{
            join,
            primary::{self, Decision, PrimaryKeys},
        },
        pipeline::Processing,
        records::ProfileDraft,
    },
};

impl Processing<'_, '_> {
    /// The primary keys that an event names.
    fn named(&self, kind: &EventType, event: usize) -> PrimaryKeys {
        let identity = self.context.identity;
        let said = kind.mapping.said_of_profile(self.records, event, identity.exclusive_places());
        PrimaryKeys::said(identity, &said, self.records.registered().terms.phone_country)
    }

    /// Whose an event is that is not its profile's by the primary keys that it names. It is asked before anything is made of
    /// the event, for the other one's consents may let it be.
    pub(super) async fn other_person(&mut self, event: usize) -> Result<Option<ProfileDraft>, Interrupted> {
        let Some(kind) = self.rules.event_type(self.records.events[event].kind()).filter(|kind| {
            let mut places = self.context.identity.exclusive_places();
            kind.identifies && places.any(|place| kind.mapping.leads_to(place))
        }) else {
            return Ok(None);
        };
        if self.records.profile.is_none()
            || self.records.keeps_profile
            || !self.records.may_identify
            || self.rules.lacks_consent(self.records)
        {
            return Ok(None);
        }
        self.check(event)?;
        if !self.records.events[event].valid {
            return Ok(None);
        }
        let probe = self.records.events[event].untouched();
        self.records.events.push(probe);
        let probe = self.records.events.len() - 1;
        kind.apply_to_event(self.records, probe, &mut Logs::default());
        let named = self.named(kind, probe);
        self.records.events.pop();
        if named.are_none() {
            return Ok(None);
        }
        match primary::decide(self.context, self.records, self.retry, &named).await? {
            Decision::Goes(profile) => Ok(Some(*profile)),
            Decision::Stays(_) => Ok(None),
        }
    }

    /// The places of primary keys that an event names and that are somebody else's: they are not taken.
    pub(super) async fn refused_keys(&mut self, kind: &EventType, event: usize) -> Result<Vec<Path>, Interrupted> {
        let mut places = self.context.identity.exclusive_places();
        if !kind.identifies || !self.records.may_identify || !places.any(|place| kind.mapping.leads_to(place)) {
            return Ok(Vec::new());
        }
        let named = self.named(kind, event);
        if named.are_none() {
            return Ok(Vec::new());
        }
        let refused = match primary::decide(self.context, self.records, self.retry, &named).await? {
            Decision::Stays(refused) => refused,
            // Its profile was given to it, by the client's id or by a workflow, and that counts.
            Decision::Goes(profile) => {
                self.records.others.extend(Some(*profile).filter(|draft| !draft.parts.is_empty()));
                self.records.events[event].note_unidentified();
                self.context.identity.exclusive_places().cloned().collect()
            }
        };
        for place in &refused {
            let why = if self.records.keeps_profile {
                "the source's profile ids are permanent, and the event names somebody else by it"
            } else {
                "it is somebody else's, or the profile has another one"
            };
            self.outcome.warn(format!("{place}: not taken: {why}"));
        }
        Ok(refused)
    }

    /// The addresses and numbers of the profile before an event says others of it.
    pub(super) fn contacts_before(&self, kind: &EventType) -> Vec<(Path, MergeKey)> {
        let mut places = self.context.identity.contact_places();
        let says_some = kind.identifies && places.any(|place| kind.mapping.leads_to(place));
        if says_some { join::contacts(self.context, self.records) } else { Vec::new() }
    }
}
