//! Which values events have most: pages, browsers, campaigns, what stands in a property (docs/contract.md, section 13).

use std::{cmp::Reverse, sync::Arc};

use foldhash::HashMap;
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    blocks::{each_event, each_property},
    calendar,
    persons::{IdKeys, Persons},
    rows::NotCounted,
    terms::Terms,
    values::{Facet, NO_VALUE, SegmentValues, Stopped, Values, counted},
    visits::{Scattered, VisitQuery, VisitWalk},
};
use crate::{
    model::{Fault, Path, Reader, Time, Value},
    read::{Queries, parameters::Parameters},
    store::{
        Began, Column, LogView, NOWHERE, PAGE_ROWS, ReadView, SegmentIndex, SegmentSessions, UNLISTED, time_number,
    },
};

/// How many rows are answered, unless it is said, and at most.
const LIMIT: usize = 20;
const LIMIT_MAX: usize = 1_000;

/// What values are of.
#[derive(Debug, PartialEq)]
enum Of {
    /// The first page of the visit.
    Entry,
    Event(Told),
}

/// What an event tells.
#[derive(Clone, Debug, PartialEq)]
enum Told {
    ByColumn(Facet),
    /// What stands in its properties under these steps.
    InProperties(Vec<Box<str>>),
}

const FACETS: [(&str, Column, Option<usize>); 11] = [
    ("page", Column::Page, None),
    ("source", Column::Source, None),
    ("referrer", Column::Referrer, None),
    ("browser", Column::Client, Some(0)),
    ("os", Column::Client, Some(1)),
    ("device", Column::Client, Some(2)),
    ("language", Column::Client, Some(3)),
    ("country", Column::Client, Some(4)),
    ("utm.source", Column::Campaign, Some(0)),
    ("utm.medium", Column::Campaign, Some(1)),
    ("utm.campaign", Column::Campaign, Some(2)),
];

impl Of {
    fn read(text: &str) -> Result<Self, Fault> {
        let text = text.trim();
        if let Some((_, column, part)) = FACETS.iter().find(|(word, ..)| *word == text) {
            return Ok(Self::Event(Told::ByColumn(Facet { column: *column, part: *part })));
        }
        if text == "entry" {
            return Ok(Self::Entry);
        }
        let path = Path::parse(text).ok();
        match path.as_ref().map(Path::steps) {
            Some([event, properties, steps @ ..])
                if **event == *"event" && **properties == *"properties" && !steps.is_empty() =>
            {
                Ok(Self::Event(Told::InProperties(steps.to_vec())))
            }
            _ => {
                let words = FACETS.map(|(word, ..)| word).join(", ");
                let msg = format!("one of entry, {words} or event.properties.PATH is expected");
                Err(Fault::new("value_error", msg))
            }
        }
    }
}

/// A query for the values that come most often.
pub struct TopQuery {
    of: Of,
    limit: usize,
    terms: Terms,
}

impl TopQuery {
    /// # Errors
    /// A parameter is unknown or cannot be read; the fault names it.
    pub fn read(mut parameters: Parameters, now: Time) -> Result<Self, Fault> {
        let of = parameters.read("of", Of::read)?.ok_or_else(|| Fault::missing().at("of"))?;
        let limit = parameters.read("limit", |text| {
            let limit = text.trim().parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
            limit.ok_or_else(|| Fault::new("value_error", format!("a number from 1 to {LIMIT_MAX} is expected")))
        })?;
        let terms = Terms::read(&mut parameters, now)?;
        // Days begin somewhere for all counts, and make no difference here.
        parameters.read("tz", calendar::zone)?;
        parameters.end()?;
        Ok(Self { of, limit: limit.unwrap_or(LIMIT), terms })
    }
}

/// How often a value comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Often {
    pub events: u64,
    /// Those with such an event.
    pub visits: u64,
}

impl Often {
    fn add(&mut self, more: Self) {
        self.events += more.events;
        self.visits += more.visits;
    }
}

/// A value and how often it comes.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TopRow {
    #[schemars(with = "str")]
    pub value: Value,
    #[serde(flatten)]
    pub often: Often,
}

/// The values that come most often.
#[derive(Serialize, JsonSchema)]
pub struct Top {
    pub result: Vec<TopRow>,
    /// The sums over the values that are left out, and how many these are.
    pub other: Other,
    /// What tells no value.
    pub none: Often,
}

#[derive(Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Other {
    pub values: usize,
    #[serde(flatten)]
    pub often: Often,
}

impl Queries {
    /// Which values come most often, and how often all others do. Exact: what was deleted is not counted.
    pub async fn top(&self, query: TopQuery) -> Result<Top, NotCounted> {
        let _turn = self.turn().await.map_err(NotCounted::Refused)?;
        let view = self.settled_view().await.map_err(NotCounted::Refused)?;
        let TopQuery { of, limit, terms } = query;
        let (values, table) = match &of {
            Of::Entry => entries(&view, terms).await?,
            Of::Event(told) => Counting::run(&view, told.clone(), terms).await?,
        };
        Ok(top(&of, &values, table, limit))
    }
}

/// How often each value comes, by its number.
type Table = Vec<Often>;

fn at(table: &mut Table, value: u32) -> &mut Often {
    let value = value as usize;
    if table.len() <= value {
        table.resize(value + 1, Often::default());
    }
    &mut table[value]
}

/// The first rows of a table, and the sums of the others.
fn top(of: &Of, values: &Values, table: Table, limit: usize) -> Top {
    let none = table.get(NO_VALUE as usize).copied().unwrap_or_default();
    let met = (0_u32..).zip(table).skip(1).filter(|(_, often)| often.events > 0);
    let mut rows: Vec<(u32, Often)> = met.collect();
    // An entry is something of visits, all else of events; equal ones stand in the order of their values.
    let key = |(value, often): &(u32, Often)| {
        let most = if *of == Of::Entry { often.visits } else { often.events };
        (Reverse(most), values.text(*value))
    };
    if rows.len() > limit {
        rows.select_nth_unstable_by(limit, |one, other| key(one).cmp(&key(other)));
    }
    let left_out = rows.split_off(limit.min(rows.len()));
    rows.sort_unstable_by(|one, other| key(one).cmp(&key(other)));
    let mut other = Other { values: left_out.len(), often: Often::default() };
    left_out.into_iter().for_each(|(_, often)| other.often.add(often));
    let value = |value: u32| match of {
        Of::Event(Told::InProperties(_)) => {
            let json = Reader::new(values.text(value).as_bytes(), 0).and_then(|mut reader| reader.value());
            json.map_or(Value::Null, |json| Value::from(&json))
        }
        _ => Value::text(values.text(value)),
    };
    let result = rows.into_iter().map(|(number, often)| TopRow { value: value(number), often }).collect();
    Top { result, other, none }
}

/// The first pages of the visits that began within the time, each with the meant events of its visits.
async fn entries(view: &ReadView, terms: Terms) -> Result<(Values, Table), NotCounted> {
    let query = Arc::new(VisitQuery { terms, people: false, pages: true });
    let walk = VisitWalk::new(query, Persons::default(), Table::new()).go_through(view, |table, visit| {
        at(table, visit.entry).add(Often { events: visit.meant_events.into(), visits: 1 });
    });
    let VisitWalk { values, state, .. } = walk.await?;
    Ok((values, state))
}

/// What is counted so far. The segments are gone through from the newest to the oldest.
struct Counting {
    told: Told,
    terms: Arc<Terms>,
    keys: IdKeys,
    values: Values,
    table: Table,
    /// Visits of which events may stand anywhere.
    scattered: Scattered,
    /// The values that a visit had that began before the segment that was gone through last, or is scattered, so that it
    /// counts once.
    carried: HashMap<u128, (Began, Vec<u32>)>,
}

impl Counting {
    async fn run(view: &ReadView, told: Told, terms: Terms) -> Result<(Values, Table), NotCounted> {
        let mut counting = Self {
            told,
            terms: Arc::new(terms),
            keys: IdKeys::default(),
            scattered: Scattered::default(),
            values: Values::default(),
            table: Table::new(),
            carried: HashMap::default(),
        };
        while counting.scattered.next(view, &counting.keys).await.map_err(NotCounted::Refused)? {
            counting.carried.clear();
            let segments = view.query(|log| Ok(log.segments())).await.map_err(NotCounted::Refused)?;
            for segment in segments.into_iter().rev() {
                let done = view.query(move |log| {
                    let Some(index) = log.index(segment.start)? else { return Ok((counting, Ok(()))) };
                    let outcome = counted(counting.segment(log, &index))?;
                    Ok((counting, outcome))
                });
                let outcome;
                (counting, outcome) = done.await.map_err(NotCounted::Refused)?;
                outcome?;
            }
        }
        Ok((counting.values, counting.table))
    }

    fn segment(&mut self, log: &LogView<'_>, index: &SegmentIndex) -> Result<(), Stopped> {
        let terms = self.terms.clone();
        let is_met = |page: &usize| !terms.is_before(&index.pages[*page]) && !terms.is_behind(&index.pages[*page]);
        let pages: Vec<usize> = (0..index.pages.len()).filter(is_met).collect();
        let names = index.names()?;
        let meant = terms.in_segment(&names);
        if pages.is_empty() || meant.are_none() {
            return Ok(());
        }
        let columns = index.visit_columns()?;
        let mut sessions = index.sessions()?;
        let is_of_part = self.scattered.mark(&self.keys, &mut sessions);
        let has_others = self.scattered.is_first();
        let deleted = log.deleted_events(index.first..index.end)?;
        let times = terms.times();
        let mut segment_values = match &self.told {
            Told::ByColumn(Facet { column: Column::Source, .. }) => SegmentValues::of_sources(&names.sources),
            Told::ByColumn(facet) => SegmentValues::new(*facet, index.texts(facet.column)?),
            Told::InProperties(_) => SegmentValues::new(Facet::PAGE, Vec::new()),
        };
        // Session and value of each row of a visit.
        let mut met: Vec<(u32, u32)> = Vec::with_capacity(pages.len() * PAGE_ROWS);
        // Offset and session of the rows whose block tells the value.
        let (mut untold, mut sessions_of_untold) = (Vec::new(), Vec::new());
        for page in pages {
            let mut rows = meant.of_rows(index, page)?;
            let span = index.pages[page];
            if !(times.contains(&time_number(span.inserted.0)) && times.contains(&time_number(span.inserted.1))) {
                let inserted = index.column(page, Column::Inserted)?;
                rows.iter_mut().zip(inserted).for_each(|(row, time)| *row &= times.contains(&time));
            }
            let offsets = if deleted.is_empty() { Vec::new() } else { index.column(page, Column::Offset)? };
            rows.iter_mut().zip(offsets).for_each(|(row, offset)| *row &= deleted.binary_search(&offset).is_err());
            if !rows.contains(&true) {
                continue;
            }
            let visits = index.column(page, Column::Visit)?;
            let session = |row: usize| columns.sessions.get(visits[row] as usize).copied().unwrap_or(NOWHERE);
            if !is_of_part.is_empty() {
                let is_of_part = |session: u32| is_of_part.get(session as usize).copied().unwrap_or(has_others);
                (0..rows.len()).for_each(|row| rows[row] &= is_of_part(session(row)));
            }
            let column = match &self.told {
                Told::ByColumn(facet) => index.column(page, facet.column)?,
                Told::InProperties(_) => vec![UNLISTED; rows.len()],
            };
            let mut told_by_block = Vec::new();
            for row in (0..rows.len()).filter(|row| rows[*row]) {
                if segment_values.is_told_by_block(column[row]) {
                    told_by_block.push(row);
                } else {
                    let value = segment_values.number(&mut self.values, column[row])?;
                    self.count(session(row), value, &mut met);
                }
            }
            if !told_by_block.is_empty() {
                let offsets = index.column(page, Column::Offset)?;
                untold.extend(told_by_block.iter().map(|row| offsets[*row]));
                sessions_of_untold.extend(told_by_block.iter().map(|row| session(*row)));
            }
        }
        let mut outcome = Ok(());
        let told = self.told.clone();
        let mut tell = |place: usize, text: &str| match self.values.number(text) {
            Ok(value) => self.count(sessions_of_untold[place], value, &mut met),
            Err(stopped) => outcome = Err(stopped),
        };
        match &told {
            Told::ByColumn(facet) => {
                each_event(log, &untold, |_, event| facet.of_event(event), |place, text| tell(place, &text))?;
            }
            Told::InProperties(steps) => each_property(log, &untold, steps, tell)?,
        }
        outcome?;
        self.count_visits(&sessions, columns.session_count, &met);
        Ok(())
    }

    /// Counts an event of this session, whose value is noted in `met`.
    fn count(&mut self, session: u32, value: u32, met: &mut Vec<(u32, u32)>) {
        at(&mut self.table, value).events += 1;
        if session != NOWHERE {
            met.push((session, value));
        }
    }

    /// Counts each visit once for each of its values. `met`: its session and a value, of each row.
    fn count_visits(&mut self, sessions: &SegmentSessions, session_count: usize, met: &[(u32, u32)]) {
        let (ends, values) = grouped(session_count, met);
        let mut newer = std::mem::take(&mut self.carried);
        // By each value the session that had it last, so that it counts once for each.
        let mut last = vec![NOWHERE; self.table.len()];
        let mut start = 0;
        for ((session, (id, began)), end) in (0_u32..).zip(sessions.ids.iter().zip(&sessions.began)).zip(ends) {
            let values = &values[start..end];
            start = end;
            let is_new = |value: &u32| std::mem::replace(&mut last[*value as usize], session) != session;
            let distinct = values.iter().copied().filter(is_new);
            if newer.is_empty() && *began == Began::Here {
                distinct.for_each(|value| self.table[value as usize].visits += 1);
                continue;
            }
            let key = self.keys.key(id);
            let mut known = newer.remove(&key).map_or_else(Vec::new, |(_, known)| known);
            let new: Vec<u32> = distinct.filter(|value| known.binary_search(value).is_err()).collect();
            new.iter().for_each(|value| self.table[*value as usize].visits += 1);
            known.extend(new);
            known.sort_unstable();
            if *began != Began::Here && !known.is_empty() {
                self.carried.insert(key, (*began, known));
            }
        }
        // Of a visit that is not stored nothing tells that it is older: it is not looked for any further.
        self.carried.extend(newer.into_iter().filter(|(_, (began, _))| *began != Began::Untold));
    }
}

/// The values of the rows of each session behind each other, and where those of each session end.
fn grouped(session_count: usize, met: &[(u32, u32)]) -> (Vec<usize>, Vec<u32>) {
    let mut ends = vec![0; session_count];
    met.iter().for_each(|(session, _)| ends[*session as usize] += 1);
    let mut sum = 0;
    for end in &mut ends {
        sum += *end;
        *end = sum;
    }
    // Filled from the last one on; then the ends are where each begins.
    let mut values = vec![0; met.len()];
    for (session, value) in met.iter().rev() {
        let end = &mut ends[*session as usize];
        *end -= 1;
        values[*end] = *value;
    }
    ends.rotate_left(1.min(session_count));
    if let Some(last) = ends.last_mut() {
        *last = met.len();
    }
    (ends, values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_grouped_by_their_sessions() {
        let (ends, values) = grouped(4, &[(2, 7), (0, 1), (2, 8), (0, 1), (3, 9)]);
        assert_eq!((ends, values), (vec![2, 2, 4, 5], vec![1, 1, 7, 8, 9]));
        assert_eq!(grouped(0, &[]), (vec![], vec![]));
    }

    #[test]
    fn what_is_counted_by_is_read() {
        let steps = |path: &[&str]| Of::Event(Told::InProperties(path.iter().map(|step| (*step).into()).collect()));
        assert_eq!(Of::read("event.properties.a[\"b.c\"].0").unwrap(), steps(&["a", "b.c", "0"]));
        assert_eq!(Of::read(" entry").unwrap(), Of::Entry);
        let medium = Facet { column: Column::Campaign, part: Some(1) };
        assert_eq!(Of::read("utm.medium").unwrap(), Of::Event(Told::ByColumn(medium)));
        for text in ["", "utm", "utm.term", "event.properties", "event.type", "properties.a", "event.properties..a"] {
            assert!(Of::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_rows_are_the_most_and_the_rest_is_summed() {
        let mut values = Values::default();
        let mut table = Table::new();
        for (text, events, visits) in [("", 5, 2), ("b", 3, 1), ("a", 3, 3), ("c", 9, 1), ("gone", 0, 0), ("d", 1, 1)] {
            at(&mut table, values.number(text).unwrap()).add(Often { events, visits });
        }
        let rows = |of: Of, limit| {
            let top = top(&of, &values, table.clone(), limit);
            let shown: Vec<String> = top.result.iter().map(|row| row.value.to_text()).collect();
            (shown.concat(), top.other, top.none)
        };
        let page = || Of::Event(Told::ByColumn(Facet::PAGE));
        let none = Often { events: 5, visits: 2 };
        let other = |values, events, visits| Other { values, often: Often { events, visits } };
        assert_eq!(rows(page(), 2), ("ca".into(), other(2, 4, 2), none));
        assert_eq!(rows(page(), 9), ("cabd".into(), Other::default(), none));
        assert_eq!(rows(Of::Entry, 1), ("a".into(), other(3, 13, 3), none));
    }
}
