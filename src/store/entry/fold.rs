//! The newest states that entries lead to.

use std::{ops::Range, sync::Arc};

use foldhash::HashMap;

use super::{Entry, EventPlace, Key, Name, State};
use crate::model::{EventRequest, Id, MergeKey, ProfileRef, Time};

/// Folds entries, in the order of the log, into the states they lead to; the last one under a key stands.
#[derive(Default)]
pub struct Fold {
    request: Option<Arc<EventRequest>>,
    pub states: HashMap<Key, State>,
    /// The latest server time among the entries.
    pub latest: Time,
}

impl Fold {
    /// Folds the entry if its offset is in `range`; what stands before that only says which request an event is of.
    pub fn see(&mut self, offset: u64, entry: &Entry, range: Range<u64>) {
        if range.contains(&offset) {
            self.entry(offset, entry);
        } else if let Entry::Request(request) | Entry::ImportedRequest(request) = entry {
            self.request = Some(request.clone());
        }
    }

    pub fn entry(&mut self, offset: u64, entry: &Entry) {
        match entry {
            Entry::Request(request) => {
                self.latest = self.latest.max(request.inserted);
                self.request = Some(request.clone());
            }
            // Its time says nothing of the server's.
            Entry::ImportedRequest(request) => self.request = Some(request.clone()),
            Entry::Event(event) | Entry::ImportedEvent(event) => {
                if let (true, Some(request)) = (event.given, &self.request) {
                    let key = Key::EventId { id: event.id.clone(), source: request.source.clone() };
                    let place = EventPlace { offset, profile: request.profile.clone() };
                    self.states.insert(key, State::EventId(place));
                }
            }
            Entry::Session(session) => {
                self.latest = self.latest.max(session.updated);
                self.replace_session(&session.id, State::Session(session.clone()));
            }
            Entry::Profile(profile) => {
                self.latest = self.latest.max(profile.updated);
                self.states.insert(Key::Profile(profile.id.clone()), State::Profile(profile.clone()));
            }
            Entry::ProfileOfFormat3(profile) => {
                self.latest = self.latest.max(profile.updated);
                self.states.insert(Key::Profile(profile.id.clone()), State::Profile(profile.clone()));
                for known in &profile.keys {
                    self.states.insert(Key::MergeKey(known.key), State::Leads(profile.reference()));
                }
            }
            Entry::Name { name, since, profile } => {
                let state = Name { since: *since, profile: profile.clone(), said: offset, merge: None };
                self.states.insert(Key::Name(name.clone()), State::Name(state));
            }
            Entry::Shortcut { name, to } => {
                self.states.insert(Key::Shortcut(name.clone()), State::Leads(to.clone()));
            }
            Entry::MergeKey { key, profile } => {
                self.states.insert(Key::MergeKey(*key), State::Leads(profile.clone()));
            }
            Entry::Visited { session, profile, moved } => {
                self.states.insert(Key::Visited { session: *session, profile: profile.clone() }, State::There);
                if let Some((from, _)) = moved {
                    self.states.insert(Key::Visited { session: *session, profile: from.clone() }, State::There);
                }
                for profile in moved.iter().flat_map(|(from, to)| [from, to]) {
                    let shared = Key::SharedSession { profile: profile.clone(), session: *session };
                    self.states.insert(shared, State::There);
                    self.states.insert(Key::SharesSessions(profile.clone()), State::There);
                }
            }
            Entry::Source(source) => {
                self.latest = self.latest.max(source.timestamp);
                self.states.insert(Key::Source(source.id.clone()), State::Source(source.clone()));
            }
            Entry::SourceDeleted(id) => {
                self.states.insert(Key::Source(id.clone()), State::Gone);
                self.states.insert(Key::SourceSecrets(id.clone()), State::Gone);
            }
            Entry::SourceSecrets(secrets) => {
                let since = secrets.iter().map(|secret| secret.since);
                self.latest = since.fold(self.latest, Time::max);
                let state = if secrets.is_empty() { State::Gone } else { State::SourceSecrets(secrets.clone()) };
                self.states.insert(Key::SourceSecrets(secrets.source.clone()), state);
            }
            Entry::EventDeleted(offset) => {
                self.states.insert(Key::DeletedEvent(*offset), State::There);
            }
            Entry::Imported { made, shown } => {
                self.states.insert(Key::Imported(*made), State::Shown(shown.clone()));
            }
            Entry::SessionDeleted(id) => self.replace_session(id, State::Gone),
            Entry::ProfileDeleted { id, names, keys, .. } => {
                self.states.insert(Key::Profile(id.clone()), State::Gone);
                self.forget_names(names, keys);
            }
            Entry::NamesDeleted { names, keys } => self.forget_names(names, keys),
            Entry::Definition(definition) => {
                self.latest = self.latest.max(definition.saved);
                let key = Key::Definition(definition.kind, definition.id.clone());
                self.states.insert(key, State::Definition(definition.clone()));
            }
            Entry::ProfileChanged { .. } | Entry::AbsorbedState(_) => {}
            Entry::Delivered { destination, offset } => {
                self.states.insert(Key::Delivered(destination.clone()), State::Offset(*offset));
            }
            Entry::Absorbed { absorbed, by, merge } => {
                let merge = Some(merge.clone());
                let state = Name { since: absorbed.since, profile: by.clone(), said: offset, merge };
                self.states.insert(Key::Profile(absorbed.id.clone()), State::Gone);
                self.states.insert(Key::Name(absorbed.id.clone()), State::Name(state));
            }
            Entry::Split { profile } => self.forget_names(std::slice::from_ref(profile), &[]),
            Entry::DefinitionDeleted { kind, id } => {
                self.states.insert(Key::Definition(*kind, id.clone()), State::Gone);
                self.states.insert(Key::Pass(*kind, id.clone()), State::Gone);
            }
            Entry::Delayed(event) => {
                self.states.insert(Key::Delayed { due: event.due, number: offset }, State::Delayed(event.clone()));
            }
            Entry::DelayedDone { due, number } => {
                self.states.insert(Key::Delayed { due: *due, number: *number }, State::Gone);
            }
            Entry::Passed { kind, id, pass } => {
                self.latest = self.latest.max(pass.begun);
                self.states.insert(Key::Pass(*kind, id.clone()), State::Pass(pass.clone()));
            }
            Entry::SetAside { destination, item, aside } => {
                let key = Key::Aside { destination: destination.clone(), item: *item };
                self.states.insert(key, State::Aside(aside.clone()));
            }
            Entry::AsideDone { destination, items } => {
                let keys = items.iter().map(|item| Key::Aside { destination: destination.clone(), item: *item });
                self.states.extend(keys.map(|key| (key, State::Gone)));
            }
            Entry::Erased | Entry::Named(_) => {}
            Entry::EventsErased { events, given, .. } => {
                self.states.extend(events.iter().map(|offset| (Key::DeletedEvent(*offset), State::There)));
                let given = given.iter().map(|(id, offset)| (Key::ErasedId(*id), State::Offset(*offset)));
                self.states.extend(given);
            }
            Entry::IdsErased { ids } => {
                self.states.extend(ids.iter().map(|id| (Key::ErasedId(*id), State::Offset(offset))));
            }
            Entry::Erasure(erasure) => {
                self.latest = self.latest.max(erasure.asked).max(erasure.done.unwrap_or_default());
                self.states.insert(Key::Erasure(erasure.id.clone()), State::Erasure(erasure.clone()));
            }
        }
    }

    /// A session that ends here, because it was deleted or its id was used again, takes along which profiles it had.
    fn replace_session(&mut self, id: &Id, state: State) {
        let kept = if let State::Session(session) = &state { Some(session.number) } else { None };
        let Some(State::Session(before)) = self.states.insert(Key::Session(id.clone()), state) else { return };
        if kept != Some(before.number) {
            self.states.retain(|key, _| match key {
                Key::Visited { session, .. } | Key::SharedSession { session, .. } => *session != before.number,
                Key::Imported(made) => *made != before.number,
                _ => true,
            });
        }
    }

    fn forget_names(&mut self, names: &[ProfileRef], keys: &[MergeKey]) {
        for name in names {
            self.states.insert(Key::Name(name.id.clone()), State::Gone);
            self.states.insert(Key::Shortcut(name.clone()), State::Gone);
        }
        for key in keys {
            self.states.insert(Key::MergeKey(*key), State::Gone);
        }
    }
}
