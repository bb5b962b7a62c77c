//! Reading back what was collected: queries over events, sessions and profiles (docs/contract.md, section 12).
//!
//! A query goes its way in this order: `parameters` takes what was asked by name, `query` makes a filter of it, `scan`
//! walks through the records of a kind for those that are meant, `stream` pages them, `format` writes them as lines,
//! `export` also in columns. For
//! events, `plan` finds by a segment's index which rows may be meant before their blocks are opened; sessions and
//! profiles stand in the views. `counting` answers how many there were. Who follows the log
//! (docs/contract.md, section 14) is answered by `live`, from what `follower` reads once for all of them. Knows
//! `model`, `process` and `store`, and no HTTP.

mod counting;
mod cursor;
mod export;
mod filter;
mod follower;
mod format;
mod live;
mod parameters;
mod plan;
mod projection;
mod query;
mod scan;
mod stream;

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    clock::Clock,
    model::{Fault, Time},
    process::Identity,
    store::{ReadView, Refused, Store, retry},
};

use counting::PeopleRoom;
use follower::Follower;

pub use counting::{
    Cohort, CountQuery, Counts, FunnelQuery, FunnelStep, NotCounted, Often, Other, RetentionQuery, Row, Top, TopQuery,
    TopRow, VisitsQuery,
};
pub use export::{Export, ExportQuery};
pub use format::Format;
pub use live::{LiveEvent, LivePiece, LiveStream};
pub use parameters::{Parameters, moment};
pub use projection::Projection;
pub use query::{About, Asked, LiveQuery, Query};
pub use scan::{Read, Record};
pub use stream::{Page, RecordStream};

/// How long a query waits for another one to end.
const QUEUE_WAIT: Duration = Duration::from_secs(5);

/// What queries may take.
#[derive(Clone, Copy, Debug)]
pub struct ReadSettings {
    /// How many queries run at once; more wait.
    pub queries_max: usize,
    /// How long a page is gathered.
    pub page_time: Duration,
    /// How many follow the log at once; more are refused.
    pub live_max: usize,
    /// How many people are counted at once, by what they did, in all queries together: of more, one part after the other.
    pub people_max: usize,
}

/// Answers queries.
pub struct Queries {
    store: Arc<Store>,
    clock: Arc<Clock>,
    /// Finds people by what they are known by.
    identity: Identity,
    settings: ReadSettings,
    running: Arc<Semaphore>,
    people: PeopleRoom,
    follower: Arc<Follower>,
}

impl Queries {
    pub fn new(store: Arc<Store>, clock: Arc<Clock>, identity: Identity, settings: ReadSettings) -> Self {
        let follower = Arc::new(Follower::new(store.clone(), clock.clone(), settings.live_max));
        Self {
            follower,
            store,
            clock,
            identity,
            settings,
            running: Arc::new(Semaphore::new(settings.queries_max.min(Semaphore::MAX_PERMITS))),
            people: PeopleRoom::new(settings.people_max),
        }
    }

    /// Reads what is asked for.
    ///
    /// # Errors
    /// A parameter is unknown or cannot be read; the fault names it.
    pub fn query(&self, parameters: Parameters, asked: Asked) -> Result<Query, Fault> {
        Query::read(parameters, asked, &self.identity, (self.store.epoch(), self.now()))
    }

    /// Reads what of the events is followed.
    ///
    /// # Errors
    /// As [`Queries::query`].
    pub fn live_query(&self, parameters: Parameters) -> Result<LiveQuery, Fault> {
        LiveQuery::read(parameters, self.store.epoch(), self.now())
    }

    /// The server's time, which `from=-15m` counts from.
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// Writes an answer where records are read: it gives way to collecting as that does.
    pub async fn write<T: Send + 'static>(&self, write: impl FnOnce() -> T + Send + 'static) -> Result<T, Refused> {
        self.store.read_view().work(write).await
    }

    /// A view that has everything that was answered before.
    async fn settled_view(&self) -> Result<ReadView, Refused> {
        let settled = retry(|| async {
            let view = self.store.read_view();
            view.applied().await?;
            Ok(view)
        });
        settled.await
    }

    /// Waits until there is room for one more query.
    async fn turn(&self) -> Result<OwnedSemaphorePermit, Refused> {
        let turn = tokio::time::timeout(QUEUE_WAIT, self.running.clone().acquire_owned()).await;
        let turn = turn.map_err(|_| Refused::Unavailable("as many queries run as read.max_queries allows".into()))?;
        turn.map_err(|_| Refused::Unavailable("the store is closed".into()))
    }
}
