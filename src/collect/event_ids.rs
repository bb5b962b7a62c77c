//! The ids of what a webhook sends, where its source says that the sender gives some: a delivery that is sent again is
//! known by them (docs/contract.md, section 6).

use crate::{
    model::{EventIdPlace, EventPayload, Id, Value, said_id},
    process::sha256,
};

/// A header that the source's `config.event_id` speaks of, as it came.
#[derive(Clone, Debug)]
pub struct SentHeader {
    /// In lower case.
    pub name: Box<str>,
    pub value: Box<str>,
}

/// Gives each event the id that its sender calls it by, if it says one.
pub fn give_ids(place: &EventIdPlace, header: Option<&SentHeader>, events: &mut [EventPayload]) {
    match place {
        EventIdPlace::Event(path) => {
            for event in events.iter_mut().filter(|event| event.id.is_none()) {
                let properties = Value::from(&event.properties);
                event.id = properties.get(&path.steps()[2..]).and_then(said_id).map(id);
            }
        }
        EventIdPlace::Header(name) => {
            let header = header.filter(|header| header.name == *name);
            let Some(delivery) = header.map(|header| header.value.trim()).filter(|value| !Id::is_missing(value)) else {
                return;
            };
            // It names all that was delivered: the events of a list are told apart by their places.
            for (place, event) in events.iter_mut().enumerate().filter(|(_, event)| event.id.is_none()) {
                event.id = Some(if place == 0 { id(delivery) } else { id(&format!("{delivery}#{}", place + 1)) });
            }
        }
    }
}

/// What a sender calls an event, as an id. What is none (too long, with control characters, or kept for the server) is
/// told apart by its SHA-256: refused, it would be sent again for ever.
fn id(said: &str) -> Id {
    let id = Id::required(said).ok().filter(|id| !id.is_reserved());
    id.unwrap_or_else(|| Id::required(&sha256(said)).expect("hexadecimal digits are an id"))
}
