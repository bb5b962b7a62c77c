//! `tracardi serve`: the daemon.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

use super::{CommandError, terminal::Progress, secret_file};
use crate::{
    admin::Admin,
    clock::Clock,
    collect::Collector,
    deliver::Deliveries,
    http::{self, App, Rooms},
    process::{Identity, Lookups, Rules, RulesInForce, Secrets},
    schedule::Scheduler,
    settings::Settings,
    store::{Folder, Store},
};

/// Where files of deliveries are, in the storage folder.
const DELIVERIES: &str = "deliveries";
/// The fewest threads for reads that block.
const BLOCKING_THREADS_MIN: usize = 2;

pub fn run(settings: Settings) -> Result<(), CommandError> {
    raise_open_files();
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
    let folder = Folder::take(&settings.storage.path)?;
    let token = match &settings.admin_token {
        Some(token) => token.clone(),
        None => secret_file::kept(&settings.storage.path, secret_file::ADMIN_TOKEN)?,
    };
    let secret = secret_file::kept(&settings.storage.path, secret_file::IDENTITY_KEY)?;
    let identity = Identity::new(&secret, settings.merge_keys.clone());
    let secrets = Secrets::load(settings.lookup.secrets_file.as_deref())?;
    let lookup = &settings.lookup;
    let lookups = Arc::new(Lookups::new(lookup.allowed_hosts.clone(), lookup.name_servers.clone(), secrets));
    let listen_error = |source| CommandError::Listen { address: settings.server.listen.to_string(), source };
    let listener = TcpListener::bind(settings.server.listen).await.map_err(listen_error)?;
    let address = listener.local_addr().map_err(listen_error)?;
    println!("listening on http://{address}");
    tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "listening");

    let mut signals = Signals::new().map_err(CommandError::Runtime)?;
    let app = Arc::new(App::new(settings.server.clone(), settings.ip, token));
    let mut opening = tokio::spawn(open(settings, folder, address, app.clone(), identity, lookups));
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(http::serve(app, listener, async {
        _ = ended.await;
    }));
    let (store, deliveries, scheduler) = tokio::select! {
        opened = &mut opening => opened.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))?,
        // Nothing was taken yet, and recovery can begin anew at any point.
        () = signals.next() => return Ok(()),
    };
    let (stop, stopped) = watch::channel(false);
    let delivering = tokio::spawn(deliveries.run(stopped.clone()));
    let scheduling = tokio::spawn(scheduler.run(stopped));
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
    _ = stop.send(true);
    _ = delivering.await; // what is under way is delivered again after the next start
    _ = scheduling.await;
    // The collector's clones of the store end with their requests; closing needs none of them.
    _ = tokio::task::spawn_blocking(move || store.close()).await;
    Ok(())
}

/// Opens the store and, on the first start, registers a source; then requests are taken.
async fn open(
    settings: Settings,
    folder: Folder,
    address: SocketAddr,
    app: Arc<App>,
    identity: Identity,
    lookups: Arc<Lookups>,
) -> Result<(Arc<Store>, Arc<Deliveries>, Arc<Scheduler>), CommandError> {
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
    let rules = Arc::new(RulesInForce::new(Rules::compile(&store.definitions())?));
    let admin = Arc::new(Admin::new(store.clone(), clock.clone(), rules.clone()));
    if let Some(id) = admin.register_default_source().await? {
        println!("registered the source \"default\" with the id {id}; send it a first event:\n");
        println!("{}\n", first_event(address, id.as_str()));
        if settings.admin_token.is_none() {
            println!(
                "the administrator's token is in {}",
                settings.storage.path.join(secret_file::ADMIN_TOKEN).display()
            );
        }
    }
    let collector = Arc::new(Collector::new(
        store.clone(),
        clock.clone(),
        settings.collect,
        rules.clone(),
        identity,
        lookups.clone(),
    ));
    let folder = settings.storage.path.join(DELIVERIES);
    let deliveries = Arc::new(Deliveries::new(store.clone(), clock.clone(), rules.clone(), lookups, folder));
    let scheduler = Arc::new(Scheduler::new(store.clone(), clock, rules, collector.clone()));
    app.open(Rooms { collector, admin, deliveries: deliveries.clone(), scheduler: scheduler.clone() });
    Ok((store, deliveries, scheduler))
}

/// The address at which the daemon is reached from its own machine.
pub fn reachable(address: SocketAddr) -> SocketAddr {
    let host = match address.ip() {
        ip if ip.is_unspecified() => IpAddr::from(Ipv4Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(host, address.port())
}

/// A curl line that works as it stands.
fn first_event(address: SocketAddr, source: &str) -> String {
    let url = reachable(address);
    format!(
        "curl http://{url}/track -H 'Content-Type: application/json' -d '{{\"source\": {{\"id\": \"{source}\"}}, \
         \"session\": {{\"id\": \"my-first-session\"}}, \"events\": [{{\"type\": \"page-view\"}}]}}'"
    )
}

/// A connection takes a descriptor: allows as many as the system lets this process have.
fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit on open files cannot be raised");
    }
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
