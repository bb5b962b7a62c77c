//! Which of some events the server stored already, found by the ids that it made for them.

use std::collections::HashSet;

use super::{
    Log,
    segment::{Summary, made_id},
};
use crate::{
    model::Id,
    store::{entry::Entry, error::StoreError},
};

/// Ids that the server may have made.
pub struct MadeIds {
    ids: HashSet<Id>,
    /// The numbers that they are, in order.
    numbers: Vec<u128>,
}

impl FromIterator<Id> for MadeIds {
    /// Leaves out what the server cannot have made.
    fn from_iter<T: IntoIterator<Item = Id>>(ids: T) -> Self {
        let ids: HashSet<Id> = ids.into_iter().filter(|id| made_id(id).is_some()).collect();
        let mut numbers: Vec<u128> = ids.iter().filter_map(made_id).collect();
        numbers.sort_unstable();
        Self { ids, numbers }
    }
}

impl MadeIds {
    /// Whether the block may hold an event that one of them was made for.
    pub fn may_be_in(&self, summary: &Summary) -> bool {
        summary.made_ids.is_some_and(|(least, most)| {
            let next = self.numbers.partition_point(|number| *number < least);
            self.numbers.get(next).is_some_and(|number| *number <= most)
        })
    }

    /// Adds the events among `entries` that one of them was made for, each by its source and id.
    pub fn find(&self, entries: &[Entry], found: &mut HashSet<(Id, Id)>) {
        let mut source = None;
        for entry in entries {
            match entry {
                Entry::Request(request) => source = Some(&request.source),
                Entry::Event(event) if !event.given && self.ids.contains(&event.id) => {
                    found.extend(source.map(|source| (source.clone(), event.id.clone())));
                }
                _ => {}
            }
        }
    }
}

impl Log {
    /// Which of the events that the server made one of `ids` for it stored, each by its source and id. A block is opened
    /// once for all of them.
    pub fn events_made(&self, ids: &MadeIds) -> Result<HashSet<(Id, Id)>, StoreError> {
        let mut found = HashSet::new();
        if ids.numbers.is_empty() {
            return Ok(found);
        }
        if let Some(live) = self.live.read().as_ref() {
            live.events_made(ids, &mut found)?;
        }
        let sealing = self.sealing.read().clone();
        if let Some(sealing) = sealing {
            sealing.events_made(ids, &mut found)?;
        }
        for part in self.sealed() {
            part.events_made(&self.open, ids, &mut found)?;
        }
        Ok(found)
    }
}
