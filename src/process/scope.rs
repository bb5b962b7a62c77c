//! What conditions, templates and mappings see: the records of a request while they are processed, by path.

use std::borrow::Cow;

use super::records::Records;
use crate::model::{Object, Path, Value};

/// The records, with what is seen beside them for the moment.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    pub records: &'a Records<'a>,
    /// The event that is processed, by its place.
    pub event: Option<usize>,
    /// What the steps of the workflow left so far.
    pub steps: Option<&'a Object>,
    /// The segment that was entered or left.
    pub segment: Option<&'a str>,
}

impl<'a> Scope<'a> {
    pub fn new(records: &'a Records<'a>, event: Option<usize>) -> Self {
        Self { records, event, steps: None, segment: None }
    }

    /// What stands at `path`, whose first step names the record.
    pub fn get(&self, path: &Path) -> Option<Cow<'a, Value>> {
        let (root, steps) = path.split_root();
        match root {
            "event" => self.records.events.get(self.event?)?.get(self.records, steps).map(Cow::Borrowed),
            "profile" => self.records.profile.as_ref()?.get(steps).map(Cow::Borrowed),
            "session" => self.records.session.as_ref()?.get(steps).map(Cow::Borrowed),
            "source" => self.records.source().get(steps).map(Cow::Borrowed),
            "steps" => {
                let (first, rest) = steps.split_first()?;
                self.steps?.get(first)?.get(rest).map(Cow::Borrowed)
            }
            "segment" => steps.is_empty().then(|| self.segment.map(Value::text)).flatten().map(Cow::Owned),
            _ => None,
        }
    }

    /// The server's time.
    pub fn now(&self) -> chrono::DateTime<chrono::FixedOffset> {
        let micros = self.records.now.micros();
        chrono::DateTime::from_timestamp_micros(micros).unwrap_or_default().fixed_offset()
    }
}
