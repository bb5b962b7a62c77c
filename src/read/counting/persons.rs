//! Who the visits of the log are of, as people are merged now: so many people at a time that their numbers, and what is
//! kept by these, take little memory, however many count. If there are more, the log is gone through several times, each
//! time for a part of all people.

use std::{collections::hash_map::RandomState, hash::BuildHasher, ops::Range, sync::Arc, time::Duration};

use foldhash::{HashMap, HashSet};
use hashbrown::{HashTable, hash_table::Entry};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{
    model::{Id, ShortId, Time},
    read::filter::may_be_within,
    store::{NOWHERE, ReadView, Refused, SegmentProfiles, StoreError, VisitColumns},
};

/// How many names are read at once.
const NAMES_TOGETHER: usize = 10_000;

/// How long a count waits for others to give back the room that their people take.
const ROOM_WAIT: Duration = Duration::from_secs(60);

/// Nobody is known of a row.
pub const NOBODY: u32 = u32::MAX;

/// Numbers for ids that are as good as the ids: the UUIDs themselves, and of other ids hashes of 128 bits under keys of
/// their own, so that a million take few bytes and nobody can make two of them meet.
#[derive(Clone, Default)]
pub struct IdKeys([RandomState; 2]);

impl IdKeys {
    pub fn key(&self, id: ShortId<'_>) -> u128 {
        match id {
            ShortId::Uuid(uuid) => uuid,
            ShortId::Text(text) => {
                let [high, low] = self.0.each_ref().map(|hasher| u128::from(hasher.hash_one(text)));
                high << 64 | low
            }
        }
    }
}

/// Room for the people of all counts that run at once.
pub struct PeopleRoom {
    most: usize,
    left: Arc<Semaphore>,
}

/// Room that a count has for its people.
pub struct TakenRoom {
    /// The segments that have something of the time that is asked for.
    segments: Vec<Range<u64>>,
    /// More people than these are taken in parts.
    most: usize,
    /// How many people the segments name, those whom several name more than once.
    named: usize,
    _permit: OwnedSemaphorePermit,
}

impl TakenRoom {
    /// How many people there is room for: the most of a part.
    pub fn people(&self) -> usize {
        self.named.min(self.most)
    }
}

impl PeopleRoom {
    /// For `most` people.
    pub fn new(most: usize) -> Self {
        Self { most, left: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))) }
    }

    /// Waits for room for those whom segments name that have something from `from` on and before `to`; where these are more
    /// than there is ever room for, for all of it. Taken before a query's turn, so that who waits here holds no other up.
    pub async fn take(&self, view: &ReadView, from: Option<Time>, to: Option<Time>) -> Result<TakenRoom, Refused> {
        let spans = view.query(|log| log.spans()).await?.into_iter();
        let segments: Vec<_> =
            spans.filter(|span| may_be_within(span.inserted, from, to)).map(|span| span.range).collect();
        let starts: Vec<u64> = segments.iter().map(|range| range.start).collect();
        let named = view.query(move |log| {
            let count = |start| Ok(log.index(start)?.map_or(0, |index| index.profile_count()));
            starts.into_iter().map(count).sum::<Result<usize, StoreError>>()
        });
        let named = named.await?;
        Ok(TakenRoom { segments, most: self.most, named, _permit: self.permit(named).await? })
    }

    async fn permit(&self, people: usize) -> Result<OwnedSemaphorePermit, Refused> {
        let people = u32::try_from(people.min(self.most)).unwrap_or(u32::MAX);
        let permit = timeout(ROOM_WAIT, self.left.clone().acquire_many_owned(people)).await.ok().and_then(Result::ok);
        permit.ok_or_else(|| Refused::Unavailable("other queries that count people take all the room for these".into()))
    }
}

/// A profile: 64 bits of its id's key, for few are made at the same offset, and the offset at which it was made.
type Key = (u64, u64);

/// Numbers for the people of a part of all people: one for all ids of a person.
pub struct Persons {
    part: u64,
    /// A power of two.
    parts: u64,
    /// What is in the log from this offset on came while it was gone through.
    log_end: u64,
    keys: IdKeys,
    /// Where another id of somebody leads.
    leads: HashMap<Key, Key>,
    /// Found by the hashes of their keys, which stand once: of a million people, a map would take twice as much.
    numbers: HashTable<u32>,
    hasher: foldhash::fast::RandomState,
    /// By their numbers, the key of each person.
    people: Vec<Key>,
    /// Given back with them.
    _room: Option<TakenRoom>,
}

impl Default for Persons {
    /// All people as one part.
    fn default() -> Self {
        Self {
            part: 0,
            parts: 1,
            log_end: u64::MAX,
            keys: IdKeys::default(),
            leads: HashMap::default(),
            numbers: HashTable::new(),
            hasher: foldhash::fast::RandomState::default(),
            people: Vec::new(),
            _room: None,
        }
    }
}

impl Persons {
    /// Reads which ids lead to other ones, and divides people into parts for which there is room.
    pub async fn read(view: &ReadView, room: TakenRoom) -> Result<Self, Refused> {
        let mut persons = Self { people: Vec::with_capacity(room.people()), ..Self::default() };
        persons.read_leads(view).await?;
        // Most people are named by several segments: they are counted once only where that may tell.
        if room.named > room.most {
            persons.log_end = room.segments.iter().map(|range| range.end).max().unwrap_or(0);
            persons.divide(view, &room).await?;
        }
        persons._room = Some(room);
        Ok(persons)
    }

    async fn read_leads(&mut self, view: &ReadView) -> Result<(), Refused> {
        let mut after: Option<Id> = None;
        loop {
            let from = after.take();
            let names = view.query(move |log| log.names(from.as_ref(), NAMES_TOGETHER)).await?;
            let Some((last, _)) = names.last() else { return Ok(()) };
            after = Some(last.id.clone());
            for (name, profile) in &names {
                let [from, to] = [name, profile].map(|it| self.key(ShortId::of(&it.id), it.since));
                self.leads.insert(from, to);
            }
        }
    }

    /// Makes so many parts that there is room for the people of the first; the others have about as many as it.
    async fn divide(&mut self, view: &ReadView, room: &TakenRoom) -> Result<(), Refused> {
        // The hashes of those of the first part.
        let mut first: HashSet<u64> = HashSet::default();
        for start in room.segments.iter().map(|range| range.start) {
            let profiles = view.query(move |log| log.index(start)?.map(|index| index.profiles()).transpose()).await?;
            let Some(profiles) = profiles else { continue };
            for (id, since) in profiles.ids.iter().zip(&profiles.since) {
                let (_, hash) = self.person(self.key(id, *since));
                if self.part_of(hash) == 0 {
                    first.insert(hash);
                }
                while first.len() > room.most {
                    self.parts *= 2;
                    first.retain(|hash| self.part_of(*hash) == 0);
                }
            }
        }
        Ok(())
    }

    /// Whoever goes through the log several times leaves out what is there from this offset on, so as to find the same
    /// each time.
    pub fn log_end(&self) -> u64 {
        self.log_end
    }

    /// Goes on to the next part, whose people have numbers of their own; `false`: there is none.
    pub fn next_part(&mut self) -> bool {
        self.part += 1;
        self.numbers.clear();
        self.people.clear();
        self.part < self.parts
    }

    /// The person whom each visit is of; [`NOBODY`] where that is not known or is somebody of another part.
    pub fn of_visits(&mut self, columns: &VisitColumns, profiles: &SegmentProfiles) -> Vec<u32> {
        let keys: Vec<Key> = profiles.ids.iter().zip(&profiles.since).map(|(id, since)| self.key(id, *since)).collect();
        let people: Vec<u32> = keys.into_iter().map(|key| self.number(key)).collect();
        let person = |profile: &u32| match *profile {
            NOWHERE => NOBODY,
            profile => people.get(profile as usize).copied().unwrap_or(NOBODY),
        };
        columns.profiles.iter().map(person).collect()
    }

    /// The offset at which a person was made.
    pub fn made(&self, person: u32) -> Option<u64> {
        self.people.get(person as usize).map(|(_, made)| *made)
    }

    /// The number of the person that a profile is part of.
    fn number(&mut self, profile: Key) -> u32 {
        let (person, hash) = self.person(profile);
        if self.part_of(hash) != self.part {
            return NOBODY;
        }
        let Self { numbers, hasher, people, .. } = self;
        let is_it = |number: &u32| people.get(*number as usize) == Some(&person);
        let hash_of = |number: &u32| hasher.hash_one(people[*number as usize]);
        match numbers.entry(hash, is_it, hash_of) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(place) => {
                let number = u32::try_from(people.len()).unwrap_or(NOBODY);
                place.insert(number);
                people.push(person);
                number
            }
        }
    }

    /// The key of the person that a profile is part of, and its hash.
    fn person(&self, profile: Key) -> (Key, u64) {
        let mut person = profile;
        // No way is longer than there are names.
        for _ in 0..self.leads.len() {
            match self.leads.get(&person) {
                Some(next) if *next != person => person = *next,
                _ => break,
            }
        }
        (person, self.hasher.hash_one(person))
    }

    /// The part of a person whose key has this hash; the table of numbers goes by other bits of it.
    fn part_of(&self, hash: u64) -> u64 {
        (hash >> 32) & (self.parts - 1)
    }

    fn key(&self, id: ShortId<'_>, since: u64) -> Key {
        let key = self.keys.key(id);
        ((key >> 64) as u64 ^ key as u64, since)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn counts_whose_people_are_too_many_together_wait_for_each_other() {
        let room = PeopleRoom::new(10);
        let one = room.permit(6).await.unwrap();
        let few = room.permit(4).await.unwrap();
        assert!(room.permit(1).now_or_never().is_none());
        drop(one);
        let some = room.permit(6).await.unwrap();
        drop((few, some));
        let more_than_ever_fit = room.permit(1_000).await.unwrap();
        assert!(room.permit(1).now_or_never().is_none());
        drop(more_than_ever_fit);
        assert!(room.permit(10).await.is_ok());
    }
}
