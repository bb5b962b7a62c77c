//! The visits of a segment: which session and profile, and the pages in which their events stand.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::{Visitor, dictionary::Dictionary, ids::ShortIds};
use crate::model::{Id, ProfileRef};

/// The place of nothing: there is no session, or no profile.
pub const NOWHERE: u32 = u32::MAX;

/// Events of one session and one profile. A session that had several profiles is several visits; events without a
/// session are one visit of their profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Visit {
    pub session: Option<Id>,
    /// As it stands with the events; it may be part of another one by now.
    pub profile: Option<ProfileRef>,
    /// The pages that have rows of it, in order.
    pub pages: Vec<u32>,
}

/// The visits of a segment in columns, by their numbers.
#[derive(Clone, Debug, Default)]
pub struct VisitColumns {
    /// The place of each one's session among those of the segment, or [`NOWHERE`].
    pub sessions: Vec<u32>,
    /// The place of each one's profile, or [`NOWHERE`].
    pub profiles: Vec<u32>,
    /// How many sessions and profiles there are.
    pub session_count: usize,
    pub profile_count: usize,
}

/// The sessions of a segment, by their places.
#[derive(Clone, Debug, Default)]
pub struct SegmentSessions {
    pub ids: ShortIds,
    pub began: Vec<Began>,
}

/// Where a session had its first event, as its state tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Began {
    /// In this segment.
    Here,
    /// Before it.
    Before,
    /// It has no state: it is not stored.
    Untold,
    /// Nothing tells, for events of it in this segment were imported: others may stand anywhere.
    Imported,
}

impl Began {
    pub fn number(self) -> u64 {
        self as u64
    }

    pub fn of(number: u64) -> Self {
        match number {
            0 => Self::Here,
            1 => Self::Before,
            3 => Self::Imported,
            _ => Self::Untold,
        }
    }
}

/// The profiles of a segment, by their places, as they stand with the events.
#[derive(Clone, Debug, Default)]
pub struct SegmentProfiles {
    pub ids: ShortIds,
    pub since: Vec<u64>,
}

/// Lists of numbers that grow by one at a time, in one piece of memory.
#[derive(Clone, Debug, Default)]
struct Lists {
    /// The place of the last link of each list.
    last: Vec<u32>,
    /// A number, and the link before it.
    links: Vec<(u32, u32)>,
}

impl Lists {
    /// Adds `number` to the list at `place`, which is there or is the next one.
    fn push(&mut self, place: u32, number: u32) {
        if self.last.len() <= place as usize {
            self.last.push(NOWHERE);
        }
        let link = u32::try_from(self.links.len()).expect("a segment holds fewer events");
        let last = &mut self.last[place as usize];
        self.links.push((number, *last));
        *last = link;
    }

    fn last(&self, place: u32) -> Option<u32> {
        self.last.get(place as usize).map(|link| self.links[*link as usize].0)
    }

    fn list(&self, place: u32) -> Vec<u32> {
        let link = |at: u32| self.links.get(at as usize).copied();
        let first = self.last.get(place as usize).and_then(|at| link(*at));
        let mut list: Vec<u32> =
            std::iter::successors(first, |(_, before)| link(*before)).map(|(number, _)| number).collect();
        list.reverse();
        list
    }
}

/// The visits that are gathered while events come.
#[derive(Clone, Debug, Default)]
pub struct Visits {
    sessions: Dictionary<Id>,
    began: Vec<Began>,
    profiles: Dictionary<ProfileRef>,
    /// Places of session and profile.
    pairs: Dictionary<(u32, u32)>,
    pages: Lists,
    of_session: Lists,
    of_profile: Lists,
    /// The places of the profiles, found by the hashes of their ids: several may have had the same one.
    by_profile_id: HashTable<u32>,
    hasher: RandomState,
}

impl Visits {
    /// The number of the visit of `session` and `profile`, which has a row in `page`, the last one. `began`: where the
    /// session did, if this is its first row here. `is_imported`: the row is of an event that was imported.
    pub fn note(
        &mut self,
        session: Option<&Id>,
        profile: Option<&ProfileRef>,
        page: u32,
        began: impl FnOnce() -> Began,
        is_imported: bool,
    ) -> u32 {
        let session = session.map_or(NOWHERE, |session| self.sessions.number(session));
        if session as usize == self.began.len() {
            self.began.push(began());
        }
        if let Some(began) = self.began.get_mut(session as usize).filter(|_| is_imported) {
            *began = Began::Imported;
        }
        let profiles_before = self.profiles.values().len();
        let whose = profile.map_or(NOWHERE, |profile| self.profiles.number(profile));
        if let Some(profile) = profile.filter(|_| whose as usize == profiles_before) {
            let Self { by_profile_id, profiles, hasher, .. } = self;
            let hash_of = |place: &u32| hasher.hash_one(&profiles.values()[*place as usize].id);
            by_profile_id.insert_unique(hasher.hash_one(&profile.id), whose, hash_of);
        }
        let visits_before = self.pairs.values().len();
        let number = self.pairs.number(&(session, whose));
        if number as usize == visits_before {
            if session != NOWHERE {
                self.of_session.push(session, number);
            }
            if whose != NOWHERE {
                self.of_profile.push(whose, number);
            }
        }
        if self.pages.last(number) != Some(page) {
            self.pages.push(number, page);
        }
        number
    }

    pub fn of(&self, visitor: Visitor<'_>) -> Vec<(u32, Visit)> {
        let mut numbers = match visitor {
            Visitor::Session(id) => {
                self.sessions.find(id).map_or_else(Vec::new, |session| self.of_session.list(session))
            }
            Visitor::Profile(id) => {
                let places = self.by_profile_id.iter_hash(self.hasher.hash_one(id));
                let had_it = places.filter(|place| self.profiles.values()[**place as usize].id == *id);
                had_it.flat_map(|place| self.of_profile.list(*place)).collect()
            }
        };
        numbers.sort_unstable();
        numbers.into_iter().map(|number| (number, self.at(number))).collect()
    }

    pub fn count(&self) -> usize {
        self.pairs.values().len()
    }

    pub fn at(&self, number: u32) -> Visit {
        let (session, profile) = self.pairs.values()[number as usize];
        Visit {
            session: self.sessions.values().get(session as usize).cloned(),
            profile: self.profiles.values().get(profile as usize).cloned(),
            pages: self.pages(number),
        }
    }

    pub fn pages(&self, number: u32) -> Vec<u32> {
        self.pages.list(number)
    }

    pub fn columns(&self) -> VisitColumns {
        let (sessions, profiles) = self.pairs.values().iter().copied().unzip();
        let (session_count, profile_count) = (self.began.len(), self.profiles.values().len());
        VisitColumns { sessions, profiles, session_count, profile_count }
    }

    pub fn sessions(&self) -> SegmentSessions {
        let mut ids = ShortIds::default();
        self.sessions.values().iter().for_each(|id| ids.push(id));
        SegmentSessions { ids, began: self.began.clone() }
    }

    pub fn profiles(&self) -> SegmentProfiles {
        let mut ids = ShortIds::default();
        self.profiles.values().iter().for_each(|profile| ids.push(&profile.id));
        SegmentProfiles { ids, since: self.profiles.values().iter().map(|profile| profile.since).collect() }
    }

    /// Who the sessions and the profiles are, by their places.
    pub fn session_ids(&self) -> &[Id] {
        self.sessions.values()
    }

    pub fn profile_refs(&self) -> &[ProfileRef] {
        self.profiles.values()
    }

    /// Where each session began.
    pub fn began(&self) -> &[Began] {
        &self.began
    }
}
