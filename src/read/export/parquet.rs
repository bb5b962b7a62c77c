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
/// How many texts of a column are handed on at once: so few that they stay in the processor's cache.
const TEXTS_TOGETHER: usize = 1_024;
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
    /// Texts one behind the other, each once for rows that follow each other with the same one, as those of a visit have
    /// in many columns.
    Text(Vec<u8>, Vec<Run>),
    Number(Vec<i64>),
    Boolean(Vec<bool>),
    Float(Vec<f64>),
}

/// Rows that have the text that begins at `start`.
struct Run {
    start: usize,
    rows: usize,
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

    /// None, with room for a little more than these: what grows step by step is copied at each.
    fn next(&self) -> Self {
        fn room<T>(list: &[T]) -> Vec<T> {
            Vec::with_capacity(list.len() + list.len() / 8)
        }
        let list = match &self.list {
            List::Text(texts, runs) => List::Text(room(texts), room(runs)),
            List::Number(numbers) => List::Number(room(numbers)),
            List::Boolean(booleans) => List::Boolean(room(booleans)),
            List::Float(floats) => List::Float(room(floats)),
        };
        Self { is_there: room(&self.is_there), list }
    }

    /// Adds a row's value; how many bytes it takes.
    fn push(&mut self, cell: Cell<'_>) -> usize {
        const NUMBER: usize = 8;
        let bytes = match (&mut self.list, cell) {
            (List::Text(texts, runs), Cell::Text(text)) => {
                match runs.last_mut() {
                    Some(last) if texts[last.start..] == *text.as_bytes() => last.rows += 1,
                    _ => {
                        runs.push(Run { start: texts.len(), rows: 1 });
                        texts.extend_from_slice(text.as_bytes());
                    }
                }
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
        let columns = table.columns.iter().map(|(_, kind)| Values::new(*kind)).collect();
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
        if self.rows == 0 {
            return None;
        }
        (self.rows, self.bytes) = (0, 0);
        let next = self.columns.iter().map(Values::next).collect();
        Some(FullGroup(std::mem::replace(&mut self.columns, next)))
    }
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
            let path = ColumnPath::new(vec![name.clone()]);
            if matches!(kind, Kind::Text | Kind::Time) {
                // No value comes often enough that a list of them would be worth its while.
                properties = properties.set_column_dictionary_enabled(path.clone(), false);
            }
            if matches!(kind, Kind::Text | Kind::Word) {
                // The least and the greatest text of a group tell of hardly one that it is not there.
                properties = properties.set_column_statistics_enabled(path, EnabledStatistics::None);
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
                List::Text(texts, runs) => {
                    let texts = Bytes::from(texts);
                    let ends = runs.iter().skip(1).map(|run| run.start).chain([texts.len()]);
                    let mut rows = runs.iter().zip(ends).flat_map(|(run, end)| {
                        std::iter::repeat_n(ByteArray::from(texts.slice(run.start..end)), run.rows)
                    });
                    for is_there in is_there.chunks(TEXTS_TOGETHER) {
                        let count = is_there.iter().filter(|is_there| **is_there > 0).count();
                        let texts: Vec<ByteArray> = rows.by_ref().take(count).collect();
                        column.typed::<ByteArrayType>().write_batch(&texts, Some(is_there), None)?;
                    }
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

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use proptest::prelude::*;

    use super::*;
    use crate::{
        model::Value,
        read::{filter::ProfileFilter, projection::Projection, query::Wanted},
    };

    /// A record, shown as JSON, with these values of its fields; what is missing is null.
    fn record(name: Option<&str>, visits: Option<i64>) -> Record {
        Record::OfKind(Value::shown(&serde_json::json!({"name": name, "stats": {"visits": visits}})))
    }

    /// Rows that follow each other with the same values: what it is, and how many.
    fn runs() -> impl Strategy<Value = Vec<(Option<String>, Option<i64>, usize)>> {
        let name = prop::option::weighted(0.7, "[ab]{0,3}");
        let rows =
            prop_oneof![4 => 1..4_usize, 1 => TEXTS_TOGETHER - 1..TEXTS_TOGETHER + 2, 1 => Just(3 * TEXTS_TOGETHER)];
        prop::collection::vec((name, prop::option::of(0..9_i64), rows), 0..12)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn rows_are_read_as_they_were_written(runs in runs(), ends in prop::collection::vec(any::<bool>(), 12)) {
            let projection = Projection::read("name,stats.visits").unwrap();
            let wanted = Wanted::Profiles(Arc::new(ProfileFilter::default()));
            let mut rows = RowGroup::new(Table::of(&wanted, &projection));
            let mut writer = ParquetWriter::new(&rows).unwrap();
            let (mut file, mut expected) = (Vec::new(), Vec::new());
            for ((name, visits, count), is_end) in runs.iter().zip(ends) {
                for _ in 0..*count {
                    prop_assert!(rows.add(&record(name.as_deref(), *visits)).is_none(), "it is not full");
                    expected.push((name.clone(), *visits));
                }
                if is_end && let Some(group) = rows.end() {
                    file.extend(writer.write(group).unwrap());
                }
            }
            if let Some(group) = rows.end() {
                file.extend(writer.write(group).unwrap());
            }
            file.extend(writer.end().unwrap());
            let reader = SerializedFileReader::new(Bytes::from(file)).unwrap();
            let found = reader.get_row_iter(None).unwrap().map(|row| {
                let row = row.unwrap();
                let cells: Vec<_> = row.get_column_iter().map(|(_, cell)| cell.to_string()).collect();
                (cells[0].clone(), cells[1].clone())
            });
            let shown = |text: Option<String>| text.unwrap_or_else(|| "null".into());
            let quoted = |name: &Option<String>| name.as_ref().map(|name| format!("\"{name}\""));
            let expected: Vec<_> = expected
                .iter()
                .map(|(name, visits)| (shown(quoted(name)), shown(visits.map(|visits| visits.to_string()))))
                .collect();
            prop_assert_eq!(found.collect::<Vec<_>>(), expected);
        }
    }
}
