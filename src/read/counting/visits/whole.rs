//! Goes through the visits that began within some time, each whole: also what happened in it later, and in other
//! segments. A visit is a session; events without one are part of none.
//!
//! The segments are gone through from the newest to the oldest. A visit that began before a segment is *carried* to the
//! one before it, until the segment where it began is found; one with imported events, which may stand anywhere, to the end.

use std::sync::Arc;

use foldhash::HashMap;

use super::{
    super::{
        blocks::each_event,
        persons::{IdKeys, NOBODY, Persons},
        rows::NotCounted,
        terms::Terms,
        values::{Facet, NO_VALUE, SegmentValues, Stopped, Values, counted},
    },
    scattered::Scattered,
};
use crate::{
    model::Time,
    store::{
        Began, Column, FoundEvent, LogView, NOWHERE, ReadView, SegmentIndex, SegmentSessions, UNLISTED, UNTOLD,
        number_time,
    },
};

/// The type of events that are views of a page.
const PAGE_VIEW: &str = "page-view";

/// What is known of a visit. At least one of its events is meant.
pub struct WholeVisit {
    pub begun: Time,
    pub ended: Time,
    /// All of its events, and those that are views of a page.
    pub events: u32,
    pub views: u32,
    /// Of these, what is meant.
    pub meant_events: u32,
    pub meant_views: u32,
    /// Whose the meant events are, of those whom [`VisitWalk::persons`] have; where people are asked for.
    pub people: Whose,
    /// The first page that an event of it tells, or [`NO_VALUE`]; where pages are asked for.
    pub entry: u32,
}

/// What is to be known of visits.
pub struct VisitQuery {
    /// Which visits, by when they began, and which events of them are meant.
    pub terms: Terms,
    pub people: bool,
    pub pages: bool,
}

/// Whose a visit is: mostly one person's, which takes no room beside.
#[derive(Clone, Default)]
pub struct Whose {
    first: Option<u32>,
    #[expect(clippy::box_collection, reason = "a vector takes three words of each visit, and few have one")]
    others: Option<Box<Vec<u32>>>,
}

impl Whose {
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.first.into_iter().chain(self.others.iter().flat_map(|others| others.iter().copied()))
    }

    fn add(&mut self, person: u32) {
        match self.first {
            None => self.first = Some(person),
            Some(first) if first != person => {
                let others = self.others.get_or_insert_default();
                // Who comes again stands there again: whoever counts people knows each once.
                if others.last() != Some(&person) {
                    others.push(person);
                }
            }
            Some(_) => {}
        }
    }
}

/// A visit, as far as it was met.
#[derive(Clone)]
struct Met {
    /// As [`crate::store::time_number`]s.
    begun: u64,
    ended: u64,
    events: u32,
    views: u32,
    meant_events: u32,
    meant_views: u32,
    entry: u32,
    /// When the page was seen that `entry` is.
    entered: u64,
    people: Whose,
}

impl Met {
    const NOTHING: Self = Self {
        begun: u64::MAX,
        ended: 0,
        events: 0,
        views: 0,
        meant_events: 0,
        meant_views: 0,
        entry: NO_VALUE,
        entered: u64::MAX,
        people: Whose { first: None, others: None },
    };

    /// With what was met of the visit in a later segment.
    fn and(mut self, later: Self) -> Self {
        self.begun = self.begun.min(later.begun);
        self.ended = self.ended.max(later.ended);
        self.events += later.events;
        self.views += later.views;
        self.meant_events += later.meant_events;
        self.meant_views += later.meant_views;
        if later.entered < self.entered {
            (self.entry, self.entered) = (later.entry, later.entered);
        }
        later.people.iter().for_each(|person| self.people.add(person));
        self
    }

    fn see(&mut self, person: u32) {
        if person != NOBODY {
            self.people.add(person);
        }
    }
}

/// What a walk gathers.
pub struct VisitWalk<S> {
    query: Arc<VisitQuery>,
    keys: IdKeys,
    pub persons: Persons,
    pub values: Values,
    /// Those of which events may stand anywhere.
    scattered: Scattered,
    /// Visits that began before the segment that was gone through last, and those that are scattered.
    carried: HashMap<u128, (Began, Met)>,
    /// A segment was left out, for all of it lies before the time that is asked for.
    is_cut: bool,
    pub state: S,
}

impl<S: Send + 'static> VisitWalk<S> {
    /// `persons`: those of whom is told whose a visit is, where people are asked for.
    pub fn new(query: Arc<VisitQuery>, persons: Persons, state: S) -> Self {
        Self {
            query,
            keys: IdKeys::default(),
            scattered: Scattered::default(),
            persons,
            values: Values::default(),
            carried: HashMap::default(),
            is_cut: false,
            state,
        }
    }

    /// Goes through all visits that are meant; `each` is handed every one.
    pub async fn go_through(
        mut self,
        view: &ReadView,
        each: impl Fn(&mut S, WholeVisit) + Copy + Send + 'static,
    ) -> Result<Self, NotCounted> {
        self.scattered = Scattered::default();
        while self.scattered.next(view, &self.keys).await.map_err(NotCounted::Refused)? {
            self = self.part(view, each).await?;
        }
        Ok(self)
    }

    /// Goes through the visits of a part of the sessions.
    async fn part(
        mut self,
        view: &ReadView,
        each: impl Fn(&mut S, WholeVisit) + Copy + Send + 'static,
    ) -> Result<Self, NotCounted> {
        self.is_cut = false;
        let segments = view.query(|log| Ok(log.segments())).await.map_err(NotCounted::Refused)?;
        for segment in segments.into_iter().rev() {
            let done = view.query(move |log| {
                let Some(index) = log.index(segment.start)? else { return Ok((self, Ok(()))) };
                let outcome = counted(self.segment(log, &index, each))?;
                Ok((self, outcome))
            });
            let outcome;
            (self, outcome) = done.await.map_err(NotCounted::Refused)?;
            outcome?;
        }
        // Of these no beginning was found: it is deleted, or lies before what was gone through. Scattered ones are whole.
        for (began, visit) in std::mem::take(&mut self.carried).into_values() {
            if !(self.is_cut && began == Began::Before) {
                self.end(visit, each);
            }
        }
        Ok(self)
    }

    fn segment(
        &mut self,
        log: &LogView<'_>,
        index: &SegmentIndex,
        each: impl Fn(&mut S, WholeVisit),
    ) -> Result<(), Stopped> {
        let query = self.query.clone();
        if index.pages.is_empty() {
            return Ok(());
        }
        // What began in this segment began too early.
        let is_before = index.pages.iter().all(|span| query.terms.is_before(span));
        self.is_cut |= is_before;
        if is_before && self.scattered.are_none() {
            return Ok(());
        }
        // Read before what they name: more may come meanwhile.
        let columns = index.visit_columns()?;
        let mut sessions = index.sessions()?;
        let is_of_part = self.scattered.mark(&self.keys, &mut sessions);
        // Visits that began in this segment began too late.
        let is_behind = index.pages.iter().all(|span| query.terms.is_behind(span));
        let is_looked_at: Vec<bool> = sessions
            .began
            .iter()
            .take(columns.session_count)
            .map(|began| *began == Began::Imported || (!is_before && (!is_behind || *began != Began::Here)))
            .enumerate()
            .map(|(session, is_looked_at)| is_looked_at && is_of_part.get(session).is_none_or(|is_of_part| *is_of_part))
            .collect();
        if !is_looked_at.contains(&true) && (is_before || self.carried.is_empty()) {
            return Ok(());
        }
        // What has an event in a segment before the time began too early, whoever it is of.
        let are_people_told = query.people && !is_before;
        let people = if are_people_told { self.persons.of_visits(&columns, &index.profiles()?) } else { Vec::new() };
        let names = index.names()?;
        let meant = query.terms.in_segment(&names);
        let is_view: Vec<bool> = names.kinds.iter().map(|kind| **kind == *PAGE_VIEW).collect();
        let deleted = log.deleted_events(index.first..index.end)?;
        let mut met = vec![Met::NOTHING; columns.session_count];
        let mut addresses = SegmentValues::new(Facet::PAGE, index.texts(Column::Page)?);
        for page in 0..index.pages.len() {
            let visits = index.column(page, Column::Visit)?;
            let session =
                |row: usize| columns.sessions.get(visits[row] as usize).map_or(NOWHERE as usize, |at| *at as usize);
            let is_looked_at = |row: usize| is_looked_at.get(session(row)).copied().unwrap_or(false);
            if !(0..visits.len()).any(is_looked_at) {
                continue;
            }
            let (inserted, kinds) = (index.column(page, Column::Inserted)?, index.column(page, Column::Kind)?);
            let meant = meant.of_rows(index, page)?;
            let end = self.persons.log_end();
            let is_whole = deleted.is_empty() && index.pages[page].offsets.1 < end;
            let offsets = if is_whole { Vec::new() } else { index.column(page, Column::Offset)? };
            let is_there = |row: usize| {
                offsets.get(row).is_none_or(|offset| *offset < end && deleted.binary_search(offset).is_err())
            };
            let rows: Vec<usize> = (0..visits.len()).filter(|row| is_looked_at(*row) && is_there(*row)).collect();
            for row in &rows {
                let visit = &mut met[session(*row)];
                let view = u32::from(is_view.get(kinds[*row] as usize).copied().unwrap_or(false));
                visit.begun = visit.begun.min(inserted[*row]);
                visit.ended = visit.ended.max(inserted[*row]);
                visit.events += 1;
                visit.views += view;
                if meant[*row] {
                    visit.meant_events += 1;
                    visit.meant_views += view;
                    visit.see(people.get(visits[*row] as usize).copied().unwrap_or(NOBODY));
                }
            }
            if query.pages {
                let entered = |row: &usize| (*row, session(*row), inserted[*row]);
                let rows = rows.iter().map(entered);
                self.enter(log, index, page, rows, &mut addresses, &mut met)?;
            }
        }
        self.gather(&sessions, is_before, met, each);
        Ok(())
    }

    /// Notes the first page of visits. `rows` of the page of the index: each with its session and its time.
    fn enter(
        &mut self,
        log: &LogView<'_>,
        index: &SegmentIndex,
        page: usize,
        rows: impl Iterator<Item = (usize, usize, u64)>,
        addresses: &mut SegmentValues,
        met: &mut [Met],
    ) -> Result<(), Stopped> {
        let column = index.column(page, Column::Page)?;
        let mut unlisted = Vec::new();
        for (row, session, time) in rows {
            let visit = &mut met[session];
            if column[row] == UNTOLD || time >= visit.entered {
                continue;
            }
            visit.entered = time;
            match column[row] {
                UNLISTED => unlisted.push((row, session, time)),
                number => visit.entry = addresses.number(&mut self.values, number)?,
            }
        }
        // Of what a visit began with, an earlier event may have told something meanwhile.
        unlisted.retain(|(_, session, time)| met[*session].entered == *time);
        if unlisted.is_empty() {
            return Ok(());
        }
        let offsets = index.column(page, Column::Offset)?;
        let wanted: Vec<u64> = unlisted.iter().map(|(row, ..)| offsets[*row]).collect();
        let mut outcome = Ok(());
        let page = |_, event: &FoundEvent| Facet::PAGE.of_event(event);
        each_event(log, &wanted, page, |place, page| match self.values.number(&page) {
            Ok(value) => met[unlisted[place].1].entry = value,
            Err(stopped) => outcome = Err(stopped),
        })?;
        outcome
    }

    /// Ends the visits that began in the segment that was gone through, and carries the others on.
    /// `is_before`: only scattered ones are looked at.
    fn gather(
        &mut self,
        sessions: &SegmentSessions,
        is_before: bool,
        met: Vec<Met>,
        each: impl Fn(&mut S, WholeVisit),
    ) {
        let mut newer = std::mem::take(&mut self.carried);
        for ((id, began), met) in sessions.ids.iter().zip(&sessions.began).zip(met) {
            if is_before && *began != Began::Imported {
                continue;
            }
            if newer.is_empty() && *began == Began::Here {
                self.end(met, &each);
                continue;
            }
            let key = self.keys.key(id);
            let visit = match newer.remove(&key) {
                Some((_, later)) => met.and(later),
                None => met,
            };
            if *began == Began::Here {
                self.end(visit, &each);
            } else if visit.events > 0 {
                self.carried.insert(key, (*began, visit));
            }
        }
        for (key, (began, visit)) in newer {
            // Of one that is not stored nothing tells that it is older: it is not looked for any further.
            if began == Began::Untold && !is_before {
                self.end(visit, &each);
            } else {
                self.carried.insert(key, (began, visit));
            }
        }
    }

    fn end(&mut self, visit: Met, each: impl Fn(&mut S, WholeVisit)) {
        if visit.meant_events == 0 || !self.query.terms.times().contains(&visit.begun) {
            return;
        }
        let visit = WholeVisit {
            begun: number_time(visit.begun),
            ended: number_time(visit.ended),
            events: visit.events,
            views: visit.views,
            meant_events: visit.meant_events,
            meant_views: visit.meant_views,
            people: visit.people,
            entry: visit.entry,
        };
        each(&mut self.state, visit);
    }
}
