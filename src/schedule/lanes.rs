//! In which order what is due happens: of one person, in the order in which it was due; of different people, side by side.
//!
//! What is due waits in the lane of its person, and one thing of a lane is under way at a time. Whose something is may be
//! another by the time that its turn comes (profiles become one, or are split), so whoever takes the first of all that
//! may begin says whose it is now, and it changes its lane if that is somebody else.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    hash::Hash,
};

use crate::model::{Id, ProfileRef, Time};

/// A delayed event's time and number: its place in the order in which they are due.
pub type Place = (Time, u64);

/// Whom something is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Person {
    /// The profile that its id leads to, or which it named if that is deleted.
    Profile(ProfileRef),
    /// Nobody is known, but it happens in this session.
    Session(Id),
    /// Nobody: nothing has to wait for it, nor it for anything.
    Nobody(Place),
}

impl Person {
    /// Whom an event names, if that leads nowhere else.
    pub fn named(place: Place, (profile, session): &(Option<ProfileRef>, Option<Id>)) -> Self {
        match (profile, session) {
            (Some(profile), _) => Self::Profile(profile.clone()),
            (None, Some(session)) => Self::Session(session.clone()),
            (None, None) => Self::Nobody(place),
        }
    }
}

/// What is due, by whom it is about.
#[derive(Debug)]
pub struct Lanes<P = Person> {
    lanes: HashMap<P, Lane>,
    /// Everything that waits or is under way.
    held: HashSet<Place>,
    /// The first thing of each lane that may begin.
    ready: BTreeMap<Place, P>,
    /// Those of which nothing begins before the next look.
    resting: Vec<P>,
}

#[derive(Debug, Default)]
struct Lane {
    waiting: BTreeSet<Place>,
    under_way: Option<Place>,
    rests: bool,
}

impl<P> Default for Lanes<P> {
    fn default() -> Self {
        Self { lanes: HashMap::new(), held: HashSet::new(), ready: BTreeMap::new(), resting: Vec::new() }
    }
}

impl<P: Clone + Eq + Hash> Lanes<P> {
    /// How much waits or is under way.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// How much of somebody waits.
    pub fn waiting(&self, person: &P) -> usize {
        self.lanes.get(person).map_or(0, |lane| lane.waiting.len())
    }

    pub fn has(&self, place: Place) -> bool {
        self.held.contains(&place)
    }

    pub fn add(&mut self, place: Place, person: P) {
        if self.held.insert(place) {
            self.change(person, |lane| _ = lane.waiting.insert(place));
        }
    }

    /// Whether something of somebody is still to be done that is due by then.
    pub fn has_before(&self, person: &P, then: Time) -> bool {
        let Some(lane) = self.lanes.get(person) else { return false };
        lane.under_way.iter().chain(lane.waiting.first()).any(|(due, _)| *due <= then)
    }

    /// The first of all that may begin, and whose it was when it was last looked at.
    pub fn first(&self) -> Option<(Place, P)> {
        self.ready.first_key_value().map(|(place, person)| (*place, person.clone()))
    }

    /// It is somebody else's by now.
    pub fn move_to(&mut self, place: Place, from: P, to: P) {
        self.change(from, |lane| _ = lane.waiting.remove(&place));
        self.change(to, |lane| _ = lane.waiting.insert(place));
    }

    /// It is under way from here on.
    pub fn begin(&mut self, place: Place, person: P) {
        self.change(person, |lane| {
            lane.waiting.remove(&place);
            lane.under_way = Some(place);
        });
    }

    /// What was under way is done with, and the next of its lane may begin.
    pub fn end(&mut self, place: Place, person: P) {
        self.held.remove(&place);
        self.change(person, |lane| lane.under_way = None);
    }

    /// It was not done, or is to wait: it is tried again, before anything else of its person, once it is looked again.
    pub fn put_back(&mut self, place: Place, person: P) {
        self.held.insert(place);
        self.change(person.clone(), |lane| {
            lane.waiting.insert(place);
            (lane.under_way, lane.rests) = (None, true);
        });
        self.resting.push(person);
    }

    /// What rested may begin again.
    pub fn look_again(&mut self) {
        for person in std::mem::take(&mut self.resting) {
            self.change(person, |lane| lane.rests = false);
        }
    }

    /// Changes a lane, and keeps in mind what of it may begin.
    fn change(&mut self, person: P, change: impl FnOnce(&mut Lane)) {
        let lane = self.lanes.entry(person.clone()).or_default();
        if let Some(first) = lane.first() {
            self.ready.remove(&first);
        }
        change(lane);
        match lane.first() {
            Some(first) => _ = self.ready.insert(first, person),
            None if lane.waiting.is_empty() && lane.under_way.is_none() && !lane.rests => {
                _ = self.lanes.remove(&person)
            }
            None => {}
        }
    }
}

impl Lane {
    fn first(&self) -> Option<Place> {
        if self.rests || self.under_way.is_some() { None } else { self.waiting.first().copied() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Place {
        (Time::from_micros(seconds), 7)
    }

    #[test]
    fn one_thing_of_a_person_happens_at_a_time_in_its_order() {
        let mut lanes = Lanes::default();
        for (seconds, person) in [(3, "ada"), (1, "ada"), (2, "bob"), (1, "ada")] {
            lanes.add(at(seconds), person);
        }
        assert_eq!((lanes.len(), lanes.waiting(&"ada")), (3, 2), "it is there once");
        assert_eq!(lanes.first(), Some((at(1), "ada")));
        lanes.begin(at(1), "ada");
        assert_eq!(lanes.first(), Some((at(2), "bob")), "others go on");
        let before = |lanes: &Lanes<_>, seconds| lanes.has_before(&"ada", at(seconds).0);
        assert_eq!((before(&lanes, 0), before(&lanes, 1)), (false, true), "what is under way is not done");
        lanes.begin(at(2), "bob");
        assert_eq!(lanes.first(), None);
        lanes.end(at(1), "ada");
        assert_eq!(lanes.first(), Some((at(3), "ada")));
        assert_eq!((before(&lanes, 2), before(&lanes, 3)), (false, true));
        lanes.begin(at(3), "ada");
        lanes.add(at(0), "ada");
        lanes.put_back(at(3), "ada");
        lanes.end(at(2), "bob");
        assert_eq!((lanes.first(), lanes.has(at(3))), (None, true), "it waits for the next look");
        lanes.look_again();
        assert_eq!(lanes.first(), Some((at(0), "ada")), "and what is due earlier goes first");
    }

    #[test]
    fn what_is_somebody_elses_by_now_changes_its_lane() {
        let mut lanes = Lanes::default();
        for (seconds, person) in [(1, "a"), (3, "a"), (2, "b")] {
            lanes.add(at(seconds), person);
        }
        lanes.begin(at(1), "a");
        // It made the two one, who is `a`.
        lanes.end(at(1), "a");
        assert_eq!(lanes.first(), Some((at(2), "b")));
        lanes.move_to(at(2), "b", "a");
        assert_eq!(lanes.first(), Some((at(2), "a")));
        lanes.begin(at(2), "a");
        assert_eq!(lanes.first(), None, "what was due behind it waits");
        lanes.end(at(2), "a");
        lanes.begin(at(3), "a");
        lanes.end(at(3), "a");
        assert_eq!((lanes.len(), lanes.lanes.len()), (0, 0));
    }
}
