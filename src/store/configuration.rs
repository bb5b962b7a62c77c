//! Sources and definitions, as they are durable: in memory, for every request asks for them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use parking_lot::RwLock;

use super::{entry::Entry, error::StoreError, views::Views};
use crate::model::{Definition, DefinitionKind, Id, RegisteredSource};

#[derive(Default)]
pub struct Configuration {
    sources: RwLock<HashMap<Id, Arc<RegisteredSource>>>,
    definitions: RwLock<BTreeMap<(DefinitionKind, Id), Arc<Definition>>>,
}

impl Configuration {
    /// As the views have it.
    pub fn load(views: &Views) -> Result<Self, StoreError> {
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
        Ok(Self { sources: RwLock::new(sources), definitions: RwLock::new(definitions.collect()) })
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
                _ => {}
            }
        }
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

    /// What is set up beside sources, in the order of kinds and ids.
    pub fn definitions(&self) -> Vec<Arc<Definition>> {
        self.definitions.read().values().cloned().collect()
    }

    pub fn definition(&self, kind: DefinitionKind, id: &Id) -> Option<Arc<Definition>> {
        self.definitions.read().get(&(kind, id.clone())).cloned()
    }
}
