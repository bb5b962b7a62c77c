//! Headers that people add to what is sent to external systems; they may hold secrets.

use reqwest::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};

use super::secrets::Secrets;
use crate::{
    model::{Fault, Json, Value},
    process::expression::{
        scope::Scope,
        template::{Place, Template},
    },
};

/// Headers with places to fill.
pub type Headers = Vec<(HeaderName, Template)>;

/// Reads `headers`, an object of texts.
///
/// # Errors
/// A name or a value is wrong, or the header says how a message is sent; the fault names it.
pub fn compile(headers: Option<&Json>) -> Result<Headers, Fault> {
    let values = headers.map_or(Value::object(), Value::from);
    let values = values.as_object().ok_or_else(|| Fault::wrong_type("an object").at("headers"))?;
    let compiled = values.iter().map(|(name, value)| {
        let at = |fault: Fault| fault.at(name).at("headers");
        let value = value.as_str().ok_or_else(|| at(Fault::wrong_type("a text")))?;
        let header: HeaderName = name.parse().map_err(|_| at(Fault::new("value_error", "not a header's name")))?;
        if [CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING].contains(&header) {
            return Err(at(Fault::new("value_error", "this header is not yours to set")));
        }
        Ok((header, Template::compile(value, true).map_err(at)?))
    });
    compiled.collect()
}

/// The headers with everything filled in.
///
/// # Errors
/// A value is missing or cannot stand in a header, or there is no such secret.
pub fn fill(headers: &Headers, scope: &Scope<'_>, secrets: &Secrets) -> Result<HeaderMap, String> {
    let mut filled = HeaderMap::new();
    for (name, template) in headers {
        let value = template.text(scope, Place::Header, Some(secrets))?;
        let mut value = HeaderValue::from_str(&value).map_err(|_| format!("header {name}: it cannot be sent"))?;
        value.set_sensitive(true);
        filled.insert(name.clone(), value);
    }
    Ok(filled)
}
