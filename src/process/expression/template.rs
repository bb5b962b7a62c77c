//! Texts with expressions in them: `https://crm.example.com/vouchers/{{ event.properties.voucher }}`.
//!
//! A value is escaped for the place where it stands. A text that is one expression and nothing else has its value, of
//! any type.

use super::{condition::Expression, scope::Scope};
use crate::{
    model::{Fault, Object, Value},
    process::outbound::secrets::Secrets,
};

const SECRET: &str = "secret.";

/// A text with places to fill.
#[derive(Debug)]
pub struct Template(Vec<Piece>);

#[derive(Debug)]
enum Piece {
    Text(Box<str>),
    Expression { expression: Expression, written: Box<str> },
    Secret(Box<str>),
}

/// Where a template's values stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Text,
    /// In an address: everything but letters, digits and `-._~` is escaped.
    Url,
    /// In a header: control characters are refused.
    Header,
}

impl Template {
    /// # Errors
    /// A brace is not closed, or an expression does not compile. Secrets are let in only where `secrets` says so.
    pub fn compile(text: &str, secrets: bool) -> Result<Self, Fault> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once("{{") {
            let (inside, after) =
                behind.split_once("}}").ok_or_else(|| Fault::new("value_error", "{{ is not closed with }}"))?;
            if !before.is_empty() {
                pieces.push(Piece::Text(before.into()));
            }
            pieces.push(match inside.trim().strip_prefix(SECRET) {
                Some(name) if secrets => Piece::Secret(name.trim().into()),
                Some(_) => return Err(Fault::new("value_error", "a secret may stand in a header only")),
                None => {
                    Piece::Expression { expression: Expression::compile(inside.trim())?, written: inside.trim().into() }
                }
            });
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.into()));
        }
        Ok(Self(pieces))
    }

    /// Whether something of a record is filled in, and not secrets alone.
    pub fn speaks_of_records(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Expression { .. }))
    }

    /// The template's value: of any type if it is one expression, a text otherwise. `None`: what it speaks of is
    /// missing.
    pub fn value(&self, scope: &Scope<'_>) -> Result<Option<Value>, String> {
        match &self.0[..] {
            [Piece::Expression { expression, .. }] => expression.value(scope),
            _ => self.text(scope, Place::Text, None).map(|text| Some(Value::Text(text.into()))),
        }
    }

    /// The filled text.
    ///
    /// # Errors
    /// Something that it speaks of is missing, cannot be evaluated, or may not stand there.
    pub fn text(&self, scope: &Scope<'_>, place: Place, secrets: Option<&Secrets>) -> Result<String, String> {
        let mut text = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Secret(name) => {
                    let secret = secrets.and_then(|secrets| secrets.get(name));
                    text.push_str(&secret.ok_or_else(|| format!("there is no secret {name}"))?);
                }
                Piece::Expression { expression, written } => {
                    let value = expression.value(scope)?.filter(|value| !value.is_empty());
                    let value = value.ok_or_else(|| format!("{written} is missing or empty"))?.to_text();
                    match place {
                        Place::Text => text.push_str(&value),
                        Place::Url => {
                            text.extend(percent_encoding::utf8_percent_encode(&value, URL_VALUE));
                        }
                        Place::Header if value.chars().any(char::is_control) => {
                            return Err("a header must not hold control characters".into());
                        }
                        Place::Header => text.push_str(&value),
                    }
                }
            }
        }
        Ok(text)
    }
}

const URL_VALUE: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A JSON value whose texts are templates.
#[derive(Debug)]
pub enum ValueTemplate {
    Plain(Value),
    Text(Template),
    List(Vec<Self>),
    Object(Vec<(Box<str>, Self)>),
}

impl ValueTemplate {
    /// # Errors
    /// As [`Template::compile`]; the fault names the place in the value.
    pub fn compile(value: &Value) -> Result<Self, Fault> {
        Ok(match value {
            Value::Text(text) if text.contains("{{") => Self::Text(Template::compile(text, false)?),
            Value::List(list) => {
                let list = list.iter().enumerate();
                let list = list.map(|(index, value)| Self::compile(value).map_err(|fault| fault.at_index(index)));
                Self::List(list.collect::<Result<_, _>>()?)
            }
            Value::Object(object) => {
                let entries = object.iter();
                let entries = entries
                    .map(|(key, value)| Ok((key.into(), Self::compile(value).map_err(|fault: Fault| fault.at(key))?)));
                Self::Object(entries.collect::<Result<_, Fault>>()?)
            }
            plain => Self::Plain(plain.clone()),
        })
    }

    /// The filled value; what is missing is left out of an object and is null elsewhere.
    ///
    /// # Errors
    /// An expression in it cannot be evaluated.
    pub fn fill(&self, scope: &Scope<'_>) -> Result<Value, String> {
        Ok(self.fill_some(scope)?.unwrap_or(Value::Null))
    }

    pub fn fill_some(&self, scope: &Scope<'_>) -> Result<Option<Value>, String> {
        Ok(Some(match self {
            Self::Plain(value) => value.clone(),
            Self::Text(template) => return template.value(scope),
            Self::List(list) => Value::List(list.iter().map(|value| value.fill(scope)).collect::<Result<_, _>>()?),
            Self::Object(entries) => {
                let mut object = Object::default();
                for (key, value) in entries {
                    if let Some(value) = value.fill_some(scope)? {
                        object.insert(key, value);
                    }
                }
                Value::Object(object)
            }
        }))
    }
}
