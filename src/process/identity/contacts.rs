//! Addresses and phone numbers that a profile has no more: they lead to it no more, unless former ones are kept
//! (docs/contract.md, section 4).

use crate::{
    model::{MergeKey, Path, Value, steps_text},
    process::{Interrupted, ProcessContext, records::Records},
    store::Key,
};

/// What stands at the places of addresses and phone numbers, before something is written there.
#[derive(Default)]
pub struct Contacts(Vec<(Path, Value)>);

impl Contacts {
    /// Those of the profile in the records; none where former ones are kept.
    pub fn of(context: &ProcessContext<'_>, records: &Records<'_>) -> Self {
        let Some(draft) = records.profile.as_ref().filter(|_| !context.identity.keeps_former()) else {
            return Self::default();
        };
        let standing = context.identity.contact_places().filter_map(|place| {
            Some((place.clone(), draft.get(&place.steps()[1..]).filter(|value| !value.is_empty())?.clone()))
        });
        Self(standing.collect())
    }

    /// Those in the place of which there is something else by now, or nothing, lead to the profile no more; nor does what had
    /// lost at such a place when the profile became one with another.
    pub fn let_go(self, context: &ProcessContext<'_>, records: &mut Records<'_>) -> Result<(), Interrupted> {
        let Some(draft) = records.profile.as_ref().filter(|_| !self.0.is_empty()) else { return Ok(()) };
        let mut replaced = self.0;
        replaced.retain(|(place, value)| draft.get(&place.steps()[1..]) != Some(value));
        if replaced.is_empty() {
            return Ok(());
        }
        let lost = draft.profile.conflicts.iter().filter_map(|lost| {
            let (place, _) = replaced.iter().find(|(place, _)| steps_text(&place.steps()[1..]) == *lost.path)?;
            Some((place.clone(), Value::from(&lost.written.value)))
        });
        let gone: Vec<(Path, Value)> = replaced.iter().cloned().chain(lost).collect();
        // A number without a prefix was dialled in the country of whichever source sent it.
        let countries = context.people.view.phone_countries();
        let keys_of = |contacts: &[(Path, Value)]| -> Vec<MergeKey> {
            let keys = contacts.iter().flat_map(|(place, value)| {
                countries.iter().filter_map(|country| context.identity.key_at(place, value, *country))
            });
            keys.collect()
        };
        let standing = keys_of(&Self::of(context, records).0);
        let mut keys = keys_of(&gone);
        keys.retain(|key| draft.profile.has_key(*key) && !standing.contains(key));
        context.people.hold(keys.iter().map(|key| Key::MergeKey(*key)).collect())?;
        if let Some(draft) = &mut records.profile {
            keys.into_iter().for_each(|key| draft.let_go_of(key));
        }
        Ok(())
    }
}
