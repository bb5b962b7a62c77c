//! HTTP: turns requests into calls of the other modules, and what comes back into answers.
//!
//! One file per group of endpoints; `route` has the table of all of them, `dispatch` calls them. What can go wrong
//! becomes a status in one place, `failure`. Connections come from `listen`, `serve` lets them in, `http1` or `http2` serves
//! each, and `answer` answers a request. Knows no sled.

mod access;
mod answer;
mod asides;
mod auth;
mod body;
mod client;
mod connection;
mod consents;
mod console;
mod cors;
mod definitions;
mod dispatch;
mod failure;
mod finish;
mod health;
mod http1;
mod http2;
mod import;
mod listen;
mod live;
mod media;
mod metrics;
mod openapi;
mod query;
mod records;
mod redirect;
mod reply;
mod requests;
mod rights;
mod route;
mod serve;
mod sources;
mod to_https;
mod track;
mod tracker;
mod user;
mod webhook;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use crate::{
    admin::Admin,
    collect::Collector,
    console::Console,
    deliver::Deliveries,
    import::Importer,
    metrics::Metrics,
    process::Identity,
    read::Queries,
    rights::Rights,
    schedule::Scheduler,
    settings::{KeepIp, ServerSettings, Settings},
};

use connection::Admission;
use requests::Requests;

pub use console::SESSION_MIN as CONSOLE_SESSION_MIN;
pub use listen::{Address, ListenError, listen};
pub use serve::serve;

/// What every request needs.
pub struct App {
    pub settings: ServerSettings,
    pub ip: KeepIp,
    pub admin_token: String,
    /// Lets in to `/metrics` beside the administrator's token.
    metrics_token: Option<String>,
    /// The settings as people may see them.
    shown_settings: serde_json::Value,
    admission: Arc<Admission>,
    requests: Requests,
    /// Who is logged in to the console, for how long one stays so, and who tried to.
    log_ins: Arc<console::LogIns>,
    console_session: Duration,
    tries: console::Tries,
    bodies: body::Budget,
    /// There once recovery is done.
    services: OnceLock<Services>,
}

/// The services that requests are turned into calls of.
pub struct Services {
    pub collector: Arc<Collector>,
    pub admin: Arc<Admin>,
    pub deliveries: Arc<Deliveries>,
    pub scheduler: Arc<Scheduler>,
    pub metrics: Arc<Metrics>,
    pub queries: Arc<Queries>,
    pub rights: Arc<Rights>,
    pub importer: Arc<Importer>,
    pub console: Arc<Console>,
    pub identity: Identity,
}

impl App {
    pub fn new(settings: &Settings, admin_token: String) -> Self {
        let server = settings.server.clone();
        let admission =
            Admission::new(server.connections_max, server.connections_per_address_max, server.trusted_proxies.clone());
        Self {
            bodies: body::Budget::new(server.bodies_bytes_max),
            admission: Arc::new(admission),
            requests: Requests::new(),
            log_ins: Arc::default(),
            console_session: settings.console_session,
            tries: console::Tries::default(),
            settings: server,
            ip: settings.ip,
            admin_token,
            metrics_token: settings.metrics_token.clone(),
            shown_settings: settings.shown.clone(),
            services: OnceLock::new(),
        }
    }

    /// How many requests were answered.
    pub fn requests_answered(&self) -> u64 {
        self.requests.count()
    }

    /// Recovery is done: from here on requests are taken.
    pub fn open(&self, services: Services) {
        self.services.get_or_init(|| services);
    }
}
