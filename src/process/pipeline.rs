//! How the events of a request go through what is set up. What few of them come to waits on the heap, so that the others do
//! not carry its room with them.

use crate::{
    model::{DefinitionKind, EventStatus, Id, Json, Object, Value, kind_in},
    process::{
        Interrupted, ProcessContext,
        definitions::{
            consent::{self, CONSENT_UPDATE},
            event_type::{EventType, OnInvalid},
            segment::{self, Crossing},
            workflow::Workflow,
        },
        expression::scope::Scope,
        identity::{attach, join, keys},
        internal_event,
        outcome::{Outcome, RuleOutcome},
        records::{EventDraft, ProfileDraft, Records, SessionDraft},
        retry::RetryState,
        rules::Rules,
        run::Run,
    },
};

/// The type whose events count as a profile's views.
const PAGE_VIEW: &str = "page-view";
/// What the server itself notes.
pub const PROFILE_SPLIT: &str = "profile-split";
pub const PROFILE_MERGED: &str = "profile-merged";
const PROFILE_CREATED: &str = "profile-created";
const SESSION_OPENED: &str = "session-opened";
const VISIT_STARTED: &str = "visit-started";
const SEGMENT_ENTERED: &str = "segment-entered";
const SEGMENT_LEFT: &str = "segment-left";
/// How often segments may change and start workflows that change them again.
const ROUNDS_MAX: usize = 16;

/// Events on their way through what is set up.
pub struct Processing<'a, 'r> {
    pub rules: &'a Rules,
    pub context: &'a ProcessContext<'a>,
    pub records: &'a mut Records<'r>,
    pub retry: &'a mut RetryState,
    pub outcome: &'a mut Outcome,
}

impl<'r> Processing<'_, 'r> {
    fn reborrow(&mut self) -> Processing<'_, 'r> {
        let Self { rules, context, records, retry, outcome } = self;
        Processing { rules, context, records, retry, outcome }
    }

    /// Processes all events in the records, and those that they lead to. `recheck_segments`: although nothing
    /// changed.
    pub async fn events(mut self, recheck_segments: bool) -> Result<(), Interrupted> {
        if self.records.by_webhook {
            if self.records.registered().terms.profile.is_some() {
                // What does not keep to its schema tells nobody.
                (0..self.records.events.len()).try_for_each(|event| self.check(event))?;
                if let Some(other) = attach::first_of_others(self.context, self.records) {
                    self.records.part_from(other, None);
                }
            }
            let consents = &self.rules.consents;
            Box::pin(attach::attach_by_source(self.context, self.records, self.retry, consents, self.outcome)).await?;
        }
        if self.records.passed.is_some() {
            Box::pin(attach::join_passed(self.context, self.records, self.rules, self.outcome)).await?;
        }
        if !self.records.events.is_empty()
            && let Some(profile) = self.other_person(0).await?
        {
            self.records.change_profile(Some(profile));
        }
        let beginnings = self.beginnings(true, true).await?;
        self.records.events.splice(0..0, beginnings);
        self.go_through(recheck_segments).await
    }

    /// Does what is scheduled, for the profile in the records if there is one, and what it leads to.
    pub async fn scheduled(mut self, kind: DefinitionKind, id: &Id) -> Result<(), Interrupted> {
        // Who looked for whom it concerns has told what cannot be evaluated.
        let is_due = self.rules.concerns(kind, id, self.records).unwrap_or(false);
        if let Some(deleted) = self.rules.deleted_segments.iter().find(|segment| segment.id == *id)
            && is_due
            && kind == DefinitionKind::DeletedSegment
        {
            let crossing = deleted.leave(self.records, &mut self.outcome.logs);
            Box::pin(self.crossing(&crossing)).await?;
        }
        if let Some(workflow) = self.rules.workflows.iter().find(|workflow| workflow.id == *id)
            && is_due
            && kind == DefinitionKind::Workflow
        {
            Box::pin(Run::new(self.reborrow(), None, None).workflow(workflow)).await?;
        }
        self.go_through(is_due && kind == DefinitionKind::Segment).await
    }

    /// What begins with the `profile` and the `session` in the records, if they have just come there: events like any
    /// other, for those who set something up for them.
    async fn beginnings(&mut self, profile: bool, session: bool) -> Result<Vec<EventDraft<'r>>, Interrupted> {
        let visits = self.context.people.note_visit(self.records).await?;
        let is_created = |draft: &ProfileDraft| draft.is_new && draft.parts.is_empty();
        let is_opened = |draft: &SessionDraft| draft.is_new && draft.saved && draft.parts.is_empty();
        let beginnings = [
            (PROFILE_CREATED, profile && self.records.profile.as_ref().is_some_and(is_created)),
            (SESSION_OPENED, session && self.records.session.as_ref().is_some_and(is_opened)),
            (VISIT_STARTED, visits),
        ];
        let noted = beginnings
            .into_iter()
            .filter(|(kind, begun)| *begun && (self.context.saves_internal || self.rules.listens(kind)));
        let saved = self.context.saves_internal && self.records.saves_events;
        Ok(noted.map(|(kind, _)| internal_event(self.context, kind, Json::empty_object(), saved)).collect())
    }

    async fn go_through(&mut self, recheck_segments: bool) -> Result<(), Interrupted> {
        let (mut next, mut again) = (0, false);
        for _ in 0..ROUNDS_MAX {
            while next < self.records.events.len() && self.outcome.has_time().await {
                self.records.turn_to(next);
                let done = match self.other_person(next).await {
                    Ok(Some(profile)) => {
                        self.records.part_from(next, Some(profile));
                        continue;
                    }
                    Ok(None) => self.event(next).await,
                    Err(why) => Err(why),
                };
                let done = match done {
                    Ok(()) if !again => self.workflows(next).await,
                    told => told,
                };
                match done {
                    Err(Interrupted::Names(names)) => {
                        // What the others tell is listened to, so that it starts again with all names at once.
                        self.retry.names.extend(names);
                        again = true;
                    }
                    done => done?,
                }
                next += 1;
            }
            if again {
                return Err(Interrupted::Again);
            }
            let changed = self.records.profile.as_ref().is_some_and(|draft| draft.changed);
            if self.rules.segments.is_empty() || !(changed || recheck_segments) {
                break;
            }
            let crossings = segment::update(&self.rules.segments, self.records, self.outcome);
            if crossings.is_empty() {
                break;
            }
            for crossing in &crossings {
                Box::pin(self.crossing(crossing)).await?;
            }
        }
        for event in &mut self.records.events[next..] {
            event.status = EventStatus::Error;
            let why = "the request takes too long, or segments and workflows change each other without end";
            self.outcome.logs.error(format!("event {}: stored as it is: {why}", event.id));
        }
        if !self.rules.consents.is_empty() {
            for event in 0..self.records.events.len() {
                self.treat_late(event);
            }
            consent::treat_written(&self.rules.consents, self.records, &mut self.outcome.logs);
        }
        if self.rules.lacks_consent(self.records) {
            self.anonymise();
        }
        if !self.rules.segments.is_empty() {
            self.outcome.segments.extend(segment::members(self.records));
        }
        Ok(())
    }

    /// What an event means for itself, its session and its profile.
    async fn event(&mut self, event: usize) -> Result<(), Interrupted> {
        self.outcome.begin();
        self.check(event)?;
        if !self.records.events[event].valid {
            return Ok(());
        }
        let kind = self.rules.event_type(self.records.events[event].kind());
        // What is granted right here counts at once.
        if self.records.profile.is_some() && self.records.events[event].kind() != CONSENT_UPDATE {
            consent::treat_sent(&self.rules.consents, self.records, event, &mut self.outcome.logs);
        }
        if let Some(kind) = kind {
            kind.apply_to_event(self.records, event, &mut self.outcome.logs);
        }
        if self.records.session.is_some() {
            self.tell_session(kind, event);
        }
        if self.records.profile.is_some() {
            self.tell_profile(kind, event).await?;
        }
        Ok(())
    }

    /// The workflows that an event starts.
    async fn workflows(&mut self, event: usize) -> Result<(), Interrupted> {
        if !self.records.events[event].valid {
            return Ok(());
        }
        for place in self.rules.started_by(self.records.events[event].kind()) {
            let workflow = &self.rules.workflows[place];
            if starts(workflow, Scope::new(self.records, Some(event)), &self.records.request.source, self.outcome) {
                Box::pin(Run::new(self.reborrow(), Some(event), None).workflow(workflow)).await?;
            }
        }
        Ok(())
    }

    /// Checks an event against its type's schema; one that does not keep to it may be stored and marked. It is where its
    /// sender would learn from a refusal what is known of somebody.
    pub(super) fn check(&mut self, event: usize) -> Result<(), Interrupted> {
        let draft = &self.records.events[event];
        let Some(kind) = self.rules.event_type(draft.kind()).filter(|_| draft.valid) else { return Ok(()) };
        let Err(wrong) = kind.check(self.records, event) else { return Ok(()) };
        if kind.on_invalid == OnInvalid::Reject && !(wrong.is_of_profile && self.is_kept_from_sender()) {
            return Err(Interrupted::NotAccepted(wrong.what));
        }
        self.records.events[event].valid = false;
        self.outcome.logs.warn(wrong.what);
        Ok(())
    }

    /// Whether whoever sent the events must not learn what their profile holds.
    fn is_kept_from_sender(&self) -> bool {
        let is_known = |draft| self.rules.is_known(self.context.identity, draft);
        !self.records.may_learn && self.records.profile.as_ref().is_some_and(is_known)
    }

    /// What an event of a type means for its session, once.
    fn tell_session(&mut self, kind: Option<&EventType>, event: usize) {
        let Some(kind) = kind else { return };
        if !self.rules.lacks_consent(self.records)
            && !std::mem::replace(&mut self.records.events[event].told_session, true)
        {
            kind.mapping.apply_to_session(self.records, event, &mut self.outcome.logs);
        }
    }

    /// Treats what was sent as the profile's consents let it be, after something was made of it.
    fn treat_late(&mut self, event: usize) {
        let treated = consent::treat_sent(&self.rules.consents, self.records, event, &mut self.outcome.logs);
        if !treated.is_empty()
            && let Some(kind) = self.rules.event_type(self.records.events[event].kind())
        {
            kind.mapping.apply_again(self.records, event, &treated, &mut self.outcome.logs);
        }
    }

    /// What an event of a type means for the profile.
    async fn tell_profile(&mut self, kind: Option<&EventType>, event: usize) -> Result<(), Interrupted> {
        let draft = &self.records.events[event];
        if draft.kind() != CONSENT_UPDATE && self.rules.lacks_consent(self.records) {
            return Ok(()); // what it says of somebody is not kept
        }
        if draft.kind() == PAGE_VIEW
            && let Some(profile) = &mut self.records.profile
        {
            profile.count_view();
        }
        if let (Some(zones), Some(profile)) = (self.rules.counted.get(draft.kind()), &mut self.records.profile) {
            for (zone, days) in zones {
                profile.count_event(&kind_in(draft.kind(), *zone), zone.wall(self.records.now), *days);
            }
        }
        let Some(kind) = kind else { return Ok(()) };
        let refused = self.refused_keys(kind, event).await?;
        let (primary_keys, contacts) = (self.primary_keys_led_to(kind), self.contacts_led_to(kind));
        let mut keys = Vec::new();
        let (identity, proven, mut unproven) = (self.context.identity, self.records.may_identify, false);
        let country = self.records.registered().terms.phone_country;
        kind.mapping.apply_to_profile(self.records, event, &mut self.outcome.logs, |operation, path, value, logs| {
            if kind.identifies && !proven && value.is_some_and(|value| identity.is_told_by(path, value)) {
                unproven = true;
                return false;
            }
            if kind.identifies && refused.iter().any(|place| identity.speaks_of(path, place)) {
                return false;
            }
            if let Some(why) = primary_keys.objection(identity, operation, path, value, kind.identifies) {
                logs.warn(format!("{path}: {why}"));
                return false;
            }
            if let Some(value) = value.filter(|_| kind.identifies) {
                keys.extend(identity.keys_in(path, value, country));
            }
            true
        });
        if unproven {
            self.records.events[event].note_unidentified();
        }
        // What tells people apart comes before what joins them.
        keys.sort_by_key(|(place, _)| !identity.is_exclusive(place));
        contacts.let_go(self.context, self.records)?;
        if keys.is_empty() {
            return Ok(());
        }
        Box::pin(join::identify(self.context, self.records, keys, self.outcome)).await
    }

    /// Takes away what tells whose the events are, and what speaks of that person.
    fn anonymise(&mut self) {
        self.records.anonymous = true;
        let named = self.records.registered().terms.profile.as_ref().map(|terms| terms.path.clone());
        for event in &mut self.records.events {
            named.iter().for_each(|path| event.redact(path));
            event.take_back();
            event.redact(&["event", "context"].into_iter().collect());
            let kind = self.rules.event_type(event.kind());
            for path in kind.into_iter().flat_map(|kind| &kind.mapping.personal) {
                if EventDraft::is_sent(path) {
                    event.redact(path);
                } else {
                    event.forget_written(path.split_root().1);
                }
            }
            for part in keys::PERSONAL {
                let steps: Vec<Box<str>> = part.iter().copied().map(Into::into).collect();
                event.forget_written(&steps);
            }
            if event.emitted {
                // What a workflow made of the others.
                event.redact(&["event", "properties"].into_iter().collect());
            }
        }
        for event in &mut self.records.delayed {
            event.properties = Json::empty_object();
        }
        if let Some(session) = &mut self.records.session {
            session.forget_payload();
        }
    }

    /// Events that came without a profile have one from here on: what begins with it, and what they mean for it, is
    /// caught up with.
    pub(in crate::process) async fn catch_up(&mut self, event: Option<usize>) -> Result<(), Interrupted> {
        let beginnings = self.beginnings(true, false).await?;
        self.records.events.iter_mut().for_each(EventDraft::forget_shown);
        self.records.events.extend(beginnings);
        for event in 0..event.map_or(0, |event| event + 1) {
            if self.records.events[event].valid {
                self.treat_late(event);
                let kind = self.rules.event_type(self.records.events[event].kind());
                self.tell_session(kind, event);
                self.tell_profile(kind, event).await?;
            }
        }
        Ok(())
    }

    /// Events that came without a session have one from here on: what begins with it, and what they mean for it, is caught
    /// up with.
    pub(in crate::process) async fn attach_session(
        &mut self,
        session: SessionDraft,
        event: Option<usize>,
    ) -> Result<(), Interrupted> {
        self.records.request.session = Some(session.session.id.clone());
        self.records.session = Some(session);
        let beginnings = self.beginnings(false, true).await?;
        self.records.events.iter_mut().for_each(EventDraft::forget_shown);
        self.records.events.extend(beginnings);
        for event in 0..event.map_or(0, |event| event + 1) {
            if self.records.events[event].valid {
                self.tell_session(self.rules.event_type(self.records.events[event].kind()), event);
            }
        }
        Ok(())
    }

    /// A profile entered or left a segment: that may be an event, and may start workflows.
    async fn crossing(&mut self, crossing: &Crossing) -> Result<(), Interrupted> {
        self.outcome.begin();
        if crossing.event {
            let name = if crossing.entered { SEGMENT_ENTERED } else { SEGMENT_LEFT };
            let mut properties = Object::default();
            properties.insert("segment", Value::text(&crossing.segment.text()));
            let event =
                internal_event(self.context, name, Value::Object(properties).to_json(), self.records.saves_events);
            self.records.events.push(event);
        }
        for workflow in &self.rules.workflows {
            let segments = if crossing.entered { &workflow.on_entering } else { &workflow.on_leaving };
            let segment = crossing.segment.text();
            let scope = Scope::of_crossing(self.records, Some(&segment));
            if segments.iter().any(|id| **id == *segment)
                && starts(workflow, scope, &self.records.request.source, self.outcome)
            {
                Box::pin(Run::new(self.reborrow(), None, Some(&segment)).workflow(workflow)).await?;
            }
        }
        Ok(())
    }
}

/// Whether the workflow takes what comes from this source, and its condition holds.
fn starts(workflow: &Workflow, scope: Scope<'_>, source: &Id, outcome: &mut Outcome) -> bool {
    if !workflow.takes_source(source) {
        return false;
    }
    let Some(condition) = &workflow.condition else { return true };
    condition.holds(&scope.in_zone(workflow.zone)).unwrap_or_else(|error| {
        outcome.logs.error(format!("workflow {}: if: {error}", workflow.id));
        let (kind, id) = (DefinitionKind::Workflow, workflow.id.clone());
        outcome.not_evaluated.push(RuleOutcome { kind, id, error: Some(format!("if: {error}")) });
        false
    })
}
