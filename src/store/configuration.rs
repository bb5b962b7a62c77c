//! Sources and definitions, as they are durable: in memory, for every request asks for them. And which erasures are under
//! way, for every reader does.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parking_lot::RwLock;

use super::{concealed::Concealed, engine::Engine, entry::Entry, error::StoreError};
use crate::model::{Country, Definition, DefinitionKind, Erasure, Id, RegisteredSource};

#[derive(Default)]
pub struct Configuration {
    sources: RwLock<HashMap<Id, Arc<RegisteredSource>>>,
    definitions: RwLock<BTreeMap<(DefinitionKind, Id), Arc<Definition>>>,
    /// The erasures that are not done.
    erasures: RwLock<BTreeMap<Id, Arc<Erasure>>>,
    /// Of how many things the others said that they are left.
    left: AtomicU64,
    /// Whether some id was ever erased.
    has_erased_ids: AtomicBool,
    pub concealed: Concealed,
}

impl Configuration {
    /// As the views have it.
    pub fn load(engine: &Engine) -> Result<Self, StoreError> {
        let views = &engine.views;
        let mut sources: HashMap<Id, Arc<RegisteredSource>> = HashMap::new();
        for source in views.sources()? {
            sources.insert(source.id.clone(), Arc::new(source.into()));
        }
        for secrets in views.source_secrets()? {
            if let Some(found) = sources.get_mut(&secrets.source) {
                *found = Arc::new(RegisteredSource::new(found.source.clone(), secrets));
            }
        }
        let definitions = views.definitions()?.into_iter();
        let definitions = definitions.map(|definition| ((definition.kind, definition.id.clone()), definition));
        let (mut erasures, mut left) = (BTreeMap::new(), 0);
        for erasure in views.erasures() {
            let erasure = erasure?;
            match erasure.done {
                Some(_) => left += erasure.left.len() as u64,
                None => _ = erasures.insert(erasure.id.clone(), erasure),
            }
        }
        Ok(Self {
            sources: RwLock::new(sources),
            definitions: RwLock::new(definitions.collect()),
            concealed: Concealed::load(&engine.log, erasures.values())?,
            erasures: RwLock::new(erasures),
            left: left.into(),
            has_erased_ids: views.has_erased_ids().into(),
        })
    }

    /// Takes over what entries say that are durable; called by the committer alone.
    pub fn note<'a>(&self, entries: impl Iterator<Item = &'a Arc<[Entry]>>) {
        for entry in entries.flat_map(|entries| entries.iter()) {
            match entry {
                Entry::Source(source) => {
                    let mut sources = self.sources.write();
                    let source = match sources.get(&source.id) {
                        Some(before) => RegisteredSource::new(source.clone(), before.secrets.clone()),
                        None => RegisteredSource::from(source.clone()),
                    };
                    sources.insert(source.source.id.clone(), Arc::new(source));
                }
                Entry::SourceSecrets(secrets) => {
                    if let Some(found) = self.sources.write().get_mut(&secrets.source) {
                        *found = Arc::new(RegisteredSource::new(found.source.clone(), secrets.clone()));
                    }
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
                Entry::EventsErased { .. } | Entry::IdsErased { .. } => {
                    self.has_erased_ids.store(true, Ordering::Release);
                }
                Entry::Named(named) => self.concealed.add(named),
                Entry::Erasure(erasure) if erasure.done.is_some() => {
                    self.concealed.remove(&erasure.id);
                    self.erasures.write().remove(&erasure.id);
                    self.left.fetch_add(erasure.left.len() as u64, Ordering::Relaxed);
                }
                Entry::Erasure(erasure) => _ = self.erasures.write().insert(erasure.id.clone(), erasure.clone()),
                _ => {}
            }
        }
    }

    /// The erasures that are not done, the one that was asked for first at the beginning.
    pub fn erasures(&self) -> Vec<Arc<Erasure>> {
        let mut erasures: Vec<_> = self.erasures.read().values().cloned().collect();
        erasures.sort_by_key(|erasure| erasure.asked);
        erasures
    }

    /// How many things the erasures that are done did not reach.
    pub fn left(&self) -> u64 {
        self.left.load(Ordering::Relaxed)
    }

    pub fn has_erased_ids(&self) -> bool {
        self.has_erased_ids.load(Ordering::Acquire)
    }

    pub fn source(&self, id: &Id) -> Option<Arc<RegisteredSource>> {
        self.sources.read().get(id).cloned()
    }

    /// All sources, in the order of their ids.
    pub fn sources(&self) -> Vec<Arc<RegisteredSource>> {
        let mut sources: Vec<_> = self.sources.read().values().cloned().collect();
        sources.sort_by(|a, b| a.source.id.cmp(&b.source.id));
        sources
    }

    /// The countries in which phone numbers are dialled that sources send without a prefix; `None`: of no country.
    pub fn phone_countries(&self) -> Vec<Option<Country>> {
        let mut countries = vec![None];
        for country in self.sources.read().values().map(|source| source.terms.phone_country) {
            if !countries.contains(&country) {
                countries.push(country);
            }
        }
        countries
    }

    /// What is set up beside sources, in the order of kinds and ids.
    pub fn definitions(&self) -> Vec<Arc<Definition>> {
        self.definitions.read().values().cloned().collect()
    }

    pub fn definition(&self, kind: DefinitionKind, id: &Id) -> Option<Arc<Definition>> {
        self.definitions.read().get(&(kind, id.clone())).cloned()
    }
}
