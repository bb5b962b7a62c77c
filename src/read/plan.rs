//! Which rows of a segment may be meant, by its index alone.

use std::{collections::BTreeSet, collections::HashSet, ops::Range};

use super::filter::EventFilter;
use crate::{
    model::{Id, Place},
    store::{BOT, Column, PageSpan, SegmentIndex, StoreError, VALID, Visitor, number_time, time_number},
};

/// Of more ids than this, visits are found by looking through all of them.
const LOOKED_UP_MAX: usize = 64;

/// What is to be looked at of a segment.
pub struct SegmentPlan {
    index: SegmentIndex,
    /// What each column is held to.
    tests: Vec<Test>,
    /// The pages that may have such rows.
    pages: Vec<usize>,
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
    pub fn new(index: SegmentIndex, filter: &EventFilter, people: Option<&[Id]>) -> Result<Self, StoreError> {
        let mut tests = Vec::new();
        let mut pages: Vec<usize> =
            (0..index.pages.len()).filter(|page| filter.may_take_times(index.pages[*page].inserted)).collect();
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
            if let Some(bot) = filter.bot {
                tests.push(Test { column: Column::Flags, takes: Takes::Bits(BOT, if bot { BOT } else { 0 }) });
            }
        }
        Ok(Self { index, tests, pages })
    }

    /// The pages that may have rows that are meant, in the order of the log, each with its number.
    pub fn pages(&self) -> impl Iterator<Item = (usize, &PageSpan)> {
        self.pages.iter().map(|page| (*page, &self.index.pages[*page]))
    }

    /// How many pages the segment has.
    pub fn page_count(&self) -> u64 {
        self.index.pages.len() as u64
    }

    /// The places of the rows of a page that fulfil what columns tell, in the order of the log.
    pub fn rows(&self, page: usize) -> Result<Vec<Place>, StoreError> {
        let mut taken = vec![true; self.index.pages.get(page).map_or(0, |span| span.rows as usize)];
        for test in &self.tests {
            let numbers = self.index.column(page, test.column)?;
            for (taken, number) in taken.iter_mut().zip(numbers) {
                *taken &= test.takes.takes(number);
            }
            if !taken.contains(&true) {
                return Ok(Vec::new());
            }
        }
        let (offsets, times) = (self.index.column(page, Column::Offset)?, self.index.column(page, Column::Inserted)?);
        let places = offsets.into_iter().zip(times).zip(taken);
        let places =
            places.filter(|(_, taken)| *taken).map(|((offset, time), _)| Place { time: number_time(time), offset });
        Ok(places.collect())
    }
}

/// What types, source and tag come to in this segment's numbers.
fn add_name_tests(index: &SegmentIndex, filter: &EventFilter, tests: &mut Vec<Test>) -> Result<(), StoreError> {
    if filter.kinds.is_empty() && filter.sources.are_all() && filter.tag.is_none() {
        return Ok(());
    }
    let names = index.names()?;
    let mut marked = |column, marks| tests.push(Test { column, takes: Takes::Marked(marks) });
    if !filter.kinds.is_empty() {
        marked(Column::Kind, names.kinds.iter().map(|kind| filter.takes_kind(kind)).collect());
    }
    if !filter.sources.are_all() {
        marked(Column::Source, names.sources.iter().map(|known| filter.sources.takes(known)).collect());
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
