//! Messages of Segment: `track`, `page`, `screen`, `identify`, `group` and `alias`.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{EventDocument, Person, members::Members, past};
use crate::model::{ClientFacts, Event, EventType, Fault, Id, Json, Outcome, Time, Value};

/// The words for the kinds of messages.
const KINDS: [&str; 6] = ["track", "page", "screen", "identify", "group", "alias"];

/// Whether it is one, as far as its members tell.
pub fn is_message(members: &Members) -> bool {
    let is_named = ["messageId", "anonymousId", "userId"].iter().any(|name| members.mentions(name));
    is_named && members.mentions("type") && !members.mentions("source")
}

/// `text` is the whole message: one without an id gets one that is made of it, so that it is the same each time.
pub fn read(members: &Members, text: &[u8], now: Time) -> Result<EventDocument, Fault> {
    let word = members.text("type")?.unwrap_or_default();
    let Some(word) = KINDS.into_iter().find(|kind| **kind == *word) else {
        return Err(Fault::new("value_error", format!("one of {} is expected", KINDS.join(", "))).at("type"));
    };
    let (inserted, named) = inserted(members)?;
    let inserted = past(inserted, now).map_err(|fault| fault.at(named))?;
    let created = members.time("originalTimestamp")?.filter(|created| *created != inserted);
    let (user, anonymous) = (members.id("userId")?, members.id("anonymousId")?);
    let alias = anonymous.clone().filter(|alias| user.as_ref().is_some_and(|user| user != alias));
    let profile = user.or(anonymous);
    let properties = match word {
        "identify" => members.object("traits")?,
        "group" => with(members.object("traits")?, "groupId", members.get("groupId")),
        "alias" => with(Json::empty_object(), "previousId", members.get("previousId")),
        _ => with(members.object("properties")?, "name", members.get("name")),
    };
    let kind = match word {
        "track" => {
            let name = members.text("event")?.ok_or_else(|| Fault::missing().at("event"))?;
            EventType::parse(&name).map_err(|fault| fault.at("event"))?
        }
        "page" => EventType::parse("page-view")?,
        "screen" => EventType::parse("screen-view")?,
        word => EventType::parse(word)?,
    };
    let context = members.object("context")?;
    let told = Members::of(&context, &["userAgent", "locale"])?;
    let in_context = |fault: Fault| fault.at("context");
    let client = ClientFacts {
        user_agent: told.text("userAgent").map_err(in_context)?,
        accept_language: told.text("locale").map_err(in_context)?,
        ..ClientFacts::default()
    };
    let event = Event {
        id: members.id("messageId")?.unwrap_or_else(|| id_of(text)),
        given: true,
        kind: kind.id,
        name: kind.name,
        created,
        properties,
        context,
        tags: Arc::default(),
        outcome: Outcome::default(),
    };
    let traits = if word == "identify" { members.object("traits")? } else { Json::empty_object() };
    Ok(EventDocument {
        source: None,
        session: None,
        person: profile.is_some().then_some(Person { alias, traits }),
        profile_less: profile.is_none(),
        profile,
        inserted,
        client,
        bot: false,
        event: Arc::new(event),
    })
}

/// When it happened, by the server's clock as far as that is known, and the name of the member that says so.
fn inserted(members: &Members) -> Result<(Time, &'static str), Fault> {
    for name in ["timestamp", "receivedAt", "sentAt", "originalTimestamp"] {
        if let Some(time) = members.time(name)? {
            return Ok((time, name));
        }
    }
    Err(Fault::missing().at("timestamp"))
}

/// The object with one more member, unless it has one of this name.
fn with(object: Json, name: &str, value: Option<&Json>) -> Json {
    let Some(value) = value else { return object };
    let mut tree = Value::from(&object);
    match tree.as_object_mut() {
        Some(members) if members.get(name).is_none() => members.insert(name, Value::from(value)),
        _ => return object,
    }
    tree.to_json()
}

fn id_of(text: &[u8]) -> Id {
    let hash = Sha256::digest(text);
    uuid::Builder::from_custom_bytes(std::array::from_fn(|place| hash[place])).into_uuid().into()
}
