//! What is set aside for a destination: the items that it does not take. They are kept as entries of the log, which name
//! them by their offsets; here is what its task knows of them.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::{Duration, Instant},
};

use super::item::Whose;
use crate::model::{Aside, Time, cut};

/// How many items of a destination are tried again by themselves; where there are more, those that were tried longest are
/// given up early. And how many of those that were given up are kept: the oldest are forgotten, and stand in the log still.
pub const WAITING_MAX: usize = 10_000;
pub const GIVEN_UP_MAX: usize = 10_000;
const REASON_CHARS: usize = 200;

/// The items that are set aside for a destination.
#[derive(Default)]
pub struct Asides {
    /// Those that are tried again.
    pub waiting: BTreeMap<u64, Waiting>,
    pub given_up: BTreeSet<u64>,
}

/// An item that is tried again by itself.
pub struct Waiting {
    pub aside: Aside,
    pub whose: Option<Whose>,
    pub due: Instant,
    /// How many items had been taken when it was refused first.
    pub taken_then: u64,
    /// How often since then it could not be said whether it is taken.
    pub postponed: u32,
}

impl Waiting {
    /// One that is to be tried at once.
    pub fn new(aside: Aside, whose: Option<Whose>) -> Self {
        Self { aside, whose, due: Instant::now(), taken_then: 0, postponed: 0 }
    }
}

impl Asides {
    pub fn len(&self) -> usize {
        self.waiting.len() + self.given_up.len()
    }

    pub fn has(&self, item: u64) -> bool {
        self.waiting.contains_key(&item) || self.given_up.contains(&item)
    }

    pub fn remove(&mut self, item: u64) {
        self.waiting.remove(&item);
        self.given_up.remove(&item);
    }

    /// Of those that were tried and wait, the ones that do longest: as many as must be given up so that `more` have room.
    pub fn too_many(&self, more: usize) -> Vec<u64> {
        let over = (self.waiting.len() + more).saturating_sub(WAITING_MAX);
        let tried = self.waiting.iter().filter(|(_, waiting)| over > 0 && waiting.aside.tries > 0);
        let mut tried: Vec<_> = tried.map(|(item, waiting)| (waiting.aside.since, *item)).collect();
        tried.sort_unstable();
        tried.into_iter().take(over).map(|(_, item)| item).collect()
    }

    /// Of those that were given up, the oldest that are not kept.
    pub fn forgotten(&self) -> Vec<u64> {
        let over = self.given_up.len().saturating_sub(GIVEN_UP_MAX);
        self.given_up.iter().take(over).copied().collect()
    }

    /// Notes how an item fares.
    pub fn put(&mut self, item: u64, waiting: Waiting) {
        self.remove(item);
        if waiting.aside.given_up {
            self.given_up.insert(item);
        } else {
            self.waiting.insert(item, waiting);
        }
    }

    /// Those of whom something is tried again: what else is theirs waits behind it.
    pub fn people(&self) -> HashSet<Whose> {
        self.waiting.values().filter_map(|waiting| waiting.whose.clone()).collect()
    }

    /// What waits right behind an item of `whose`.
    pub fn behind(&self, item: u64, whose: &Whose) -> Option<u64> {
        let mut later = self.waiting.range(item + 1..);
        later.find(|(_, waiting)| waiting.whose.as_ref() == Some(whose)).map(|(item, _)| *item)
    }

    /// The item that is to be tried next, and when: of each person, the earliest.
    pub fn next(&self) -> Option<(u64, Instant)> {
        let mut seen = HashSet::new();
        let first = self.waiting.iter().filter(|(_, waiting)| waiting.whose.as_ref().is_none_or(|it| seen.insert(it)));
        first.map(|(item, waiting)| (*item, waiting.due)).min_by_key(|(_, due)| *due)
    }
}

/// The pause before the next try, after `failures`; it doubles with each.
pub fn pause(failures: u32) -> Duration {
    const FIRST: Duration = Duration::from_millis(500);
    const MOST: Duration = Duration::from_secs(300);
    FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(MOST)
}

/// How an item fares that was just refused for `reason`, after `before`.
pub fn refused(before: Option<&Aside>, reason: &str, now: Time) -> Aside {
    let tried = before.filter(|aside| aside.tries > 0);
    Aside {
        since: tried.map_or(now, |aside| aside.since),
        tries: tried.map_or(0, |aside| aside.tries).saturating_add(1),
        reason: cut(reason, REASON_CHARS).into(),
        given_up: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Id;

    fn waiting(whose: &str, due: Instant) -> Waiting {
        let aside = refused(None, "it answered 400", Time::from_micros(1));
        Waiting { due, ..Waiting::new(aside, Some(Whose::Session(Id::required(whose).unwrap()))) }
    }

    #[test]
    fn of_a_person_the_earliest_is_tried_first() {
        let (mut asides, now) = (Asides::default(), Instant::now());
        let later = now + Duration::from_secs(9);
        asides.put(7, waiting("a", later));
        asides.put(8, waiting("a", now));
        assert_eq!(asides.next(), Some((7, later)), "what is behind it waits");
        let a = waiting("a", now).whose.unwrap();
        assert_eq!((asides.behind(7, &a), asides.behind(8, &a)), (Some(8), None));
        asides.put(9, waiting("b", now));
        assert_eq!(asides.next(), Some((9, now)));
        asides.remove(7);
        asides.remove(9);
        assert_eq!((asides.next(), asides.people().len()), (Some((8, now)), 1));
        let mut given_up = waiting("a", now);
        given_up.aside.given_up = true;
        asides.put(8, given_up);
        assert!(asides.next().is_none() && asides.people().is_empty() && asides.has(8));
    }

    #[test]
    fn where_there_are_too_many_those_give_way_that_were_there_longest() {
        let (mut asides, now) = (Asides::default(), Instant::now());
        for item in 0..WAITING_MAX as u64 {
            let mut one = waiting("a", now);
            (one.aside.since, one.aside.tries) = (Time::from_micros(-(item as i64)), u32::from(item % 2 == 0));
            asides.put(item, one);
        }
        assert!(asides.too_many(0).is_empty());
        let last = WAITING_MAX as u64;
        assert_eq!(asides.too_many(2), [last - 2, last - 4], "those that were tried");
        for item in 0..=GIVEN_UP_MAX as u64 {
            let mut one = waiting("a", now);
            one.aside.given_up = true;
            asides.put(item, one);
        }
        assert_eq!(asides.forgotten(), [0]);
    }

    #[test]
    fn pauses_grow_to_a_limit() {
        let pauses = [0, 1, 2, 3, 10, 11, u32::MAX].map(|failures| pause(failures).as_millis());
        assert_eq!(pauses, [500, 500, 1_000, 2_000, 256_000, 300_000, 300_000]);
    }
}
