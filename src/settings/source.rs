//! Where settings come from: built-in defaults, then `tracardi.toml`, then the environment.

use std::path::Path;

use config::{Config, Environment, File, FileFormat, Value, ValueKind};

use super::{Settings, SettingsError, read::Reader};

/// The file that is read from the working directory when no other is named.
pub const FILE: &str = "tracardi.toml";
/// Every setting with its default and what it does; the file that stands at the root of the project.
const DEFAULTS: &str = include_str!("../../tracardi.toml");
const ENVIRONMENT: &str = "TRACARDI";

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
        Reader::new(Values { list: values, defaults: known, path }).settings()
    }
}

/// Every setting with its value and where it was set.
pub struct Values<'a> {
    list: Vec<(String, Value)>,
    pub defaults: Vec<(String, Value)>,
    /// The file that was read.
    path: &'a Path,
}

impl Values<'_> {
    /// What stands under a dotted key; every setting has a default.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.list.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// Where a setting was set, in the user's words.
    pub fn origin(&self, key: &str) -> String {
        self.get(key).map_or_else(|| FILE.into(), |value| origin(value, key, self.path))
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
    use std::time::Duration;

    use super::*;
    use crate::{
        collect::{Bots, Disclosure},
        model::Origin,
        settings::{AllowedOrigins, KeepIp, read::SECRETS},
        store::Durability,
    };

    fn load(toml: &str) -> Result<Settings, SettingsError> {
        let set = Config::builder().add_source(File::from_str(toml, FileFormat::Toml)).build().unwrap();
        Settings::from_config(set, Path::new("some.toml"))
    }

    #[test]
    fn the_file_that_is_shipped_holds_the_defaults() {
        let settings = load("").unwrap();
        assert_eq!(settings.server.listen, ["127.0.0.1:8686".parse().unwrap()]);
        assert_eq!((settings.server.tls, settings.server.redirect_http), (None, None));
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
            ("[server]\nlisten = []", "server.listen"),
            ("[server]\nlisten = \"unix:/\"", "server.listen"),
            ("[server]\nlisten = [\"127.0.0.1:1\", \"127.0.0.1:1\"]", "server.listen"),
            ("[server.tls]\ncert = \"cert.pem\"", "server.tls.key"),
            ("[server.tls]\nkey = \"key.pem\"", "server.tls.cert"),
            ("[server.tls]\nchain = \"x\"", "server.tls.chain"),
            ("[server]\ntls = \"cert.pem\"", "server.tls"),
            ("[server]\nlisten = \"unix:/x\"\ntls = { cert = \"cert.pem\", key = \"key.pem\" }", "server.tls.cert"),
            ("[server]\nredirect_http = \"0.0.0.0:80\"", "server.redirect_http"),
            (
                "[server]\nredirect_http = \"80\"\ntls = { cert = \"cert.pem\", key = \"key.pem\" }",
                "server.redirect_http",
            ),
            ("[server]\nmax_body_bytes = \"many\"", "server.max_body_bytes"),
            ("[server]\nmax_body_bytes = -1", "server.max_body_bytes"),
            ("[server]\ntrusted_proxies = [\"x\"]", "server.trusted_proxies"),
            ("[server]\ncors_origins = [\"shop.example\"]", "server.cors_origins"),
            ("[server]\nadmin_origins = [\"https://*.shop.example\"]", "server.admin_origins"),
            ("[lookup]\nname_servers = [\"dns.example\"]", "lookup.name_servers"),
            ("[lookup]\nname_servers = [\"10.0.0.2:0\"]", "lookup.name_servers"),
            ("[server]\nport = 1", "server.port"),
            ("[storage]\ndurability = \"maybe\"", "storage.durability"),
            ("[storage]\nerase_within = \"soon\"", "storage.erase_within"),
            ("[storage]\nerase_within = \"10ms\"", "storage.erase_within"),
            ("[storage.path]\na = 1", "storage.path.a"),
            ("[track]\ndebugger = \"perhaps\"", "track.debugger"),
            ("surprise = 1", "surprise"),
        ] {
            let error = load(toml).unwrap_err().to_string();
            assert!(error.contains(key) && error.contains("some.toml"), "{toml}: {error}");
        }
    }

    #[test]
    fn what_people_see_of_the_settings_holds_no_secret() {
        let settings = load(
            "[server]\nmax_connections = \"7\"\ncors_origins = \"https://a.example,https://b.example\"\n\
             [track]\ninternal_events = \"true\"\n[admin]\ntoken = \"s3cret\"\n[metrics]\ntoken = \"s3cret\"",
        );
        let shown = settings.unwrap().shown;
        assert_eq!(
            (&shown["server"]["max_connections"], &shown["track"]["internal_events"]),
            (&7.into(), &true.into())
        );
        assert_eq!(shown["server"]["cors_origins"], serde_json::json!(["https://a.example", "https://b.example"]));
        assert_eq!(shown["storage"]["path"], "data");
        assert!(!shown.to_string().contains("s3cret"), "{shown}");
        // One that is added is thought of.
        let defaults = Config::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml)).build().unwrap();
        let names_a_secret = |key: &str| ["token", "secret", "password", "key"].iter().any(|word| key.contains(word));
        for (key, _) in flatten(defaults.cache).iter().filter(|(key, _)| names_a_secret(key)) {
            let harmless = ["lookup.secrets_file", "identity.merge_keys", "identity.people_per_key", "server.tls.key"];
            let is_harmless = harmless.contains(&&**key);
            assert!(SECRETS.contains(&&**key) || is_harmless, "{key}");
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
    fn it_may_listen_at_several_addresses() {
        for listen in [
            "\"127.0.0.1:1, unix:/run/t.sock,[::1]:0,[::1]:0\"",
            "[\"127.0.0.1:1\", \"unix:/run/t.sock\", \"[::1]:0\", \"[::1]:0\"]",
        ] {
            let settings = load(&format!("[server]\nlisten = {listen}")).unwrap();
            let texts: Vec<String> = settings.server.listen.iter().map(ToString::to_string).collect();
            assert_eq!(texts, ["127.0.0.1:1", "unix:/run/t.sock", "[::1]:0", "[::1]:0"]);
        }
        let settings =
            load("[server]\nlisten = [\"127.0.0.1:1\"]\ntls = { cert = \"a.pem\", key = \"b.pem\" }").unwrap();
        let shown = &settings.shown["server"];
        assert_eq!(
            (&shown["listen"], &shown["tls"]),
            (&serde_json::json!(["127.0.0.1:1"]), &serde_json::json!({"cert": "a.pem", "key": "b.pem"}))
        );
    }

    #[test]
    fn a_merge_key_is_a_path_or_says_more_of_one() {
        let read = |toml: &str| load(&format!("[identity]\nmerge_keys = {toml}"));
        let shown = |settings: &Settings| settings.shown["identity"]["merge_keys"].clone();
        let (card, customer) = ("profile.data.loyalty.card.id", "profile.traits.customer");
        let places = |settings: &Settings| -> Vec<(String, bool)> {
            settings.identity.merge_keys.iter().map(|place| (place.path.to_string(), place.exclusive)).collect()
        };
        for toml in [
            format!("[\"{card}\", {{ path = \"{customer}\", exclusive = true }}]"),
            // As the environment has it.
            format!("'{card}, {{ path = \"{customer}\", exclusive = true }}'"),
            format!("'{card},{{exclusive=true,path=\"{customer}\"}},'"),
        ] {
            let settings = read(&toml).unwrap();
            assert_eq!(places(&settings), [(card.to_owned(), false), (customer.to_owned(), true)], "{toml}");
            assert_eq!(shown(&settings), serde_json::json!([card, {"path": customer, "exclusive": true}]), "{toml}");
        }
        assert_eq!(places(&read(&format!("'{{ path = \"{customer}\" }}'")).unwrap()), [(customer.to_owned(), false)]);
        assert!(read("\"\"").unwrap().identity.merge_keys.is_empty());
        for wrong in [
            "[\"event.type\"]",
            "[1]",
            "[[]]",
            "[{ exclusive = true }]",
            "[{ path = \"event.type\" }]",
            "[{ path = \"profile.traits.a\", exclusive = \"yes\" }]",
            "[{ path = \"profile.traits.a\", unique = true }]",
            "'{ path = \"profile.traits.a\"'",
            "'{ path }'",
            "'{} {}'",
            "'} profile.traits.a'",
        ] {
            let error = read(wrong).unwrap_err().to_string();
            assert!(error.contains("identity.merge_keys") && error.contains("some.toml"), "{wrong}: {error}");
        }
        for (key, wrong) in [
            ("people_per_key", "-1"),
            ("people_per_key", "\"many\""),
            ("keep_former", "\"perhaps\""),
            ("placeholders", "[[1]]"),
        ] {
            let error = load(&format!("[identity]\n{key} = {wrong}")).unwrap_err().to_string();
            assert!(error.contains(&format!("identity.{key}")), "{error}");
        }
        let quoted = load("[identity]\nplaceholders = '\"a, b\", \"c\"'").unwrap();
        assert_eq!(quoted.identity.placeholders, ["a, b", "c"], "as the environment may have it");
        let settings = load("[identity]\nplaceholders = \"walk-in, nobody's\"\npeople_per_key = 0").unwrap();
        assert_eq!(
            (&*settings.identity.placeholders, settings.identity.people_per_key),
            (&["walk-in".into(), "nobody's".into()][..], 0)
        );
        assert_eq!(load("").unwrap().identity, crate::process::IdentitySettings::default());
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
