//! Opens the blocks of rows whose index does not tell enough.

use crate::store::{BlockEvents, FoundEvent, LogView, StoreError};

/// Hands the events at `offsets`, which ascend, to `each`, with the place of each among them.
pub fn each_event(
    log: &LogView<'_>,
    offsets: &[u64],
    mut each: impl FnMut(usize, &FoundEvent),
) -> Result<(), StoreError> {
    let mut block: Option<BlockEvents> = None;
    for (place, offset) in offsets.iter().enumerate() {
        if block.as_ref().is_none_or(|block| !block.offsets.contains(offset)) {
            block = log.events_around(*offset)?;
        }
        let Some(BlockEvents { events, .. }) = &block else { break }; // the log is shorter than it was
        if let Ok(at) = events.binary_search_by_key(offset, |event| event.offset) {
            each(place, &events[at]);
        }
    }
    Ok(())
}
