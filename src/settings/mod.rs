//! What can be set (docs/contract.md, section 11): `source` has where it is set, `read` what counts as a value.

mod listen;
mod read;
mod source;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;

use crate::{
    collect::CollectSettings,
    model::{Origin, Zone},
    process::{AllowedHosts, IdentitySettings},
    read::ReadSettings,
    rights::RightsSettings,
    store::StoreSettings,
};

pub use listen::{Listen, TlsFiles};
pub use source::FILE;

/// Every setting, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    pub server: ServerSettings,
    pub storage: StoreSettings,
    pub collect: CollectSettings,
    pub read: ReadSettings,
    pub rights: RightsSettings,
    pub lookup: LookupSettings,
    pub identity: IdentitySettings,
    pub ip: KeepIp,
    /// Where days begin and by which clocks is scheduled, unless a definition says otherwise.
    pub zone: Zone,
    /// `None`: made on the first start and kept in the storage folder.
    pub admin_token: Option<String>,
    /// Lets in to the metrics alone.
    pub metrics_token: Option<String>,
    /// How long somebody who logged in to the console stays so.
    pub console_session: Duration,
    pub log_level: tracing::Level,
    /// What is to be said of the settings once there is a log.
    pub notices: Vec<String>,
    /// All of them by section and key, as they are set, without secrets.
    pub shown: serde_json::Value,
}

#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// At least one, each once.
    pub listen: Vec<Listen>,
    /// There if what listens at addresses speaks TLS.
    pub tls: Option<TlsFiles>,
    /// Where plain HTTP is sent on to where TLS is spoken.
    pub redirect_http: Option<SocketAddr>,
    /// Of a decoded body.
    pub body_bytes_max: usize,
    /// Of all bodies that are read or answered at a time; a quarter of it is for small ones.
    pub bodies_bytes_max: usize,
    pub head_bytes_max: usize,
    pub target_bytes_max: usize,
    pub connections_max: usize,
    /// Of one address that is neither a trusted proxy's nor the machine's own; up to half of all.
    pub connections_per_address_max: usize,
    /// From a request's first byte to the end of its headers.
    pub head_time_max: Duration,
    /// From the end of the headers to the end of the body.
    pub body_time_max: Duration,
    /// Between two bytes of a body.
    pub read_time_max: Duration,
    /// Between two requests of a connection.
    pub idle_time_max: Duration,
    /// The origins whose pages may read answers of the collecting paths.
    pub cors_origins: AllowedOrigins,
    /// The same for the administrator's paths.
    pub admin_origins: AllowedOrigins,
    /// The proxies whose word about the client's address counts.
    pub trusted_proxies: Vec<IpNet>,
}

/// Where workflows may ask external systems, and what with.
#[derive(Clone, Debug)]
pub struct LookupSettings {
    pub allowed_hosts: AllowedHosts,
    /// Who is asked for names; if nobody, whom the system asks.
    pub name_servers: Vec<SocketAddr>,
    pub secrets_file: Option<PathBuf>,
}

/// Which web origins are let in.
#[derive(Clone, Debug, PartialEq)]
pub enum AllowedOrigins {
    Any,
    These(Vec<Origin>),
}

/// How much of a client's address is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepIp {
    Full,
    /// Without the last octet of IPv4, the last 80 bits of IPv6.
    Anonymous,
    None,
}

/// A setting that cannot be used; names the key and where it was set.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("{0}: there is no such file")]
    Missing(String),
    #[error("{0}")]
    Unreadable(#[from] config::ConfigError),
    #[error("{origin}: unknown setting {key}")]
    Unknown { key: String, origin: String },
    #[error("{origin}: {key}: {what}")]
    Wrong { key: String, origin: String, what: String },
}
