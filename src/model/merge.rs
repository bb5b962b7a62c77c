//! Two profiles of one person become one, and can be told apart again.
//!
//! What comes out does not depend on the order of merges: every leaf that was ever written stands there with the offset
//! of its writing, the latest as its value, the others as conflicts.

mod writes;

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::{Id, Object, Profile, ProfileRef, Value, profile::Visit};
use writes::note_write;
pub use writes::{Conflict, NOTED_PARTS};

/// About how many bytes of those that it took in a profile keeps, and of what lost against something later.
const KEPT_BYTES_MAX: usize = 1024 * 1024;

/// A profile that became part of another one, as it was then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Absorbed {
    pub profile: Box<Profile>,
    /// The sessions that both had.
    pub shared_visits: u64,
}

impl Profile {
    /// Takes over what `other` is and has. This profile is the one that was made first.
    ///
    /// `before` is the other one as it was stored, if it was: what it is split off as again. `shared_visits` sessions
    /// had both of them.
    pub fn absorb(&mut self, other: Self, before: Option<Self>, shared_visits: u64) {
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
        self.keys.extend(other.keys);
        self.keys.sort_unstable();
        self.keys.dedup();
        self.aliases.extend(other.aliases);
        if let Some(before) = before {
            self.aliases.push(super::Alias { id: before.id.clone(), since: before.since });
            self.absorbed.push(Absorbed { profile: Box::new(before), shared_visits });
        }
        self.absorbed.extend(other.absorbed);
        self.forget_oldest();
        self.aliases.sort_unstable_by(|a, b| (a.since, &a.id).cmp(&(b.since, &b.id)));
        self.aliases.dedup();
    }

    /// Keeps of those that it took in, and of what lost against something later, no more than can be written again with
    /// each change: the oldest are forgotten, and cannot be split off any more.
    fn forget_oldest(&mut self) {
        let fitting = |sizes: &mut dyn Iterator<Item = usize>| {
            let mut sum = 0;
            sizes.take_while(|bytes| (sum += bytes, sum <= KEPT_BYTES_MAX).1).count()
        };
        let count = fitting(&mut self.absorbed.iter().rev().map(|absorbed| absorbed.profile.bytes()));
        // One stays: where names lead is written while there is one.
        self.absorbed.drain(..self.absorbed.len().saturating_sub(count.max(1)));
        let mut latest: Vec<&Conflict> = self.conflicts.iter().collect();
        latest.sort_unstable_by_key(|conflict| std::cmp::Reverse(conflict.field.offset));
        let count = fitting(&mut latest.iter().map(|conflict| conflict.bytes()));
        if let Some(forgotten) = latest.get(count).map(|conflict| conflict.field.offset) {
            let counters = self.fields.iter().filter(|field| field.added.is_some());
            let counters: HashSet<&str> = counters.map(|field| &*field.path).collect();
            self.conflicts.retain(|lost| lost.field.offset > forgotten || counters.contains(&*lost.field.path));
        }
    }

    /// About how many bytes it takes.
    fn bytes(&self) -> usize {
        let conflicts: usize = self.conflicts.iter().map(Conflict::bytes).sum();
        let fields: usize = self.fields.iter().map(|field| field.path.len() + 24).sum();
        let absorbed: usize = self.absorbed.iter().map(|absorbed| absorbed.profile.bytes()).sum();
        256 + self.facts.as_str().len() + fields + conflicts + absorbed
    }

    /// Whether this is the profile that was meant, or one that took it in.
    pub fn is_or_absorbed(&self, reference: &ProfileRef) -> bool {
        self.references().any(|known| known == *reference)
    }

    /// This profile, and those that it took in: each of them left its id here.
    pub fn references(&self) -> impl Iterator<Item = ProfileRef> + '_ {
        let absorbed = self.aliases.iter().map(|alias| ProfileRef { id: alias.id.clone(), since: alias.since });
        std::iter::once(self.reference()).chain(absorbed)
    }

    /// Splits off the profile with the id `id` that was taken in; what was written since stays here.
    pub fn split(&mut self, id: &Id) -> Option<Self> {
        let place = self.absorbed.iter().position(|absorbed| absorbed.profile.id == *id)?;
        let Absorbed { profile: other, shared_visits } = self.absorbed.remove(place);
        self.visits = (self.visits + shared_visits).saturating_sub(other.visits);
        self.views = self.views.saturating_sub(other.views);
        self.counts.subtract_all(&other.counts);
        let mine = |visit: &Visit| !other.latest_visits.iter().flatten().any(|known| known.session == visit.session);
        let mut visits = self.latest_visits.iter_mut().filter_map(Option::take).filter(mine);
        let visits = [visits.next(), visits.next()];
        self.latest_visits = visits;
        let theirs = |known: &Id| *known == other.id || other.aliases.iter().any(|alias| alias.id == *known);
        self.aliases.retain(|alias| !theirs(&alias.id));
        self.keys.retain(|key| !other.keys.contains(key));
        // What the other one had taken in before goes with it.
        let with_it: Vec<ProfileRef> = other.references().skip(1).collect();
        self.absorbed.retain(|absorbed| !with_it.contains(&absorbed.profile.reference()));
        for absorbed in &mut self.absorbed {
            absorbed.profile.split(id); // it may have come here as a part of this one
        }
        self.split_facts(&other);
        Some(*other)
    }

    fn merge_facts(&mut self, other: &Self) {
        let mut writes = self.writes();
        other.writes().into_values().for_each(|(field, value)| note_write(&mut writes, field, value));
        let (mine, theirs) = (Value::from(&self.facts), Value::from(&other.facts));
        let mut rest = Object::default();
        let interests = added(part(&mine, "interests"), part(&theirs, "interests"), 1.0);
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

    fn split_facts(&mut self, other: &Self) {
        let theirs = other.writes();
        let mut writes = self.writes();
        writes.retain(|key, _| !theirs.contains_key(key));
        let (mine, other_facts) = (Value::from(&self.facts), Value::from(&other.facts));
        let mut rest = Object::default();
        let mut interests = added(part(&mine, "interests"), part(&other_facts, "interests"), -1.0);
        let only_theirs: Vec<String> = interests
            .iter()
            .filter(|(name, value)| {
                value.as_f64() == Some(0.0) && part(&other_facts, "interests").is_some_and(|it| it.get(name).is_some())
            })
            .map(|(name, _)| name.to_owned())
            .collect();
        only_theirs.iter().for_each(|name| _ = interests.remove(name));
        if !interests.is_empty() {
            rest.insert("interests", Value::Object(interests));
        }
        // Those with a condition are looked at again.
        let segments: Vec<Value> = segments(&mine).collect();
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

fn added(mine: Option<&Object>, theirs: Option<&Object>, sign: f64) -> Object {
    let mut sums = mine.cloned().unwrap_or_default();
    for (name, value) in theirs.into_iter().flat_map(Object::iter) {
        let before = sums.get(name).and_then(Value::as_f64).unwrap_or(0.0);
        sums.insert(name, Value::float(before + sign * value.as_f64().unwrap_or(0.0)));
    }
    sums
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::{MergeKey, Path, Time},
        *,
    };

    const PATHS: [&str; 6] = ["traits.a", "traits.a.b", "traits.c", "data.x.y", "data.x", "consents.n"];

    /// Where numbers are added and, now and then, one is set.
    const COUNTER: usize = PATHS.len();

    /// A profile to which `writes` were written: each a path and an offset of its own.
    fn profile(number: u64, writes: &[(usize, u64)]) -> Profile {
        let id = Id::required(&format!("p{number}")).unwrap();
        let mut profile = Profile::new(id, number, Time::from_micros(number.cast_signed()));
        let mut facts = Value::object();
        for (path, offset) in writes {
            if *path >= COUNTER {
                let steps = ["traits".into(), "n".into()];
                let (amount, time) = (*offset as f64 / 2.0, Time::from_micros(offset.cast_signed()));
                let before = facts.get(&steps).cloned();
                if *path == COUNTER {
                    facts.set(&steps, Value::float(amount)).unwrap();
                    profile.note_set("traits.n", &["traits.n".into()], false, *offset, time);
                } else {
                    let sum = before.as_ref().and_then(Value::as_f64).unwrap_or(0.0) + amount;
                    facts.set(&steps, Value::float(sum)).unwrap();
                    profile.note_added("traits.n", amount, before.as_ref(), *offset, time);
                }
                continue;
            }
            let path = PATHS[*path];
            if facts.set(Path::parse(path).unwrap().steps(), Value::number(*offset)).is_ok() {
                profile.note_set(path, &[path.into()], false, *offset, Time::from_micros(offset.cast_signed()));
            }
        }
        facts.set(&["interests".into(), "sports".into()], Value::number(number)).unwrap();
        facts.set(&["segments".into()], Value::List(vec![Value::text(&format!("s{}", number % 2))])).unwrap();
        profile.facts = facts.to_json();
        profile.visits = number;
        profile.views = 2 * number;
        let begun = Time::from_micros(number.cast_signed() * 7 % 5);
        profile.latest_visits[0] = Some(Visit { begun, session: Id::required(&format!("s{number}")).unwrap() });
        profile.counts.add("a", Time::from_micros(number.cast_signed() % 2 * 86_400_000_000), 9);
        profile.keys.push(MergeKey([number as u8; 16]));
        profile
    }

    fn merged(a: &Profile, b: &Profile) -> Profile {
        let (first, second) = if a.since < b.since { (a, b) } else { (b, a) };
        let mut profile = first.clone();
        profile.absorb(second.clone(), Some(second.clone()), 0);
        profile
    }

    fn shown(profile: &Profile) -> serde_json::Value {
        serde_json::to_value(profile.shown()).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

        #[test]
        fn merging_in_any_order_gives_the_same_profile(
            writes in prop::collection::vec((0_usize..4, 0_usize..COUNTER + 4), 0..24),
            order in Just([0, 1, 2, 3]).prop_shuffle(),
            pairwise: bool,
        ) {
            let profiles: Vec<Profile> = (0..4_u64)
                .map(|number| {
                    let own = writes.iter().enumerate().filter(|(_, (owner, _))| *owner as u64 == number);
                    let own: Vec<_> = own.map(|(index, (_, path))| (*path, 100 + index as u64)).collect();
                    profile(number + 1, &own)
                })
                .collect();
            let one_by_one = |order: [usize; 4]| {
                order[1..].iter().fold(profiles[order[0]].clone(), |all, next| merged(&all, &profiles[*next]))
            };
            let expected = one_by_one([0, 1, 2, 3]);
            let other = if pairwise {
                let pair = |a: usize, b: usize| merged(&profiles[order[a]], &profiles[order[b]]);
                merged(&pair(0, 1), &pair(2, 3))
            } else {
                one_by_one(order)
            };
            prop_assert_eq!(shown(&expected), shown(&other));
            prop_assert_eq!(&expected.keys, &other.keys);
            prop_assert_eq!(&expected.counts, &other.counts);
            prop_assert_eq!(&expected.latest_visits, &other.latest_visits);
        }

        #[test]
        fn what_was_merged_can_be_split(
            mine in prop::collection::vec(0_usize..COUNTER + 4, 0..8),
            theirs in prop::collection::vec(0_usize..COUNTER + 4, 0..8),
        ) {
            let numbered = |paths: &[usize], step: u64| -> Vec<(usize, u64)> {
                paths.iter().enumerate().map(|(index, path)| (*path, 100 + 2 * index as u64 + step)).collect()
            };
            let (a, b) = (profile(1, &numbered(&mine, 0)), profile(2, &numbered(&theirs, 1)));
            let mut both = merged(&a, &b);
            let split = both.split(&b.id).unwrap();
            prop_assert_eq!(shown(&split), shown(&b));
            let (mut left, mut before) = (shown(&both), shown(&a));
            for shown in [&mut left, &mut before] {
                // Evaluated again, and times of what really happened.
                shown["segments"].take();
                shown["metadata"]["time"].take();
            }
            prop_assert_eq!(left, before);
        }
    }

    #[test]
    fn counters_add_up_and_go_on_counting() {
        let (set, add) = (COUNTER, COUNTER + 1);
        let mut both = merged(&profile(1, &[(set, 20), (add, 40)]), &profile(2, &[(add, 30), (add, 50)]));
        // 10 was set and 20 added to it; what the other one added since then counts too.
        assert_eq!(shown(&both)["traits"]["n"], 70);
        let added_between = merged(&profile(1, &[(set, 20), (add, 40)]), &profile(2, &[(add, 30)]));
        assert_eq!(shown(&added_between)["traits"]["n"], 45);
        assert_eq!(shown(&added_between)["aux"], serde_json::json!({}));
        let set_again = merged(&profile(1, &[(add, 20), (set, 50)]), &profile(2, &[(add, 30)]));
        assert_eq!(shown(&set_again)["traits"]["n"], 25);
        assert_eq!(shown(&both)["aux"], serde_json::json!({}));
        both = merged(&both, &profile(3, &[(set, 70)]));
        assert_eq!(shown(&both)["traits"]["n"], 35);
        assert_eq!(shown(&both)["aux"]["conflicts"].as_array().unwrap().len(), 3);
    }

    #[test]
    fn the_later_value_stands_and_the_earlier_is_a_conflict() {
        let both = merged(&profile(1, &[(0, 20), (2, 10)]), &profile(2, &[(0, 30)]));
        let shown = shown(&both);
        assert_eq!(shown["traits"], serde_json::json!({"a": 30, "c": 10}));
        assert_eq!(shown["aux"]["conflicts"][0]["path"], "traits.a");
        assert_eq!(shown["aux"]["conflicts"][0]["value"], 20);
        assert_eq!(
            (&shown["ids"], &shown["interests"]),
            (&serde_json::json!(["p1", "p2"]), &serde_json::json!({"sports": 3}))
        );
    }
}
