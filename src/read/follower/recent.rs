//! The newest events, as they are kept for all who follow the log: without a gap, and so many that they take a bounded part
//! of the memory.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;

use crate::{
    model::{Object, ShownEvent, Value},
    read::scan::EventOwners,
    store::{FoundEvent, LogView, StoreError},
};

/// What the newest events may take, as [`Recent::weight`] estimates it.
const RING_BYTES: usize = 32 * 1024 * 1024;
/// How many stretches somebody is handed at once.
const HANDED_TOGETHER: usize = 8;

/// An event that was stored lately. What readers need of it is made when the first one needs it, and kept for all.
pub struct Recent {
    pub offset: u64,
    pub event: ShownEvent,
    record: OnceLock<Bytes>,
    scope: OnceLock<Object>,
}

impl Recent {
    /// What conditions call it.
    const EVENT: &str = "event";

    pub fn new(offset: u64, event: ShownEvent) -> Self {
        Self { offset, event, record: OnceLock::new(), scope: OnceLock::new() }
    }

    /// The event as JSON.
    pub fn record(&self) -> Bytes {
        // Records have texts as keys, and memory takes them.
        let written = || serde_json::to_vec(&self.event).expect("a record can be written").into();
        self.record.get_or_init(written).clone()
    }

    /// What conditions see.
    pub fn scope(&self) -> &Object {
        self.scope.get_or_init(|| {
            let mut records = Object::default();
            records.insert(Self::EVENT, Value::shown(&self.event));
            records
        })
    }

    /// The event as a tree.
    pub fn tree(&self) -> &Value {
        self.scope().get(Self::EVENT).unwrap_or(&Value::Null)
    }

    /// About what it takes in memory, with everything that is made of it: its texts, once more as JSON, and a tree.
    pub fn weight(&self) -> usize {
        let ShownEvent { request, event } = &self.event;
        let texts = [&event.properties, &event.context, &event.outcome.written, &request.context];
        3_072 + 8 * texts.iter().map(|text| text.as_str().len()).sum::<usize>()
    }
}

/// The events of a part of the log.
pub struct Stretch {
    pub range: Range<u64>,
    pub events: Vec<Recent>,
}

impl Stretch {
    /// What a scan found within `range`, each event with the profile that its own is part of by now.
    pub fn of(range: Range<u64>, found: Vec<FoundEvent>, log: &LogView<'_>) -> Result<Self, StoreError> {
        let mut owners = EventOwners::default();
        let shown = found.into_iter().map(|event| Ok(Recent::new(event.offset, owners.shown(log, event)?)));
        Ok(Self { range, events: shown.collect::<Result<_, StoreError>>()? })
    }
}

/// The newest events, without a gap between them.
#[derive(Default)]
pub struct Ring {
    stretches: VecDeque<(Arc<Stretch>, usize)>,
    pub range: Range<u64>,
    weight: usize,
}

impl Ring {
    /// Nothing yet, from offset `at` on.
    pub fn at(at: u64) -> Self {
        Self { range: at..at, ..Self::default() }
    }

    /// Keeps what comes behind the rest and takes about `weight`, if need be in place of the oldest.
    pub fn push(&mut self, mut stretch: Stretch, weight: usize) {
        // Mostly nothing comes that anybody wants: that is one stretch, however long it lasts.
        if weight == 0
            && self.stretches.back().is_some_and(|(_, weight)| *weight == 0)
            && let Some((last, _)) = self.stretches.pop_back()
        {
            stretch.range.start = last.range.start;
        }
        self.weight += weight;
        self.range.end = stretch.range.end;
        self.stretches.push_back((Arc::new(stretch), weight));
        while self.weight > RING_BYTES
            && self.stretches.len() > 1
            && let Some((oldest, weight)) = self.stretches.pop_front()
        {
            self.weight -= weight;
            self.range.start = oldest.range.end;
        }
    }

    /// What is there from `at` on, some of it; `None` if some of that is gone.
    pub fn from(&self, at: u64) -> Option<Vec<Arc<Stretch>>> {
        if at < self.range.start {
            return None;
        }
        let first = self.stretches.partition_point(|(stretch, _)| stretch.range.end <= at);
        Some(self.stretches.iter().skip(first).take(HANDED_TOGETHER).map(|(stretch, _)| stretch.clone()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring() -> Ring {
        let mut ring = Ring::at(10);
        for start in [10, 20, 30] {
            ring.push(Stretch { range: start..start + 10, events: Vec::new() }, RING_BYTES / 3);
        }
        ring
    }

    fn found(ring: &Ring, at: u64) -> Option<Vec<u64>> {
        ring.from(at).map(|found| found.iter().map(|stretch| stretch.range.start).collect())
    }

    #[test]
    fn everybody_is_handed_what_comes_from_their_place_on() {
        let ring = ring();
        for (at, handed) in [(10, vec![10, 20, 30]), (19, vec![10, 20, 30]), (25, vec![20, 30]), (40, vec![])] {
            assert_eq!(found(&ring, at), Some(handed), "{at}");
        }
        assert_eq!(found(&ring, 9), None, "it was stored before");
    }

    #[test]
    fn the_oldest_go_for_what_comes_and_the_newest_stay_whatever_they_take() {
        let mut ring = ring();
        ring.push(Stretch { range: 40..41, events: Vec::new() }, RING_BYTES / 2);
        assert_eq!((found(&ring, 29), found(&ring, 30)), (None, Some(vec![30, 40])));
        ring.push(Stretch { range: 41..50, events: Vec::new() }, 2 * RING_BYTES);
        assert_eq!((found(&ring, 40), found(&ring, 41)), (None, Some(vec![41])));
    }

    #[test]
    fn where_nothing_comes_that_is_wanted_little_is_kept() {
        let mut ring = ring();
        (40..1_000).for_each(|at| ring.push(Stretch { range: at..at + 1, events: Vec::new() }, 0));
        assert_eq!((ring.stretches.len(), ring.range.clone()), (4, 10..1_000));
        assert_eq!((found(&ring, 700), found(&ring, 1_000)), (Some(vec![40]), Some(vec![])));
        ring.push(Stretch { range: 1_000..1_010, events: Vec::new() }, 1);
        ring.push(Stretch { range: 1_010..1_020, events: Vec::new() }, 0);
        assert_eq!(found(&ring, 700), Some(vec![40, 1_000, 1_010]));
    }
}
