//! Records in columns: a column for each part of a record that is listed, free-form parts as JSON text.

use std::borrow::Cow;

use serde::Serialize;

use crate::{
    model::{EventParts, Path, Time, Value},
    read::{projection::Projection, query::Wanted, scan::Record},
};

/// What the values of a column are. Any of them may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Strings as they are, everything else as JSON.
    Text,
    /// Of a few hundred words at most, or often the same.
    Word,
    Time,
    Boolean,
    Count,
    /// With a fraction.
    Seconds,
}

/// A value in a column.
#[derive(Debug, PartialEq)]
pub enum Cell<'a> {
    Missing,
    Text(Cow<'a, str>),
    Time(Time),
    Boolean(bool),
    Count(i64),
    Seconds(f64),
}

/// The columns of an event, in the order in which [`event_cells`] hands them on.
const EVENT: [(&str, Kind); 26] = [
    ("id", Kind::Text),
    ("type", Kind::Word),
    ("name", Kind::Word),
    ("source_id", Kind::Word),
    ("session_id", Kind::Word),
    ("profile_id", Kind::Word),
    ("time_insert", Kind::Time),
    ("time_create", Kind::Time),
    ("properties", Kind::Text),
    ("context", Kind::Word),
    ("request", Kind::Word),
    ("tags", Kind::Word),
    ("traits", Kind::Word),
    ("data", Kind::Text),
    ("journey_state", Kind::Word),
    ("profile_less", Kind::Boolean),
    ("status", Kind::Word),
    ("valid", Kind::Boolean),
    ("bot", Kind::Boolean),
    ("identified", Kind::Word),
    ("imported", Kind::Boolean),
    ("hit", Kind::Word),
    ("utm", Kind::Word),
    ("device", Kind::Word),
    ("os", Kind::Word),
    ("app", Kind::Word),
];

/// The columns of a session and where their values stand.
const SESSION: [(&str, Kind, &[&str]); 15] = [
    ("id", Kind::Text, &["id"]),
    ("profile_id", Kind::Word, &["profile", "id"]),
    ("time_insert", Kind::Time, &["metadata", "time", "insert"]),
    ("time_update", Kind::Time, &["metadata", "time", "update"]),
    ("duration", Kind::Seconds, &["metadata", "time", "duration"]),
    ("channel", Kind::Word, &["metadata", "channel"]),
    ("status", Kind::Word, &["metadata", "status"]),
    ("imported", Kind::Boolean, &["metadata", "imported"]),
    ("context", Kind::Word, &["context"]),
    ("properties", Kind::Text, &["properties"]),
    ("traits", Kind::Text, &["traits"]),
    ("device", Kind::Word, &["device"]),
    ("os", Kind::Word, &["os"]),
    ("app", Kind::Word, &["app"]),
    ("utm", Kind::Word, &["utm"]),
];

/// The columns of a profile and where their values stand.
const PROFILE: [(&str, Kind, &[&str]); 18] = [
    ("id", Kind::Text, &["id"]),
    ("ids", Kind::Text, &["ids"]),
    ("primary_id", Kind::Text, &["primary_id"]),
    ("time_insert", Kind::Time, &["metadata", "time", "insert"]),
    ("time_update", Kind::Time, &["metadata", "time", "update"]),
    ("visit_current", Kind::Time, &["metadata", "time", "visit", "current"]),
    ("visit_last", Kind::Time, &["metadata", "time", "visit", "last"]),
    ("visits", Kind::Count, &["stats", "visits"]),
    ("views", Kind::Count, &["stats", "views"]),
    ("imported", Kind::Boolean, &["metadata", "imported"]),
    ("traits", Kind::Text, &["traits"]),
    ("data", Kind::Text, &["data"]),
    ("segments", Kind::Word, &["segments"]),
    ("interests", Kind::Text, &["interests"]),
    ("consents", Kind::Word, &["consents"]),
    ("aux", Kind::Text, &["aux"]),
    ("fields", Kind::Text, &["metadata", "fields"]),
    ("active", Kind::Boolean, &["active"]),
];

/// The columns of a file.
pub struct Table {
    pub columns: Vec<(String, Kind)>,
    /// Where the value of each stands in a record; `None`: all of an event is written, part by part.
    paths: Option<Vec<Path>>,
}

impl Table {
    /// Of the records that are wanted, or of the parts of them that are.
    pub fn of(wanted: &Wanted, projection: &Projection) -> Self {
        if let Some(paths) = projection.paths() {
            let mut columns: Vec<(String, Kind)> = Vec::new();
            let mut distinct = Vec::new();
            for path in paths {
                // A path that is asked for twice is one column.
                if !distinct.contains(path) {
                    columns.push((path.to_string(), kind_of(path)));
                    distinct.push(path.clone());
                }
            }
            return Self { columns, paths: Some(distinct) };
        }
        let placed = |table: &[(&str, Kind, &[&str])]| Self {
            columns: table.iter().map(|(name, kind, _)| ((*name).to_owned(), *kind)).collect(),
            paths: Some(table.iter().map(|(_, _, steps)| steps.iter().copied().collect()).collect()),
        };
        match wanted {
            Wanted::Events(_) | Wanted::Timeline(..) => {
                Self { columns: EVENT.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect(), paths: None }
            }
            Wanted::Sessions(_) => placed(&SESSION),
            Wanted::Profiles(_) => placed(&PROFILE),
        }
    }

    /// Hands the cells of a record to `each`, in the order of the columns.
    pub fn cells(&self, record: &Record, mut each: impl FnMut(usize, Cell<'_>)) {
        match (&self.paths, record) {
            (None, Record::Event(event)) => {
                let parts = event.parts();
                event_cells(&parts, each);
            }
            (paths, record) => {
                let tree = Value::shown(record);
                for (place, (_, kind)) in self.columns.iter().enumerate() {
                    let path = paths.as_ref().and_then(|paths| paths.get(place));
                    let value = path.and_then(|path| tree.get(path.steps()));
                    each(place, value.map_or(Cell::Missing, |value| cell(*kind, value)));
                }
            }
        }
    }
}

/// What stands at a path that is asked for; the same as in the columns of whole records, as far as it is known.
fn kind_of(path: &Path) -> Kind {
    let is_at = |steps: &[&str]| path.steps().iter().map(|step| &**step).eq(steps.iter().copied());
    let known = SESSION.iter().chain(&PROFILE).find(|(_, kind, steps)| {
        // Anything may stand under a name that another kind of record has for something free-form.
        matches!(kind, Kind::Time | Kind::Boolean | Kind::Count | Kind::Seconds) && is_at(steps)
    });
    match known {
        Some((_, kind, _)) => *kind,
        None if is_at(&["metadata", "time", "create"]) => Kind::Time,
        None if [["metadata", "valid"], ["metadata", "bot"], ["metadata", "profile_less"]]
            .iter()
            .any(|it| is_at(it)) =>
        {
            Kind::Boolean
        }
        None => Kind::Text,
    }
}

/// Hands the cells of an event to `each`, in the order of [`EVENT`].
fn event_cells(parts: &EventParts<'_>, mut each: impl FnMut(usize, Cell<'_>)) {
    let mut place = 0;
    let mut put = |cell: Cell<'_>| {
        each(place, cell);
        place += 1;
    };
    let metadata = &parts.metadata;
    put(text(&parts.id.text()));
    put(text(parts.kind));
    put(text(parts.name));
    put(text(&parts.source.id.text()));
    for id in [parts.session.as_ref().map(|session| session.id), parts.profile.as_ref().map(|profile| profile.id)] {
        match id {
            Some(id) => put(text(&id.text())),
            None => put(Cell::Missing),
        }
    }
    put(Cell::Time(metadata.time.insert));
    put(Cell::Time(metadata.time.create));
    put(text(parts.properties.as_str()));
    put(text(parts.context.as_str()));
    put(shown(&parts.request));
    put(shown(&parts.tags));
    put(text(parts.traits.as_str()));
    put(text(parts.data.as_str()));
    put(parts.journey.state.map_or(Cell::Missing, text));
    put(Cell::Boolean(metadata.profile_less));
    put(text(metadata.status.word()));
    put(Cell::Boolean(metadata.valid));
    put(Cell::Boolean(metadata.bot));
    put(metadata.identified.as_ref().map_or(Cell::Missing, shown));
    put(Cell::Boolean(metadata.imported));
    for part in [&parts.hit, &parts.utm, &parts.device, &parts.os, &parts.app] {
        put(text(part.as_str()));
    }
}

fn text(text: &str) -> Cell<'_> {
    Cell::Text(Cow::Borrowed(text))
}

/// A part as JSON.
fn shown(part: &impl Serialize) -> Cell<'static> {
    serde_json::to_string(part).map_or(Cell::Missing, |text| Cell::Text(text.into()))
}

/// A value as a column of this kind has it; one of another type is missing.
fn cell(kind: Kind, value: &Value) -> Cell<'_> {
    let cell = match (kind, value) {
        (_, Value::Null) => None,
        (Kind::Text | Kind::Word, Value::Text(text)) => Some(Cell::Text(Cow::Borrowed(text))),
        (Kind::Text | Kind::Word, value) => Some(Cell::Text(value.to_json().as_str().to_owned().into())),
        (Kind::Time, Value::Text(text)) => Time::parse(text).ok().map(Cell::Time),
        (Kind::Boolean, Value::Boolean(boolean)) => Some(Cell::Boolean(*boolean)),
        (Kind::Count, Value::Number(number)) => number.parse().ok().map(Cell::Count),
        (Kind::Seconds, value) => value.as_f64().map(Cell::Seconds),
        _ => None,
    };
    cell.unwrap_or(Cell::Missing)
}
