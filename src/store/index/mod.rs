//! What queries read of a segment without opening its blocks: for each event its type, source, visit, tags, time and
//! place in columns, and for each session and profile the pages of rows that have it.
//!
//! A row is an event; rows stand in the order of the log, in pages of [`PAGE_ROWS`]. The live segment keeps its index in
//! memory ([`Builder`]); sealing writes the same to a file ([`IndexFile`]). The file is a view of the segment: if it is
//! missing or damaged, it is made again from the blocks. ARCHITECTURE.md has its form.

mod builder;
mod counts;
mod dictionary;
mod file;
mod files;
mod filter;
mod ids;
mod packed;
#[cfg(test)]
mod tests;
mod texts;
mod visits;

use std::{borrow::Cow, ops::Range, sync::Arc};

use parking_lot::RwLock;

use super::error::StoreError;
use crate::model::{Id, Time};

pub use builder::Builder;
pub use counts::{Count, QUARTER_MICROS};
use file::IndexFile;
pub use files::{IndexFiles, SegmentName};
pub use filter::{Filter, fingerprint};
pub use texts::{UNLISTED, UNTOLD, place_of};
pub use visits::{Began, NOWHERE, SegmentProfiles, SegmentSessions, Visit, VisitColumns};

/// How many rows stand in a page; the last one may have fewer.
pub const PAGE_ROWS: usize = 4_096;

/// What is known of each row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// The event's offset in the log.
    Offset,
    /// The server's time: see [`time_number`].
    Inserted,
    /// The place of the event's type among [`Names::kinds`].
    Kind,
    /// The place of its source among [`Names::sources`].
    Source,
    /// The number of its visit: see [`Visit`].
    Visit,
    /// The place of its tags among [`Names::tags`].
    Tags,
    /// The sum of [`VALID`] and so on.
    Flags,
    /// The number of a text, as [`place_of`] reads it: the page, see [`crate::model::Facets::page`].
    Page,
    /// Likewise the host of the referrer.
    Referrer,
    /// Likewise what is known of the client: browser, system, device, language and country, between them [`BETWEEN`].
    Client,
    /// Likewise the campaign's source, medium and name.
    Campaign,
}

/// Stands between the facets that share a column; a text that holds it has another character in its place.
pub const BETWEEN: char = '\0';
const REPLACED: &str = "\u{fffd}";

/// The facets that share a column, as one text; empty where none of them tells anything.
pub fn facet_text(parts: &[Cow<'_, str>]) -> String {
    let mut text = String::new();
    if parts.iter().any(|part| !part.is_empty()) {
        for (place, part) in parts.iter().enumerate() {
            if place > 0 {
                text.push(BETWEEN);
            }
            if part.contains(BETWEEN) {
                text.push_str(&part.replace(BETWEEN, REPLACED));
            } else {
                text.push_str(part);
            }
        }
    }
    text
}

impl Column {
    /// In the order of their places.
    pub const ALL: [Self; 11] = [
        Self::Offset,
        Self::Inserted,
        Self::Kind,
        Self::Source,
        Self::Visit,
        Self::Tags,
        Self::Flags,
        Self::Page,
        Self::Referrer,
        Self::Client,
        Self::Campaign,
    ];
    pub const COUNT: usize = Self::ALL.len();
    /// Those whose numbers stand for texts.
    pub const FACETS: [Self; 4] = [Self::Page, Self::Referrer, Self::Client, Self::Campaign];
}

/// The event keeps to its type's schema.
pub const VALID: u64 = 1;
/// Its id is its client's.
pub const GIVEN: u64 = 2;
/// It came from a known bot.
pub const BOT: u64 = 4;

/// What the numbers of the columns mean, in the order in which they came.
#[derive(Clone, Debug, Default)]
pub struct Names {
    pub kinds: Vec<Arc<str>>,
    pub sources: Vec<Id>,
    /// All tags of an event together.
    pub tags: Vec<Arc<[Box<str>]>>,
}

/// What a page's rows lie within.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct PageSpan {
    pub rows: u32,
    /// The offsets of its first and last row.
    pub offsets: (u64, u64),
    /// The earliest and the latest server time.
    pub inserted: (Time, Time),
    /// Some of the events were imported, so their times may be in another order than they are.
    pub imported: bool,
}

/// The events of a segment.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentSpan {
    /// The offsets of all of its entries.
    pub range: Range<u64>,
    /// The earliest and the latest server time.
    pub inserted: (Time, Time),
    /// Some of them were imported.
    pub imported: bool,
    /// How many pages they fill.
    pub pages: usize,
}

/// A time as a number of the same order.
pub fn time_number(time: Time) -> u64 {
    (time.micros() as u64) ^ (1 << 63)
}

/// The time that a number stands for.
pub fn number_time(number: u64) -> Time {
    Time::from_micros((number ^ (1 << 63)) as i64)
}

/// Of whom the visits are asked for.
#[derive(Clone, Copy, Debug)]
pub enum Visitor<'a> {
    Session(&'a Id),
    /// Under this id; other ids of the same person are asked for by themselves.
    Profile(&'a Id),
}

/// The index of a segment as it stood when it was asked for.
#[derive(Clone)]
pub struct SegmentIndex {
    /// The offset of the segment's first entry.
    pub first: u64,
    /// The offset behind its last one.
    pub end: u64,
    pub pages: Arc<[PageSpan]>,
    form: Form,
}

#[derive(Clone)]
enum Form {
    /// Rows may have come since.
    Memory(Arc<RwLock<Builder>>),
    File(Arc<IndexFile>),
}

impl SegmentIndex {
    /// Of the live segment, or of one that is being sealed.
    pub fn in_memory(builder: &Arc<RwLock<Builder>>) -> Self {
        let reading = builder.read();
        let (first, end, pages) = (reading.first(), reading.end(), reading.pages().into());
        Self { first, end, pages, form: Form::Memory(builder.clone()) }
    }

    pub fn in_file(file: Arc<IndexFile>) -> Self {
        let (first, end) = file.range();
        Self { first, end, pages: file.pages(), form: Form::File(file) }
    }

    /// What its events lie within; `None`: there are none.
    pub fn span(&self) -> Option<SegmentSpan> {
        let spans = self.pages.iter().map(|page| page.inserted);
        let inserted = spans.reduce(|(least, most), (earliest, latest)| (least.min(earliest), most.max(latest)))?;
        let imported = self.pages.iter().any(|page| page.imported);
        Some(SegmentSpan { range: self.first..self.end, inserted, imported, pages: self.pages.len() })
    }

    /// Something in its file could not be read: it is to be made again.
    pub fn is_damaged(&self) -> bool {
        matches!(&self.form, Form::File(file) if file.is_damaged())
    }

    /// A column of the page at `page` of [`SegmentIndex::pages`].
    pub fn column(&self, page: usize, column: Column) -> Result<Vec<u64>, StoreError> {
        let rows = self.pages.get(page).map_or(0, |span| span.rows as usize);
        let mut values = match &self.form {
            Form::Memory(builder) => builder.read().column(page, column),
            Form::File(file) => file.column(page, column)?,
        };
        values.truncate(rows);
        Ok(values)
    }

    pub fn names(&self) -> Result<Names, StoreError> {
        match &self.form {
            Form::Memory(builder) => Ok(builder.read().names()),
            Form::File(file) => file.names(),
        }
    }

    /// How many events there are, by quarter of an hour, type and source: for each of these one or several counts, which
    /// add up.
    pub fn counts(&self) -> Result<Vec<Count>, StoreError> {
        let builder = match &self.form {
            Form::Memory(builder) => builder,
            Form::File(file) => return file.counts(),
        };
        let mut all = Vec::new();
        for (page, span) in self.pages.iter().enumerate() {
            // Of a page to which rows have come since, the rows are counted that were there.
            let is_full = span.rows as usize == PAGE_ROWS;
            if let Some(counts) = builder.read().counts(page).filter(|_| is_full) {
                all.extend_from_slice(counts);
                continue;
            }
            let column = |column| self.column(page, column);
            all.extend(counts::of_rows(&column(Column::Inserted)?, &column(Column::Kind)?, &column(Column::Source)?));
        }
        Ok(all)
    }

    /// The texts that the numbers of `column` stand for, by [`place_of`]; none for a column that is not among
    /// [`Column::FACETS`].
    pub fn texts(&self, column: Column) -> Result<Vec<Arc<str>>, StoreError> {
        let Some(facet) = Column::FACETS.iter().position(|known| *known == column) else { return Ok(Vec::new()) };
        match &self.form {
            Form::Memory(builder) => Ok(builder.read().texts(facet).to_vec()),
            Form::File(file) => file.texts(facet),
        }
    }

    /// The visits of `visitor`, each with its number.
    pub fn visits_of(&self, visitor: Visitor<'_>) -> Result<Vec<(u32, Visit)>, StoreError> {
        match &self.form {
            Form::Memory(builder) => Ok(builder.read().visits().of(visitor)),
            Form::File(file) => file.visits_of(visitor),
        }
    }

    /// All visits, in the order of their numbers.
    pub fn visits(&self) -> Result<Vec<Visit>, StoreError> {
        match &self.form {
            Form::Memory(builder) => {
                let reading = builder.read();
                Ok((0..reading.visits().count() as u32).map(|number| reading.visits().at(number)).collect())
            }
            Form::File(file) => file.visits(),
        }
    }

    /// Session and profile of each visit.
    pub fn visit_columns(&self) -> Result<VisitColumns, StoreError> {
        match &self.form {
            Form::Memory(builder) => Ok(builder.read().visits().columns()),
            Form::File(file) => file.visit_columns(),
        }
    }

    /// The sessions that the visits name, by their places.
    pub fn sessions(&self) -> Result<SegmentSessions, StoreError> {
        match &self.form {
            Form::Memory(builder) => Ok(builder.read().visits().sessions()),
            Form::File(file) => file.sessions(),
        }
    }

    /// How many profiles the visits name.
    pub fn profile_count(&self) -> usize {
        match &self.form {
            Form::Memory(builder) => builder.read().visits().profile_refs().len(),
            Form::File(file) => file.profile_count(),
        }
    }

    /// The profiles that the visits name, by their places.
    pub fn profiles(&self) -> Result<SegmentProfiles, StoreError> {
        match &self.form {
            Form::Memory(builder) => Ok(builder.read().visits().profiles()),
            Form::File(file) => file.profiles(),
        }
    }
}
