//! What the debugger shows: what really happened (contract, section 3).

use std::{collections::BTreeMap, sync::Arc};

use serde::{Serialize, ser::SerializeMap};

use super::{Id, Json};

/// The most that is said in `logs` about one request.
const LOGS_MAX: usize = 200;

/// What the debugger shows.
#[derive(Default)]
pub struct Debugging {
    pub session_id: Option<Id>,
    /// The ids of the events that were stored.
    pub stored: Vec<Id>,
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
#[derive(Default, Serialize)]
pub struct SavedRecords {
    /// How many records were written; 0 where nothing changed or saving was off.
    pub saved: usize,
    pub errors: Vec<String>,
    /// The ids concerned.
    pub ids: Vec<Id>,
    /// Of events: their types.
    pub types: Vec<Arc<str>>,
}

/// How a workflow went.
#[derive(Debug, Serialize)]
pub struct Execution {
    /// The event that started it.
    pub event: Option<Id>,
    pub status: &'static str,
    pub steps: Vec<StepExecution>,
    /// What ended it early.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// How a step went.
#[derive(Debug, Serialize)]
pub struct StepExecution {
    pub id: Box<str>,
    pub status: &'static str,
    pub time_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[derive(Debug, Serialize)]
struct LogEntry {
    level: &'static str,
    message: String,
}

/// What processing has to say.
#[derive(Debug, Default, Serialize)]
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

/// The seed's `debugging` object, in full.
impl Serialize for Debugging {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Segmentation<'a> {
            errors: &'a [String],
            ids: &'a [Box<str>],
        }
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("session", &self.session)?;
        map.serialize_entry("events", &self.events)?;
        map.serialize_entry("profile", &self.profile)?;
        map.serialize_entry("execution", &self.execution)?;
        map.serialize_entry("segmentation", &Segmentation { errors: &self.segment_errors, ids: &self.segments })?;
        map.serialize_entry("logs", &self.logs)?;
        map.end()
    }
}
