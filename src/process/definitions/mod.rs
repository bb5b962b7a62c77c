//! What people set up, a file for each kind of definition; here is how they are read as people write them: JSON or TOML,
//! with the place of a mistake in the fault.

pub mod consent;
pub mod destination;
pub mod event_type;
pub mod mapping;
pub mod operation;
pub mod redirect;
pub mod schedule;
mod schema;
pub mod segment;
pub mod workflow;

use std::{borrow::Cow, marker::PhantomData, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::model::{Definition, Fault, Id, Json, Object, Value, Zone};

/// What every definition has beside what its kind is about: the id names it, the others are for people.
const COMMON: [&str; 3] = ["id", "name", "description"];

/// Reads what a definition says beside its id, name and description.
///
/// # Errors
/// A field is missing, unknown or of another type; the fault names it.
pub fn read<T: DeserializeOwned>(definition: &Definition) -> Result<T, Fault> {
    let mut body = Value::from(&definition.body);
    if let Some(fields) = body.as_object_mut() {
        for name in COMMON {
            match fields.remove(name) {
                None | Some(Value::Null | Value::Text(_)) => {}
                Some(_) => return Err(Fault::wrong_type("a string").at(name)),
            }
        }
    }
    let json = body.to_json();
    let mut reader = serde_json::Deserializer::from_str(json.as_str());
    serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let message = error.inner().to_string();
        let missing = message.strip_prefix("missing field `").and_then(|rest| rest.split_once('`'));
        let mut fault = match missing {
            Some((field, _)) => Fault::missing().at(field),
            None => Fault::new("value_error", without_place(&message)),
        };
        for segment in error.path().iter().rev() {
            fault = match segment {
                serde_path_to_error::Segment::Seq { index } => fault.at_index(*index),
                serde_path_to_error::Segment::Map { key } => fault.at(key),
                _ => fault,
            };
        }
        fault
    })
}

/// The schema of a definition: what `T` says, and what every definition has.
pub struct Whole<T>(PhantomData<T>);

impl<T: JsonSchema> JsonSchema for Whole<T> {
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        format!("Whole<{}>", T::schema_id()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = T::json_schema(generator);
        let fields = schema.ensure_object();
        let properties = fields.entry("properties").or_insert_with(|| json!({}));
        for name in COMMON {
            properties[name] = match name {
                "id" => generator.subschema_for::<Id>(),
                _ => generator.subschema_for::<Option<String>>(),
            }
            .into();
        }
        if let Some(required) = fields.entry("required").or_insert_with(|| json!([])).as_array_mut() {
            required.push(json!("id"));
        }
        schema
    }
}

/// What [`duration`] reads, as a pattern.
pub const DURATION: &str = "^[0-9]+(ms|s|m|h|d)$";

/// What is set up is in force unless it says otherwise.
pub fn enabled() -> bool {
    true
}

/// The JSON of a TOML document.
///
/// # Errors
/// It is not TOML; the message says where.
pub fn read_toml(text: &str) -> Result<Json, Fault> {
    let document: toml::Table = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        Fault::new("value_error", format!("line {line}: {}", error.message()))
    })?;
    Ok(from_toml(&toml::Value::Table(document))?.to_json())
}

fn from_toml(value: &toml::Value) -> Result<Value, Fault> {
    Ok(match value {
        toml::Value::String(text) => Value::text(text),
        toml::Value::Integer(number) => Value::number(number),
        // With its point: expressions tell whole numbers from others.
        toml::Value::Float(number) if number.is_finite() => Value::number(format!("{number:?}")),
        toml::Value::Float(_) => return Err(Fault::new("value_error", "a number is expected that is one")),
        toml::Value::Boolean(boolean) => Value::Boolean(*boolean),
        toml::Value::Datetime(time) => Value::text(&time.to_string()),
        toml::Value::Array(list) => {
            let items = list.iter().enumerate();
            let items = items.map(|(index, item)| from_toml(item).map_err(|fault| fault.at_index(index)));
            Value::List(items.collect::<Result<_, _>>()?)
        }
        toml::Value::Table(table) => {
            let mut object = Object::default();
            for (key, value) in table {
                object.insert(key, from_toml(value).map_err(|fault| fault.at(key))?);
            }
            Value::Object(object)
        }
    })
}

/// The library speaks of line and column of the normal form, which nobody wrote.
fn without_place(message: &str) -> &str {
    message.rsplit_once(" at line ").map_or(message, |(message, _)| message)
}

/// The zone that a definition names as its `tz`, or the one that counts where it names none.
fn zone(written: Option<&str>, otherwise: Zone) -> Result<Zone, Fault> {
    written.map_or(Ok(otherwise), |name| Zone::parse(name).map_err(|fault| fault.at("tz")))
}

/// Reads `500ms`, `30s`, `10m`, `2h`, `7d`.
pub fn duration(text: &str) -> Result<Duration, Fault> {
    let wrong = || Fault::new("value_error", "a time is expected, like 500ms, 30s, 10m, 2h or 7d");
    let unit_at = text.find(|character: char| !character.is_ascii_digit()).ok_or_else(wrong)?;
    let number: u64 = text[..unit_at].parse().map_err(|_| wrong())?;
    let millis = match &text[unit_at..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(millis).map(Duration::from_millis).ok_or_else(wrong)
}
