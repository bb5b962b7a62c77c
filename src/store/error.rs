//! What can go wrong in the store.

use std::{io, path::Path};

/// Why the store could not be opened, checked or rebuilt. One line for people: what, where, what to do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{path}: not a storage folder, and not empty: {name} is in it; name another folder as storage.path")]
    NotAStore { path: String, name: String },
    #[error("{path}: there is no store; `tracardi serve` makes one, or name another folder as storage.path")]
    NoStore { path: String },
    #[error("{path}: the storage folder is in use by another process")]
    InUse { path: String },
    #[error(
        "{path}: a store of format {found}, this version reads format {expected}; open it with the version that wrote it"
    )]
    UnknownFormat { path: String, found: String, expected: u32 },
    #[error("{path}: {what}; {advice}")]
    Damaged { path: String, what: String, advice: &'static str },
    #[error("{path}: another version made these views; the next start makes them again")]
    OtherViews { path: String },
    /// A sealed segment of the log cannot be read; everything else can.
    #[error("{path}: {what}; what stands from offset {behind} on may be whole")]
    DamagedSegment { path: String, what: String, behind: u64 },
    #[error("{path}: {source}")]
    Io { path: String, source: io::Error },
}

impl StoreError {
    /// What is wrong, without the place.
    pub(super) fn what(&self) -> String {
        match self {
            Self::Damaged { what, .. } | Self::DamagedSegment { what, .. } => what.clone(),
            Self::Io { source, .. } => source.to_string(),
            other => other.to_string(),
        }
    }

    /// What the system said, in words for everybody: no place, and none of the database's own.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Io { source, .. } if source.raw_os_error().is_some() => source.to_string(),
            _ => "what was read is not what was written".to_owned(),
        }
    }

    pub(super) fn damaged(path: &Path, what: impl Into<String>, advice: &'static str) -> Self {
        Self::Damaged { path: path.display().to_string(), what: what.into(), advice }
    }
}

/// Names the file in an I/O error.
pub(super) trait At<T> {
    fn at(self, path: &Path) -> Result<T, StoreError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, path: &Path) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Io { path: path.display().to_string(), source })
    }
}

impl<T> At<T> for Result<T, sled::Error> {
    fn at(self, path: &Path) -> Result<T, StoreError> {
        self.map_err(|error| match error {
            sled::Error::Io(source) => StoreError::Io { path: path.display().to_string(), source },
            sled::Error::Corruption { .. } => {
                StoreError::damaged(path, "what was read is not what was written", RESTORE)
            }
            other => StoreError::damaged(path, other.to_string(), RESTORE),
        })
    }
}

/// What is done about a live segment that cannot be read.
pub(super) const MADE_AGAIN: &str = "the next start makes it again from the journal";
/// What to do about a part of the log that cannot be read.
pub(super) const RESTORE: &str = "restore the storage folder from a backup";

/// Why a request was not taken, or its outcome is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nothing of it was stored; it may be sent again.
    #[error("{0}")]
    Unavailable(String),
    /// Nothing can be stored now, for this reason; nothing of it was, and it may be sent again.
    #[error("{0}")]
    Stopped(String),
    /// A part of the log cannot be read. It stays so until the storage folder is restored from a backup.
    #[error("the log is damaged: {0}")]
    Damaged(String),
    /// It may or may not have been stored; events with ids may be sent again without harm.
    #[error("outcome unknown")]
    OutcomeUnknown,
    /// What the request read is no longer so; it starts again.
    #[error("the state it was built on was taken back")]
    Stale,
}
