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
        let options = options.should_validate_formats(true);
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

/// The library's own tree, with the exact text of numbers.
fn to_serde(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Boolean(boolean) => (*boolean).into(),
        Value::Number(number) => number.parse().map_or(serde_json::Value::Null, serde_json::Value::Number),
        Value::Text(text) => text.to_string().into(),
        Value::List(list) => list.iter().map(to_serde).collect(),
        Value::Object(object) => {
            serde_json::Value::Object(object.iter().map(|(key, value)| (key.to_owned(), to_serde(value))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Reader;

    fn value(text: &str) -> Value {
        Value::from(&Reader::new(text.as_bytes(), 0).and_then(|mut reader| reader.value()).unwrap())
    }

    #[test]
    fn numbers_are_compared_exactly() {
        for (schema, fits, not) in [
            (
                r#"{"const":12345678901234567890}"#,
                vec!["12345678901234567890"],
                vec!["12345678901234567891", "12345678901234567889", "12345678901234567000", "1.2345678901234567e19"],
            ),
            (
                r#"{"const":123456789012345678901234567890}"#,
                vec!["123456789012345678901234567890"],
                vec!["123456789012345678901234567891", "123456789012345678901234567889"],
            ),
            (r#"{"const":-9007199254740993}"#, vec!["-9007199254740993"], vec!["-9007199254740992"]),
            (r#"{"enum":[9007199254740993,1]}"#, vec!["9007199254740993", "1", "1.0"], vec!["9007199254740992", "2"]),
            (
                r#"{"minimum":9007199254740993}"#,
                vec!["9007199254740993", "12345678901234567890"],
                vec!["9007199254740992"],
            ),
            (
                r#"{"exclusiveMaximum":18446744073709551616}"#,
                vec!["18446744073709551615"],
                vec!["18446744073709551616", "18446744073709551617", "1e400"],
            ),
            (r#"{"maximum":0.3}"#, vec!["0.3", "0.30", "-1e400"], vec!["0.30000000000000000001"]),
            (r#"{"multipleOf":0.01}"#, vec!["19.99", "0.07", "1e2"], vec!["19.999"]),
            (r#"{"multipleOf":3}"#, vec!["12345678901234567890", "9007199254740993"], vec!["12345678901234567891"]),
            (r#"{"type":"integer"}"#, vec!["123456789012345678901234567890", "1.0", "1e3"], vec!["1.5", "1e-400"]),
            (r#"{"uniqueItems":true}"#, vec!["[12345678901234567890,12345678901234567891]"], vec!["[1,1.0]"]),
        ] {
            let compiled = Schema::compile(&value(schema)).unwrap();
            for text in fits {
                assert_eq!(compiled.check(&value(text)), Ok(()), "{schema} {text}");
            }
            for text in not {
                assert!(compiled.check(&value(text)).is_err(), "{schema} {text}");
                assert!(compiled.check_unseen(&value(text)).is_err(), "{schema} {text}");
            }
        }
    }

    #[test]
    fn what_is_expected_is_told_with_its_digits() {
        let schema = Schema::compile(&value(r#"{"properties":{"n":{"const":12345678901234567890}}}"#)).unwrap();
        let wrong = schema.check(&value(r#"{"n":12345678901234567891}"#)).unwrap_err();
        assert!(wrong.contains("12345678901234567890"), "{wrong}");
        // A name that the library has a use for is a name like any other.
        let schema = Schema::compile(&value(r#"{"properties":{"$serde_json::private::Number":{"type":"string"}}}"#));
        assert_eq!(schema.unwrap().check(&value(r#"{"$serde_json::private::Number":"1.5"}"#)), Ok(()));
    }

    #[test]
    fn formats_are_checked() {
        for (format, fits, not) in [
            ("date-time", "2026-11-30T10:00:00.5+02:00", "2026-11-30 at ten"),
            ("date", "2026-02-28", "2026-02-30"),
            ("time", "10:00:00Z", "25:00:00Z"),
            ("duration", "P3DT4H", "3 days"),
            ("email", "ada@example.com", "ada@"),
            ("hostname", "shop.example.com", "-shop.example.com"),
            ("ipv4", "192.0.2.1", "192.0.2.256"),
            ("ipv6", "2001:db8::7", "2001:db8::g"),
            ("uri", "https://shop.example/a?b=c", "shop example"),
            ("uri-reference", "/a?b=c", "\\\\a b"),
            ("uuid", "0d2d9dc5-0000-4000-8000-000000000001", "0d2d9dc5"),
            ("regex", "^a+$", "(a"),
            ("json-pointer", "/a/0", "a/0"),
        ] {
            let schema = Schema::compile(&value(&format!(r#"{{"format":"{format}"}}"#))).unwrap();
            assert_eq!(schema.check(&Value::text(fits)), Ok(()), "{format}");
            assert!(schema.check(&Value::text(not)).is_err(), "{format}");
            assert_eq!(schema.check(&Value::number(1)), Ok(()), "a format is one of texts");
        }
        // What the library does not know says nothing.
        let schema = Schema::compile(&value(r#"{"format":"colour"}"#)).unwrap();
        assert_eq!(schema.check(&Value::text("red")), Ok(()));
    }
}
