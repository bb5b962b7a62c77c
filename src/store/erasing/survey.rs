//! What in the log is somebody's although it does not name them, or not where it stands.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::{
    model::{ErasureKind, Id, MergeKey, Named, ProfileRef, Session},
    store::entry::Entry,
};

/// Reads the log for those who are named.
pub struct Survey {
    /// By each of their ids.
    people: HashMap<Id, Vec<Arc<Named>>>,
    /// By the sessions that were theirs alone.
    visitors: HashMap<Id, Vec<Arc<Named>>>,
    named: Vec<Arc<Named>>,
    /// The offsets of events that were erased with them.
    events: HashSet<u64>,
    /// The sessions that ever were theirs, by number.
    sessions: HashMap<u64, Owned>,
    /// The sessions that somebody else had once.
    had_by_others: HashSet<u64>,
    /// Which of their sessions an id means now.
    called: HashMap<Id, u64>,
    /// Where it is said that a session of theirs is deleted.
    deletions: Vec<(u64, u64)>,
    /// The last offset at which each key led to them.
    keys: HashMap<MergeKey, u64>,
    /// The stretches of the log in which somebody else's states hold theirs, for they were one.
    mixed: HashMap<ProfileRef, Mixed>,
}

#[derive(Default)]
struct Mixed {
    stretches: Vec<Stretch>,
    /// Where the latest state stands.
    latest: u64,
    /// The next state is the first without what was mixed in; what it tells of the change holds it still.
    parted: Option<Parted>,
}

struct Stretch {
    offsets: Range<u64>,
    /// Of whom who was mixed in.
    erasure: Id,
}

/// Of whom somebody was parted.
enum Parted {
    /// The state is to come.
    Awaited(Id),
    /// What it changed may come behind it.
    Seen(Id),
}

impl Parted {
    fn behind_state(self) -> Option<Self> {
        match self {
            Self::Awaited(erasure) => Some(Self::Seen(erasure)),
            Self::Seen(_) => None,
        }
    }
}

impl Mixed {
    /// Who was mixed in goes a way of their own from `offset` on.
    fn part(&mut self, erasure: &Id, offset: u64) {
        let open = self.stretches.iter_mut().filter(|it| it.offsets.end == u64::MAX && it.erasure == *erasure);
        for stretch in open {
            stretch.offsets.end = offset;
            self.parted = Some(Parted::Awaited(erasure.clone()));
        }
    }
}

/// A session that was somebody's who is named.
struct Owned {
    named: Arc<Named>,
    is_shared: bool,
}

/// What becomes of a state of a session.
pub enum SessionFate {
    Gone,
    /// It is shared, or its person goes on.
    Stripped(Option<ProfileRef>),
}

impl Survey {
    pub fn new(named: &[Arc<Named>]) -> Self {
        let (mut people, mut visitors): (HashMap<_, Vec<_>>, HashMap<_, Vec<_>>) = Default::default();
        for named in named {
            for session in &named.sessions {
                visitors.entry(session.clone()).or_default().push(named.clone());
            }
            for id in &named.ids {
                people.entry(id.clone()).or_default().push(named.clone());
            }
        }
        Self {
            people,
            visitors,
            named: named.to_vec(),
            events: HashSet::new(),
            sessions: HashMap::new(),
            had_by_others: HashSet::new(),
            called: HashMap::new(),
            deletions: Vec::new(),
            keys: HashMap::new(),
            mixed: HashMap::new(),
        }
    }

    /// Sees the entries of the next block, whose first stands at offset `first`.
    pub fn see(&mut self, first: u64, entries: &[Entry]) {
        for (offset, entry) in (first..).zip(entries) {
            match entry {
                Entry::EventsErased { erasure, events, .. } if self.named_by(erasure).is_some() => {
                    self.events.extend(events);
                }
                Entry::Session(session) => self.see_session(offset, session),
                Entry::Visited { session, profile, .. } => match self.whose(&profile.id, offset).cloned() {
                    Some(named) => self.own(*session, &named),
                    None => _ = self.had_by_others.insert(*session),
                },
                Entry::SessionDeleted(id) => match self.called.remove(id) {
                    Some(session) => self.deletions.push((offset, session)),
                    // Its states are gone already if this was begun before.
                    None if self.visitor(id, offset, ErasureKind::Erased).is_some() => {
                        self.deletions.push((offset, u64::MAX));
                    }
                    None => {}
                },
                Entry::MergeKey { key, profile } if self.whose(&profile.id, offset).is_some() => {
                    self.keys.insert(*key, offset);
                }
                Entry::ProfileOfFormat3(profile) if self.whose(&profile.id, offset).is_some() => {
                    self.keys.extend(profile.keys.iter().map(|known| (known.key, offset)));
                }
                Entry::Absorbed { absorbed, by, .. } if self.whose(&by.id, offset).is_none() => {
                    self.mix(offset, absorbed, by);
                }
                // What was mixed is sorted out again.
                Entry::Split { profile } => {
                    if let Some(erasure) = self.whose(&profile.id, offset).map(|named| named.erasure.clone()) {
                        self.mixed.values_mut().for_each(|mixed| mixed.part(&erasure, offset));
                    }
                }
                Entry::Profile(state) => {
                    if let Some(mixed) = self.mixed.get_mut(&state.reference()) {
                        mixed.latest = offset;
                        mixed.parted = mixed.parted.take().and_then(Parted::behind_state);
                    }
                }
                Entry::ProfileChanged { profile, .. } => {
                    if let Some(mixed) = self.mixed.get_mut(profile)
                        && let Some(Parted::Seen(erasure)) = mixed.parted.take()
                    {
                        mixed.stretches.push(Stretch { offsets: offset..offset + 1, erasure });
                    }
                }
                _ => {}
            }
        }
    }

    fn see_session(&mut self, offset: u64, session: &Session) {
        let named = session.profile.as_ref().map(|profile| self.whose(&profile.id, offset).cloned());
        match named {
            Some(Some(named)) => self.own(session.number, &named),
            Some(None) if self.sessions.contains_key(&session.number) => {
                self.had_by_others.insert(session.number);
            }
            _ => {}
        }
        if self.sessions.contains_key(&session.number) {
            self.called.insert(session.id.clone(), session.number);
        } else {
            self.called.remove(&session.id);
        }
    }

    fn own(&mut self, session: u64, named: &Arc<Named>) {
        let owned = self.sessions.entry(session).or_insert_with(|| Owned { named: named.clone(), is_shared: false });
        owned.is_shared |= owned.named.kind != named.kind;
    }

    /// Whoever is named, and had this session alone at `offset`.
    fn visitor(&self, session: &Id, offset: u64, kind: ErasureKind) -> Option<&Arc<Named>> {
        let mut named = self.visitors.get(session)?.iter();
        named.find(|named| named.kind == kind && offset < named.before)
    }

    /// From `offset` on, the states of `by` hold those of `absorbed`, and with them those of whoever is named.
    fn mix(&mut self, offset: u64, absorbed: &ProfileRef, by: &ProfileRef) {
        let mut of: Vec<Id> = self.whose(&absorbed.id, offset).map(|named| named.erasure.clone()).into_iter().collect();
        let held = self.mixed.get(absorbed).into_iter().flat_map(|mixed| &mixed.stretches);
        of.extend(held.filter(|it| it.offsets.contains(&offset)).map(|it| it.erasure.clone()));
        if !of.is_empty() {
            let stretches = of.into_iter().map(|erasure| Stretch { offsets: offset..u64::MAX, erasure });
            self.mixed.entry(by.clone()).or_default().stretches.extend(stretches);
        }
    }

    /// Everything was seen.
    pub fn finish(mut self) -> Found {
        for (number, owned) in &mut self.sessions {
            owned.is_shared |= self.had_by_others.contains(number);
        }
        // The state that is the newest is somebody's who is there, whatever it holds.
        for mixed in self.mixed.values_mut() {
            let open = mixed.stretches.iter_mut().filter(|stretch| stretch.offsets.end == u64::MAX);
            open.for_each(|stretch| stretch.offsets.end = mixed.latest);
        }
        let is_gone = |session: &u64| match self.sessions.get(session) {
            Some(owned) => owned.is_gone(),
            None => true,
        };
        let deletions = self.deletions.iter().filter(|(_, session)| is_gone(session)).map(|(offset, _)| *offset);
        Found { deletions: deletions.collect(), survey: self }
    }

    fn named_by(&self, erasure: &Id) -> Option<&Arc<Named>> {
        self.named.iter().find(|named| named.erasure == *erasure)
    }

    /// Whom what stands at `offset` under this id is about, if it is to go.
    fn whose(&self, id: &Id, offset: u64) -> Option<&Arc<Named>> {
        let named = self.people.get(id)?.iter().filter(|named| offset < named.before);
        // Who was forgotten may have been erased later.
        named.min_by_key(|named| named.kind != ErasureKind::Erased)
    }

    fn is_mixed(&self, profile: &ProfileRef, offset: u64) -> bool {
        let mixed = self.mixed.get(profile);
        mixed.is_some_and(|mixed| mixed.stretches.iter().any(|stretch| stretch.offsets.contains(&offset)))
    }
}

impl Owned {
    /// Whether no record of the session stays.
    fn is_gone(&self) -> bool {
        self.named.kind == ErasureKind::Erased && !self.is_shared
    }
}

/// What was found.
pub struct Found {
    survey: Survey,
    deletions: HashSet<u64>,
}

/// What a second survey would not find, once some segments were written anew. It names none of those who are named.
#[derive(Default, Serialize, Deserialize)]
pub struct Remembered {
    /// The number of each session, the erasure of whoever had it, and whether it is shared.
    sessions: Vec<(u64, Id, bool)>,
    deletions: Vec<u64>,
    keys: Vec<(MergeKey, u64)>,
    mixed: Vec<(ProfileRef, Range<u64>, Id)>,
}

impl Found {
    pub fn remembered(&self) -> Remembered {
        let Survey { sessions, keys, mixed, .. } = &self.survey;
        let sessions =
            sessions.iter().map(|(number, owned)| (*number, owned.named.erasure.clone(), owned.is_shared)).collect();
        let mixed = mixed.iter().flat_map(|(profile, mixed)| {
            let stretches = mixed.stretches.iter();
            stretches.map(|stretch| (profile.clone(), stretch.offsets.clone(), stretch.erasure.clone()))
        });
        Remembered {
            sessions,
            deletions: self.deletions.iter().copied().collect(),
            keys: keys.iter().map(|(key, last)| (*key, *last)).collect(),
            mixed: mixed.collect(),
        }
    }

    /// Adds what was found before some segments were written anew.
    pub fn recall(&mut self, remembered: Remembered) {
        let Remembered { sessions, deletions, keys, mixed } = remembered;
        for (number, erasure, is_shared) in sessions {
            let Some(named) = self.survey.named_by(&erasure).cloned() else { continue };
            let owned = self.survey.sessions.entry(number).or_insert(Owned { named, is_shared });
            owned.is_shared |= is_shared;
        }
        self.deletions.extend(deletions);
        for (key, last) in keys {
            let known = self.survey.keys.entry(key).or_default();
            *known = last.max(*known);
        }
        for (profile, offsets, erasure) in mixed {
            if self.survey.named_by(&erasure).is_some() {
                self.survey.mixed.entry(profile).or_default().stretches.push(Stretch { offsets, erasure });
            }
        }
    }

    /// Whom what stands at `offset` under this id is about, if it is to go.
    pub fn whose(&self, id: &Id, offset: u64) -> Option<&Named> {
        self.survey.whose(id, offset).map(|named| &**named)
    }

    /// Who was forgotten in whose session alone this is, at `offset`.
    pub fn forgotten_visitor(&self, session: &Id, offset: u64) -> Option<&Named> {
        self.survey.visitor(session, offset, ErasureKind::Forgotten).map(|named| &**named)
    }

    /// Whether the session was that of somebody who is named alone, at `offset`.
    pub fn is_session_of_them(&self, session: &Id, offset: u64) -> bool {
        let of = |kind| self.survey.visitor(session, offset, kind).is_some();
        of(ErasureKind::Erased) || of(ErasureKind::Forgotten)
    }

    /// Whether the event there was erased, whoever it names.
    pub fn is_erased_event(&self, offset: u64) -> bool {
        self.survey.events.contains(&offset)
    }

    /// Whether the states of this profile there hold what is somebody's who is named.
    pub fn is_mixed(&self, profile: &ProfileRef, offset: u64) -> bool {
        self.survey.is_mixed(profile, offset)
    }

    /// Whether the key led to somebody else there, before it led to those who are named.
    pub fn was_taken_over(&self, key: &MergeKey, offset: u64) -> bool {
        self.survey.keys.get(key).is_some_and(|last| offset < *last)
    }

    /// Whether the key led to somebody who is named.
    pub fn is_key_of_them(&self, key: &MergeKey) -> bool {
        self.survey.keys.contains_key(key)
    }

    pub fn is_erasure(&self, erasure: &Id) -> bool {
        self.survey.named_by(erasure).is_some()
    }

    /// Whether it is said there that a session is deleted of which nothing stays.
    pub fn is_deletion_of_gone(&self, offset: u64) -> bool {
        self.deletions.contains(&offset)
    }

    /// What becomes of this state of a session; `None`: it stays as it is.
    pub fn session(&self, offset: u64, session: &Session) -> Option<SessionFate> {
        let owned = self.survey.sessions.get(&session.number).filter(|owned| offset < owned.named.before)?;
        if owned.is_gone() {
            return Some(SessionFate::Gone);
        }
        let profile = session.profile.clone().and_then(|profile| match self.whose(&profile.id, offset) {
            Some(named) => named.kept.clone(),
            None => Some(profile),
        });
        Some(SessionFate::Stripped(profile))
    }
}
