//! The consents that somebody gives now, for what was stored of them before: one that was withdrawn counts for that, too,
//! wherever it is handed on late.

use std::sync::Arc;

use super::{Consent, Treatment};
use crate::{
    model::{FieldChange, Object, Path, Profile, Time, Value, is_within},
    process::{
        definitions::consent,
        digest,
        records::{EventDraft, ProfileDraft},
    },
};

/// What somebody consents to now.
pub struct ConsentNow<'a> {
    consents: &'a [Consent],
    profile: ProfileDraft,
    now: Time,
}

impl<'a> ConsentNow<'a> {
    pub(in crate::process) fn new(consents: &'a [Consent], profile: &Arc<Profile>, now: Time) -> Self {
        Self { consents, profile: ProfileDraft::known(profile.clone()), now }
    }

    /// Whether it allows what sources that require consent need.
    pub fn allows(&self) -> bool {
        consent::is_given(self.consents, Some(&self.profile), &Object::default(), self.now)
    }

    /// Whether it was allowed as the profile was `before`, and is not any more.
    pub fn was_withdrawn_since(&self, before: &Arc<Profile>) -> bool {
        let then = ProfileDraft::known(before.clone());
        let was_given = consent::is_given(self.consents, Some(&then), &Object::default(), before.updated);
        was_given && !self.allows()
    }

    /// Makes of records from before, each under its name, what may be handed on of them: consents that were withdrawn are
    /// shown so, and fields that are not kept without a consent are treated as it says.
    pub fn redact(&self, records: &mut Object) {
        if let Some(mut profile) = records.remove("profile") {
            if let Some(consents) = profile.as_object_mut().and_then(|profile| profile.get_mut("consents")) {
                self.withdraw(consents);
            }
            records.insert("profile", profile);
        }
        for (path, treatment) in self.treated() {
            let (root, steps) = path.split_root();
            let Some(mut record) = records.remove(root) else { continue };
            treat(&mut record, path, steps, treatment);
            records.insert(root, record);
        }
    }

    /// Takes out of what changed in a profile what may not be handed on any more.
    pub fn redact_changes(&self, changes: &mut Vec<FieldChange>) {
        changes.retain(|change| {
            let is_treated = self.treated().any(|(path, _)| {
                let path = path.to_string();
                let path = path.strip_prefix("profile.").unwrap_or_default();
                is_within(&change.path, path) || is_within(path, &change.path)
            });
            let name = change.path.strip_prefix("consents.");
            let tells_yes = || self.is_yes(&Value::from(&change.new));
            !is_treated && !name.is_some_and(|name| tells_yes() && !self.says_yes(name))
        });
    }

    /// The fields that are not kept as they are without a consent that is not there.
    fn treated(&self) -> impl Iterator<Item = (&'a Path, Treatment)> {
        let lacking = self.consents.iter().filter(|consent| !consent.is_granted(Some(&self.profile), self.now));
        let fields = lacking.flat_map(|consent| &consent.fields).map(|(path, treatment)| (path, *treatment));
        fields.filter(|(_, treatment)| *treatment != Treatment::Keep)
    }

    /// Whether the profile gives a consent now.
    fn says_yes(&self, name: &str) -> bool {
        let said = self.profile.get(&["consents".into(), name.into()]);
        said.is_some_and(|said| self.is_yes(said))
    }

    /// Whether a consent's value says yes.
    fn is_yes(&self, value: &Value) -> bool {
        consent::answer(value, self.now) == Some(true)
    }

    /// Puts what is said now in the place of each yes that was withdrawn.
    fn withdraw(&self, consents: &mut Value) {
        let Some(consents) = consents.as_object_mut() else { return };
        let yes = consents.iter().filter(|(_, value)| self.is_yes(value));
        let withdrawn: Vec<String> = yes.map(|(name, _)| name.to_owned()).filter(|name| !self.says_yes(name)).collect();
        for name in withdrawn {
            match self.profile.get(&["consents".into(), name.as_str().into()]) {
                Some(now) => consents.insert(&name, now.clone()),
                None => _ = consents.remove(&name),
            }
        }
    }
}

/// Treats what stands at `steps` of a record, and where else an event has it that was sent with it.
fn treat(record: &mut Value, path: &Path, steps: &[Box<str>], treatment: Treatment) {
    let Some(found) = record.get(steps).filter(|value| !value.is_empty()).cloned() else { return };
    let hashed = |value: &Value| digest::sha256(&value.to_text());
    if treatment == Treatment::Hash && digest::is_sha256(&found.to_text()) {
        return; // it was treated when it was stored
    }
    if EventDraft::is_sent(path) {
        let mut leaves = Vec::new();
        found.leaves(&[].into_iter().collect(), &mut leaves);
        for leaf in leaves.iter().filter_map(|leaf| found.get(leaf.steps())) {
            let in_its_place = if treatment == Treatment::Hash { hashed(leaf) } else { String::new() };
            record.replace(&leaf.to_text(), &in_its_place);
        }
    }
    match treatment {
        Treatment::Hash => _ = record.set(steps, Value::text(&hashed(&found))),
        Treatment::Remove | Treatment::Keep if steps.len() == 1 => _ = record.set(steps, Value::object()),
        Treatment::Remove | Treatment::Keep => _ = record.remove(steps),
    }
}
