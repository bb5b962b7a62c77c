//! The views: the newest state under each key, folded from the log, in one sled database.
//!
//! They hold nothing that the log does not hold, and note how much of it they have: what is lost or doubtful is folded
//! again. Each batch first notes where it leads to, then writes its records, so that after a crash of the process the
//! batch that was under way is written once more and the whole is compared with the count and sum noted.

mod writes;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::{
    checksums,
    entry::{self, EventPlace, Fold, Key, State},
    error::{At, StoreError},
    folder,
    session_codec::SessionCodec,
    tree,
};
use crate::model::{Definition, DefinitionKind, Id, Profile, ProfileRef, Session, Source, SourceSecrets, Time};

const CACHE_BYTES: u64 = 16 * 1024 * 1024;
/// What to do about views that cannot be read.
pub(super) const REBUILD: &str = "make them again with `tracardi rebuild`";

pub struct Views {
    path: PathBuf,
    db: sled::Db,
    trees: Vec<sled::Tree>,
    progress: Mutex<Progress>,
    codec: SessionCodec,
}

/// How much of the log the views have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Everything before this offset is in the views.
    pub from: u64,
    /// The batch under way ends before this offset.
    pub to: u64,
    /// The records, and the sum of their checksums, once that batch is written.
    records: u64,
    sum: u64,
    /// The latest server time before `to`.
    pub latest: Time,
}

/// The trees, in the order in which they enter the checksum.
#[derive(Clone, Copy)]
enum Tree {
    /// Session id to number.
    SessionNumbers,
    /// Number to session, in parts.
    Sessions,
    /// Id to profile, in parts.
    Profiles,
    Names,
    EventIds,
    Visited,
    DeletedEvents,
    /// Id to source, in parts.
    Sources,
    /// Merge key to profile.
    MergeKeys,
    /// Kind and id to definition, in parts.
    Definitions,
    /// Destination to offset.
    Deliveries,
    /// When it is due and its number, to event, in parts.
    Delayed,
    /// Kind and id of what is scheduled, to how far it is.
    Passes,
    /// Id of a source to its secrets, in parts.
    SourceSecrets,
}

/// Each with its name, in the order of their places.
const TREES: [(Tree, &str); 14] = [
    (Tree::SessionNumbers, "session_numbers"),
    (Tree::Sessions, "sessions"),
    (Tree::Profiles, "profiles"),
    (Tree::Names, "names"),
    (Tree::EventIds, "event_ids"),
    (Tree::Visited, "visited"),
    (Tree::DeletedEvents, "deleted_events"),
    (Tree::Sources, "sources"),
    (Tree::MergeKeys, "merge_keys"),
    (Tree::Definitions, "definitions"),
    (Tree::Deliveries, "deliveries"),
    (Tree::Delayed, "delayed"),
    (Tree::Passes, "passes"),
    (Tree::SourceSecrets, "source_secrets"),
];

const PROGRESS_KEY: &[u8] = b"progress";

impl Views {
    /// Opens the views in the folder `path`, making empty ones if there are none.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let db = tree::open(path, CACHE_BYTES, REBUILD)?;
        let trees = TREES.iter().map(|(_, name)| db.open_tree(name).at(path)).collect::<Result<Vec<_>, _>>()?;
        let progress = match db.get(PROGRESS_KEY).at(path)? {
            Some(bytes) => entry::decode(&bytes)
                .ok_or_else(|| StoreError::damaged(path, "how far the views are cannot be read", REBUILD))?,
            None => Progress::default(),
        };
        Ok(Self { path: path.to_owned(), db, trees, progress: Mutex::new(progress), codec: SessionCodec::new() })
    }

    fn tree(&self, tree: Tree) -> &sled::Tree {
        &self.trees[tree as usize]
    }

    pub fn progress(&self) -> Progress {
        *self.progress.lock()
    }

    /// Writes what the entries before offset `to` lead to; the views have everything before them.
    pub fn apply(&self, to: u64, fold: &Fold) -> Result<(), StoreError> {
        let writes = self.writes(&fold.states).at(&self.path)?;
        let mut progress = self.progress.lock();
        let mut next = Progress { from: progress.to, to, latest: progress.latest.max(fold.latest), ..*progress };
        next.count(&writes);
        self.db.insert(PROGRESS_KEY, entry::encode(&next)).at(&self.path)?;
        self.write(writes)?;
        *progress = next;
        Ok(())
    }

    /// Writes the batch that was under way when the last process ended once more: the entries from the progress' `from`
    /// to its `to`.
    pub fn apply_again(&self, fold: &Fold) -> Result<(), StoreError> {
        let writes = self.writes(&fold.states).at(&self.path)?;
        self.write(writes)
    }

    /// Whether the records are those that the progress speaks of; reads all of them. `each` hears of every record.
    pub fn verify(&self, mut each: impl FnMut()) -> Result<bool, StoreError> {
        let (mut records, mut sum) = (0_u64, 0_u64);
        for (tree, _) in TREES {
            for record in self.tree(tree).iter() {
                let (key, value) = record.at(&self.path)?;
                records += 1;
                sum = sum.wrapping_add(writes::checksum(tree, &key, &value));
                each();
            }
        }
        let progress = self.progress();
        Ok((records, sum) == (progress.records, progress.sum))
    }

    /// Writes everything to the views' files, so that it is known that they can be written.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.db.flush().map(|_| ()).at(&self.path)
    }

    /// Writes everything to the views' files and makes them durable.
    pub fn close(self) -> Result<(), StoreError> {
        let mut progress = self.progress();
        progress.from = progress.to;
        self.db.insert(PROGRESS_KEY, entry::encode(&progress)).at(&self.path)?;
        let Self { path, db, trees, .. } = self;
        drop(trees);
        tree::close(&path, REBUILD, db)?;
        folder::sync_tree(&path)?;
        checksums::note(&path)
    }

    /// The newest state under `key` that the views have.
    pub fn state(&self, key: &Key) -> Result<Option<State>, StoreError> {
        Ok(match key {
            Key::Session(id) => self.session(id)?.map(State::Session),
            Key::Profile(id) => {
                let bytes = tree::get(self.tree(Tree::Profiles), &id.key()).at(&self.path)?;
                self.decoded(bytes.as_deref(), "profile", id.as_str())?.map(State::Profile)
            }
            Key::Name(id) => {
                let bytes = self.tree(Tree::Names).get(id.key()).at(&self.path)?;
                self.decoded(bytes.as_deref(), "name", id.as_str())?.map(State::Name)
            }
            Key::EventId { id, source } => {
                let bytes = self.tree(Tree::EventIds).get(event_key(id, Some(source))).at(&self.path)?;
                self.decoded(bytes.as_deref(), "event id", id.as_str())?.map(State::EventId)
            }
            Key::Visited { session, profile } => {
                let there = self.tree(Tree::Visited).contains_key(visited_key(*session, profile)).at(&self.path)?;
                there.then_some(State::There)
            }
            Key::DeletedEvent(offset) => {
                let there = self.tree(Tree::DeletedEvents).contains_key(offset.to_be_bytes()).at(&self.path)?;
                there.then_some(State::There)
            }
            Key::MergeKey(key) => {
                let bytes = self.tree(Tree::MergeKeys).get(key.0).at(&self.path)?;
                self.decoded(bytes.as_deref(), "merge key", "")?.map(State::Name)
            }
            Key::Definition(kind, id) => {
                let bytes = tree::get(self.tree(Tree::Definitions), &definition_key(*kind, id)).at(&self.path)?;
                self.decoded(bytes.as_deref(), "definition", id.as_str())?.map(State::Definition)
            }
            Key::Delivered(id) => {
                let bytes = self.tree(Tree::Deliveries).get(id.key()).at(&self.path)?;
                self.decoded(bytes.as_deref(), "delivery", id.as_str())?.map(State::Offset)
            }
            Key::Delayed { due, number } => {
                let bytes = tree::get(self.tree(Tree::Delayed), &delayed_key(*due, *number)).at(&self.path)?;
                self.decoded(bytes.as_deref(), "delayed event", &number.to_string())?.map(State::Delayed)
            }
            Key::Pass(kind, id) => {
                let bytes = self.tree(Tree::Passes).get(definition_key(*kind, id)).at(&self.path)?;
                self.decoded(bytes.as_deref(), "pass", id.as_str())?.map(State::Pass)
            }
            Key::Source(id) => {
                let bytes = tree::get(self.tree(Tree::Sources), &id.key()).at(&self.path)?;
                self.decoded(bytes.as_deref(), "source", id.as_str())?.map(State::Source)
            }
            Key::SourceSecrets(id) => {
                let bytes = tree::get(self.tree(Tree::SourceSecrets), &id.key()).at(&self.path)?;
                self.decoded(bytes.as_deref(), "secrets of source", id.as_str())?.map(State::SourceSecrets)
            }
        })
    }

    fn session(&self, id: &Id) -> Result<Option<Arc<Session>>, StoreError> {
        let Some(number) = self.tree(Tree::SessionNumbers).get(id.key()).at(&self.path)? else { return Ok(None) };
        let Some(packed) = tree::get(self.tree(Tree::Sessions), &number).at(&self.path)? else { return Ok(None) };
        let session = self.codec.unpack(&packed).and_then(|bytes| entry::decode(&bytes));
        session.map(Some).ok_or_else(|| self.unreadable("session", id.as_str()))
    }

    /// Where each source's event with the client's id `id` stands.
    pub fn event_ids(&self, id: &Id) -> Result<Vec<EventPlace>, StoreError> {
        let mut places = Vec::new();
        for record in self.tree(Tree::EventIds).scan_prefix(event_key(id, None)) {
            let (_, value) = record.at(&self.path)?;
            places.extend(self.decoded::<EventPlace>(Some(&value), "event id", id.as_str())?);
        }
        Ok(places)
    }

    /// How many sessions had a profile of both lists.
    pub fn shared_sessions(&self, ones: &[ProfileRef], others: &[ProfileRef]) -> Result<u64, StoreError> {
        let suffixes = |list: &[ProfileRef]| list.iter().map(|it| visited_key(0, it)[8..].to_vec()).collect::<Vec<_>>();
        let (ones_keys, others_keys) = (suffixes(ones), suffixes(others));
        let mut had: HashMap<sled::IVec, (bool, bool)> = HashMap::new();
        for key in self.tree(Tree::Visited).iter().keys() {
            let key = key.at(&self.path)?;
            let profile = &key[8..];
            let had_one = ones_keys.iter().any(|one| one == profile);
            let had_other = others_keys.iter().any(|other| other == profile);
            if had_one || had_other {
                let both = had.entry(key.subslice(0, 8)).or_default();
                both.0 |= had_one;
                both.1 |= had_other;
            }
        }
        let mut shared = 0;
        for (number, (mut one, mut other)) in had {
            if let Some(packed) = tree::get(self.tree(Tree::Sessions), &number).at(&self.path)?
                && let Some(session) = self.codec.unpack(&packed).and_then(|bytes| entry::decode::<Session>(&bytes))
                && let Some(profile) = &session.profile
            {
                one |= ones.contains(profile);
                other |= others.contains(profile);
            }
            shared += u64::from(one && other);
        }
        Ok(shared)
    }

    /// The numbers of up to `most` events that are due at `now`, those first that are due longest, each with its time.
    pub fn due(&self, now: Time, most: usize) -> Result<Vec<(Time, u64)>, StoreError> {
        let keys = self.tree(Tree::Delayed).range(..delayed_key(now, u64::MAX)).keys();
        let due = keys.map(|key| Ok(parse_delayed_key(&key.at(&self.path)?)));
        let mut due = due.take(most).collect::<Result<Vec<_>, StoreError>>()?;
        due.dedup(); // one may have several parts
        Ok(due)
    }

    /// Up to `most` profiles behind the id `after`, in the order of the keys.
    pub fn profiles(&self, after: Option<&Id>, most: usize) -> Result<Vec<Arc<Profile>>, StoreError> {
        self.behind(self.tree(Tree::Profiles), after.map(Id::key).as_deref(), "profile").take(most).collect()
    }

    pub fn sources(&self) -> Result<Vec<Arc<Source>>, StoreError> {
        self.all_in(self.tree(Tree::Sources), "source")
    }

    /// Of the sources that have some.
    pub fn source_secrets(&self) -> Result<Vec<Arc<SourceSecrets>>, StoreError> {
        self.all_in(self.tree(Tree::SourceSecrets), "secrets of source")
    }

    pub fn definitions(&self) -> Result<Vec<Arc<Definition>>, StoreError> {
        self.all_in(self.tree(Tree::Definitions), "definition")
    }

    /// The records of a tree whose records come in parts.
    fn all_in<T: for<'a> Deserialize<'a>>(&self, tree: &sled::Tree, what: &str) -> Result<Vec<T>, StoreError> {
        self.behind(tree, None, what).collect()
    }

    /// The records of a tree whose records come in parts, from behind `after` on.
    fn behind<'a, T: for<'b> Deserialize<'b>>(
        &'a self,
        tree: &'a sled::Tree,
        after: Option<&[u8]>,
        what: &'a str,
    ) -> impl Iterator<Item = Result<T, StoreError>> + 'a {
        tree::values(tree, after).map(move |found| {
            let (key, value) = found.at(&self.path)?;
            entry::decode(&value).ok_or_else(|| self.unreadable(what, &String::from_utf8_lossy(&key)))
        })
    }

    fn decoded<'a, T: Deserialize<'a>>(
        &self,
        bytes: Option<&'a [u8]>,
        what: &str,
        id: &str,
    ) -> Result<Option<T>, StoreError> {
        bytes.map(|bytes| entry::decode(bytes).ok_or_else(|| self.unreadable(what, id))).transpose()
    }

    fn unreadable(&self, what: &str, id: &str) -> StoreError {
        StoreError::damaged(&self.path, format!("the {what} {id} cannot be read"), REBUILD)
    }
}

/// The id first, so that all sources that used it stand together.
fn event_key(id: &Id, source: Option<&Id>) -> Vec<u8> {
    [id.key(), source.map(Id::key).unwrap_or_default()].concat()
}

fn definition_key(kind: DefinitionKind, id: &Id) -> Vec<u8> {
    [&[kind as u8][..], &id.key()].concat()
}

/// Ordered by time; nothing is due before 1970.
fn delayed_key(due: Time, number: u64) -> Vec<u8> {
    [due.micros().max(0).to_be_bytes(), number.to_be_bytes()].concat()
}

fn parse_delayed_key(key: &[u8]) -> (Time, u64) {
    let part = |from: usize| key.get(from..from + 8).and_then(|bytes| bytes.try_into().ok()).unwrap_or_default();
    (Time::from_micros(i64::from_be_bytes(part(0))), u64::from_be_bytes(part(8)))
}

fn visited_key(session: u64, profile: &ProfileRef) -> Vec<u8> {
    [&session.to_be_bytes()[..], &profile.since.to_be_bytes(), &profile.id.key()].concat()
}

#[cfg(test)]
mod tests;
