//! Goes through the rows of the log in order, each with whose it is: for what is counted by person.

use std::sync::Arc;

use super::persons::{NOBODY, Persons};
use crate::{
    model::{Id, Time},
    process::{Expression, Scope},
    read::filter::KindPattern,
    store::{Column, LogView, ReadView, Refused, SegmentIndex, StoreError, number_time},
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
    pub source: Option<Id>,
    pub from: Option<Time>,
    pub to: Option<Time>,
    /// The server's time, for conditions.
    pub now: Time,
}

/// An event of somebody.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub time: Time,
    /// See [`Persons::number`].
    pub person: u32,
    /// A bit for each class that it is of; at least one.
    pub classes: u16,
}

/// Hands every row that is meant and of somebody to `each`, in the order of the log, and returns what it made of them.
pub async fn walk<S: Send + 'static>(
    view: &ReadView,
    filter: Arc<RowFilter>,
    mut state: S,
    each: fn(&mut S, Row),
) -> Result<S, Refused> {
    let mut persons = Persons::read(view).await?;
    for segment in view.query(|log| Ok(log.segments())).await? {
        let filter = filter.clone();
        (persons, state) = view
            .query(move |log| {
                if let Some(index) = log.index(segment.start)? {
                    walk_segment(log, &index, &filter, &mut persons, &mut |row| each(&mut state, row))?;
                }
                Ok((persons, state))
            })
            .await?;
    }
    Ok(state)
}

fn walk_segment(
    log: &LogView<'_>,
    index: &SegmentIndex,
    filter: &RowFilter,
    persons: &mut Persons,
    each: &mut impl FnMut(Row),
) -> Result<(), StoreError> {
    let names = index.names()?;
    let classes_of = |kind: &Arc<str>| {
        let takes = |class: &Class| KindPattern::any_takes(&class.kinds, kind);
        filter.classes.iter().enumerate().filter(|(_, class)| takes(class)).map(|(place, _)| 1_u16 << place).sum()
    };
    let classes: Vec<u16> = names.kinds.iter().map(classes_of).collect();
    let sources: Vec<bool> =
        names.sources.iter().map(|source| filter.source.as_ref().is_none_or(|wanted| wanted == source)).collect();
    let conditional = filter.classes.iter().enumerate().filter(|(_, class)| class.condition.is_some());
    let conditional: u16 = conditional.map(|(place, _)| 1 << place).sum();
    if classes.iter().all(|classes| *classes == 0) {
        return Ok(());
    }
    let people: Vec<u32> = index.visits()?.iter().map(|visit| persons.number(visit.profile.as_ref())).collect();
    let deleted = log.deleted_events(index.first..index.end)?;
    for (page, span) in index.pages.iter().enumerate() {
        if filter.from.is_some_and(|from| span.inserted.1 < from) || filter.to.is_some_and(|to| span.inserted.0 >= to) {
            continue;
        }
        let column = |column| index.column(page, column);
        let (kinds, visits) = (column(Column::Kind)?, column(Column::Visit)?);
        let (inserted, from) = (column(Column::Inserted)?, column(Column::Source)?);
        let is_offset_needed = !deleted.is_empty() || conditional > 0;
        let offsets = if is_offset_needed { column(Column::Offset)? } else { Vec::new() };
        let mut rows = Vec::new();
        for place in 0..kinds.len() {
            let classes = classes.get(kinds[place] as usize).copied().unwrap_or(0);
            if classes == 0 || !sources.get(from[place] as usize).copied().unwrap_or(false) {
                continue;
            }
            let person = people.get(visits[place] as usize).copied().unwrap_or(NOBODY);
            let time = number_time(inserted[place]);
            let is_within = filter.from.is_none_or(|from| time >= from) && filter.to.is_none_or(|to| time < to);
            let is_deleted = offsets.get(place).is_some_and(|offset| deleted.binary_search(offset).is_ok());
            if person != NOBODY && is_within && !is_deleted {
                rows.push((place, Row { time, person, classes }));
            }
        }
        if conditional > 0 {
            decide(log, filter, conditional, &offsets, &mut rows)?;
        }
        rows.into_iter().filter(|(_, row)| row.classes > 0).for_each(|(_, row)| each(row));
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
    let is_asked = |row: &Row| row.classes & conditional > 0;
    let asked: Vec<u64> = rows.iter().filter(|(_, row)| is_asked(row)).map(|(place, _)| offsets[*place]).collect();
    let (mut events, mut end) = (Vec::new(), 0);
    for (place, row) in rows.iter_mut().filter(|(_, row)| is_asked(row)) {
        let offset = offsets[*place];
        if offset >= end {
            let Some(block) = log.event_block(offset)? else { break };
            (events, end) = (block.events_at(&asked)?, block.offsets().end);
        }
        let Ok(at) = events.binary_search_by_key(&offset, |event| event.offset) else { continue };
        let event = events[at].shown();
        let conditions = filter.classes.iter().enumerate();
        for (class, condition) in conditions.filter_map(|(at, class)| Some((at, class.condition.as_ref()?))) {
            if row.classes >> class & 1 == 1
                && !condition.holds(&Scope::stored_event(&event, filter.now)).unwrap_or(false)
            {
                row.classes &= !(1 << class);
            }
        }
    }
    Ok(())
}
