//! The tracker payload: everything that a client says in one request (docs/contract.md, section 3). What a webhook sends
//! becomes one in `webhook`.

mod consents;
mod webhook;

pub use webhook::WebhookProperties;

use std::sync::Arc;

use super::{
    EventType, Fault, Id, Json, Reader, Time,
    id::NAME_BYTES_MAX,
    members::{member, text},
};

/// The most events in one payload.
pub const EVENTS_MAX: usize = 1_000;
const TAGS_MAX: usize = 100;
/// How much deeper an event that is shown holds the payload's `context` than the payload does.
const SHOWN_DEEPER: usize = 1;

/// A payload as it was understood: its shape is right, nothing has been looked up yet.
#[derive(Debug)]
pub struct Payload {
    pub source: Id,
    /// A webhook may come without.
    pub session: Option<Id>,
    /// The client makes no ids of sessions: it is to be told one.
    pub opens_session: bool,
    pub profile: Option<Id>,
    pub events: Vec<EventPayload>,
    pub context: Json,
    pub properties: Json,
    pub device: Option<Id>,
    pub options: Options,
}

#[derive(Clone, Debug)]
pub struct EventPayload {
    /// The client's own id for the event: its idempotency key.
    pub id: Option<Id>,
    pub kind: EventType,
    /// When the client says that it happened.
    pub created: Option<Time>,
    pub properties: Json,
    /// They are a form's or a query's: all of them are texts.
    pub from_form: bool,
    pub context: Json,
    pub tags: Arc<[Box<str>]>,
    /// `false`: process it, do not store it.
    pub save: bool,
}

#[derive(Debug)]
pub struct Options {
    pub debugger: bool,
    /// Answer the whole profile instead of its id.
    pub profile: bool,
    pub save_session: bool,
    pub save_events: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { debugger: false, profile: false, save_session: true, save_events: true }
    }
}

/// Why a body is no payload.
#[derive(Debug)]
pub enum PayloadError {
    Invalid(Fault),
    TooManyEvents,
}

impl From<Fault> for PayloadError {
    fn from(fault: Fault) -> Self {
        Self::Invalid(fault)
    }
}

impl Payload {
    /// The fields of the body of /track.
    pub const FIELDS: &[&str] = &[
        "source",
        "session",
        "profile",
        "events",
        "context",
        "properties",
        "request",
        "device",
        "metadata",
        "options",
    ];

    /// Reads the body of /track.
    ///
    /// # Errors
    /// It is not JSON, a field is missing or wrong (the fault names it), or it has more than [`EVENTS_MAX`] events.
    pub fn parse(body: &[u8]) -> Result<Self, PayloadError> {
        let (mut source, mut session, mut profile, mut device) = (None, None, None, None);
        let (mut context, mut properties) = (Json::empty_object(), Json::empty_object());
        let (mut events, mut options, mut created) = (None, Options::default(), None);
        let mut too_many = false;
        let mut reader = Reader::new(body, 0)?;
        let read = reader.object(Self::FIELDS, |reader, field| {
            match field {
                "source" => source = read_entity(reader)?,
                "session" => session = Some(read_session(reader)?),
                "profile" => profile = read_entity(reader)?,
                "device" => device = read_entity(reader)?,
                "context" => context = reader.free_object_deeper(SHOWN_DEEPER)?,
                "properties" => properties = reader.free_object()?,
                "request" => _ = reader.free_object()?,
                "metadata" => created = time_said(&reader.value()?),
                "options" => options = Options::read(reader)?,
                _ => {
                    let mut list = Vec::new();
                    too_many = !reader.array_up_to(EVENTS_MAX, |reader| {
                        list.push(EventPayload::read(reader)?);
                        Ok(())
                    })?;
                    events = Some(list);
                }
            }
            Ok(())
        });
        if too_many {
            return Err(PayloadError::TooManyEvents);
        }
        read?;
        reader.end()?;
        let mut events = events.ok_or_else(|| Fault::missing().at("events"))?;
        for event in &mut events {
            event.created = event.created.or(created);
        }
        let source = required_entity(source, "source")?;
        let session = session.ok_or_else(|| Fault::missing().at("session"))?;
        Ok(Self {
            source,
            opens_session: session.is_none(),
            session,
            profile: profile.flatten(),
            events,
            context,
            properties,
            device: device.flatten(),
            options,
        })
    }

    /// The profile and the source that `context.tracardi.pass` names: who came with a link from another domain.
    pub fn pass(&self) -> Option<(Id, Id)> {
        // A look at the text first: few come from another domain.
        let context = self.context.as_str();
        let pass = context.contains("\"tracardi\"").then(|| member(member(context, "tracardi")?, "pass"))??;
        let id = |name| Id::parse(&text(member(pass, name)?)?).ok()?;
        Some((id("profile")?, id("source")?))
    }
}

impl EventPayload {
    /// The fields of an event in it.
    pub const FIELDS: &[&str] = &["type", "id", "time", "properties", "context", "tags", "options"];

    /// An event that no client sent.
    pub fn internal(kind: EventType, properties: Json) -> Self {
        let (context, tags) = (Json::empty_object(), Arc::default());
        Self { id: None, kind, created: None, properties, from_form: false, context, tags, save: true }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let (mut kind, mut id, mut created) = (None, None, None);
        let (mut properties, mut context) = (Json::empty_object(), Json::empty_object());
        let (mut tags, mut save) = (Arc::default(), true);
        reader.object(Self::FIELDS, |reader, field| {
            match field {
                "type" => kind = Some(EventType::parse(&reader.whole_string()?)?),
                "id" => id = read_id(reader)?,
                "time" => created = read_event_time(reader)?,
                "properties" => properties = reader.free_object()?,
                "context" => context = reader.free_object()?,
                "tags" => tags = read_tags(reader)?,
                _ => {
                    reader.optional_object(&["save", "saveEvent"], |reader, _| {
                        save &= reader.lenient_boolean()?.unwrap_or(true);
                        Ok(())
                    })?;
                }
            }
            Ok(())
        })?;
        let kind = kind.ok_or_else(|| Fault::missing().at("type"))?;
        Ok(Self { id, kind, created, properties, from_form: false, context, tags, save })
    }
}

impl Options {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let mut options = Self::default();
        reader.optional_object(&["debugger", "profile", "saveSession", "saveEvents"], |reader, field| {
            let Some(value) = reader.lenient_boolean()? else { return Ok(()) };
            match field {
                "debugger" => options.debugger = value,
                "profile" => options.profile = value,
                "saveSession" => options.save_session = value,
                _ => options.save_events = value,
            }
            Ok(())
        })?;
        Ok(options)
    }
}

/// Reads `{"id": ...}`: `None` for `null`, `Some(None)` for an object whose id is missing.
fn read_entity(reader: &mut Reader<'_>) -> Result<Option<Option<Id>>, Fault> {
    let mut id = None;
    let there = reader.optional_object(&["id"], |reader, _| {
        id = read_id(reader)?;
        Ok(())
    })?;
    Ok(there.then_some(id))
}

/// Reads the session's id; none of `null`, and where the id is `null`, blank or not there. What an unset variable leads to is
/// a client's fault: taken for a first visit, each of its requests would be one.
fn read_session(reader: &mut Reader<'_>) -> Result<Option<Id>, Fault> {
    let mut id = None;
    reader.optional_object(&["id"], |reader, _| {
        if reader.peek()? == b'n' {
            return reader.null();
        }
        let text = reader.whole_string()?;
        if !text.trim().is_empty() {
            id = Some(Id::required(&text)?);
        }
        Ok(())
    })?;
    Ok(id)
}

fn required_entity(entity: Option<Option<Id>>, field: &str) -> Result<Id, Fault> {
    let id = entity.ok_or_else(|| Fault::missing().at(field))?;
    id.ok_or_else(|| Fault::missing().at("id").at(field))
}

/// Reads an id; `None` when it is `null` or counts as missing.
fn read_id(reader: &mut Reader<'_>) -> Result<Option<Id>, Fault> {
    if reader.peek()? == b'n' {
        return reader.null().map(|()| None);
    }
    Id::parse(&reader.whole_string()?)
}

/// Reads `{"create", "insert"}`; an `insert` without a `create` is what the client means.
fn read_event_time(reader: &mut Reader<'_>) -> Result<Option<Time>, Fault> {
    let (mut create, mut insert) = (None, None);
    reader.optional_object(&["create", "insert"], |reader, field| {
        let time = Time::read(reader)?;
        if field == "create" {
            create = time
        } else {
            insert = time
        }
        Ok(())
    })?;
    Ok(create.or(insert))
}

/// The time that `metadata` tells, whatever it is: some clients send a printed object.
fn time_said(metadata: &Json) -> Option<Time> {
    let times = member(metadata.as_str(), "time")?;
    ["create", "insert"].into_iter().find_map(|name| {
        let said = member(times, name)?;
        Time::read(&mut Reader::new(said.as_bytes(), 0).ok()?).ok()?
    })
}

fn read_tags(reader: &mut Reader<'_>) -> Result<Arc<[Box<str>]>, Fault> {
    let mut tags = Vec::new();
    if reader.peek()? == b'n' {
        return reader.null().map(|()| Arc::default());
    }
    reader.array(|reader, index| {
        let tag = reader.string()?.text;
        check_tag(index, &tag)?;
        tags.push(tag.into());
        Ok(())
    })?;
    Ok(tags.into())
}

/// Checks the tag that stands at `index` among the tags or groups of a record (docs/contract.md, section 1).
///
/// # Errors
/// It is too long, or one too many.
pub fn check_tag(index: usize, tag: &str) -> Result<(), Fault> {
    if index >= TAGS_MAX {
        return Err(Fault::new("value_error.list.max_items", format!("at most {TAGS_MAX} are taken")));
    }
    if tag.len() > NAME_BYTES_MAX {
        let msg = format!("at most {NAME_BYTES_MAX} bytes are taken, this one has {}", tag.len());
        return Err(Fault::new("value_error.any_str.max_length", msg));
    }
    Ok(())
}
