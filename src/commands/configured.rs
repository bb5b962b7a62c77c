//! Work on a store: on itself if nobody has it, else through the daemon that has.

use std::{net::SocketAddr, sync::Arc};

use super::{
    CommandError,
    secret_file::{ADMIN_TOKEN, IDENTITY_KEY},
    terminal::Progress,
};
use crate::{
    admin::Admin,
    clock::Clock,
    import::Importer,
    model::{Json, Reader, Value},
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
            return runtime.block_on(on_daemon(&Daemon::new(settings, address)?));
        }
        taken => taken?,
    };
    let clock = Arc::new(Clock::default());
    let progress = Progress::new();
    let report = |step, done, all| progress.report(step, done, all);
    let store = Arc::new(Store::open(&settings.storage, folder, clock.clone(), &report)?);
    drop(progress);
    let rules = Arc::new(RulesInForce::new(Rules::compile(&store.definitions())?));
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
        Ok(Identity::new(&key, settings.merge_keys.clone()))
    }
}

/// The daemon that has the store.
pub struct Daemon {
    url: String,
    token: String,
}

impl Daemon {
    pub fn new(settings: &Settings, address: SocketAddr) -> Result<Self, CommandError> {
        let token = match &settings.admin_token {
            Some(token) => token.clone(),
            None => {
                let missing = || ADMIN_TOKEN.refused(&settings.storage.path, "it is missing, and the daemon runs");
                ADMIN_TOKEN.read(&settings.storage.path)?.ok_or_else(missing)?.text
            }
        };
        Ok(Self { url: format!("http://{}", super::serve::reachable(address)), token })
    }

    /// What it answers.
    ///
    /// # Errors
    /// It cannot be reached, or refuses: the message says why.
    pub async fn call(&self, method: reqwest::Method, path: &str, body: Option<&str>) -> Result<Json, CommandError> {
        let mut request = client()?.request(method, self.address(path)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.header(reqwest::header::CONTENT_TYPE, "application/json").body(body.to_owned());
        }
        let response = request.send().await.map_err(|error| self.failed(error.to_string()))?;
        self.answer(response).await
    }

    /// Sends records, one a line; what it answers.
    ///
    /// # Errors
    /// As [`Daemon::call`].
    pub async fn send_lines(&self, path: &str, body: reqwest::Body) -> Result<Json, CommandError> {
        let request = client()?.post(self.address(path)).bearer_auth(&self.token);
        let request = request.header(reqwest::header::CONTENT_TYPE, "application/x-ndjson").body(body);
        let response = request.send().await.map_err(|error| self.failed(error.to_string()))?;
        self.answer(response).await
    }

    /// An answer of any length, or one that has no end: of `path`, behind what has the id `last`.
    ///
    /// # Errors
    /// As [`Daemon::call`].
    pub async fn follow(&self, path: &str, last: Option<&str>) -> Result<reqwest::Response, CommandError> {
        let mut request = client()?.get(self.address(path)).bearer_auth(&self.token);
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let response = request
            .send()
            .await
            .map_err(|error| CommandError::DaemonAway(self.failed(error.to_string()).to_string()))?;
        match response.status() {
            status if status.is_success() => Ok(response),
            status if status.is_server_error() => {
                let refused = self.answer(response).await.err();
                Err(CommandError::DaemonAway(refused.map_or_else(|| status.to_string(), |error| error.to_string())))
            }
            _ => Err(self.answer(response).await.err().unwrap_or_else(|| self.failed("no stream".into()))),
        }
    }

    fn address(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    fn failed(&self, what: String) -> CommandError {
        CommandError::Daemon { url: self.url.clone(), what }
    }

    /// An answer's JSON, or why it is refused.
    async fn answer(&self, response: reqwest::Response) -> Result<Json, CommandError> {
        let status = response.status();
        let text = response.text().await.map_err(|error| self.failed(error.to_string()))?;
        let answer = Reader::new(text.as_bytes(), 0).and_then(|mut reader| reader.value());
        let answer = answer.map_err(|fault| self.failed(format!("{status}: {fault}")))?;
        if status.is_success() {
            Ok(answer)
        } else {
            Err(self.failed(format!("{status}: {}", told(&Value::from(&answer)))))
        }
    }
}

fn client() -> Result<reqwest::Client, CommandError> {
    crate::process::plain_client().map_err(CommandError::Client)
}

/// What an error's body says, for people.
fn told(answer: &Value) -> String {
    let detail = answer.get(&["detail".into()]);
    let fault = match detail {
        Some(Value::List(faults)) => faults.first(),
        other => return other.map(Value::to_text).unwrap_or_default(),
    };
    let part = |name: &str| fault.and_then(|fault| fault.get(&[name.into()]));
    let steps = match part("loc") {
        Some(Value::List(steps)) => steps.iter().skip(1).map(|step| format!("{}: ", step.to_text())).collect(),
        _ => String::new(),
    };
    format!("{steps}{}", part("msg").map(Value::to_text).unwrap_or_default())
}
