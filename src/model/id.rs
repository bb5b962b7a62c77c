//! Ids and event types (docs/contract.md, section 1).

use std::{borrow::Cow, cmp::Ordering, fmt, ops::Deref, sync::Arc};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Fault;

/// The longest id, event type or tag, in bytes of UTF-8.
pub(super) const NAME_BYTES_MAX: usize = 128;

/// An id of a source, session, profile, event or device: opaque UTF-8, trimmed, 1 to 128 bytes, no control characters.
///
/// Cheap to make, to clone and to compare: it names a record in the log, the views, the overlay and the locks at once.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Id(Form);

/// A text has one form, so equal ids are equal in theirs.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Form {
    /// The text is just how this UUID is written, as most are.
    Uuid([u8; 16]),
    Text(Arc<str>),
}

/// An id, as it is read without taking memory for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShortId<'a> {
    /// The UUID that the id is written as.
    Uuid(u128),
    Text(&'a str),
}

impl<'a> ShortId<'a> {
    pub fn of(id: &'a Id) -> Self {
        match &id.0 {
            Form::Uuid(bytes) => Self::Uuid(u128::from_be_bytes(*bytes)),
            Form::Text(text) => Self::Text(text),
        }
    }

    pub fn to_id(self) -> Id {
        match self {
            Self::Uuid(uuid) => uuid::Uuid::from_u128(uuid).into(),
            Self::Text(text) => Id::of(text),
        }
    }
}

/// The text of an id.
pub enum IdText<'a> {
    Uuid([u8; UUID_TEXT_BYTES]),
    Text(&'a str),
}

const UUID_TEXT_BYTES: usize = uuid::fmt::Hyphenated::LENGTH;

impl Id {
    /// What a client with an unset variable sends, in any case; taken as an id, all of its visitors would become one
    /// person.
    pub const MISSING_WORDS: [&str; 8] = ["undefined", "null", "nan", "none", "[object object]", "true", "false", "0"];

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
        Ok(Some(Self::of(text)))
    }

    fn of(text: &str) -> Self {
        // Of this length only the hyphenated form is; the bytes are few, so they are looked at without a branch for each.
        let has_upper_case = || text.bytes().fold(false, |any, byte| any | byte.is_ascii_uppercase());
        let is_uuid = text.len() == UUID_TEXT_BYTES && !has_upper_case();
        match uuid::Uuid::try_parse(text) {
            Ok(uuid) if is_uuid => uuid.into(),
            _ => Self(Form::Text(text.into())),
        }
    }

    /// Whether a trimmed text says nothing: a word that an unset variable leads to, or none.
    pub fn is_missing(text: &str) -> bool {
        text.is_empty() || Self::MISSING_WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
    }

    /// As [`Id::parse`], for a place where an id is required.
    pub fn required(text: &str) -> Result<Self, Fault> {
        Self::parse(text)?.ok_or_else(Fault::missing)
    }

    pub fn text(&self) -> IdText<'_> {
        match &self.0 {
            Form::Uuid(bytes) => {
                let mut text = [0; UUID_TEXT_BYTES];
                uuid::Uuid::from_bytes(*bytes).as_hyphenated().encode_lower(&mut text);
                IdText::Uuid(text)
            }
            Form::Text(text) => IdText::Text(text),
        }
    }

    /// Ids that start with `@` are kept for the server's own use.
    pub fn is_reserved(&self) -> bool {
        matches!(&self.0, Form::Text(text) if text.starts_with('@'))
    }

    /// Whether the id is a well-formed UUID in its hyphenated form, in any case.
    pub fn is_uuid(&self) -> bool {
        match &self.0 {
            Form::Uuid(_) => true,
            Form::Text(text) => text.len() == UUID_TEXT_BYTES && uuid::Uuid::try_parse(text).is_ok(),
        }
    }

    /// Whether the id's [`Id::key`] begins with the time at which the id was made: it is a UUID of version 7 (RFC 9562).
    pub fn tells_time(&self) -> bool {
        matches!(&self.0, Form::Uuid(bytes) if bytes[6] >> 4 == 7)
    }
}

impl Deref for IdText<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Uuid(text) => std::str::from_utf8(text).expect("a UUID is written in ASCII"),
            Self::Text(text) => text,
        }
    }
}

impl Ord for Id {
    /// In the order of their texts.
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            (Form::Uuid(one), Form::Uuid(other)) => one.cmp(other),
            _ => self.text().cmp(&*other.text()),
        }
    }
}

impl PartialOrd for Id {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.text(), out)
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
        Self(Form::Uuid(uuid.into_bytes()))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text())
    }
}

/// How the store writes an id: most are UUIDs, which take 16 bytes instead of 36.
#[derive(Serialize, Deserialize)]
enum Stored<'a> {
    Uuid([u8; 16]),
    Text(&'a str),
}

impl Id {
    /// Bytes that no other id has, short for UUIDs; they sort as UUIDs grow. None is another one's beginning.
    pub fn key(&self) -> Vec<u8> {
        match &self.0 {
            // No id begins with a control character.
            Form::Uuid(bytes) => [&[UUID_MARK][..], bytes].concat(),
            Form::Text(text) => [text.as_bytes(), &[TEXT_END]].concat(),
        }
    }

    /// The id whose [`Id::key`] these bytes are.
    pub fn from_key(key: &[u8]) -> Option<Self> {
        match key.split_first()? {
            (&UUID_MARK, uuid) => Some(uuid::Uuid::from_slice(uuid).ok()?.into()),
            _ => Some(Self::of(std::str::from_utf8(key.strip_suffix(&[TEXT_END])?).ok()?)),
        }
    }
}

const UUID_MARK: u8 = 1;
const TEXT_END: u8 = 0;

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.serialize_str(&self.text());
        }
        match &self.0 {
            Form::Uuid(bytes) => Stored::Uuid(*bytes).serialize(serializer),
            Form::Text(text) => Stored::Text(text).serialize(serializer),
        }
    }
}

/// Reads what the store wrote; what a client sends goes through [`Id::parse`].
impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Stored::deserialize(deserializer)? {
            Stored::Uuid(bytes) => uuid::Uuid::from_bytes(bytes).into(),
            Stored::Text(text) => Self::of(text),
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
        assert_eq!(&*Id::parse("\u{a0} 00 \n").unwrap().unwrap().text(), "00");
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
            assert_eq!((&*id.text(), Id::from_key(&id.key())), (text, Some(id.clone())));
        }
        let id = |text: &&str| Id::required(text).unwrap();
        let mut ids: Vec<Id> = others.iter().chain([&short]).map(id).collect();
        ids.sort();
        assert!(ids.is_sorted_by_key(|id| id.to_string()), "{ids:?}");
    }

    #[test]
    fn only_a_hyphenated_uuid_is_a_uuid() {
        let is_uuid = |text: &str| Id::required(text).unwrap().is_uuid();
        assert!(is_uuid("0D2D9DC5-0d60-471e-956f-8766dcb8aba2"));
        assert!(!is_uuid("0d2d9dc50d60471e956f8766dcb8aba2"));
        assert!(!is_uuid("visitor-1"));
    }
}
