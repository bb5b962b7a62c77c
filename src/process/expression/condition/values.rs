//! Values in the interpreter's form, and back.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use cel::common::{
    types::{
        CelBool, CelDouble, CelDuration, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelTimestamp, CelType,
        CelUInt,
    },
    value::Val,
};

use super::number::Number;
use crate::model::{Object, Value};

/// How much an evaluation may turn into the interpreter's form and back, in bytes: a number counts as [`ITEM_BYTES`].
/// Each time that a loop speaks of a record's list, all of it is turned.
pub(super) const LOOKED_AT_MAX: usize = 4 * 1024 * 1024;
pub(super) const ITEM_BYTES: usize = 8;
/// The same where a loop reads a pattern for each.
pub(super) const PATTERN_ITEM_BYTES: usize = 4_096;

/// What an evaluation turned from one form into the other.
#[derive(Default)]
pub(super) struct Budget {
    taken: AtomicUsize,
    item_bytes: AtomicUsize,
}

impl Budget {
    pub fn begin(&self, item_bytes: usize) {
        self.taken.store(0, Ordering::Relaxed);
        self.item_bytes.store(item_bytes, Ordering::Relaxed);
    }

    /// Takes the room of a value beside what is in it; `None`: there is none outcome.
    fn take(&self, text: &str) -> Option<()> {
        self.taken.fetch_add(self.item_bytes.load(Ordering::Relaxed) + text.len(), Ordering::Relaxed);
        (!self.is_exceeded()).then_some(())
    }

    pub fn is_exceeded(&self) -> bool {
        self.taken.load(Ordering::Relaxed) > LOOKED_AT_MAX
    }
}

/// In the interpreter's form; `None`: there is no room for it.
pub(super) fn to_cel<'v>(value: &Value, budget: &Budget) -> Option<Box<dyn Val + 'v>> {
    budget.take(match value {
        Value::Text(text) | Value::Number(text) => text,
        _ => "",
    })?;
    Some(match value {
        Value::Null => Box::new(CelNull),
        Value::Boolean(boolean) => Box::new(CelBool::from(*boolean)),
        Value::Number(number) => match number.parse::<i64>() {
            Ok(whole) if **number != *"-0" => Box::new(CelInt::from(whole)),
            _ => Box::new(Number::new(number)),
        },
        Value::Text(text) => Box::new(CelString::from(text.to_string())),
        Value::List(list) => {
            let list = list.iter().map(|item| to_cel(item, budget));
            Box::new(CelList::from(list.collect::<Option<Vec<_>>>()?))
        }
        Value::Object(object) => {
            let entries = object.iter().map(|(key, value)| {
                budget.take(key)?;
                Some((CelMapKey::from(key.to_owned()), to_cel(value, budget)?))
            });
            Box::new(CelMap::from(entries.collect::<Option<HashMap<_, _>>>()?))
        }
    })
}

/// What the interpreter's value says; `None`: there is no room for it.
pub(super) fn from_cel(value: &dyn Val, budget: &Budget) -> Option<Value> {
    budget.take("")?;
    Some(if let Some(boolean) = value.downcast_ref::<CelBool>() {
        Value::Boolean(*boolean.inner())
    } else if let Some(number) = value.downcast_ref::<Number>() {
        budget.take(number.as_str())?;
        Value::Number(number.as_str().into())
    } else if let Some(number) = value.downcast_ref::<CelInt>() {
        Value::number(number.inner())
    } else if let Some(number) = value.downcast_ref::<CelUInt>() {
        Value::number(number.inner())
    } else if let Some(number) = value.downcast_ref::<CelDouble>() {
        Value::float(*number.inner())
    } else if let Some(text) = value.downcast_ref::<CelString>() {
        budget.take(text.inner())?;
        Value::text(text.inner())
    } else if let Some(list) = value.downcast_ref::<CelList>() {
        Value::List(list.iter().map(|item| from_cel(item.as_ref(), budget)).collect::<Option<_>>()?)
    } else if let Some(map) = value.downcast_ref::<CelMap>() {
        let mut entries: Vec<(String, &dyn Val)> =
            map.iter().map(|(key, value)| (key_text(key), value.as_ref())).collect();
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        let mut object = Object::default();
        for (key, value) in entries {
            budget.take(&key)?;
            object.insert(&key, from_cel(value, budget)?);
        }
        Value::Object(object)
    } else if let Some(time) = value.downcast_ref::<CelTimestamp>() {
        Value::text(&time.inner().to_utc().to_rfc3339_opts(chrono::SecondsFormat::Micros, true))
    } else if let Some(duration) = value.downcast_ref::<CelDuration>() {
        Value::text(&format!("{}s", duration.inner().as_seconds_f64()))
    } else if let Some(kind) = value.downcast_ref::<CelType>() {
        Value::text(kind.name())
    } else {
        Value::Null
    })
}

fn key_text(key: &CelMapKey<'_>) -> String {
    match key {
        CelMapKey::Bool(boolean) => boolean.inner().to_string(),
        CelMapKey::Int(number) => number.inner().to_string(),
        CelMapKey::UInt(number) => number.inner().to_string(),
        CelMapKey::String(text) => text.inner().to_owned(),
    }
}
