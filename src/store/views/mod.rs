//! The views: the newest state under each key, folded from the log, in one sled database.
//!
//! They hold nothing that the log does not hold, and note how much of it they have: what is lost or doubtful is folded
//! again. Each batch first notes where it leads to, then writes its records, so that after a crash of the process the
//! batch that was under way is written once more and the whole is compared with the count and sum noted.

mod known_sessions;
mod made;
mod names;
mod session_codec;
mod sets;
mod tables;
mod writes;

use std::{
    ops::{Bound, Range},
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
use known_sessions::KnownSessions;
pub use names::NamesWalk;
use session_codec::SessionCodec;
use tables::{Form, TABLES, Tree};

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
/// What the progress begins with: the fourth form of the views, whose sets have many keys in a record. The third had a
/// record for each key; the second no `sessions_begun`, and in `sessions_of` the numbers of sessions. The first began with
/// a number and had no sets. An earlier version cannot read the progress of a later form and makes the views again.
const FORM: [u8; 2] = [0xff, 4];
const THIRD_FORM: [u8; 2] = [0xff, 3];
const SECOND_FORM: [u8; 2] = [0xff, 2];

impl Views {
    /// Opens the views in the folder `path`, making empty ones if there are none.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let db = database::open(path, CACHE_BYTES, REBUILD)?;
        let trees =
            TABLES.iter().map(|table| database::open_tree(path, &db, table.name)).collect::<Result<Vec<_>, _>>()?;
        let stored = db.get(PROGRESS_KEY).at(path)?;
        let of_form = |form: &[u8]| stored.as_deref().and_then(|bytes| bytes.strip_prefix(form));
        // Of an earlier form: its sets, which are made anew.
        let (earlier, bytes): (Option<&[Tree]>, _) = if let Some(bytes) = of_form(&FORM) {
            (None, Some(bytes))
        } else if let Some(bytes) = of_form(&THIRD_FORM) {
            (Some(&[Tree::SessionsOf, Tree::ProfilesMade, Tree::SessionsBegun]), Some(bytes))
        } else if let Some(bytes) = of_form(&SECOND_FORM) {
            (Some(&[Tree::SessionsOf, Tree::ProfilesMade]), Some(bytes))
        } else {
            (stored.as_ref().map(|_| &[][..]), stored.as_deref())
        };
        let progress = match bytes {
            Some(bytes) => entry::decode(bytes)
                .ok_or_else(|| StoreError::damaged(path, "how far the views are cannot be read", REBUILD))?,
            None => Progress::default(),
        };
        let session_ids = trees[Tree::SessionNumbers as usize].iter().keys().map(|key| {
            let unreadable = || StoreError::damaged(path, "a session's id cannot be read", REBUILD);
            Id::from_key(&key.at(path)?).ok_or_else(unreadable)
        });
        let known_sessions = KnownSessions::open(path, &progress, session_ids)?;
        let (path, progress) = (path.to_owned(), Mutex::new(progress));
        let views = Self { path, db, trees, progress, codec: SessionCodec::new(), known_sessions };
        if let Some(counted) = earlier {
            tracing::info!("what an earlier version's views lack is made");
            views.fill(counted)?;
        }
        Ok(views)
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
            if table.form == Form::Set {
                self.keys(tree, Vec::new(), None).try_for_each(|key| key.map(|key| count(&key, b"")))?;
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
        self.state_by(key, |tree, key| database::get(self.tree(tree), key).at(&self.path))
    }

    /// The newest state under `key` that the views have, also while a batch is written.
    pub fn settled(&self, key: &Key) -> Result<Option<State>, StoreError> {
        self.state_by(key, |tree, key| self.value(tree, key))
    }

    fn state_by(
        &self,
        key: &Key,
        parts: impl Fn(Tree, &[u8]) -> Result<Option<Vec<u8>>, StoreError>,
    ) -> Result<Option<State>, StoreError> {
        if let Key::Session(id) = key {
            let Some(number) = self.tree(Tree::SessionNumbers).get(id.key()).at(&self.path)? else { return Ok(None) };
            let packed = parts(Tree::Sessions, &number)?;
            let session = packed.map(|packed| self.unpacked(&number, &packed)).transpose()?;
            return Ok(session.map(|session| State::Session(Arc::new(session))));
        }
        let (tree, key) = tables::place(key);
        let table = tree.table();
        let bytes = match table.form {
            Form::Set => None, // no key of a state leads to one
            Form::Whole => self.tree(tree).get(&key).at(&self.path)?.map(|bytes| bytes.to_vec()),
            Form::Parts => parts(tree, &key)?,
        };
        bytes.map(|bytes| (table.decode)(&bytes).ok_or_else(|| self.unreadable(tree, &key))).transpose()
    }

    fn unpacked(&self, number: &[u8], packed: &[u8]) -> Result<Session, StoreError> {
        self.session_of(packed).ok_or_else(|| self.unreadable(Tree::Sessions, number))
    }

    /// Where each source's event with the client's id `id` stands.
    pub fn event_ids(&self, id: &Id) -> Result<Vec<EventPlace>, StoreError> {
        let mut places = Vec::new();
        for record in self.tree(Tree::EventIds).scan_prefix(tables::event_key(id, None)) {
            let (key, value) = record.at(&self.path)?;
            places.push(entry::decode(&value).ok_or_else(|| self.unreadable(Tree::EventIds, &key))?);
        }
        Ok(places)
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
        self.behind(Tree::Profiles, after.map(Id::key).as_deref()).take(most).collect()
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
        for value in self.values_behind(Tree::Profiles, after.map(Id::key).as_deref()).take(most) {
            let (key, value) = value?;
            looked_at += 1;
            if text.find(&value).is_some() {
                found.push(entry::decode(&value).ok_or_else(|| self.unreadable(Tree::Profiles, &key))?);
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
        self.behind(Tree::Sources, None).collect()
    }

    /// Of the sources that have some.
    pub fn source_secrets(&self) -> Result<Vec<Arc<SourceSecrets>>, StoreError> {
        self.behind(Tree::SourceSecrets, None).collect()
    }

    pub fn definitions(&self) -> Result<Vec<Arc<Definition>>, StoreError> {
        self.behind(Tree::Definitions, None).collect()
    }

    /// All that there ever were.
    pub fn erasures(&self) -> impl Iterator<Item = Result<Arc<Erasure>, StoreError>> + '_ {
        self.behind(Tree::Erasures, None)
    }

    /// Whether some id was ever erased.
    pub fn has_erased_ids(&self) -> bool {
        !self.tree(Tree::ErasedIds).is_empty()
    }

    /// The delayed events that did not happen yet, in the order in which they are due, each with its time and number.
    pub fn delayed_events(&self) -> impl Iterator<Item = Result<((Time, u64), Arc<DelayedEvent>), StoreError>> + '_ {
        self.values_behind(Tree::Delayed, None).map(|value| {
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

    /// The records of a tree whose records come in parts, from behind `after` on.
    fn behind<'a, T: for<'b> Deserialize<'b>>(
        &'a self,
        tree: Tree,
        after: Option<&[u8]>,
    ) -> impl Iterator<Item = Result<T, StoreError>> + 'a {
        self.values_behind(tree, after).map(move |value| {
            let (key, value) = value?;
            entry::decode(&value).ok_or_else(|| self.unreadable(tree, &key))
        })
    }

    /// As [`Views::behind`], the keys and values.
    fn values_behind<'a>(
        &'a self,
        tree: Tree,
        after: Option<&[u8]>,
    ) -> impl Iterator<Item = Result<(Vec<u8>, Vec<u8>), StoreError>> + use<'a> {
        let from = after.map_or(Bound::Unbounded, database::behind);
        database::values(self.tree(tree), from).filter_map(move |value| {
            let found = value.at(&self.path).and_then(|(key, whole)| {
                let value = if whole.is_some() { whole } else { self.value(tree, &key)? };
                Ok(value.map(|value| (key, value)))
            });
            found.transpose()
        })
    }

    /// The value of a record that comes in parts, for whoever does not look first whether it is on its way here.
    fn value(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match database::first_part(self.tree(tree), key).at(&self.path)? {
            Some((_, false)) => {
                // Several parts are whole only while no batch is written.
                let _no_batch = self.progress.lock();
                database::get(self.tree(tree), key).at(&self.path)
            }
            whole => Ok(whole.map(|(value, _)| value)),
        }
    }

    fn unreadable(&self, tree: Tree, key: &[u8]) -> StoreError {
        let key = key.escape_ascii();
        StoreError::damaged(
            &self.path,
            format!("in {}, what stands under {key} cannot be read", tree.table().name),
            REBUILD,
        )
    }
}

#[cfg(test)]
mod tests;
