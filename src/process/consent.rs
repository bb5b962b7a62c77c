//! Consent: what people allowed, and what is kept of those who did not.

use std::time::Duration;

use serde::Deserialize;

use super::{
    definition::{self, duration},
    digest,
    records::{EventDraft, ProfileDraft, Records},
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
        let expires_after = written.expires_after.as_deref().map(|text| match duration(text) {
            Ok(time) if time.is_zero() => Err(Fault::new("value_error", "more than no time is expected")),
            read => read,
        });
        let expires_after = expires_after.transpose();
        let fields = written.fields.iter().enumerate().map(|(index, field)| {
            let path = Path::parse(&field.path).and_then(|path| {
                Records::check_writable(&path)?;
                Ok((path, field.r#do))
            });
            path.map_err(|fault| fault.at("path").at_index(index).at("fields"))
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
/// While nobody is known, what is granted by default counts.
pub fn is_given(consents: &[Consent], profile: Option<&ProfileDraft>, now: Time) -> bool {
    let is_granted = |consent: &Consent| match profile {
        Some(profile) => consent.is_granted(profile, now),
        None => consent.default == Answer::Granted,
    };
    let mut required = consents.iter().filter(|consent| consent.required).peekable();
    if required.peek().is_some() {
        return required.all(is_granted);
    }
    let said = profile.and_then(|profile| profile.get(&["consents".into()])).and_then(Value::as_object);
    let any_said = said.is_some_and(|said| said.iter().any(|(_, value)| answer(value) == Some(true)));
    any_said || consents.iter().any(is_granted)
}

/// The types with fields that are not granted; while nobody is known, what is granted by default counts.
fn lacking<'a>(consents: &'a [Consent], records: &Records<'_>) -> Vec<&'a Consent> {
    let is_granted = |consent: &Consent| {
        let by_default = consent.default == Answer::Granted;
        records.profile.as_ref().map_or(by_default, |profile| consent.is_granted(profile, records.now))
    };
    consents.iter().filter(|consent| !consent.fields.is_empty() && !is_granted(consent)).collect()
}

/// Treats what was sent in an event, before anything is made of it.
pub fn treat_sent(consents: &[Consent], records: &mut Records<'_>, event: usize, logs: &mut Logs) {
    if std::mem::replace(&mut records.events[event].treated, true) {
        return;
    }
    for consent in lacking(consents, records) {
        let sent = consent.fields.iter().filter(|(path, _)| EventDraft::is_sent(path));
        sent.for_each(|(path, treatment)| consent.treat(records, Some(event), path, *treatment, logs));
    }
}

/// Treats the fields of each type that is not granted as it says, but for what was treated before.
pub fn treat_fields(consents: &[Consent], records: &mut Records<'_>, logs: &mut Logs) {
    for event in 0..records.events.len() {
        treat_sent(consents, records, event, logs);
    }
    for consent in lacking(consents, records) {
        for (path, treatment) in consent.fields.iter().filter(|(path, _)| !EventDraft::is_sent(path)) {
            if path.split_root().0 != "event" {
                consent.treat(records, None, path, *treatment, logs);
                continue;
            }
            for event in 0..records.events.len() {
                consent.treat(records, Some(event), path, *treatment, logs);
            }
        }
    }
}

impl Consent {
    fn treat(
        &self,
        records: &mut Records<'_>,
        event: Option<usize>,
        path: &Path,
        treatment: Treatment,
        logs: &mut Logs,
    ) {
        let found = Scope::new(records, event).get(path).map(|value| value.into_owned());
        let Some(found) = found.filter(|value| !value.is_empty()) else { return };
        let new = match treatment {
            Treatment::Keep => return,
            Treatment::Remove => None,
            Treatment::Hash => Some(Value::text(&digest::sha256(&found.to_text()))),
        };
        if let Err(error) = records.write(event, path, new) {
            logs.warn(format!("consent {}: {error}", self.id));
        }
    }
}
