//! When each leaf of a profile was last written, found by path.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Decimal, Json, Path, Time, path::push_step};

/// About what a field takes in memory beside its path, and a part of it beside its value.
const FIELD_BYTES: usize = 96;
const PART_BYTES: usize = 48;

/// When a leaf was last written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Field {
    pub offset: u64,
    pub time: Time,
    /// What was added there, if it is a number that was only ever added to: a counter.
    #[serde(with = "added")]
    pub added: Option<Decimal>,
    /// What else a counter is made of: what it was set to first, and what those added that became one.
    pub parts: Vec<Written>,
}

impl Field {
    /// What was written at this offset and time.
    pub fn set(offset: u64, time: Time) -> Self {
        Self { offset, time, added: None, parts: Vec::new() }
    }

    fn bytes(&self) -> usize {
        FIELD_BYTES + self.parts.iter().map(|part| PART_BYTES + part.value.as_str().len()).sum::<usize>()
    }
}

/// How [`Field::added`] is stored: with the bytes of an `Option<f64>`, which it was, and one more variant.
mod added {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    use super::Decimal;

    #[derive(Serialize, Deserialize)]
    enum Added {
        None,
        Float(f64),
        Exact(Box<str>),
    }

    pub fn serialize<S: Serializer>(added: &Option<Decimal>, serializer: S) -> Result<S::Ok, S::Error> {
        added.as_ref().map_or(Added::None, |added| Added::Exact(added.to_string().into())).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Decimal>, D::Error> {
        match Added::deserialize(deserializer)? {
            Added::None => Ok(None),
            Added::Float(float) => Ok(Some(Decimal::from_float(float).unwrap_or_default())),
            Added::Exact(text) => Decimal::parse(&text).map(Some).ok_or_else(|| D::Error::custom("no number")),
        }
    }
}

/// A value that was written once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Written {
    pub offset: u64,
    pub time: Time,
    /// It was added to what stood there.
    pub is_added: bool,
    pub value: Json,
}

/// The fields of a profile by their paths, as these are written. A clone shares them until one of both is changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields(Arc<FieldMap>);

#[derive(Clone, Debug, Default, PartialEq)]
struct FieldMap {
    by_path: BTreeMap<Box<str>, Field>,
    bytes: usize,
}

impl FieldMap {
    fn insert(&mut self, path: Box<str>, field: Field) {
        self.bytes += path.len() + field.bytes();
        let length = path.len();
        if let Some(before) = self.by_path.insert(path, field) {
            self.bytes -= length + before.bytes();
        }
    }

    fn remove(&mut self, path: &str) {
        if let Some(before) = self.by_path.remove(path) {
            self.bytes -= path.len() + before.bytes();
        }
    }
}

impl Fields {
    pub fn len(&self) -> usize {
        self.0.by_path.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.by_path.is_empty()
    }

    /// About how many bytes they take in memory.
    pub fn bytes(&self) -> usize {
        self.0.bytes
    }

    pub fn get(&self, path: &str) -> Option<&Field> {
        self.0.by_path.get(path)
    }

    /// All of them, in the order of their paths.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Field)> {
        self.0.by_path.iter().map(|(path, field)| (&**path, field))
    }

    /// The field at `path` and those below it.
    pub fn within<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a Field> {
        self.get(path).into_iter().chain(below(&self.0.by_path, path).map(|(_, field)| field))
    }

    pub fn insert(&mut self, path: Box<str>, field: Field) {
        Arc::make_mut(&mut self.0).insert(path, field);
    }

    /// Changes the field at `path`, if there is one; it stays about as large.
    pub fn change(&mut self, path: &str, change: impl FnOnce(&mut Field)) {
        if self.get(path).is_some() {
            let map = Arc::make_mut(&mut self.0);
            if let Some(field) = map.by_path.get_mut(path) {
                let before = field.bytes();
                change(field);
                map.bytes = map.bytes + field.bytes() - before;
            }
        }
    }

    /// Forgets what was noted at `path`, below it, and on the way to it.
    pub fn forget_around(&mut self, path: &str) {
        if self.is_empty() {
            return;
        }
        let around = overlapping(&self.0.by_path, path);
        if !around.is_empty() {
            let map = Arc::make_mut(&mut self.0);
            around.iter().for_each(|path| map.remove(path));
        }
    }
}

impl FromIterator<(Box<str>, Field)> for Fields {
    fn from_iter<T: IntoIterator<Item = (Box<str>, Field)>>(fields: T) -> Self {
        let by_path: BTreeMap<Box<str>, Field> = fields.into_iter().collect();
        let bytes = by_path.iter().map(|(path, field)| path.len() + field.bytes()).sum();
        Self(Arc::new(FieldMap { by_path, bytes }))
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(&self.0.by_path)
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(BTreeMap::<Box<str>, Field>::deserialize(deserializer)?.into_iter().collect())
    }
}

/// The paths among those of `map` that are `path`, lead through it, or that it leads through.
pub(super) fn overlapping<T>(map: &BTreeMap<Box<str>, T>, path: &str) -> Vec<Box<str>> {
    let mut found: Vec<Box<str>> = map.get_key_value(path).map(|(path, _)| path.clone()).into_iter().collect();
    found.extend(below(map, path).map(|(path, _)| Box::from(path)));
    if let Ok(steps) = Path::read(path)
        && let Some((_, way)) = steps.steps().split_last()
    {
        let mut above = String::new();
        for step in way {
            push_step(&mut above, step);
            found.extend(map.get_key_value(above.as_str()).map(|(path, _)| path.clone()));
        }
    }
    found
}

/// What stands below `path`.
fn below<'a, T>(map: &'a BTreeMap<Box<str>, T>, path: &str) -> impl Iterator<Item = (&'a str, &'a T)> + use<'a, T> {
    // A step below is written behind a dot or in brackets.
    [format!("{path}."), format!("{path}[")].into_iter().flat_map(move |start| {
        let range = map.range::<str, _>((Bound::Included(start.as_str()), Bound::Unbounded));
        range.take_while(move |(path, _)| path.starts_with(&start)).map(|(path, value)| (&**path, value))
    })
}
