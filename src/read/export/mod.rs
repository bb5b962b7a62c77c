//! Records as files: everything of a kind that a filter means, as lines or in columns, piece by piece.

mod columns;
mod parquet;

use super::{Asked, Format, Parameters, Queries, Query, format::Lines, scan::Record, stream::RecordStream};
use crate::{
    model::{Fault, RecordKind},
    store::Refused,
};
use ::parquet::errors::ParquetError;
use columns::Table;
use parquet::{FullGroup, ParquetWriter, RowGroup};
use tokio::task::JoinHandle;

/// What is to be exported, and how.
pub struct ExportQuery {
    kind: RecordKind,
    format: Format,
    query: Query,
}

impl ExportQuery {
    pub fn format(&self) -> Format {
        self.format
    }

    /// What a file of it is called.
    pub fn file_name(&self) -> String {
        format!("{}.{}", self.kind.plural(), self.format.extension())
    }
}

/// A file that is being written: records are looked for, made into pieces of the file and, in columns, compressed, each
/// on a thread beside the others. Little more than two pieces of it are in memory.
pub struct Export {
    stream: RecordStream,
    /// The records that were looked for while those before them were written.
    ahead: Option<Result<Option<Vec<Record>>, Refused>>,
    /// Elsewhere only while it takes records; `None` once it had them all.
    writer: Option<Writer>,
    /// What compresses row groups; `None` in lines, and at the end.
    groups: Option<Groups>,
}

enum Writer {
    Lines {
        lines: Lines,
        /// Nothing was written yet.
        is_new: bool,
    },
    Columns(Box<RowGroup>),
}

/// What became of records.
enum Added {
    Lines(Vec<u8>),
    /// The row groups that they filled.
    Columns(Vec<FullGroup>),
}

/// A writer of row groups, which compresses one while the next one is gathered.
enum Groups {
    Idle(Box<ParquetWriter>),
    Writing(JoinHandle<Result<Compressed, Refused>>),
}

/// Bytes of the file, and what goes on with it.
type Compressed = (Vec<u8>, Box<ParquetWriter>);

impl Queries {
    /// Reads what is to be exported: `what`, `format` and the filters of a query for such records, which come from the
    /// oldest on unless something else is said.
    ///
    /// # Errors
    /// A parameter is missing, unknown or cannot be read; the fault names it.
    pub fn export_query(&self, parameters: Parameters) -> Result<ExportQuery, Fault> {
        let mut parameters = parameters.or("order", "oldest");
        let kind = parameters.read("what", RecordKind::read)?.ok_or_else(|| Fault::missing().at("what"))?;
        let format = parameters.read("format", Format::read)?.unwrap_or(Format::Ndjson);
        let asked = match kind {
            RecordKind::Event => Asked::Events(None),
            RecordKind::Session => Asked::Sessions(None),
            RecordKind::Profile => Asked::Profiles,
        };
        Ok(ExportQuery { kind, format, query: self.query(parameters, asked)? })
    }

    pub async fn export(&self, query: &ExportQuery) -> Result<Export, Refused> {
        self.written(&query.query, query.format).await
    }

    /// The records that a query means, written in this form.
    pub async fn written(&self, query: &Query, format: Format) -> Result<Export, Refused> {
        let (writer, groups) = match format {
            Format::Parquet => {
                let rows = RowGroup::new(Table::of(&query.wanted, &query.projection));
                let writer = ParquetWriter::new(&rows).map_err(|error| unwritten(&error))?;
                (Writer::Columns(Box::new(rows)), Some(Groups::Idle(Box::new(writer))))
            }
            format => (Writer::Lines { lines: Lines::of(query, format == Format::Csv), is_new: true }, None),
        };
        let stream = self.stream(query, query.stream_limit()).await?;
        Ok(Export { stream, ahead: None, writer: Some(writer), groups })
    }
}

impl Export {
    /// The next piece of the file; `None`: that was all.
    ///
    /// # Errors
    /// The records cannot be read any further: the file is cut off.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Refused> {
        while let Some(mut writer) = self.writer.take() {
            let records = match self.ahead.take() {
                Some(records) => records?,
                None => self.stream.next().await?,
            };
            let is_end = records.is_none();
            let added = self.stream.work(move || {
                let added = writer.add(&records.unwrap_or_default(), is_end);
                (added, writer)
            });
            let (added, ahead) = tokio::join!(added, self.stream.next());
            self.ahead = Some(ahead);
            let (added, writer) = added?;
            self.writer = (!is_end).then_some(writer);
            let out = match added {
                Added::Lines(out) => out,
                Added::Columns(groups) => {
                    let mut out = Vec::new();
                    for group in groups {
                        out.extend(self.compress(group).await?);
                    }
                    out
                }
            };
            if !out.is_empty() {
                return Ok(Some(out));
            }
        }
        self.end_groups().await
    }

    /// Begins to compress a row group; the bytes of the one before it, once it is.
    async fn compress(&mut self, group: FullGroup) -> Result<Vec<u8>, Refused> {
        let Some((out, mut writer)) = self.compressed().await? else { return Ok(Vec::new()) };
        let written = self.stream.work(move || writer.write(group).map(|out| (out, writer)));
        let writing = async { written.await?.map_err(|error| unwritten(&error)) };
        self.groups = Some(Groups::Writing(tokio::spawn(writing)));
        Ok(out)
    }

    /// In columns: the last row group and the file's end.
    async fn end_groups(&mut self) -> Result<Option<Vec<u8>>, Refused> {
        let Some((mut out, writer)) = self.compressed().await? else { return Ok(None) };
        out.extend(writer.end().map_err(|error| unwritten(&error))?);
        Ok(Some(out))
    }

    async fn compressed(&mut self) -> Result<Option<Compressed>, Refused> {
        match self.groups.take() {
            Some(Groups::Idle(writer)) => Ok(Some((Vec::new(), writer))),
            Some(Groups::Writing(writing)) => {
                writing.await.map_err(|error| Refused::Unavailable(error.to_string()))?.map(Some)
            }
            None => Ok(None),
        }
    }
}

fn unwritten(error: &ParquetError) -> Refused {
    Refused::Unavailable(format!("the file cannot be written: {error}"))
}

impl Writer {
    /// Takes records. `is_end`: no others come.
    fn add(&mut self, records: &[Record], is_end: bool) -> Added {
        match self {
            Self::Lines { lines, is_new } => {
                let mut out = if std::mem::take(is_new) { lines.head() } else { Vec::new() };
                records.iter().for_each(|record| lines.add(&mut out, record));
                Added::Lines(out)
            }
            Self::Columns(rows) => {
                let full = records.iter().filter_map(|record| rows.add(record));
                let mut groups: Vec<FullGroup> = full.collect();
                groups.extend(if is_end { rows.end() } else { None });
                Added::Columns(groups)
            }
        }
    }
}
