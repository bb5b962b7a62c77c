//! Free-form JSON, kept as text.

use std::{borrow::Cow, sync::Arc};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::Error as _};
use serde_json::value::RawValue;

use super::{Reader, Value, members::members, reader::plain_length};

/// A JSON value of any schema in its normal form: no white space, each character of a string written in one way, each
/// key of an object once, numbers with the exact text that was sent. Two equal texts are the same value.
///
/// In the log it is text; in an answer it stands as the value it is. A clone shares the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json(
    /// `None`: the empty object. Most are: a text of it that all share would have threads wait for each other to count
    /// who does.
    Option<Arc<str>>,
);

const EMPTY: &str = "{}";

impl Json {
    pub fn empty_object() -> Self {
        Self(None)
    }

    /// Takes text that [`Reader`] wrote.
    pub(super) fn from_normal(text: &str) -> Self {
        Self((text != EMPTY).then(|| text.into()))
    }

    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or(EMPTY)
    }

    /// What stands at `steps`: keys of objects, places in lists. Nothing is made of the rest.
    pub fn get(&self, steps: &[Box<str>]) -> Option<Value> {
        value_in(self.as_str(), steps)
    }

    /// Whether it may hold an object with this key, as far as its text tells at a glance.
    pub fn mentions(&self, key: &str) -> bool {
        let is_plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
        !key.bytes().all(is_plain)
            || self.as_str().match_indices(key).any(|(at, _)| {
                let text = self.as_str().as_bytes();
                let (before, behind) = (&text[..at], &text[at + key.len()..]);
                before.last() == Some(&b'"') && behind.first() == Some(&b'"')
            })
    }

    pub fn is_empty_object(&self) -> bool {
        self.0.is_none()
    }

    /// This object with the keys of `newer` written over its own, at the top level.
    pub fn updated(&self, newer: &Self) -> Self {
        if newer.is_empty_object() || self == newer {
            return self.clone();
        }
        if self.is_empty_object() {
            return newer.clone();
        }
        let (own, newer_text) = (self.as_str(), newer.as_str());
        let Some(newers) = newer_text.strip_prefix('{') else { return newer.clone() };
        let mut keys: Vec<&str> = members(newer_text).map(|(key, _)| key).collect();
        keys.sort_unstable();
        let mut text = String::with_capacity(own.len() + newer_text.len());
        text.push('{');
        for (key, value) in members(own).filter(|(key, _)| keys.binary_search(key).is_err()) {
            ["\"", key, "\":", value, ","].iter().for_each(|part| text.push_str(part));
        }
        text.push_str(newers);
        Self::from_normal(&text)
    }
}

impl JsonSchema for Json {
    fn schema_name() -> Cow<'static, str> {
        "Json".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        true.into()
    }
}

/// The schema of an object that holds anything.
pub(super) fn free_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object" })
}

/// The schema of a list of such objects.
pub(super) fn free_objects(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": { "type": "object" } })
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return serializer.serialize_str(self.as_str());
        }
        serde_json::from_str::<&RawValue>(self.as_str()).map_err(S::Error::custom)?.serialize(serializer)
    }
}

/// Reads what the store wrote, or any JSON.
impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return <&str>::deserialize(deserializer).map(Self::from_normal); // many are empty objects
        }
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let value = Reader::new(raw.get().as_bytes(), 0).and_then(|mut reader| reader.value());
        value.map_err(D::Error::custom)
    }
}

/// Appends `character` as the normal form writes it inside a string.
pub(super) fn push_escaped(out: &mut String, character: char) {
    match character {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\0'..'\u{20}' => out.push_str(&format!("\\u{:04x}", u32::from(character))),
        _ => out.push(character),
    }
}

/// Appends `text` as a string in the normal form.
pub(super) fn push_string(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(special) = plain_length(rest.as_bytes()) {
        let (plain, behind) = rest.split_at(special);
        out.push_str(plain);
        let mut characters = behind.chars();
        characters.by_ref().take(1).for_each(|character| push_escaped(out, character));
        rest = characters.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

/// As [`Json::get`], of text in normal form that somebody else holds.
pub fn value_in(text: &str, steps: &[Box<str>]) -> Option<Value> {
    Reader::new(text.as_bytes(), 0).ok()?.at(steps).ok()?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Json {
        Reader::new(text.as_bytes(), 0).unwrap().value().unwrap()
    }

    #[test]
    fn an_update_replaces_top_level_keys_only() {
        let updated = json(r#"{"a":{"x":1},"b":2}"#).updated(&json(r#"{"a":{"y":1},"c":3}"#));
        assert_eq!(updated.as_str(), r#"{"b":2,"a":{"y":1},"c":3}"#);
        let odd = json(r#"{"":[{"a":1},"]"],"a\\":"\"},","b":"}{","c":1E5}"#);
        assert_eq!(odd.updated(&json(r#"{"b":"é,"}"#)).as_str(), r#"{"":[{"a":1},"]"],"a\\":"\"},","c":1E5,"b":"é,"}"#);
        assert_eq!(json("{}").updated(&json(r#"{"a":1}"#)).as_str(), r#"{"a":1}"#);
        assert_eq!(json(r#"{"a":1}"#).updated(&json("{}")).as_str(), r#"{"a":1}"#);
    }

    #[test]
    fn a_key_that_looks_like_a_library_s_own_is_shown_as_sent() {
        let text = r#"{"$serde_json::private::Number":"1.5","$serde_json::private::RawValue":"[","n":1E5}"#;
        assert_eq!(serde_json::to_string(&json(text)).unwrap(), text);
    }
}
