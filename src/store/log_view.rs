//! What queries read: the log by its indexes and its events, and what the views know of them.

use std::{collections::HashSet, ops::Range, sync::Arc};

use super::{
    concealed::Concealed,
    engine::Engine,
    entry::{Key, State},
    error::StoreError,
    index::{SegmentIndex, SegmentSpan},
    log::{EventBlock, FoundEvent},
    read_view::{Led, States, owner},
};
use crate::model::{DelayedEvent, Id, Json, MergeKey, Named, Place, Profile, ProfileRef, Session, ShownEvent, Time};

/// The log and the views while a part of a query is read. Held for that part only, so that they can be made again when
/// one of them fails.
pub struct LogView<'a> {
    engine: &'a Engine,
    concealed: &'a Concealed,
    /// Much is collected, so that it reads on one core.
    is_throttled: bool,
}

impl<'a> LogView<'a> {
    pub(super) fn new(engine: &'a Engine, concealed: &'a Concealed, is_throttled: bool) -> Self {
        Self { engine, concealed, is_throttled }
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
                    let inserted = (time, Time::from_micros(i64::MAX));
                    spans.push(SegmentSpan { range, inserted, imported: false, pages: 0 });
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

    /// Makes something of each block that holds some of `offsets`, which ascend, and of the places of those that it holds,
    /// on two cores where others do not need them, and hands it to `each`, one after the other. A block may come twice, with
    /// other places; as [`LogView::event_block`].
    ///
    /// # Errors
    /// The segment is damaged, or what `make` says.
    pub fn each_block<T>(
        &self,
        offsets: &[u64],
        make: impl Fn(&EventBlock, Range<usize>) -> Result<T, StoreError> + Sync,
        each: impl FnMut(T) + Send,
    ) -> Result<(), StoreError> {
        self.engine.log.each_event_block(offsets, !self.is_throttled, make, each)
    }

    /// The events of the block at the offsets `wanted`, which ascend, as they may be shown, perhaps without those that
    /// `may_be_meant` refuses by offset and properties.
    ///
    /// # Errors
    /// An entry is damaged.
    pub fn events_at(
        &self,
        block: &EventBlock,
        wanted: &[u64],
        mut may_be_meant: impl FnMut(u64, &str) -> bool,
    ) -> Result<Vec<FoundEvent>, StoreError> {
        // What stands there of somebody who was forgotten is not what is shown.
        let is_shown = !self.concealed.is_any();
        let may_be_meant = |offset, properties: &str| !is_shown || may_be_meant(offset, properties);
        let found = block.events_at(wanted, may_be_meant)?.into_iter();
        Ok(found.map(|event| self.concealed.shown(event)).collect())
    }

    /// Hands what [`LogView::events_at`] finds to `each` by offset and properties, in any order; little more is read.
    pub fn properties_at(
        &self,
        block: &EventBlock,
        wanted: &[u64],
        mut each: impl FnMut(u64, &str),
    ) -> Result<(), StoreError> {
        let refuse = |offset, properties: &str| {
            each(offset, properties);
            false
        };
        let others = self.events_at(block, wanted, refuse)?; // those that it was not asked about
        others.iter().for_each(|found| each(found.offset, found.event.properties.as_str()));
        Ok(())
    }

    /// Whether the event at `offset` is not to be shown any more as it was read before.
    pub fn conceals(&self, event: &ShownEvent, offset: u64) -> bool {
        let ShownEvent { request, event } = event;
        let tells = |named: Arc<Named>| **request != named.strip(request) || **event != event.stripped();
        self.concealed.forgotten(request, offset).is_some_and(tells)
    }

    /// The numbers of the sessions that the profile and somebody else had, in order.
    pub fn shared_by(&self, profile: &ProfileRef) -> impl Iterator<Item = Result<u64, StoreError>> + '_ {
        self.engine.views.shared_by(profile)
    }

    /// The profiles that the session of this number had before the one that it has now.
    pub fn earlier_profiles(&self, session: u64) -> Result<Vec<ProfileRef>, StoreError> {
        self.engine.views.earlier_profiles(session)
    }

    /// The delayed events that did not happen yet, each with its time and number.
    pub fn delayed_events(&self) -> impl Iterator<Item = Result<((Time, u64), Arc<DelayedEvent>), StoreError>> + '_ {
        self.engine.views.delayed_events()
    }

    /// The keys that lead to a profile itself.
    pub fn keys_of(&self, profile: &ProfileRef) -> Result<Vec<MergeKey>, StoreError> {
        self.engine.views.keys_of(profile)
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

    /// The offsets at which the sessions and profiles were made that were imported.
    pub fn imported_at(&self) -> Result<HashSet<u64>, StoreError> {
        self.engine.views.imported_at()
    }

    /// The profile, unless it is part of another one by now, or deleted.
    pub fn profile(&self, profile: &ProfileRef) -> Result<Option<Arc<Profile>>, StoreError> {
        self.engine.views.profile(profile)
    }

    /// The profile that `profile` is part of by now, perhaps itself; `None`: it is deleted.
    fn owner(&self, profile: &ProfileRef) -> Result<Option<Arc<Profile>>, StoreError> {
        let kept = self.concealed.kept(profile);
        let profile = kept.as_ref().unwrap_or(profile);
        match owner(&mut Applied(self.engine), profile)? {
            Led::ToProfile(found) => Ok(Some(found)),
            Led::Nowhere | Led::TooFar => Ok(None),
        }
    }

    /// What the profile is called that `profile` is part of by now; `None`: it is deleted.
    pub fn owner_called(&self, profile: &ProfileRef) -> Result<Option<ProfileRef>, StoreError> {
        if self.concealed.kept(profile).is_none() && self.engine.views.has_profile(profile)? {
            return Ok(Some(profile.clone())); // as most are
        }
        Ok(self.owner(profile)?.map(|owner| owner.reference()))
    }

    /// What the profile is called that took `profile` in, or whoever it is part of by now; `None`: nobody did, or they are
    /// deleted.
    pub fn merged_into(&self, profile: &ProfileRef) -> Result<Option<ProfileRef>, StoreError> {
        if self.concealed.kept(profile).is_none() && !self.engine.views.is_name(profile)? {
            return Ok(None); // as of most
        }
        let owner = self.owner(profile)?.map(|owner| owner.reference());
        Ok(owner.filter(|owner| owner != profile))
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
