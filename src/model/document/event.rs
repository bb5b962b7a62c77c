//! Events, as this project and the reference show them.

use std::sync::Arc;

use super::{EventDocument, members::Members, past};
use crate::model::{
    ClientFacts, Derived, Event, EventStatus, EventType, Fault, IDENTIFIED, Json, Outcome, Reader, Time, Value,
    check_tag, derived::Told,
};

/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 4_096;
/// The parts of an event that processing writes to, and those of them that are derived from the rest.
const WRITTEN: [&str; 2] = ["traits", "data"];

pub fn read(members: &Members, now: Time) -> Result<EventDocument, Fault> {
    let id = members.id("id")?.ok_or_else(|| Fault::missing().at("id"))?;
    let kind = members.text("type")?.ok_or_else(|| Fault::missing().at("type"))?;
    let kind = EventType::parse(&kind).map_err(|fault| fault.at("type"))?;
    let name = match members.text("name")? {
        Some(name) if name.len() > NAME_BYTES_MAX => {
            return Err(Fault::new("value_error", format!("at most {NAME_BYTES_MAX} bytes are taken")).at("name"));
        }
        Some(name) => name.into(),
        None => kind.name,
    };
    let metadata = members.part("metadata", &["time", "profile_less", "status", "valid", "bot", "identified"])?;
    let within = |fault: Fault| fault.at("metadata");
    let times = metadata.part("time", &["insert", "create"]).map_err(within)?;
    let in_times = |fault: Fault| fault.at("time").at("metadata");
    let inserted = times.time("insert").map_err(in_times)?;
    let inserted = inserted.ok_or_else(Fault::missing).and_then(|time| past(time, now));
    let inserted = inserted.map_err(|fault| in_times(fault.at("insert")))?;
    let created = times.time("create").map_err(in_times)?.filter(|created| *created != inserted);
    let profile = members.entity("profile")?;
    let context = members.object("context")?;
    let client = client(members)?;
    let written = written(members, &metadata, &context, &client)?;
    let outcome = Outcome {
        journey: members
            .part("journey", &["state"])?
            .text("state")
            .map_err(|fault| fault.at("journey"))?
            .map(Into::into),
        valid: metadata.boolean("valid").map_err(within)?.unwrap_or(true),
        status: match metadata.text("status").map_err(within)?.as_deref() {
            Some("processed") => EventStatus::Processed,
            Some("error") => EventStatus::Error,
            _ => EventStatus::Collected,
        },
        written,
    };
    let event = Event {
        id,
        given: true,
        kind: kind.id,
        name,
        created,
        properties: members.object("properties")?,
        context,
        tags: tags(members)?,
        outcome,
    };
    Ok(EventDocument {
        source: members.entity("source")?,
        session: members.entity("session")?,
        profile_less: metadata.boolean("profile_less").map_err(within)?.unwrap_or(profile.is_none()),
        profile,
        inserted,
        client,
        bot: metadata.boolean("bot").map_err(within)?.unwrap_or(false),
        event: Arc::new(event),
        person: None,
    })
}

/// What is known of the client; whatever else stands there is left out.
fn client(members: &Members) -> Result<ClientFacts, Fault> {
    let told = members.part("request", &["ip", "user-agent", "referer", "origin", "accept-language"])?;
    let text = |name| told.text(name).map_err(|fault| fault.at("request"));
    Ok(ClientFacts {
        ip: text("ip")?,
        user_agent: text("user-agent")?,
        referer: text("referer")?,
        origin: text("origin")?,
        accept_language: text("accept-language")?,
    })
}

/// A list of texts or, in the reference's documents, an object whose `values` are one.
fn tags(members: &Members) -> Result<Arc<[Box<str>]>, Fault> {
    let mut tags = Vec::new();
    let mut read_list = |reader: &mut Reader<'_>| {
        reader.array(|reader, index| {
            let tag = reader.string()?.text;
            check_tag(index, &tag)?;
            tags.push(tag.into());
            Ok(())
        })
    };
    members.read_as("tags", |reader| match reader.peek()? {
        b'{' => reader.object(&["values"], |reader, _| read_list(reader)),
        _ => read_list(reader),
    })?;
    Ok(tags.into())
}

/// What processing wrote: of the parts that are derived, what is not as it follows from context and client.
fn written(members: &Members, metadata: &Members, context: &Json, client: &ClientFacts) -> Result<Json, Fault> {
    let mut written = Value::object();
    let mut put = |part: &str, value: Value| {
        if let Some(written) = written.as_object_mut() {
            written.insert(part, value);
        }
    };
    for part in WRITTEN {
        let said = members.object(part)?;
        if !said.is_empty_object() {
            put(part, Value::from(&said));
        }
    }
    let Derived { device, os, app, utm, hit } = Derived::new(context, Told::of(client));
    for (part, derived) in [("hit", hit), ("utm", utm), ("device", device), ("os", os), ("app", app)] {
        let said = members.object(part)?;
        if said.is_empty_object() || said == derived {
            continue;
        }
        let (mut differs, derived) = (Value::object(), Value::from(&derived));
        if let (Value::Object(said), Some(differs)) = (Value::from(&said), differs.as_object_mut()) {
            let derived = |name| derived.as_object().and_then(|derived| derived.get(name));
            let others = said.iter().filter(|(name, value)| derived(name) != Some(value));
            others.for_each(|(name, value)| differs.insert(name, value.clone()));
        }
        if differs.as_object().is_some_and(|differs| !differs.is_empty()) {
            put(part, differs);
        }
    }
    if let Some(identified) = metadata.get("identified") {
        put(IDENTIFIED, Value::from(identified));
    }
    Ok(written.to_json())
}
