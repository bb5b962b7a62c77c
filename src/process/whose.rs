//! Whose an event is by what it says of its person, before and while that is written.

use crate::{
    model::{Logs, Path},
    process::{
        Interrupted,
        definitions::event_type::EventType,
        identity::{
            contacts::Contacts,
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
        match Box::pin(primary::decide(self.context, self.records, self.retry, &named)).await? {
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
        let refused = match Box::pin(primary::decide(self.context, self.records, self.retry, &named)).await? {
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

    /// The primary keys of the profile.
    pub(super) fn primary_keys(&self) -> PrimaryKeys {
        let draft = self.records.profile.as_ref();
        draft.map(|draft| PrimaryKeys::of_draft(self.context.identity, draft)).unwrap_or_default()
    }

    /// The primary keys of the profile, if events of the type may write some.
    pub(super) fn primary_keys_led_to(&self, kind: &EventType) -> PrimaryKeys {
        let identity = self.context.identity;
        let speaks_of = |place| kind.mapping.targets_of_profile().any(|path| identity.speaks_of(path, place));
        if identity.exclusive_places().any(speaks_of) { self.primary_keys() } else { PrimaryKeys::default() }
    }

    /// The addresses and numbers of the profile, if events of the type may write some.
    pub(super) fn contacts_led_to(&self, kind: &EventType) -> Contacts {
        let mut places = self.context.identity.contact_places();
        let writes_some = places.any(|place| kind.mapping.leads_to(place));
        if writes_some { Contacts::of(self.context, self.records) } else { Contacts::default() }
    }
}
