//! Sessions and profiles in the order in which they were made.

use std::{collections::HashSet, ops::Range, sync::Arc};

use super::{
    Tree, Views,
    tables::{parse_place, parse_profile_key, place_key, visit_key},
};
use crate::{
    model::{Json, Place, Profile, ProfileRef, Session},
    store::{
        entry,
        error::{At, StoreError},
    },
};

impl Views {
    /// The sessions whose places are within `range`, in order.
    pub fn sessions(&self, range: Range<Place>) -> impl DoubleEndedIterator<Item = Result<Session, StoreError>> + '_ {
        let [start, end] = [range.start, range.end].map(|place| place_key(place).to_vec());
        self.range(Tree::SessionsBegun, start, Some(end)).filter_map(|key| {
            let found = key.and_then(|(key, _)| {
                let place = parse_place(&key).ok_or_else(|| self.unreadable(Tree::SessionsBegun, &key))?;
                self.session_numbered(place.offset)
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

    /// The places within `range` of sessions that are visits of the profile, in order.
    pub fn visits_of(
        &self,
        profile: &ProfileRef,
        range: Range<Place>,
    ) -> impl DoubleEndedIterator<Item = Result<Place, StoreError>> + '_ {
        let [start, end] = [range.start, range.end].map(|place| visit_key(profile, place));
        self.range(Tree::SessionsOf, start, Some(end)).map(|key| {
            let (key, _) = key?;
            parse_place(&key).ok_or_else(|| self.unreadable(Tree::SessionsOf, &key))
        })
    }

    /// The profiles that were made at offsets within `range`, in order; several may have been made at one offset.
    pub fn profiles_made(
        &self,
        range: Range<u64>,
    ) -> impl DoubleEndedIterator<Item = Result<ProfileRef, StoreError>> + '_ {
        let [start, end] = [range.start, range.end].map(|offset| offset.to_be_bytes().to_vec());
        self.range(Tree::ProfilesMade, start, Some(end)).map(|key| {
            let (key, _) = key?;
            parse_profile_key(&key).ok_or_else(|| self.unreadable(Tree::ProfilesMade, &key))
        })
    }

    /// Of the session or profile that was made at the offset `made`, if it was imported: the parts that are shown as they
    /// came.
    pub fn imported(&self, made: u64) -> Result<Option<Json>, StoreError> {
        let key = made.to_be_bytes();
        let shown = self.value(Tree::Imported, &key)?;
        shown.map(|shown| entry::decode(&shown).ok_or_else(|| self.unreadable(Tree::Imported, &key))).transpose()
    }

    /// The offsets at which the sessions and profiles were made that were imported.
    pub fn imported_at(&self) -> Result<HashSet<u64>, StoreError> {
        let made = |key: &[u8]| key.first_chunk().map(|made| u64::from_be_bytes(*made));
        let keys = self.tree(Tree::Imported).iter().keys().map(|key| {
            let key = key.at(&self.path)?;
            made(&key).ok_or_else(|| self.unreadable(Tree::Imported, &key))
        });
        keys.collect()
    }

    /// The profile, unless it is another one's by now, or deleted.
    pub fn profile(&self, profile: &ProfileRef) -> Result<Option<Arc<Profile>>, StoreError> {
        let key = profile.id.key();
        let Some(found) = self.value(Tree::Profiles, &key)? else { return Ok(None) };
        let found: Profile = entry::decode(&found).ok_or_else(|| self.unreadable(Tree::Profiles, &key))?;
        Ok((found.since == profile.since).then(|| Arc::new(found)))
    }

    /// Whether the profile is there and not another one's by now; nothing more is read of it.
    pub fn has_profile(&self, profile: &ProfileRef) -> Result<bool, StoreError> {
        // A profile's record begins with what it is called.
        let record = self.value(Tree::Profiles, &profile.id.key())?;
        Ok(record.as_deref().and_then(entry::decode::<ProfileRef>).as_ref() == Some(profile))
    }
}
