//! What a path, a query or a header may say.

use serde_json::{Value, json};

use super::bodies::{self, NAME_MAX, NO_CONTROL, required_id};
use crate::http::asides::{LIMIT, LIMIT_MAX};

#[derive(Clone)]
pub struct Parameter {
    name: &'static str,
    place: &'static str,
    text: &'static str,
    schema: Value,
    required: bool,
}

impl Parameter {
    fn new(name: &'static str, text: &'static str, schema: Value) -> Self {
        Self { name, place: "query", text, schema, required: false }
    }

    fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// The part of a path that has this name. An id that says nothing names no record, which is no fault of its form.
    pub fn path(name: &'static str) -> Self {
        if name == "number" {
            let schema = json!({ "type": "integer", "minimum": 0, "maximum": u64::MAX });
            return Self { place: "path", required: true, ..Self::new(name, "Its place in the log.", schema) };
        }
        let (text, format) = match name {
            "event_type" => ("What happened.", "event-type"),
            "source_id" => ("Where it comes from.", "source-id"),
            "session_id" => ("The visit it belongs to; one that says nothing is none.", "id"),
            _ => ("Which one.", "id"),
        };
        Self { place: "path", required: true, ..Self::new(name, text, bodies::name(format)) }
    }

    /// The part of a path that has this name, whatever it says.
    pub fn any_path(name: &'static str) -> Self {
        Self { schema: json!({ "type": "string" }), ..Self::path(name) }
    }

    pub fn describe(self) -> Value {
        let Self { name, place, text, schema, required } = self;
        json!({ "name": name, "in": place, "description": text, "required": required, "schema": schema })
    }
}

// Formats that JSON Schema has no words for say what a text means; who does not know them takes it for a text.

fn id() -> Value {
    required_id("id")
}

fn source_id() -> Value {
    required_id("source-id")
}

fn event_type_pattern() -> Value {
    json!({ "type": "string", "format": "event-type-pattern", "examples": ["page-view", "checkout-*"] })
}

fn word(words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words })
}

fn text(format: &str) -> Value {
    json!({ "type": "string", "format": format })
}

/// A boolean of a query: these words, in any case.
fn boolean() -> Value {
    word(&["true", "false", "1", "0", "yes", "no", "on", "off", "t", "f", "y", "n", ""])
}

fn moment() -> Value {
    json!({ "type": "string", "format": "moment", "examples": ["-24h", "2026-11-25T10:00:00Z"] })
}

pub fn flag(name: &'static str, text: &'static str) -> Parameter {
    Parameter::new(name, text, boolean())
}

/// Everything that a webhook's query says becomes a property, as text, whatever it was where it was written.
pub fn properties() -> Parameter {
    let schema = json!({ "type": "object" });
    Parameter::new("properties", "Whatever the query says becomes properties of the event; the body wins.", schema)
}

/// Of a list of sources.
pub fn query() -> Parameter {
    Parameter::new("query", "A part of the name.", json!({ "type": "string" }))
}

/// Of what is set aside for a destination.
pub fn asides() -> Vec<Parameter> {
    let from = json!({ "type": "integer", "minimum": 0, "maximum": u64::MAX });
    let limit = json!({ "type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT });
    vec![
        Parameter::new("from", "The place in the log to begin at.", from),
        Parameter::new("limit", "How many at most.", limit),
    ]
}

/// Of an event's record.
pub fn source_of_event() -> Parameter {
    let schema = json!({ "type": "string", "format": "id", "maxLength": NAME_MAX, "pattern": NO_CONTROL });
    Parameter::new("source", "Whose event is meant, if two sources use the id.", schema)
}

fn types() -> Parameter {
    let schema = json!({ "type": "array", "items": event_type_pattern(), "maxItems": 100 });
    Parameter::new(
        "type",
        "Only events of these types; may be said more than once, `checkout-*` is all that begin so.",
        schema,
    )
}

/// Of sessions: the one that they began with.
fn source() -> Parameter {
    Parameter::new("source", "Only what came from this source.", source_id())
}

fn sources() -> Parameter {
    let schema = json!({ "type": "array", "items": source_id(), "maxItems": 100 });
    Parameter::new("source", "Only what came from these sources; may be said more than once.", schema)
}

fn bot() -> Parameter {
    Parameter::new("bot", "Whether known bots sent them.", boolean())
}

fn session() -> Parameter {
    Parameter::new("session", "Only events of this session.", id())
}

fn profile() -> Parameter {
    Parameter::new("profile", "Only what is of this person, by any of their ids.", id())
}

fn from() -> Parameter {
    Parameter::new(
        "from",
        "Not before this time, or how long ago (`-15m`, `-24h`, `-7d`), by the server's time.",
        moment(),
    )
}

fn to() -> Parameter {
    Parameter::new("to", "Before this time, or how long ago.", moment())
}

fn condition() -> Parameter {
    Parameter::new("where", "A condition (CEL) over the record, as in workflows.", text("cel"))
}

fn fields() -> Parameter {
    Parameter::new("fields", "Only these paths of each record: `type,properties.price`.", text("paths"))
}

fn time_zone() -> Parameter {
    Parameter::new("tz", "Where days begin: an IANA name, else UTC.", text("time-zone"))
}

fn event_filters() -> Vec<Parameter> {
    let tag = json!({ "type": "string", "format": "tag", "maxLength": NAME_MAX });
    vec![
        types(),
        sources(),
        bot(),
        Parameter::new("tag", "Only events with this tag.", tag),
        Parameter::new("valid", "Whether they keep to their type's schema.", boolean()),
        from(),
        condition(),
        fields(),
    ]
}

/// How a list of records is ordered, cut and written.
fn pages() -> Vec<Parameter> {
    let limit = json!({ "type": "integer", "minimum": 1 });
    vec![
        Parameter::new("order", "`newest` if it is not said.", word(&["newest", "oldest"])),
        Parameter::new("limit", "How many records. In JSON 100 if it is not said, and at most 1,000.", limit),
        Parameter::new("cursor", "Goes on behind the last record of a page with the same filters.", text("cursor")),
        Parameter::new(
            "format",
            "How they are written, if `Accept` does not say it.",
            word(&["json", "ndjson", "csv"]),
        ),
    ]
}

/// Of lists of events: of all, of a session's, of a profile's.
pub fn events() -> Vec<Parameter> {
    [vec![session(), profile()], event_filters(), vec![to()], pages()].concat()
}

pub fn events_of_session() -> Vec<Parameter> {
    [vec![profile()], event_filters(), vec![to()], pages()].concat()
}

pub fn events_of_profile() -> Vec<Parameter> {
    [vec![session()], event_filters(), vec![to()], pages()].concat()
}

/// Of files of a kind of records.
pub fn export() -> Vec<Parameter> {
    let what = word(&["events", "sessions", "profiles"]);
    let kinds = [vec![session(), profile()], event_filters(), vec![to()]].concat();
    let limit = json!({ "type": "integer", "minimum": 1 });
    let own = vec![
        Parameter::new(
            "what",
            "Which records. Each takes the filters of its own list; here are those of events.",
            what,
        )
        .required(),
        Parameter::new("order", "`oldest` if it is not said.", word(&["newest", "oldest"])),
        Parameter::new("limit", "How many records; all if it is not said.", limit),
        Parameter::new("cursor", "Goes on behind the last record of a page with the same filters.", text("cursor")),
        Parameter::new("format", "`ndjson` if it is not said.", word(&["ndjson", "csv", "parquet"])),
    ];
    [own, kinds].concat()
}

/// Of a file of records.
pub fn import() -> Vec<Parameter> {
    let what = word(&["events", "sessions", "profiles"]);
    vec![
        Parameter::new("what", "Which records the lines are, where that cannot be told.", what),
        Parameter::new("source", "The source of lines that name none.", id()),
        Parameter::new("make_sources", "Registers sources that are missing, switched off.", boolean()),
    ]
}

/// Of who follows the log.
pub fn live() -> Vec<Parameter> {
    let id = Parameter::new("Last-Event-ID", "Behind which event it goes on.", text("cursor"));
    [vec![session(), profile()], event_filters(), vec![Parameter { place: "header", ..id }]].concat()
}

pub fn sessions() -> Vec<Parameter> {
    [vec![profile()], sessions_of_profile()].concat()
}

pub fn sessions_of_profile() -> Vec<Parameter> {
    [vec![source(), from(), to(), condition(), fields()], pages()].concat()
}

pub fn profiles() -> Vec<Parameter> {
    let known_by = |name, what, format| Parameter::new(name, what, text(format));
    let filters = vec![
        known_by("email", "Whoever is known by this address.", "address"),
        known_by("phone", "Whoever is known by this number.", "phone"),
        known_by("identifier", "Whoever is known by this identifier.", "identifier"),
        known_by("pk", "Whoever is known by this primary key.", "identifier"),
        Parameter::new("segment", "Only who is in it.", id()),
    ];
    [filters, vec![from(), to(), condition(), fields()], pages()].concat()
}

pub fn timeline() -> Vec<Parameter> {
    [vec![from(), to(), fields()], pages()].concat()
}

pub fn counts() -> Vec<Parameter> {
    let (times, others) = ("minute|hour|day|week|month", "type|source|tag");
    let pairs = "type,source|type,tag|source,type|source,tag|tag,type|tag,source";
    let pattern = format!("^({times}|{others}|({times}),({others})|({others}),({times})|{pairs})$");
    let by = json!({ "type": "string", "pattern": pattern, "examples": ["day", "day,type"] });
    let text =
        "One or two of `minute`, `hour`, `day`, `week`, `month`, `type`, `source`, `tag`; at most one of them a time.";
    vec![Parameter::new("by", text, by).required(), types(), sources(), bot(), from(), to(), time_zone()]
}

pub fn with_events() -> Parameter {
    Parameter::new("events", "Whether events and sessions go, too.", json!({ "type": "boolean", "default": false }))
}

pub fn visits() -> Vec<Parameter> {
    let by = word(&["hour", "day", "week", "month"]);
    vec![Parameter::new("by", "The periods.", by).required(), types(), sources(), bot(), from(), to(), time_zone()]
}

pub fn top() -> Vec<Parameter> {
    let places = "page|entry|referrer|browser|os|device|country|language|source";
    let pattern = format!(r"^({places}|utm\.(source|medium|campaign)|event\.properties(\.[A-Za-z_]{{1,32}}){{1,8}})$");
    let of = json!({ "type": "string", "pattern": pattern, "examples": ["page", "event.properties.product"] });
    let limit = json!({ "type": "integer", "minimum": 1, "maximum": 1_000, "default": 20 });
    let text = "What is looked at: a page, `entry` (the first page of a visit), what the client is, or a property.";
    vec![
        Parameter::new("of", text, of).required(),
        Parameter::new("limit", "How many values are told at most.", limit),
        types(),
        sources(),
        bot(),
        from(),
        to(),
        time_zone(),
    ]
}

pub fn funnel() -> Vec<Parameter> {
    let step = json!({ "type": "string", "format": "step" });
    let steps = json!({ "type": "array", "items": step, "minItems": 2, "maxItems": 8 });
    let within = json!({ "type": "string", "pattern": "^[0-9]{1,9}(ms|s|m|h|d)$", "examples": ["7d"] });
    vec![
        Parameter::new("step", "An event type, perhaps with a condition: `TYPE[event.properties.price > 100]`.", steps)
            .required(),
        Parameter::new("within", "How long all steps may take; `7d` if it is not said.", within),
        sources(),
        bot(),
        from(),
        to(),
    ]
}

pub fn retention() -> Vec<Parameter> {
    vec![
        Parameter::new("by", "The periods.", word(&["day", "week", "month"])).required(),
        Parameter::new(
            "first",
            "The event type by which people come first; any if it is not said.",
            event_type_pattern(),
        ),
        Parameter::new("again", "The event type by which they come back; any if it is not said.", event_type_pattern()),
        sources(),
        bot(),
        from(),
        to(),
        time_zone(),
    ]
}
