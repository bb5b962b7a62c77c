//! What clients send, where it is read by hand: what is listed here is looked at, other fields are taken and ignored.

use serde_json::{Value, json};

use crate::model::{EVENTS_MAX, Id, KnownBy, SourceType};

/// The longest id, event type or tag, in characters; it is bytes that count.
pub const NAME_MAX: usize = 128;
/// No control characters.
pub const NO_CONTROL: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";
const TAGS_MAX: usize = 100;

/// An id or an event type.
pub fn name(format: &str) -> Value {
    json!({ "type": "string", "format": format, "minLength": 1, "maxLength": NAME_MAX, "pattern": NO_CONTROL })
}

/// An id that must say something: these words, in any case, are what a client with an unset variable sends.
pub fn required_id(format: &str) -> Value {
    let mut id = name(format);
    id["not"] = json!({ "enum": Id::MISSING_WORDS });
    id
}

/// One that may be missing: `null`, blank, or what a client with an unset variable sends.
fn optional_id() -> Value {
    json!({ "type": ["string", "null"], "format": "id", "maxLength": NAME_MAX, "pattern": NO_CONTROL })
}

fn free_object() -> Value {
    json!({ "type": ["object", "null"] })
}

fn optional_text() -> Value {
    json!({ "type": ["string", "null"] })
}

fn boolean(default: bool) -> Value {
    json!({ "enum": [true, false, "true", "false", 1, 0, null], "default": default })
}

/// A time as a client tells it.
fn time() -> Value {
    json!({
        "description": "RFC 3339, or seconds since 1970, or from 1e11 on milliseconds.",
        "anyOf": [
            { "type": "string", "format": "date-time" },
            { "type": "number", "minimum": -62_135_596_800_i64, "maximum": 253_402_300_799_999_i64 },
            { "type": "null" },
        ],
    })
}

fn times() -> Value {
    json!({
        "description": "When it happened by the client's clock.",
        "type": ["object", "null"],
        "properties": { "create": time(), "insert": time() },
    })
}

fn tag() -> Value {
    json!({ "type": "string", "maxLength": NAME_MAX, "format": "tag" })
}

fn tags() -> Value {
    json!({ "type": ["array", "null"], "items": tag(), "maxItems": TAGS_MAX })
}

fn tag_or_tags() -> Value {
    json!({ "anyOf": [tag(), tags()] })
}

/// `{"id": ...}`.
fn entity(id: Value, required: bool) -> Value {
    let mut entity = json!({ "type": "object", "properties": { "id": id } });
    if required {
        entity["required"] = json!(["id"]);
    } else {
        entity["type"] = json!(["object", "null"]);
    }
    entity
}

/// The visit: without an id, or with a blank one, that of a client that makes none, which is answered the server's.
fn session() -> Value {
    let mut id = optional_id();
    id["not"] = json!({ "enum": Id::MISSING_WORDS });
    let mut session = entity(id, false);
    session["description"] = json!("Without an id, or with a blank one, the server makes it and answers it.");
    session
}

/// The body of `POST /track`.
pub fn payload() -> Value {
    let event = json!({
        "type": "object",
        "required": ["type"],
        "properties": {
            "type": { "type": "string", "format": "event-type", "minLength": 1 },
            "id": {
                "description": "The client's own: an event that comes again under it is not stored again.",
                "type": ["string", "null"], "format": "new-id", "maxLength": NAME_MAX, "pattern": NO_CONTROL,
            },
            "time": times(),
            "properties": free_object(),
            "context": free_object(),
            "tags": tags(),
            "options": {
                "type": ["object", "null"],
                "properties": { "save": boolean(true), "saveEvent": boolean(true) },
            },
        },
    });
    json!({
        "type": "object",
        "required": ["source", "session", "events"],
        "properties": {
            "source": entity(required_id("source-id"), true),
            "session": session(),
            "profile": entity(optional_id(), false),
            "events": { "type": "array", "items": event, "maxItems": EVENTS_MAX },
            "context": { "description": "Kept in the session, and the base of each event's.", "type": ["object", "null"] },
            "properties": { "description": "Kept in the session.", "type": ["object", "null"] },
            "request": free_object(),
            "device": entity(optional_id(), false),
            "metadata": {
                "description": "`time.create` is taken for events without one, if it can be read; whatever else stands here is ignored.",
            },
            "options": {
                "type": ["object", "null"],
                "properties": {
                    "debugger": boolean(false),
                    "profile": boolean(false),
                    "saveSession": boolean(true),
                    "saveEvents": boolean(true),
                },
            },
        },
    })
}

/// A file of records: each line is one, or is told as none that fits.
pub fn lines() -> Value {
    json!({ "type": "string", "format": "record-lines" })
}

/// A line of a file of records.
pub fn line_example() -> Value {
    let time = json!({ "insert": "2024-05-01T10:00:00Z" });
    let event =
        json!({ "id": "old-1", "type": "page-view", "source": { "id": "SOURCE-ID" }, "metadata": { "time": time } });
    event.to_string().into()
}

/// A list of profiles or sessions.
pub fn records_example() -> Value {
    json!([{ "id": "ada", "metadata": { "time": { "insert": "2024-05-01T10:00:00Z" } } }])
}

/// A viewer's token that is to be made.
pub fn token() -> Value {
    let name = json!({ "type": "string", "minLength": 1, "maxLength": 120, "pattern": r"\S" });
    json!({
        "type": "object",
        "required": ["role", "name"],
        "properties": { "role": { "enum": ["viewer"] }, "name": name },
    })
}

pub fn token_example() -> Value {
    json!({ "role": "viewer", "name": "Marketing" })
}

/// A link that is to be made.
pub fn share() -> Value {
    let expires = json!({
        "description": "A time to come, or for how long, like `7d`; 30 days if it is left out.",
        "type": ["string", "null"], "format": "expiry", "examples": ["7d", "2099-01-01T00:00:00Z"],
    });
    let page = format!("^({})(\\?[^#]*)?$", crate::admin::SHARED_PAGES.join("|"));
    json!({
        "type": "object",
        "required": ["page"],
        "properties": { "page": { "type": "string", "pattern": page }, "expires": expires },
    })
}

pub fn share_example() -> Value {
    json!({ "page": "overview?period=30d", "expires": "7d" })
}

/// What consent widgets send.
pub fn consents() -> Value {
    json!({
        "type": "object",
        "required": ["source", "session"],
        "properties": {
            "source": entity(required_id("source-id"), true),
            "session": session(),
            "profile": entity(optional_id(), false),
            "consents": { "type": ["object", "null"], "additionalProperties": { "anyOf": [
                { "type": "boolean" },
                {
                    "description": "Granted until this time; for good, where none is said.",
                    "type": "object",
                    "required": ["revoke"],
                    "properties": { "revoke": { "anyOf": [{ "type": "string", "format": "date-time" }, { "type": "null" }] } },
                    "additionalProperties": false,
                },
            ] } },
        },
    })
}

pub fn consents_example() -> Value {
    json!({ "source": { "id": "shop" }, "session": { "id": "my-first-session" }, "consents": { "marketing": true } })
}

pub fn payload_example() -> Value {
    json!({
        "source": { "id": "shop" },
        "session": { "id": "my-first-session" },
        "events": [{ "type": "purchase-order", "properties": { "product": "Nike shoes", "quantity": 1 } }],
    })
}

/// The body of a webhook: the properties of an event, or of several.
pub fn webhook() -> Value {
    let many = json!({ "type": "array", "items": { "type": "object" }, "maxItems": EVENTS_MAX });
    json!({ "anyOf": [{ "type": "object" }, many] })
}

/// A form, which becomes an object of texts.
pub fn form() -> Value {
    json!({ "type": "object", "additionalProperties": { "type": "string" } })
}

/// A form whose names stand in headers, which hold no control characters of ASCII.
pub fn multipart() -> Value {
    let mut form = form();
    form["propertyNames"] = json!({ "pattern": r"^[^\u0000-\u001f\u007f]*$" });
    form
}

/// The body of `POST /event-source`.
pub fn source() -> Value {
    let word = json!({ "type": "string", "enum": SourceType::ALL.map(SourceType::word) });
    let is = json!({ "type": "string", "enum": KnownBy::ALL.map(KnownBy::word) });
    json!({
        "type": "object",
        "required": ["name", "type"],
        "properties": {
            "id": {
                "description": "Made by the server if it is not given.",
                "type": ["string", "null"], "format": "new-id", "maxLength": NAME_MAX, "pattern": NO_CONTROL,
            },
            "name": { "type": "string", "format": "name", "minLength": 1 },
            "type": { "anyOf": [word.clone(), { "type": "array", "items": word, "minItems": 1 }] },
            "bridge": {
                "type": ["object", "null"],
                "properties": { "id": optional_id(), "name": optional_text() },
            },
            "description": optional_text(),
            "channel": optional_text(),
            "enabled": boolean(true),
            "transitional": boolean(false),
            "tags": tag_or_tags(),
            "groups": tag_or_tags(),
            "permanent_profile_id": boolean(false),
            "requires_consent": boolean(false),
            "locked": boolean(false),
            "config": {
                "type": ["object", "null"],
                "properties": {
                    "origins": {
                        "description": "The web origins that may send; any if none is named.",
                        "type": ["array", "null"], "items": { "type": "string", "format": "origin" },
                    },
                    "static_profile_id": boolean(false),
                    "profile": {
                        "description": "What in an event tells whose it is.",
                        "type": ["object", "null"],
                        "required": ["path", "is"],
                        "properties": {
                            "path": { "type": "string", "format": "properties-path", "pattern": "^properties\\.[^.\\[\\]\"]" },
                            "is": is,
                            "create": boolean(false),
                        },
                        "additionalProperties": false,
                    },
                    "requires_secret": boolean(false),
                    "identify": { "enum": ["anyone", "secret", null], "default": "anyone" },
                    "phone_country": {
                        "description": "Where phone numbers that tell no country are dialled (ISO 3166-1 alpha-2).",
                        "type": ["string", "null"], "format": "country",
                    },
                    "answer": { "enum": ["short", "full", null], "default": "short" },
                    "dnt": {
                        "description": "What becomes of events of visitors who ask not to be tracked (DNT: 1, Sec-GPC: 1).",
                        "enum": ["ignore", "no-profile", "refuse", null], "default": "ignore",
                    },
                    "event_id": {
                        "description": "Where a webhook's own id stands, which is then its event's: properties.NAME or header:NAME.",
                        "type": ["string", "null"], "format": "event-id-place",
                    },
                },
            },
            "timestamp": { "description": "The server's; what is sent is ignored." },
        },
    })
}

pub fn source_example() -> Value {
    json!({
        "id": "shop", "name": "Shop", "type": ["rest", "webhook"],
        "config": { "origins": ["https://shop.example"] },
    })
}

/// The body of `POST /user/token`.
pub fn log_in() -> Value {
    json!({
        "type": "object",
        "required": ["username", "password"],
        "properties": {
            "username": { "const": "admin" },
            "password": { "description": "The administrator's token.", "type": "string", "format": "password" },
        },
    })
}

/// The body of `POST /profile/ID/split`.
pub fn split() -> Value {
    json!({
        "type": "object",
        "properties": {
            "id": { "description": "Who is split off; who was merged last if it is not said.", "type": "string", "format": "id", "maxLength": NAME_MAX, "pattern": NO_CONTROL },
        },
    })
}

/// The body of `POST /profile/ID/merge`.
pub fn merge() -> Value {
    let with = json!({ "description": "Who is made one with the profile.", "type": "string", "format": "id", "maxLength": NAME_MAX, "pattern": NO_CONTROL });
    json!({ "type": "object", "required": ["with"], "properties": { "with": with } })
}

/// The body of `POST /destination/ID/replay`.
pub fn replay() -> Value {
    let from = json!({ "description": "A place in the log.", "type": "integer", "minimum": 0, "maximum": u64::MAX });
    json!({ "type": "object", "required": ["from"], "properties": { "from": from } })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::model::{EventPayload, Payload, Source};

    fn assert_lists(schema: &Value, fields: &[&str]) {
        let listed: BTreeSet<&str> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(listed, fields.iter().copied().collect());
    }

    #[test]
    fn the_fields_that_are_read_are_listed() {
        let payload = payload();
        assert_lists(&payload, Payload::FIELDS);
        assert_lists(&payload["properties"]["events"]["items"], EventPayload::FIELDS);
        assert_lists(&source(), Source::FIELDS);
    }
}
