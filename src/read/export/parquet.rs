//! Apache Parquet: columns in row groups, compressed with zstd.

use std::sync::Arc;

use bytes::Bytes;
use parquet::{
    basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel},
    data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type},
    errors::ParquetError,
    file::{
        properties::{EnabledStatistics, WriterProperties},
        writer::SerializedFileWriter,
    },
    schema::types::{ColumnPath, Type},
};

use super::columns::{Cell, Kind, Table};
use crate::read::scan::Record;

/// A row group ends with the record that makes it so large before it is compressed, or so long.
const GROUP_BYTES: usize = 16 * 1024 * 1024;
const GROUP_ROWS: usize = 122_880;
/// Higher levels cost several times as much for a few per cent.
const LEVEL: i32 = 3;

/// Gathers records into columns.
pub struct RowGroup {
    table: Table,
    columns: Vec<Values>,
    rows: usize,
    bytes: usize,
}

/// The columns of a row group to which nothing comes any more.
pub struct FullGroup(Vec<Values>);

/// Writes row groups.
pub struct ParquetWriter(SerializedFileWriter<Vec<u8>>);

/// The values of a column, and for each row 1 if it has one, else 0.
struct Values {
    is_there: Vec<i16>,
    list: List,
}

enum List {
    /// All texts, and where each ends.
    Text(Vec<u8>, Vec<usize>),
    Number(Vec<i64>),
    Boolean(Vec<bool>),
    Float(Vec<f64>),
}

impl Values {
    fn new(kind: Kind) -> Self {
        let list = match kind {
            Kind::Text | Kind::Word => List::Text(Vec::new(), Vec::new()),
            Kind::Time | Kind::Count => List::Number(Vec::new()),
            Kind::Boolean => List::Boolean(Vec::new()),
            Kind::Seconds => List::Float(Vec::new()),
        };
        Self { is_there: Vec::new(), list }
    }

    /// Adds a row's value; how many bytes it takes.
    fn push(&mut self, cell: Cell<'_>) -> usize {
        const NUMBER: usize = 8;
        let bytes = match (&mut self.list, cell) {
            (List::Text(texts, ends), Cell::Text(text)) => {
                texts.extend_from_slice(text.as_bytes());
                ends.push(texts.len());
                Some(NUMBER + text.len())
            }
            (List::Number(numbers), Cell::Time(time)) => {
                numbers.push(time.micros());
                Some(NUMBER)
            }
            (List::Number(numbers), Cell::Count(count)) => {
                numbers.push(count);
                Some(NUMBER)
            }
            (List::Boolean(booleans), Cell::Boolean(boolean)) => {
                booleans.push(boolean);
                Some(1)
            }
            (List::Float(floats), Cell::Seconds(seconds)) => {
                floats.push(seconds);
                Some(NUMBER)
            }
            _ => None,
        };
        self.is_there.push(i16::from(bytes.is_some()));
        2 + bytes.unwrap_or(0)
    }
}

impl RowGroup {
    pub fn new(table: Table) -> Self {
        let columns = empty(&table);
        Self { table, columns, rows: 0, bytes: 0 }
    }

    /// Adds a record; the group that is full with it, if it is.
    pub fn add(&mut self, record: &Record) -> Option<FullGroup> {
        let Self { table, columns, bytes, .. } = self;
        table.cells(record, |place, cell| *bytes += columns[place].push(cell));
        self.rows += 1;
        if self.bytes >= GROUP_BYTES || self.rows >= GROUP_ROWS { self.end() } else { None }
    }

    /// What was gathered; `None`: nothing.
    pub fn end(&mut self) -> Option<FullGroup> {
        let columns = (self.rows > 0).then(|| std::mem::replace(&mut self.columns, empty(&self.table)));
        (self.rows, self.bytes) = (0, 0);
        columns.map(FullGroup)
    }
}

fn empty(table: &Table) -> Vec<Values> {
    table.columns.iter().map(|(_, kind)| Values::new(*kind)).collect()
}

impl ParquetWriter {
    /// For the groups that `rows` gathers.
    pub fn new(rows: &RowGroup) -> Result<Self, ParquetError> {
        let RowGroup { table, .. } = rows;
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(LEVEL)?))
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .set_created_by(concat!("tracardi ", env!("CARGO_PKG_VERSION")).to_owned());
        let mut columns = Vec::with_capacity(table.columns.len());
        for (name, kind) in &table.columns {
            let (physical, logical) = match kind {
                Kind::Text | Kind::Word => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
                Kind::Time => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MICROS))),
                Kind::Count => (Physical::INT64, None),
                Kind::Boolean => (Physical::BOOLEAN, None),
                Kind::Seconds => (Physical::DOUBLE, None),
            };
            let column = Type::primitive_type_builder(name, physical)
                .with_repetition(Repetition::OPTIONAL)
                .with_logical_type(logical);
            columns.push(Arc::new(column.build()?));
            if matches!(kind, Kind::Text | Kind::Time) {
                // No value comes often enough that a list of them would be worth its while.
                properties = properties.set_column_dictionary_enabled(ColumnPath::new(vec![name.clone()]), false);
            }
        }
        let schema = Arc::new(Type::group_type_builder("record").with_fields(columns).build()?);
        let file = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties.build()))?;
        Ok(Self(file))
    }

    /// The file's end, behind its groups.
    pub fn end(mut self) -> Result<Vec<u8>, ParquetError> {
        self.0.finish()?;
        Ok(std::mem::take(self.0.inner_mut()))
    }

    /// A group as it stands in the file, with the file's beginning if it is the first one.
    pub fn write(&mut self, group: FullGroup) -> Result<Vec<u8>, ParquetError> {
        let mut columns = group.0.into_iter();
        let mut group = self.0.next_row_group()?;
        while let (Some(mut column), Some(Values { is_there, list })) = (group.next_column()?, columns.next()) {
            let levels = Some(&is_there[..]);
            match list {
                List::Text(texts, ends) => {
                    let texts = Bytes::from(texts);
                    let starts = std::iter::once(0).chain(ends.iter().copied());
                    let values: Vec<ByteArray> =
                        starts.zip(&ends).map(|(start, end)| ByteArray::from(texts.slice(start..*end))).collect();
                    column.typed::<ByteArrayType>().write_batch(&values, levels, None)?;
                }
                List::Number(values) => _ = column.typed::<Int64Type>().write_batch(&values, levels, None)?,
                List::Boolean(values) => _ = column.typed::<BoolType>().write_batch(&values, levels, None)?,
                List::Float(values) => _ = column.typed::<DoubleType>().write_batch(&values, levels, None)?,
            }
            column.close()?;
        }
        group.close()?;
        self.0.flush()?;
        Ok(std::mem::take(self.0.inner_mut()))
    }
}
