//! Which rows of a segment may be meant, by its index alone.

use std::{collections::BTreeSet, collections::HashSet, ops::Range};

use super::filter::{EventFilter, Order};
use crate::{
    model::Id,
    store::{Column, SegmentIndex, StoreError, VALID, Visitor, time_number},
};

/// Of more ids than this, visits are found by looking through all of them.
const LOOKED_UP_MAX: usize = 64;

/// What is still to be looked at of a segment.
pub struct SegmentPlan {
    index: SegmentIndex,
    /// What each column is held to; empty: no row is meant.
    tests: Vec<Test>,
    /// The pages that may have such rows, the next one at the end.
    pages: Vec<usize>,
    /// How many pages were left out.
    pub skipped: u64,
}

/// What a column's number has to be.
struct Test {
    column: Column,
    takes: Takes,
}

enum Takes {
    /// The numbers at whose place `true` stands.
    Marked(Vec<bool>),
    Within(Range<u64>),
    /// The bits and what they are to be.
    Bits(u64, u64),
}

impl Takes {
    fn takes(&self, number: u64) -> bool {
        match self {
            Self::Marked(marks) => usize::try_from(number).is_ok_and(|at| marks.get(at).copied().unwrap_or(false)),
            Self::Within(range) => range.contains(&number),
            Self::Bits(bits, expected) => number & bits == *expected,
        }
    }
}

impl SegmentPlan {
    /// Plans what to look at in a segment. `people`: all ids of the profile that the filter names.
    pub fn new(
        index: SegmentIndex,
        filter: &EventFilter,
        people: Option<&[Id]>,
        left: &Range<u64>,
        order: Order,
    ) -> Result<Self, StoreError> {
        let mut tests = Vec::new();
        let mut pages: Vec<usize> = (0..index.pages.len())
            .filter(|page| {
                let span = &index.pages[*page];
                span.offsets.0 < left.end
                    && span.offsets.1 >= left.start
                    && filter.from.is_none_or(|from| span.inserted.1 >= from)
                    && filter.to.is_none_or(|to| span.inserted.0 < to)
            })
            .collect();
        if !pages.is_empty() {
            add_name_tests(&index, filter, &mut tests)?;
            if filter.session.is_some() || people.is_some() {
                let (marks, with_rows) = visits(&index, filter.session.as_ref(), people)?;
                pages.retain(|page| with_rows.contains(page));
                tests.push(Test { column: Column::Visit, takes: Takes::Marked(marks) });
            }
            if tests.iter().any(|test| matches!(&test.takes, Takes::Marked(marks) if !marks.contains(&true))) {
                pages.clear();
            }
            if filter.from.is_some() || filter.to.is_some() {
                let range = filter.from.map_or(0, time_number)..filter.to.map_or(u64::MAX, time_number);
                tests.push(Test { column: Column::Inserted, takes: Takes::Within(range) });
            }
            if let Some(valid) = filter.valid {
                let expected = if valid { VALID } else { 0 };
                tests.push(Test { column: Column::Flags, takes: Takes::Bits(VALID, expected) });
            }
        }
        if order == Order::Oldest {
            pages.reverse();
        }
        let skipped = (index.pages.len() - pages.len()) as u64;
        Ok(Self { index, tests, pages, skipped })
    }

    /// The offsets of the segment.
    pub fn range(&self) -> Range<u64> {
        self.index.first..self.index.end
    }

    /// The offsets of the rows of the next page that fulfil what columns tell, ascending; `None`: there is no next page.
    pub fn next_page(&mut self) -> Result<Option<Vec<u64>>, StoreError> {
        let Some(page) = self.pages.pop() else { return Ok(None) };
        let mut taken = vec![true; self.index.pages[page].rows as usize];
        for test in &self.tests {
            let numbers = self.index.column(page, test.column)?;
            for (taken, number) in taken.iter_mut().zip(numbers) {
                *taken &= test.takes.takes(number);
            }
            if !taken.contains(&true) {
                return Ok(Some(Vec::new()));
            }
        }
        let offsets = self.index.column(page, Column::Offset)?;
        Ok(Some(offsets.into_iter().zip(taken).filter_map(|(offset, taken)| taken.then_some(offset)).collect()))
    }
}

/// What types, source and tag come to in this segment's numbers.
fn add_name_tests(index: &SegmentIndex, filter: &EventFilter, tests: &mut Vec<Test>) -> Result<(), StoreError> {
    if filter.kinds.is_empty() && filter.source.is_none() && filter.tag.is_none() {
        return Ok(());
    }
    let names = index.names()?;
    let mut marked = |column, marks| tests.push(Test { column, takes: Takes::Marked(marks) });
    if !filter.kinds.is_empty() {
        marked(Column::Kind, names.kinds.iter().map(|kind| filter.takes_kind(kind)).collect());
    }
    if let Some(source) = &filter.source {
        marked(Column::Source, names.sources.iter().map(|known| known == source).collect());
    }
    if let Some(tag) = &filter.tag {
        marked(Column::Tags, names.tags.iter().map(|tags| tags.contains(tag)).collect());
    }
    Ok(())
}

/// The visits of the session and of any of the people, as marks at their numbers, and the pages that have rows of them.
fn visits(
    index: &SegmentIndex,
    session: Option<&Id>,
    people: Option<&[Id]>,
) -> Result<(Vec<bool>, BTreeSet<usize>), StoreError> {
    let found = match (session, people) {
        (Some(session), _) => index.visits_of(Visitor::Session(session))?,
        (None, Some(people)) if people.len() <= LOOKED_UP_MAX => {
            let mut found = Vec::new();
            for id in people {
                found.extend(index.visits_of(Visitor::Profile(id))?);
            }
            found
        }
        _ => (0..).zip(index.visits()?).collect(),
    };
    let people: Option<HashSet<&Id>> = people.map(|people| people.iter().collect());
    let (mut marks, mut pages) = (Vec::new(), BTreeSet::new());
    for (number, visit) in found {
        let is_theirs = people
            .as_ref()
            .is_none_or(|people| visit.profile.as_ref().is_some_and(|profile| people.contains(&profile.id)));
        if is_theirs {
            let at = number as usize;
            if marks.len() <= at {
                marks.resize(at + 1, false);
            }
            marks[at] = true;
            pages.extend(visit.pages.iter().map(|page| *page as usize));
        }
    }
    Ok((marks, pages))
}
