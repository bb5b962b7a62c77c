//! Gathers the index of a segment while its entries come.

use std::{borrow::Cow, sync::Arc};

use super::{
    BOT, Column, Count, GIVEN, Names, PAGE_ROWS, PageSpan, VALID, counts,
    dictionary::Dictionary,
    facet_text, number_time, packed,
    texts::Texts,
    time_number,
    visits::{Began, Visits},
};
use crate::{
    model::{ContextSections, EVENTS_MAX, Event, EventRequest, Facets, Id, KnownAgent, Session},
    store::entry::Entry,
};

/// The index of a segment that grows.
pub struct Builder {
    first: u64,
    end: u64,
    full: Vec<FullPage>,
    /// The columns of the rows behind the full pages.
    open: [Vec<u64>; Column::COUNT],
    /// Some of these were imported.
    open_imported: bool,
    kinds: Dictionary<Arc<str>>,
    sources: Dictionary<Id>,
    tags: Dictionary<Arc<[Box<str>]>>,
    visits: Visits,
    /// What the numbers of [`Column::FACETS`] stand for.
    texts: [Texts; Column::FACETS.len()],
    /// The sessions of a request, which stand before its events.
    sessions: Vec<Arc<Session>>,
    /// Events came since: the next session is another request's.
    sessions_are_old: bool,
    request: Option<Arc<EventRequest>>,
    /// What the events of that request share.
    facets: Option<RequestFacets>,
    /// The source's number and the visit's of that request, once it had an event in the open page.
    noted: Option<(u32, u32)>,
}

/// What is read of a request once for all of its events.
struct RequestFacets {
    sections: ContextSections,
    /// The number of its client, once an event had no other.
    client: Option<u64>,
    /// The numbers of the event before: most say the same of their page.
    before: Option<(Arc<Event>, [u64; Column::FACETS.len()])>,
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
            open_imported: false,
            kinds: Dictionary::default(),
            sources: Dictionary::default(),
            tags: Dictionary::default(),
            visits: Visits::default(),
            texts: Default::default(),
            sessions: Vec::new(),
            sessions_are_old: false,
            request: None,
            facets: None,
            noted: None,
        }
    }

    /// Adds the entry behind the last one.
    pub fn add(&mut self, entry: &Entry) {
        match entry {
            Entry::Request(request) | Entry::ImportedRequest(request) => {
                (self.request, self.facets, self.noted) = (Some(request.clone()), None, None);
            }
            Entry::Session(session) => {
                if self.sessions_are_old || self.sessions.len() == EVENTS_MAX {
                    self.sessions.clear();
                }
                self.sessions_are_old = false;
                self.sessions.push(session.clone());
            }
            Entry::Event(event) | Entry::ImportedEvent(event) => {
                self.sessions_are_old = true;
                if let Some(request) = self.request.take() {
                    self.add_event(&request, event);
                    self.request = Some(request);
                }
            }
            _ => {}
        }
        self.end += 1;
    }

    fn add_event(&mut self, request: &EventRequest, event: &Arc<Event>) {
        let (source, visit) = self.noted.unwrap_or_else(|| {
            let page = u32::try_from(self.full.len()).expect("a segment holds fewer pages");
            let began = || {
                let id = request.session.as_ref()?;
                let session = self.sessions.iter().rev().find(|session| session.id == *id)?;
                Some(session.first_event.is_none_or(|first| first >= request.inserted))
            };
            let began = || began().map_or(Began::Untold, |is_here| if is_here { Began::Here } else { Began::Before });
            let visit =
                self.visits.note(request.session.as_ref(), request.profile.as_ref(), page, began, request.imported);
            (self.sources.number(&request.source), visit)
        });
        self.noted = Some((source, visit));
        self.open_imported |= request.imported;
        let flags = [(event.outcome.valid, VALID), (event.given, GIVEN), (request.bot, BOT)];
        let [page, referrer, client, campaign] = self.facets(request, event);
        let row = [
            (Column::Offset, self.end),
            (Column::Inserted, time_number(request.inserted)),
            (Column::Kind, self.kinds.number(&event.kind).into()),
            (Column::Source, source.into()),
            (Column::Visit, visit.into()),
            (Column::Tags, self.tags.number(&event.tags).into()),
            (Column::Flags, flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag).sum()),
            (Column::Page, page),
            (Column::Referrer, referrer),
            (Column::Client, client),
            (Column::Campaign, campaign),
        ];
        row.into_iter().for_each(|(column, value)| self.open[column as usize].push(value));
        if self.open[0].len() == PAGE_ROWS {
            self.fill_page();
        }
    }

    /// The numbers of an event's facets.
    fn facets(&mut self, request: &EventRequest, event: &Arc<Event>) -> [u64; Column::FACETS.len()] {
        let Self { texts: [pages, referrers, clients, campaigns], facets: shared, .. } = self;
        let shared = shared.get_or_insert_with(|| RequestFacets {
            sections: ContextSections::of(&request.context),
            client: None,
            before: None,
        });
        if let Some((before, numbers)) = &shared.before
            && before.context == event.context
            && before.outcome.written == event.outcome.written
        {
            return *numbers;
        }
        let facets = Facets::new(request, &shared.sections, event);
        let client = match shared.client {
            Some(client) if facets.has_client_of_request => client,
            _ => {
                let agent = KnownAgent::of(&facets.user_agent().unwrap_or_default());
                let client = clients.number(&facet_text(&facets.client(&agent)));
                if facets.has_client_of_request {
                    shared.client = Some(client);
                }
                client
            }
        };
        let campaign = campaigns.number(&facet_text(&facets.campaign()));
        let numbers = [pages.number(&facets.page()), referrers.number(&facets.referrer()), client, campaign];
        shared.before = Some((event.clone(), numbers));
        numbers
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
        self.open_imported = false;
        self.full.push(FullPage { span, columns, counts });
    }

    fn open_span(&self) -> Option<PageSpan> {
        let [offsets, inserted, ..] = &self.open;
        let offsets = (*offsets.first()?, *offsets.last()?);
        let earliest = inserted.iter().min().copied().map(number_time)?;
        let latest = inserted.iter().max().copied().map(number_time)?;
        let rows = u32::try_from(inserted.len()).expect("a page has few rows");
        Some(PageSpan { rows, offsets, inserted: (earliest, latest), imported: self.open_imported })
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

    /// The texts that the numbers of a column of [`Column::FACETS`] stand for.
    pub fn texts(&self, facet: usize) -> &[Arc<str>] {
        self.texts[facet].all()
    }

    pub fn visits(&self) -> &Visits {
        &self.visits
    }
}
