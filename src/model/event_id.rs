//! Where a webhook says which event it is: `config.event_id` of its source.

use super::{Fault, Id, Path, Value, short};

/// Headers that tell who sends, which no event's id may tell.
const SECRET_HEADERS: [&str; 4] = ["authorization", "proxy-authorization", "cookie", "set-cookie"];
const HEADER: &str = "header:";

/// Where a webhook's own id stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventIdPlace {
    /// `properties.id`: this place in each event.
    Event(Path),
    /// `header:webhook-id`, in lower case: the id of what was delivered.
    Header(Box<str>),
}

impl EventIdPlace {
    /// # Errors
    /// It is neither a place in the properties nor a header, or a header that no id may come from.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let wrong = |what: &str| Fault::new("value_error", format!("{}: {what}", short(text)));
        if let Some(name) = text.trim().strip_prefix(HEADER) {
            let name = name.trim().to_ascii_lowercase();
            let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            if name.is_empty() || !name.bytes().all(is_of_name) {
                return Err(wrong("a header's name is expected behind header:"));
            }
            if SECRET_HEADERS.contains(&&*name) {
                return Err(wrong("this header is a secret and becomes no id"));
            }
            return Ok(Self::Header(name.into()));
        }
        let path = Path::parse(&format!("event.{}", text.trim()))?;
        match path.steps() {
            [_, part, _, ..] if **part == *"properties" => Ok(Self::Event(path)),
            _ => Err(wrong("a place in the properties or a header is expected: properties.NAME or header:NAME")),
        }
    }
}

/// The text of what a webhook calls its event; `None` where nothing is said: what is no text and no number, and what an
/// unset variable leads to.
pub fn said_id(value: &Value) -> Option<&str> {
    let text = match value {
        Value::Text(text) | Value::Number(text) => text.trim(),
        _ => return None,
    };
    (!Id::is_missing(text)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_stands_in_the_properties_or_in_a_header() {
        let path = |steps: &[&str]| Ok(EventIdPlace::Event(steps.iter().copied().collect()));
        assert_eq!(EventIdPlace::parse("properties.id"), path(&["event", "properties", "id"]));
        assert_eq!(EventIdPlace::parse("properties[\"data[id]\"].0"), path(&["event", "properties", "data[id]", "0"]));
        let header = |name: &str| Ok(EventIdPlace::Header(name.into()));
        assert_eq!(EventIdPlace::parse("header:X-GitHub-Delivery"), header("x-github-delivery"));
        assert_eq!(EventIdPlace::parse(" header: webhook-id "), header("webhook-id"));
        for wrong in [
            "",
            "id",
            "properties",
            "properties.",
            "event.properties.id",
            "context.id",
            "header",
            "header:",
            "header:a b",
            "header:é",
            "header:Authorization",
            "header:cookie",
            "profile.id",
        ] {
            assert!(EventIdPlace::parse(wrong).is_err(), "{wrong}");
        }
    }
}
