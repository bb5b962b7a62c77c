//! The views: the newest state under each key, folded from the log, in one sled database.
//!
//! They hold nothing that the log does not hold, and note how much of it they have: what is lost or doubtful is folded
//! again. Each batch first notes where it leads to, then writes its records, so that after a crash of the process the
//! batch that was under way is written once more and the whole is compared with the count and sum noted.

mod chunks;
mod known_sessions;
mod made;
mod names;
mod session_codec;
mod tables;
mod values;
mod writes;

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use memchr::memmem;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::{
    database::{self, Handle},
    entry::{self, EventPlace, Fold, Key, State},
    error::{At, StoreError},
    files::{checksums, durable},
};
use crate::model::{
    Aside, Definition, DelayedEvent, Erasure, Id, Profile, ProfileRef, Session, Source, SourceSecrets, Time,
};
use chunks::Chunks;
use known_sessions::KnownSessions;
pub use names::NamesWalk;
use session_codec::SessionCodec;
use tables::{Form, TABLES, Tree};
use values::behind;

const CACHE_BYTES: u64 = 16 * 1024 * 1024;
/// What to do about views that cannot be read.
pub(super) const REBUILD: &str = "make them again with `tracardi rebuild`";

/// A delayed event that is due, and whom it names.
pub struct DueEvent {
    pub due: Time,
    pub number: u64,
    pub profile: Option<ProfileRef>,
    pub session: Option<Id>,
}

pub struct Views {
    path: PathBuf,
    db: Handle<sled::Db>,
    trees: Vec<Handle<sled::Tree>>,
    progress: Mutex<Progress>,
    codec: SessionCodec,
    known_sessions: KnownSessions,
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

const PROGRESS_KEY: &[u8] = b"progress";
/// What the progress begins with: the form of the views. The fourth had a record for each session and each profile.
const FORM: [u8; 2] = [0xff, 5];

impl Views {
    /// Opens the views in the folder `path`, making empty ones if there are none.
    ///
    /// # Errors
    /// [`StoreError::OtherViews`]: another version made them. They are damaged, or cannot be read now.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let db = database::open(path, CACHE_BYTES, REBUILD)?;
        let progress = match db.get(PROGRESS_KEY).at(path)? {
            Some(stored) => {
                let other = || StoreError::OtherViews { path: path.display().to_string() };
                let bytes = stored.strip_prefix(&FORM[..]).ok_or_else(other)?;
                let unreadable = || StoreError::damaged(path, "how far the views are cannot be read", REBUILD);
                entry::decode(bytes).ok_or_else(unreadable)?
            }
            None => Progress::default(),
        };
        let trees =
            TABLES.iter().map(|table| database::open_tree(path, &db, table.name)).collect::<Result<Vec<_>, _>>()?;
        let numbers = Chunks::new(Tree::SessionNumbers, &trees[Tree::SessionNumbers as usize], path);
        let session_ids = numbers.pairs(Vec::new(), None).map(|pair| {
            let key = pair?.key;
            Id::from_key(&key).ok_or_else(|| unreadable(path, Tree::SessionNumbers, &key))
        });
        let known_sessions = KnownSessions::open(path, &progress, session_ids)?;
        let (path, progress) = (path.to_owned(), Mutex::new(progress));
        Ok(Self { path, db, trees, progress, codec: SessionCodec::new(), known_sessions })
    }

    fn put_progress(&self, progress: &Progress) -> Result<(), StoreError> {
        let bytes = [&FORM[..], &entry::encode(progress)].concat();
        self.db.insert(PROGRESS_KEY, bytes).map(|_| ()).at(&self.path)
    }

    fn tree(&self, tree: Tree) -> &sled::Tree {
        &self.trees[tree as usize]
    }

    pub fn progress(&self) -> Progress {
        *self.progress.lock()
    }

    /// How many records there are. Waits for a batch that is being written.
    pub fn records(&self) -> u64 {
        self.progress.lock().records
    }

    /// Writes what the entries before offset `to` lead to; the views have everything before them.
    pub fn apply(&self, to: u64, fold: &Fold) -> Result<(), StoreError> {
        let writes = self.writes(&fold.states)?;
        let mut progress = self.progress.lock();
        let mut next = Progress { from: progress.to, to, latest: progress.latest.max(fold.latest), ..*progress };
        next.count(&writes);
        self.put_progress(&next)?;
        self.write(writes)?;
        *progress = next;
        Ok(())
    }

    /// Writes the batch that was under way when the last process ended once more: the entries from the progress' `from`
    /// to its `to`.
    pub fn apply_again(&self, fold: &Fold) -> Result<(), StoreError> {
        let writes = self.writes(&fold.states)?;
        self.write(writes)
    }

    /// Whether the records are those that the progress speaks of; reads all of them. `each` hears of every record.
    pub fn verify(&self, mut each: impl FnMut()) -> Result<bool, StoreError> {
        let (mut records, mut sum) = (0_u64, 0_u64);
        for table in &TABLES {
            let tree = table.tree;
            let mut count = |key: &[u8], value: &[u8]| {
                records += 1;
                sum = sum.wrapping_add(writes::checksum(tree, key, value));
                each();
            };
            if table.form == Form::Chunks {
                self.chunks(tree)
                    .pairs(Vec::new(), None)
                    .try_for_each(|pair| pair.map(|pair| count(&pair.key, pair.stored.bytes())))?;
            } else {
                self.tree(tree)
                    .iter()
                    .try_for_each(|record| record.map(|(key, value)| count(&key, &value)))
                    .at(&self.path)?;
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
        self.put_progress(&progress)?;
        let Self { path, db, trees, known_sessions, .. } = self;
        drop(trees);
        database::close(&path, REBUILD, db)?;
        known_sessions.save(&path, &progress)?;
        durable::sync_tree(&path)?;
        checksums::note(&path)
    }

    /// Closes them and takes them from the disk: others say what they said.
    pub fn discard(self) -> Result<(), StoreError> {
        let Self { path, db, trees, .. } = self;
        drop(trees);
        database::close(&path, REBUILD, db)?;
        durable::remove_tree(&path)?;
        path.parent().map_or(Ok(()), durable::sync_dir)
    }

    /// Whether there may be a state under `key` in the views; told from memory, and `true` unless it is known otherwise.
    pub fn may_have(&self, key: &Key) -> bool {
        if let Key::Session(id) = key { self.known_sessions.may_hold(id) } else { true }
    }

    /// The newest state under `key` that the views have, for whoever knows that it is not on its way here.
    pub fn state(&self, key: &Key) -> Result<Option<State>, StoreError> {
        self.state_by(key, Self::get)
    }

    /// The newest state under `key` that the views have, also while a batch is written.
    pub fn settled(&self, key: &Key) -> Result<Option<State>, StoreError> {
        self.state_by(key, Self::value)
    }

    fn state_by(
        &self,
        key: &Key,
        value: impl Fn(&Self, Tree, &[u8]) -> Result<Option<Vec<u8>>, StoreError>,
    ) -> Result<Option<State>, StoreError> {
        let (tree, key) = tables::place(key);
        let Some(bytes) = value(self, tree, &key)? else { return Ok(None) };
        if tree == Tree::SessionNumbers {
            let packed = value(self, Tree::Sessions, &bytes)?;
            let session = packed.map(|packed| self.unpacked(&bytes, &packed)).transpose()?;
            return Ok(session.map(|session| State::Session(Arc::new(session))));
        }
        (tree.table().decode)(&bytes).map(Some).ok_or_else(|| self.unreadable(tree, &key))
    }

    fn unpacked(&self, number: &[u8], packed: &[u8]) -> Result<Session, StoreError> {
        self.session_of(packed).ok_or_else(|| self.unreadable(Tree::Sessions, number))
    }

    /// Where each source's event with the client's id `id` stands.
    pub fn event_ids(&self, id: &Id) -> Result<Vec<EventPlace>, StoreError> {
        let (tree, prefix) = (tables::event_tree(id), tables::event_key(id, None));
        self.under(tree, &prefix)
            .map(|record| {
                let (key, value) = record?;
                entry::decode(&value).ok_or_else(|| self.unreadable(tree, &key))
            })
            .collect()
    }

    /// Up to `most` events that are due at `now`, those first that are due longest.
    pub fn due(&self, now: Time, most: usize) -> Result<Vec<DueEvent>, StoreError> {
        let events = self.delayed_events().take_while(|found| !matches!(found, Ok(((due, _), _)) if *due > now));
        let due = events.take(most).map(|found| {
            let ((due, number), event) = found?;
            Ok(DueEvent { due, number, profile: event.profile.clone(), session: event.session.clone() })
        });
        due.collect()
    }

    /// Up to `most` profiles behind the id `after`, in the order of the keys.
    pub fn profiles(&self, after: Option<&Id>, most: usize) -> Result<Vec<Arc<Profile>>, StoreError> {
        let profiles = self.range(Tree::Profiles, behind(after), None).take(most).map(|record| {
            let (key, record) = record?;
            entry::decode(&record).ok_or_else(|| self.unreadable(Tree::Profiles, &key))
        });
        profiles.collect()
    }

    /// Of up to `most` profiles behind the id `after`, in the order of the keys, those whose record holds `text`, and the
    /// id of the last that was looked at; `None`: there are no more.
    pub fn profiles_holding(
        &self,
        text: &str,
        after: Option<&Id>,
        most: usize,
    ) -> Result<(Vec<Arc<Profile>>, Option<Id>), StoreError> {
        let (text, mut found) = (memmem::Finder::new(text), Vec::new());
        let (mut looked_at, mut last) = (0, None);
        for record in self.range(Tree::Profiles, behind(after), None).take(most) {
            let (key, record) = record?;
            looked_at += 1;
            if text.find(&record).is_some() {
                found.push(entry::decode(&record).ok_or_else(|| self.unreadable(Tree::Profiles, &key))?);
            }
            last = Some(key);
        }
        let last = last.filter(|_| looked_at == most);
        let last = last.map(|key| Id::from_key(&key).ok_or_else(|| self.unreadable(Tree::Profiles, &key)));
        Ok((found, last.transpose()?))
    }

    /// The offsets of deleted events within `range`, in order.
    pub fn deleted_events(&self, range: Range<u64>) -> Result<Vec<u64>, StoreError> {
        let keys = self.tree(Tree::DeletedEvents).range(range.start.to_be_bytes()..range.end.to_be_bytes()).keys();
        let offsets = keys.map(|key| {
            let key = key.at(&self.path)?;
            let offset = key.as_ref().try_into().map(u64::from_be_bytes);
            offset.map_err(|_| self.unreadable(Tree::DeletedEvents, &key))
        });
        offsets.collect()
    }

    pub fn sources(&self) -> Result<Vec<Arc<Source>>, StoreError> {
        self.all(Tree::Sources).collect()
    }

    /// Of the sources that have some.
    pub fn source_secrets(&self) -> Result<Vec<Arc<SourceSecrets>>, StoreError> {
        self.all(Tree::SourceSecrets).collect()
    }

    pub fn definitions(&self) -> Result<Vec<Arc<Definition>>, StoreError> {
        self.all(Tree::Definitions).collect()
    }

    /// All that there ever were.
    pub fn erasures(&self) -> impl Iterator<Item = Result<Arc<Erasure>, StoreError>> + '_ {
        self.all(Tree::Erasures)
    }

    /// Whether some id was ever erased.
    pub fn has_erased_ids(&self) -> bool {
        !self.tree(Tree::ErasedIds).is_empty()
    }

    /// The delayed events that did not happen yet, in the order in which they are due, each with its time and number.
    pub fn delayed_events(&self) -> impl Iterator<Item = Result<((Time, u64), Arc<DelayedEvent>), StoreError>> + '_ {
        self.values(Tree::Delayed).map(|value| {
            let (key, value) = value?;
            let event = entry::decode(&value).ok_or_else(|| self.unreadable(Tree::Delayed, &key))?;
            Ok((tables::parse_delayed_key(&key), event))
        })
    }

    /// Up to `most` items that are set aside for a destination, from offset `from` on, and how each fared.
    pub fn asides(&self, destination: &Id, from: u64, most: usize) -> Result<Vec<(u64, Aside)>, StoreError> {
        let range = tables::aside_key(destination, from)..=tables::aside_key(destination, u64::MAX);
        let records = self.tree(Tree::Asides).range(range).take(most).map(|record| {
            let (key, value) = record.at(&self.path)?;
            let item = key.last_chunk().map(|item| u64::from_be_bytes(*item));
            item.zip(entry::decode(&value)).ok_or_else(|| self.unreadable(Tree::Asides, &key))
        });
        records.collect()
    }

    fn unreadable(&self, tree: Tree, key: &[u8]) -> StoreError {
        unreadable(&self.path, tree, key)
    }
}

fn unreadable(path: &Path, tree: Tree, key: &[u8]) -> StoreError {
    let (name, key) = (tree.table().name, key.escape_ascii());
    StoreError::damaged(path, format!("in {name}, what stands under {key} cannot be read"), REBUILD)
}

#[cfg(test)]
mod tests;
