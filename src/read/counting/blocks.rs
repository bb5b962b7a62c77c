//! Opens the blocks of rows whose index does not tell enough, on two cores where others do not need them.

use super::values::property;
use crate::store::{FoundEvent, LogView, StoreError};

/// Makes something of each event at `offsets`, which ascend, and of its place among them, and hands it to `each` with that
/// place, in any order.
pub fn each_event<T>(
    log: &LogView<'_>,
    offsets: &[u64],
    make: impl Fn(usize, &FoundEvent) -> T + Sync,
    mut each: impl FnMut(usize, T) + Send,
) -> Result<(), StoreError> {
    log.each_block(
        offsets,
        |block, places| {
            let wanted = &offsets[places.clone()];
            let found = log.events_at(block, wanted, |_, _| true)?.into_iter();
            let place = |event: &FoundEvent| Some(places.start + wanted.binary_search(&event.offset).ok()?);
            Ok(found.filter_map(|event| place(&event).map(|place| (place, make(place, &event)))).collect::<Vec<_>>())
        },
        |made| made.into_iter().for_each(|(place, it)| each(place, it)),
    )
}

/// Hands what each event at `offsets`, which ascend, has in its properties at `steps`, as JSON, to `each` with the place of
/// the event among them, in any order.
pub fn each_property(
    log: &LogView<'_>,
    offsets: &[u64],
    steps: &[Box<str>],
    mut each: impl FnMut(usize, &str) + Send,
) -> Result<(), StoreError> {
    log.each_block(
        offsets,
        |block, places| {
            let wanted = &offsets[places.clone()];
            // The texts behind each other, and of each its place and where it ends: no room is asked for each.
            let (mut texts, mut ends) = (String::new(), Vec::with_capacity(wanted.len()));
            log.properties_at(block, wanted, |offset, properties| {
                if let Ok(place) = wanted.binary_search(&offset) {
                    texts.push_str(&property(properties, steps));
                    ends.push((places.start + place, texts.len()));
                }
            })?;
            Ok((texts, ends))
        },
        |(texts, ends)| {
            let mut start = 0;
            for (place, end) in ends {
                each(place, &texts[start..end]);
                start = end;
            }
        },
    )
}
