//! How many events there were, by quarter of an hour, type and source.

use foldhash::HashMap;

use super::{number_time, packed};

/// Zones are whole quarters of an hour from each other, so that days of any of them are made of quarters.
pub const QUARTER_MICROS: i64 = 15 * 60 * 1_000_000;

/// So many events of a type and a source within a quarter of an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count {
    /// In quarters since 1970.
    pub quarter: i64,
    /// As in [`super::Column::Kind`] and [`super::Column::Source`].
    pub kind: u64,
    pub source: u64,
    pub events: u64,
}

/// Counts rows, of which these are the columns.
pub fn of_rows(inserted: &[u64], kinds: &[u64], sources: &[u64]) -> Vec<Count> {
    let mut counted: HashMap<(i64, u64, u64), u64> = HashMap::default();
    for ((inserted, kind), source) in inserted.iter().zip(kinds).zip(sources) {
        let quarter = number_time(*inserted).micros().div_euclid(QUARTER_MICROS);
        *counted.entry((quarter, *kind, *source)).or_default() += 1;
    }
    let counts = counted.into_iter();
    counts.map(|((quarter, kind, source), events)| Count { quarter, kind, source, events }).collect()
}

/// The sums of counts, in order.
pub fn summed(counts: impl Iterator<Item = Count>) -> Vec<Count> {
    let mut all: Vec<Count> = counts.collect();
    all.sort_unstable();
    all.dedup_by(|next, sum| {
        let is_same = (next.quarter, next.kind, next.source) == (sum.quarter, sum.kind, sum.source);
        if is_same {
            sum.events += next.events;
        }
        is_same
    });
    all
}

/// Each part of the counts, packed.
pub fn pack(counts: &[Count]) -> [Box<[u8]>; 4] {
    let column = |part: fn(&Count) -> u64| packed::pack(&counts.iter().map(part).collect::<Vec<_>>());
    [
        column(|count| (count.quarter as u64) ^ (1 << 63)),
        column(|count| count.kind),
        column(|count| count.source),
        column(|count| count.events),
    ]
}

/// The counts whose parts these are; `None` when they were not packed by [`pack`].
pub fn unpack(parts: [Vec<u64>; 4]) -> Option<Vec<Count>> {
    let [quarters, kinds, sources, events] = parts;
    if [kinds.len(), sources.len(), events.len()] != [quarters.len(); 3] {
        return None;
    }
    let columns = quarters.into_iter().zip(kinds).zip(sources).zip(events);
    let counts = columns.map(|(((quarter, kind), source), events)| Count {
        quarter: (quarter ^ (1 << 63)) as i64,
        kind,
        source,
        events,
    });
    Some(counts.collect())
}
