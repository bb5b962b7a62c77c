//! The event sources (docs/contract.md, section 9).

use std::sync::Arc;

use super::{
    Admin, Author, Difference,
    definitions::{SOURCE, written_source},
    retry,
};
use crate::{
    model::{Fault, Id, PlainSecret, RegisteredSource, Source, SourceSecrets, Time},
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
    pub async fn save_source(&self, source: Source, by: &Author) -> Result<Id, Refused> {
        let source = Arc::new(source);
        retry(|| self.try_save_source(source.clone(), by)).await?;
        Ok(source.id.clone())
    }

    /// Creates a source, or replaces the one that was last saved at `before`. `false` if it is another one by now.
    pub async fn replace_source(&self, source: Source, before: Option<Time>, by: &Author) -> Result<bool, Refused> {
        let source = Arc::new(source);
        retry(|| async {
            let decided = self.decide(vec![Key::Source(source.id.clone())]).await?;
            if self.store.source(&source.id).map(|found| found.source.timestamp) != before {
                return decided.view.answer(false).await;
            }
            self.write(decided, self.saved(&source, by)).await
        })
        .await
    }

    /// Deletes a source. `false` if there is none.
    pub async fn delete_source(&self, id: &Id, by: &Author) -> Result<bool, Refused> {
        retry(|| self.try_delete_source(id, by)).await
    }

    async fn try_save_source(&self, source: Arc<Source>, by: &Author) -> Result<bool, Refused> {
        let decided = self.decide(vec![Key::Source(source.id.clone())]).await?;
        self.write(decided, self.saved(&source, by)).await
    }

    fn saved(&self, source: &Arc<Source>, by: &Author) -> Vec<Entry> {
        let mut entries = self.noted(by, &[self.difference_of_source(source)]);
        entries.push(Entry::Source(source.clone()));
        entries
    }

    async fn try_delete_source(&self, id: &Id, by: &Author) -> Result<bool, Refused> {
        let decided = self.decide(vec![Key::Source(id.clone())]).await?;
        if !decided.view.has_source(id).await? {
            return decided.view.answer(false).await;
        }
        let before = self.store.source(id).map(|found| written_source(&found.source));
        let mut entries = self.noted(by, &[Difference { kind: SOURCE, id: id.clone(), before, after: None }]);
        entries.push(Entry::SourceDeleted(id.clone()));
        self.write(decided, entries).await
    }

    /// Makes a secret for a source; valid once it is returned, beside the one that was made before it. `None` if there
    /// is no such source.
    ///
    /// # Errors
    /// Nothing can be stored now, or the system gives no random numbers.
    pub async fn make_source_secret(&self, id: &Id, by: &Author) -> Result<Option<PlainSecret>, Refused> {
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|error| Refused::Unavailable(format!("no random numbers: {error}")))?;
        let secret = PlainSecret::new(random);
        let made = retry(|| self.try_add_secret(id, &secret, by)).await?;
        Ok(made.then_some(secret))
    }

    /// Ends all secrets of a source. `false` if it has none.
    pub async fn end_source_secrets(&self, id: &Id, by: &Author) -> Result<bool, Refused> {
        retry(|| async {
            let decided = self.decide(vec![Key::Source(id.clone())]).await?;
            if decided.view.source_secrets(id).await?.is_none() {
                return decided.view.answer(false).await;
            }
            let none = SourceSecrets::none(id.clone());
            let mut entries = self.noted(by, &[of_secrets(id)]);
            entries.push(Entry::SourceSecrets(Arc::new(none)));
            self.write(decided, entries).await
        })
        .await
    }

    async fn try_add_secret(&self, id: &Id, secret: &PlainSecret, by: &Author) -> Result<bool, Refused> {
        let decided = self.decide(vec![Key::Source(id.clone())]).await?;
        if !decided.view.has_source(id).await? {
            return decided.view.answer(false).await;
        }
        let before = decided.view.source_secrets(id).await?;
        let now = self.clock.now();
        let secrets = match before {
            Some(before) => before.with(secret, now),
            None => SourceSecrets::none(id.clone()).with(secret, now),
        };
        let mut entries = self.noted(by, &[of_secrets(id)]);
        entries.push(Entry::SourceSecrets(Arc::new(secrets)));
        self.write(decided, entries).await
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
        self.save_source(source, &Author::named("the first start")).await.map(Some)
    }
}

/// That a source's secrets changed, and nothing of them.
fn of_secrets(source: &Id) -> Difference {
    Difference { kind: "source_secret", id: source.clone(), before: None, after: None }
}
