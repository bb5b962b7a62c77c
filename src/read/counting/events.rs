//! How many events there were, by time, type, source and tag (docs/contract.md, section 13).

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

use chrono_tz::Tz;
use foldhash::HashMap;

use super::{
    calendar::{self, Calendar, Unit},
    rows::{Cell, Counts, NotCounted, ROWS_MAX, Row},
    terms::is_bot,
};
use crate::{
    model::{Fault, Time},
    read::{
        Queries,
        filter::{KindPattern, Sources},
        parameters::{Parameters, boolean, kind_patterns, moment},
    },
    store::{Column, LogView, Names, QUARTER_MICROS, SegmentIndex, StoreError, number_time},
};

/// What events are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Time(Unit),
    Kind,
    Source,
    /// An event with several tags counts under each.
    Tag,
}

impl By {
    const WORDS: [(&str, Self); 8] = [
        ("minute", Self::Time(Unit::Minute)),
        ("hour", Self::Time(Unit::Hour)),
        ("day", Self::Time(Unit::Day)),
        ("week", Self::Time(Unit::Week)),
        ("month", Self::Time(Unit::Month)),
        ("type", Self::Kind),
        ("source", Self::Source),
        ("tag", Self::Tag),
    ];

    fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, by)| *by == self).map_or("", |(word, _)| word)
    }

    fn unit(self) -> Option<Unit> {
        if let Self::Time(unit) = self { Some(unit) } else { None }
    }

    /// The column whose numbers it goes by; `None`: by the time.
    fn column(self) -> Option<Column> {
        match self {
            Self::Time(_) => None,
            Self::Kind => Some(Column::Kind),
            Self::Source => Some(Column::Source),
            Self::Tag => Some(Column::Tags),
        }
    }
}

/// A query for counts.
pub struct CountQuery {
    by: Vec<By>,
    kinds: Vec<KindPattern>,
    sources: Sources,
    /// Whether known bots sent them.
    bot: Option<bool>,
    from: Option<Time>,
    to: Option<Time>,
    zone: Tz,
    now: Time,
}

impl CountQuery {
    /// # Errors
    /// A parameter is unknown or cannot be read; the fault names it.
    pub fn read(mut parameters: Parameters, now: Time) -> Result<Self, Fault> {
        let said = parameters.all("by").join(",");
        let by = by(&said).map_err(|fault| fault.at("by"))?;
        let kinds = kind_patterns(&mut parameters)?;
        let sources = Sources::read(&mut parameters)?;
        let bot = parameters.read("bot", boolean)?;
        let from = parameters.read("from", |text| moment(text, now))?;
        let to = parameters.read("to", |text| moment(text, now))?;
        let zone = parameters.read("tz", calendar::zone)?.unwrap_or(Tz::UTC);
        parameters.end()?;
        Ok(Self { by, kinds, sources, bot, from, to, zone, now })
    }

    fn calendar(&self) -> Option<Calendar> {
        let unit = self.by.iter().find_map(|by| by.unit())?;
        Some(Calendar::new(self.zone, unit))
    }

    /// Whether the counts that an index has by quarter of an hour say all that is asked.
    fn is_by_quarter(&self) -> bool {
        self.bot.is_none() && !self.by.iter().any(|by| matches!(by, By::Tag | By::Time(Unit::Minute)))
    }
}

/// `day` or `day,type`.
fn by(text: &str) -> Result<Vec<By>, Fault> {
    let words = By::WORDS.map(|(word, _)| word).join(", ");
    let wrong = || Fault::new("value_error", format!("one or two of {words} are expected, like day,type"));
    let found = text.split(',').map(|said| By::WORDS.iter().find(|(word, _)| *word == said.trim()).map(|(_, by)| *by));
    let found: Vec<By> = found.collect::<Option<_>>().ok_or_else(wrong)?;
    let times = found.iter().filter(|by| by.unit().is_some()).count();
    if found.len() > 2 || times > 1 || found.len() == 2 && found[0] == found[1] { Err(wrong()) } else { Ok(found) }
}

/// By the beginning of the stretch of time, if any, and the names that they are counted by.
type Sums = BTreeMap<(Time, Vec<Arc<str>>), u64>;

impl Queries {
    /// Counts events. Exact: what was deleted is not counted.
    pub async fn counts(&self, query: CountQuery) -> Result<Counts, NotCounted> {
        let _turn = self.turn().await.map_err(NotCounted::Refused)?;
        let query = Arc::new(query);
        let view = self.settled_view().await.map_err(NotCounted::Refused)?;
        let (mut sums, mut complete_from) = (Sums::new(), None);
        let segments = view.query(|log| Ok(log.segments())).await.map_err(NotCounted::Refused)?;
        for segment in segments {
            let query = query.clone();
            let counted = view.query(move |log| {
                let Some(index) = log.index(segment.start)? else { return Ok((None, Sums::new())) };
                let first = index.pages.iter().map(|page| page.inserted.0).min();
                Ok((first, Segment::new(&index, &query)?.count(log)?))
            });
            let (first, more) = counted.await.map_err(NotCounted::Refused)?;
            complete_from = complete_from.into_iter().chain(first).min();
            for (key, events) in more {
                *sums.entry(key).or_default() += events;
            }
            if sums.len() > ROWS_MAX {
                return Err(NotCounted::too_many_rows());
            }
        }
        let rows = view.query(move |_| Ok(rows(&query, &sums))).await.map_err(NotCounted::Refused)??;
        Ok(Counts { rows, complete_from })
    }
}

/// The rows of the answer: for each stretch of time from the first on, also where nothing was counted.
fn rows(query: &CountQuery, sums: &Sums) -> Result<Vec<Row>, NotCounted> {
    let mut times: BTreeSet<Time> = sums.keys().map(|(time, _)| *time).collect();
    let mut names: BTreeSet<&[Arc<str>]> = sums.keys().map(|(_, names)| &names[..]).collect();
    let mut calendar = query.calendar();
    if let Some(calendar) = &mut calendar {
        if query.by.len() == 1 {
            names.insert(&[]);
        }
        let first = query.from.or_else(|| times.first().copied());
        let end = query.to.map_or(query.now, |to| to.min(query.now));
        // Where there is nothing to count by, there is no row for any time.
        for time in calendar.starts(first, end).take_while(|_| !names.is_empty()) {
            times.insert(time);
            if times.len() * names.len() > ROWS_MAX {
                return Err(NotCounted::too_many_rows());
            }
        }
    }
    // As the sums are: by time, and by names within each.
    let mut left = sums.iter().peekable();
    let mut events = Vec::with_capacity(times.len() * names.len());
    for (time, names) in times.iter().flat_map(|time| names.iter().map(move |names| (time, *names))) {
        let counted = left.next_if(|((at, of), _)| at == time && of == names);
        events.push(counted.map_or(0, |(_, events)| *events));
    }
    let names: Vec<&[Arc<str>]> = names.into_iter().collect();
    let name = |time: &Time| calendar.as_ref().map_or_else(String::new, |calendar| calendar.name(*time));
    let called: Vec<Arc<str>> = times.iter().map(|time| name(time).into()).collect();
    let (times, width) = (called.len(), names.len());
    let row = &|time: usize, name: usize| {
        let mut names = names[name].iter();
        let part = |by: &By| {
            let part = if by.unit().is_some() { Some(&called[time]) } else { names.next() };
            part.map(|part| (by.word(), Cell::Name(part.clone())))
        };
        let mut row: Vec<_> = query.by.iter().filter_map(part).collect();
        row.push(("events", Cell::Count(events[time * width + name])));
        Row(row)
    };
    Ok(match query.by[..] {
        [_, By::Time(_)] => (0..width).flat_map(|name| (0..times).map(move |time| row(time, name))).collect(),
        _ => (0..times).flat_map(|time| (0..width).map(move |name| row(time, name))).collect(),
    })
}

/// Counts the events of a segment.
struct Segment<'a> {
    index: &'a SegmentIndex,
    query: &'a CountQuery,
    calendar: Option<Calendar>,
    names: Names,
    /// Whether the type, and the source, at this number is meant.
    kinds: Vec<bool>,
    sources: Vec<bool>,
    /// By the beginning of the stretch of time and the numbers of up to two columns.
    sums: HashMap<(Time, u64, u64), u64>,
}

impl<'a> Segment<'a> {
    fn new(index: &'a SegmentIndex, query: &'a CountQuery) -> Result<Self, StoreError> {
        let names = index.names()?;
        let kinds = names.kinds.iter().map(|kind| KindPattern::any_takes(&query.kinds, kind)).collect();
        let sources = names.sources.iter().map(|source| query.sources.takes(source)).collect();
        Ok(Self { index, query, calendar: query.calendar(), names, kinds, sources, sums: HashMap::default() })
    }

    fn count(mut self, log: &LogView<'_>) -> Result<Sums, StoreError> {
        let Range { start, end } =
            self.query.from.map_or(i64::MIN, Time::micros)..self.query.to.map_or(i64::MAX, Time::micros);
        // The quarters that lie wholly between.
        let first = if start == i64::MIN {
            i64::MIN
        } else {
            start.div_euclid(QUARTER_MICROS) + i64::from(start.rem_euclid(QUARTER_MICROS) > 0)
        };
        let behind = if end == i64::MAX { i64::MAX } else { end.div_euclid(QUARTER_MICROS) };
        if self.query.is_by_quarter() && first < behind {
            for count in self.index.counts()?.into_iter().filter(|count| (first..behind).contains(&count.quarter)) {
                let time = Time::from_micros(count.quarter * QUARTER_MICROS);
                if self.takes(count.kind, count.source) {
                    self.add(
                        time,
                        |column| if column == Column::Kind { count.kind } else { count.source },
                        count.events,
                    );
                }
            }
            if first != i64::MIN {
                self.count_rows(start..first * QUARTER_MICROS)?;
            }
            if behind != i64::MAX {
                self.count_rows(behind * QUARTER_MICROS..end)?;
            }
        } else {
            self.count_rows(start..end)?;
        }
        self.take_out_deleted(log, &(start..end))?;
        Ok(self.named())
    }

    fn takes(&self, kind: u64, source: u64) -> bool {
        let is_marked = |marks: &[bool], number: u64| marks.get(number as usize).copied().unwrap_or(false);
        is_marked(&self.kinds, kind) && is_marked(&self.sources, source)
    }

    fn add(&mut self, time: Time, number: impl Fn(Column) -> u64, events: u64) {
        *self.sum(time, number) += events;
    }

    fn sum(&mut self, time: Time, number: impl Fn(Column) -> u64) -> &mut u64 {
        let time = self.calendar.as_mut().map_or_else(Time::default, |calendar| calendar.start(time));
        let mut numbers = self.query.by.iter().filter_map(|by| by.column()).map(number);
        let key = (time, numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        self.sums.entry(key).or_default()
    }

    /// Counts the rows of these times, one by one.
    fn count_rows(&mut self, micros: Range<i64>) -> Result<(), StoreError> {
        for page in 0..self.index.pages.len() {
            let (earliest, latest) = self.index.pages[page].inserted;
            if earliest.micros() < micros.end && latest.micros() >= micros.start {
                let rows = Rows::read(self.index, page, self.query)?;
                for row in 0..rows.inserted.len() {
                    let time = number_time(rows.inserted[row]);
                    if micros.contains(&time.micros())
                        && rows.are_of(row, self.query.bot)
                        && self.takes(rows.kinds[row], rows.sources[row])
                    {
                        self.add(time, |column| rows.number(column, row), 1);
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes out what was counted and is deleted.
    fn take_out_deleted(&mut self, log: &LogView<'_>, micros: &Range<i64>) -> Result<(), StoreError> {
        let mut read: Option<(usize, Vec<u64>, Rows)> = None;
        for offset in log.deleted_events(self.index.first..self.index.end)? {
            let page = self.index.pages.partition_point(|page| page.offsets.1 < offset);
            if page >= self.index.pages.len() {
                break;
            }
            let (_, offsets, rows) = match read.take().filter(|(known, ..)| *known == page) {
                Some(known) => read.insert(known),
                None => {
                    let rows = Rows::read(self.index, page, self.query)?;
                    read.insert((page, self.index.column(page, Column::Offset)?, rows))
                }
            };
            let Ok(row) = offsets.binary_search(&offset) else { continue };
            let time = number_time(rows.inserted[row]);
            if micros.contains(&time.micros())
                && rows.are_of(row, self.query.bot)
                && self.takes(rows.kinds[row], rows.sources[row])
            {
                let sum = self.sum(time, |column| rows.number(column, row));
                *sum = sum.saturating_sub(1);
            }
        }
        Ok(())
    }

    /// The sums by names in place of this segment's numbers.
    fn named(self) -> Sums {
        let names = &self.names;
        let named = |by: &By, number: u64| -> Vec<Arc<str>> {
            let at = number as usize;
            match by {
                By::Time(_) => Vec::new(),
                By::Kind => names.kinds.get(at).cloned().into_iter().collect(),
                By::Source => names.sources.get(at).map(|id| (*id.text()).into()).into_iter().collect(),
                By::Tag => names.tags.get(at).iter().flat_map(|tags| tags.iter()).map(|tag| (**tag).into()).collect(),
            }
        };
        let mut sums = Sums::new();
        for ((time, one, other), events) in self.sums.into_iter().filter(|(_, events)| *events > 0) {
            let mut all: Vec<Vec<Arc<str>>> = vec![Vec::new()];
            for (by, number) in self.query.by.iter().filter(|by| by.column().is_some()).zip([one, other]) {
                let named = named(by, number);
                let with = |names: Vec<Arc<str>>| {
                    named.iter().map(move |name| [&names[..], std::slice::from_ref(name)].concat())
                };
                all = all.into_iter().flat_map(with).collect();
            }
            for names in all {
                *sums.entry((time, names)).or_default() += events;
            }
        }
        sums
    }
}

/// The columns of a page that rows are counted by.
struct Rows {
    inserted: Vec<u64>,
    kinds: Vec<u64>,
    sources: Vec<u64>,
    /// Empty where nothing is counted by them.
    tags: Vec<u64>,
    /// Empty where it does not count who sent them.
    flags: Vec<u64>,
}

impl Rows {
    fn read(index: &SegmentIndex, page: usize, query: &CountQuery) -> Result<Self, StoreError> {
        let is_by_tag = query.by.contains(&By::Tag);
        Ok(Self {
            inserted: index.column(page, Column::Inserted)?,
            kinds: index.column(page, Column::Kind)?,
            sources: index.column(page, Column::Source)?,
            tags: if is_by_tag { index.column(page, Column::Tags)? } else { Vec::new() },
            flags: if query.bot.is_some() { index.column(page, Column::Flags)? } else { Vec::new() },
        })
    }

    /// Whether a row was sent by a known bot, or not, as it is asked.
    fn are_of(&self, row: usize, bot: Option<bool>) -> bool {
        bot.is_none_or(|bot| self.flags.get(row).is_some_and(|flags| is_bot(*flags) == bot))
    }

    fn number(&self, column: Column, row: usize) -> u64 {
        match column {
            Column::Kind => self.kinds[row],
            Column::Source => self.sources[row],
            _ => self.tags[row],
        }
    }
}
