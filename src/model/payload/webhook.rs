//! What a webhook sends: its body and its query become the properties of events (docs/contract.md, section 5). By the body's
//! media type, `http/webhook.rs` chooses how.

use std::sync::Arc;

use super::{EVENTS_MAX, EventPayload, Options, Payload, PayloadError};
use crate::model::{EventType, Fault, Form, Id, Json, Reader};

/// Where `events[].properties` stands in a /track body; a /collect body becomes just that.
const PROPERTIES_LEVEL: usize = 4;

/// The properties of the events that a webhook sends.
pub struct WebhookProperties {
    events: Vec<Json>,
    from_form: bool,
}

impl WebhookProperties {
    /// Of one event, whose values came as texts.
    pub fn of_texts(properties: Json) -> Self {
        Self { events: vec![properties], from_form: true }
    }

    /// What a form says of one event; `query` joins it, the form wins.
    pub fn of_form(form: &Form, query: &Form) -> Self {
        Self::of_texts(query.to_json().updated(&form.to_json()))
    }

    /// Reads a JSON body: the properties of one event, or a list of these; `query` joins them, the body wins.
    ///
    /// # Errors
    /// As [`Payload::parse`].
    pub fn read_json(body: &[u8], query: &Form) -> Result<Self, PayloadError> {
        let query = query.to_json();
        let mut reader = Reader::new(body, PROPERTIES_LEVEL - 1)?;
        let mut events = Vec::new();
        if reader.peek()? == b'[' {
            let fits = reader.array_up_to(EVENTS_MAX, |reader| {
                events.push(query.updated(&read_object(reader)?));
                Ok(())
            })?;
            if !fits {
                return Err(PayloadError::TooManyEvents);
            }
        } else {
            events.push(query.updated(&read_object(&mut reader)?));
        }
        reader.end()?;
        Ok(Self { events, from_form: false })
    }
}

impl Payload {
    /// What /collect makes of its path and the properties of its events.
    pub fn webhook(kind: &EventType, source: Id, session: Option<Id>, properties: WebhookProperties) -> Self {
        let WebhookProperties { events, from_form } = properties;
        let event = |properties| EventPayload {
            id: None,
            kind: kind.clone(),
            created: None,
            properties,
            from_form,
            context: Json::empty_object(),
            tags: Arc::default(),
            save: true,
        };
        Self {
            source,
            session,
            opens_session: false,
            profile: None,
            events: events.into_iter().map(event).collect(),
            context: Json::empty_object(),
            properties: Json::empty_object(),
            device: None,
            options: Options::default(),
        }
    }
}

fn read_object(reader: &mut Reader<'_>) -> Result<Json, Fault> {
    if reader.peek()? == b'{' { reader.value() } else { Err(Fault::wrong_type("an object or a list of objects")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(body: &str, query: &str) -> Vec<String> {
        let query = Form::parse_urlencoded(query.as_bytes());
        let WebhookProperties { events, .. } = WebhookProperties::read_json(body.as_bytes(), &query).unwrap();
        events.iter().map(|event| event.as_str().to_owned()).collect()
    }

    #[test]
    fn the_query_joins_a_webhook_s_properties_and_the_body_wins() {
        assert_eq!(properties(r#"{"a":1}"#, "a=2&b=3"), [r#"{"b":"3","a":1}"#]);
        assert_eq!(properties(r#"[{"a":1},{}]"#, "b=3"), [r#"{"b":"3","a":1}"#, r#"{"b":"3"}"#]);
    }
}
