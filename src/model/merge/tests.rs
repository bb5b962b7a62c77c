use proptest::prelude::*;

use super::{
    super::{Decimal, Id, MergeKey, Path, Time},
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
    let all: Vec<Profile> = (1..90).map(|number| long(number, if number % 3 == 0 { 60_000 } else { 3_000 })).collect();
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
