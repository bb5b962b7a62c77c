//! How many visits began in each stretch of time, and how they went (docs/contract.md, section 13). `whole` goes
//! through visits; `scattered` has those of which something was imported.

mod scattered;
mod whole;

use std::{collections::BTreeMap, sync::Arc};

use chrono_tz::Tz;
use foldhash::HashSet;

use super::{
    calendar::{self, Calendar, Unit},
    median::Durations,
    persons::Persons,
    rows::{Cell, Counts, NotCounted, ROWS_MAX, Row},
    terms::Terms,
};
use whole::WholeVisit;

use crate::{
    model::{Fault, Time},
    read::{Queries, parameters::Parameters},
    store::{Column, LogView, PageSpan, StoreError, number_time},
};
pub use scattered::Scattered;
pub use whole::{VisitQuery, VisitWalk};

const UNITS: [(&str, Unit); 4] =
    [("hour", Unit::Hour), ("day", Unit::Day), ("week", Unit::Week), ("month", Unit::Month)];

/// A query for visits.
pub struct VisitsQuery {
    word: &'static str,
    unit: Unit,
    terms: Terms,
    zone: Tz,
    now: Time,
}

impl VisitsQuery {
    /// # Errors
    /// A parameter is unknown or cannot be read; the fault names it.
    pub fn read(mut parameters: Parameters, now: Time) -> Result<Self, Fault> {
        let found = parameters.read("by", |by| {
            let found = UNITS.iter().find(|(word, _)| *word == by.trim());
            found.ok_or_else(|| Fault::new("value_error", "hour, day, week or month is expected"))
        })?;
        let (word, unit) = *found.ok_or_else(|| Fault::missing().at("by"))?;
        let terms = Terms::read(&mut parameters, now)?;
        let zone = parameters.read("tz", calendar::zone)?.unwrap_or(Tz::UTC);
        parameters.end()?;
        Ok(Self { word, unit, terms, zone, now })
    }
}

/// Those who began within a stretch of time.
#[derive(Default)]
struct Stretch {
    visits: u64,
    views: u64,
    events: u64,
    bounced: u64,
    durations: Durations,
    /// Those of the part of all people that is gone through, and the others: how many, and how many were made within it.
    people: HashSet<u32>,
    profiles: u64,
    new_profiles: u64,
}

/// The stretches by their beginnings.
struct Stretches {
    calendar: Calendar,
    all: BTreeMap<Time, Stretch>,
    /// All visits were met before: they come once more with each further part of the people.
    are_visits_counted: bool,
    /// Read once they were.
    made: Made,
}

/// What tells when profiles were made.
#[derive(Default)]
struct Made {
    /// All pages, each with the offset of its segment's first entry and its place there.
    pages: Vec<(u64, usize, PageSpan)>,
    /// The offsets at which the sessions and profiles were made that were imported.
    imported: std::collections::HashSet<u64>,
}

impl Made {
    fn read(log: &LogView<'_>) -> Result<Self, StoreError> {
        let mut pages = Vec::new();
        for segment in log.segments() {
            let Some(index) = log.index(segment.start)? else { continue };
            pages.extend(index.pages.iter().enumerate().map(|(page, span)| (segment.start, page, *span)));
        }
        Ok(Self { pages, imported: log.imported_at()? })
    }

    /// The time of the first event that is kept.
    fn complete_from(&self) -> Option<Time> {
        self.pages.iter().map(|(.., span)| span.inserted.0).min()
    }
}

impl Stretches {
    fn add(&mut self, visit: WholeVisit) {
        let stretch = self.all.entry(self.calendar.start(visit.begun)).or_default();
        stretch.people.extend(visit.people.iter());
        if self.are_visits_counted {
            return;
        }
        stretch.visits += 1;
        stretch.views += u64::from(visit.meant_views);
        stretch.events += u64::from(visit.meant_events);
        stretch.bounced += u64::from(visit.events == 1 || visit.views == 1);
        stretch.durations.push(visit.ended.micros() - visit.begun.micros());
    }

    /// Counts the people of the part that was gone through. A profile is made right before the first event of the request
    /// that it came with, so it has that one's time, or it was imported and says itself when it was made.
    fn end_part(&mut self, log: &LogView<'_>, persons: &Persons) -> Result<(), StoreError> {
        if !self.are_visits_counted {
            (self.are_visits_counted, self.made) = (true, Made::read(log)?);
        }
        let Made { pages, imported } = &self.made;
        // Where a page reaches beyond its stretch, its rows tell: who is asked about, by the page.
        let mut open: BTreeMap<usize, Vec<(Time, u64)>> = BTreeMap::new();
        for (start, stretch) in &mut self.all {
            let times = *start..self.calendar.next(*start);
            for made in stretch.people.iter().filter_map(|person| persons.made(*person)) {
                if imported.contains(&made) {
                    let profile = log.profiles_made(made..made + 1).next().transpose()?;
                    let profile = profile.map(|profile| log.profile(&profile)).transpose()?.flatten();
                    let is_new = profile.is_some_and(|profile| times.contains(&profile.inserted));
                    stretch.new_profiles += u64::from(is_new);
                    continue;
                }
                let at = pages.partition_point(|(.., span)| span.offsets.1 < made);
                let Some((.., span)) = pages.get(at) else { continue };
                let (earliest, latest) = span.inserted;
                if times.contains(&earliest) && times.contains(&latest) {
                    stretch.new_profiles += 1;
                } else if earliest < times.end && latest >= times.start {
                    open.entry(at).or_default().push((*start, made));
                }
            }
            stretch.profiles += stretch.people.len() as u64;
            stretch.people = HashSet::default();
        }
        for (at, asked) in open {
            let (segment, page, _) = pages[at];
            let Some(index) = log.index(segment)? else { continue };
            let (offsets, inserted) = (index.column(page, Column::Offset)?, index.column(page, Column::Inserted)?);
            for (start, made) in asked {
                let row = offsets.partition_point(|offset| *offset < made);
                let time = inserted.get(row).copied().map(number_time);
                if time.is_some_and(|time| self.calendar.start(time) == start)
                    && let Some(stretch) = self.all.get_mut(&start)
                {
                    stretch.new_profiles += 1;
                }
            }
        }
        Ok(())
    }
}

impl Queries {
    /// How many visits began in each stretch of time. A visit counts, whole, where it began, if any of its events is meant.
    pub async fn visits(&self, query: VisitsQuery) -> Result<Counts, NotCounted> {
        let view = self.settled_view().await.map_err(NotCounted::Refused)?;
        let room = self.people.take(&view, query.terms.from, None).await.map_err(NotCounted::Refused)?;
        let _turn = self.turn().await.map_err(NotCounted::Refused)?;
        let VisitsQuery { word, unit, terms, zone, now } = query;
        let (from, to) = (terms.from, terms.to);
        let stretches = Stretches {
            calendar: Calendar::new(zone, unit),
            all: BTreeMap::new(),
            are_visits_counted: false,
            made: Made::default(),
        };
        let persons = Persons::read(&view, room).await.map_err(NotCounted::Refused)?;
        let mut walk = VisitWalk::new(Arc::new(VisitQuery { terms, people: true, pages: false }), persons, stretches);
        loop {
            walk = walk.go_through(&view, Stretches::add).await?;
            if walk.state.all.len() > ROWS_MAX {
                return Err(NotCounted::too_many_rows());
            }
            let counted = view.query(move |log| {
                walk.state.end_part(log, &walk.persons)?;
                Ok(walk)
            });
            walk = counted.await.map_err(NotCounted::Refused)?;
            if !walk.persons.next_part() {
                break;
            }
        }
        let Stretches { mut all, mut calendar, made, .. } = walk.state;
        let end = to.map_or(now, |to| to.min(now));
        let first = from.or_else(|| all.keys().next().copied());
        for start in calendar.starts(first, end) {
            all.entry(start).or_default();
            if all.len() > ROWS_MAX {
                return Err(NotCounted::too_many_rows());
            }
        }
        let rows = all.into_iter().map(|(start, stretch)| stretch.row(word, calendar.name(start)));
        Ok(Counts { rows: rows.collect(), complete_from: made.complete_from() })
    }
}

impl Stretch {
    fn row(self, word: &'static str, name: String) -> Row {
        Row(vec![
            (word, Cell::Name(name.into())),
            ("visits", Cell::Count(self.visits)),
            ("profiles", Cell::Count(self.profiles)),
            ("new_profiles", Cell::Count(self.new_profiles)),
            ("views", Cell::Count(self.views)),
            ("events", Cell::Count(self.events)),
            ("bounced", Cell::Count(self.bounced)),
            ("duration", Cell::Seconds(self.durations.median_seconds())),
        ])
    }
}
