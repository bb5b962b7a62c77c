//! Opens the blocks of rows whose index does not tell enough.

use crate::store::{FoundEvent, LogView, StoreError};

/// Hands the events at `offsets`, which ascend, to `each`, with the place of each among them.
pub fn each_event(
    log: &LogView<'_>,
    offsets: &[u64],
    mut each: impl FnMut(usize, &FoundEvent),
) -> Result<(), StoreError> {
    let (mut events, mut end) = (Vec::new(), 0);
    for (place, offset) in offsets.iter().enumerate() {
        if *offset >= end {
            let Some(block) = log.event_block(*offset)? else { break }; // the log is shorter than it was
            end = block.offsets().end;
            let wanted = &offsets[place..offsets.partition_point(|offset| *offset < end)];
            events = log.events_at(&block, wanted, |_| true)?;
        }
        if let Ok(at) = events.binary_search_by_key(offset, |event| event.offset) {
            each(place, &events[at]);
        }
    }
    Ok(())
}
