//! Opens the blocks of rows whose index does not tell enough.

use crate::store::{FoundEvent, LogView, StoreError};

/// Hands the events at `offsets`, which ascend, to `each`, with the place of each among them.
pub fn each_event(
    log: &LogView<'_>,
    offsets: &[u64],
    mut each: impl FnMut(usize, &FoundEvent),
) -> Result<(), StoreError> {
    log.each_block(offsets, |block, places| {
        let wanted = &offsets[places.clone()];
        for event in log.events_at(block, wanted, |_, _| true)? {
            if let Ok(place) = wanted.binary_search(&event.offset) {
                each(places.start + place, &event);
            }
        }
        Ok(())
    })
}

/// As [`each_event`], with the properties of each alone.
pub fn each_properties(
    log: &LogView<'_>,
    offsets: &[u64],
    mut each: impl FnMut(usize, &str),
) -> Result<(), StoreError> {
    log.each_block(offsets, |block, places| {
        let wanted = &offsets[places.clone()];
        log.properties_at(block, wanted, |offset, properties| {
            if let Ok(place) = wanted.binary_search(&offset) {
                each(places.start + place, properties);
            }
        })
    })
}
