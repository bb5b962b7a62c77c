//! Goes through rows in the order of their times, and of the log where these are the same, where something was imported:
//! then the log is in another order.
//!
//! Segments are opened in the order of their earliest times, and a row is handed on once nothing that is not read may have
//! one before it. Where times only grow along the log, that is at once.

use std::{mem, sync::Arc};

use super::{
    super::persons::Persons,
    walk::{ByPerson, Row, RowFilter, walk_segment},
};
use crate::{
    model::Time,
    store::{PAGE_ROWS, PageSpan, ReadView, Refused, SegmentSpan},
};

/// The most rows that wait, apart from as many that come before they are counted. Of more, those farthest behind are
/// dropped, and looked for again once the others are handed on.
const WAITING_MAX: usize = 256 * 1024;

/// The time of a row, the offset of its segment's first entry, and its place in the segment.
type Key = (Time, u64, usize);

/// Rows that are read and not handed on.
#[derive(Default)]
struct Waiting {
    rows: Vec<(Key, Row)>,
    /// Those before it were handed on before.
    from: Option<Key>,
    /// This row and those behind it were dropped.
    dropped: Option<Key>,
}

impl Waiting {
    fn add(&mut self, key: Key, row: Row, most: usize) {
        if self.from.is_some_and(|from| key < from) || self.dropped.is_some_and(|dropped| key >= dropped) {
            return;
        }
        self.rows.push((key, row));
        if self.rows.len() > 2 * most {
            self.rows.select_nth_unstable_by_key(most, |(key, _)| *key);
            self.dropped = Some(self.rows[most].0);
            self.rows.truncate(most);
        }
    }

    /// Hands on those before `end`; all of them without it.
    fn hand_on(&mut self, end: Option<Time>, mut each: impl FnMut(Row)) {
        if self.rows.iter().all(|(key, _)| end.is_some_and(|end| key.0 >= end)) {
            return;
        }
        self.rows.sort_by_key(|(key, _)| *key); // what stayed is sorted, and so is mostly what came
        let count = end.map_or(self.rows.len(), |end| self.rows.partition_point(|(key, _)| key.0 < end));
        self.rows.drain(..count).for_each(|(_, row)| each(row));
    }

    /// Whether something is to be looked for again, from where it was dropped.
    fn begin_again(&mut self) -> bool {
        self.from = self.dropped.take();
        self.from.is_some()
    }
}

/// The earliest time in each page and those behind it.
fn earliest(pages: &[PageSpan]) -> Vec<Time> {
    let mut times: Vec<Time> = pages.iter().map(|page| page.inserted.0).collect();
    for page in (1..times.len()).rev() {
        times[page - 1] = times[page - 1].min(times[page]);
    }
    times
}

/// Has every row seen that is meant and of somebody. `spans`: all segments.
pub async fn by_time<S: ByPerson>(
    view: &ReadView,
    mut spans: Vec<SegmentSpan>,
    filter: &RowFilter,
    mut persons: Persons,
    mut state: S,
) -> Result<(Persons, S), Refused> {
    spans.sort_by_key(|span| (span.inserted.0, span.range.start));
    let mut waiting = Waiting::default();
    loop {
        let from = waiting.from.map(|(time, ..)| time);
        let filter = Arc::new(RowFilter { from: filter.from.max(from), ..filter.clone() });
        for (place, SegmentSpan { range, inserted, .. }) in spans.iter().enumerate() {
            if from.is_some_and(|from| inserted.1 < from) || waiting.dropped.is_some_and(|(time, ..)| inserted.0 > time)
            {
                continue;
            }
            let (start, next) = (range.start, spans.get(place + 1).map(|next| next.inserted.0));
            let filter = filter.clone();
            (persons, state, waiting) = view
                .query(move |log| {
                    if let Some(index) = log.index(start)? {
                        let earliest = earliest(&index.pages);
                        let mut page = 0;
                        walk_segment(log, &index, &filter, &mut persons, &mut |place, row: Row| {
                            if mem::replace(&mut page, place / PAGE_ROWS) != page {
                                let end = earliest.get(page).copied().into_iter().chain(next).min();
                                waiting.hand_on(end, |row| state.see(row));
                            }
                            waiting.add((row.time, start, place), row, WAITING_MAX);
                        })?;
                    }
                    if next.is_some() {
                        waiting.hand_on(next, |row| state.see(row));
                    }
                    Ok((persons, state, waiting))
                })
                .await?;
        }
        waiting.hand_on(None, |row| state.see(row));
        if !waiting.begin_again() {
            return Ok((persons, state));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_find_no_room_are_handed_on_when_they_are_looked_for_again() {
        // Many of the same time, in an order of their own.
        let key = |number: u32| (Time::from_micros(i64::from(number * 7 % 1_000 / 20)), 5, number as usize);
        let mut expected: Vec<u32> = (0..1_000).collect();
        expected.sort_by_key(|number| key(*number));
        let (mut waiting, mut found, mut rounds) = (Waiting::default(), Vec::new(), 0);
        loop {
            for number in 0..1_000 {
                waiting.add(key(number), Row { time: key(number).0, person: number, classes: 1 }, 100);
                assert!(waiting.rows.len() <= 200);
            }
            waiting.hand_on(Some(Time::from_micros(3)), |row| found.push(row.person));
            waiting.hand_on(None, |row| found.push(row.person));
            rounds += 1;
            if !waiting.begin_again() {
                break;
            }
        }
        assert!(rounds > 3);
        assert_eq!(found, expected);
    }
}
