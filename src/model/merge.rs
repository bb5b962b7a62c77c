//! Two profiles of one person become one: what both have is put together here, whoever decided it
//! (`process/identity/join.rs`, or a call, `admin/profiles.rs`). Which value stands is laid out in `writes`; `split` tells them
//! apart again.
//!
//! What comes out does not depend on the order of merges: every leaf that was ever written stands there with the offset
//! of its writing, the latest as its value, the others as conflicts.

mod history;
mod merging_writes;
mod split;
mod writes;

use super::{Alias, KnownKey, Object, Profile, ProfileRef, Value, Visit, profile::KEYS_NOTED};
pub use history::MergeHistory;
pub use merging_writes::MergingWrites;
use writes::note_write;
pub use writes::{Conflict, NOTED_PARTS, Regained, Theirs};

impl Profile {
    /// Takes over what `other` is and has. This profile is the one that was made first.
    ///
    /// `is_stored`: the other one was stored, so that its id is a name from here on. `shared_visits` sessions had both of
    /// them.
    pub fn absorb(&mut self, other: Self, is_stored: bool, shared_visits: u64) {
        self.merge_facts(&other);
        self.visits = (self.visits + other.visits).saturating_sub(shared_visits);
        self.views += other.views;
        self.counts.add_all(&other.counts);
        self.updated = self.updated.max(other.updated);
        let mut visits: Vec<Visit> = self.latest_visits.iter_mut().filter_map(Option::take).collect();
        visits.extend(other.latest_visits.into_iter().flatten());
        visits.sort_unstable();
        visits.dedup_by(|later, earlier| later.session == earlier.session);
        self.latest_visits = [visits.pop(), visits.pop()];
        self.note_keys(&other.keys);
        self.names += other.names + u64::from(is_stored);
        self.aliases.extend(other.aliases);
        self.aliases.extend(is_stored.then_some(Alias { id: other.id, since: other.since }));
        self.keep_newest_aliases();
        self.history.absorb(other.history);
        self.shares_sessions |= other.shares_sessions;
    }

    fn note_keys(&mut self, keys: &[KnownKey]) {
        for key in keys {
            match self.keys.iter_mut().find(|known| known.key == key.key) {
                Some(known) => known.since = known.since.min(key.since),
                None => self.keys.push(*key),
            }
        }
        self.keys.sort_unstable();
        self.keys.drain(..self.keys.len().saturating_sub(KEYS_NOTED));
    }

    /// Which names lead elsewhere once this profile takes in `other`, each with where it leads: not to the end of a chain
    /// of merges, but over at most a few names, whatever became one with whom.
    ///
    /// The other one's id leads to this one anyway. That is enough where it brings no more names than there are here: who
    /// looks for one of these takes one step more, and meets at least twice as many names, so there are few such steps.
    /// Where it brings more, they stay gathered where they are, and only that place leads here.
    pub fn gather(&mut self, other: &Self) -> Vec<(ProfileRef, ProfileRef)> {
        if other.names <= self.names {
            return Vec::new();
        }
        let (own, absorbed) = (self.reference(), other.reference());
        let place = other.gathered.clone().unwrap_or_else(|| absorbed.clone());
        self.gathered = Some(place.clone());
        if place == absorbed { Vec::new() } else { vec![(place.clone(), own), (absorbed, place)] }
    }

    fn merge_facts(&mut self, other: &Self) {
        let mut writes = self.writes();
        for ((offset, path), write) in other.writes() {
            note_write(&mut writes, offset, &path, write);
        }
        let (mine, theirs) = (Value::from(&self.facts), Value::from(&other.facts));
        let mut rest = Object::default();
        let interests = added(part(&mine, "interests"), part(&theirs, "interests"));
        if !interests.is_empty() {
            rest.insert("interests", Value::Object(interests));
        }
        let mut segments: Vec<Value> = [&mine, &theirs].into_iter().flat_map(segments).collect();
        segments.sort_by_key(Value::to_text);
        segments.dedup();
        if !segments.is_empty() {
            rest.insert("segments", Value::List(segments));
        }
        self.lay_out(writes, rest);
    }
}

fn part<'a>(facts: &'a Value, name: &str) -> Option<&'a Object> {
    facts.as_object()?.get(name)?.as_object()
}

fn segments(facts: &Value) -> impl Iterator<Item = Value> + use<> {
    let list = match facts.as_object().and_then(|facts| facts.get("segments")) {
        Some(Value::List(list)) => list.clone(),
        _ => Vec::new(),
    };
    list.into_iter()
}

/// The numbers of both, added up where both have one. One that is too long to be calculated with stays as it is.
fn added(mine: Option<&Object>, theirs: Option<&Object>) -> Object {
    let mut sums = mine.cloned().unwrap_or_default();
    for (name, value) in theirs.into_iter().flat_map(Object::iter) {
        match sums.get(name).map(|mine| mine.as_decimal().zip(value.as_decimal())) {
            Some(Some((mine, theirs))) => sums.insert(name, Value::number(mine + &theirs)),
            Some(None) => {}
            None => sums.insert(name, value.clone()),
        }
    }
    sums
}

#[cfg(test)]
mod tests;
