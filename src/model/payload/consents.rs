//! What consent widgets send (docs/contract.md, section 18).

use super::{EventPayload, Options, Payload, read_entity, required_entity};
use crate::model::{EventType, Fault, Id, Json, Object, Reader, Value};

impl Payload {
    /// The fields of the body of /customer/consent.
    pub const CONSENT_FIELDS: &[&str] = &["source", "session", "profile", "consents"];

    /// Reads `{source, session, profile, consents}`, whose `consents` are `true` or `false` by their types, as a payload
    /// with one event of the type `kind` that says so. `all` are types that are granted whatever `consents` says.
    ///
    /// # Errors
    /// It is not JSON, or a field is missing or wrong; the fault names it.
    pub fn of_consents(body: &[u8], kind: &str, all: &[Id]) -> Result<Self, Fault> {
        let (mut source, mut session, mut profile, mut consents) = (None, None, None, Object::default());
        let mut reader = Reader::new(body, 0)?;
        reader.object(Self::CONSENT_FIELDS, |reader, field| {
            match field {
                "source" => source = read_entity(reader)?,
                "session" => session = read_entity(reader)?,
                "profile" => profile = read_entity(reader)?,
                _ => consents = read_consents(&reader.free_object()?)?,
            }
            Ok(())
        })?;
        reader.end()?;
        all.iter().for_each(|id| consents.insert(&id.text(), Value::text("grant")));
        let mut properties = Object::default();
        properties.insert("consents", Value::Object(consents));
        let kind = EventType::parse(kind)?;
        Ok(Self {
            source: required_entity(source, "source")?,
            session: Some(required_entity(session, "session")?),
            profile: profile.flatten(),
            events: vec![EventPayload::internal(kind, Value::Object(properties).to_json())],
            context: Json::empty_object(),
            properties: Json::empty_object(),
            device: None,
            options: Options::default(),
        })
    }
}

fn read_consents(sent: &Json) -> Result<Object, Fault> {
    let sent = Value::from(sent);
    let mut consents = Object::default();
    for (name, value) in sent.as_object().into_iter().flat_map(Object::iter) {
        let Value::Boolean(granted) = value else { return Err(Fault::wrong_type("a boolean").at(name)) };
        consents.insert(name, Value::text(if *granted { "grant" } else { "revoke" }));
    }
    Ok(consents)
}
