//! Events as they are shown: with what follows from context and client, and what was written over it.

use std::{borrow::Cow, sync::Arc};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;

use super::{
    super::{Derived, Id, Json, Time, Value, derived::Told, json::free_object},
    ClientFacts, Event, EventRequest, EventStatus, IDENTIFIED,
};

/// An event with its request, as `GET /event/ID` shows it.
pub struct ShownEvent {
    pub request: Arc<EventRequest>,
    pub event: Arc<Event>,
}

/// `{"id": ...}`.
#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
pub struct Entity<'a> {
    pub id: &'a Id,
}

/// The parts of an event as it is shown.
#[derive(Serialize, JsonSchema)]
pub struct EventParts<'a> {
    pub id: &'a Id,
    /// In lower case, with `-` between its words.
    #[serde(rename = "type")]
    pub kind: &'a str,
    /// The type as it was sent.
    pub name: &'a str,
    pub source: Entity<'a>,
    pub session: Option<Entity<'a>>,
    pub profile: Option<Entity<'a>>,
    #[schemars(schema_with = "free_object")]
    pub properties: &'a Json,
    #[schemars(schema_with = "free_object")]
    pub context: Json,
    pub request: &'a ClientFacts,
    pub tags: &'a [Box<str>],
    #[schemars(schema_with = "free_object")]
    pub traits: Json,
    #[schemars(schema_with = "free_object")]
    pub data: Json,
    pub journey: Journey<'a>,
    pub metadata: EventMetadata,
    /// The page.
    #[schemars(schema_with = "free_object")]
    pub hit: Json,
    /// The campaign.
    #[schemars(schema_with = "free_object")]
    pub utm: Json,
    #[schemars(schema_with = "free_object")]
    pub device: Json,
    #[schemars(schema_with = "free_object")]
    pub os: Json,
    #[schemars(schema_with = "free_object")]
    pub app: Json,
}

#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
pub struct Journey<'a> {
    pub state: Option<&'a str>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
pub struct EventMetadata {
    pub time: EventTimes,
    pub profile_less: bool,
    pub status: EventStatus,
    /// It keeps to its type's schema.
    pub valid: bool,
    /// The user agent is a known bot's.
    pub bot: bool,
    /// `false` with an event that says whose it is and was not let.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub identified: Option<Value>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub imported: bool,
}

#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
pub struct EventTimes {
    /// The server's, which counts.
    pub insert: Time,
    /// The client's, if it said one.
    pub create: Time,
}

impl ShownEvent {
    /// What stands at `steps` of the event as it is shown; as little as can be is made for it.
    pub fn get(&self, steps: &[Box<str>]) -> Option<Value> {
        let Self { request, event } = self;
        let Some((part, rest)) = steps.split_first() else { return Some(Value::shown(self)) };
        let whole = match &**part {
            "id" => Value::text(&event.id.text()),
            "type" => Value::text(&event.kind),
            "name" => Value::text(&event.name),
            "source" => Value::shown(&self.source()),
            "session" => Value::shown(&self.session()),
            "profile" => Value::shown(&self.profile()),
            "properties" => return event.properties.get(rest),
            "context" => match rest.split_first() {
                None => Value::from(&self.context()),
                // A part of it that the event has is the event's.
                Some((key, _)) if event.context.get(std::slice::from_ref(key)).is_some() => {
                    return event.context.get(rest);
                }
                Some(_) => return request.context.get(rest),
            },
            "request" => Value::shown(&request.client),
            "tags" => Value::List(event.tags.iter().map(|tag| Value::text(tag)).collect()),
            "journey" => Value::shown(&self.journey()),
            "metadata" => Value::shown(&self.metadata(&self.written())),
            "traits" | "data" => Value::from(&laid_over(Json::empty_object(), &self.written(), part)),
            "hit" | "utm" | "device" | "os" | "app" => {
                let Derived { device, os, app, utm, hit } = self.derived(&self.context());
                let derived = match &**part {
                    "hit" => hit,
                    "utm" => utm,
                    "device" => device,
                    "os" => os,
                    _ => app,
                };
                Value::from(&laid_over(derived, &self.written(), part))
            }
            _ => return None,
        };
        if rest.is_empty() { Some(whole) } else { whole.get(rest).cloned() }
    }

    fn source(&self) -> Entity<'_> {
        Entity { id: &self.request.source }
    }

    fn session(&self) -> Option<Entity<'_>> {
        self.request.session.as_ref().map(|id| Entity { id })
    }

    fn profile(&self) -> Option<Entity<'_>> {
        self.request.profile.as_ref().map(|profile| Entity { id: &profile.id })
    }

    fn context(&self) -> Json {
        self.request.context.updated(&self.event.context)
    }

    fn journey(&self) -> Journey<'_> {
        Journey { state: self.event.outcome.journey.as_deref() }
    }

    fn written(&self) -> Value {
        Value::from(&self.event.outcome.written)
    }

    fn metadata(&self, written: &Value) -> EventMetadata {
        let Self { request, event } = self;
        EventMetadata {
            time: EventTimes { insert: request.inserted, create: event.created.unwrap_or(request.inserted) },
            profile_less: request.profile_less,
            status: event.outcome.status,
            valid: event.outcome.valid,
            bot: request.bot,
            identified: written.get(&[IDENTIFIED.into()]).cloned(),
            imported: request.imported,
        }
    }

    fn derived(&self, context: &Json) -> Derived {
        Derived::new(context, Told::of(&self.request.client))
    }
}

/// A part of an event as it is derived, with what was written to it.
fn laid_over(derived: Json, written: &Value, part: &str) -> Json {
    let written = written.as_object().and_then(|parts| parts.get(part)).and_then(Value::as_object);
    let Some(written) = written.filter(|written| !written.is_empty()) else { return derived };
    let mut shown = Value::from(&derived);
    if let Some(shown) = shown.as_object_mut() {
        written.iter().for_each(|(key, value)| shown.insert(key, value.clone()));
    }
    shown.to_json()
}

impl Serialize for ShownEvent {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.parts().serialize(serializer)
    }
}

impl ShownEvent {
    /// The event as it is shown, part by part.
    pub fn parts(&self) -> EventParts<'_> {
        let Self { request, event } = self;
        let context = self.context();
        let derived = self.derived(&context);
        let written = self.written();
        EventParts {
            id: &event.id,
            kind: &event.kind,
            name: &event.name,
            source: self.source(),
            session: self.session(),
            profile: self.profile(),
            properties: &event.properties,
            context,
            request: &request.client,
            tags: &event.tags,
            traits: laid_over(Json::empty_object(), &written, "traits"),
            data: laid_over(Json::empty_object(), &written, "data"),
            journey: self.journey(),
            metadata: self.metadata(&written),
            hit: laid_over(derived.hit, &written, "hit"),
            utm: laid_over(derived.utm, &written, "utm"),
            device: laid_over(derived.device, &written, "device"),
            os: laid_over(derived.os, &written, "os"),
            app: laid_over(derived.app, &written, "app"),
        }
    }
}

impl JsonSchema for ShownEvent {
    fn schema_name() -> Cow<'static, str> {
        "Event".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        EventParts::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{super::Reader, Outcome},
        *,
    };

    fn json(text: &str) -> Json {
        Reader::new(text.as_bytes(), 0).unwrap().value().unwrap()
    }

    fn shown(written: &str) -> ShownEvent {
        let client =
            ClientFacts { user_agent: Some("Mozilla/5.0 (X11) Firefox/140.0".into()), ..ClientFacts::default() };
        let request = EventRequest {
            inserted: Time::from_micros(7_000_000),
            source: Id::required("shop").unwrap(),
            session: Some(Id::required("s1").unwrap()),
            profile: None,
            profile_less: true,
            context: json(
                r#"{"page":{"url":"https://shop.example/?utm_source=news","title":"Shop"},"time":{"tz":"UTC"}}"#,
            ),
            client: Arc::new(client),
            bot: false,
            profile_state: None,
            imported: false,
        };
        let event = Event {
            id: Id::required("e1").unwrap(),
            given: true,
            kind: "seen".into(),
            name: "Seen".into(),
            created: None,
            properties: json(r#"{"price":1.50,"items":[{"id":"a"},"b",[]],"\"":{"":null},"deep":{"er":{}}}"#),
            context: json(r#"{"page":{"title":"Offers"},"more":{"x":1}}"#),
            tags: ["new".into(), "seen".into()].into(),
            outcome: Outcome { journey: Some("awareness".into()), written: json(written), ..Outcome::default() },
        };
        ShownEvent { request: Arc::new(request), event: Arc::new(event) }
    }

    /// The steps to everything in `value`, below `base`.
    fn all_steps(value: &Value, base: &mut Vec<Box<str>>, found: &mut Vec<Vec<Box<str>>>) {
        found.push(base.clone());
        let mut below = |step: Box<str>, value: &Value| {
            base.push(step);
            all_steps(value, base, found);
            base.pop();
        };
        match value {
            Value::Object(object) => object.iter().for_each(|(key, value)| below(key.into(), value)),
            Value::List(list) => {
                list.iter().enumerate().for_each(|(at, value)| below(at.to_string().into(), value));
            }
            _ => {}
        }
    }

    #[test]
    fn what_stands_at_a_path_is_what_is_shown_there() {
        for written in ["{}", r#"{"data":{"x":{"y":2}},"os":{"name":"Own"},"hit":{"own":true},"identified":false}"#] {
            let event = shown(written);
            let tree = Value::shown(&event);
            let mut paths = Vec::new();
            all_steps(&tree, &mut Vec::new(), &mut paths);
            assert!(paths.len() > 40, "{}", paths.len());
            for steps in &paths {
                assert_eq!(event.get(steps).as_ref(), tree.get(steps), "{steps:?}");
                for missing in ["x", "0", "9", "id"] {
                    let steps: Vec<Box<str>> = steps.iter().cloned().chain([missing.into()]).collect();
                    assert_eq!(event.get(&steps).as_ref(), tree.get(&steps), "{steps:?}");
                }
            }
        }
    }
}
