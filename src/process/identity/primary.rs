//! Primary keys tell people apart: two who have different ones are two, whatever else they share.
//!
//! An event that names another primary key than its profile has is that person's, and so is the rest of the session
//! (docs/contract.md, section 4): `pk` counts before `id`, and that before the configured ones, in their order.

use super::{
    join::{Found, SaidKey},
    keys::Identity,
};
use crate::{
    model::{Country, MergeKey, Path, Profile, Value},
    process::{
        Interrupted, ProcessContext,
        definitions::operation::Operation,
        records::{ProfileDraft, Records},
        retry::RetryState,
    },
};

/// A key for each place of a primary key, in the order in which they count; `None` where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrimaryKeys(Vec<Option<SaidKey>>);

impl PrimaryKeys {
    /// Those that stand in what is said of a profile's places, each itself one or an object that holds some.
    pub fn said(identity: &Identity, said: &[(Path, Value)], country: Option<Country>) -> Self {
        let key = |place: &Path| {
            let within = said.iter().filter(|(path, _)| place.steps().starts_with(path.steps()));
            let mut values = within.filter_map(|(path, value)| value.get(&place.steps()[path.steps().len()..]));
            values.find_map(|value| SaidKey::at(identity, place, value, country))
        };
        Self(identity.exclusive_places().map(key).collect())
    }

    pub fn of_draft(identity: &Identity, draft: &ProfileDraft) -> Self {
        let key = |place: &Path| SaidKey::at(identity, place, draft.get(&place.steps()[1..])?, None);
        Self(identity.exclusive_places().map(key).collect())
    }

    pub fn of(identity: &Identity, profile: &Profile) -> Self {
        let facts = Value::from(&profile.facts);
        let key = |place: &Path| SaidKey::at(identity, place, facts.get(&place.steps()[1..])?, None);
        Self(identity.exclusive_places().map(key).collect())
    }

    /// Why what an operation does at `path` of the profile that has these is not done, so that whoever is known stays known:
    /// nothing takes the place of a primary key but another one of the same person, which is `identified` then.
    pub fn objection(
        &self,
        identity: &Identity,
        operation: Operation,
        path: &Path,
        value: Option<&Value>,
        identified: bool,
    ) -> Option<Objection> {
        let places = identity.exclusive_places().zip(&self.0).filter(|(place, _)| identity.speaks_of(path, place));
        let mut objections = places.filter_map(|(place, standing)| {
            let below = place.steps().strip_prefix(path.steps()).unwrap_or_default();
            let value = operation.leaves(value, below)?;
            let key = value.and_then(|value| SaidKey::at(identity, place, value, None)).map(|said| said.key);
            match (standing, key) {
                (Some(standing), Some(key)) if standing.key == key || identified => None,
                (Some(_), Some(_)) => Some(Objection::Another),
                (Some(_), None) => Some(Objection::NoKey),
                (None, Some(_)) => None,
                (None, None) => value.is_some_and(|value| !value.is_empty()).then_some(Objection::NoKey),
            }
        });
        objections.next()
    }

    pub fn are_none(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// Whether both have a key at the same place, and not the same one.
    pub fn contradict(&self, other: &Self) -> bool {
        (0..self.0.len()).any(|place| self.contradicts_at(place, other))
    }

    fn contradicts_at(&self, place: usize, other: &Self) -> bool {
        let both = self.0[place].zip(other.0[place]);
        both.is_some_and(|(mine, theirs)| mine.key != theirs.key)
    }

    /// Those that are another key.
    pub fn without(&self, key: MergeKey) -> Self {
        Self(self.0.iter().map(|said| said.filter(|said| said.key != key)).collect())
    }

    /// Those that count more than the one at `place`.
    fn before(&self, place: usize) -> Self {
        Self(self.0.iter().enumerate().map(|(at, key)| key.filter(|_| at < place)).collect())
    }
}

/// Why something is not written where primary keys stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Objection {
    #[error("not written: it names nobody, and a primary key stands here")]
    NoKey,
    #[error("not written: the profile has another primary key")]
    Another,
}

/// Where an event goes by the primary keys that it names.
pub enum Decision {
    /// It is its profile's. The places of the keys that are somebody else's: they are not taken.
    Stays(Vec<Path>),
    /// It is this one's.
    Goes(Box<ProfileDraft>),
}

/// Whose the event is that names these primary keys.
///
/// The person is the first whom one of them leads to and who has no other one of those that count more. If they lead to
/// nobody, the profile that the event has is meant, unless it has other ones: then it is somebody new.
pub async fn decide(
    context: &ProcessContext<'_>,
    records: &mut Records<'_>,
    retry: &mut RetryState,
    named: &PrimaryKeys,
) -> Result<Decision, Interrupted> {
    let identity = context.identity;
    let mut found = Vec::with_capacity(named.0.len());
    for key in &named.0 {
        found.push(match key {
            Some(key) => Found::by_key(context, records, *key).await?,
            None => Found::Nobody,
        });
    }
    let Some(draft) = &records.profile else { return Ok(Decision::Stays(Vec::new())) };
    let own = PrimaryKeys::of_draft(identity, draft);
    let theirs = |found: &Found| match found {
        Found::Same => Some(own.clone()),
        found => found.profile(records).map(|profile| PrimaryKeys::of(identity, profile)),
    };
    let theirs: Vec<Option<PrimaryKeys>> = found.iter().map(theirs).collect();
    let is_person =
        |place: &usize| theirs[*place].as_ref().is_some_and(|theirs| !theirs.contradict(&named.before(*place)));
    let person = (0..found.len()).find(is_person);
    let joins = |place: usize| {
        let is_severed = named.0[place].is_some_and(|said| draft.profile.history.is_severed(said.key));
        let contradicts = theirs[place].as_ref().is_some_and(|theirs| theirs.contradict(&own));
        !is_severed && !contradicts && !own.contradict(named)
    };
    let stays = match person {
        Some(place) => matches!(found[place], Found::Same) || joins(place),
        None => !own.contradict(named),
    };
    if !stays {
        let known = person.and_then(|place| found.swap_remove(place).taken(records));
        let new = || ProfileDraft::made(retry.new_id(context.clock), None, records.part, records.now);
        return Ok(Decision::Goes(Box::new(known.unwrap_or_else(new))));
    }
    // Of the person, and of the profile that becomes one with it.
    let of_person = person.and_then(|place| theirs[place].clone()).unwrap_or_else(|| own.clone());
    let is_refused = |place: &usize| {
        let differs = of_person.contradicts_at(*place, named) || own.contradicts_at(*place, named);
        match &theirs[*place] {
            // It leads to the person already, or to somebody whom nothing tells from them.
            Some(other) if matches!(found[*place], Found::Same) || *other == of_person => false,
            Some(other) => differs || [&own, &of_person, named].into_iter().any(|it| it.contradict(other)),
            None => differs,
        }
    };
    let places = identity.exclusive_places().enumerate();
    let refused = places.filter(|(place, _)| named.0[*place].is_some() && is_refused(place));
    Ok(Decision::Stays(refused.map(|(_, path)| path.clone()).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys<const N: usize>(keys: [u8; N]) -> PrimaryKeys {
        let said = |key| SaidKey { key: MergeKey([key; 16]), former: None };
        PrimaryKeys(keys.into_iter().map(|key| (key != 0).then_some(said(key))).collect())
    }

    #[test]
    fn only_different_keys_of_one_place_contradict() {
        assert!(keys([1, 0]).contradict(&keys([2, 0])));
        assert!(!keys([1, 0]).contradict(&keys([0, 2])));
        assert!(!keys([1, 2]).contradict(&keys([1, 0])));
        assert!(keys([1, 2]).contradict(&keys([1, 3])));
        assert!(!keys([1, 2]).before(1).contradict(&keys([1, 3])));
        assert!(keys([0, 0]).are_none() && !keys([0, 1]).are_none());
    }
}
