//! Sessions and profiles in the order in which they were made.

use std::{
    ops::{Bound, Range},
    sync::Arc,
};

use super::{
    Tree, Views,
    tables::{profile_key, visit_key},
    writes,
};
use crate::{
    model::{Profile, ProfileRef, Session},
    store::{
        database, entry,
        error::{At, StoreError},
    },
};

impl Views {
    /// The sessions with numbers within `range`, in order.
    pub fn sessions(&self, range: Range<u64>) -> impl DoubleEndedIterator<Item = Result<Session, StoreError>> + '_ {
        let from = Bound::Included(range.start.to_be_bytes().to_vec());
        let to = Bound::Excluded(range.end.to_be_bytes().to_vec());
        database::keys(self.tree(Tree::Sessions), from, to).filter_map(|number| {
            let found = number.at(&self.path).and_then(|number| {
                let packed = self.value(Tree::Sessions, &number)?;
                packed.map(|packed| self.unpacked(&number, &packed)).transpose()
            });
            found.transpose() // one that went meanwhile is none
        })
    }

    /// The session numbered `number`.
    pub fn session_numbered(&self, number: u64) -> Result<Option<Session>, StoreError> {
        let number = number.to_be_bytes();
        let packed = self.value(Tree::Sessions, &number)?;
        packed.map(|packed| self.unpacked(&number, &packed)).transpose()
    }

    /// The numbers within `range` of sessions that are visits of the profile, in order.
    pub fn visits_of(
        &self,
        profile: &ProfileRef,
        range: Range<u64>,
    ) -> impl DoubleEndedIterator<Item = Result<u64, StoreError>> + '_ {
        let keys = visit_key(profile, range.start)..visit_key(profile, range.end);
        self.tree(Tree::SessionsOf).range(keys).keys().map(|key| {
            let key = key.at(&self.path)?;
            let number = key.last_chunk().copied().map(u64::from_be_bytes);
            number.ok_or_else(|| self.unreadable(Tree::SessionsOf, &key))
        })
    }

    /// The profiles that were made at offsets within `range`, in order; several may have been made at one offset.
    pub fn profiles_made(
        &self,
        range: Range<u64>,
    ) -> impl DoubleEndedIterator<Item = Result<ProfileRef, StoreError>> + '_ {
        let keys = range.start.to_be_bytes()..range.end.to_be_bytes();
        self.tree(Tree::ProfilesMade).range(keys).map(|record| {
            let (key, profile) = record.at(&self.path)?;
            entry::decode(&profile).ok_or_else(|| self.unreadable(Tree::ProfilesMade, &key))
        })
    }

    /// The profile, unless it is another one's by now, or deleted.
    pub fn profile(&self, profile: &ProfileRef) -> Result<Option<Arc<Profile>>, StoreError> {
        let key = profile.id.key();
        let Some(found) = self.value(Tree::Profiles, &key)? else { return Ok(None) };
        let found: Profile = entry::decode(&found).ok_or_else(|| self.unreadable(Tree::Profiles, &key))?;
        Ok((found.since == profile.since).then(|| Arc::new(found)))
    }

    /// Makes the indexes that views of an earlier version lack, from what these have.
    pub(super) fn fill(&self) -> Result<(), StoreError> {
        for tree in [Tree::SessionsOf, Tree::ProfilesMade] {
            self.tree(tree).clear().at(&self.path)?; // what is left of an attempt that did not come to its end
        }
        let mut progress = *self.progress.lock();
        let mut put = |tree, key: Vec<u8>, value: Vec<u8>| {
            progress.add(writes::checksum(tree, &key, &value));
            self.tree(tree).insert(key, value).map(|_| ()).at(&self.path)
        };
        for session in self.sessions(0..u64::MAX) {
            let session = session?;
            if let Some(profile) = &session.profile {
                put(Tree::SessionsOf, visit_key(profile, session.number), Vec::new())?;
            }
        }
        for key in database::keys(self.tree(Tree::Profiles), Bound::Unbounded, Bound::Unbounded) {
            let key = key.at(&self.path)?;
            let begins = database::first_part(self.tree(Tree::Profiles), &key).at(&self.path)?;
            let profile = begins.and_then(|(begins, _)| entry::decode::<ProfileRef>(&begins));
            let profile = profile.ok_or_else(|| self.unreadable(Tree::Profiles, &key))?;
            put(Tree::ProfilesMade, profile_key(&profile), entry::encode(&profile))?;
        }
        self.put_progress(&progress)?;
        *self.progress.lock() = progress;
        Ok(())
    }
}
