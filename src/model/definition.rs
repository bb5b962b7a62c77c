//! What people set up beside sources: event types, segments, workflows, destinations, consents, redirects. Each is a JSON object
//! with an id, kept as it was written; what it means is known to the module that compiles it.

use serde::{Deserialize, Serialize};

use super::{Fault, Id, Json, Time, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum DefinitionKind {
    EventType,
    Segment,
    Workflow,
    Destination,
    Consent,
    /// A segment that was deleted: whoever is in it is to leave.
    DeletedSegment,
    Redirect,
    /// A token that lets somebody look, by its hash.
    Token,
    /// A link to a page of the console, by the hash of what stands in it.
    Share,
    /// Who changed something that is set up, and how it was before.
    Change,
    /// A merge key that joined too many people: it finds nobody. The server makes it.
    BlockedKey,
}

impl DefinitionKind {
    /// Those that people set up.
    pub const ALL: [Self; 6] =
        [Self::EventType, Self::Segment, Self::Workflow, Self::Destination, Self::Consent, Self::Redirect];

    /// Whether something happens by it.
    pub fn is_compiled(self) -> bool {
        self == Self::DeletedSegment || Self::ALL.contains(&self)
    }

    /// The name of a table of them in a configuration file.
    pub fn word(self) -> &'static str {
        match self {
            Self::EventType => "event_type",
            Self::Segment => "segment",
            Self::Workflow => "workflow",
            Self::Destination => "destination",
            Self::Consent => "consent",
            Self::DeletedSegment => "deleted_segment",
            Self::Redirect => "redirect",
            Self::Token => "token",
            Self::Share => "share",
            Self::Change => "change",
            Self::BlockedKey => "blocked_key",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    pub kind: DefinitionKind,
    pub id: Id,
    /// The object as it was written, in its normal form.
    pub body: Json,
    /// When it was last saved.
    pub saved: Time,
}

impl Definition {
    /// What a segment leaves behind when it is deleted.
    pub fn deleted_segment(segment: &Self, now: Time) -> Self {
        Self { kind: DefinitionKind::DeletedSegment, id: segment.id.clone(), body: segment.body.clone(), saved: now }
    }

    /// Takes an object whose `id` names it.
    ///
    /// # Errors
    /// It is no object, or `id` is missing or wrong.
    pub fn new(kind: DefinitionKind, body: Json, now: Time) -> Result<Self, Fault> {
        let value = Value::from(&body);
        let object = value.as_object().ok_or_else(|| Fault::wrong_type("an object"))?;
        let id = match object.get("id") {
            Some(Value::Text(id)) => Id::required(id),
            Some(Value::Null) | None => Err(Fault::missing()),
            Some(_) => Err(Fault::wrong_type("a string")),
        };
        let id = id.map_err(|fault| fault.at("id"))?;
        Ok(Self { kind, id, body, saved: now })
    }
}
