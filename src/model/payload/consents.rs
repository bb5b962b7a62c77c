//! What consent widgets send (docs/contract.md, section 18).

use super::{EventPayload, Options, Payload, read_entity, read_session, required_entity};
use crate::model::{EventType, Fault, Id, Json, Object, Reader, Value};

impl Payload {
    /// The fields of the body of /customer/consent.
    pub const CONSENT_FIELDS: &[&str] = &["source", "session", "profile", "consents"];

    /// Reads `{source, session, profile, consents}`, whose `consents` are `true`, `false` or granted until a time, as in
    /// `{"revoke": "2030-01-01T00:00:00Z"}`, by their types, as a payload with one event of the type `kind` that says so. `all` are types that are granted whatever `consents` says.
    ///
    /// # Errors
    /// It is not JSON, or a field is missing or wrong; the fault names it.
    pub fn of_consents(body: &[u8], kind: &str, all: &[Id]) -> Result<Self, Fault> {
        let (mut source, mut session, mut profile, mut consents) = (None, None, None, Object::default());
        let mut reader = Reader::new(body, 0)?;
        reader.object(Self::CONSENT_FIELDS, |reader, field| {
            match field {
                "source" => source = read_entity(reader)?,
                "session" => session = Some(read_session(reader)?),
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
        let source = required_entity(source, "source")?;
        let session = session.ok_or_else(|| Fault::missing().at("session"))?;
        Ok(Self {
            source,
            opens_session: session.is_none(),
            session,
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
        let said = match value {
            Value::Boolean(true) => Value::text("grant"),
            Value::Boolean(false) => Value::text("revoke"),
            Value::Object(until) => granted_until(until).map_err(|fault| fault.at(name))?,
            _ => return Err(Fault::wrong_type("a boolean, or {\"revoke\": TIME}").at(name)),
        };
        consents.insert(name, said);
    }
    Ok(consents)
}

/// `{"revoke": TIME}`: granted until then, or for good where no time is said.
fn granted_until(said: &Object) -> Result<Value, Fault> {
    if let Some((unknown, _)) = said.iter().find(|(name, _)| *name != "revoke") {
        return Err(Fault::new("value_error", "revoke is known").at(unknown));
    }
    let until = said.get("revoke").ok_or_else(|| Fault::missing().at("revoke"))?;
    if !until.is_empty() && until.as_time().is_none() {
        return Err(Fault::wrong_type("a time (RFC 3339 or a number)").at("revoke"));
    }
    Ok(Value::Object(said.clone()))
}
