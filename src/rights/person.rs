//! What is somebody's: their profile with all that leads to it, their sessions, their events.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use crate::{
    model::{DelayedEvent, Id, IdHash, NAMES_SHOWN, Place, Profile, ProfileRef, Session, Time},
    process::{Identity, find_profile},
    store::{Column, LogView, NamesWalk, ReadView, Refused, SegmentIndex, StoreError, Visitor},
};

/// How many names, and how many sessions, are read at a time.
const NAMES_TOGETHER: usize = 10_000;
const SESSIONS_TOGETHER: usize = 500;
/// Of more ids than this, visits are found by looking through all of them.
const LOOKED_UP_MAX: usize = 64;

/// Somebody under all of their ids.
pub struct People {
    /// `None`: it is deleted, or there never was one.
    pub profile: Option<Arc<Profile>>,
    /// Everything that they are called or were called when their events were stored.
    pub called: BTreeSet<ProfileRef>,
    pub ids: HashSet<Id>,
}

impl People {
    /// Every id, the profile's own first, then the newest of the others that it lists.
    pub fn listed(&self) -> Vec<Id> {
        let listed = self.profile.iter().flat_map(|profile| {
            let newest = profile.aliases.iter().rev().take(NAMES_SHOWN).map(|alias| &alias.id);
            std::iter::once(&profile.id).chain(newest)
        });
        let mut ids: Vec<Id> = listed.cloned().collect();
        let mut others: Vec<Id> = self.ids.iter().filter(|id| !ids.contains(id)).cloned().collect();
        others.sort();
        ids.append(&mut others);
        ids
    }
}

/// The sessions that somebody had.
#[derive(Default)]
pub struct Sessions {
    /// Those that nobody else had.
    pub own: Vec<Session>,
    pub shared: Vec<Session>,
}

impl Sessions {
    pub fn all(&self) -> impl Iterator<Item = &Session> {
        self.own.iter().chain(&self.shared)
    }
}

/// The events that were stored under somebody's ids.
#[derive(Default)]
pub struct Events {
    /// The offset of each, in order, and the hash of its id where a client gave it.
    pub list: Vec<(u64, Option<IdHash>)>,
    /// How many of them were not deleted before.
    pub shown: u64,
    /// Their types.
    pub kinds: BTreeSet<Arc<str>>,
    called: BTreeSet<ProfileRef>,
}

/// Whoever `id` leads to. Of who was deleted, what their events say; see [`ReadView::applied`].
pub async fn find(view: &ReadView, id: &Id) -> Result<People, Refused> {
    let Some(profile) = find_profile(view, id).await? else {
        let people = People { profile: None, called: BTreeSet::new(), ids: HashSet::from([id.clone()]) };
        let called = events(view, &people, &Sessions::default(), None).await?.called;
        return Ok(People { called, ..people });
    };
    let mut called = BTreeSet::from([profile.reference()]);
    let mut walk = NamesWalk::new(profile.reference(), None);
    loop {
        let (names, further) = view.names(walk, NAMES_TOGETHER).await?;
        if names.is_empty() {
            break;
        }
        called.extend(names);
        walk = further;
    }
    let ids = called.iter().map(|name| name.id.clone()).chain([id.clone()]).collect();
    Ok(People { profile: Some(profile), called, ids })
}

/// The sessions of these people, as the views have them.
pub async fn sessions(view: &ReadView, people: &People) -> Result<Sessions, Refused> {
    let mut numbers = BTreeSet::new();
    let called: Vec<ProfileRef> = people.called.iter().cloned().collect();
    for some in called.chunks(SESSIONS_TOGETHER) {
        let some = some.to_vec();
        let found = view.query(move |log| {
            let mut found = BTreeSet::new();
            for profile in &some {
                for place in log.visits_of(profile, Place::all()) {
                    found.insert(place?.offset);
                }
                for number in log.shared_by(profile) {
                    found.insert(number?);
                }
            }
            Ok(found)
        });
        numbers.append(&mut found.await?);
    }
    let mut sessions = Sessions::default();
    let numbers: Vec<u64> = numbers.into_iter().collect();
    let ids = Arc::new(people.ids.clone());
    for some in numbers.chunks(SESSIONS_TOGETHER) {
        let (some, ids) = (some.to_vec(), ids.clone());
        let found = view.query(move |log| {
            let mut found = Vec::new();
            for number in some {
                let Some(session) = log.session_numbered(number)? else { continue };
                let earlier = log.earlier_profiles(number)?;
                let is_shared = earlier.iter().chain(&session.profile).any(|profile| !ids.contains(&profile.id));
                found.push((session, is_shared));
            }
            Ok(found)
        });
        for (session, is_shared) in found.await? {
            if is_shared { &mut sessions.shared } else { &mut sessions.own }.push(session);
        }
    }
    Ok(sessions)
}

/// The events of these people, and those of nobody in the sessions that are theirs alone. `identity` hashes the ids.
pub async fn events(
    view: &ReadView,
    people: &People,
    sessions: &Sessions,
    identity: Option<&Identity>,
) -> Result<Events, Refused> {
    let theirs = Arc::new(Theirs {
        people: people.ids.clone(),
        sessions: sessions.own.iter().map(|session| session.id.clone()).collect(),
        identity: identity.cloned(),
    });
    let segments = view.query(|log| Ok(log.segments())).await?;
    let mut events = Events::default();
    for segment in segments {
        let of = theirs.clone();
        let mut rows = view.query(move |log| of.rows(log, segment.start)).await?;
        rows.reverse();
        while let Some(next) = rows.last().copied() {
            let (of, mut left) = (theirs.clone(), std::mem::take(&mut rows));
            let read = view.query(move |log| {
                let mut found = Events::default();
                of.read(log, next, &mut left, &mut found)?;
                Ok((found, left))
            });
            let (mut found, left) = read.await?;
            rows = left;
            events.list.append(&mut found.list);
            events.kinds.append(&mut found.kinds);
            events.called.append(&mut found.called);
            events.shown += found.shown;
        }
    }
    Ok(events)
}

/// The delayed events that are to happen to these people, each with its time and number.
pub async fn delayed(
    view: &ReadView,
    people: &People,
    sessions: &Sessions,
) -> Result<Vec<((Time, u64), Arc<DelayedEvent>)>, Refused> {
    let ids = people.ids.clone();
    let own: HashSet<Id> = sessions.own.iter().map(|session| session.id.clone()).collect();
    let found = view.query(move |log| {
        let is_theirs = |event: &DelayedEvent| match &event.profile {
            Some(profile) => ids.contains(&profile.id),
            None => event.session.as_ref().is_some_and(|session| own.contains(session)),
        };
        let found = log.delayed_events().filter(|found| found.as_ref().map_or(true, |(_, event)| is_theirs(event)));
        found.collect()
    });
    found.await
}

/// Whose events are looked for.
struct Theirs {
    people: HashSet<Id>,
    sessions: HashSet<Id>,
    identity: Option<Identity>,
}

impl Theirs {
    fn are(&self, session: Option<&Id>, profile: Option<&ProfileRef>) -> bool {
        match profile {
            Some(profile) => self.people.contains(&profile.id),
            None => session.is_some_and(|session| self.sessions.contains(session)),
        }
    }

    /// The offsets of their events in the segment that begins at `first`, ascending.
    fn rows(&self, log: &LogView<'_>, first: u64) -> Result<Vec<u64>, StoreError> {
        let Some(index) = log.index(first)? else { return Ok(Vec::new()) };
        let mut pages: BTreeMap<u32, HashSet<u64>> = BTreeMap::new();
        for (number, visit) in self.visits(&index)? {
            if self.are(visit.0.as_ref(), visit.1.as_ref()) {
                visit.2.iter().for_each(|page| _ = pages.entry(*page).or_default().insert(number.into()));
            }
        }
        let mut rows = Vec::new();
        for (page, visits) in pages {
            let page = page as usize;
            if page >= index.pages.len() {
                continue; // it came since
            }
            let (offsets, of) = (index.column(page, Column::Offset)?, index.column(page, Column::Visit)?);
            rows.extend(offsets.into_iter().zip(of).filter(|(_, visit)| visits.contains(visit)).map(|(row, _)| row));
        }
        Ok(rows)
    }

    fn visits(&self, index: &SegmentIndex) -> Result<Vec<NumberedVisit>, StoreError> {
        let found = if self.people.len() + self.sessions.len() > LOOKED_UP_MAX {
            (0..).zip(index.visits()?).collect()
        } else {
            let mut found = Vec::new();
            for id in &self.people {
                found.extend(index.visits_of(Visitor::Profile(id))?);
            }
            for id in &self.sessions {
                found.extend(index.visits_of(Visitor::Session(id))?);
            }
            found
        };
        Ok(found.into_iter().map(|(number, visit)| (number, (visit.session, visit.profile, visit.pages))).collect())
    }

    /// Reads those of `rows`, the next one at the end, that stand in the block of `next`, and takes them out.
    fn read(&self, log: &LogView<'_>, next: u64, rows: &mut Vec<u64>, found: &mut Events) -> Result<(), StoreError> {
        let Some(block) = log.event_block(next)? else {
            rows.clear();
            return Ok(());
        };
        let rest = rows.partition_point(|row| *row >= block.offsets().end);
        let mut here = rows.split_off(rest);
        here.reverse();
        let deleted = log.deleted_events(block.offsets())?;
        for event in log.events_at(&block, &here, |_, _| true)? {
            let is_given = event.event.given;
            let identity = self.identity.as_ref().filter(|_| is_given);
            let hash = identity.map(|identity| identity.event_hash(&event.event.id, &event.request.source));
            found.list.push((event.offset, hash));
            found.shown += u64::from(deleted.binary_search(&event.offset).is_err());
            found.kinds.insert(event.event.kind.clone());
            found.called.extend(event.request.profile.iter().cloned());
        }
        Ok(())
    }
}

/// The number of a visit; its session, its profile and its pages.
type NumberedVisit = (u32, (Option<Id>, Option<ProfileRef>, Vec<u32>));
