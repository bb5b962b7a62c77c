//! People whose records were erased or forgotten and stand on the disk still: nobody who reads is shown what is to go.
//!
//! An event that was erased is a deleted one for every reader. What is said here is the rest: the states of their
//! profiles that a destination may come to, and what identifies those who were forgotten.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::RwLock;

use super::{
    entry::Entry,
    error::StoreError,
    log::{FoundEvent, Log},
};
use crate::model::{Erasure, ErasureKind, EventRequest, Id, Named, ProfileRef};

#[derive(Default)]
pub struct Concealed {
    /// By each of their ids.
    people: RwLock<HashMap<Id, Vec<Arc<Named>>>>,
    /// Those who were forgotten, by the sessions that were theirs alone.
    visitors: RwLock<HashMap<Id, Vec<Arc<Named>>>>,
    /// Whether there are any, so that who reads need not look.
    is_any: AtomicBool,
}

impl Concealed {
    /// Those whom `pending` erasures are about, as the log names them.
    pub fn load<'a>(log: &Log, pending: impl Iterator<Item = &'a Arc<Erasure>>) -> Result<Self, StoreError> {
        let concealed = Self::default();
        for erasure in pending {
            if let Some(named) = named_at(log, erasure.named_at)? {
                concealed.add(&named);
            }
        }
        Ok(concealed)
    }

    pub fn add(&self, named: &Arc<Named>) {
        let mut people = self.people.write();
        for id in &named.ids {
            people.entry(id.clone()).or_default().push(named.clone());
        }
        if named.kind == ErasureKind::Forgotten {
            let mut visitors = self.visitors.write();
            for session in &named.sessions {
                visitors.entry(session.clone()).or_default().push(named.clone());
            }
        }
        self.is_any.store(true, Ordering::Release);
    }

    /// Nothing of this erasure is on the disk any more.
    pub fn remove(&self, erasure: &Id) {
        let forget = |_: &Id, named: &mut Vec<Arc<Named>>| {
            named.retain(|named| named.erasure != *erasure);
            !named.is_empty()
        };
        self.visitors.write().retain(forget);
        let mut people = self.people.write();
        people.retain(forget);
        self.is_any.store(!people.is_empty(), Ordering::Release);
    }

    /// Whether there is anybody of whom something stands on the disk still.
    pub fn is_any(&self) -> bool {
        self.is_any.load(Ordering::Acquire)
    }

    /// Whom what stands at `offset` under this id is about, if that is to go.
    pub fn of(&self, id: &Id, offset: u64) -> Option<Arc<Named>> {
        if !self.is_any() {
            return None;
        }
        self.people.read().get(id)?.iter().find(|named| offset < named.before).cloned()
    }

    /// Who was forgotten whose request at `offset` this is.
    pub fn forgotten(&self, request: &EventRequest, offset: u64) -> Option<Arc<Named>> {
        match (&request.profile, &request.session) {
            (Some(profile), _) => self.of(&profile.id, offset).filter(|named| named.kind == ErasureKind::Forgotten),
            // What is nobody's is theirs where nobody else was.
            (None, Some(session)) if self.is_any() => {
                self.visitors.read().get(session)?.iter().find(|named| offset < named.before).cloned()
            }
            _ => None,
        }
    }

    /// The profile that a former id of somebody who was forgotten stood for.
    pub fn kept(&self, profile: &ProfileRef) -> Option<ProfileRef> {
        self.of(&profile.id, profile.since)?.kept.clone()
    }

    /// The former ids of a profile that was forgotten.
    pub fn former_ids(&self, profile: &ProfileRef) -> Vec<Id> {
        let people = self.people.read();
        let named = people.get(&profile.id).into_iter().flatten();
        let named = named.filter(|named| named.kept.as_ref() == Some(profile));
        named.flat_map(|named| named.ids.iter().cloned()).collect()
    }

    /// The event as it may be shown.
    pub fn shown(&self, found: FoundEvent) -> FoundEvent {
        let FoundEvent { offset, request, event } = found;
        match self.forgotten(&request, offset) {
            Some(named) => {
                let (request, event) = (named.strip(&request), event.stripped());
                FoundEvent { offset, request: Arc::new(request), event: Arc::new(event) }
            }
            None => FoundEvent { offset, request, event },
        }
    }

    /// What may be shown of the entries of a block whose first stands at offset `first`, to who looks for events and for
    /// profiles that changed.
    pub fn conceal(&self, first: u64, entries: &mut [Entry]) {
        if !self.is_any.load(Ordering::Acquire) {
            return;
        }
        let mut forgotten = false;
        for (offset, entry) in (first..).zip(entries) {
            let profile = match &*entry {
                Entry::Request(request) => {
                    let named = self.forgotten(request, offset);
                    forgotten = named.is_some();
                    if let Some(named) = named {
                        *entry = Entry::Request(Arc::new(named.strip(request)));
                    }
                    continue;
                }
                Entry::Event(event) => {
                    if forgotten {
                        *entry = Entry::Event(Arc::new(event.stripped()));
                    }
                    continue;
                }
                Entry::Profile(profile) | Entry::ProfileOfFormat3(profile) => &profile.id,
                Entry::ProfileChanged { profile, .. } => &profile.id,
                _ => continue,
            };
            if self.of(profile, offset).is_some() {
                *entry = Entry::Erased;
            }
        }
    }
}

/// Whose records an erasure is about, if the log names them still.
pub fn named_at(log: &Log, offset: u64) -> Result<Option<Arc<Named>>, StoreError> {
    let Some((first, entries)) = log.block_around(offset)? else { return Ok(None) };
    let entry = usize::try_from(offset - first).ok().and_then(|place| entries.into_iter().nth(place));
    Ok(if let Some(Entry::Named(named)) = entry { Some(named) } else { None })
}
