//! How the events of a request go through what is set up.

use super::{
    super::{
        EventDraft, Ground, Interrupted, Left, Memory, ProfileDraft, Records, SessionDraft, attach,
        consent::{self, CONSENT_UPDATE},
        event_type::OnInvalid,
        identity, internal_event,
        run::{Outcome, Run},
        scope::Scope,
        segment::{self, Crossing},
        workflow::Workflow,
    },
    Rules,
};
use crate::model::{DefinitionKind, Id, Json, Logs, Object, Path, Value};

/// The type whose events count as a profile's views.
const PAGE_VIEW: &str = "page-view";
/// What the server itself notes.
pub const PROFILE_SPLIT: &str = "profile-split";
const PROFILE_CREATED: &str = "profile-created";
const SESSION_OPENED: &str = "session-opened";
const VISIT_STARTED: &str = "visit-started";
const SEGMENT_ENTERED: &str = "segment-entered";
const SEGMENT_LEFT: &str = "segment-left";
/// How often segments may change and start workflows that change them again.
const ROUNDS_MAX: usize = 4;

impl Rules {
    /// Processes all events in the records, and those that they lead to. `look`: the segments are looked at although
    /// nothing changed.
    pub async fn process(
        &self,
        ground: &Ground<'_>,
        records: &mut Records<'_>,
        memory: &mut Memory,
        left: &mut Left,
        look: bool,
    ) -> Result<(), Interrupted> {
        if records.by_webhook {
            attach::attach_by_source(ground, records, memory, &self.consents, &mut left.logs).await?;
        }
        let is_opened = |draft: &SessionDraft| draft.is_new && draft.saved && draft.parts.is_empty();
        let opened = records.session.as_ref().is_some_and(is_opened);
        let beginnings = self.beginnings(ground, records, opened).await?;
        records.events.splice(0..0, beginnings);
        self.process_events(ground, records, memory, left, look).await
    }

    /// Does what is scheduled, for the profile in the records if there is one, and what it leads to.
    pub async fn process_scheduled(
        &self,
        ground: &Ground<'_>,
        records: &mut Records<'_>,
        memory: &mut Memory,
        left: &mut Left,
        (kind, id): (DefinitionKind, &Id),
    ) -> Result<(), Interrupted> {
        let is_due = self.concerns(kind, id, records);
        if is_due && kind == DefinitionKind::DeletedSegment {
            let crossing = segment::leave(records, id, &mut left.logs);
            self.crossing(ground, records, memory, left, &crossing).await?;
        }
        if let Some(workflow) = self.workflows.iter().find(|workflow| workflow.id == *id)
            && is_due
            && kind == DefinitionKind::Workflow
        {
            Box::pin(Run::new(self, ground, records, memory, left, None, None).workflow(workflow)).await?;
        }
        self.process_events(ground, records, memory, left, is_due && kind == DefinitionKind::Segment).await
    }

    /// What begins with the profile in the records, and with the session if it was `opened`: events like any other, for
    /// those who set something up for them.
    async fn beginnings<'r>(
        &self,
        ground: &Ground<'_>,
        records: &mut Records<'r>,
        opened: bool,
    ) -> Result<Vec<EventDraft<'r>>, Interrupted> {
        let visits = ground.people.note_visit(records).await?;
        let is_created = |draft: &ProfileDraft| draft.is_new && draft.parts.is_empty();
        let beginnings = [
            (PROFILE_CREATED, records.profile.as_ref().is_some_and(is_created)),
            (SESSION_OPENED, opened),
            (VISIT_STARTED, visits),
        ];
        let noted =
            beginnings.into_iter().filter(|(kind, begun)| *begun && (ground.saves_internal || self.listens(kind)));
        let saved = ground.saves_internal && records.saves_events;
        Ok(noted.map(|(kind, _)| internal_event(ground, kind, Json::empty_object(), saved)).collect())
    }

    async fn process_events(
        &self,
        ground: &Ground<'_>,
        records: &mut Records<'_>,
        memory: &mut Memory,
        left: &mut Left,
        look: bool,
    ) -> Result<(), Interrupted> {
        let mut next = 0;
        for _ in 0..ROUNDS_MAX {
            while next < records.events.len() {
                self.event(ground, records, memory, left, next).await?;
                next += 1;
            }
            let changed = records.profile.as_ref().is_some_and(|draft| draft.changed);
            if self.segments.is_empty() || !(changed || look) {
                break;
            }
            let crossings = segment::update(&self.segments, records, left);
            if crossings.is_empty() {
                break;
            }
            for crossing in &crossings {
                self.crossing(ground, records, memory, left, crossing).await?;
            }
        }
        if next < records.events.len() {
            left.logs.error(
                "segments and workflows change each other without end: the last events are stored as they are".into(),
            );
        }
        if !self.consents.is_empty() {
            for event in 0..records.events.len() {
                self.treat_late(records, event, &mut left.logs);
            }
            consent::treat_written(&self.consents, records, &mut left.logs);
        }
        if self.lacks_consent(records) {
            self.anonymise(records);
        }
        if !self.segments.is_empty() {
            left.segments.extend(segment::members(records));
        }
        Ok(())
    }

    async fn event(
        &self,
        ground: &Ground<'_>,
        records: &mut Records<'_>,
        memory: &mut Memory,
        left: &mut Left,
        event: usize,
    ) -> Result<(), Interrupted> {
        left.begin();
        let kind = self.types.get(records.events[event].kind());
        if let Some(kind) = kind
            && let Err(wrong) = kind.check(records, event)
        {
            if kind.on_invalid == OnInvalid::Reject {
                return Err(Interrupted::NotAccepted(wrong));
            }
            records.events[event].valid = false;
            left.logs.warn(wrong);
            return Ok(());
        }
        // What is granted right here counts at once.
        if records.profile.is_some() && records.events[event].kind() != CONSENT_UPDATE {
            consent::treat_sent(&self.consents, records, event, &mut left.logs);
        }
        if let Some(kind) = kind {
            kind.apply_to_event(records, event, &mut left.logs);
        }
        if records.session.is_some() {
            self.tell_session(records, event, &mut left.logs);
        }
        if records.profile.is_some() {
            self.tell_profile(ground, records, &mut left.logs, event).await?;
        }
        for place in self.started_by(records.events[event].kind()) {
            let workflow = &self.workflows[place];
            if starts(workflow, Scope::new(records, Some(event)), &records.request.source, left) {
                // On the heap, so that requests that start no workflow do not carry its room with them.
                Box::pin(Run::new(self, ground, records, memory, left, Some(event), None).workflow(workflow)).await?;
            }
        }
        Ok(())
    }

    /// The places of the workflows that a type starts, in order.
    fn started_by(&self, kind: &str) -> Vec<usize> {
        let mut started = self.by_any_type.clone();
        started.extend(self.by_type.get(kind).into_iter().flatten());
        started.sort_unstable();
        started
    }

    /// What an event means for its session, once.
    fn tell_session(&self, records: &mut Records<'_>, event: usize, logs: &mut Logs) {
        let Some(kind) = self.types.get(records.events[event].kind()) else { return };
        if !self.lacks_consent(records) && !std::mem::replace(&mut records.events[event].told_session, true) {
            kind.apply_to_session(records, event, logs);
        }
    }

    /// Treats what was sent as the profile's consents let it be, after something was made of it.
    fn treat_late(&self, records: &mut Records<'_>, event: usize, logs: &mut Logs) {
        let treated = consent::treat_sent(&self.consents, records, event, logs);
        if !treated.is_empty()
            && let Some(kind) = self.types.get(records.events[event].kind())
        {
            kind.apply_again(records, event, &treated, logs);
        }
    }

    /// What an event means for the profile.
    async fn tell_profile(
        &self,
        ground: &Ground<'_>,
        records: &mut Records<'_>,
        logs: &mut Logs,
        event: usize,
    ) -> Result<(), Interrupted> {
        let draft = &records.events[event];
        if draft.kind() == PAGE_VIEW
            && let Some(profile) = &mut records.profile
        {
            profile.count_view();
        }
        if draft.kind() != CONSENT_UPDATE && self.lacks_consent(records) {
            return Ok(()); // what it says of somebody is not kept
        }
        if let (Some(days), Some(profile)) = (self.counted.get(draft.kind()), &mut records.profile) {
            profile.count_event(draft.kind(), records.now, *days);
        }
        let Some(kind) = self.types.get(draft.kind()) else { return Ok(()) };
        kind.apply_to_profile(records, event, logs);
        if kind.identifies {
            attach::identify(ground, records, kind.profile_paths()).await?;
        }
        Ok(())
    }

    /// Whether the source requires a consent that the profile did not give.
    pub fn lacks_consent(&self, records: &Records<'_>) -> bool {
        consent::is_missing(&self.consents, records)
    }

    /// Takes away what tells whose the events are, and what speaks of that person.
    fn anonymise(&self, records: &mut Records<'_>) {
        records.anonymous = true;
        let named = records.registered().terms.profile.as_ref().map(|terms| terms.path.clone());
        for event in &mut records.events {
            named.iter().for_each(|path| event.redact(path));
            let places = self.types.get(event.kind()).map(|kind| kind.personal()).unwrap_or_default();
            let (sent, written): (Vec<Path>, Vec<Path>) = places.into_iter().partition(EventDraft::is_sent);
            sent.iter().for_each(|path| event.redact(path));
            written.iter().for_each(|path| event.forget_written(path.split_root().1));
            for part in identity::PERSONAL {
                let steps: Vec<Box<str>> = part.iter().copied().map(Into::into).collect();
                event.forget_written(&steps);
            }
            if event.depth > 0 {
                // What a workflow made of the others.
                event.redact(&["event", "properties"].into_iter().collect());
            }
        }
    }

    /// Events that came without a profile have one from here on: what begins with it, and what they mean for it, is caught
    /// up with.
    pub(in crate::process) async fn catch_up(
        &self,
        ground: &Ground<'_>,
        records: &mut Records<'_>,
        logs: &mut Logs,
        event: Option<usize>,
    ) -> Result<(), Interrupted> {
        let beginnings = self.beginnings(ground, records, false).await?;
        records.events.extend(beginnings);
        for event in 0..event.map_or(0, |event| event + 1) {
            if records.events[event].valid {
                self.treat_late(records, event, logs);
                self.tell_session(records, event, logs);
                self.tell_profile(ground, records, logs, event).await?;
            }
        }
        Ok(())
    }

    /// A profile entered or left a segment: that may be an event, and may start workflows.
    async fn crossing(
        &self,
        ground: &Ground<'_>,
        records: &mut Records<'_>,
        memory: &mut Memory,
        left: &mut Left,
        crossing: &Crossing,
    ) -> Result<(), Interrupted> {
        left.begin();
        if crossing.event {
            let name = if crossing.entered { SEGMENT_ENTERED } else { SEGMENT_LEFT };
            let mut properties = Object::default();
            properties.insert("segment", Value::text(crossing.segment.as_str()));
            let event = internal_event(ground, name, Value::Object(properties).to_json(), records.saves_events);
            records.events.push(event);
        }
        for workflow in &self.workflows {
            let segments = if crossing.entered { &workflow.on_entering } else { &workflow.on_leaving };
            let segment = Some(crossing.segment.as_str());
            if segments.iter().any(|id| **id == *crossing.segment.as_str())
                && starts(workflow, Scope::of_crossing(records, segment), &records.request.source, left)
            {
                Box::pin(Run::new(self, ground, records, memory, left, None, segment).workflow(workflow)).await?;
            }
        }
        Ok(())
    }
}

/// Whether the workflow takes what comes from this source, and its condition holds.
fn starts(workflow: &Workflow, scope: Scope<'_>, source: &Id, left: &mut Left) -> bool {
    if !workflow.takes_source(source) {
        return false;
    }
    let Some(condition) = &workflow.condition else { return true };
    condition.holds(&scope).unwrap_or_else(|error| {
        left.logs.error(format!("workflow {}: if: {error}", workflow.id));
        left.stillborn.push(Outcome { workflow: workflow.id.clone(), error: Some(format!("if: {error}")) });
        false
    })
}
