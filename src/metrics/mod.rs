//! What the daemon tells of itself: gathered when somebody asks, from the numbers that the modules keep (`count`) and from
//! what they know anyway.
//!
//! [`Figures`] is all of it; [`Format`] writes it as Prometheus reads it. Knows no HTTP: what is to be told of that is
//! handed to it.

mod curves;
mod figures;
mod text;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::Mutex;

use crate::{
    clock::Clock,
    deliver::Deliveries,
    model::Time,
    process::{Lookups, RulesInForce},
    store::{Holdings, Store},
};

use curves::Curves;

pub use curves::Stretch;
pub use figures::{ConnectionFigures, Figures, HttpFigures, ProcessFigures, RequestFigures};
pub use text::Format;

/// How long what was found in the storage folder stands at least.
const HOLDINGS_STAND: Duration = Duration::from_secs(1);
/// Looking into the storage folder takes at most this part of the time.
const LOOKING_PART: u32 = 20;
/// How long the disk is waited for.
const DISK_WAIT: Duration = Duration::from_secs(5);

pub struct Metrics {
    store: Arc<Store>,
    rules: Arc<RulesInForce>,
    deliveries: Arc<Deliveries>,
    lookups: Arc<Lookups>,
    started: Time,
    began: Instant,
    /// What was found last, and until when it stands. Held by whoever looks, so that one does at a time.
    found: Arc<Mutex<Option<(Holdings, Instant)>>>,
    curves: Curves,
}

impl Metrics {
    pub fn new(
        store: Arc<Store>,
        clock: &Clock,
        rules: Arc<RulesInForce>,
        deliveries: Arc<Deliveries>,
        lookups: Arc<Lookups>,
    ) -> Self {
        let (started, began) = (clock.now(), Instant::now());
        Self { store, rules, deliveries, lookups, started, began, found: Arc::default(), curves: Curves::default() }
    }

    /// Everything, as it is now; what is on the disk as it was within the last second, or longer ago where looking takes
    /// long.
    pub async fn figures(&self, http: HttpFigures) -> Figures {
        Figures {
            version: env!("CARGO_PKG_VERSION"),
            started: self.started,
            uptime_seconds: self.began.elapsed().as_secs(),
            process: process_figures(),
            http,
            holdings: self.holdings().await,
            store: self.store.figures(),
            workflows: self.rules.workflow_tallies(),
            lookups: self.lookups.figures(),
            destinations: self.deliveries.statuses(),
        }
    }

    /// What is in the storage folder; `None` if the disk does not answer.
    async fn holdings(&self) -> Option<Holdings> {
        let look = async {
            let mut found = self.found.clone().lock_owned().await;
            if let Some((holdings, until)) = &*found
                && Instant::now() < *until
            {
                return Some(holdings.clone());
            }
            let store = self.store.clone();
            // It takes the lock along: as long as it hangs in the disk, nobody else begins to look.
            let looked = tokio::task::spawn_blocking(move || {
                let begun = Instant::now();
                let holdings = store.holdings();
                let stands = HOLDINGS_STAND.max(begun.elapsed() * LOOKING_PART);
                *found = Some((holdings.clone(), Instant::now() + stands));
                holdings
            });
            looked.await.ok()
        };
        tokio::time::timeout(DISK_WAIT, look).await.ok().flatten()
    }
}

fn process_figures() -> ProcessFigures {
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    ProcessFigures { cpu_seconds: cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9, resident_bytes: resident_bytes() }
}

/// What the process takes of the machine's memory, where the system tells.
fn resident_bytes() -> Option<u64> {
    // Made by the kernel when it is read: no disk is waited for.
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = pages.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}
