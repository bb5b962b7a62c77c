//! An event while it is processed.

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
};

use super::{NotWritten, Records};
use crate::model::{
    Event, EventPayload, EventStatus, EventType, IDENTIFIED, Id, Json, Misplaced, Object, Outcome, Path, ShownEvent,
    Value, check_tag,
};

/// The parts that can be written beside journey and tags.
pub(super) const PARTS: [&str; 7] = ["data", "traits", "hit", "utm", "device", "os", "app"];

/// About how many bytes may be written to an event.
const BYTES_MAX: usize = 256 * 1024;

/// An event as it will be.
pub struct EventDraft<'a> {
    pub payload: Cow<'a, EventPayload>,
    pub id: Id,
    /// A client sent it; else the server made it.
    pub was_sent: bool,
    /// It is stored.
    pub saved: bool,
    /// It was to be stored before a workflow discarded it, so that what it leads to is.
    pub wanted: bool,
    /// A workflow emitted it.
    pub emitted: bool,
    /// How many events of the request emitted each other before it.
    pub depth: u8,
    pub journey: Option<Arc<str>>,
    /// What stands in place of the tags that were sent.
    pub tags: Option<Arc<[Box<str>]>>,
    pub valid: bool,
    pub status: EventStatus,
    /// What was sent is as the profile's consents let it be.
    pub treated: bool,
    /// What its type's mapping means for its session was done.
    pub told_session: bool,
    /// It says whose it is, and that was not taken.
    unidentified: bool,
    /// Where something was put that its type's mapping does not speak of: in what was sent, or by a workflow.
    rewritten: Vec<Path>,
    written: Object,
    written_bytes: usize,
    head: OnceLock<Value>,
    properties: OnceLock<Value>,
    shown: OnceLock<Value>,
}

impl<'a> EventDraft<'a> {
    pub fn new(payload: Cow<'a, EventPayload>, id: Id, saved: bool) -> Self {
        Self {
            payload,
            id,
            was_sent: true,
            saved,
            wanted: saved,
            emitted: false,
            depth: 0,
            journey: None,
            tags: None,
            valid: true,
            status: EventStatus::Collected,
            treated: false,
            told_session: false,
            unidentified: false,
            rewritten: Vec::new(),
            written: Object::default(),
            written_bytes: 0,
            head: OnceLock::new(),
            properties: OnceLock::new(),
            shown: OnceLock::new(),
        }
    }

    /// An event that the server itself makes.
    pub fn internal(kind: EventType, properties: Json, id: Id, saved: bool) -> Self {
        Self { was_sent: false, ..Self::new(Cow::Owned(EventPayload::internal(kind, properties)), id, saved) }
    }

    /// The same event, as it came.
    pub fn untouched(&self) -> Self {
        Self {
            was_sent: self.was_sent,
            depth: self.depth,
            ..Self::new(self.payload.clone(), self.id.clone(), self.saved)
        }
    }

    /// Whether `path` leads into what was sent in an event.
    pub fn is_sent(path: &Path) -> bool {
        let (root, steps) = path.split_root();
        root == "event" && matches!(steps.first().map(|part| &**part), Some("properties" | "context"))
    }

    /// Whether its own context, and not the payload's, holds what stands at `path`.
    pub fn brings(&self, path: &Path) -> bool {
        let own = Value::from(&self.payload.context);
        own.as_object().is_some_and(|own| match path.steps().get(2) {
            Some(key) => own.get(key).is_some(),
            None => !own.is_empty(),
        })
    }

    /// Puts `value` in the place of something that was sent, or removes it.
    fn write_sent(&mut self, steps: &[Box<str>], value: Option<Value>) -> Result<(), Misplaced> {
        let Some((part, below)) = steps.split_first() else { return Ok(()) };
        let payload = self.payload.to_mut();
        let sent = if &**part == "properties" { &mut payload.properties } else { &mut payload.context };
        let mut tree = Value::from(&*sent);
        match value {
            Some(value) => _ = tree.set(below, value)?,
            None if below.is_empty() => tree = Value::object(),
            None => _ = tree.remove(below),
        }
        *sent = tree.to_json();
        self.properties = OnceLock::new();
        self.shown = OnceLock::new();
        Ok(())
    }

    /// Takes away what was sent at `path`.
    pub fn redact(&mut self, path: &Path) {
        // Nothing is put anywhere, so nothing is misplaced.
        _ = self.write_sent(path.split_root().1, None);
    }

    /// Its profile or session is another from here on.
    pub fn forget_shown(&mut self) {
        self.shown = OnceLock::new();
    }

    /// Notes that it says whose it is, and that this is not taken.
    pub fn note_unidentified(&mut self) {
        self.unidentified = true;
        self.shown = OnceLock::new();
    }

    /// Notes that a workflow wrote to `path`.
    pub fn note_rewritten(&mut self, path: &Path) {
        if !Self::is_sent(path) {
            self.rewritten.push(path.clone());
        }
    }

    /// Takes back what was written beside what its type's mapping says.
    pub fn take_back(&mut self) {
        for path in std::mem::take(&mut self.rewritten) {
            match path.split_root().1 {
                _ if Self::is_sent(&path) => self.redact(&path),
                [part, ..] if **part == *"tags" => self.tags = None,
                [part, ..] if **part == *"journey" => self.journey = None,
                steps => self.forget_written(steps),
            }
        }
    }

    /// Puts `new` in the place of `old` in everything that workflows made of what was sent, in this event or in another
    /// one that it is emitted for.
    pub fn replace(&mut self, old: &str, new: &str) {
        let mut places = self.rewritten.clone();
        if self.emitted {
            places.push(["event", "properties"].into_iter().collect());
        }
        for path in places {
            match path.split_root().1 {
                steps if Self::is_sent(&path) => {
                    let (part, below) = (&*steps[0], &steps[1..]);
                    let sent = if part == "properties" { &self.payload.properties } else { &self.payload.context };
                    if let Some(mut value) = Value::from(sent).get(below).cloned() {
                        value.replace(old, new);
                        _ = self.write_sent(steps, Some(value)); // it goes where it stood
                    }
                }
                [part, ..] if **part == *"tags" => {
                    let tags = self.tags.iter().flat_map(|tags| tags.iter()).map(|tag| Value::text(tag));
                    let mut tags = Value::List(tags.collect());
                    tags.replace(old, new);
                    if let (Some(kept), Value::List(list)) = (&mut self.tags, tags) {
                        *kept = list.iter().map(|tag| tag.to_text().into()).collect();
                    }
                }
                [part, ..] if **part == *"journey" => self.journey = self.journey.take().filter(|it| **it != *old),
                steps => self.change_written(|parts| {
                    if let Some(mut value) = parts.get(steps).cloned() {
                        value.replace(old, new);
                        _ = parts.set(steps, value); // it goes where it stood
                    }
                }),
            }
        }
        self.shown = OnceLock::new();
    }

    /// Forgets what was written to a part, or below it.
    pub fn forget_written(&mut self, steps: &[Box<str>]) {
        self.change_written(|parts| _ = parts.remove(steps));
    }

    fn change_written<T>(&mut self, change: impl FnOnce(&mut Value) -> T) -> T {
        let mut parts = Value::Object(std::mem::take(&mut self.written));
        let changed = change(&mut parts);
        if let Value::Object(parts) = parts {
            self.written = parts;
        }
        self.shown = OnceLock::new();
        changed
    }

    /// The event's type.
    pub fn kind(&self) -> &str {
        &self.payload.kind.id
    }

    pub fn get(&self, records: &Records<'_>, steps: &[Box<str>]) -> Option<&Value> {
        let Some((part, rest)) = steps.split_first() else { return Some(self.shown(records)) };
        match (&**part, rest) {
            // Most look for keys that few events have: that is told without making a tree.
            ("properties", [key, ..]) if self.properties.get().is_none() && !self.payload.properties.mentions(key) => {
                None
            }
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
            for (name, text) in [("id", &*self.id.text()), ("type", &kind.id), ("name", &kind.name)] {
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

    pub(super) fn write(&mut self, path: &Path, steps: &[Box<str>], value: Option<Value>) -> Result<(), NotWritten> {
        self.shown = OnceLock::new();
        let bytes = value.as_ref().map_or(0, Value::size);
        if self.written_bytes + bytes > BYTES_MAX {
            return Err(NotWritten::TooLarge(path.clone()));
        }
        if steps.len() == 1 && Self::is_sent(path) && value.as_ref().is_some_and(|value| value.as_object().is_none()) {
            return Err(NotWritten::WrongType(path.clone(), "it is an object"));
        }
        self.written_bytes += bytes;
        if Self::is_sent(path) {
            self.rewritten.extend(value.as_ref().map(|_| path.clone()));
            return self.write_sent(steps, value).map_err(|why| NotWritten::Misplaced(path.clone(), why));
        }
        match (&*steps[0], value) {
            ("tags", value) => self.tags = Some(tags(path, value.unwrap_or(Value::Null))?),
            ("journey", Some(Value::Text(state))) => self.journey = Some(state.into()),
            ("journey", None | Some(Value::Null)) => self.journey = None,
            ("journey", Some(_)) => return Err(NotWritten::WrongType(path.clone(), "it is a text")),
            (part, Some(value)) => {
                if steps.len() == 1 && value.as_object().is_none() {
                    return Err(NotWritten::WrongType(path.clone(), "it is an object"));
                }
                let set = self.change_written(|parts| parts.set(steps, value));
                set.map_err(|why| NotWritten::Misplaced(path.clone(), why))?;
                debug_assert!(PARTS.contains(&part));
            }
            (_, None) => self.forget_written(steps),
        }
        Ok(())
    }

    /// The event as it is stored.
    pub fn fixed(&self) -> Event {
        let payload = &self.payload;
        let mut written = Cow::Borrowed(&self.written);
        if self.unidentified {
            written.to_mut().insert(IDENTIFIED, Value::Boolean(false));
        }
        let written =
            if written.is_empty() { Json::empty_object() } else { Value::Object(written.into_owned()).to_json() };
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

/// A list of tags; a text alone is a list of one.
fn tags(path: &Path, value: Value) -> Result<Arc<[Box<str>]>, NotWritten> {
    let wrong = |what| NotWritten::WrongType(path.clone(), what);
    let tags = match value {
        Value::Null => Vec::new(),
        Value::Text(text) => vec![text],
        Value::List(list) => {
            let texts = list.into_iter().map(|item| if let Value::Text(text) = item { Some(text) } else { None });
            texts.collect::<Option<_>>().ok_or(wrong("it is a list of texts"))?
        }
        _ => return Err(wrong("it is a list of texts")),
    };
    let fits = tags.iter().enumerate().all(|(index, tag)| check_tag(index, tag).is_ok());
    if fits { Ok(tags.into()) } else { Err(wrong("there are too many tags, or one is too long")) }
}
