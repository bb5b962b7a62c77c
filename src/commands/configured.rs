//! Work on a store: on itself if nobody has it, else through the daemon that has.

use std::sync::Arc;

use super::{CommandError, daemon::Daemon, secret_file::IDENTITY_KEY, terminal::Progress};
use crate::{
    admin::Admin,
    clock::Clock,
    import::Importer,
    process::{Identity, Rules, RulesInForce},
    read::Queries,
    settings::Settings,
    store::{Folder, Store, StoreError},
};

/// Whether a command makes a store where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithoutStore {
    Make,
    Refuse,
}

/// Works on the store if nobody has it, else through the daemon that has.
pub fn on_store_or_daemon<T>(
    settings: &Settings,
    without: WithoutStore,
    on_store: impl AsyncFnOnce(&OpenStore) -> Result<T, CommandError>,
    on_daemon: impl AsyncFnOnce(&Daemon) -> Result<T, CommandError>,
) -> Result<T, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CommandError::Runtime)?;
    let take = match without {
        WithoutStore::Make => Folder::take,
        WithoutStore::Refuse => Folder::take_existing,
    };
    let folder = match take(&settings.storage.path) {
        Err(error @ StoreError::InUse { .. }) => {
            // The one that has this store, wherever the settings say that one would listen.
            let address = Folder::address_of(&settings.storage.path)?.ok_or(error)?;
            return runtime.block_on(on_daemon(&Daemon::new(settings, &address)?));
        }
        taken => taken?,
    };
    let clock = Arc::new(Clock::default());
    let progress = Progress::new();
    let report = |step, done, all| progress.report(step, done, all);
    let store = Arc::new(Store::open(&settings.storage, folder, clock.clone(), &report)?);
    drop(progress);
    let rules = Arc::new(RulesInForce::new(Rules::compile_saved(&store.definitions(), settings.zone)?));
    let admin = Arc::new(Admin::new(store.clone(), clock.clone(), rules));
    let done = runtime.block_on(on_store(&OpenStore { store: store.clone(), clock, admin }));
    store.close();
    done
}

/// A store that no daemon has.
pub struct OpenStore {
    store: Arc<Store>,
    clock: Arc<Clock>,
    pub admin: Arc<Admin>,
}

impl OpenStore {
    pub async fn queries(&self, settings: &Settings) -> Result<Queries, CommandError> {
        let identity = self.identity(settings).await?;
        Ok(Queries::new(self.store.clone(), self.clock.clone(), identity, settings.read))
    }

    pub async fn importer(&self, settings: &Settings) -> Result<Importer, CommandError> {
        let identity = self.identity(settings).await?;
        Ok(Importer::new(self.store.clone(), self.clock.clone(), identity, self.admin.clone()))
    }

    async fn identity(&self, settings: &Settings) -> Result<Identity, CommandError> {
        let storage = &settings.storage.path;
        let key = IDENTITY_KEY.read_and_renew_form(storage)?.map(|key| key.digits);
        let key = super::serve::identity_key(storage, &self.store, key).await?;
        Ok(Identity::new(&key, &settings.identity))
    }
}
