//! A batch that is ready to be stored, but for its places in the log.

use std::sync::Arc;

use crate::{
    model::{Alias, Event, EventRequest, Field, Id, Json, KnownKey, MergeKey, Profile, ProfileRef, Session},
    store::{Entry, Moment},
};

/// The offset of what is written by the batch, until it is known.
pub const UNPLACED: u64 = u64::MAX;

/// Whom a record is about.
#[derive(Clone, Debug, PartialEq)]
pub enum Whose {
    Stored(ProfileRef),
    /// The profile at this place of the same batch.
    Made(usize),
    /// A profile of this id that is not there.
    Nobody(Id),
}

impl Whose {
    /// The profile that is meant; `made`: those of the plan. One that is not there is named as of `offset`, which no
    /// profile is made at.
    fn reference(&self, made: &[ProfileRef], offset: u64) -> ProfileRef {
        match self {
            Self::Stored(profile) => profile.clone(),
            Self::Made(place) => made[*place].clone(),
            Self::Nobody(id) => ProfileRef { id: id.clone(), since: offset },
        }
    }
}

#[derive(Default)]
pub struct Ready {
    pub profiles: Vec<ReadyProfile>,
    /// Stored profiles that something was written to.
    pub changed: Vec<Profile>,
    pub sessions: Vec<ReadySession>,
    events: Vec<ReadyEvents>,
}

pub struct ReadyProfile {
    pub profile: Profile,
    /// Its other ids.
    pub names: Vec<Id>,
    pub keys: Vec<MergeKey>,
}

pub struct ReadySession {
    pub session: Session,
    pub whose: Option<Whose>,
    pub shown: Json,
}

/// Events with what they have in common.
pub struct ReadyEvents {
    pub request: EventRequest,
    pub whose: Option<Whose>,
    pub list: Vec<Arc<Event>>,
}

impl Ready {
    pub fn is_empty(&self) -> bool {
        self.profiles.is_empty() && self.changed.is_empty() && self.sessions.is_empty() && self.events.is_empty()
    }

    /// Adds events; those that have all in common with the last ones stand with them.
    pub fn add_event(&mut self, events: ReadyEvents) {
        match self.events.last_mut().filter(|last| last.request == events.request && last.whose == events.whose) {
            Some(last) => last.list.extend(events.list),
            None => self.events.push(events),
        }
    }

    /// About what it takes in the queue.
    pub fn bytes(&self) -> usize {
        const ENTRY: usize = 256;
        let profiles = self
            .profiles
            .iter()
            .map(|ready| ready.profile.bytes() + ENTRY * (1 + ready.names.len() + ready.keys.len()));
        let sessions = self.sessions.iter().map(|ready| ready.session.bytes() + ready.shown.as_str().len() + 2 * ENTRY);
        let event = |event: &Arc<Event>| {
            let parts = [&event.properties, &event.context, &event.outcome.written];
            ENTRY + parts.map(|part| part.as_str().len()).iter().sum::<usize>()
        };
        let events = self.events.iter().map(|ready| ENTRY + ready.list.iter().map(event).sum::<usize>());
        let changed = self.changed.iter().map(Profile::bytes);
        profiles.chain(changed).chain(sessions).chain(events).sum()
    }

    /// The entries, whose times are those that the records came with.
    pub fn fix(self, moment: Moment) -> Vec<Entry> {
        let mut entries = Vec::new();
        let mut made = Vec::with_capacity(self.profiles.len());
        for ready in self.profiles {
            made.push(ready.fix(moment.offset + entries.len() as u64, &mut entries));
        }
        for mut profile in self.changed {
            let offset = moment.offset + entries.len() as u64;
            profile.written = offset;
            let placed = profile.fields.iter().map(|(path, field)| {
                let offset = if field.offset == UNPLACED { offset } else { field.offset };
                (path.into(), Field { offset, ..field.clone() })
            });
            profile.fields = placed.collect();
            entries.push(Entry::Profile(Arc::new(profile)));
        }
        for ReadySession { mut session, whose, shown } in self.sessions {
            let number = moment.offset + entries.len() as u64;
            session.number = number;
            session.profile = whose.map(|whose| whose.reference(&made, number));
            entries.push(Entry::Session(Arc::new(session)));
            entries.push(Entry::Imported { made: number, shown });
        }
        for ReadyEvents { mut request, whose, list } in self.events {
            let offset = moment.offset + entries.len() as u64;
            request.profile = whose.map(|whose| whose.reference(&made, offset));
            entries.push(Entry::ImportedRequest(Arc::new(request)));
            entries.extend(list.into_iter().map(Entry::ImportedEvent));
        }
        entries
    }
}

impl ReadyProfile {
    /// Adds its entries, the first of which stands at `offset`.
    fn fix(self, offset: u64, entries: &mut Vec<Entry>) -> ProfileRef {
        let Self { mut profile, names, keys } = self;
        (profile.since, profile.written) = (offset, offset);
        profile.fields =
            profile.fields.iter().map(|(path, field)| (path.into(), Field::set(offset, field.time))).collect();
        profile.conflicts.iter_mut().for_each(|lost| lost.written.offset = offset);
        profile.keys = keys.iter().map(|key| KnownKey { since: offset, key: *key }).collect();
        profile.names = names.len() as u64;
        // Each counts from its own entry on, so that they keep their order.
        let names: Vec<Alias> = (offset + 2..).zip(names).map(|(since, id)| Alias { id, since }).collect();
        profile.list_aliases(names.clone());
        let reference = profile.reference();
        entries.push(Entry::Profile(Arc::new(profile)));
        entries.push(Entry::Imported { made: offset, shown: Json::empty_object() });
        let name = |Alias { id: name, since }| Entry::Name { name, since, profile: reference.clone() };
        entries.extend(names.into_iter().map(name));
        entries.extend(keys.into_iter().map(|key| Entry::MergeKey { key, profile: reference.clone() }));
        reference
    }
}
