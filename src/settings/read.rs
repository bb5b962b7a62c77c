//! What counts as a value of each setting.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use config::{Value, ValueKind};
use ipnet::IpNet;

use super::{
    AllowedOrigins, KeepIp, Listen, LookupSettings, ServerSettings, Settings, SettingsError, TlsFiles, source::Values,
};
use crate::{
    collect::{Bots, CollectSettings, Disclosure},
    http::CONSOLE_SESSION_MIN,
    model::{Origin, Path as ProfilePath, Zone},
    process::{AllowedHosts, IdentitySettings, KeyPlace, duration},
    read::ReadSettings,
    rights::RightsSettings,
    store::{Durability, StoreSettings},
};

/// Those that nobody is shown.
pub(super) const SECRETS: [&str; 2] = ["admin.token", "metrics.token"];
const DNS_PORT: u16 = 53;
/// A funnel of eight steps takes 80 MB for so many people.
const PEOPLE_MAX: usize = 512 * 1024;
/// What was erased cannot go from the disk faster than the log is read.
const ERASE_WITHIN_MIN: Duration = Duration::from_secs(1);

/// Takes the settings out of their values, one by one.
pub struct Reader<'a> {
    values: Values<'a>,
}

impl<'a> Reader<'a> {
    pub fn new(values: Values<'a>) -> Self {
        Self { values }
    }

    /// # Errors
    /// A value is wrong; the error names its key and where it was set.
    pub fn settings(&self) -> Result<Settings, SettingsError> {
        let body_bytes_max = self.size("server.max_body_bytes", 1)?;
        let listen = self.listen("server.listen")?;
        let tls = self.tls("server.tls.cert", "server.tls.key", &listen)?;
        let mut notices = Vec::new();
        Ok(Settings {
            server: ServerSettings {
                redirect_http: self.redirect_http("server.redirect_http", tls.as_ref())?,
                listen,
                tls,
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
                pass: self.boolean("track.pass")?,
                internal_events: self.boolean("track.internal_events")?,
                session_bytes_max: body_bytes_max,
                runs_per_day: self.parsed("workflow.runs_per_day", "a whole number is expected")?,
            },
            read: ReadSettings {
                queries_max: self.size("read.max_queries", 1)?,
                page_time: self.millis("read.page_ms")?,
                live_max: self.size("read.max_live", 1)?,
                people_max: PEOPLE_MAX,
            },
            rights: RightsSettings {
                erase_within: self.duration("storage.erase_within", ERASE_WITHIN_MIN)?,
                erasures_file: self.path("storage.erasures_file")?,
            },
            identity: IdentitySettings {
                merge_keys: self.merge_keys("identity.merge_keys")?,
                placeholders: self.texts("identity.placeholders")?,
                people_per_key: self.parsed("identity.people_per_key", "a whole number is expected")?,
                keep_former: self.boolean("identity.keep_former")?,
            },
            lookup: LookupSettings {
                allowed_hosts: self.allowed_hosts("lookup.allowed_hosts")?,
                name_servers: self.name_servers("lookup.name_servers")?,
                secrets_file: self.path("lookup.secrets_file")?,
            },
            ip: self.word(
                "track.ip",
                &[("full", KeepIp::Full), ("anonymous", KeepIp::Anonymous), ("none", KeepIp::None)],
            )?,
            zone: Zone::parse(&self.text("time.zone")?).map_err(|fault| self.wrong("time.zone", &fault.msg))?,
            admin_token: self.token("admin.token")?,
            metrics_token: self.token("metrics.token")?,
            console_session: self.duration("console.session", CONSOLE_SESSION_MIN)?,
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
            shown: self.shown()?,
        })
    }

    fn text(&self, key: &str) -> Result<String, SettingsError> {
        self.take(key)?.clone().into_string().map_err(|_| self.wrong(key, "a text is expected"))
    }

    /// A secret, if one is set.
    fn token(&self, key: &str) -> Result<Option<String>, SettingsError> {
        Ok(Some(self.text(key)?).filter(|token| !token.trim().is_empty()))
    }

    /// What people may see, each value in the form that its default has: the environment knows only texts.
    fn shown(&self) -> Result<serde_json::Value, SettingsError> {
        let mut sections = serde_json::Map::new();
        for (key, default) in self.values.defaults.iter().filter(|(key, _)| !SECRETS.contains(&&**key)) {
            let value = match default.kind {
                ValueKind::Boolean(_) => self.boolean(key)?.into(),
                ValueKind::I64(_) => self.parsed::<u64>(key, "a whole number is expected")?.into(),
                ValueKind::Array(_) => self.items(key)?.into(),
                // What may be one text or a list of them is shown as it is set.
                _ if matches!(self.take(key)?.kind, ValueKind::Array(_)) => self.texts(key)?.into(),
                _ => serde_json::Value::from(self.text(key)?),
            };
            let (section, name) = key.split_once('.').unwrap_or(("", key));
            let mut place = sections.entry(section).or_insert_with(|| serde_json::Map::new().into());
            for step in name.split('.') {
                if place.is_null() {
                    *place = serde_json::Map::new().into();
                }
                place = &mut place[step];
            }
            *place = value;
        }
        Ok(sections.into())
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
        let origin = self.values.origin(key);
        let expected = "\"anonymous\", \"all\" or \"none\" is expected";
        notices.push(format!("{origin}: {key}: {old} is read as \"{word}\"; {expected}"));
        Ok(meant)
    }

    fn size(&self, key: &str, least: usize) -> Result<usize, SettingsError> {
        let number = self.parsed::<usize>(key, "a whole number is expected")?;
        if number < least { Err(self.wrong(key, &format!("at least {least} is expected"))) } else { Ok(number) }
    }

    /// A file, if one is named.
    fn path(&self, key: &str) -> Result<Option<PathBuf>, SettingsError> {
        Ok(Some(self.text(key)?).filter(|file| !file.is_empty()).map(PathBuf::from))
    }

    fn duration(&self, key: &str, least: Duration) -> Result<Duration, SettingsError> {
        let read = duration(&self.text(key)?).map_err(|fault| self.wrong(key, &fault.msg))?;
        let too_short = || self.wrong(key, &format!("at least {least:?} is expected"));
        Some(read).filter(|read| *read >= least).ok_or_else(too_short)
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

    fn listen(&self, key: &str) -> Result<Vec<Listen>, SettingsError> {
        let addresses: Option<Vec<Listen>> = self.texts(key)?.iter().map(|text| text.parse().ok()).collect();
        let expected =
            "addresses with a port or Unix sockets are expected, like 127.0.0.1:8686 or unix:/run/tracardi.sock";
        let addresses = addresses.filter(|addresses| !addresses.is_empty()).ok_or_else(|| self.wrong(key, expected))?;
        // Of each port 0 a free one is taken.
        let is_free_port = |address: &Listen| matches!(address, Listen::Tcp(address) if address.port() == 0);
        let twice = addresses
            .iter()
            .enumerate()
            .find(|(place, address)| !is_free_port(address) && addresses[..*place].contains(address));
        match twice {
            Some((_, address)) => Err(self.wrong(key, &format!("{address} stands there twice"))),
            None => Ok(addresses),
        }
    }

    /// Both files, or none.
    fn tls(&self, cert: &str, key: &str, listen: &[Listen]) -> Result<Option<TlsFiles>, SettingsError> {
        match (self.path(cert)?, self.path(key)?) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) if !listen.iter().any(|address| matches!(address, Listen::Tcp(_))) => {
                Err(self.wrong(cert, "server.listen names no address where TLS could be spoken"))
            }
            (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate, key })),
            (None, Some(_)) => Err(self.wrong(cert, &format!("a file is expected beside {key}"))),
            (Some(_), None) => Err(self.wrong(key, &format!("a file is expected beside {cert}"))),
        }
    }

    fn redirect_http(&self, key: &str, tls: Option<&TlsFiles>) -> Result<Option<SocketAddr>, SettingsError> {
        if self.text(key)?.is_empty() {
            return Ok(None);
        }
        let address = self.parsed(key, "an address and a port are expected, like 0.0.0.0:80")?;
        if tls.is_none() {
            return Err(self.wrong(key, "server.tls.cert and server.tls.key are expected beside it"));
        }
        Ok(Some(address))
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

    /// Paths, or tables that say more of one.
    fn merge_keys(&self, key: &str) -> Result<Vec<KeyPlace>, SettingsError> {
        let expected = "paths in a profile are expected, like profile.data.loyalty.card.id, or { path = \
                        \"profile.traits.customer\", exclusive = true }";
        let places = self.items(key)?.into_iter().map(|item| key_place(item).ok_or_else(|| self.wrong(key, expected)));
        places.collect()
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

    /// As [`Reader::texts`], where an item may be a table, which the environment has as TOML writes it.
    fn items(&self, key: &str) -> Result<Vec<serde_json::Value>, SettingsError> {
        let wrong = || self.wrong(key, "a list of texts and tables is expected");
        let value = self.take(key)?;
        if matches!(value.kind, ValueKind::Array(_)) {
            return value.clone().try_deserialize().map_err(|_| wrong());
        }
        let text = self.text(key)?;
        if let Some(items) = toml_items(&text) {
            return Ok(items);
        }
        let (mut items, mut rest) = (Vec::new(), text.trim());
        while !rest.is_empty() {
            let in_braces = if rest.starts_with('{') { rest.find('}').ok_or_else(wrong)? } else { 0 };
            let end = rest[in_braces..].find(',').map_or(rest.len(), |comma| in_braces + comma);
            let item = rest[..end].trim();
            if in_braces > 0 {
                let table: toml::Table = toml::from_str(&format!("item = {item}")).map_err(|_| wrong())?;
                items.push(serde_json::to_value(&table["item"]).map_err(|_| wrong())?);
            } else if !item.is_empty() {
                items.push(item.into());
            }
            rest = rest[end..].trim_start_matches(',').trim_start();
        }
        Ok(items)
    }

    /// A list, or a text in which commas part the items, as the environment has it.
    fn texts(&self, key: &str) -> Result<Vec<String>, SettingsError> {
        let value = self.take(key)?;
        if let ValueKind::Array(items) = &value.kind {
            let items = items.iter().map(|item| item.clone().into_string());
            return items.collect::<Result<_, _>>().map_err(|_| self.wrong(key, "a list of texts is expected"));
        }
        let text = self.text(key)?;
        let quoted = toml_items(&text).map(|items| items.iter().map(|item| item.as_str().map(str::to_owned)).collect());
        if let Some(Some(items)) = quoted {
            return Ok(items);
        }
        Ok(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect())
    }

    fn parsed<T: std::str::FromStr>(&self, key: &str, expected: &str) -> Result<T, SettingsError> {
        self.text(key)?.trim().parse().map_err(|_| self.wrong(key, expected))
    }

    fn take(&self, key: &str) -> Result<&Value, SettingsError> {
        self.values.get(key).ok_or_else(|| self.wrong(key, "has no value"))
    }

    fn wrong(&self, key: &str, what: &str) -> SettingsError {
        SettingsError::Wrong { key: key.into(), origin: self.values.origin(key), what: what.into() }
    }
}

/// A place of a merge key: its path, or `path` and whether it is `exclusive`.
/// The texts and tables of a list as TOML writes it, without the brackets around it; `None`: they are not written so.
fn toml_items(text: &str) -> Option<Vec<serde_json::Value>> {
    let mut table: toml::Table = toml::from_str(&format!("items = [{text}]")).ok()?;
    let items = table.remove("items")?.try_into::<Vec<serde_json::Value>>().ok()?;
    items.iter().all(|item| item.is_string() || item.is_object()).then_some(items)
}

fn key_place(item: serde_json::Value) -> Option<KeyPlace> {
    let (path, exclusive) = match item {
        serde_json::Value::String(path) => (path, false),
        serde_json::Value::Object(mut table) => {
            let serde_json::Value::String(path) = table.remove("path")? else { return None };
            let exclusive = match table.remove("exclusive") {
                Some(exclusive) => exclusive.as_bool()?,
                None => false,
            };
            table.is_empty().then_some((path, exclusive))?
        }
        _ => return None,
    };
    let path = ProfilePath::parse(&path).ok().filter(|path| path.split_root().0 == "profile")?;
    Some(KeyPlace { path, exclusive })
}

fn is_host_name(name: &str) -> bool {
    let allowed = |character: char| character.is_alphanumeric() || ['-', '.', '_'].contains(&character);
    !name.is_empty() && name.chars().all(allowed)
}
