//! The settings: built-in defaults, then `tracardi.toml`, then the environment (contract, section 11).

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use config::{Config, Environment, File, FileFormat, Value, ValueKind};
use ipnet::IpNet;

use crate::{
    collect::{Bots, CollectSettings, Disclosure},
    model::{Origin, Path as ProfilePath},
    process::AllowedHosts,
    store::{Durability, StoreSettings},
};

/// The file that is read from the working directory when no other is named.
pub const FILE: &str = "tracardi.toml";
/// Every setting with its default and what it does; the file that stands at the root of the project.
const DEFAULTS: &str = include_str!("../tracardi.toml");
const ENVIRONMENT: &str = "TRACARDI";
const DNS_PORT: u16 = 53;

/// Every setting, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    pub server: ServerSettings,
    pub storage: StoreSettings,
    pub collect: CollectSettings,
    pub lookup: LookupSettings,
    /// More places in a profile by which it is known.
    pub merge_keys: Vec<ProfilePath>,
    pub ip: KeepIp,
    /// `None`: made on the first start and kept in the storage folder.
    pub admin_token: Option<String>,
    pub log_level: tracing::Level,
    /// What is to be said of the settings once there is a log.
    pub notices: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct ServerSettings {
    pub listen: SocketAddr,
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

fn is_host_name(name: &str) -> bool {
    let allowed = |character: char| character.is_alphanumeric() || ['-', '.', '_'].contains(&character);
    !name.is_empty() && name.chars().all(allowed)
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

impl Settings {
    /// Reads the settings; `file` is named by the user and must exist, [`FILE`] may be missing.
    ///
    /// # Errors
    /// A file cannot be read, a key is unknown or a value wrong; the error names key and file.
    pub fn load(file: Option<&Path>) -> Result<Self, SettingsError> {
        let path = file.unwrap_or(Path::new(FILE));
        if file.is_some() && !path.is_file() {
            return Err(SettingsError::Missing(path.display().to_string()));
        }
        let environment = Environment::with_prefix(ENVIRONMENT).prefix_separator("__").separator("__");
        let set = Config::builder()
            .add_source(File::from(path).format(FileFormat::Toml).required(file.is_some()))
            .add_source(environment)
            .build()?;
        Self::from_config(set, path)
    }

    fn from_config(set: Config, path: &Path) -> Result<Self, SettingsError> {
        let defaults = Config::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml)).build()?;
        let known = flatten(defaults.cache);
        let mut values = known.clone();
        for (key, value) in flatten(set.cache) {
            if !known.iter().any(|(known, _)| *known == key) {
                return Err(SettingsError::Unknown { origin: origin(&value, &key, path), key });
            }
            values.retain(|(known, _)| *known != key);
            values.push((key, value));
        }
        Reader { values, path }.settings()
    }
}

/// Takes the settings out of their values, one by one.
struct Reader<'a> {
    values: Vec<(String, Value)>,
    path: &'a Path,
}

impl Reader<'_> {
    fn settings(&self) -> Result<Settings, SettingsError> {
        let body_bytes_max = self.size("server.max_body_bytes", 1)?;
        let mut notices = Vec::new();
        Ok(Settings {
            server: ServerSettings {
                listen: self.parsed("server.listen", "an address and a port, like 127.0.0.1:8686")?,
                body_bytes_max,
                bodies_bytes_max: self.size("server.max_bodies_bytes", 2 * body_bytes_max)?,
                head_bytes_max: self.size("server.max_header_bytes", 8_192)?,
                target_bytes_max: self.size("server.max_target_bytes", 64)?,
                connections_max: self.size("server.max_connections", 1)?,
                connections_per_address_max: self.size("server.max_connections_per_address", 1)?,
                head_time_max: self.millis("server.header_timeout_ms")?,
                body_time_max: self.millis("server.body_timeout_ms")?,
                read_time_max: self.millis("server.read_timeout_ms")?,
                idle_time_max: self.millis("server.idle_timeout_ms")?,
                cors_origins: self.origins("server.cors_origins")?,
                admin_origins: self.origins("server.admin_origins")?,
                trusted_proxies: self.proxies("server.trusted_proxies")?,
            },
            storage: StoreSettings {
                path: PathBuf::from(self.text("storage.path")?),
                durability: self
                    .word("storage.durability", &[("sync", Durability::Sync), ("relaxed", Durability::Relaxed)])?,
                flush_interval: self.millis("storage.flush_interval_ms")?,
                segment_bytes: self.size("storage.segment_bytes", 65_536)? as u64,
                reserve_bytes: self.size("storage.reserve_bytes", 0)? as u64,
            },
            collect: CollectSettings {
                debugger: self.disclosure("track.debugger", &mut notices)?,
                profile: self.disclosure("track.profile", &mut notices)?,
                bots: self.word("track.bots", &[("mark", Bots::Mark), ("refuse", Bots::Refuse)])?,
                internal_events: self.boolean("track.internal_events")?,
                session_bytes_max: body_bytes_max,
            },
            merge_keys: self.merge_keys("identity.merge_keys")?,
            lookup: LookupSettings {
                allowed_hosts: self.allowed_hosts("lookup.allowed_hosts")?,
                name_servers: self.name_servers("lookup.name_servers")?,
                secrets_file: Some(self.text("lookup.secrets_file")?)
                    .filter(|file| !file.is_empty())
                    .map(PathBuf::from),
            },
            ip: self.word(
                "track.ip",
                &[("full", KeepIp::Full), ("anonymous", KeepIp::Anonymous), ("none", KeepIp::None)],
            )?,
            admin_token: Some(self.text("admin.token")?).filter(|token| !token.trim().is_empty()),
            log_level: self.word(
                "log.level",
                &[
                    ("error", tracing::Level::ERROR),
                    ("warn", tracing::Level::WARN),
                    ("info", tracing::Level::INFO),
                    ("debug", tracing::Level::DEBUG),
                    ("trace", tracing::Level::TRACE),
                ],
            )?,
            notices,
        })
    }

    fn text(&self, key: &str) -> Result<String, SettingsError> {
        self.take(key)?.clone().into_string().map_err(|_| self.wrong(key, "a text is expected"))
    }

    fn boolean(&self, key: &str) -> Result<bool, SettingsError> {
        match self.text(key)?.as_str() {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(self.wrong(key, "true or false is expected")),
        }
    }

    /// Whom something of people is told. It was a boolean once: true is less than it was, so that is said.
    fn disclosure(&self, key: &str, notices: &mut Vec<String>) -> Result<Disclosure, SettingsError> {
        let old = self.text(key)?;
        let (word, meant) = match &*old {
            "true" | "1" => ("anonymous", Disclosure::Anonymous),
            "false" | "0" => ("none", Disclosure::None),
            _ => {
                let words =
                    [("anonymous", Disclosure::Anonymous), ("all", Disclosure::All), ("none", Disclosure::None)];
                return self.word(key, &words);
            }
        };
        let origin = self.origin(key);
        let expected = "\"anonymous\", \"all\" or \"none\" is expected";
        notices.push(format!("{origin}: {key}: {old} is read as \"{word}\"; {expected}"));
        Ok(meant)
    }

    fn size(&self, key: &str, least: usize) -> Result<usize, SettingsError> {
        let number = self.parsed::<usize>(key, "a whole number is expected")?;
        if number < least { Err(self.wrong(key, &format!("at least {least} is expected"))) } else { Ok(number) }
    }

    fn millis(&self, key: &str) -> Result<Duration, SettingsError> {
        self.size(key, 1).map(|millis| Duration::from_millis(millis as u64))
    }

    fn word<T: Copy>(&self, key: &str, words: &[(&str, T)]) -> Result<T, SettingsError> {
        let text = self.text(key)?;
        let found = words.iter().find(|(word, _)| *word == text);
        found.map(|(_, value)| *value).ok_or_else(|| {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.wrong(key, &format!("expected one of {}", words.join(", ")))
        })
    }

    fn origins(&self, key: &str) -> Result<AllowedOrigins, SettingsError> {
        let texts = self.texts(key)?;
        if texts.iter().any(|text| text == "*") {
            return Ok(AllowedOrigins::Any);
        }
        let origins = texts.iter().map(|text| Origin::parse(text)).collect::<Result<_, _>>();
        origins.map(AllowedOrigins::These).map_err(|fault| self.wrong(key, &fault.msg))
    }

    fn proxies(&self, key: &str) -> Result<Vec<IpNet>, SettingsError> {
        let net = |text: &String| text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok();
        let nets = self.texts(key)?.iter().map(net).collect::<Option<_>>();
        nets.ok_or_else(|| self.wrong(key, "addresses or networks are expected, like 10.0.0.1 or 10.0.0.0/8"))
    }

    fn merge_keys(&self, key: &str) -> Result<Vec<ProfilePath>, SettingsError> {
        let path = |text: &String| ProfilePath::parse(text).ok().filter(|path| path.split_root().0 == "profile");
        let paths = self.texts(key)?.iter().map(path).collect::<Option<_>>();
        paths.ok_or_else(|| self.wrong(key, "paths in a profile are expected, like profile.data.loyalty.card.id"))
    }

    /// `*` is every public address; what is named beside it, or alone, may be private.
    fn allowed_hosts(&self, key: &str) -> Result<AllowedHosts, SettingsError> {
        let mut allowed = AllowedHosts::default();
        for host in self.texts(key)? {
            match (host.as_str(), host.parse::<IpNet>().or_else(|_| host.parse::<IpAddr>().map(IpNet::from))) {
                ("*", _) => allowed.public = true,
                (_, Ok(network)) => allowed.networks.push(network),
                (name, Err(_)) if is_host_name(name) => allowed.names.push(name.into()),
                _ => {
                    return Err(self
                        .wrong(key, "\"*\", names, addresses or networks are expected, like crm.local or 10.0.0.0/8"));
                }
            }
        }
        Ok(allowed)
    }

    fn name_servers(&self, key: &str) -> Result<Vec<SocketAddr>, SettingsError> {
        let server = |text: &String| {
            let address = text.parse().or_else(|_| text.parse().map(|address| SocketAddr::new(address, DNS_PORT))).ok();
            address.filter(|address| address.port() != 0 && !address.ip().is_unspecified())
        };
        let servers = self.texts(key)?.iter().map(server).collect::<Option<_>>();
        servers.ok_or_else(|| self.wrong(key, "addresses are expected, like 10.0.0.2, 10.0.0.2:5353 or [fd00::2]:53"))
    }

    /// A list, or a text in which commas part the items, as the environment has it.
    fn texts(&self, key: &str) -> Result<Vec<String>, SettingsError> {
        let value = self.take(key)?;
        if let ValueKind::Array(items) = &value.kind {
            let items = items.iter().map(|item| item.clone().into_string());
            return items.collect::<Result<_, _>>().map_err(|_| self.wrong(key, "a list of texts is expected"));
        }
        let text = self.text(key)?;
        Ok(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect())
    }

    fn parsed<T: std::str::FromStr>(&self, key: &str, expected: &str) -> Result<T, SettingsError> {
        self.text(key)?.trim().parse().map_err(|_| self.wrong(key, expected))
    }

    fn take(&self, key: &str) -> Result<&Value, SettingsError> {
        let found = self.values.iter().find(|(known, _)| known == key);
        found.map(|(_, value)| value).ok_or_else(|| self.wrong(key, "has no value"))
    }

    fn wrong(&self, key: &str, what: &str) -> SettingsError {
        SettingsError::Wrong { key: key.into(), origin: self.origin(key), what: what.into() }
    }

    /// Where the setting was set.
    fn origin(&self, key: &str) -> String {
        let found = self.values.iter().find(|(known, _)| known == key);
        found.map_or_else(|| FILE.into(), |(key, value)| origin(value, key, self.path))
    }
}

/// The leaves of a tree of settings, by their dotted keys.
fn flatten(root: Value) -> Vec<(String, Value)> {
    fn walk(prefix: &str, value: Value, leaves: &mut Vec<(String, Value)>) {
        match value.kind {
            ValueKind::Table(table) => {
                for (key, value) in table {
                    let key = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
                    walk(&key, value, leaves);
                }
            }
            _ => leaves.push((prefix.into(), value)),
        }
    }
    let mut leaves = Vec::new();
    walk("", root, &mut leaves);
    leaves
}

/// Where a value was set, in the user's words.
fn origin(value: &Value, key: &str, path: &Path) -> String {
    match value.origin() {
        Some("the environment") => format!("{ENVIRONMENT}__{}", key.to_uppercase().replace('.', "__")),
        _ => path.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(toml: &str) -> Result<Settings, SettingsError> {
        let set = Config::builder().add_source(File::from_str(toml, FileFormat::Toml)).build().unwrap();
        Settings::from_config(set, Path::new("some.toml"))
    }

    #[test]
    fn the_file_that_is_shipped_holds_the_defaults() {
        let settings = load("").unwrap();
        assert_eq!(settings.server.listen.to_string(), "127.0.0.1:8686");
        assert_eq!(settings.server.body_bytes_max, 1 << 20);
        assert_eq!(settings.server.cors_origins, AllowedOrigins::Any);
        assert_eq!(settings.server.admin_origins, AllowedOrigins::These(Vec::new()));
        assert!(settings.server.trusted_proxies.is_empty());
        assert_eq!(settings.storage.path, Path::new("data"));
        assert_eq!(settings.storage.durability, Durability::Sync);
        assert_eq!(settings.storage.flush_interval, Duration::from_millis(500));
        let anonymous = Disclosure::Anonymous;
        assert_eq!((settings.collect.debugger, settings.collect.profile), (anonymous, anonymous));
        assert!(settings.notices.is_empty());
        assert_eq!((settings.collect.bots, settings.ip), (Bots::Mark, KeepIp::Anonymous));
        assert_eq!(settings.admin_token, None);
    }

    #[test]
    fn an_unknown_key_or_a_wrong_value_names_key_and_file() {
        for (toml, key) in [
            ("[server]\nlisten = \"nowhere\"", "server.listen"),
            ("[server]\nmax_body_bytes = \"many\"", "server.max_body_bytes"),
            ("[server]\nmax_body_bytes = -1", "server.max_body_bytes"),
            ("[server]\ntrusted_proxies = [\"x\"]", "server.trusted_proxies"),
            ("[server]\ncors_origins = [\"shop.example\"]", "server.cors_origins"),
            ("[server]\nadmin_origins = [\"https://*.shop.example\"]", "server.admin_origins"),
            ("[lookup]\nname_servers = [\"dns.example\"]", "lookup.name_servers"),
            ("[lookup]\nname_servers = [\"10.0.0.2:0\"]", "lookup.name_servers"),
            ("[server]\nport = 1", "server.port"),
            ("[storage]\ndurability = \"maybe\"", "storage.durability"),
            ("[storage.path]\na = 1", "storage.path.a"),
            ("[track]\ndebugger = \"perhaps\"", "track.debugger"),
            ("surprise = 1", "surprise"),
        ] {
            let error = load(toml).unwrap_err().to_string();
            assert!(error.contains(key) && error.contains("some.toml"), "{toml}: {error}");
        }
    }

    #[test]
    fn name_servers_have_a_port_or_the_usual_one() {
        let settings = load("[lookup]\nname_servers = [\"10.0.0.2\", \"127.0.0.1:5353\", \"fd00::2\"]").unwrap();
        let servers: Vec<String> = settings.lookup.name_servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["10.0.0.2:53", "127.0.0.1:5353", "[fd00::2]:53"]);
    }

    #[test]
    fn what_was_a_boolean_once_is_read_and_noticed() {
        let read = |debugger: &str| {
            let settings = load(&format!("[track]\ndebugger = {debugger}")).unwrap();
            (settings.collect.debugger, settings.notices)
        };
        for (word, meant) in
            [("anonymous", Disclosure::Anonymous), ("all", Disclosure::All), ("none", Disclosure::None)]
        {
            assert_eq!(read(&format!("\"{word}\"")), (meant, Vec::new()));
        }
        for (old, meant, word) in [
            ("true", Disclosure::Anonymous, "anonymous"),
            ("\"1\"", Disclosure::Anonymous, "anonymous"),
            ("false", Disclosure::None, "none"),
            ("0", Disclosure::None, "none"),
        ] {
            let (debugger, notices) = read(old);
            assert_eq!((debugger, notices.len()), (meant, 1), "{old}");
            let said = ["some.toml", "track.debugger", &format!("read as \"{word}\"")];
            assert!(said.iter().all(|what| notices[0].contains(what)), "{notices:?}");
        }
    }

    #[test]
    fn lists_are_lists_or_texts_with_commas() {
        let settings =
            load("[server]\ntrusted_proxies = \"10.0.0.1, fd00::/8\"\ncors_origins = [\"https://a.example\"]").unwrap();
        assert_eq!(settings.server.trusted_proxies.len(), 2);
        assert_eq!(
            settings.server.cors_origins,
            AllowedOrigins::These(vec![Origin::parse("https://a.example").unwrap()])
        );
    }
}
