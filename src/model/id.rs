//! Ids and event types (contract, section 1).

use std::{borrow::Cow, sync::Arc};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Fault;

/// The longest id, event type or tag, in bytes of UTF-8.
pub(super) const NAME_BYTES_MAX: usize = 128;

/// What a client with an unset variable sends; taken as an id, all of its visitors would become one person.
const MISSING_WORDS: [&str; 8] = ["undefined", "null", "nan", "none", "[object object]", "true", "false", "0"];

/// An id of a source, session, profile, event or device: opaque UTF-8, trimmed, 1 to 128 bytes, no control characters.
///
/// Cheap to clone: it names a record in the log, the views, the overlay and the locks at once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(Arc<str>);

impl Id {
    /// Reads an id as a client sent it; `None` when it counts as missing.
    ///
    /// # Errors
    /// It is longer than 128 bytes after trimming or holds a control character.
    pub fn parse(text: &str) -> Result<Option<Self>, Fault> {
        let text = text.trim();
        if Self::is_missing(text) {
            return Ok(None);
        }
        check_name(text, "an id")?;
        Ok(Some(Self(text.into())))
    }

    /// Whether a trimmed text says nothing: a word that an unset variable leads to, or none.
    pub fn is_missing(text: &str) -> bool {
        text.is_empty() || MISSING_WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
    }

    /// As [`Id::parse`], for a place where an id is required.
    pub fn required(text: &str) -> Result<Self, Fault> {
        Self::parse(text)?.ok_or_else(Fault::missing)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Ids that start with `@` are kept for the server's own use.
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with('@')
    }

    /// Whether the id is a well-formed UUID in its hyphenated form, in any case.
    pub fn is_uuid(&self) -> bool {
        self.0.len() == 36 && uuid::Uuid::try_parse(&self.0).is_ok()
    }
}

impl JsonSchema for Id {
    fn schema_name() -> Cow<'static, str> {
        "Id".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "1 to 128 bytes of UTF-8 without control characters; what the server makes is a UUID.",
            "type": "string",
            "minLength": 1,
            "maxLength": NAME_BYTES_MAX,
        })
    }
}

/// An id that the server made.
impl From<uuid::Uuid> for Id {
    fn from(uuid: uuid::Uuid) -> Self {
        let mut buffer = uuid::Uuid::encode_buffer();
        let text: &str = uuid.as_hyphenated().encode_lower(&mut buffer);
        Self(text.into())
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

/// How the store writes an id: most are UUIDs, which take 16 bytes instead of 36.
#[derive(Serialize, Deserialize)]
enum Stored<'a> {
    Uuid([u8; 16]),
    Text(&'a str),
}

impl Id {
    /// The UUID that this id is written as, if it is just how one is written.
    pub fn as_uuid(&self) -> Option<uuid::Uuid> {
        // Of this length only the hyphenated form is; the bytes are few, so they are looked at without a branch for each.
        let has_upper_case = || self.0.bytes().fold(false, |any, byte| any | byte.is_ascii_uppercase());
        if self.0.len() != 36 || has_upper_case() { None } else { uuid::Uuid::try_parse(&self.0).ok() }
    }

    /// Bytes that no other id has, short for UUIDs; they sort as UUIDs grow. None is another one's beginning.
    pub fn key(&self) -> Vec<u8> {
        match self.as_uuid() {
            // No id begins with a control character.
            Some(uuid) => [&[UUID_MARK][..], uuid.as_bytes()].concat(),
            None => [self.0.as_bytes(), &[TEXT_END]].concat(),
        }
    }

    /// The id whose [`Id::key`] these bytes are.
    pub fn from_key(key: &[u8]) -> Option<Self> {
        match key.split_first()? {
            (&UUID_MARK, uuid) => Some(uuid::Uuid::from_slice(uuid).ok()?.into()),
            _ => Some(Self(std::str::from_utf8(key.strip_suffix(&[TEXT_END])?).ok()?.into())),
        }
    }
}

const UUID_MARK: u8 = 1;
const TEXT_END: u8 = 0;

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.serialize_str(&self.0);
        }
        match self.as_uuid() {
            Some(uuid) => Stored::Uuid(uuid.into_bytes()).serialize(serializer),
            None => Stored::Text(&self.0).serialize(serializer),
        }
    }
}

/// Reads what the store wrote; what a client sends goes through [`Id::parse`].
impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Stored::deserialize(deserializer)? {
            Stored::Uuid(bytes) => uuid::Uuid::from_bytes(bytes).into(),
            Stored::Text(text) => Self(text.into()),
        })
    }
}

/// The label of what happened, and the words in which the client said it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventType {
    /// Trimmed, lower-cased, each run of inner white space made a `-`; 1 to 128 bytes.
    pub id: Arc<str>,
    /// As it was sent.
    pub name: Arc<str>,
}

impl EventType {
    /// # Errors
    /// It is blank, longer than 128 bytes once normalised, or holds a control character.
    pub fn parse(name: &str) -> Result<Self, Fault> {
        let mut id = String::with_capacity(name.len());
        for word in name.split_whitespace() {
            if !id.is_empty() {
                id.push('-');
            }
            id.push_str(&word.to_lowercase());
        }
        if id.is_empty() {
            return Err(Fault::new("value_error", "an event type must not be blank"));
        }
        check_name(&id, "an event type")?;
        let id: Arc<str> = id.into();
        Ok(Self { name: if *id == *name { id.clone() } else { name.into() }, id })
    }
}

fn check_name(text: &str, what: &str) -> Result<(), Fault> {
    if text.len() > NAME_BYTES_MAX {
        let msg = format!("{what} has at most {NAME_BYTES_MAX} bytes, this one has {}", text.len());
        return Err(Fault::new("value_error.any_str.max_length", msg));
    }
    // Most names are plain ASCII, of which the bytes are looked at without a branch for each.
    let is_plain = text.bytes().fold(true, |all, byte| all & (0x20..0x7f).contains(&byte));
    if !is_plain && text.chars().any(char::is_control) {
        return Err(Fault::new("value_error", format!("{what} must not hold control characters")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unset_variable_is_a_missing_id() {
        for text in ["", " \t\u{2003}", "undefined", " NULL ", "NaN", "None", "[object Object]", "TRUE", "false", "0"] {
            assert_eq!(Id::parse(text), Ok(None), "{text:?}");
        }
        assert_eq!(Id::parse("\u{a0} 00 \n").unwrap().unwrap().as_str(), "00");
    }

    #[test]
    fn an_id_has_1_to_128_bytes_and_no_control_characters() {
        assert!(Id::parse(&"é".repeat(64)).unwrap().is_some());
        assert!(Id::parse(&"é".repeat(65)).is_err());
        for text in ["a\0b", "a\u{7f}b", "a\u{85}b"] {
            assert!(Id::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_event_type_is_normalised_and_its_name_kept() {
        let kind = EventType::parse(" Page\t \u{2003}VIEW ").unwrap();
        assert_eq!((&*kind.id, &*kind.name), ("page-view", " Page\t \u{2003}VIEW "));
        assert!(EventType::parse(" \n").is_err());
        assert!(EventType::parse("a\u{1}").is_err());
        assert!(EventType::parse(&"a".repeat(129)).is_err());
    }

    #[test]
    fn what_is_written_as_a_uuid_takes_the_bytes_of_one() {
        let short = "0d2d9dc5-0d60-471e-956f-8766dcb8aba2";
        let others = [
            "0D2D9DC5-0d60-471e-956f-8766dcb8aba2",
            "0d2d9dc50d60471e956f8766dcb8aba2",
            "{0d2d9dc50d60471e956f8766dcb8aba2}ab",
            "0d2d9dc5-0d60-471e-956f-8766dcb8abag",
            "0d2d9dc50-d60-471e-956f-8766dcb8aba2",
            "visitor-1",
        ];
        for text in [&[short][..], &others].concat() {
            let id = Id::required(text).unwrap();
            assert_eq!(id.key().len(), if text == short { 17 } else { text.len() + 1 }, "{text}");
            assert_eq!(Id::from_key(&id.key()), Some(id));
        }
    }

    #[test]
    fn only_a_hyphenated_uuid_is_a_uuid() {
        let is_uuid = |text: &str| Id::required(text).unwrap().is_uuid();
        assert!(is_uuid("0D2D9DC5-0d60-471e-956f-8766dcb8aba2"));
        assert!(!is_uuid("0d2d9dc50d60471e956f8766dcb8aba2"));
        assert!(!is_uuid("visitor-1"));
    }
}
