//! Sessions and events in one list.

use std::{collections::VecDeque, ops::Range};

use super::{Found, Read, Record, Scan};
use crate::{
    model::{Object, Place, Value},
    read::filter::Order,
    store::{LogView, StoreError},
};

/// A walk for records of several kinds in one order.
pub struct Timeline {
    order: Order,
    branches: [Branch; 2],
    /// The place of the last record that was handed on.
    last: Option<Place>,
}

/// The records of one kind.
struct Branch {
    kind: &'static str,
    scan: Box<dyn Scan>,
    /// What it found and others may come before.
    found: VecDeque<Found>,
}

impl Timeline {
    pub fn new(order: Order, events: impl Scan + 'static, sessions: impl Scan + 'static) -> Self {
        let branch = |kind, scan| Branch { kind, scan, found: VecDeque::new() };
        Self { order, branches: [branch("session", Box::new(sessions)), branch("event", Box::new(events))], last: None }
    }

    /// The branch whose next record, found or not, may come before that of the other one; `None`: both are done.
    fn next(&mut self) -> Option<&mut Branch> {
        let order = self.order;
        let next = self.branches.iter_mut().filter_map(|branch| {
            let left = branch.left(order);
            (!left.is_empty()).then_some((left, branch))
        });
        match order {
            Order::Newest => next.max_by_key(|(left, _)| left.end),
            Order::Oldest => next.min_by_key(|(left, _)| left.start),
        }
        .map(|(_, branch)| branch)
    }
}

impl Branch {
    /// The places whose records were not handed on yet.
    fn left(&self, order: Order) -> Range<Place> {
        let unlooked = self.scan.left();
        match (self.found.front(), order) {
            (None, _) => unlooked,
            (Some(next), Order::Newest) => unlooked.start.min(next.place)..next.place.next(),
            (Some(next), Order::Oldest) => next.place..unlooked.end.max(next.place.next()),
        }
    }
}

impl Scan for Timeline {
    fn left(&self) -> Range<Place> {
        let [one, other] = self.branches.each_ref().map(|branch| branch.left(self.order));
        let left = match (one.is_empty(), other.is_empty()) {
            (true, _) => other,
            (_, true) => one,
            _ => one.start.min(other.start)..one.end.max(other.end),
        };
        // A branch that did not look yet has this place left, too.
        self.last.map_or(left.clone(), |last| self.order.behind(last, &left))
    }

    fn read(&self) -> Read {
        let [one, other] = self.branches.each_ref().map(|branch| branch.scan.read());
        Read { blocks: one.blocks + other.blocks, skipped: one.skipped + other.skipped }
    }

    fn step(&mut self, log: &LogView<'_>, most: usize) -> Result<Vec<Found>, StoreError> {
        let (mut list, mut has_looked) = (Vec::new(), false);
        while list.len() < most {
            let Some(branch) = self.next() else { break };
            if let Some(found) = branch.found.pop_front() {
                let place = found.place;
                list.push(found.of_kind(branch.kind));
                self.last = Some(place);
            } else if has_looked {
                break; // one look a step, so that it stays short
            } else {
                branch.found.extend(branch.scan.step(log, most)?);
                has_looked = true;
            }
        }
        Ok(list)
    }
}

impl Found {
    fn of_kind(self, kind: &'static str) -> Self {
        let mut record = Object::default();
        record.insert("kind", Value::text(kind));
        if let Value::Object(parts) = Value::shown(&self.record) {
            parts.iter().for_each(|(part, value)| record.insert(part, value.clone()));
        }
        Self { place: self.place, record: Record::OfKind(Value::Object(record)) }
    }
}
