//! What requests, committer and applier share.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

use parking_lot::{Mutex, RwLock};

use super::{
    committed::Word,
    engine::Engine,
    entry::Entry,
    error::StoreError,
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
    /// What a reader met that casts doubt on the log or the views.
    pub doubt: Mutex<Option<StoreError>>,
    /// To the applier; gone when the store is being closed.
    pub words: Mutex<Option<mpsc::Sender<Word>>>,
    pub sources: RwLock<HashMap<Id, Arc<RegisteredSource>>>,
    pub definitions: RwLock<BTreeMap<(DefinitionKind, Id), Arc<Definition>>>,
    /// The offset behind what is in the journal.
    pub durable_end: AtomicU64,
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

    pub fn cast_doubt(&self, error: StoreError) {
        self.doubt.lock().get_or_insert(error);
        self.hurry();
    }

    /// Lets the applier go on with what it has.
    pub fn hurry(&self) {
        if let Some(words) = &*self.words.lock() {
            _ = words.send(Word::Hurry); // an applier that ended hurries no more
        }
    }

    pub fn take_doubt(&self) -> Option<StoreError> {
        self.doubt.lock().take()
    }

    pub fn durable_end(&self) -> u64 {
        self.durable_end.load(Ordering::Acquire)
    }

    pub fn set_durable_end(&self, end: u64) {
        self.durable_end.store(end, Ordering::Release);
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
