//! What the store tells of itself to who watches it.

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    Store,
    commit::QueueFigures,
    files::{
        durable,
        usage::{self, Usage},
    },
};
use crate::count::Durations;

/// What the store did since it was opened, and what is on its way.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct StoreFigures {
    /// How many events were stored.
    pub events: u64,
    /// How many groups of requests were committed.
    pub groups: u64,
    /// The journal's fsyncs.
    pub fsync: Durations,
    pub queue: QueueFigures,
    /// How many entries the log has.
    pub entries: u64,
    /// How many of them are durable and not yet applied to the log's segments and the views.
    pub unapplied: u64,
    pub erasures: ErasureFigures,
}

/// How far erasures are.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ErasureFigures {
    /// How many are gone from every read and not yet from the disk.
    pub pending: usize,
    /// For how long the oldest of these has been.
    pub lag_seconds: u64,
    /// Of how many things those that are done tell that they are left.
    pub left: u64,
}

/// What is in the storage folder.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Holdings {
    #[serde(flatten)]
    pub behind_journal: Option<EngineFigures>,
    /// What the parts of the folder take on the disk, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Usage")]
    pub disk_bytes: Option<Usage>,
    /// What may still be written to the disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    pub disk_free_bytes: Option<u64>,
}

/// What is behind the journal; not there while it is made again.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct EngineFigures {
    pub segments: SegmentFigures,
    /// How many records the views have.
    pub view_records: u64,
}

/// How many segments the log has.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct SegmentFigures {
    /// Those that take entries, and those that are being sealed.
    pub live: usize,
    pub sealed: usize,
    /// Of the sealed ones.
    pub without_index: usize,
}

impl Store {
    pub fn figures(&self) -> StoreFigures {
        let (queue, counts) = (&self.shared.queue, &self.shared.counts);
        // Read in this order, so that what is applied meanwhile is not taken for more than there is.
        let applied = queue.applied_end();
        let entries = queue.durable_end();
        StoreFigures {
            events: counts.events.get(),
            groups: counts.groups.get(),
            fsync: self.shared.fsyncs.get(),
            queue: queue.figures(),
            entries,
            unapplied: entries.saturating_sub(applied),
            erasures: self.erasure_figures(),
        }
    }

    fn erasure_figures(&self) -> ErasureFigures {
        let configuration = &self.shared.configuration;
        let pending = configuration.erasures();
        let now = self.shared.clock.now();
        let lag = pending.first().map_or(0.0, |oldest| now.seconds_since(oldest.asked));
        ErasureFigures { pending: pending.len(), lag_seconds: lag as u64, left: configuration.left() }
    }

    /// What is in the storage folder. Looks at the name of every file in it: blocks.
    pub fn holdings(&self) -> Holdings {
        let path = self.shared.folder.path();
        let behind_journal = self
            .shared
            .engine()
            .map(|engine| EngineFigures { segments: engine.log.figures(), view_records: engine.views.records() });
        let unknown = |error| tracing::debug!(%error, "the disk does not tell what is on it");
        Holdings {
            behind_journal,
            disk_bytes: usage::measure(path).map_err(unknown).ok(),
            disk_free_bytes: durable::free_bytes(path).map_err(unknown).ok(),
        }
    }
}
