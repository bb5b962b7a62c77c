//! Consent: what people allowed, and what is kept of those who did not.

use std::time::Duration;

use serde::Deserialize;

use super::{
    definition::{self, duration},
    digest,
    records::{ProfileDraft, Records},
    scope::Scope,
};
use crate::model::{Definition, Fault, Id, Logs, Path, Time, Value};

/// The type whose events grant and revoke.
pub const CONSENT_UPDATE: &str = "consent-update";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// What counts while nobody said anything.
    #[serde(default)]
    default: Answer,
    /// Sources that require consent require this one.
    #[serde(default)]
    required: bool,
    /// How long what was said counts.
    expires_after: Option<String>,
    /// What becomes of fields while it is not granted.
    #[serde(default)]
    fields: Vec<FieldDefinition>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Granted,
    #[default]
    Denied,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldDefinition {
    path: String,
    r#do: Treatment,
}

/// What becomes of a field that nobody consented to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Treatment {
    Remove,
    Hash,
    Keep,
}

/// A consent type that was compiled.
#[derive(Debug)]
pub struct Consent {
    id: Id,
    default: Answer,
    required: bool,
    expires_after: Option<Duration>,
    fields: Vec<(Path, Treatment)>,
}

impl Consent {
    /// # Errors
    /// A field is missing or wrong; the fault names it.
    pub fn compile(definition: &Definition) -> Result<Self, Fault> {
        let written: Written = definition::read(definition)?;
        let expires_after = written.expires_after.as_deref().map(duration).transpose();
        let fields = written.fields.iter().enumerate().map(|(index, field)| {
            let path = Path::parse(&field.path).and_then(|path| {
                let root = path.split_root().0;
                let is_sent =
                    root == "event" && matches!(path.steps().get(1).map(|it| &**it), Some("properties" | "context"));
                if is_sent || Records::is_writable(&path) {
                    Ok(path)
                } else {
                    Err(Fault::new("value_error", format!("{path} cannot be removed")))
                }
            });
            let path = path.map_err(|fault| fault.at("path").at_index(index).at("fields"))?;
            Ok((path, field.r#do))
        });
        Ok(Self {
            id: definition.id.clone(),
            default: written.default,
            required: written.required,
            expires_after: expires_after.map_err(|fault| fault.at("expires_after"))?,
            fields: fields.collect::<Result<_, _>>()?,
        })
    }

    /// Whether the profile granted it, and that still counts.
    fn is_granted(&self, profile: &ProfileDraft, now: Time) -> bool {
        let said = profile.get(&["consents".into(), self.id.as_str().into()]).and_then(answer);
        let said = said.filter(|_| match (self.expires_after, profile.written_at(&["consents", self.id.as_str()])) {
            (Some(most), Some(at)) => now.seconds_since(at) < most.as_secs_f64(),
            _ => true,
        });
        said.unwrap_or(self.default == Answer::Granted)
    }
}

/// What a consent's value says; `None`: nothing.
fn answer(value: &Value) -> Option<bool> {
    match value {
        Value::Boolean(granted) => Some(*granted),
        Value::Text(word) => match word.trim().to_lowercase().as_str() {
            "grant" | "granted" | "yes" | "true" | "allow" | "allowed" => Some(true),
            "" => None,
            _ => Some(false),
        },
        // As the reference keeps it: granted until a time, or for good.
        Value::Object(object) => object.get("revoke").map(Value::is_empty),
        _ => None,
    }
}

/// Whether the profile consented to what a source that requires consent needs: every required type, or, if none is, any.
pub fn is_given(consents: &[Consent], profile: &ProfileDraft, now: Time) -> bool {
    let mut required = consents.iter().filter(|consent| consent.required).peekable();
    if required.peek().is_some() {
        return required.all(|consent| consent.is_granted(profile, now));
    }
    let said = profile.get(&["consents".into()]).and_then(Value::as_object);
    let any_said = said.is_some_and(|said| said.iter().any(|(_, value)| answer(value) == Some(true)));
    any_said || consents.iter().any(|consent| consent.is_granted(profile, now))
}

/// Treats the fields of each type that is not granted as it says.
pub fn treat_fields(consents: &[Consent], records: &mut Records<'_>, logs: &mut Logs) {
    let now = records.now;
    for consent in consents.iter().filter(|consent| !consent.fields.is_empty()) {
        let Some(profile) = &records.profile else { return };
        if consent.is_granted(profile, now) {
            continue;
        }
        for (path, treatment) in &consent.fields {
            let events = if path.split_root().0 == "event" { 0..records.events.len() } else { 0..1 };
            for event in events {
                if let Err(error) = treat(records, event, path, *treatment) {
                    logs.warn(format!("consent {}: {error}", consent.id));
                }
            }
        }
    }
}

fn treat(records: &mut Records<'_>, event: usize, path: &Path, treatment: Treatment) -> Result<(), String> {
    let at = (event < records.events.len()).then_some(event);
    let found = Scope::new(records, at).get(path).map(|value| value.into_owned()).filter(|value| !value.is_empty());
    let Some(found) = found else { return Ok(()) };
    let new = match treatment {
        Treatment::Keep => return Ok(()),
        Treatment::Remove => None,
        Treatment::Hash => Some(Value::text(&digest::sha256(&found.to_text()))),
    };
    let done = match records.events.get_mut(event) {
        Some(draft) if path.split_root().0 == "event" && draft.is_sent(path) => {
            draft.redact(path, new);
            Ok(())
        }
        _ => records.write(at, path, new),
    };
    done.map_err(|error| error.to_string())
}
