//! What queries read: the log by its indexes and its events, and what the views know of them.

use std::{ops::Range, sync::Arc};

use super::{
    engine::Engine,
    entry::{Key, State},
    error::StoreError,
    index::SegmentIndex,
    log::BlockEvents,
    read_view::{Led, States, owner},
};
use crate::model::{Id, MergeKey, Profile, ProfileRef, Session};

/// The log and the views while a part of a query is read. Held for that part only, so that they can be made again when
/// one of them fails.
pub struct LogView<'a> {
    engine: &'a Engine,
}

impl<'a> LogView<'a> {
    pub(super) fn new(engine: &'a Engine) -> Self {
        Self { engine }
    }

    /// The offsets of each segment, in order; the live one is the last.
    pub fn segments(&self) -> Vec<Range<u64>> {
        self.engine.log.segments()
    }

    /// The index of the segment whose first entry stands at offset `first`; `None` if there is no such segment. That of
    /// an older store is made when it is asked for.
    ///
    /// # Errors
    /// The segment is damaged.
    pub fn index(&self, first: u64) -> Result<Option<SegmentIndex>, StoreError> {
        self.engine.log.index(first)
    }

    /// The events of the block of the log that holds `offset`; `None` behind the end. A block holds some hundred kilobytes,
    /// or what was written at once: so little is read at a time.
    ///
    /// # Errors
    /// The segment is damaged.
    pub fn events_around(&self, offset: u64) -> Result<Option<BlockEvents>, StoreError> {
        self.engine.log.events_around(offset)
    }

    /// The offsets of deleted events within `range`, ascending.
    pub fn deleted_events(&self, range: Range<u64>) -> Result<Vec<u64>, StoreError> {
        self.engine.views.deleted_events(range)
    }

    /// Up to `most` other ids of people, those behind the id `after`, each since when it means them and with the profile that
    /// it was given to: that may be part of another one by now.
    pub fn names(&self, after: Option<&Id>, most: usize) -> Result<Vec<(ProfileRef, ProfileRef)>, StoreError> {
        self.engine.views.names(after, most)
    }

    /// The sessions with numbers within `range`, in order. Read one by one, as each is asked for.
    ///
    /// # Errors
    /// The views are damaged; so everywhere below.
    pub fn sessions(&self, range: Range<u64>) -> impl DoubleEndedIterator<Item = Result<Session, StoreError>> + '_ {
        self.engine.views.sessions(range)
    }

    pub fn session_numbered(&self, number: u64) -> Result<Option<Session>, StoreError> {
        self.engine.views.session_numbered(number)
    }

    /// The numbers within `range` of the sessions that have this profile and no other one, in order.
    pub fn visits_of(
        &self,
        profile: &ProfileRef,
        range: Range<u64>,
    ) -> impl DoubleEndedIterator<Item = Result<u64, StoreError>> + '_ {
        self.engine.views.visits_of(profile, range)
    }

    /// The profiles that were made at offsets within `range`, in order. Several may have been made at one offset.
    pub fn profiles_made(
        &self,
        range: Range<u64>,
    ) -> impl DoubleEndedIterator<Item = Result<ProfileRef, StoreError>> + '_ {
        self.engine.views.profiles_made(range)
    }

    /// The profile, unless it is part of another one by now, or deleted.
    pub fn profile(&self, profile: &ProfileRef) -> Result<Option<Arc<Profile>>, StoreError> {
        self.engine.views.profile(profile)
    }

    /// The profile that `profile` is part of by now, perhaps itself; `None`: it is deleted.
    pub fn owner(&self, profile: &ProfileRef) -> Result<Option<Arc<Profile>>, StoreError> {
        match owner(&mut Applied(self.engine), profile)? {
            Led::ToProfile(found) => Ok(Some(found)),
            Led::Nowhere | Led::TooFar => Ok(None),
        }
    }

    /// The profile that is found by `key`.
    pub fn profile_by_key(&self, key: MergeKey) -> Result<Option<Arc<Profile>>, StoreError> {
        match self.engine.views.settled(&Key::MergeKey(key))? {
            Some(State::Leads(profile)) => self.owner(&profile),
            _ => Ok(None),
        }
    }
}

/// The states that the views have.
struct Applied<'a>(&'a Engine);

impl States for Applied<'_> {
    type Error = StoreError;

    fn newest(&mut self, key: &Key) -> Result<Option<State>, StoreError> {
        self.0.views.settled(key)
    }
}
