//! The event sources (contract, section 9).

use std::sync::Arc;

use super::{Admin, retry};
use crate::{
    model::{Fault, Id, RegisteredSource, Source},
    store::{Entry, Key, Refused},
};

/// The source that the first start registers.
const DEFAULT_SOURCE: &str = "default";

impl Admin {
    /// Reads a source from JSON and makes its id if it has none.
    ///
    /// # Errors
    /// It is not JSON, or a field is missing or wrong.
    pub fn read_source(&self, body: &[u8]) -> Result<Source, Fault> {
        Source::parse(body, self.clock.now(), || self.clock.make_id())
    }

    /// Creates or replaces a source; returns its id once that is durable.
    pub async fn save_source(&self, source: Source) -> Result<Id, Refused> {
        let source = Arc::new(source);
        retry(|| self.try_save_source(source.clone())).await?;
        Ok(source.id.clone())
    }

    /// Deletes a source. `false` if there is none.
    pub async fn delete_source(&self, id: &Id) -> Result<bool, Refused> {
        retry(|| self.try_delete_source(id)).await
    }

    async fn try_save_source(&self, source: Arc<Source>) -> Result<bool, Refused> {
        let decided = self.decide(vec![Key::Source(source.id.clone())]).await?;
        self.write(decided, vec![Entry::Source(source)]).await
    }

    async fn try_delete_source(&self, id: &Id) -> Result<bool, Refused> {
        let decided = self.decide(vec![Key::Source(id.clone())]).await?;
        if !decided.view.has_source(id).await? {
            return decided.view.answer(false).await;
        }
        self.write(decided, vec![Entry::SourceDeleted(id.clone())]).await
    }

    pub fn source(&self, id: &Id) -> Option<Arc<RegisteredSource>> {
        self.store.source(id)
    }

    /// The sources whose name holds `query` in any case, in the order of their ids.
    pub fn sources(&self, query: Option<&str>) -> Vec<Arc<RegisteredSource>> {
        let wanted = query.unwrap_or_default().trim().to_lowercase();
        let mut sources = self.store.sources();
        sources.retain(|found| found.source.name.to_lowercase().contains(&wanted));
        sources
    }

    /// Registers a first source if nothing was ever stored; returns its id if it did.
    pub async fn register_default_source(&self) -> Result<Option<Id>, Refused> {
        if !self.store.is_empty() {
            return Ok(None);
        }
        let source = Source::open(self.clock.make_id(), DEFAULT_SOURCE, self.clock.now());
        self.save_source(source).await.map(Some)
    }
}
