//! A profile gives back what it took in with another one.

use super::{Regained, Theirs, part, segments};
use crate::model::{Decimal, Id, Object, Profile, Value, Visit};

impl Profile {
    /// Takes out what `other` had when it was taken in; what was written since stays here. `before` is this profile, or
    /// the one that took the other in, as it was before that, if it was; `regained` is what it had lost against the other.
    pub fn split_off(
        &mut self,
        other: &Self,
        theirs: &Theirs,
        shared_visits: u64,
        before: Option<&Self>,
        regained: Regained,
    ) {
        self.split_facts(other, theirs, before, regained);
        self.visits = (self.visits + shared_visits).saturating_sub(other.visits);
        self.views = self.views.saturating_sub(other.views);
        self.counts.subtract_all(&other.counts);
        let mine = |visit: &Visit| !other.latest_visits.iter().flatten().any(|known| known.session == visit.session);
        let mut visits = self.latest_visits.iter_mut().filter_map(Option::take).filter(mine);
        let own = before.into_iter().flat_map(|before| before.latest_visits.iter().flatten().cloned());
        let mut own: Vec<Visit> = visits.by_ref().chain(own).collect();
        own.sort_unstable();
        own.dedup_by(|later, earlier| later.session == earlier.session);
        self.latest_visits = [own.pop(), own.pop()];
        let is_theirs = |known: &Id| *known == other.id || other.aliases.iter().any(|alias| alias.id == *known);
        self.aliases.retain(|alias| !is_theirs(&alias.id));
        self.names = self.names.saturating_sub(other.names + 1);
        self.keys.retain(|known| !other.has_key(known.key));
        self.history.was_split = true;
    }

    fn split_facts(&mut self, other: &Self, theirs: &Theirs, before: Option<&Self>, regained: Regained) {
        let writes = self.writes_without(theirs, before, regained);
        let (mine, other_facts) = (Value::from(&self.facts), Value::from(&other.facts));
        let mut rest = Object::default();
        let mut interests = taken_out(part(&mine, "interests"), part(&other_facts, "interests"));
        let only_theirs: Vec<String> = interests
            .iter()
            .filter(|(name, value)| {
                value.as_decimal().is_some_and(|left| left.is_zero())
                    && part(&other_facts, "interests").is_some_and(|it| it.get(name).is_some())
            })
            .map(|(name, _)| name.to_owned())
            .collect();
        only_theirs.iter().for_each(|name| _ = interests.remove(name));
        if !interests.is_empty() {
            rest.insert("interests", Value::Object(interests));
        }
        // Those with a condition are looked at again.
        let had = |facts: &Value, segment: &Value| segments(facts).any(|it| it == *segment);
        let before = before.map(|before| Value::from(&before.facts));
        let is_own =
            |segment: &Value| !had(&other_facts, segment) || before.as_ref().is_some_and(|before| had(before, segment));
        let segments: Vec<Value> = segments(&mine).filter(is_own).collect();
        if !segments.is_empty() {
            rest.insert("segments", Value::List(segments));
        }
        self.lay_out(writes, rest);
    }
}

/// The numbers of `mine` without those of `theirs`, which were added to them.
pub(super) fn taken_out(mine: Option<&Object>, theirs: Option<&Object>) -> Object {
    let mut left = mine.cloned().unwrap_or_default();
    for (name, value) in theirs.into_iter().flat_map(Object::iter) {
        let mine = left.get(name).map_or(Some(Decimal::default()), Value::as_decimal);
        if let Some((mine, theirs)) = mine.zip(value.as_decimal()) {
            left.insert(name, Value::number(mine - &theirs));
        }
    }
    left
}
