//! JSON Schemas that events keep to (https://json-schema.org). A reference to another document is never fetched.

use jsonschema::{
    ValidationError,
    error::ValidationErrorKind,
    paths::{Location, LocationSegment},
};

use crate::model::{Fault, Value, cut, short};

/// The most mistakes that are told of one value, and the most characters of each.
const TOLD_MAX: usize = 5;
const TOLD_CHARS_MAX: usize = 300;

#[derive(Debug)]
pub struct Schema(jsonschema::Validator);

impl Schema {
    /// # Errors
    /// It is no schema, or refers to another document.
    pub fn compile(schema: &Value) -> Result<Self, Fault> {
        // Patterns by an engine whose time is bounded by the length of the text.
        let options = jsonschema::options().with_pattern_options(jsonschema::PatternOptions::regex());
        options.build(&to_serde(schema)).map(Self).map_err(|error| {
            let place = error.instance_path().to_string();
            Fault::new("value_error", format!("not a JSON Schema: {place}: {error}"))
        })
    }

    /// Which rules of the schema `value` breaks, if it does, without a word of what it holds.
    pub fn check_unseen(&self, value: &Value) -> Result<(), String> {
        let value = to_serde(value);
        if self.0.is_valid(&value) {
            return Ok(());
        }
        let told = self.0.iter_errors(&value).take(TOLD_MAX);
        let told = told.map(|error| cut(&format!("{} does not hold", error.schema_path()), TOLD_CHARS_MAX));
        Err(told.collect::<Vec<_>>().join("; "))
    }

    /// As [`Schema::check`], of what came as a form: a text that says a number is one where it is no text that is asked for.
    pub fn check_form(&self, value: &Value) -> Result<(), String> {
        let mut read = value.clone();
        let sent = to_serde(value);
        for error in self.0.iter_errors(&sent) {
            if let Some(place) = asks_for_another(&error).then(|| place(&mut read, error.instance_path())).flatten()
                && place.says_number()
            {
                *place = std::mem::replace(place, Value::Null).said_number();
            }
        }
        self.check(&read)
    }

    /// What is wrong with `value`, if something is.
    pub fn check(&self, value: &Value) -> Result<(), String> {
        let value = to_serde(value);
        if self.0.is_valid(&value) {
            return Ok(());
        }
        let told = self.0.iter_errors(&value).take(TOLD_MAX).map(|error| {
            let wrong = short(&error.instance().to_string());
            let told = error.masked_with(wrong);
            let told = match error.instance_path().as_str() {
                "" => told.to_string(),
                path => format!("{}: {told}", short(path)),
            };
            cut(&told, TOLD_CHARS_MAX)
        });
        Err(told.collect::<Vec<_>>().join("; "))
    }
}

/// Whether a value of another type could be what is asked for.
fn asks_for_another(error: &ValidationError<'_>) -> bool {
    use ValidationErrorKind::{AnyOf, Constant, Enum, OneOfNotValid, Type};
    matches!(error.kind(), Type { .. } | AnyOf { .. } | OneOfNotValid { .. } | Enum { .. } | Constant { .. })
}

/// What stands at a place, if something does.
fn place<'a>(value: &'a mut Value, at: &Location) -> Option<&'a mut Value> {
    at.into_iter().try_fold(value, |value, step| match (value, step) {
        (Value::Object(object), LocationSegment::Property(name)) => object.get_mut(&name),
        (Value::List(list), LocationSegment::Index(place)) => list.get_mut(place),
        _ => None,
    })
}

/// The library's own tree. A number beyond what it can hold is the largest one.
fn to_serde(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Boolean(boolean) => (*boolean).into(),
        Value::Number(number) => {
            if let Ok(whole) = number.parse::<i64>() {
                return whole.into();
            }
            let float = number.parse::<f64>().unwrap_or_default();
            float.clamp(f64::MIN, f64::MAX).into()
        }
        Value::Text(text) => text.to_string().into(),
        Value::List(list) => list.iter().map(to_serde).collect(),
        Value::Object(object) => {
            serde_json::Value::Object(object.iter().map(|(key, value)| (key.to_owned(), to_serde(value))).collect())
        }
    }
}
