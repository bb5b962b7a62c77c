//! The visits of a segment in its index file: columns for who reads all of them, and for who looks for an id the visits
//! that have it, by fingerprint.

use std::io;

use serde::{Deserialize, Serialize};

use super::{
    IndexFile,
    parts::{Part, Writer},
};
use crate::{
    model::{Id, ProfileRef, ShortId},
    store::{
        error::StoreError,
        index::{
            SegmentProfiles, SegmentSessions, Visit, VisitColumns, Visitor,
            filter::{Filter, fingerprint},
            ids::ShortIds,
            visits::{Began, NOWHERE, Visits},
        },
    },
};

/// How many visits, sessions and profiles stand together.
const TOGETHER: usize = 1_024;
const KEYS_TOGETHER: usize = 4_096;

/// Where what is known of visits stands.
#[derive(Serialize, Deserialize)]
pub struct VisitParts {
    session_count: u32,
    profile_count: u32,
    /// [`TOGETHER`] each.
    visits: Vec<VisitChunk>,
    sessions: Vec<SessionChunk>,
    profiles: Vec<ProfileChunk>,
    session_keys: Keys,
    profile_keys: Keys,
}

#[derive(Serialize, Deserialize)]
struct VisitChunk {
    /// The places of session and profile, each plus 1; 0: there is none.
    sessions: Part,
    profiles: Part,
    /// How many pages have rows of each visit, and which, behind each other.
    page_counts: Part,
    pages: Part,
}

#[derive(Serialize, Deserialize)]
struct SessionChunk {
    ids: Part,
    /// See [`Began::number`].
    began: Part,
}

#[derive(Serialize, Deserialize)]
struct ProfileChunk {
    ids: Part,
    since: Part,
}

/// In which visits an id occurs: fingerprints of ids in ascending order, and the number of a visit for each.
#[derive(Serialize, Deserialize)]
struct Keys {
    filter: Filter,
    chunks: Vec<KeyChunk>,
}

#[derive(Serialize, Deserialize)]
struct KeyChunk {
    /// The greatest fingerprint in it.
    most: u32,
    fingerprints: Part,
    visits: Part,
}

impl VisitParts {
    pub fn write(out: &mut Writer, visits: &Visits) -> io::Result<Self> {
        let columns = visits.columns();
        let place = |place: &u32| if *place == NOWHERE { 0 } else { u64::from(*place) + 1 };
        let count = u32::try_from(visits.count()).expect("a segment holds fewer events");
        let mut chunks = Vec::new();
        for (first, (sessions, profiles)) in
            (0..count).step_by(TOGETHER).zip(columns.sessions.chunks(TOGETHER).zip(columns.profiles.chunks(TOGETHER)))
        {
            let numbers = first..count.min(first + TOGETHER as u32);
            let pages: Vec<Vec<u32>> = numbers.map(|number| visits.pages(number)).collect();
            chunks.push(VisitChunk {
                sessions: out.numbers(&sessions.iter().map(place).collect::<Vec<_>>())?,
                profiles: out.numbers(&profiles.iter().map(place).collect::<Vec<_>>())?,
                page_counts: out.numbers(&pages.iter().map(|pages| pages.len() as u64).collect::<Vec<_>>())?,
                pages: out.numbers(&pages.iter().flatten().map(|page| u64::from(*page)).collect::<Vec<_>>())?,
            });
        }
        let (session_ids, profile_refs) = (visits.session_ids(), visits.profile_refs());
        let mut sessions = Vec::new();
        for (ids, began) in session_ids.chunks(TOGETHER).zip(visits.began().chunks(TOGETHER)) {
            let began: Vec<u64> = began.iter().map(|began| began.number()).collect();
            sessions.push(SessionChunk { ids: ids_part(out, ids.iter())?, began: out.numbers(&began)? });
        }
        let mut profiles = Vec::new();
        for together in profile_refs.chunks(TOGETHER) {
            let since: Vec<u64> = together.iter().map(|profile| profile.since).collect();
            let ids = ids_part(out, together.iter().map(|profile| &profile.id))?;
            profiles.push(ProfileChunk { ids, since: out.numbers(&since)? });
        }
        let of_session: Vec<u32> = session_ids.iter().map(fingerprint).collect();
        let of_profile: Vec<u32> = profile_refs.iter().map(|profile| fingerprint(&profile.id)).collect();
        let session_keys = Keys::write(out, &columns.sessions, &of_session)?;
        let profile_keys = Keys::write(out, &columns.profiles, &of_profile)?;
        let (session_count, profile_count) = (columns.session_count as u32, columns.profile_count as u32);
        Ok(Self { session_count, profile_count, visits: chunks, sessions, profiles, session_keys, profile_keys })
    }

    pub fn profile_count(&self) -> usize {
        self.profile_count as usize
    }

    pub fn columns(&self, file: &IndexFile) -> Result<VisitColumns, StoreError> {
        let mut columns = VisitColumns {
            session_count: self.session_count as usize,
            profile_count: self.profile_count as usize,
            ..VisitColumns::default()
        };
        for chunk in &self.visits {
            columns.sessions.extend(file.numbers(&chunk.sessions)?.into_iter().map(place));
            columns.profiles.extend(file.numbers(&chunk.profiles)?.into_iter().map(place));
        }
        let is_within = |places: &[u32], count| places.iter().all(|place| *place == NOWHERE || *place < count);
        if is_within(&columns.sessions, self.session_count) && is_within(&columns.profiles, self.profile_count) {
            Ok(columns)
        } else {
            Err(file.damaged("a visit is of nobody"))
        }
    }

    pub fn sessions(&self, file: &IndexFile) -> Result<SegmentSessions, StoreError> {
        let (mut ids, mut began) = (Vec::new(), Vec::new());
        for chunk in &self.sessions {
            ids.extend(file.read(&chunk.ids)?);
            began.extend(file.numbers(&chunk.began)?.into_iter().map(Began::of));
        }
        Ok(SegmentSessions { ids: ShortIds::from_bytes(ids), began })
    }

    pub fn profiles(&self, file: &IndexFile) -> Result<SegmentProfiles, StoreError> {
        let (mut ids, mut since) = (Vec::new(), Vec::new());
        for chunk in &self.profiles {
            ids.extend(file.read(&chunk.ids)?);
            since.extend(file.numbers(&chunk.since)?);
        }
        Ok(SegmentProfiles { ids: ShortIds::from_bytes(ids), since })
    }

    /// See [`crate::store::SegmentIndex::visits_of`].
    pub fn of(&self, file: &IndexFile, visitor: Visitor<'_>) -> Result<Vec<(u32, Visit)>, StoreError> {
        let numbers = match visitor {
            Visitor::Session(id) => self.session_keys.visits(file, id)?,
            Visitor::Profile(id) => self.profile_keys.visits(file, id)?,
        };
        let mut lookup = Lookup { file, parts: self, visits: None, sessions: None, profiles: None };
        let mut found = Vec::new();
        for number in numbers {
            // Another id may have the same fingerprint.
            if let Some(visit) = lookup.visit_of(number, visitor)? {
                found.push((number, visit));
            }
        }
        Ok(found)
    }

    /// All visits, in the order of their numbers.
    pub fn all(&self, file: &IndexFile) -> Result<Vec<Visit>, StoreError> {
        let mut lookup = Lookup { file, parts: self, visits: None, sessions: None, profiles: None };
        let count = self.columns(file)?.sessions.len() as u32;
        (0..count).map(|number| lookup.visit(number)).collect()
    }
}

fn place(stored: u64) -> u32 {
    u32::try_from(stored).ok().and_then(|stored| stored.checked_sub(1)).unwrap_or(NOWHERE)
}

fn ids_part<'a>(out: &mut Writer, ids: impl Iterator<Item = &'a Id>) -> io::Result<Part> {
    let mut short = ShortIds::default();
    ids.for_each(|id| short.push(id));
    out.part(short.bytes())
}

impl Keys {
    /// `places`: of the ids of the visits, or [`NOWHERE`].
    fn write(out: &mut Writer, places: &[u32], fingerprints: &[u32]) -> io::Result<Self> {
        let numbered = (0_u64..).zip(places);
        let mut keys: Vec<(u32, u64)> = numbered
            .filter_map(|(number, place)| Some((fingerprints.get(*place as usize).copied()?, number)))
            .collect();
        keys.sort_unstable();
        let filter = Filter::new(keys.iter().map(|(fingerprint, _)| *fingerprint));
        let mut chunks = Vec::new();
        for chunk in keys.chunks(KEYS_TOGETHER) {
            let (fingerprints, visits): (Vec<u64>, Vec<u64>) =
                chunk.iter().map(|(fingerprint, visit)| (u64::from(*fingerprint), *visit)).unzip();
            chunks.push(KeyChunk {
                most: chunk.last().map_or(0, |(fingerprint, _)| *fingerprint),
                fingerprints: out.numbers(&fingerprints)?,
                visits: out.numbers(&visits)?,
            });
        }
        Ok(Self { filter, chunks })
    }

    /// The numbers of the visits that have the id, and of others whose ids have its fingerprint, in order.
    fn visits(&self, file: &IndexFile, id: &Id) -> Result<Vec<u32>, StoreError> {
        let wanted = fingerprint(id);
        if !self.filter.may_hold(wanted) {
            return Ok(Vec::new());
        }
        let mut numbers = Vec::new();
        let begin = self.chunks.partition_point(|chunk| chunk.most < wanted);
        for chunk in &self.chunks[begin..] {
            let fingerprints = file.numbers(&chunk.fingerprints)?;
            let visits = file.numbers(&chunk.visits)?;
            let from = fingerprints.partition_point(|known| *known < u64::from(wanted));
            let to = fingerprints.partition_point(|known| *known <= u64::from(wanted));
            let visits = visits.get(from..to).unwrap_or_default();
            numbers.extend(visits.iter().filter_map(|number| u32::try_from(*number).ok()));
            if to < fingerprints.len() {
                break;
            }
        }
        numbers.sort_unstable();
        Ok(numbers)
    }
}

/// Reads visits one by one; what stands together is read once.
struct Lookup<'a> {
    file: &'a IndexFile,
    parts: &'a VisitParts,
    visits: Option<(usize, [Vec<u64>; 4])>,
    sessions: Option<(usize, ShortIds)>,
    profiles: Option<(usize, ShortIds, Vec<u64>)>,
}

impl Lookup<'_> {
    fn visit_of(&mut self, number: u32, visitor: Visitor<'_>) -> Result<Option<Visit>, StoreError> {
        let (session, profile) = self.places(number)?;
        let is_of = match visitor {
            Visitor::Session(id) => self.session(session)?.as_ref() == Some(id),
            Visitor::Profile(id) => self.profile(profile)?.is_some_and(|profile| profile.id == *id),
        };
        if is_of { self.visit(number).map(Some) } else { Ok(None) }
    }

    fn visit(&mut self, number: u32) -> Result<Visit, StoreError> {
        let (session, profile) = self.places(number)?;
        let (session, profile) = (self.session(session)?, self.profile(profile)?);
        let within = number as usize % TOGETHER;
        let [.., page_counts, pages] = self.chunk(number)?;
        let before: u64 = page_counts.iter().take(within).sum();
        let pages = pages.iter().skip(before as usize).take(page_counts.get(within).copied().unwrap_or(0) as usize);
        Ok(Visit { session, profile, pages: pages.filter_map(|page| u32::try_from(*page).ok()).collect() })
    }

    /// Those of its session and its profile.
    fn places(&mut self, number: u32) -> Result<(u32, u32), StoreError> {
        let within = number as usize % TOGETHER;
        let [sessions, profiles, ..] = self.chunk(number)?;
        let at = |places: &[u64]| place(places.get(within).copied().unwrap_or(0));
        Ok((at(sessions), at(profiles)))
    }

    fn chunk(&mut self, number: u32) -> Result<&[Vec<u64>; 4], StoreError> {
        let (file, at) = (self.file, number as usize / TOGETHER);
        if self.visits.as_ref().is_none_or(|(known, _)| *known != at) {
            let chunk = self.parts.visits.get(at).ok_or_else(|| file.damaged("a visit is missing"))?;
            let columns = [
                file.numbers(&chunk.sessions)?,
                file.numbers(&chunk.profiles)?,
                file.numbers(&chunk.page_counts)?,
                file.numbers(&chunk.pages)?,
            ];
            self.visits = Some((at, columns));
        }
        self.visits.as_ref().map(|(_, columns)| columns).ok_or_else(|| file.damaged("a visit is missing"))
    }

    fn session(&mut self, place: u32) -> Result<Option<Id>, StoreError> {
        if place == NOWHERE {
            return Ok(None);
        }
        let (file, at) = (self.file, place as usize / TOGETHER);
        let missing = || file.damaged("a session is missing");
        let ids = match self.sessions.take().filter(|(known, _)| *known == at) {
            Some((_, ids)) => ids,
            None => {
                let chunk = self.parts.sessions.get(at).ok_or_else(missing)?;
                ShortIds::from_bytes(file.read(&chunk.ids)?)
            }
        };
        let id = ids.iter().nth(place as usize % TOGETHER).map(ShortId::to_id);
        self.sessions = Some((at, ids));
        id.map(Some).ok_or_else(missing)
    }

    fn profile(&mut self, place: u32) -> Result<Option<ProfileRef>, StoreError> {
        if place == NOWHERE {
            return Ok(None);
        }
        let (file, at, within) = (self.file, place as usize / TOGETHER, place as usize % TOGETHER);
        let missing = || file.damaged("a profile is missing");
        let (ids, since) = match self.profiles.take().filter(|(known, ..)| *known == at) {
            Some((_, ids, since)) => (ids, since),
            None => {
                let chunk = self.parts.profiles.get(at).ok_or_else(missing)?;
                (ShortIds::from_bytes(file.read(&chunk.ids)?), file.numbers(&chunk.since)?)
            }
        };
        let id = ids.iter().nth(within).map(ShortId::to_id);
        let profile = id.zip(since.get(within).copied()).map(|(id, since)| ProfileRef { id, since });
        self.profiles = Some((at, ids, since));
        profile.map(Some).ok_or_else(missing)
    }
}
