//! What is delivered of a stretch of the log.

use std::sync::Arc;

use serde::Serialize;

use super::people::{Block, People};
use crate::{
    model::{EventRequest, FieldChange, Id, NAMES_SHOWN, Object, Profile, ProfileRef, ShownEvent, Time, Value},
    process::{Destination, Rules},
    store::{Entry, ReadView, Refused, Store},
};

/// A delivery ends with the item that makes it longer than so many bytes.
const BATCH_BYTES: usize = 1024 * 1024;

/// What is delivered, as JSON.
#[derive(Clone, Debug)]
pub struct Item {
    pub offset: u64,
    pub json: String,
    pub whose: Option<Whose>,
}

/// Whose an item is, by now: what is of one arrives in the order in which it happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Whose {
    Profile(Id),
    /// Of nobody who is known.
    Session(Id),
}

/// Items that may be delivered together.
#[derive(Debug, Default)]
pub struct Batch {
    pub items: Vec<Item>,
    /// The offset behind the last entry that was looked at.
    pub end: u64,
    /// Why the condition could not be evaluated at these offsets, so that nothing is delivered of them.
    pub undecided: Vec<(u64, String)>,
    /// Somebody or something was deleted there: what is set aside may be gone.
    pub deletes: bool,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
enum Body<'a> {
    Event {
        offset: u64,
        event: &'a Value,
        #[serde(skip_serializing_if = "Option::is_none")]
        profile: Option<&'a Value>,
        /// Where the profile is not seen as it was with the event: the time of the state that is.
        #[serde(skip_serializing_if = "Option::is_none")]
        as_of: Option<Time>,
    },
    Profile {
        offset: u64,
        profile: &'a Value,
        changed: &'a [FieldChange],
    },
    ProfileDeleted {
        offset: u64,
        profile: Deleted<'a>,
    },
}

/// Who is to be forgotten: everybody who was told of them has to know, whatever the destination's condition.
#[derive(Serialize)]
struct Deleted<'a> {
    id: &'a Id,
    /// Its own and the newest of the others.
    ids: Vec<&'a Id>,
    /// How many it had.
    total: u64,
}

/// What a destination wants of the log.
pub struct Wanted<'a> {
    pub store: &'a Store,
    pub view: &'a ReadView,
    pub rules: &'a Rules,
    pub destination: &'a Destination,
    pub now: Time,
    /// The most items of a batch.
    pub most: usize,
}

impl Wanted<'_> {
    /// What of the block the destination wants from offset `from` on.
    pub async fn batch(&self, first: u64, entries: &[Entry], from: u64) -> Result<Batch, Refused> {
        let mut walk = self.walk(first, entries);
        let (mut batch, mut bytes) = (Batch { end: from, ..Batch::default() }, 0);
        for (offset, entry) in (first..).zip(entries) {
            walk.pass(entry);
            if offset < from {
                continue;
            }
            let item = walk.item(offset, entry).await?;
            batch.deletes |= deletes(entry);
            batch.end = offset + 1;
            bytes += item.as_ref().map_or(0, |item| item.json.len());
            batch.items.extend(item);
            if batch.items.len() >= self.most || bytes > BATCH_BYTES {
                break;
            }
        }
        batch.undecided = walk.undecided;
        Ok(batch)
    }

    /// What the block's entry at `offset` is to the destination, which wanted it once, whatever it asks for now; `None`:
    /// nothing any more.
    pub async fn one(&self, first: u64, entries: &[Entry], offset: u64) -> Result<Option<Item>, Refused> {
        let mut walk = Walk { was_wanted: true, ..self.walk(first, entries) };
        for (at, entry) in (first..).zip(entries) {
            walk.pass(entry);
            if at == offset {
                return walk.item(offset, entry).await;
            }
        }
        Ok(None)
    }

    fn walk<'b>(&'b self, first: u64, entries: &'b [Entry]) -> Walk<'b> {
        Walk {
            wanted: self,
            block: Block { first, entries },
            people: People::new(self.store, self.view),
            request: None,
            parted: Vec::new(),
            undecided: Vec::new(),
            was_wanted: false,
        }
    }
}

fn deletes(entry: &Entry) -> bool {
    matches!(
        entry,
        Entry::ProfileDeleted { .. } | Entry::EventDeleted(_) | Entry::EventsErased { .. } | Entry::Named(_)
    )
}

/// A way through a block.
struct Walk<'a> {
    wanted: &'a Wanted<'a>,
    block: Block<'a>,
    people: People<'a>,
    request: Option<&'a Arc<EventRequest>>,
    /// Who was split off by the entries before.
    parted: Vec<&'a ProfileRef>,
    undecided: Vec<(u64, String)>,
    /// What it meets was wanted when it was met first.
    was_wanted: bool,
}

impl<'a> Walk<'a> {
    /// Passes an entry that others go on from.
    fn pass(&mut self, entry: &'a Entry) {
        match entry {
            Entry::Request(request) => {
                self.request = Some(request);
                self.parted.clear();
            }
            Entry::Split { profile } => self.parted.push(profile),
            _ => {}
        }
    }

    /// What is delivered of an entry.
    async fn item(&mut self, offset: u64, entry: &Entry) -> Result<Option<Item>, Refused> {
        let (destination, was_wanted) = (self.wanted.destination, self.was_wanted);
        match (entry, self.request) {
            (Entry::Event(event), Some(request)) if was_wanted || destination.takes_type(&event.kind) => {
                let shown = ShownEvent { request: request.clone(), event: event.clone() };
                self.event(offset, &shown).await
            }
            (Entry::ProfileChanged { profile, changes }, _) if was_wanted || destination.profiles => {
                self.profile(offset, profile, changes).await
            }
            (Entry::ProfileDeleted { id, names, ids: total, .. }, _) if was_wanted || destination.profiles => {
                // In a store of format 3, all of them stand there.
                let newest = names.len().saturating_sub(NAMES_SHOWN - 1);
                let ids = std::iter::once(id).chain(names.iter().skip(newest).map(|name| &name.id)).collect();
                Ok(Some(deleted(offset, Deleted { id, ids, total: *total })))
            }
            (Entry::Named(named), _) if named.told.contains(&destination.id) => {
                let ids: Vec<&Id> = named.ids.iter().take(NAMES_SHOWN).collect();
                let total = named.ids.len() as u64;
                let id = ids.first().copied();
                Ok(id.map(|id| deleted(offset, Deleted { id, ids, total })))
            }
            _ => Ok(None),
        }
    }

    async fn event(&mut self, offset: u64, shown: &ShownEvent) -> Result<Option<Item>, Refused> {
        let Wanted { store, view, rules, destination, now, .. } = *self.wanted;
        let request = &shown.request;
        let person = match &request.profile {
            Some(profile) => match self.people.now(profile).await? {
                Some(person) => Some(person),
                None => return Ok(None), // they are deleted
            },
            None => None,
        };
        let is_required = || store.source(&request.source).is_some_and(|source| source.source.requires_consent);
        let as_was = match &person {
            Some(person) if destination.sees_profile() => {
                self.people.with_event(request, offset, self.block, person).await?
            }
            _ => None,
        };
        let is_earlier = |person: &Profile| as_was.as_ref().is_some_and(|it| it.profile.written != person.written);
        let may_object = |person: &&Arc<Profile>| rules.has_consents() || is_required() || is_earlier(person);
        let consent = person.as_ref().filter(may_object).map(|person| rules.consent_now(person, now));
        if consent.as_ref().is_some_and(|consent| is_required() && !consent.allows()) {
            return Ok(None); // they withdrew their consent
        }
        let mut records = Object::default();
        records.insert("event", Value::shown(shown));
        if let Some(as_was) = &as_was {
            records.insert("profile", Value::shown(&as_was.profile.shown()));
        }
        if let Some(consent) = &consent {
            consent.redact(&mut records);
        }
        if !self.wants(&records, offset, request.inserted) || view.is_deleted_event(offset).await? {
            return Ok(None);
        }
        let whose = match (&person, &request.session) {
            (Some(person), _) => Some(Whose::Profile(person.id.clone())),
            (None, session) => session.clone().map(Whose::Session),
        };
        let Some(event) = records.get("event") else { return Ok(None) };
        let profile = records.get("profile").filter(|_| destination.with_profile);
        let as_of = as_was.filter(|as_was| as_was.is_other).map(|as_was| as_was.profile.updated);
        Ok(Some(Item { offset, json: Body::Event { offset, event, profile, as_of }.to_json(), whose }))
    }

    /// Of a profile that changed; its state stands right before what changed.
    async fn profile(
        &mut self,
        offset: u64,
        reference: &ProfileRef,
        changes: &[FieldChange],
    ) -> Result<Option<Item>, Refused> {
        let Wanted { rules, now, .. } = *self.wanted;
        let Some(person) = self.people.now(reference).await? else { return Ok(None) };
        let at = offset.saturating_sub(1);
        let Some(state) = self.people.stored(reference, at, self.block, &person).await? else { return Ok(None) };
        let consent = rules.consent_now(&person, now);
        if consent.was_withdrawn_since(&state) {
            return Ok(None);
        }
        let mut changes = changes.to_vec();
        consent.redact_changes(&mut changes);
        if changes.is_empty() {
            return Ok(None);
        }
        if self.parted_from_deleted().await? {
            changes.iter_mut().for_each(|change| change.old = Value::Null.to_json());
        }
        let mut records = Object::default();
        records.insert("profile", Value::shown(&state.shown()));
        consent.redact(&mut records);
        if !self.wants(&records, offset, now) {
            return Ok(None);
        }
        let Some(profile) = records.get("profile") else { return Ok(None) };
        let json = Body::Profile { offset, profile, changed: &changes }.to_json();
        Ok(Some(Item { offset, json, whose: Some(Whose::Profile(person.id.clone())) }))
    }

    /// Whether somebody was just split off who is deleted by now: what stood there before the split is theirs, too.
    async fn parted_from_deleted(&mut self) -> Result<bool, Refused> {
        for profile in self.parted.clone() {
            if self.people.now(profile).await?.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the destination's condition holds, as it was `then`; one that cannot be evaluated does not.
    fn wants(&mut self, records: &Object, offset: u64, then: Time) -> bool {
        if self.was_wanted {
            return true;
        }
        self.wanted.destination.takes(records, then).unwrap_or_else(|error| {
            self.undecided.push((offset, error));
            false
        })
    }
}

fn deleted(offset: u64, profile: Deleted<'_>) -> Item {
    let whose = Some(Whose::Profile(profile.id.clone()));
    Item { offset, json: Body::ProfileDeleted { offset, profile }.to_json(), whose }
}

impl Body<'_> {
    fn to_json(&self) -> String {
        serde_json::to_string(self).expect("an item is made of texts, numbers and JSON that was read")
    }
}
