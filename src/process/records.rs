//! The records of a request while they are processed: what they were, and what was written to them.
//!
//! They are read by path. A record is turned into a tree only when something looks into it, so that a request that
//! nothing is set up for costs nothing here.

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
};

use crate::model::{
    Alias, Event, EventPayload, EventRequest, EventStatus, FieldChange, Id, Json, MergeKey, Misplaced, NOTED_PARTS,
    Object, Outcome, Path, Profile, ProfileRef, RegisteredSource, Session, ShownEvent, Time, Value, steps_text,
};

/// The parts of a profile that can be written.
const PROFILE_PARTS: [&str; 7] = ["traits", "data", "interests", "consents", "segments", "aux", "primary_id"];
/// Stands for the offset of the request that is processed: later than everything in the log.
const THIS_REQUEST: u64 = u64::MAX;
/// The parts of an event that can be written beside its journey and tags.
const EVENT_PARTS: [&str; 7] = ["data", "traits", "hit", "utm", "device", "os", "app"];
/// The most keys by which one profile is found.
const KEYS_MAX: usize = 100;

/// Why something is not written to a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotWritten {
    #[error("{0}: there is no {1}")]
    NoRecord(Path, &'static str),
    #[error("{0}: this cannot be written")]
    ReadOnly(Path),
    #[error("{0}: {1}")]
    Misplaced(Path, Misplaced),
    #[error("{0}: {1}")]
    WrongType(Path, &'static str),
}

/// Everything that a request is about.
pub struct Records<'a> {
    pub profile: Option<ProfileDraft>,
    pub session: Option<SessionDraft>,
    pub events: Vec<EventDraft<'a>>,
    /// What the events have in common; its time and profile are fixed when it is stored.
    pub request: EventRequest,
    registered: Arc<RegisteredSource>,
    source: OnceLock<Value>,
    pub now: Time,
    /// The events are stored without what tells whose they are.
    pub anonymous: bool,
}

impl Records<'_> {
    pub fn new(request: EventRequest, registered: Arc<RegisteredSource>, now: Time) -> Self {
        Self {
            profile: None,
            session: None,
            events: Vec::new(),
            request,
            registered,
            source: OnceLock::new(),
            now,
            anonymous: false,
        }
    }

    pub fn registered(&self) -> &Arc<RegisteredSource> {
        &self.registered
    }

    pub fn source(&self) -> &Value {
        self.source.get_or_init(|| Value::shown(&*self.registered.source))
    }

    /// Whether a configuration may write to `path`.
    pub fn is_writable(path: &Path) -> bool {
        let (root, steps) = path.split_root();
        let part = steps.first().map_or("", |part| part);
        match root {
            "event" => EVENT_PARTS.contains(&part) || part == "tags" || (part == "journey" && steps.len() == 2),
            "profile" => PROFILE_PARTS.contains(&part),
            "session" => part == "traits",
            _ => false,
        }
    }

    /// Writes `value` to `path`; `None` removes what stands there.
    pub fn write(&mut self, event: Option<usize>, path: &Path, value: Option<Value>) -> Result<(), NotWritten> {
        let (root, steps) = path.split_root();
        if !Self::is_writable(path) {
            return Err(NotWritten::ReadOnly(path.clone()));
        }
        match root {
            "event" => {
                let event = event.and_then(|event| self.events.get_mut(event));
                event.ok_or_else(|| NotWritten::NoRecord(path.clone(), "event"))?.write(path, steps, value)
            }
            "profile" => {
                let profile = self.profile.as_mut();
                profile.ok_or_else(|| NotWritten::NoRecord(path.clone(), "profile"))?.write(path, steps, value)
            }
            _ => {
                let session = self.session.as_mut();
                session.ok_or_else(|| NotWritten::NoRecord(path.clone(), "session"))?.write(path, steps, value)
            }
        }
    }
}

/// A profile as it will be.
pub struct ProfileDraft {
    /// As it was, with its visits and views counted; a new one does not know yet where it stands in the log.
    pub profile: Profile,
    pub is_new: bool,
    /// Another id that leads to it from here on.
    pub alias: Option<Id>,
    /// Something about it is to be stored.
    pub changed: bool,
    began_visit: bool,
    facts: OnceLock<Value>,
    facts_changed: bool,
    shown: OnceLock<Value>,
    /// As it was stored, if it was.
    stored: Option<Arc<Profile>>,
    /// The profiles that it took in.
    absorbed: Vec<ProfileRef>,
}

impl ProfileDraft {
    pub fn known(stored: Arc<Profile>) -> Self {
        Self { stored: Some(stored.clone()), ..Self::with((*stored).clone(), false) }
    }

    /// A profile that is made, with another id that leads to it from here on.
    pub fn made(id: Id, alias: Option<Id>, now: Time) -> Self {
        Self { alias, ..Self::with(Profile::new(id, THIS_REQUEST, now), true) }
    }

    fn with(profile: Profile, is_new: bool) -> Self {
        Self {
            profile,
            is_new,
            alias: None,
            changed: is_new,
            began_visit: false,
            facts: OnceLock::new(),
            facts_changed: false,
            shown: OnceLock::new(),
            stored: None,
            absorbed: Vec::new(),
        }
    }

    /// Becomes one with another stored profile: the one that was made first goes on.
    pub fn absorb(&mut self, other: Arc<Profile>, shared_visits: u64) {
        if self.facts_changed {
            self.profile.facts = self.facts().to_json();
        }
        self.absorbed.extend(self.stored.as_ref().map(|stored| stored.reference()));
        self.absorbed.push(other.reference());
        let mine = self.profile.clone();
        let before = self.stored.as_ref().map(|stored| (**stored).clone());
        if mine.since < other.since {
            self.profile.absorb((*other).clone(), Some((*other).clone()), shared_visits);
        } else {
            self.profile = (*other).clone();
            self.profile.absorb(mine, before, shared_visits);
            self.stored = Some(other);
            self.is_new = false;
        }
        let survivor = self.profile.reference();
        self.absorbed.retain(|absorbed| *absorbed != survivor);
        self.facts = OnceLock::new();
        self.facts_changed = false;
        self.shown = OnceLock::new();
        self.changed = true;
    }

    pub fn count_view(&mut self) {
        self.profile.views += 1;
        self.changed = true;
        self.shown = OnceLock::new();
    }

    pub fn begin_visit(&mut self, now: Time) {
        self.profile.begin_visit(now);
        self.began_visit = true;
        self.changed = true;
        self.shown = OnceLock::new();
    }

    pub fn add_key(&mut self, key: MergeKey) {
        if !self.profile.keys.contains(&key) && self.profile.keys.len() < KEYS_MAX {
            self.profile.keys.push(key);
            self.changed = true;
        }
    }

    pub fn get(&self, steps: &[Box<str>]) -> Option<&Value> {
        match steps {
            [part, rest @ ..] if PROFILE_PARTS.contains(&&**part) => {
                let empty = || rest.is_empty().then(|| empty_part(part)).flatten();
                self.facts().get(steps).or_else(empty)
            }
            _ => self.shown().get(steps),
        }
    }

    fn facts(&self) -> &Value {
        self.facts.get_or_init(|| Value::from(&self.profile.facts))
    }

    /// Everything but the parts that can be written.
    fn shown(&self) -> &Value {
        self.shown.get_or_init(|| {
            let mut profile = self.profile.clone();
            profile.facts = Json::empty_object();
            Value::shown(&profile.shown())
        })
    }

    fn write(&mut self, path: &Path, steps: &[Box<str>], value: Option<Value>) -> Result<(), NotWritten> {
        check_profile_part(path, steps, value.as_ref())?;
        self.facts();
        let Some(facts) = self.facts.get_mut() else { return Ok(()) };
        if facts.get(steps) == value.as_ref() {
            return Ok(());
        }
        let leaves = value.as_ref().map(|value| leaves(steps, value));
        match value {
            Some(value) => _ = facts.set(steps, value).map_err(|why| NotWritten::Misplaced(path.clone(), why))?,
            None => _ = facts.remove(steps),
        }
        if NOTED_PARTS.contains(&&*steps[0]) {
            self.profile.forget_fields(&steps_text(steps));
            for leaf in leaves.into_iter().flatten() {
                self.profile.note_field(&leaf, THIS_REQUEST, self.profile.updated);
            }
        }
        self.facts_changed = true;
        self.changed = true;
        Ok(())
    }

    /// When a leaf was last written; `None` if it was by this request, or never.
    pub fn written_at(&self, steps: &[&str]) -> Option<Time> {
        let path = steps.iter().copied().collect::<Path>().to_string();
        let below = |field: &str| {
            field.strip_prefix(&*path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let written = self.profile.fields.iter().filter(|field| below(&field.path));
        written
            .map(|field| (field.offset, field.time))
            .max()
            .filter(|(offset, _)| *offset != THIS_REQUEST)
            .map(|it| it.1)
    }

    pub fn began_visit(&self) -> bool {
        self.began_visit
    }

    /// The profile as it is stored by the request at this offset and time, and what goes with it.
    pub fn fix(mut self, offset: u64, now: Time) -> FixedProfile {
        if self.facts_changed {
            self.profile.facts = self.facts().to_json();
        }
        let mut profile = self.profile;
        let fields = profile.conflicts.iter_mut().map(|conflict| &mut conflict.field).chain(&mut profile.fields);
        for field in fields.filter(|field| field.offset == THIS_REQUEST) {
            field.offset = offset;
            field.time = now;
        }
        if self.is_new {
            profile.since = offset;
            profile.inserted = now;
        }
        if let Some(id) = &self.alias {
            profile.aliases.push(Alias { id: id.clone(), since: offset });
        }
        if self.began_visit {
            profile.visit_current = Some(now);
        }
        if self.changed {
            profile.updated = now;
        }
        FixedProfile { profile, alias: self.alias, absorbed: self.absorbed, changed: self.changed }
    }

    /// The leaves that are others than they were stored.
    pub fn changes(&self) -> Vec<FieldChange> {
        let before = self.stored.as_ref().map_or(Value::object(), |stored| Value::from(&stored.facts));
        let after = self.facts();
        let root: Path = [].into_iter().collect();
        let mut leaves = Vec::new();
        before.leaves(&root, &mut leaves);
        after.leaves(&root, &mut leaves);
        leaves.sort_unstable();
        leaves.dedup();
        let changed = leaves.iter().filter(|leaf| !leaf.steps().is_empty()).filter_map(|leaf| {
            let (old, new) = (before.get(leaf.steps()), after.get(leaf.steps()));
            let json = |value: Option<&Value>| value.unwrap_or(&Value::Null).to_json();
            (old != new).then(|| FieldChange { path: leaf.to_string().into(), old: json(old), new: json(new) })
        });
        changed.collect()
    }
}

/// A profile that is ready to be stored.
pub struct FixedProfile {
    pub profile: Profile,
    /// A new name that leads to it.
    pub alias: Option<Id>,
    /// The stored profiles that are part of it from here on.
    pub absorbed: Vec<ProfileRef>,
    pub changed: bool,
}

/// The paths of the leaves of what is written at `steps`.
fn leaves(steps: &[Box<str>], value: &Value) -> Vec<String> {
    if value.as_object().is_none() {
        return vec![steps_text(steps)];
    }
    let mut found = Vec::new();
    value.leaves(&steps.iter().map(|step| &**step).collect(), &mut found);
    found.iter().map(Path::to_string).collect()
}

/// A part of a profile that nothing was written to.
fn empty_part(part: &str) -> Option<&'static Value> {
    static OBJECT: Value = Value::Object(Object::new());
    static LIST: Value = Value::List(Vec::new());
    match part {
        "segments" => Some(&LIST),
        "primary_id" => None,
        _ => Some(&OBJECT),
    }
}

/// Parts of a profile have a form that everything relies on.
fn check_profile_part(path: &Path, steps: &[Box<str>], value: Option<&Value>) -> Result<(), NotWritten> {
    let wrong = |what| Err(NotWritten::WrongType(path.clone(), what));
    match (&*steps[0], steps.len(), value) {
        (_, _, None) => Ok(()),
        ("primary_id", 1, Some(Value::Text(_) | Value::Number(_) | Value::Null)) => Ok(()),
        ("primary_id", ..) => wrong("it is a text"),
        ("segments", 1, Some(Value::List(list))) if list.iter().all(|id| id.as_str().is_some()) => Ok(()),
        ("segments", ..) => wrong("it is a list of segments' ids"),
        ("interests", 2, Some(Value::Number(_))) => Ok(()),
        ("interests", 1, Some(Value::Object(all))) if all.iter().all(|(_, value)| value.as_f64().is_some()) => Ok(()),
        ("interests", ..) => wrong("an interest is a number under its name"),
        (_, 1, Some(Value::Object(_))) => Ok(()),
        (_, 1, _) => wrong("it is an object"),
        _ => Ok(()),
    }
}

/// A session as it will be.
pub struct SessionDraft {
    /// As it was, or as it begins, with the payload's context and properties in it.
    pub session: Session,
    /// It is stored.
    pub saved: bool,
    pub is_new: bool,
    traits: OnceLock<Value>,
    shown: OnceLock<Value>,
    traits_changed: bool,
}

impl SessionDraft {
    pub fn new(session: Session, saved: bool, is_new: bool) -> Self {
        Self { session, saved, is_new, traits: OnceLock::new(), shown: OnceLock::new(), traits_changed: false }
    }

    pub fn get(&self, steps: &[Box<str>]) -> Option<&Value> {
        match steps.split_first() {
            Some((part, rest)) if &**part == "traits" => self.traits().get(rest),
            _ => self.shown.get_or_init(|| Value::shown(&self.session.shown())).get(steps),
        }
    }

    fn traits(&self) -> &Value {
        self.traits.get_or_init(|| Value::from(&self.session.traits))
    }

    fn write(&mut self, path: &Path, steps: &[Box<str>], value: Option<Value>) -> Result<(), NotWritten> {
        self.traits();
        let Some(traits) = self.traits.get_mut() else { return Ok(()) };
        let below = &steps[1..];
        match value {
            Some(value) if below.is_empty() && value.as_object().is_none() => {
                return Err(NotWritten::WrongType(path.clone(), "it is an object"));
            }
            Some(value) => {
                traits.set(below, value).map_err(|why| NotWritten::Misplaced(path.clone(), why))?;
            }
            None if below.is_empty() => *traits = Value::object(),
            None => _ = traits.remove(below),
        }
        self.traits_changed = true;
        Ok(())
    }

    pub fn fix(self) -> Session {
        let traits = self.traits_changed.then(|| self.traits().to_json());
        let mut session = self.session;
        if let Some(traits) = traits {
            session.traits = traits;
        }
        session
    }
}

/// An event as it will be.
pub struct EventDraft<'a> {
    pub payload: Cow<'a, EventPayload>,
    pub id: Id,
    /// It is stored.
    pub saved: bool,
    /// How many events emitted each other before it.
    pub depth: usize,
    pub journey: Option<Arc<str>>,
    /// What stands in place of the tags that were sent.
    pub tags: Option<Arc<[Box<str>]>>,
    pub valid: bool,
    pub status: EventStatus,
    written: Object,
    head: OnceLock<Value>,
    properties: OnceLock<Value>,
    shown: OnceLock<Value>,
}

impl<'a> EventDraft<'a> {
    pub fn new(payload: Cow<'a, EventPayload>, id: Id, saved: bool) -> Self {
        Self {
            payload,
            id,
            saved,
            depth: 0,
            journey: None,
            tags: None,
            valid: true,
            status: EventStatus::Collected,
            written: Object::default(),
            head: OnceLock::new(),
            properties: OnceLock::new(),
            shown: OnceLock::new(),
        }
    }

    /// Whether `path`, whose first step names the event, leads into what was sent.
    pub fn is_sent(&self, path: &Path) -> bool {
        matches!(path.steps().get(1).map(|part| &**part), Some("properties" | "context"))
    }

    /// Puts `value` in the place of something that was sent, or nothing.
    pub fn redact(&mut self, path: &Path, value: Option<Value>) {
        let Some((part, below)) = path.steps().get(1..).and_then(|steps| steps.split_first()) else { return };
        let payload = self.payload.to_mut();
        let sent = if &**part == "properties" { &mut payload.properties } else { &mut payload.context };
        let mut tree = Value::from(&*sent);
        match value {
            Some(value) => _ = tree.set(below, value), // it stands where something stood: there is a way to it
            None if below.is_empty() => tree = Value::object(),
            None => _ = tree.remove(below),
        }
        *sent = tree.to_json();
        self.properties = OnceLock::new();
        self.shown = OnceLock::new();
    }

    /// Forgets what was written to a part, or below it.
    pub fn forget_written(&mut self, steps: &[Box<str>]) {
        let mut parts = Value::Object(std::mem::take(&mut self.written));
        parts.remove(steps);
        if let Value::Object(parts) = parts {
            self.written = parts;
        }
        self.shown = OnceLock::new();
    }

    /// The event's type.
    pub fn kind(&self) -> &str {
        &self.payload.kind.id
    }

    pub fn get(&self, records: &Records<'_>, steps: &[Box<str>]) -> Option<&Value> {
        let (part, rest) = steps.split_first()?;
        match (&**part, rest) {
            ("properties", _) => self.properties().get(rest),
            ("id" | "type" | "name", _) => self.head().get(steps),
            // Only what was written stands there; for the others it is laid over what is derived.
            ("data" | "traits", [_, ..]) => self.written.get(part)?.get(rest),
            _ => self.shown(records).get(steps),
        }
    }

    fn head(&self) -> &Value {
        self.head.get_or_init(|| {
            let mut head = Object::default();
            let kind = &self.payload.kind;
            for (name, text) in [("id", self.id.as_str()), ("type", &kind.id), ("name", &kind.name)] {
                head.insert(name, Value::text(text));
            }
            Value::Object(head)
        })
    }

    pub fn properties(&self) -> &Value {
        self.properties.get_or_init(|| Value::from(&self.payload.properties))
    }

    fn shown(&self, records: &Records<'_>) -> &Value {
        self.shown.get_or_init(|| {
            let mut request = records.request.clone();
            request.profile = records.profile.as_ref().map(|draft| draft.profile.reference());
            request.session = records.session.as_ref().map(|draft| draft.session.id.clone());
            Value::shown(&ShownEvent { request: request.into(), event: self.fixed().into() })
        })
    }

    fn write(&mut self, path: &Path, steps: &[Box<str>], value: Option<Value>) -> Result<(), NotWritten> {
        self.shown = OnceLock::new();
        match (&*steps[0], value) {
            ("tags", value) => self.tags = Some(texts(path, value.unwrap_or(Value::Null))?),
            ("journey", Some(Value::Text(state))) => self.journey = Some(state.into()),
            ("journey", None | Some(Value::Null)) => self.journey = None,
            ("journey", Some(_)) => return Err(NotWritten::WrongType(path.clone(), "it is a text")),
            (part, Some(value)) => {
                if steps.len() == 1 && value.as_object().is_none() {
                    return Err(NotWritten::WrongType(path.clone(), "it is an object"));
                }
                let mut parts = Value::Object(std::mem::take(&mut self.written));
                let set = parts.set(steps, value);
                if let Value::Object(parts) = parts {
                    self.written = parts;
                }
                set.map_err(|why| NotWritten::Misplaced(path.clone(), why))?;
                debug_assert!(EVENT_PARTS.contains(&part));
            }
            (_, None) => {
                let mut parts = Value::Object(std::mem::take(&mut self.written));
                parts.remove(steps);
                if let Value::Object(parts) = parts {
                    self.written = parts;
                }
            }
        }
        Ok(())
    }

    /// The event as it is stored.
    pub fn fixed(&self) -> Event {
        let payload = &self.payload;
        let written =
            if self.written.is_empty() { Json::empty_object() } else { Value::Object(self.written.clone()).to_json() };
        Event {
            id: self.id.clone(),
            given: payload.id.is_some(),
            kind: payload.kind.id.clone(),
            name: payload.kind.name.clone(),
            created: payload.created,
            properties: payload.properties.clone(),
            context: payload.context.clone(),
            tags: self.tags.clone().unwrap_or_else(|| payload.tags.clone()),
            outcome: Outcome { journey: self.journey.clone(), valid: self.valid, status: self.status, written },
        }
    }
}

/// A list of texts; a text alone is a list of one.
fn texts(path: &Path, value: Value) -> Result<Arc<[Box<str>]>, NotWritten> {
    match value {
        Value::Null => Ok(Arc::default()),
        Value::Text(text) => Ok([text].into()),
        Value::List(list) => {
            let texts = list.into_iter().map(|item| if let Value::Text(text) = item { Some(text) } else { None });
            texts.collect::<Option<_>>().ok_or(NotWritten::WrongType(path.clone(), "it is a list of texts"))
        }
        _ => Err(NotWritten::WrongType(path.clone(), "it is a list of texts")),
    }
}
