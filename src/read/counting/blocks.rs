//! Opens the blocks of rows whose index does not tell enough.

use crate::store::{EventBlock, FoundEvent, LogView, StoreError};

/// Hands the events at `offsets`, which ascend, to `each`, with the place of each among them.
pub fn each_event(
    log: &LogView<'_>,
    offsets: &[u64],
    mut each: impl FnMut(usize, &FoundEvent),
) -> Result<(), StoreError> {
    each_block(log, offsets, |block, first, wanted| {
        for event in log.events_at(block, wanted, |_, _| true)? {
            if let Ok(place) = wanted.binary_search(&event.offset) {
                each(first + place, &event);
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
    each_block(log, offsets, |block, first, wanted| {
        log.properties_at(block, wanted, |offset, properties| {
            if let Ok(place) = wanted.binary_search(&offset) {
                each(first + place, properties);
            }
        })
    })
}

/// Hands each block that holds some of `offsets` to `each`, with these and the place of the first of them.
fn each_block(
    log: &LogView<'_>,
    offsets: &[u64],
    mut each: impl FnMut(&EventBlock, usize, &[u64]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut first = 0;
    while let Some(offset) = offsets.get(first) {
        let Some(block) = log.event_block(*offset)? else { break }; // the log is shorter than it was
        let end = block.offsets().end;
        let behind = offsets.partition_point(|offset| *offset < end);
        each(&block, first, &offsets[first..behind])?;
        first = behind;
    }
    Ok(())
}
