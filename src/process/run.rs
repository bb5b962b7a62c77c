//! Running workflows: step by step, each seeing what the one before left.

use std::time::{Duration, Instant};

use crate::{
    model::{DelayedEvent, EventStatus, EventType, Execution, Id, Object, Path, Runs, StepExecution, Value, Zone},
    process::{
        Interrupted,
        definitions::{
            operation::Operation,
            segment,
            workflow::{Action, AttachProfile, By, Step, Workflow},
        },
        digest,
        expression::{
            scope::Scope,
            template::{Place, Template, ValueTemplate},
        },
        identity::{
            attach::{self, NotAttached, ProfileQuery},
            contacts::Contacts,
        },
        pipeline::Processing,
        records::{EventDraft, SessionDraft},
    },
};

/// How many events of a request may emit each other in a chain.
const DEPTH_MAX: u8 = 3;
/// How many characters a masked text keeps, at its end.
const UNMASKED: usize = 4;

/// What a workflow runs on.
pub struct Run<'a, 'r> {
    on: Processing<'a, 'r>,
    /// The event that started it, if one did.
    pub event: Option<usize>,
    pub segment: Option<&'a str>,
    /// Where its days begin.
    zone: Zone,
    /// How often the workflow ran today, with this run.
    runs: Option<Runs>,
    steps: Object,
    taken: Vec<StepExecution>,
}

/// How a step or a list of them ended.
enum End {
    Done(Option<Value>),
    Stopped,
}

/// Why a step did not do what it should.
enum Failed {
    /// The workflow ends, or goes on if the step says so.
    Step(String),
    /// The request starts again, or is refused.
    Request(Interrupted),
}

impl From<String> for Failed {
    fn from(what: String) -> Self {
        Self::Step(what)
    }
}

impl From<NotAttached> for Failed {
    fn from(why: NotAttached) -> Self {
        Self::Step(why.to_string())
    }
}

impl From<Interrupted> for Failed {
    fn from(why: Interrupted) -> Self {
        Self::Request(why)
    }
}

impl<'a, 'r> Run<'a, 'r> {
    pub fn new(on: Processing<'a, 'r>, event: Option<usize>, segment: Option<&'a str>) -> Self {
        Self { on, event, segment, zone: Zone::default(), runs: None, steps: Object::default(), taken: Vec::new() }
    }

    /// Runs a workflow to its end, or to the step that fails.
    pub async fn workflow(mut self, workflow: &Workflow) -> Result<(), Interrupted> {
        self.zone = workflow.zone;
        let ended = match self.on.context.loops.run(&workflow.id, self.on.records, &mut self.on.outcome.repeated) {
            Ok(runs) => {
                self.runs = Some(runs);
                self.steps(&workflow.steps).await
            }
            Err(too_often) => Err(Failed::Step(too_often)),
        };
        let error = match ended {
            Ok(_) => None,
            Err(Failed::Step(error)) => {
                self.on.outcome.logs.error(format!("workflow {}: {error}", workflow.id));
                Some(error)
            }
            Err(Failed::Request(why)) => return Err(why),
        };
        let event = self.event.map(|event| &mut self.on.records.events[event]);
        let event = event.map(|event| {
            event.status = match (&error, event.status) {
                (None, EventStatus::Collected) => EventStatus::Processed,
                (None, status) => status,
                (Some(_), _) => EventStatus::Error,
            };
            event.id.clone()
        });
        let status = if error.is_some() { "error" } else { "done" };
        let execution = Execution { event, status, steps: self.taken, error };
        self.on.outcome.executions.entry(workflow.id.clone()).or_default().push(execution);
        Ok(())
    }

    async fn steps(&mut self, steps: &[Step]) -> Result<End, Failed> {
        for step in steps {
            self.on.outcome.take_step()?;
            let begun = Instant::now();
            let done = self.step(step).await;
            let time_ms = (begun.elapsed().as_secs_f64() * 1e6).round() / 1e3;
            let mut taken = StepExecution { id: step.id.clone(), status: "done", time_ms, result: None, error: None };
            match done {
                Ok(None) => taken.status = "skipped",
                Ok(Some(End::Done(result))) => {
                    taken.result = result.as_ref().and_then(|result| self.on.outcome.shown(result));
                    if let Some(result) = result {
                        self.steps.insert(&step.id, result);
                    }
                }
                Ok(Some(End::Stopped)) => {
                    taken.status = "stopped";
                    self.taken.push(taken);
                    return Ok(End::Stopped);
                }
                Err(Failed::Step(error)) => {
                    taken.status = "error";
                    taken.error = Some(error.clone());
                    self.taken.push(taken);
                    if !step.continue_on_error {
                        return Err(Failed::Step(format!("step {}: {error}", step.id)));
                    }
                    self.on.outcome.logs.warn(format!("step {}: {error}", step.id));
                    continue;
                }
                Err(failed) => return Err(failed),
            }
            self.taken.push(taken);
        }
        Ok(End::Done(None))
    }

    fn scope(&self) -> Scope<'_> {
        Scope::of_step(self.on.records, self.event, &self.steps, self.segment).in_zone(self.zone)
    }

    /// Takes a step; `None` if its condition does not hold.
    async fn step(&mut self, step: &Step) -> Result<Option<End>, Failed> {
        if let Some(condition) = &step.condition
            && !condition.holds(&self.scope())?
        {
            return Ok(None);
        }
        let result = match &step.action {
            Action::Change(changes) => {
                for change in changes {
                    let value =
                        change.value.as_ref().map(|value| value.fill_some(&self.scope())).transpose()?.flatten();
                    self.apply(change.operation, &change.path, value)?;
                }
                None
            }
            Action::Hash(paths) => self.replace(paths, digest::sha256)?,
            Action::Mask(paths) => self.replace(paths, masked)?,
            Action::Segments { add, remove } => self.change_segments(add, remove)?,
            Action::AttachProfile(attach) => Some(self.attach_profile(attach).await?),
            Action::AttachSession(_) if self.on.records.opted_out => {
                return Err(Failed::Step("the visitor asks not to be tracked".into()));
            }
            Action::AttachSession(template) => {
                let id = template.text(&self.scope(), Place::Text, None)?;
                let id = Id::required(&id).map_err(|fault| fault.to_string())?;
                let is_it = |draft: &SessionDraft| draft.session.id == id;
                match (self.on.records.session.as_ref().map(is_it), self.on.records.attachable.take_if(|it| is_it(it)))
                {
                    (Some(true), _) => {}
                    (Some(false), _) => return Err(Failed::Step("the event has a session already".into())),
                    (None, Some(session)) => self.on.attach_session(session, self.event).await?,
                    (None, None) => return Err(Interrupted::Session(id).into()),
                }
                Some(Value::text(&id.text()))
            }
            Action::PreviousSession => {
                let session = self.on.context.people.previous_session(self.on.records).await;
                session.map_err(Interrupted::from)?.map(|session| Value::shown(&session.shown()))
            }
            Action::Lookup(lookup) => {
                let Some(lookups) = self.on.context.lookups else { return Ok(None) };
                let question = lookups.question(lookup, &self.scope())?;
                Some(self.on.retry.answer(lookups, &question).await?)
            }
            Action::Emit { kind, properties, delay } => Some(self.emit(kind, properties, *delay)?),
            Action::Response(template) => {
                let filled = template.fill(&self.scope())?;
                let entries = filled.as_object().into_iter().flat_map(Object::iter);
                entries.for_each(|(key, value)| self.on.outcome.response.insert(key, value.clone()));
                None
            }
            Action::Ux(template) => {
                if let Value::List(list) = template.fill(&self.scope())? {
                    self.on.outcome.ux.extend(list);
                }
                None
            }
            Action::Discard => {
                if let Some(event) = self.event {
                    self.on.records.events[event].saved = false;
                }
                None
            }
            Action::Log(template) => {
                let message = template.text(&self.scope(), Place::Text, None)?;
                self.on.outcome.logs.info(message);
                None
            }
            Action::Choose(branches) => {
                for branch in branches {
                    if match &branch.condition {
                        Some(condition) => condition.holds(&self.scope())?,
                        None => true,
                    } {
                        return Box::pin(self.steps(&branch.steps)).await.map(Some);
                    }
                }
                None
            }
            Action::Stop => return Ok(Some(End::Stopped)),
        };
        Ok(Some(End::Done(result)))
    }

    fn apply(&mut self, operation: Operation, path: &Path, value: Option<Value>) -> Result<(), Failed> {
        if !self.may_write(path) {
            self.on.outcome.logs.info(format!("{path}: not written, for there is no consent"));
            return Ok(());
        }
        let is_of_profile = path.split_root().0 == "profile";
        let identity = self.on.context.identity;
        if is_of_profile
            && identity.exclusive_places().any(|place| identity.speaks_of(path, place))
            && let Some(why) = self.on.primary_keys().objection(identity, operation, path, value.as_ref(), false)
        {
            return Err(Failed::Step(format!("{path}: {why}")));
        }
        let is_of_contacts =
            is_of_profile && identity.contact_places().any(|place| place.steps().starts_with(path.steps()));
        let contacts = is_of_contacts.then(|| Contacts::of(self.on.context, self.on.records));
        let applied = operation.apply(self.on.records, self.event, path, value);
        if let Some(contacts) = contacts {
            contacts.let_go(self.on.context, self.on.records)?;
        }
        if path.split_root().0 == "event"
            && let Some(event) = self.event
        {
            self.on.records.events[event].note_rewritten(path);
        }
        applied.map_err(|error| Failed::Step(error.to_string()))
    }

    /// Without the consent that its source requires, nothing is kept of somebody but what they allow.
    fn may_write(&self, path: &Path) -> bool {
        let (root, steps) = path.split_root();
        let is_about_them =
            root == "session" || (root == "profile" && steps.first().is_none_or(|it| **it != *"consents"));
        !is_about_them || !self.on.rules.lacks_consent(self.on.records)
    }

    /// Puts another text in the place of each value that is there.
    fn replace(&mut self, paths: &[Path], with: impl Fn(&str) -> String) -> Result<Option<Value>, Failed> {
        for path in paths {
            let found = self.scope().get(path).map(|value| value.into_owned()).filter(|value| !value.is_empty());
            if let Some(found) = found {
                self.apply(Operation::Set, path, Some(Value::text(&with(&found.to_text()))))?;
            }
        }
        Ok(None)
    }

    fn change_segments(&mut self, add: &[Box<str>], remove: &[Box<str>]) -> Result<Option<Value>, Failed> {
        if self.on.records.profile.is_none() {
            return Err(Failed::Step("there is no profile".into()));
        }
        let path: Path = ["profile", "segments"].into_iter().collect();
        if !self.may_write(&path) {
            self.on.outcome.logs.info(format!("{path}: not written, for there is no consent"));
            return Ok(None);
        }
        let mut members = segment::members(self.on.records);
        members.retain(|id| !remove.contains(id));
        for id in add {
            if !members.contains(id) {
                members.push(id.clone());
            }
        }
        segment::set_members(self.on.records, members, &mut self.on.outcome.logs);
        Ok(None)
    }

    /// Finds or makes the profile of an event; the result is its id.
    async fn attach_profile(&mut self, attach: &AttachProfile) -> Result<Value, Failed> {
        let had_one = self.on.records.profile.is_some();
        let filled =
            |template: &Template| template.text(&self.scope(), Place::Text, None).map(|text| Value::text(&text));
        let query = match &attach.by {
            By::New => ProfileQuery::New,
            By::Known(known, template) => ProfileQuery::Known(*known, filled(template)?),
            By::Field(path, template) => ProfileQuery::Field(path.clone(), filled(template)?),
        };
        let consents = &self.on.rules.consents;
        let AttachProfile { create, join, .. } = *attach;
        let attached = attach::attach(self.on.context, self.on.records, self.on.retry, consents, query, create, join);
        attached.await??;
        if !had_one {
            self.on.catch_up(self.event).await?;
        }
        let id = self.on.records.profile.as_ref().map(|draft| Value::text(&draft.profile.id.text()));
        Ok(id.ok_or("there is no profile".to_owned())?)
    }

    /// Another event of the same request, whose id is the result, or one that happens later, whose time is the result.
    fn emit(&mut self, kind: &EventType, properties: &ValueTemplate, delay: Option<Duration>) -> Result<Value, Failed> {
        let depth = self.event.map_or(0, |event| self.on.records.events[event].depth) + 1;
        if delay.is_none() && depth > DEPTH_MAX {
            return Err(Failed::Step("too many events emit each other".into()));
        }
        let properties = properties.fill(&self.scope())?;
        if properties.as_object().is_none() {
            return Err(Failed::Step("the properties of an event are an object".into()));
        }
        let properties = properties.to_json();
        self.on.outcome.take_emitted(properties.as_str().len())?;
        let saved = self.event.map_or(self.on.records.saves_events, |event| self.on.records.events[event].wanted);
        if let Some(delay) = delay {
            let due = self.on.records.now.later(delay);
            self.on.records.delayed.push(DelayedEvent {
                due,
                source: self.on.records.request.source.clone(),
                session: None,
                profile: None,
                kind: kind.id.clone(),
                name: kind.name.clone(),
                properties,
                chain: self.runs.iter().fold(self.on.records.chain.clone(), |chain, runs| chain.through(runs.clone())),
                saved,
            });
            return Ok(Value::text(&due.to_string()));
        }
        let id = self.on.retry.new_id(self.on.context.clock);
        let mut event = EventDraft::internal(kind.clone(), properties, id.clone(), saved);
        event.emitted = true;
        event.depth = depth;
        self.on.records.events.push(event);
        Ok(Value::text(&id.text()))
    }
}

/// Stars in the place of all characters but the last ones; of a short text, of all.
fn masked(text: &str) -> String {
    let count = text.chars().count();
    let kept = if count > 2 * UNMASKED { UNMASKED } else { 0 };
    text.chars().enumerate().map(|(index, character)| if index + kept < count { '*' } else { character }).collect()
}
