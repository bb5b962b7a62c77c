//! `tracardi serve`: the daemon.

use std::{net::SocketAddr, path::Path, sync::Arc};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

use super::{
    CommandError, Printable,
    secret_file::{self, ADMIN_TOKEN, IDENTITY_KEY, MISSING},
    terminal::Progress,
};
use crate::{
    admin::Admin,
    clock::Clock,
    collect::Collector,
    console::Console,
    deliver::Deliveries,
    http::{self, Address, App, Services},
    import::Importer,
    metrics::Metrics,
    model::Id,
    process::{Identity, Lookups, Rules, RulesInForce, Secrets},
    read::Queries,
    rights::Rights,
    schedule::Scheduler,
    settings::Settings,
    store::{Folder, Store},
};

/// Where files of deliveries are, in the storage folder.
const DELIVERIES: &str = "deliveries";
/// The fewest threads for reads that block.
const BLOCKING_THREADS_MIN: usize = 2;

pub fn run(mut settings: Settings) -> Result<(), CommandError> {
    let connections_max = connections_max(raise_open_files());
    if settings.server.connections_max > connections_max {
        tracing::warn!("server.max_connections is {connections_max}: the system allows no more open files");
        settings.server.connections_max = connections_max;
    }
    // As many as there are cores: reads are short and mostly answered from memory, and each thread more that is woken
    // for one costs more than it waits.
    let cores = std::thread::available_parallelism().map_or(BLOCKING_THREADS_MIN, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(cores.max(BLOCKING_THREADS_MIN))
        .enable_all()
        .build()
        .map_err(CommandError::Runtime)?;
    let served = runtime.block_on(serve(settings));
    // What still runs was given its time; a read that hangs on the disk must not keep the process.
    runtime.shutdown_background();
    served
}

async fn serve(settings: Settings) -> Result<(), CommandError> {
    let mut folder = Folder::take(&settings.storage.path)?;
    let token = match &settings.admin_token {
        Some(token) => token.clone(),
        None => secret_file::admin_token(&settings.storage.path)?,
    };
    let key = IDENTITY_KEY.read_and_renew_form(&settings.storage.path)?.map(|key| key.digits);
    let secrets = Secrets::load(settings.lookup.secrets_file.as_deref())?;
    let lookup = &settings.lookup;
    let lookups = Arc::new(Lookups::new(lookup.allowed_hosts.clone(), lookup.name_servers.clone(), secrets));
    let (listeners, socket_files) = http::listen(&settings.server).await?;
    let (addresses, redirecting) = (listeners.addresses().to_vec(), listeners.redirecting());
    if let Some(first) = addresses.first() {
        folder.note_address(&first.noted())?;
    }
    // Whoever asks meanwhile is told that the store is being opened.
    tracing::info!(path = %settings.storage.path.display(), version = env!("CARGO_PKG_VERSION"), "opening the store");
    let mut signals = Signals::new().map_err(CommandError::Runtime)?;
    let app = Arc::new(App::new(&settings, token));
    let mut opening = tokio::spawn(open(settings.clone(), folder, key, lookups));
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(http::serve(app.clone(), listeners, async {
        _ = ended.await;
    }));
    let Opened { store, rooms, first_source } = tokio::select! {
        opened = &mut opening => opened.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))?,
        // Nothing was taken yet, and recovery can begin anew at any point.
        () = signals.next() => return Ok(()),
    };
    let (deliveries, scheduler, rights) = (rooms.deliveries.clone(), rooms.scheduler.clone(), rooms.rights.clone());
    let metrics = rooms.metrics.clone();
    app.open(rooms);
    announce(&settings, &addresses, redirecting, first_source.as_ref());
    let (stop, stopped) = watch::channel(false);
    let delivering = tokio::spawn(deliveries.run(stopped.clone()));
    let scheduling = tokio::spawn(scheduler.run(stopped.clone()));
    let following = tokio::spawn({
        let (app, stopped) = (app.clone(), stopped.clone());
        async move { metrics.follow(|| app.requests_answered(), stopped).await }
    });
    let erasing = tokio::spawn(rights.run(stopped));
    tokio::select! {
        () = signals.next() => {}
        // Requests would wait for what does not come any more.
        why = store.failed() => return Err(CommandError::StoreFailed(why)),
    }
    tracing::info!("ending");
    tokio::spawn(async move {
        signals.next().await;
        std::process::exit(1); // asked a second time: at once
    });
    drop(end);
    _ = serving.await;
    drop(socket_files); // while the folder is still this process's
    _ = stop.send(true);
    _ = delivering.await; // what is under way is delivered again after the next start
    _ = scheduling.await;
    _ = erasing.await;
    _ = following.await;
    // The collector's clones of the store end with their requests; closing needs none of them.
    _ = tokio::task::spawn_blocking(move || store.close()).await;
    Ok(())
}

/// An open store and the rooms around it.
struct Opened {
    store: Arc<Store>,
    rooms: Services,
    /// What was registered on the first start.
    first_source: Option<Id>,
}

/// Opens the store and, on the first start, registers a source. `key` is the identity key, if there is one.
async fn open(
    settings: Settings,
    folder: Folder,
    key: Option<String>,
    lookups: Arc<Lookups>,
) -> Result<Opened, CommandError> {
    let clock = Arc::new(Clock::default());
    let opened = tokio::task::spawn_blocking({
        let (clock, storage) = (clock.clone(), settings.storage.clone());
        move || {
            let progress = Progress::new();
            Store::open(&storage, folder, clock, &|step, done, all| progress.report(step, done, all))
        }
    });
    let store = opened.await.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))?;
    let store = Arc::new(store);
    let opened = open_rooms(&settings, store.clone(), clock, key, lookups).await;
    if opened.is_err() {
        _ = tokio::task::spawn_blocking(move || store.close()).await;
    }
    opened
}

/// The identity key of a store that is open: one is made while nobody could have been known by another.
pub async fn identity_key(storage: &Path, store: &Store, key: Option<String>) -> Result<String, CommandError> {
    match key {
        Some(key) => Ok(key),
        None if store.read_view().profiles(None, 1).await?.is_empty() => Ok(IDENTITY_KEY.make(storage)?.digits),
        None => Err(IDENTITY_KEY.refused(storage, MISSING)),
    }
}

/// Makes the rooms around an open store.
async fn open_rooms(
    settings: &Settings,
    store: Arc<Store>,
    clock: Arc<Clock>,
    key: Option<String>,
    lookups: Arc<Lookups>,
) -> Result<Opened, CommandError> {
    let key = identity_key(&settings.storage.path, &store, key).await?;
    let identity = Identity::new(&key, &settings.identity);
    let rules = Arc::new(RulesInForce::new(Rules::compile_saved(&store.definitions(), settings.zone)?));
    let admin = Arc::new(Admin::new(store.clone(), clock.clone(), rules.clone()));
    let first_source = admin.register_default_source().await?;
    let collector = Arc::new(Collector::new(
        store.clone(),
        clock.clone(),
        settings.collect,
        rules.clone(),
        identity.clone(),
        lookups.clone(),
    ));
    let folder = settings.storage.path.join(DELIVERIES);
    let deliveries = Arc::new(Deliveries::new(store.clone(), clock.clone(), rules.clone(), lookups.clone(), folder));
    let metrics = Arc::new(Metrics::new(store.clone(), &clock, rules.clone(), deliveries.clone(), lookups));
    let scheduler = Arc::new(Scheduler::new(store.clone(), clock.clone(), rules.clone(), collector.clone()));
    let importer = Arc::new(Importer::new(store.clone(), clock.clone(), identity.clone(), admin.clone()));
    let queries = Arc::new(Queries::new(store.clone(), clock.clone(), identity.clone(), settings.read));
    let rights = Rights::new(store.clone(), clock, rules, identity.clone(), queries.clone(), settings.rights.clone());
    let rights = Arc::new(rights);
    let console = Arc::new(Console {
        admin: admin.clone(),
        collector: collector.clone(),
        metrics: metrics.clone(),
        queries: queries.clone(),
        rights: rights.clone(),
        identity: identity.clone(),
    });
    let rooms =
        Services { collector, admin, deliveries, scheduler, queries, metrics, importer, rights, console, identity };
    Ok(Opened { store, rooms, first_source })
}

/// Says that requests are taken from now on, and where; on the first start also how to begin.
fn announce(settings: &Settings, addresses: &[Address], redirecting: Option<SocketAddr>, first_source: Option<&Id>) {
    for address in addresses {
        let address = address.to_string();
        println!("listening on {}", Printable(&address));
        tracing::info!(%address, "listening");
    }
    if let Some(address) = redirecting {
        println!("sending on from http://{address} to https");
        tracing::info!(%address, "sending on plain HTTP");
    }
    if let (Some(address), Some(id)) = (addresses.first(), first_source) {
        println!("registered the source \"default\" with the id {id}; send it a first event:\n");
        println!("{}\n", Printable(&first_event(address, &id.text())));
        if settings.admin_token.is_none() {
            let path = ADMIN_TOKEN.path(&settings.storage.path).display().to_string();
            println!("the administrator's token is in {}", Printable(&path));
        }
    }
}

/// A curl line that works as it stands: neither the shell nor curl takes a bracket of the address for a pattern, and the
/// certificate need not have the address for a name.
fn first_event(address: &Address, source: &str) -> String {
    let address = address.clone().reachable();
    let options = match &address {
        Address::Http(_) => "-g".to_owned(),
        Address::Https(_) => "-gk".to_owned(),
        Address::Unix(path) => format!("--unix-socket '{}'", path.display().to_string().replace('\'', "'\\''")),
    };
    format!(
        "curl {options} '{}/track' -H 'Content-Type: application/json' -d '{{\"source\": {{\"id\": \"{source}\"}}, \
         \"session\": {{\"id\": \"my-first-session\"}}, \"events\": [{{\"type\": \"page-view\"}}]}}'",
        address.url()
    )
}

/// A connection takes a descriptor: allows as many as the system lets this process have; `None` if it sets no limit.
fn raise_open_files() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::warn!(%error, "the limit on open files cannot be raised");
            limit.current
        }
    }
}

/// How many connections there may be: a quarter of the descriptors is for the store and for calls of other systems.
fn connections_max(open_files_max: Option<u64>) -> usize {
    let for_connections = open_files_max.map_or(u64::MAX, |files| files - files / 4).max(1);
    usize::try_from(for_connections).unwrap_or(usize::MAX)
}

/// The signals that end the daemon.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_event_goes_to_an_address_that_can_be_connected_to() {
        for (listening, curl) in [
            ("http://127.0.0.1:8686", "curl -g 'http://127.0.0.1:8686/track'"),
            ("http://[::]:8686", "curl -g 'http://[::1]:8686/track'"),
            ("https://0.0.0.0:443", "curl -gk 'https://127.0.0.1:443/track'"),
            ("http://[fe80::1%2]:8686", "curl -g 'http://[fe80::1%252]:8686/track'"),
            ("unix:/run/it's.sock", "curl --unix-socket '/run/it'\\''s.sock' 'http://localhost/track'"),
        ] {
            let line = first_event(&listening.parse().unwrap(), "0199");
            assert!(line.starts_with(&format!("{curl} -H ")), "{line}");
        }
    }
}
