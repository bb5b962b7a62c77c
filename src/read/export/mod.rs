//! Records as files: everything of a kind that a filter means, as lines or in columns, piece by piece.

mod columns;
mod parquet;

use super::{Asked, Format, Parameters, Queries, Query, format::Lines, scan::Record, stream::RecordStream};
use crate::{
    model::{Fault, RecordKind},
    store::Refused,
};
use columns::Table;
use parquet::ParquetWriter;

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

/// A file that is being written. Little more than the next two pieces of it are in memory.
pub struct Export {
    stream: RecordStream,
    /// The records that were looked for while those before them were written.
    ahead: Option<Result<Option<Vec<Record>>, Refused>>,
    /// Elsewhere only while it writes; `None` once it wrote the end.
    writer: Option<Writer>,
}

enum Writer {
    Lines {
        lines: Lines,
        /// Nothing was written yet.
        is_new: bool,
    },
    Columns(Box<ParquetWriter>),
}

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
        let writer = match format {
            Format::Parquet => {
                let table = Table::of(&query.wanted, &query.projection);
                let writer = ParquetWriter::new(table).map_err(|error| unwritten(&error))?;
                Writer::Columns(Box::new(writer))
            }
            format => Writer::Lines { lines: Lines::of(query, format == Format::Csv), is_new: true },
        };
        Ok(Export { stream: self.stream(query, query.stream_limit()).await?, ahead: None, writer: Some(writer) })
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
            let written = self.stream.work(move || {
                let mut out = Vec::new();
                let written = writer.add(records.unwrap_or_default(), is_end, &mut out);
                written.map(|()| (out, writer))
            });
            // Records are looked for on one thread while others are written on another.
            let (written, ahead) = tokio::join!(written, self.stream.next());
            self.ahead = Some(ahead);
            let (out, writer) = written?.map_err(|error| unwritten(&error))?;
            self.writer = (!is_end).then_some(writer);
            if !out.is_empty() {
                return Ok(Some(out));
            }
        }
        Ok(None)
    }
}

fn unwritten(error: &::parquet::errors::ParquetError) -> Refused {
    Refused::Unavailable(format!("the file cannot be written: {error}"))
}

impl Writer {
    /// Appends what is written of the records; perhaps nothing yet. `is_end`: no others come.
    fn add(
        &mut self,
        records: Vec<Record>,
        is_end: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), ::parquet::errors::ParquetError> {
        match self {
            Self::Lines { lines, is_new } => {
                if std::mem::take(is_new) {
                    out.extend(lines.head());
                }
                records.iter().for_each(|record| lines.add(out, record));
                Ok(())
            }
            Self::Columns(writer) => {
                for record in &records {
                    writer.add(record)?;
                }
                if is_end {
                    writer.end()?;
                }
                out.extend(writer.written()?);
                Ok(())
            }
        }
    }
}
