//! What mappings and workflow steps do to a place in a record.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    model::{Decimal, Path, Value},
    process::{
        expression::scope::Scope,
        records::{NotWritten, Records},
    },
};

/// The most values that a list is appended to.
const LIST_MAX: usize = 10_000;
/// Sums are exact or none.
const BEYOND: &str = "a sum has at most 38 digits before the decimal point and 18 behind it";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    #[default]
    Set,
    /// Sets each key of an object, and leaves the others.
    Merge,
    /// Sets where nothing stands: null and "" are nothing.
    SetIfEmpty,
    /// Adds a value, or each of a list, to a list that holds nothing twice; a single value becomes a list.
    Append,
    /// Adds 1, or a number; nothing counts as 0.
    Increment,
    /// Takes away 1, or a number.
    Decrement,
    /// Adds a number.
    Add,
    /// Takes a number away.
    Subtract,
    /// Sets null.
    Clear,
    Delete,
}

impl Operation {
    /// Whether it does something without a value.
    pub fn works_alone(self) -> bool {
        matches!(self, Self::Increment | Self::Decrement | Self::Clear | Self::Delete)
    }

    /// Whether what it puts at `path` is a number.
    fn asks_for_number(self, path: &Path) -> bool {
        let (root, steps) = path.split_root();
        let is_interest = root == "profile" && steps.len() == 2 && *steps[0] == *"interests";
        is_interest || matches!(self, Self::Increment | Self::Decrement | Self::Add | Self::Subtract)
    }

    /// What it leaves at a place `below` the one where it is done, if it touches what stands there: the inner `None` is
    /// nothing, or no text and no number.
    pub fn leaves<'v>(self, value: Option<&'v Value>, below: &[Box<str>]) -> Option<Option<&'v Value>> {
        let within = |value: &'v Value| value.get(below);
        match self {
            Self::Set => value.map(within),
            Self::Merge => value?.get(below).map(Some),
            Self::SetIfEmpty => None,
            Self::Clear | Self::Delete => Some(None),
            Self::Append | Self::Increment | Self::Decrement | Self::Add | Self::Subtract => {
                below.is_empty().then_some(None)
            }
        }
    }

    /// Does it at `path`; without a value, an operation that needs one does nothing.
    ///
    /// # Errors
    /// What stands there, or the value, is of another type; nothing is changed.
    pub fn apply(
        self,
        records: &mut Records<'_>,
        event: Option<usize>,
        path: &Path,
        value: Option<Value>,
    ) -> Result<(), NotWritten> {
        // What a form sends is a text, and a number where one is asked for.
        let asked = |value: Value| if self.asks_for_number(path) { value.said_number() } else { value };
        let value = value.map(asked);
        let current = || Scope::new(records, event).get(path).map(|value| asked(value.into_owned()));
        let value = match (self, value) {
            (Self::Delete, _) => return records.write(event, path, None),
            (Self::Clear, _) => Some(Value::Null),
            (Self::Set, value) => value,
            (Self::Merge, Some(Value::Object(entries))) => {
                for (key, value) in entries.iter() {
                    records.write(event, &path.below(key), Some(value.clone()))?;
                }
                return Ok(());
            }
            (Self::Merge, Some(_)) => return Err(NotWritten::WrongType(path.clone(), "an object is expected")),
            (Self::SetIfEmpty, value) => value.filter(|_| current().is_none_or(|current| current.is_empty())),
            (Self::Append, Some(value)) => Some(appended(path, current(), value)?),
            (Self::Increment | Self::Add | Self::Decrement | Self::Subtract, value) => {
                let one = (self.works_alone()).then(|| Value::number(1));
                let Some(value) = value.or(one) else { return Ok(()) };
                let amount = number(path, &value)?;
                let amount = if matches!(self, Self::Increment | Self::Add) { amount } else { -amount };
                let before = current().filter(|current| !current.is_empty());
                let before = before.map_or_else(|| Ok(Decimal::default()), |before| number(path, &before))?;
                let sum = (before + &amount).checked().ok_or_else(|| NotWritten::WrongType(path.clone(), BEYOND))?;
                return records.add(event, path, Value::number(sum), amount);
            }
            (Self::Append | Self::Merge, None) => None,
        };
        match value {
            Some(value) => records.write(event, path, Some(value)),
            None => Ok(()),
        }
    }
}

fn appended(path: &Path, current: Option<Value>, value: Value) -> Result<Value, NotWritten> {
    let mut list = match current {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::List(list)) => list,
        Some(single) => vec![single],
    };
    let more = if let Value::List(more) = value { more } else { vec![value] };
    // One is looked for; for many it is noted which are there.
    let text = |item: &Value| item.to_json().as_str().to_owned();
    let mut known: Option<HashSet<String>> = (more.len() > 1).then(|| list.iter().map(text).collect());
    for item in more {
        let is_new = known.as_mut().map_or_else(|| !list.contains(&item), |known| known.insert(text(&item)));
        if is_new {
            list.push(item);
        }
    }
    if list.len() > LIST_MAX { Err(NotWritten::TooLarge(path.clone())) } else { Ok(Value::List(list)) }
}

/// The number that is added, or to which it is: one that is within the bounds of sums.
fn number(path: &Path, value: &Value) -> Result<Decimal, NotWritten> {
    let wrong = |what| Err(NotWritten::WrongType(path.clone(), what));
    match value.as_decimal().map(Decimal::checked) {
        Some(Some(number)) => Ok(number),
        None if !matches!(value, Value::Number(_)) => wrong("a number is expected"),
        _ => wrong(BEYOND),
    }
}
