//! Profiles as they are stored and shown (contract, sections 4 and 10).

use serde::{Deserialize, Serialize};

use super::{Id, Time, event::Empty};

/// Which profile is meant: an id may be used again after a deletion, and then names somebody else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProfileRef {
    pub id: Id,
    /// The offset at which this profile was made.
    pub since: u64,
}

/// Another id under which a profile is found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alias {
    pub id: Id,
    /// The offset from which on the id means this profile.
    pub since: u64,
}

/// A person as far as they are known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    pub id: Id,
    /// The offset at which it was made.
    pub since: u64,
    pub aliases: Vec<Alias>,
    pub inserted: Time,
    pub updated: Time,
    /// The stored sessions that ever had this profile.
    pub visits: u64,
    /// Its `page-view` events.
    pub views: u64,
    pub visit_current: Option<Time>,
    pub visit_last: Option<Time>,
}

impl Profile {
    pub fn new(id: Id, since: u64, now: Time) -> Self {
        Self {
            id,
            since,
            aliases: Vec::new(),
            inserted: now,
            updated: now,
            visits: 0,
            views: 0,
            visit_current: None,
            visit_last: None,
        }
    }

    pub fn reference(&self) -> ProfileRef {
        ProfileRef { id: self.id.clone(), since: self.since }
    }

    /// Counts a session that has this profile for the first time.
    pub fn begin_visit(&mut self, now: Time) {
        self.visits += 1;
        self.visit_last = self.visit_current.replace(now);
    }

    /// The profile as it is shown.
    pub fn shown(&self) -> impl Serialize + '_ {
        #[derive(Serialize)]
        struct Visit {
            count: u64,
            current: Option<Time>,
            last: Option<Time>,
        }
        #[derive(Serialize)]
        struct Times {
            insert: Time,
            update: Time,
            visit: Visit,
        }
        #[derive(Serialize)]
        struct Metadata {
            time: Times,
        }
        #[derive(Serialize)]
        struct Stats {
            visits: u64,
            views: u64,
        }
        #[derive(Serialize)]
        struct Shown<'a> {
            id: &'a Id,
            ids: Vec<&'a Id>,
            metadata: Metadata,
            stats: Stats,
            traits: Empty,
            data: Empty,
            segments: [&'static str; 0],
            interests: Empty,
            consents: Empty,
            aux: Empty,
            active: bool,
        }
        Shown {
            id: &self.id,
            ids: std::iter::once(&self.id).chain(self.aliases.iter().map(|alias| &alias.id)).collect(),
            metadata: Metadata {
                time: Times {
                    insert: self.inserted,
                    update: self.updated,
                    visit: Visit { count: self.visits, current: self.visit_current, last: self.visit_last },
                },
            },
            stats: Stats { visits: self.visits, views: self.views },
            traits: Empty {},
            data: Empty {},
            segments: [],
            interests: Empty {},
            consents: Empty {},
            aux: Empty {},
            active: true,
        }
    }
}
