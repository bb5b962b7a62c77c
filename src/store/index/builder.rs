//! Gathers the index of a segment while its entries come.

use std::{borrow::Cow, sync::Arc};

use super::{
    BOT, Column, Count, GIVEN, Names, PAGE_ROWS, PageSpan, VALID, Visit, Visitor, counts, dictionary::Dictionary,
    number_time, packed, time_number, visits::Visits,
};
use crate::{
    model::{Event, EventRequest, Id},
    store::entry::Entry,
};

/// The index of a segment that grows.
pub struct Builder {
    first: u64,
    end: u64,
    full: Vec<FullPage>,
    /// The columns of the rows behind the full pages.
    open: [Vec<u64>; Column::COUNT],
    kinds: Dictionary<Arc<str>>,
    sources: Dictionary<Id>,
    tags: Dictionary<Arc<[Box<str>]>>,
    visits: Visits,
    request: Option<Arc<EventRequest>>,
    /// The source's number and the visit's of that request, once it had an event in the open page.
    noted: Option<(u32, u32)>,
}

/// A page to which no row comes any more.
struct FullPage {
    span: PageSpan,
    /// Each column, packed.
    columns: [Box<[u8]>; Column::COUNT],
    counts: Vec<Count>,
}

impl Builder {
    /// For a segment whose first entry stands or will stand at offset `first`.
    pub fn new(first: u64) -> Self {
        Self {
            first,
            end: first,
            full: Vec::new(),
            open: Default::default(),
            kinds: Dictionary::default(),
            sources: Dictionary::default(),
            tags: Dictionary::default(),
            visits: Visits::default(),
            request: None,
            noted: None,
        }
    }

    /// Adds the entry behind the last one.
    pub fn add(&mut self, entry: &Entry) {
        match entry {
            Entry::Request(request) => (self.request, self.noted) = (Some(request.clone()), None),
            Entry::Event(event) => {
                if let Some(request) = self.request.take() {
                    self.add_event(&request, event);
                    self.request = Some(request);
                }
            }
            _ => {}
        }
        self.end += 1;
    }

    fn add_event(&mut self, request: &EventRequest, event: &Event) {
        let (source, visit) = self.noted.unwrap_or_else(|| {
            let page = u32::try_from(self.full.len()).expect("a segment holds fewer pages");
            let visit = self.visits.note(request.session.as_ref(), request.profile.as_ref(), page);
            (self.sources.number(&request.source), visit)
        });
        self.noted = Some((source, visit));
        let flags = [(event.outcome.valid, VALID), (event.given, GIVEN), (request.bot, BOT)];
        let row = [
            (Column::Offset, self.end),
            (Column::Inserted, time_number(request.inserted)),
            (Column::Kind, self.kinds.number(&event.kind).into()),
            (Column::Source, source.into()),
            (Column::Visit, visit.into()),
            (Column::Tags, self.tags.number(&event.tags).into()),
            (Column::Flags, flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag).sum()),
        ];
        row.into_iter().for_each(|(column, value)| self.open[column as usize].push(value));
        if self.open[0].len() == PAGE_ROWS {
            self.fill_page();
        }
    }

    /// Packs the rows behind the full pages into a page of their own.
    fn fill_page(&mut self) {
        let Some(span) = self.open_span() else { return };
        let counts = counts::of_rows(
            &self.open[Column::Inserted as usize],
            &self.open[Column::Kind as usize],
            &self.open[Column::Source as usize],
        );
        let columns = std::array::from_fn(|column| {
            let packed = packed::pack(&self.open[column]);
            self.open[column].clear();
            packed
        });
        self.noted = None;
        self.full.push(FullPage { span, columns, counts });
    }

    fn open_span(&self) -> Option<PageSpan> {
        let [offsets, inserted, ..] = &self.open;
        let offsets = (*offsets.first()?, *offsets.last()?);
        let earliest = inserted.iter().min().copied().map(number_time)?;
        let latest = inserted.iter().max().copied().map(number_time)?;
        let rows = u32::try_from(inserted.len()).expect("a page has few rows");
        Some(PageSpan { rows, offsets, inserted: (earliest, latest) })
    }

    pub fn first(&self) -> u64 {
        self.first
    }

    /// The offset behind the last entry.
    pub fn end(&self) -> u64 {
        self.end
    }

    pub fn pages(&self) -> Vec<PageSpan> {
        self.full.iter().map(|page| page.span).chain(self.open_span()).collect()
    }

    /// A column of a page, packed.
    pub fn packed(&self, page: usize, column: Column) -> Cow<'_, [u8]> {
        match self.full.get(page) {
            Some(page) => Cow::Borrowed(&page.columns[column as usize]),
            None => Cow::Owned(packed::pack(&self.open[column as usize]).into_vec()),
        }
    }

    pub fn column(&self, page: usize, column: Column) -> Vec<u64> {
        match self.full.get(page) {
            Some(page) => packed::unpack(&page.columns[column as usize]).expect("it was packed here"),
            None => self.open[column as usize].clone(),
        }
    }

    /// The counts of a page to which no row comes any more.
    pub fn counts(&self, page: usize) -> Option<&[Count]> {
        self.full.get(page).map(|page| page.counts.as_slice())
    }

    pub fn names(&self) -> Names {
        Names {
            kinds: self.kinds.values().to_vec(),
            sources: self.sources.values().to_vec(),
            tags: self.tags.values().to_vec(),
        }
    }

    pub fn visits_of(&self, visitor: Visitor<'_>) -> Vec<(u32, Visit)> {
        self.visits.of(visitor)
    }

    pub fn visits(&self) -> Vec<Visit> {
        self.visits.all()
    }
}
