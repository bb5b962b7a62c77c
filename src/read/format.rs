//! Records as lines: NDJSON, or CSV for spreadsheets (RFC 4180). `export` has the form in columns.

use serde::Serialize;

use super::{
    projection::Projection,
    query::{Query, Wanted},
};
use crate::model::{Fault, Path, Value};

/// How records are written one behind the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Ndjson,
    Csv,
    Parquet,
}

impl Format {
    /// # Errors
    /// It is none of the words.
    pub fn read(word: &str) -> Result<Self, Fault> {
        match word {
            "ndjson" => Ok(Self::Ndjson),
            "csv" => Ok(Self::Csv),
            "parquet" => Ok(Self::Parquet),
            _ => Err(Fault::new("value_error", "ndjson, csv or parquet is expected")),
        }
    }

    /// What the names of its files end in.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
        }
    }

    pub fn media_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }
}

/// The parts of a record that are a column each, as `GET /event/ID` and so on name them.
const EVENT_COLUMNS: &[&str] = &[
    "id",
    "type",
    "name",
    "source",
    "session",
    "profile",
    "properties",
    "context",
    "request",
    "tags",
    "traits",
    "data",
    "journey",
    "metadata",
    "hit",
    "utm",
    "device",
    "os",
    "app",
];
const SESSION_COLUMNS: &[&str] =
    &["id", "profile", "context", "properties", "traits", "device", "os", "app", "utm", "metadata"];
const PROFILE_COLUMNS: &[&str] = &[
    "id",
    "ids",
    "primary_id",
    "metadata",
    "stats",
    "traits",
    "data",
    "segments",
    "interests",
    "consents",
    "aux",
    "active",
];

/// The columns of what is wanted. What a session shows has a column of the same name among those of an event.
fn columns(wanted: &Wanted) -> Vec<Path> {
    let (first, others) = match wanted {
        Wanted::Events(_) => (None, EVENT_COLUMNS),
        Wanted::Sessions(_) => (None, SESSION_COLUMNS),
        Wanted::Profiles(_) => (None, PROFILE_COLUMNS),
        Wanted::Timeline(..) => (Some("kind"), EVENT_COLUMNS),
    };
    first.iter().chain(others).map(|column| [*column].into_iter().collect()).collect()
}

/// Writes records as lines.
pub struct Lines {
    is_csv: bool,
    projection: Projection,
    columns: Vec<Path>,
}

impl Lines {
    /// For the records of a query, as CSV or as NDJSON.
    pub fn of(query: &Query, is_csv: bool) -> Self {
        Self::new(is_csv, query.projection.clone(), || columns(&query.wanted))
    }

    fn new(is_csv: bool, projection: Projection, columns: impl FnOnce() -> Vec<Path>) -> Self {
        let columns = projection.paths().map_or_else(columns, <[Path]>::to_vec);
        Self { is_csv, projection, columns }
    }

    /// What stands before the first record.
    pub fn head(&self) -> Vec<u8> {
        if self.is_csv { row(self.columns.iter().map(Path::to_string)) } else { Vec::new() }
    }

    /// Writes a record behind `out`.
    pub fn add(&self, out: &mut Vec<u8>, record: &impl Serialize) {
        if self.is_csv {
            let record = Value::shown(record);
            let cells = self.columns.iter().map(|column| record.get(column.steps()).map_or_else(String::new, cell));
            out.extend(row(cells));
            return;
        }
        // Writing to memory does not fail, and records have texts as keys.
        let written = if self.projection.is_whole() {
            serde_json::to_writer(&mut *out, record)
        } else {
            serde_json::to_writer(&mut *out, &self.projection.of(&Value::shown(record)))
        };
        written.expect("a record can be written");
        out.push(b'\n');
    }
}

fn row(cells: impl Iterator<Item = String>) -> Vec<u8> {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    writer.write_record(cells.collect::<Vec<_>>()).expect("memory takes it, and each record is written alone");
    writer.into_inner().expect("memory takes it")
}

/// A value as a cell. What a spreadsheet would run gets a mark before it.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Text(text) if is_run(text) => format!("'{text}"),
        other => other.to_text(),
    }
}

/// Whether a spreadsheet takes the text for a formula: also behind blanks, which it may skip.
fn is_run(text: &str) -> bool {
    text.starts_with(['\t', '\r'])
        || text.trim_start().starts_with(['=', '+', '-', '@']) && text.trim().parse::<f64>().is_err()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cells_are_quoted_and_run_nothing() {
        let lines = Lines::new(true, Projection::read("a,b.c").unwrap(), Vec::new);
        assert_eq!(lines.head(), b"a,b.c\r\n");
        for (record, row) in [
            (
                json!({"a": "x, \"y\"\n", "b": {"c": [1, {"d": null}]}}),
                "\"x, \"\"y\"\"\n\",\"[1,{\"\"d\"\":null}]\"\r\n",
            ),
            (json!({"a": "=1+1", "b": {"c": "-5.5"}}), "'=1+1,-5.5\r\n"),
            (json!({"a": "+48 600 700", "b": {"c": "@sum(a1)"}}), "'+48 600 700,'@sum(a1)\r\n"),
            (json!({"a": null, "b": {"c": " =x"}}), ",' =x\r\n"),
            (json!({"a": -1, "b": {"c": true}}), "-1,true\r\n"),
        ] {
            let mut out = Vec::new();
            lines.add(&mut out, &record);
            assert_eq!(String::from_utf8(out).unwrap(), row);
        }
    }

    #[test]
    fn a_line_is_a_record_or_the_parts_of_it() {
        let mut out = Vec::new();
        Lines::new(false, Projection::default(), Vec::new).add(&mut out, &json!({"a": 1, "b": 2}));
        Lines::new(false, Projection::read("b,c").unwrap(), Vec::new).add(&mut out, &json!({"a": 1, "b": 2}));
        assert_eq!(String::from_utf8(out).unwrap(), "{\"a\":1,\"b\":2}\n{\"b\":2}\n");
    }
}
