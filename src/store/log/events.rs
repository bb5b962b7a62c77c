//! The events of the log's blocks, each with its request.

use std::{borrow::Cow, mem, ops::Range, path::Path, sync::Arc};

use super::block::Encoded;
use crate::{
    model::{Event, EventRequest, ShownEvent},
    store::{decompress, entry::Entry, error::StoreError},
};

/// An event with its request and its place.
#[derive(Clone)]
pub struct FoundEvent {
    pub offset: u64,
    pub request: Arc<EventRequest>,
    pub event: Arc<Event>,
}

impl FoundEvent {
    /// The event as it is shown, with the profile that it was stored with.
    pub fn shown(&self) -> ShownEvent {
        ShownEvent { request: self.request.clone(), event: self.event.clone() }
    }
}

/// A block of the log, unpacked, for whoever looks for events in it.
pub struct EventBlock {
    encoded: Encoded<'static>,
    /// The folder of the log, for what is said of damage.
    path: Arc<Path>,
}

impl EventBlock {
    pub(super) fn new(encoded: Encoded<'static>, path: Arc<Path>) -> Self {
        Self { encoded, path }
    }

    /// Those of all of its entries.
    pub fn offsets(&self) -> Range<u64> {
        self.encoded.first..self.encoded.end()
    }

    /// Its events at the offsets `wanted`, which ascend, but those that `may_be_meant` refuses by offset and
    /// properties. Nothing is made of its other entries.
    ///
    /// # Errors
    /// An entry is damaged.
    pub fn events_at(
        &self,
        wanted: &[u64],
        may_be_meant: impl FnMut(u64, &str) -> bool,
    ) -> Result<Vec<FoundEvent>, StoreError> {
        self.encoded.events_at(wanted, may_be_meant).map_err(|what| StoreError::DamagedSegment {
            path: self.path.display().to_string(),
            what: format!("{what} at offset {}", self.encoded.first),
            behind: self.encoded.end(),
        })
    }
}

impl Drop for EventBlock {
    fn drop(&mut self) {
        if let Cow::Owned(raw) = mem::take(&mut self.encoded.raw) {
            decompress::give_back(raw);
        }
    }
}

/// The events among `entries`, each with its offset and its request.
pub fn events(first: u64, entries: &[Entry]) -> impl Iterator<Item = FoundEvent> + '_ {
    let mut request = None;
    (first..).zip(entries).filter_map(move |(offset, entry)| {
        match entry {
            Entry::Request(new) => request = Some(new.clone()),
            Entry::ImportedRequest(new) => request = Some(imported(new.clone())),
            Entry::Event(event) | Entry::ImportedEvent(event) => {
                return Some(FoundEvent { offset, request: request.clone()?, event: event.clone() });
            }
            _ => {}
        }
        None
    })
}

/// What imported events have in common, as it is in memory.
pub fn imported(mut request: Arc<EventRequest>) -> Arc<EventRequest> {
    Arc::make_mut(&mut request).imported = true;
    request
}
