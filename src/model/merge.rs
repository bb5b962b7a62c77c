//! Two profiles of one person become one, and can be told apart again.
//!
//! What comes out does not depend on the order of merges: every leaf that was ever written stands there with the offset
//! of its writing, the latest as its value, the others as conflicts.

mod history;
mod merging;
mod writes;

use super::{Alias, Decimal, Id, KnownKey, Object, Profile, ProfileRef, Value, Visit, profile::KEYS_NOTED};
pub use history::MergeHistory;
pub use merging::MergingWrites;
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

/// The numbers of `mine` without those of `theirs`, which were added to them.
fn taken_out(mine: Option<&Object>, theirs: Option<&Object>) -> Object {
    let mut left = mine.cloned().unwrap_or_default();
    for (name, value) in theirs.into_iter().flat_map(Object::iter) {
        let mine = left.get(name).map_or(Some(Decimal::default()), Value::as_decimal);
        if let Some((mine, theirs)) = mine.zip(value.as_decimal()) {
            left.insert(name, Value::number(mine - &theirs));
        }
    }
    left
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
                // Tenths, which floats do not add up exactly.
                let amount = Decimal::parse(&format!("{}.{}", offset / 10, offset % 10)).unwrap();
                let time = Time::from_micros(offset.cast_signed());
                let before = facts.get(&steps).cloned();
                if *path == COUNTER {
                    facts.set(&steps, Value::number(amount)).unwrap();
                    profile.note_set("traits.n", &["traits.n".into()], false, *offset, time);
                } else {
                    let sum = before.as_ref().and_then(Value::as_decimal).unwrap_or_default() + &amount;
                    facts.set(&steps, Value::number(sum)).unwrap();
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
        profile.keys.push(KnownKey { since: number, key: MergeKey([number as u8; 16]) });
        profile
    }

    fn merged(a: &Profile, b: &Profile) -> Profile {
        let (first, second) = if a.since < b.since { (a, b) } else { (b, a) };
        let mut profile = first.clone();
        profile.absorb(second.clone(), true, 0);
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
            both.split_off(&b, &Theirs::of(&b), 0, Some(&a), both.regained(&Theirs::of(&b), &a));
            let (mut left, mut before) = (shown(&both), shown(&a));
            for shown in [&mut left, &mut before] {
                // Evaluated again, and times of what really happened.
                shown["segments"].take();
                shown["metadata"]["time"].take();
            }
            prop_assert_eq!(left, before);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

        #[test]
        fn names_lead_to_the_survivor_in_few_steps(
            pairs in prop::collection::vec((0_usize..400, 0_usize..400), 0..600),
            chained in 0_usize..400,
        ) {
            let mut live: Vec<Option<Profile>> = (0..400).map(|number| Some(profile(number + 1, &[]))).collect();
            let references: Vec<ProfileRef> = live.iter().flatten().map(Profile::reference).collect();
            // The place of the profile that each one is part of by now.
            let mut part_of: Vec<usize> = (0..live.len()).collect();
            let mut leads: std::collections::HashMap<ProfileRef, ProfileRef> = Default::default();
            let chain = (1..chained).rev().map(|number| (number - 1, number));
            for (one, other) in chain.chain(pairs) {
                let (one, other) = (part_of[one], part_of[other]);
                let (first, second) = (one.min(other), one.max(other));
                if first == second {
                    continue;
                }
                let mut survivor = live[first].take().unwrap();
                let absorbed = live[second].take().unwrap();
                leads.insert(absorbed.reference(), survivor.reference());
                leads.extend(survivor.gather(&absorbed));
                survivor.absorb(absorbed, true, 0);
                live[first] = Some(survivor);
                part_of.iter_mut().filter(|place| **place == second).for_each(|place| *place = first);
            }
            for (place, reference) in references.iter().enumerate() {
                let mut way = std::iter::successors(Some(reference), |reference| leads.get(reference));
                let (steps, end) = (way.clone().count() - 1, way.by_ref().last().unwrap());
                prop_assert_eq!(end, &references[part_of[place]]);
                prop_assert!(steps <= 20, "{} steps", steps);
            }
        }
    }

    #[test]
    fn counters_add_up_and_go_on_counting() {
        let (set, add) = (COUNTER, COUNTER + 1);
        let mut both = merged(&profile(1, &[(set, 20), (add, 40)]), &profile(2, &[(add, 30), (add, 50)]));
        // 2 was set and 4 added to it; what the other one added since then counts too.
        assert_eq!(shown(&both)["traits"]["n"], 14);
        let added_between = merged(&profile(1, &[(set, 20), (add, 40)]), &profile(2, &[(add, 30)]));
        assert_eq!(shown(&added_between)["traits"]["n"], 9);
        assert_eq!(shown(&added_between)["aux"], serde_json::json!({}));
        let set_again = merged(&profile(1, &[(add, 20), (set, 50)]), &profile(2, &[(add, 30)]));
        assert_eq!(shown(&set_again)["traits"]["n"], 5);
        assert_eq!(shown(&both)["aux"], serde_json::json!({}));
        both = merged(&both, &profile(3, &[(set, 70)]));
        assert_eq!(shown(&both)["traits"]["n"], 7);
        assert_eq!(shown(&both)["aux"]["conflicts"].as_array().unwrap().len(), 3);
    }

    /// A profile with numbers added at `traits.n`, each at an offset; the first may be set.
    fn counting(number: u64, is_set: bool, amounts: &[(u64, &str)]) -> Profile {
        let mut profile = profile(number, &[]);
        let (steps, mut sum) = (["traits".into(), "n".into()], None);
        for (place, (offset, amount)) in amounts.iter().enumerate() {
            let (amount, time) = (Decimal::parse(amount).unwrap(), Time::from_micros(offset.cast_signed()));
            if is_set && place == 0 {
                profile.note_set("traits.n", &["traits.n".into()], false, *offset, time);
                sum = Some(amount);
            } else {
                let before = sum.as_ref().map(Value::number);
                profile.note_added("traits.n", amount.clone(), before.as_ref(), *offset, time);
                sum = Some(sum.unwrap_or_default() + &amount);
            }
        }
        let mut facts = Value::object();
        if let Some(sum) = sum {
            facts.set(&steps, Value::number(sum)).unwrap();
        }
        profile.facts = facts.to_json();
        profile
    }

    #[test]
    fn of_many_that_counted_each_takes_exactly_its_own() {
        let all: Vec<Profile> = (1..=40).map(|number| counting(number, false, &[(100 + number, "0.1")])).collect();
        for left_out in 1..all.len() {
            let mut one = all[1..].iter().fold(all[0].clone(), |one, next| merged(&one, next));
            assert_eq!(shown(&one)["traits"]["n"], 4);
            // Whoever is split off first may be the one that others were added up with.
            let order = all.iter().skip(left_out).chain(&all[1..left_out]);
            for (place, other) in order.enumerate() {
                one.split_off(other, &Theirs::of(other), 0, None, Regained::default());
                let left = Decimal::parse(&format!("{}.{}", (39 - place) / 10, (39 - place) % 10)).unwrap();
                assert_eq!(shown(&one)["traits"]["n"].to_string(), left.to_string(), "{left_out} {place}");
            }
        }
    }

    #[test]
    fn what_a_counter_is_made_of_is_kept_beside_all_else_that_lost() {
        let mine = counting(1, false, &[(100, "19.9"), (101, "0.1")]);
        let setter = counting(2, true, &[(200, "7")]);
        let mut one = merged(&mine, &setter);
        assert_eq!(shown(&one)["traits"]["n"], 7);
        // Two who added the same, and two who set the same first.
        one = merged(&one, &counting(3, true, &[(110, "0"), (111, "0.1")]));
        one = merged(&one, &counting(4, false, &[(112, "0.1")]));
        one = merged(&one, &counting(5, false, &[(113, "0.1")]));
        one = merged(&one, &counting(6, true, &[(120, "0"), (121, "0.1")]));
        for number in 10..200 {
            one = merged(&one, &profile(number, &[(2, 1_000 + number)]));
        }
        let lost = |profile: &Profile| shown(profile)["aux"]["conflicts"].as_array().unwrap().len();
        assert_eq!(lost(&one), 100 + 7);
        one.split_off(&setter, &Theirs::of(&setter), 0, Some(&mine), one.regained(&Theirs::of(&setter), &mine));
        assert_eq!(shown(&one)["traits"]["n"].to_string(), "0.1");
        one.split_off(
            &counting(6, true, &[(120, "0"), (121, "0.1")]),
            &Theirs::of(&counting(6, true, &[(120, "0"), (121, "0.1")])),
            0,
            None,
            Regained::default(),
        );
        assert_eq!(shown(&one)["traits"]["n"].to_string(), "0.3");
        one.split_off(
            &counting(3, true, &[(110, "0"), (111, "0.1")]),
            &Theirs::of(&counting(3, true, &[(110, "0"), (111, "0.1")])),
            0,
            None,
            Regained::default(),
        );
        assert_eq!(shown(&one)["traits"]["n"].to_string(), "20.2");
    }

    #[test]
    fn what_lost_takes_no_more_than_a_bounded_room_however_long_it_is() {
        let long = |number: u64, bytes: usize| {
            let mut profile = profile(number, &[]);
            let mut facts = Value::object();
            let text = Value::text(&format!("{number:0bytes$}"));
            facts.set(&["traits".into(), "a".into()], text).unwrap();
            profile.facts = facts.to_json();
            let time = Time::from_micros(number.cast_signed());
            profile.note_set("traits.a", &["traits.a".into()], false, 100 + number, time);
            profile
        };
        // Every third is too long to be kept at all.
        let all: Vec<Profile> =
            (1..90).map(|number| long(number, if number % 3 == 0 { 60_000 } else { 3_000 })).collect();
        let together = |list: &[Profile]| list[1..].iter().fold(list[0].clone(), |all, next| merged(&all, next));
        let one = together(&all);
        let bytes: usize = one.conflicts.iter().map(Conflict::bytes).sum();
        assert!((40_000..70_000).contains(&bytes), "{bytes}");
        assert!(one.conflicts.iter().all(|lost| lost.written.offset > 150), "the latest are kept");
        let reversed: Vec<Profile> = all.into_iter().rev().collect();
        assert_eq!(together(&reversed).conflicts, one.conflicts);
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
