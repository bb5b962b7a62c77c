//! Goes through the rows of the log by their times, each with whose it is: for what is counted by person.

use std::sync::Arc;

use super::{
    super::{
        blocks::each_event,
        persons::{NOBODY, Persons, TakenRoom},
        terms::is_bot,
    },
    by_time::by_time,
};
use crate::{
    model::Time,
    process::{Expression, Scope},
    read::filter::{KindPattern, Sources, may_be_within},
    store::{
        Column, FoundEvent, LogView, PAGE_ROWS, PageSpan, ReadView, Refused, SegmentIndex, StoreError, number_time,
        time_number,
    },
};

/// A kind of event that is meant.
#[derive(Clone, Debug)]
pub struct Class {
    /// Any of these types; none: any type.
    pub kinds: Vec<KindPattern>,
    /// Over `event`; for the events of these types, blocks are opened then.
    pub condition: Option<Arc<Expression>>,
}

/// Which rows are meant.
#[derive(Clone, Debug)]
pub struct RowFilter {
    /// At most 16, one for each bit of [`Row::classes`].
    pub classes: Vec<Class>,
    pub sources: Sources,
    /// Whether known bots sent them.
    pub bot: Option<bool>,
    pub from: Option<Time>,
    pub to: Option<Time>,
    /// The server's time, for conditions.
    pub now: Time,
}

/// An event of somebody.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub time: Time,
    /// The number that [`Persons`] have for whom it is of.
    pub person: u32,
    /// A bit for each class that it is of; at least one.
    pub classes: u16,
}

/// What is gathered of the rows of people, a part of them at a time.
pub trait ByPerson: Send + 'static {
    /// Asks the system for room for as many people as a part may have. It takes memory only as people come; a vector that
    /// grows takes that of two.
    fn reserve(&mut self, people: usize);

    fn see(&mut self, row: Row);

    /// All rows of this part of the people were seen: from here on, their numbers are those of other people.
    fn end_part(&mut self);
}

/// Has every row that is meant and of somebody seen, those of a part of the people in the order of their times. Where
/// nothing was imported, the log is in that order.
pub async fn walk<S: ByPerson>(
    view: &ReadView,
    filter: Arc<RowFilter>,
    room: TakenRoom,
    mut state: S,
) -> Result<S, Refused> {
    state.reserve(room.people());
    let mut persons = Persons::read(view, room).await?;
    let spans = view.query(|log| log.spans()).await?;
    let is_in_order = !spans.iter().any(|span| span.imported);
    loop {
        if is_in_order {
            (persons, state) = by_offset(view, &filter, persons, state).await?;
        } else {
            (persons, state) = by_time(view, spans.clone(), &filter, persons, state).await?;
        }
        state.end_part();
        if !persons.next_part() {
            return Ok(state);
        }
    }
}

/// Has every row seen, in the order of the log.
async fn by_offset<S: ByPerson>(
    view: &ReadView,
    filter: &Arc<RowFilter>,
    mut persons: Persons,
    mut state: S,
) -> Result<(Persons, S), Refused> {
    for segment in view.query(|log| Ok(log.segments())).await? {
        let filter = filter.clone();
        (persons, state) = view
            .query(move |log| {
                if let Some(index) = log.index(segment.start)? {
                    walk_segment(log, &index, &filter, &mut persons, &mut |_, row| state.see(row))?;
                }
                Ok((persons, state))
            })
            .await?;
    }
    Ok((persons, state))
}

/// Hands the rows of a segment to `each` in their order, each with its place in the segment.
pub fn walk_segment(
    log: &LogView<'_>,
    index: &SegmentIndex,
    filter: &RowFilter,
    persons: &mut Persons,
    each: &mut impl FnMut(usize, Row),
) -> Result<(), StoreError> {
    let is_outside = |span: &PageSpan| !may_be_within(span.inserted, filter.from, filter.to);
    if index.pages.iter().all(is_outside) {
        return Ok(());
    }
    let names = index.names()?;
    let classes_of = |kind: &Arc<str>| {
        let takes = |class: &Class| KindPattern::any_takes(&class.kinds, kind);
        filter.classes.iter().enumerate().filter(|(_, class)| takes(class)).map(|(place, _)| 1_u16 << place).sum()
    };
    let classes: Vec<u16> = names.kinds.iter().map(classes_of).collect();
    let are_meant = || names.sources.iter().map(|source| filter.sources.takes(source)).collect();
    let sources: Option<Vec<bool>> = (!filter.sources.are_all()).then(are_meant);
    let conditional = filter.classes.iter().enumerate().filter(|(_, class)| class.condition.is_some());
    let conditional: u16 = conditional.map(|(place, _)| 1 << place).sum();
    if classes.iter().all(|classes| *classes == 0) {
        return Ok(());
    }
    // Read before who they are: visits may come meanwhile.
    let columns = index.visit_columns()?;
    let people = persons.of_visits(&columns, &index.profiles()?);
    let deleted = log.deleted_events(index.first..index.end)?;
    let end = persons.log_end();
    let times = filter.from.map_or(0, time_number)..filter.to.map_or(u64::MAX, time_number);
    for (page, span) in index.pages.iter().enumerate() {
        if is_outside(span) {
            continue;
        }
        let column = |column| index.column(page, column);
        let mut kinds = column(Column::Kind)?;
        // In the place of its type, the classes of each row.
        kinds.iter_mut().for_each(|kind| *kind = classes.get(*kind as usize).copied().unwrap_or(0).into());
        if let Some(sources) = &sources {
            let is_meant = |source: u64| sources.get(source as usize).copied().unwrap_or(false);
            kinds.iter_mut().zip(column(Column::Source)?).for_each(|(row, source)| *row *= u64::from(is_meant(source)));
        }
        if let Some(bot) = filter.bot {
            let flags = column(Column::Flags)?;
            kinds.iter_mut().zip(flags).for_each(|(row, flags)| *row *= u64::from(is_bot(flags) == bot));
        }
        if kinds.iter().all(|classes| *classes == 0) {
            continue;
        }
        let (visits, inserted) = (column(Column::Visit)?, column(Column::Inserted)?);
        let person = |visit: u64| people.get(visit as usize).copied().unwrap_or(NOBODY);
        let rows = kinds.iter().zip(&visits).zip(&inserted).map(|((classes, visit), time)| {
            let row = Row { time: number_time(*time), person: person(*visit), classes: *classes as u16 };
            Some(row).filter(|row| row.classes > 0 && row.person != NOBODY)
        });
        let rows = rows.enumerate().filter_map(|(place, row)| Some((place, row?)));
        let first = page * PAGE_ROWS;
        let is_within = times.contains(&time_number(span.inserted.0)) && times.contains(&time_number(span.inserted.1));
        if is_within && span.offsets.1 < end && deleted.is_empty() && conditional == 0 {
            rows.for_each(|(place, row)| each(first + place, row));
            continue;
        }
        let offsets = column(Column::Offset)?;
        let is_there = |place: usize| {
            let offset = offsets[place];
            times.contains(&inserted[place]) && offset < end && deleted.binary_search(&offset).is_err()
        };
        let mut rows: Vec<(usize, Row)> = rows.filter(|(place, _)| is_there(*place)).collect();
        if conditional > 0 {
            decide(log, filter, conditional, &offsets, &mut rows)?;
        }
        rows.into_iter().filter(|(_, row)| row.classes > 0).for_each(|(place, row)| each(first + place, row));
    }
    Ok(())
}

/// Takes the classes from rows whose conditions do not hold.
fn decide(
    log: &LogView<'_>,
    filter: &RowFilter,
    conditional: u16,
    offsets: &[u64],
    rows: &mut [(usize, Row)],
) -> Result<(), StoreError> {
    let (places, wanted): (Vec<usize>, Vec<u64>) = rows
        .iter()
        .enumerate()
        .filter(|(_, (_, row))| row.classes & conditional > 0)
        .map(|(at, (place, _))| (at, offsets[*place]))
        .unzip();
    let asked: Vec<u16> = places.iter().map(|place| rows[*place].1.classes & conditional).collect();
    let refused = |at: usize, event: &FoundEvent| {
        let event = event.shown();
        let holds = |condition: &Expression| condition.holds(&Scope::stored_event(&event, filter.now)).unwrap_or(false);
        let classes = filter.classes.iter().enumerate().filter(|(class, _)| asked[at] >> class & 1 == 1);
        let refused = classes.filter(|(_, class)| class.condition.as_ref().is_some_and(|condition| !holds(condition)));
        refused.fold(0, |refused, (class, _)| refused | 1 << class)
    };
    each_event(log, &wanted, refused, |at, refused: u16| rows[places[at]].1.classes &= !refused)
}
