//! The visits of a segment: which session and profile, and the pages in which their events stand.

use foldhash::HashMap;
use serde::{Deserialize, Serialize};

use super::{Visitor, dictionary::Dictionary};
use crate::model::{Id, ProfileRef};

/// Events of one session and one profile. A session that had several profiles is several visits; events without a
/// session are one visit of their profile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visit {
    pub session: Option<Id>,
    /// As it stands with the events; it may be part of another one by now.
    pub profile: Option<ProfileRef>,
    /// The pages that have rows of it, in order.
    pub pages: Vec<u32>,
}

impl Visit {
    pub fn is_of(&self, visitor: Visitor<'_>) -> bool {
        match visitor {
            Visitor::Session(id) => self.session.as_ref() == Some(id),
            Visitor::Profile(id) => self.profile.as_ref().is_some_and(|profile| profile.id == *id),
        }
    }
}

/// The visits that are gathered while events come.
#[derive(Clone, Debug, Default)]
pub struct Visits {
    pairs: Dictionary<(Option<Id>, Option<ProfileRef>)>,
    pages: Vec<Vec<u32>>,
    by_session: HashMap<Id, Vec<u32>>,
    by_profile: HashMap<Id, Vec<u32>>,
}

impl Visits {
    /// The number of the visit of `session` and `profile`, which has a row in `page`, the last one.
    pub fn note(&mut self, session: Option<&Id>, profile: Option<&ProfileRef>, page: u32) -> u32 {
        let number = self.pairs.number(&(session.cloned(), profile.cloned()));
        if number as usize == self.pages.len() {
            self.pages.push(Vec::new());
            if let Some(session) = session {
                self.by_session.entry(session.clone()).or_default().push(number);
            }
            if let Some(profile) = profile {
                self.by_profile.entry(profile.id.clone()).or_default().push(number);
            }
        }
        let pages = &mut self.pages[number as usize];
        if pages.last() != Some(&page) {
            pages.push(page);
        }
        number
    }

    pub fn of(&self, visitor: Visitor<'_>) -> Vec<(u32, Visit)> {
        let numbers = match visitor {
            Visitor::Session(id) => self.by_session.get(id),
            Visitor::Profile(id) => self.by_profile.get(id),
        };
        numbers.into_iter().flatten().map(|number| (*number, self.at(*number as usize))).collect()
    }

    pub fn all(&self) -> Vec<Visit> {
        (0..self.pages.len()).map(|number| self.at(number)).collect()
    }

    fn at(&self, number: usize) -> Visit {
        let (session, profile) = self.pairs.values()[number].clone();
        Visit { session, profile, pages: self.pages[number].clone() }
    }
}
