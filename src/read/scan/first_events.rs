//! From which source a session's first event came, by the segments' indexes.

use std::ops::Range;

use crate::{
    model::{Id, Session},
    store::{Column, LogView, Names, SegmentIndex, StoreError, Visitor},
};

/// Looks up first events; sessions that were made one after the other ask for the same pages.
pub struct FirstEvents<'a> {
    log: &'a LogView<'a>,
    segments: Vec<Range<u64>>,
    segment: Option<Segment>,
}

struct Segment {
    index: SegmentIndex,
    names: Names,
    page: Option<Page>,
}

/// What is known of the rows of a page.
struct Page {
    place: usize,
    offsets: Vec<u64>,
    visits: Vec<u64>,
    sources: Vec<u64>,
}

impl<'a> FirstEvents<'a> {
    pub fn new(log: &'a LogView<'a>) -> Self {
        Self { log, segments: log.segments(), segment: None }
    }

    /// The source of the session's first event; `None`: none is stored.
    pub fn source(&mut self, session: &Session) -> Result<Option<Id>, StoreError> {
        let from = self.segments.partition_point(|segment| segment.end <= session.number);
        for place in from..self.segments.len() {
            let first = self.segments[place].start;
            let Some(segment) = Segment::at(self.log, &mut self.segment, first)? else { continue };
            // Each of its events changes a session, so none of them is later than its last change. What is imported is
            // changed by nothing and stands where it was imported.
            if segment.index.span().is_some_and(|span| span.inserted.0 > session.updated)
                && self.log.imported(session.number)?.is_none()
            {
                break;
            }
            if let Some(source) = segment.source(session)? {
                return Ok(Some(source));
            }
        }
        Ok(None)
    }
}

impl Segment {
    /// The segment that begins at offset `first`, if it is not the one at hand.
    fn at<'s>(
        log: &LogView<'_>,
        at_hand: &'s mut Option<Self>,
        first: u64,
    ) -> Result<Option<&'s mut Self>, StoreError> {
        if at_hand.as_ref().is_none_or(|segment| segment.index.first != first) {
            *at_hand = match log.index(first)? {
                Some(index) => Some(Self { names: index.names()?, index, page: None }),
                None => None,
            };
        }
        Ok(at_hand.as_mut())
    }

    fn source(&mut self, session: &Session) -> Result<Option<Id>, StoreError> {
        let visits = self.index.visits_of(Visitor::Session(&session.id))?;
        let mut pages: Vec<usize> =
            visits.iter().flat_map(|(_, visit)| &visit.pages).map(|page| *page as usize).collect();
        pages.sort_unstable();
        pages.dedup();
        // Those of a session that had the id before are not its own.
        let has_later = |page: &usize| self.index.pages.get(*page).is_some_and(|span| span.offsets.1 > session.number);
        pages.retain(has_later);
        for place in pages {
            let page = self.page(place)?;
            let is_its = |row: &usize| {
                page.offsets[*row] > session.number
                    && visits.iter().any(|(number, _)| u64::from(*number) == page.visits[*row])
            };
            if let Some(row) = (0..page.offsets.len()).find(is_its) {
                let source = page.sources[row] as usize;
                return Ok(self.names.sources.get(source).cloned());
            }
        }
        Ok(None)
    }

    fn page(&mut self, place: usize) -> Result<&Page, StoreError> {
        let page = match self.page.take().filter(|page| page.place == place) {
            Some(page) => page,
            None => {
                let column = |column| self.index.column(place, column);
                let (offsets, visits, sources) =
                    (column(Column::Offset)?, column(Column::Visit)?, column(Column::Source)?);
                Page { place, offsets, visits, sources }
            }
        };
        Ok(self.page.insert(page))
    }
}
