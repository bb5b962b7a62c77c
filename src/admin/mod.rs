//! What an administrator reads and changes: the stored records, the sources, and everything else that is set up.
//!
//! Every read speaks of what is durable; every change is an entry of the log, in order with the requests under way, and
//! done when it is durable. Knows no HTTP.

mod access;
mod blocked;
mod consent_types;
mod definitions;
mod history;
mod profiles;
mod records;
mod sources;
mod split;
mod toml;

use std::sync::Arc;

pub use self::toml::{line_of, tables, to_toml};
pub use access::{Access, MadeAccess, SHARED_PAGES};
pub use blocked::BlockedKey;
pub use consent_types::ConsentType;
pub use definitions::{Configuration, Difference, NotSaved};
pub use history::{Author, Change};
pub(crate) use profiles::{delete_names, profile_deleted};

use crate::{
    clock::Clock,
    model::Time,
    process::RulesInForce,
    store::{Entry, Held, Key, Moment, QueuePermit, ReadView, Refused, Store, retry},
};

/// What an entry of the administrator's takes in the queue.
const ENTRY_BYTES: usize = 4_096;

pub struct Admin {
    store: Arc<Store>,
    clock: Arc<Clock>,
    rules: Arc<RulesInForce>,
    /// Held by whoever changes definitions.
    configuring: tokio::sync::Mutex<()>,
}

impl Admin {
    pub fn new(store: Arc<Store>, clock: Arc<Clock>, rules: Arc<RulesInForce>) -> Self {
        Self { store, clock, rules, configuring: tokio::sync::Mutex::default() }
    }

    /// The server's time.
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// Why nothing can be stored now, if so.
    pub async fn trouble(&self) -> Option<String> {
        self.store.trouble().await
    }

    /// The time at which everything happens until the machine's clock is there, if it is behind.
    pub fn clock_stands_at(&self) -> Option<Time> {
        self.clock.stands_at()
    }

    /// Queues entries that were decided on while `held` was held; `true` once they are durable.
    async fn write(&self, decided: Decided, entries: Vec<Entry>) -> Result<bool, Refused> {
        self.write_at(decided, |_| entries).await
    }

    /// As [`Admin::write`], of entries that know the moment in which they are queued, and where they stand.
    async fn write_at(&self, decided: Decided, entries: impl FnOnce(Moment) -> Vec<Entry>) -> Result<bool, Refused> {
        let Decided { view, permit, held } = decided;
        let ((), pending) = view.push(permit, |moment| (entries(moment), ()))?;
        drop(held); // the next request sees it already; only the answer waits for the disk
        pending.durable().await.map(|()| true)
    }

    /// Takes what a change needs: room in the queue, the names it is about, and a view of the states it is decided on.
    async fn decide(&self, names: Vec<Key>) -> Result<Decided, Refused> {
        self.decide_on(names, 0).await
    }

    /// As [`Admin::decide`], for entries that hold `bytes` of what people wrote.
    async fn decide_on(&self, names: Vec<Key>, bytes: usize) -> Result<Decided, Refused> {
        let held = self.store.lock(names).await?;
        let permit = self.store.permit(ENTRY_BYTES + bytes).await?;
        Ok(Decided { view: self.store.read_view(), permit, held })
    }
}

/// What a change is decided under.
struct Decided {
    view: ReadView,
    permit: QueuePermit,
    held: Held,
}
