//! What queries read: the log by its indexes and its events, and what the views know of them.

use std::{ops::Range, sync::Arc};

use super::{
    engine::Engine,
    entry::{Key, State},
    error::StoreError,
    index::{SegmentIndex, SegmentSpan},
    log::EventBlock,
    read_view::{Led, States, owner},
};
use crate::model::{Id, Json, MergeKey, Place, Profile, ProfileRef, Session, Time};

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

    /// The segments with the times of their events, in the order of the log. One that cannot be read is taken for one whose
    /// times lie between those of the segments around it: who comes to it is told.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub fn spans(&self) -> Result<Vec<SegmentSpan>, StoreError> {
        let log = &self.engine.log;
        let mut spans = Vec::new();
        for range in log.segments() {
            match log.span(&range) {
                Ok(span) => spans.extend(span),
                Err(StoreError::DamagedSegment { .. }) => {
                    let latest = |latest: Time, span: &SegmentSpan| latest.max(span.inserted.1);
                    let time = spans.iter().fold(Time::from_micros(i64::MIN), latest);
                    spans.push(SegmentSpan { range, inserted: (time, Time::from_micros(i64::MAX)), pages: 0 });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(spans)
    }

    /// The index of the segment whose first entry stands at offset `first`; `None` if there is no such segment. That of
    /// an older store is made when it is asked for.
    ///
    /// # Errors
    /// The segment is damaged.
    pub fn index(&self, first: u64) -> Result<Option<SegmentIndex>, StoreError> {
        self.engine.log.index(first)
    }

    /// The block of the log that holds `offset`, unpacked; `None` behind the end. It has some hundred kilobytes, or what was
    /// written at once: so little is read at a time.
    ///
    /// # Errors
    /// The segment is damaged.
    pub fn event_block(&self, offset: u64) -> Result<Option<EventBlock>, StoreError> {
        self.engine.log.event_block(offset)
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

    /// The sessions whose places are within `range`, in order. Read one by one, as each is asked for.
    ///
    /// # Errors
    /// The views are damaged; so everywhere below.
    pub fn sessions(&self, range: Range<Place>) -> impl DoubleEndedIterator<Item = Result<Session, StoreError>> + '_ {
        self.engine.views.sessions(range)
    }

    pub fn session_numbered(&self, number: u64) -> Result<Option<Session>, StoreError> {
        self.engine.views.session_numbered(number)
    }

    /// The places within `range` of the sessions that have this profile and no other one, in order.
    pub fn visits_of(
        &self,
        profile: &ProfileRef,
        range: Range<Place>,
    ) -> impl DoubleEndedIterator<Item = Result<Place, StoreError>> + '_ {
        self.engine.views.visits_of(profile, range)
    }

    /// The profiles that were made at offsets within `range`, in order. Several may have been made at one offset.
    pub fn profiles_made(
        &self,
        range: Range<u64>,
    ) -> impl DoubleEndedIterator<Item = Result<ProfileRef, StoreError>> + '_ {
        self.engine.views.profiles_made(range)
    }

    /// Of the session or profile that was made at the offset `made`, if it was imported: the parts that are shown as they
    /// came.
    pub fn imported(&self, made: u64) -> Result<Option<Json>, StoreError> {
        self.engine.views.imported(made)
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
