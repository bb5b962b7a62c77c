//! Which parts of a record are shown.

use crate::model::{Fault, Path, Value};

/// The most paths.
const PATHS_MAX: usize = 100;

/// All of a record, or only what stands at some paths.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Projection(Option<Vec<Path>>);

impl Projection {
    /// Reads `type,properties.price`.
    ///
    /// # Errors
    /// One of them is no path.
    pub fn read(text: &str) -> Result<Self, Fault> {
        let paths = text.split(',').map(|path| Path::parse(path.trim())).collect::<Result<Vec<_>, _>>()?;
        if paths.len() > PATHS_MAX {
            return Err(Fault::new("value_error", format!("more than {PATHS_MAX} paths")));
        }
        Ok(Self(Some(paths)))
    }

    /// The paths; `None`: all of a record is shown.
    pub fn paths(&self) -> Option<&[Path]> {
        self.0.as_deref()
    }

    /// Whether all of a record is shown.
    pub fn is_whole(&self) -> bool {
        self.0.is_none()
    }

    /// What of `record` is shown.
    pub fn of(&self, record: &Value) -> Value {
        let Some(paths) = &self.0 else { return record.clone() };
        let mut shown = Value::object();
        for path in paths {
            if let Some(value) = record.get(path.steps()) {
                // One that stands below another that is no object is a part of what is shown already.
                _ = shown.set(path.steps(), value.clone());
            }
        }
        shown
    }
}
