//! What requests, committer and applier share.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, mpsc},
    time::Duration,
};

use parking_lot::{Mutex, RwLock};

use super::{
    committed::ApplierMessage,
    engine::Engine,
    entry::Entry,
    error::{self, Refused, StoreError},
    folder::{self, Folder},
    journal::Journal,
    queue::Queue,
};
use crate::{
    clock::Clock,
    model::{Definition, DefinitionKind, Id, RegisteredSource},
};

pub struct Shared {
    pub folder: Folder,
    pub clock: Arc<Clock>,
    pub queue: Queue,
    pub journal: Mutex<Journal>,
    /// The log and the views; `None` while they are made again.
    pub engine: RwLock<Option<Arc<Engine>>>,
    /// What a reader met that says that the live segment or the views are damaged.
    pub damage: Mutex<Option<StoreError>>,
    /// Gone when the store is being closed.
    pub to_applier: Mutex<Option<mpsc::Sender<ApplierMessage>>>,
    pub sources: RwLock<HashMap<Id, Arc<RegisteredSource>>>,
    pub definitions: RwLock<BTreeMap<(DefinitionKind, Id), Arc<Definition>>>,
    pub segment_bytes: u64,
    pub reserve_bytes: u64,
    /// Set in relaxed mode.
    pub flush_interval: Option<Duration>,
}

impl Shared {
    pub fn engine(&self) -> Option<Arc<Engine>> {
        self.engine.read().clone()
    }

    pub fn set_engine(&self, engine: Option<Arc<Engine>>) {
        *self.engine.write() = engine;
    }

    pub fn is_engine_up(&self) -> bool {
        self.engine.read().is_some()
    }

    /// The engine, once no reader has it any more.
    pub fn take_engine(&self) -> Option<Engine> {
        let mut engine = self.engine.write().take()?;
        loop {
            match Arc::try_unwrap(engine) {
                Ok(engine) => return Some(engine),
                Err(shared) => engine = shared,
            }
            std::thread::sleep(Duration::from_millis(1)); // a reader holds it for the length of one read
        }
    }

    /// The applier is to make the log's live segment and the views again.
    pub fn report_damage(&self, error: StoreError) {
        self.damage.lock().get_or_insert(error);
        self.flush_applier();
    }

    pub fn take_damage(&self) -> Option<StoreError> {
        self.damage.lock().take()
    }

    /// Lets the applier go on with what it has.
    pub fn flush_applier(&self) {
        if let Some(to_applier) = &*self.to_applier.lock() {
            _ = to_applier.send(ApplierMessage::Flush); // an applier that ended has nothing to go on with
        }
    }

    /// Reads the views on a thread that may block.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Engine) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Refused> {
        let unavailable = || Refused::Unavailable("the store behind the journal is being made again".into());
        let engine = self.engine().ok_or_else(unavailable)?;
        match tokio::task::spawn_blocking(move || read(&engine)).await {
            Ok(Ok(read)) => Ok(read),
            Ok(Err(error)) => {
                tracing::error!(%error, "the store cannot be read");
                self.report_damage(error);
                Err(unavailable())
            }
            Err(panicked) => {
                tracing::error!(%panicked, "reading the store failed");
                let what = "the embedded database failed";
                self.report_damage(StoreError::damaged(self.folder.path(), what, error::RESTORE));
                Err(unavailable())
            }
        }
    }

    /// Reads the log on a thread that may block.
    pub async fn read_log<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Engine) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Refused> {
        self.read(read).await
    }

    /// Whether the disk has more than the reserve left.
    pub fn check_space(&self) -> Result<(), String> {
        match folder::free_bytes(self.folder.path()) {
            Ok(free) if free < self.reserve_bytes => Err(format!(
                "the disk is full: {} MiB are free, {} MiB are kept in reserve",
                free >> 20,
                self.reserve_bytes >> 20
            )),
            Ok(_) => Ok(()),
            Err(error) => Err(format!("the disk cannot be asked for its free space: {error}")),
        }
    }

    /// Takes over what the entries say of sources and definitions, once they are durable.
    pub fn note_configuration<'a>(&self, entries: impl Iterator<Item = &'a Arc<[Entry]>>) {
        for entry in entries.flat_map(|entries| entries.iter()) {
            match entry {
                Entry::Source(source) => {
                    let source = Arc::new(RegisteredSource::from(source.clone()));
                    self.sources.write().insert(source.source.id.clone(), source);
                }
                Entry::SourceDeleted(id) => {
                    self.sources.write().remove(id);
                }
                Entry::Definition(definition) => {
                    let key = (definition.kind, definition.id.clone());
                    self.definitions.write().insert(key, definition.clone());
                }
                Entry::DefinitionDeleted { kind, id } => {
                    self.definitions.write().remove(&(*kind, id.clone()));
                }
                _ => {}
            }
        }
    }
}
