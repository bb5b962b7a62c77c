//! Consent: what people allowed, and what is kept of those who did not; `now` says it of what was stored before.

pub mod now;

use std::{sync::Arc, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;

use super::duration;
use crate::{
    model::{Definition, Fault, Id, Logs, Object, Path, Profile, Time, Value},
    process::{
        digest,
        expression::scope::Scope,
        records::{EventDraft, ProfileDraft, Records},
    },
};

/// The type whose events grant and revoke.
pub const CONSENT_UPDATE: &str = "consent-update";

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Consent")]
pub struct Written {
    /// What counts while nobody said anything.
    #[serde(default)]
    default: Answer,
    /// Sources that require consent require this one.
    #[serde(default)]
    required: bool,
    /// How long what was said counts.
    #[schemars(regex(pattern = super::DURATION))]
    expires_after: Option<String>,
    /// What becomes of fields while it is not granted.
    #[serde(default)]
    fields: Vec<FieldDefinition>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
enum Answer {
    Granted,
    #[default]
    Denied,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
struct FieldDefinition {
    path: String,
    r#do: Treatment,
}

/// What becomes of a field that nobody consented to; the strictest is the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(super) enum Treatment {
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
    pub(super) fields: Vec<(Path, Treatment)>,
}

impl Consent {
    /// # Errors
    /// A field is missing or wrong; the fault names it.
    pub fn compile(definition: &Definition) -> Result<Self, Fault> {
        let written: Written = super::read(definition)?;
        let expires_after = written.expires_after.as_deref().map(|text| match duration(text) {
            Ok(time) if time.is_zero() => Err(Fault::new("value_error", "more than no time is expected")),
            read => read,
        });
        let expires_after = expires_after.transpose();
        let fields = written.fields.iter().enumerate().map(|(index, field)| {
            let path = Path::parse(&field.path).and_then(|path| {
                Records::check_writable(&path)?;
                if field.r#do == Treatment::Hash && path.steps().len() < 3 {
                    return Err(Fault::new("value_error", "the whole of it cannot be hashed: name what is in it"));
                }
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

    /// Whether the profile granted it, and that still counts; while nobody is known, what is granted by default does.
    pub(super) fn is_granted(&self, profile: Option<&ProfileDraft>, now: Time) -> bool {
        let by_default = self.default == Answer::Granted;
        let Some(profile) = profile else { return by_default };
        let said = profile.get(&["consents".into(), (*self.id.text()).into()]);
        let said = said.and_then(|said| answer(said, now));
        let said = said.filter(|_| match (self.expires_after, profile.written_at(&["consents", &*self.id.text()])) {
            (Some(most), Some(at)) => now.seconds_since(at) < most.as_secs_f64(),
            _ => true,
        });
        said.unwrap_or(by_default)
    }
}

/// What a consent's value says now; `None`: nothing.
pub(super) fn answer(value: &Value, now: Time) -> Option<bool> {
    match value {
        Value::Boolean(granted) => Some(*granted),
        Value::Text(word) => match word.trim().to_lowercase().as_str() {
            "grant" | "granted" | "yes" | "true" | "allow" | "allowed" => Some(true),
            "" => None,
            _ => Some(false),
        },
        // As the reference keeps it: granted until a time, or for good.
        Value::Object(object) => {
            let until = object.get("revoke")?;
            Some(until.is_empty() || until.as_time().is_some_and(|until| now < until))
        }
        _ => None,
    }
}

/// Whether the profile consented to what a source that requires consent needs: every required type, or, if none is, any.
/// What was `told` right now counts before what it said so far.
pub(super) fn is_given(consents: &[Consent], profile: Option<&ProfileDraft>, told: &Object, now: Time) -> bool {
    let is_granted = |consent: &Consent| {
        let told = told.get(&consent.id.text()).and_then(|told| answer(told, now));
        told.unwrap_or_else(|| consent.is_granted(profile, now))
    };
    let mut required = consents.iter().filter(|consent| consent.required).peekable();
    if required.peek().is_some() {
        return required.all(is_granted);
    }
    let said = profile.and_then(|profile| profile.get(&["consents".into()])).and_then(Value::as_object);
    let is_type = |name: &str| consents.iter().any(|consent| *consent.id.text() == *name);
    let mut others = said.into_iter().chain([told]).flat_map(Object::iter).filter(|(name, _)| !is_type(name));
    others.any(|(_, value)| answer(value, now) == Some(true)) || consents.iter().any(is_granted)
}

/// The types with fields that are not granted.
fn lacking<'a>(consents: &'a [Consent], records: &Records<'_>) -> Vec<&'a Consent> {
    let is_granted = |consent: &Consent| consent.is_granted(records.profile.as_ref(), records.now);
    consents.iter().filter(|consent| !consent.fields.is_empty() && !is_granted(consent)).collect()
}

fn is_required(records: &Records<'_>) -> bool {
    records.registered().source.requires_consent
}

/// Whether nothing of somebody is to be kept: the source requires a consent that the profile did not give, or hears that
/// the visitor asks not to be tracked.
pub fn is_missing(consents: &[Consent], records: &Records<'_>) -> bool {
    let is_given = || is_given(consents, records.profile.as_ref(), &Object::default(), records.now);
    records.opted_out || (is_required(records) && !is_given())
}

/// Whether what events say of somebody may be kept, or is allowed by what they grant.
pub fn may_tell(consents: &[Consent], records: &Records<'_>) -> bool {
    !records.opted_out && (!is_required(records) || allows(consents, records, records.profile.as_ref()))
}

/// Whether events of this source may be given to the profile.
pub fn admits(consents: &[Consent], records: &Records<'_>, profile: &Profile) -> bool {
    !records.opted_out
        && (!is_required(records) || allows(consents, records, Some(&ProfileDraft::known(Arc::new(profile.clone())))))
}

/// Whether the profile gave its consent, or gives it with the events.
fn allows(consents: &[Consent], records: &Records<'_>, profile: Option<&ProfileDraft>) -> bool {
    let is_given = |told: &Object| is_given(consents, profile, told, records.now);
    is_given(&Object::default()) || is_given(&told(records))
}

/// What the events grant and revoke, the last word of each type.
fn told(records: &Records<'_>) -> Object {
    let updates = records.events.iter().filter(|event| event.valid && event.kind() == CONSENT_UPDATE);
    let mut told = Object::default();
    for event in updates {
        let said = event.properties().as_object().and_then(|properties| properties.get("consents"));
        let said = said.and_then(Value::as_object).into_iter().flat_map(Object::iter);
        said.for_each(|(name, value)| told.insert(name, value.clone()));
    }
    told
}

/// What is kept of a value that an event brought, where the profile did not consent to the field that holds it.
pub fn kept(consents: &[Consent], records: &Records<'_>, value: &Value) -> Option<Value> {
    let text = value.to_text();
    let holds = |path: &Path| {
        (0..records.events.len()).any(|event| {
            let found = Scope::new(records, Some(event)).get(path);
            found.is_some_and(|found| found.to_text() == text)
        })
    };
    let fields = lacking(consents, records).into_iter().flat_map(|consent| &consent.fields);
    let treated = fields.filter(|(path, _)| EventDraft::is_sent(path) && holds(path)).map(|(_, treatment)| treatment);
    match treated.min() {
        Some(Treatment::Remove) => None,
        Some(Treatment::Hash) => Some(Value::text(&digest::sha256(&text))),
        Some(Treatment::Keep) | None => Some(value.clone()),
    }
}

/// Treats what was sent in an event, before anything is made of it; the places of what is another now.
pub fn treat_sent(consents: &[Consent], records: &mut Records<'_>, event: usize, logs: &mut Logs) -> Vec<Path> {
    let mut treated = Vec::new();
    if std::mem::replace(&mut records.events[event].treated, true) {
        return treated;
    }
    for consent in lacking(consents, records) {
        for (path, treatment) in consent.fields.iter().filter(|(path, _)| EventDraft::is_sent(path)) {
            if consent.treat(records, Some(event), path, *treatment, logs) {
                treated.push(path.clone());
            }
        }
    }
    treated
}

/// Treats the fields of each type that is not granted as it says, but for what was sent.
pub fn treat_written(consents: &[Consent], records: &mut Records<'_>, logs: &mut Logs) {
    for consent in lacking(consents, records) {
        for (path, treatment) in consent.fields.iter().filter(|(path, _)| !EventDraft::is_sent(path)) {
            if path.split_root().0 == "event" {
                for event in 0..records.events.len() {
                    _ = consent.treat(records, Some(event), path, *treatment, logs);
                }
            } else {
                _ = consent.treat(records, None, path, *treatment, logs);
            }
        }
    }
}

impl Consent {
    /// Whether something stands there that is another now.
    fn treat(
        &self,
        records: &mut Records<'_>,
        event: Option<usize>,
        path: &Path,
        treatment: Treatment,
        logs: &mut Logs,
    ) -> bool {
        let (root, steps) = path.split_root();
        let is_context = root == "event" && steps.first().is_some_and(|part| **part == *"context");
        if is_context && records.is_treated(event, path) {
            return false; // where the events of a request have it from, it was treated with the first of them
        }
        let found = Scope::new(records, event).get(path).map(|value| value.into_owned());
        let Some(found) = found.filter(|value| !value.is_empty()) else { return false };
        let new = match treatment {
            Treatment::Keep => return false,
            Treatment::Remove => None,
            // What stays in a profile is treated again with each request, and a field may be of several types.
            Treatment::Hash if digest::is_sha256(&found.to_text()) => return false,
            Treatment::Hash => Some(Value::text(&digest::sha256(&found.to_text()))),
        };
        if is_context {
            records.treat_context(path, new.clone());
        }
        if EventDraft::is_sent(path) {
            // It may have gone elsewhere before it was known whose it is.
            let mut leaves = Vec::new();
            found.leaves(&[].into_iter().collect(), &mut leaves);
            for leaf in leaves.iter().filter_map(|leaf| found.get(leaf.steps())).map(Value::to_text) {
                let in_its_place = if treatment == Treatment::Hash { digest::sha256(&leaf) } else { String::new() };
                records.replace(&leaf, &in_its_place);
            }
        }
        let written = records.write(event, path, new);
        if let Err(error) = &written {
            logs.warn(format!("consent {}: {error}", self.id));
        }
        written.is_ok()
    }
}
