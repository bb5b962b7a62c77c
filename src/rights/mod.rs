//! The rights of a person (docs/contract.md, section 16): to be told everything, to be erased, to be forgotten.
//!
//! `person` finds what is theirs, `erase` and `forget` take it from every read at once, with entries of the log, and
//! `disk` sees to it that it goes from the disk. `export` tells it all. Knows `model`, `process`, `store` and `read`, and no
//! HTTP.

mod disk;
mod erase;
mod export;
mod file;
mod forget;
mod person;

use std::{path::PathBuf, sync::Arc, time::Duration};

use crate::{
    clock::Clock,
    model::{Erasure, Id},
    process::{Identity, RulesInForce},
    read::Queries,
    store::{Entry, Held, Key, ReadView, Refused, Store, retry},
};
use person::People;

pub use export::Export;

/// About what a small entry takes in the queue, and a name or a hash.
const ENTRY_BYTES: usize = 4_096;
const STATE_BYTES: usize = 1_600;
/// How many events, and how many sessions, are dealt with at a time.
const EVENTS_AT_ONCE: usize = 2_000;
const SESSIONS_AT_ONCE: usize = 500;
/// How often more sessions may turn up while their names are taken.
const ATTEMPTS_MAX: usize = 8;

#[derive(Clone, Debug)]
pub struct RightsSettings {
    /// How long what was erased may stay on the disk.
    pub erase_within: Duration,
    /// Where each erasure is noted, so that it can be done again on a store from before it.
    pub erasures_file: Option<PathBuf>,
}

pub struct Rights {
    store: Arc<Store>,
    clock: Arc<Clock>,
    rules: Arc<RulesInForce>,
    identity: Identity,
    queries: Arc<Queries>,
    settings: RightsSettings,
    /// Held by whoever adds to the file of erasures.
    file: tokio::sync::Mutex<()>,
}

/// Somebody, while every name of theirs is held.
struct Taken {
    view: ReadView,
    people: People,
    sessions: person::Sessions,
    _held: Held,
}

impl Rights {
    pub fn new(
        store: Arc<Store>,
        clock: Arc<Clock>,
        rules: Arc<RulesInForce>,
        identity: Identity,
        queries: Arc<Queries>,
        settings: RightsSettings,
    ) -> Self {
        Self { store, clock, rules, identity, queries, settings, file: tokio::sync::Mutex::default() }
    }

    /// How far an erasure is; `None` if there is none of this id.
    pub async fn erasure(&self, id: &Id) -> Result<Option<Arc<Erasure>>, Refused> {
        retry(|| async {
            let view = self.store.read_view();
            view.answer(view.erasure(id).await?).await
        })
        .await
    }

    /// Holds the names of whoever `id` leads to, and of all of their sessions: nothing is written to any of them by
    /// somebody else from here on.
    async fn take(&self, id: &Id) -> Result<Taken, Refused> {
        let mut names = vec![Key::Profile(id.clone())];
        for _ in 0..ATTEMPTS_MAX {
            let held = self.store.lock(names.clone()).await?;
            let view = self.store.read_view();
            view.applied().await?;
            let people = person::find(&view, id).await?;
            let sessions = person::sessions(&view, &people).await?;
            let profile = people.profile.iter().map(|profile| Key::Profile(profile.id.clone()));
            let theirs = sessions.all().map(|session| Key::Session(session.id.clone()));
            let mut missing: Vec<Key> = profile.chain(theirs).filter(|name| !held.holds(name)).collect();
            if missing.is_empty() {
                return Ok(Taken { view, people, sessions, _held: held });
            }
            names.append(&mut missing);
        }
        Err(Refused::Unavailable("what the request is about changes too fast".into()))
    }

    /// Writes entries of a person whose names are held, durably.
    async fn write(&self, view: &ReadView, bytes: usize, entries: Vec<Entry>) -> Result<(), Refused> {
        self.write_at(view, bytes, |_| entries).await
    }

    /// As [`Rights::write`], of entries that know the offset at which they stand.
    async fn write_at(
        &self,
        view: &ReadView,
        bytes: usize,
        entries: impl FnOnce(u64) -> Vec<Entry>,
    ) -> Result<(), Refused> {
        let permit = self.store.permit(bytes).await?;
        let ((), pending) = view.push(permit, |moment| (entries(moment.offset), ()))?;
        pending.durable().await
    }
}
