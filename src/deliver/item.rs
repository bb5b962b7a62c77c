//! What is delivered of a stretch of the log.

use std::sync::Arc;

use serde::Serialize;

use crate::{
    model::{EventRequest, FieldChange, Id, NAMES_SHOWN, Object, Profile, ProfileRef, ShownEvent, Time, Value},
    process::{Destination, referred_profile},
    store::{Entry, ReadView, Refused},
};

/// A delivery ends with the item that makes it longer than so many bytes.
const BATCH_BYTES: usize = 1024 * 1024;

/// Items that are delivered together.
pub struct Batch {
    /// Each as JSON.
    pub items: Vec<String>,
    /// The offset behind the last entry that was looked at.
    pub end: u64,
    /// For how many the condition could not be evaluated, so that they are not among the items, and why for the last.
    pub undecided: u64,
    pub undecided_error: Option<String>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
enum Item<'a> {
    Event { offset: u64, event: &'a Value },
    Profile { offset: u64, profile: &'a Value, changed: &'a [FieldChange] },
    ProfileDeleted { offset: u64, profile: Deleted<'a> },
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

/// What of `entries`, the first of which stands at offset `first`, the destination wants from offset `from` on; at most
/// as many items as it takes in a delivery.
pub async fn batch(
    view: &ReadView,
    destination: &Destination,
    first: u64,
    entries: &[Entry],
    from: u64,
    now: Time,
) -> Result<Batch, Refused> {
    let mut request: Option<&Arc<EventRequest>> = None;
    let mut profile: Option<&Arc<Profile>> = None;
    let (mut batch, mut bytes) = (Batch { items: Vec::new(), end: from, undecided: 0, undecided_error: None }, 0);
    for (offset, entry) in (first..).zip(entries) {
        match entry {
            Entry::Request(found) => request = Some(found),
            Entry::Profile(found) | Entry::ProfileOfFormat3(found) => profile = Some(found),
            _ => {}
        }
        if offset < from {
            continue;
        }
        let item = match (entry, request) {
            (Entry::Event(event), Some(request)) if destination.takes_type(&event.kind) => {
                let shown = Value::shown(&ShownEvent { request: request.clone(), event: event.clone() });
                let profile = match &request.profile {
                    Some(reference) => stored_profile(view, reference).await?,
                    None => None,
                };
                let records = records([("event", Some(&shown)), ("profile", profile.as_ref())]);
                let wanted = batch.wants(destination, &records, now, offset) && !view.is_deleted_event(offset).await?;
                wanted.then(|| Item::Event { offset, event: &shown }.to_json())
            }
            (Entry::ProfileChanged { profile: reference, changes }, _) if destination.profiles => {
                // The state stands before what changed, in the same request.
                let state = profile.filter(|profile| profile.reference() == *reference);
                let shown = state.map(|profile| Value::shown(&profile.shown()));
                let records = records([("profile", shown.as_ref()), ("event", None)]);
                shown
                    .as_ref()
                    .filter(|_| batch.wants(destination, &records, now, offset))
                    .map(|profile| Item::Profile { offset, profile, changed: changes }.to_json())
            }
            (Entry::ProfileDeleted { id, names, ids: total, .. }, _) if destination.profiles => {
                // In a store of format 3, all of them stand there.
                let newest = names.len().saturating_sub(NAMES_SHOWN - 1);
                let ids = std::iter::once(id).chain(names.iter().skip(newest).map(|name| &name.id)).collect();
                Some(Item::ProfileDeleted { offset, profile: Deleted { id, ids, total: *total } }.to_json())
            }
            (Entry::Named(named), _) if named.told.contains(&destination.id) => {
                let ids: Vec<&Id> = named.ids.iter().take(NAMES_SHOWN).collect();
                let total = named.ids.len() as u64;
                ids.first().copied().map(|id| {
                    Item::ProfileDeleted { offset, profile: Deleted { id, ids: ids.clone(), total } }.to_json()
                })
            }
            _ => None,
        };
        batch.end = offset + 1;
        bytes += item.as_ref().map_or(0, String::len);
        batch.items.extend(item);
        if batch.items.len() >= destination.batch || bytes > BATCH_BYTES {
            break;
        }
    }
    Ok(batch)
}

impl Batch {
    /// Whether the destination's condition holds; one that cannot be evaluated does not.
    fn wants(&mut self, destination: &Destination, records: &Object, now: Time, offset: u64) -> bool {
        destination.takes(records, now).unwrap_or_else(|error| {
            tracing::warn!(destination = %destination.id, error, "the destination's condition cannot be evaluated");
            self.undecided += 1;
            self.undecided_error = Some(format!("offset {offset}: if: {error}"));
            false
        })
    }
}

fn records<const N: usize>(named: [(&str, Option<&Value>); N]) -> Object {
    let mut records = Object::default();
    for (name, record) in named {
        if let Some(record) = record {
            records.insert(name, record.clone());
        }
    }
    records
}

async fn stored_profile(view: &ReadView, reference: &ProfileRef) -> Result<Option<Value>, Refused> {
    let profile = referred_profile(view, reference).await?;
    Ok(profile.map(|profile| Value::shown(&profile.shown())))
}

impl Item<'_> {
    fn to_json(&self) -> String {
        serde_json::to_string(self).expect("an item is made of texts, numbers and JSON that was read")
    }
}
