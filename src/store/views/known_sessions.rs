//! Which session ids the views cannot have: most visits are new ones, and nobody has to look into the views for them.
//!
//! It is made of what the views hold, and is kept in a file beside them only while they are closed.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use parking_lot::RwLock;

use super::Progress;
use crate::{
    model::Id,
    store::{
        entry,
        error::{At, StoreError},
        files::durable,
        index::{Filter, fingerprint},
    },
};

/// The number is that of its form: where an id's bits stand, and what is in the file.
const NAME: &str = "known_sessions.1";
/// So many sessions take 4 MiB, of which an empty store touches nothing. At twice as many, one new visit in seven is
/// looked for in vain, and at ten times nearly all are.
const SESSIONS: usize = 3_300_000;

/// So few are looked through when the views are opened, in a tenth of a second: a filter that comes from a file takes all
/// of its room, however few it holds.
const FEW_SESSIONS: u64 = 50_000;

/// A filter over the ids of all sessions in the views, and of some that were in them.
pub struct KnownSessions(RwLock<Filter>);

impl KnownSessions {
    /// Takes the file that [`KnownSessions::save`] left of views that were closed with this progress, or sees each of
    /// the `ids`. There is no file any more when it returns, so that none is taken for views that were written since.
    pub fn open(
        views: &Path,
        progress: &Progress,
        ids: impl Iterator<Item = Result<Id, StoreError>>,
    ) -> Result<Self, StoreError> {
        let path = path(views);
        let saved = match fs::read(&path) {
            Ok(saved) => {
                fs::remove_file(&path).at(&path)?;
                entry::decode::<(Progress, Filter)>(&saved)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error).at(&path),
        };
        if let Some((_, filter)) = saved.filter(|(of, _)| of == progress) {
            return Ok(Self(RwLock::new(filter)));
        }
        let mut filter = Filter::for_keys(SESSIONS);
        for id in ids {
            filter.insert(fingerprint(&id?));
        }
        Ok(Self(RwLock::new(filter)))
    }

    pub fn insert(&self, id: &Id) {
        self.0.write().insert(fingerprint(id));
    }

    pub fn may_hold(&self, id: &Id) -> bool {
        self.0.read().may_hold(fingerprint(id))
    }

    /// Keeps it beside views that are closed with this progress, unless they have few sessions.
    pub fn save(self, views: &Path, progress: &Progress) -> Result<(), StoreError> {
        let filter = self.0.into_inner();
        if filter.keys() < FEW_SESSIONS {
            return Ok(());
        }
        durable::write_durably(&path(views), &entry::encode(&(progress, filter)))
    }
}

fn path(views: &Path) -> PathBuf {
    views.join(NAME)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: usize = 60_000;

    fn ids(count: usize) -> impl Iterator<Item = Result<Id, StoreError>> {
        (0..count).map(|number| Ok(Id::required(&format!("session-{number}")).unwrap()))
    }

    /// Whether it holds the first `count` of them, and hardly any other one.
    fn holds(sessions: &KnownSessions, count: usize) -> bool {
        let known = |ids: &mut dyn Iterator<Item = _>| ids.filter(|id: &Id| sessions.may_hold(id)).count();
        let mut all = ids(2 * MANY).map(Result::unwrap);
        known(&mut all.by_ref().take(count)) == count && known(&mut all) < MANY / 100
    }

    #[test]
    fn what_was_saved_is_taken_once_and_only_for_the_views_that_it_was_saved_with() {
        let folder = tempfile::tempdir().unwrap();
        let (path, closed) = (folder.path(), Progress { to: 7, ..Progress::default() });
        let open = |progress: &Progress, count| KnownSessions::open(path, progress, ids(count)).unwrap();
        let sessions = open(&closed, MANY);
        assert!(holds(&sessions, MANY));
        sessions.insert(&ids(MANY + 1).last().unwrap().unwrap());
        sessions.save(path, &closed).unwrap();
        assert!(holds(&open(&closed, 0), MANY + 1), "nothing is looked through");
        assert!(holds(&open(&closed, 30), 30), "it is there no more");
        open(&closed, MANY).save(path, &closed).unwrap();
        let written_since = Progress { to: 8, ..closed };
        assert!(holds(&open(&written_since, 40), 40), "an earlier version wrote sessions and left the file");
        open(&closed, 50).save(path, &closed).unwrap();
        assert!(holds(&open(&closed, 60), 60), "of few there is no file");
    }
}
