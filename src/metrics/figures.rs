//! Everything that is told, as it is at a moment. What is not there is left out.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    count::Durations,
    deliver,
    model::{Id, Time},
    process::{LookupFigures, Tally},
    store::{Holdings, StoreFigures},
};

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Figures {
    pub version: &'static str,
    pub started: Time,
    pub uptime_seconds: u64,
    pub process: ProcessFigures,
    pub http: HttpFigures,
    pub store: StoreFigures,
    /// Not there if the disk does not answer.
    #[serde(flatten)]
    pub holdings: Option<Holdings>,
    /// Each workflow that is enabled.
    pub workflows: BTreeMap<Id, Tally>,
    pub lookups: LookupFigures,
    /// Each destination that is enabled.
    pub destinations: BTreeMap<Id, deliver::Status>,
}

/// What the system tells of the process.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct ProcessFigures {
    pub cpu_seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    pub resident_bytes: Option<u64>,
}

/// What was asked of the server, and how it was answered.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct HttpFigures {
    pub connections: ConnectionFigures,
    /// How many follow the log.
    pub live_readers: usize,
    /// By the patterns of the paths that were asked for.
    pub requests: BTreeMap<&'static str, RequestFigures>,
    /// Requests to the paths that collect which were not taken, by the reason.
    pub refused: BTreeMap<&'static str, u64>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ConnectionFigures {
    /// How many there are.
    pub open: usize,
    /// How many were refused because there were as many as there may be.
    pub refused_all: u64,
    /// How many were refused because there were as many of their address.
    pub refused_address: u64,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct RequestFigures {
    pub by_status: BTreeMap<&'static str, u64>,
    /// From the end of a request's head until its answer is known.
    pub time: Durations,
}
