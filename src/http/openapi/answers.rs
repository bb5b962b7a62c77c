//! What is answered, where it is written by hand and no type says it.

use serde_json::{Value, json};

/// `true`.
pub fn deleted() -> Value {
    json!({ "const": true })
}

/// What an erasure took out at once; its id tells how far it is.
pub fn begun_erasure(done: &str) -> Value {
    json!({
        "type": "object",
        "required": [done, "erasure"],
        "properties": { done: erased_counts(), "erasure": { "type": "string" } },
    })
}

fn erased_counts() -> Value {
    let count = json!({ "type": "integer", "minimum": 0 });
    json!({
        "type": "object",
        "required": ["events", "sessions", "profiles"],
        "properties": { "events": count, "sessions": count, "profiles": count },
    })
}

pub fn erasure() -> Value {
    let time = json!({ "type": ["string", "null"], "format": "date-time" });
    json!({
        "type": "object",
        "required": ["id", "kind", "done", "time", "left"],
        "properties": {
            "id": { "type": "string" },
            "kind": { "enum": ["erase", "forget"] },
            "done": { "type": "boolean" },
            "time": { "type": "object", "properties": { "asked": time, "done": time } },
            "erased": erased_counts(),
            "forgotten": erased_counts(),
            "left": { "type": "array", "items": { "type": "object", "required": ["kind"] } },
        },
    })
}

/// One of the events of a stream, which is read as such.
pub fn live_event() -> Value {
    let text = json!({ "type": "string" });
    json!({
        "description": "Each event of the stream.",
        "type": "object",
        "properties": { "id": text, "event": { "enum": ["event", "behind"] }, "data": text },
    })
}

/// What a list of records is written as: a page of JSON, or lines.
pub fn lists(page: Value) -> Vec<(&'static str, Value)> {
    let text = json!({ "type": "string" });
    vec![("application/json", page), ("application/x-ndjson", text.clone()), ("text/csv", text)]
}
