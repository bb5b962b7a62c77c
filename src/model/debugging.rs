//! What the debugger shows: what really happened (docs/contract.md, section 3).

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;

use super::{Id, Json};

/// The most that is said in `logs` about one request.
const LOGS_MAX: usize = 200;

/// What the debugger shows.
#[derive(Default)]
pub struct Debugging {
    pub session: SavedRecords,
    pub events: SavedRecords,
    pub profile: SavedRecords,
    /// By workflow: how it went for each event that started it.
    pub execution: BTreeMap<Id, Vec<Execution>>,
    /// The segments that the profile is in.
    pub segments: Vec<Box<str>>,
    pub segment_errors: Vec<String>,
    pub logs: Logs,
}

/// How a kind of record fared.
#[derive(Default, Serialize, JsonSchema)]
pub struct SavedRecords {
    /// How many records were written; 0 where nothing changed or saving was off.
    pub saved: usize,
    pub errors: Vec<String>,
    /// The ids concerned; of events, of those that were stored: the client's own first, then what the server notes.
    pub ids: Vec<Id>,
    /// Of events: the types of all that happened, in that order.
    pub types: Vec<Arc<str>>,
}

/// How a workflow went.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Execution {
    /// The event that started it.
    pub event: Option<Id>,
    pub status: &'static str,
    pub steps: Vec<StepExecution>,
    /// What ended it early.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub error: Option<String>,
}

/// How a step went.
#[derive(Debug, Serialize, JsonSchema)]
pub struct StepExecution {
    pub id: Box<str>,
    pub status: &'static str,
    pub time_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Json")]
    pub result: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub error: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct LogEntry {
    level: &'static str,
    message: String,
}

/// What processing has to say.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Logs(Vec<LogEntry>);

impl Logs {
    pub fn info(&mut self, message: String) {
        self.push("info", message);
    }

    pub fn warn(&mut self, message: String) {
        self.push("warning", message);
    }

    pub fn error(&mut self, message: String) {
        self.push("error", message);
    }

    pub fn errors(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|entry| entry.level == "error").map(|entry| &*entry.message)
    }

    fn push(&mut self, level: &'static str, message: String) {
        if self.0.len() < LOGS_MAX {
            self.0.push(LogEntry { level, message });
        } else if self.0.len() == LOGS_MAX {
            self.0.push(LogEntry {
                level: "warning",
                message: format!("more than {LOGS_MAX} entries: the others are left out"),
            });
        }
    }
}

/// What really happened.
#[derive(Serialize, JsonSchema)]
struct Shown<'a> {
    session: &'a SavedRecords,
    events: &'a SavedRecords,
    profile: &'a SavedRecords,
    /// By workflow: how it went for each event that started it.
    execution: &'a BTreeMap<Id, Vec<Execution>>,
    segmentation: Segmentation<'a>,
    logs: &'a Logs,
}

/// The segments that the profile is in.
#[derive(Serialize, JsonSchema)]
struct Segmentation<'a> {
    errors: &'a [String],
    ids: &'a [Box<str>],
}

/// The `debugging` object, in full.
impl Serialize for Debugging {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Shown {
            session: &self.session,
            events: &self.events,
            profile: &self.profile,
            execution: &self.execution,
            segmentation: Segmentation { errors: &self.segment_errors, ids: &self.segments },
            logs: &self.logs,
        }
        .serialize(serializer)
    }
}

impl JsonSchema for Debugging {
    fn schema_name() -> Cow<'static, str> {
        "Debugging".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Shown::json_schema(generator)
    }
}
