//! `tracardi apply FILE` and `tracardi dump`: everything that is set up, kept as a file.
//!
//! While the daemon runs they go through its endpoint `/configuration`, else to the store.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use serde_json::{Value, json};

use super::{CommandError, progress::Progress, secret_file};
use crate::{
    admin::{Admin, NotSaved},
    clock::Clock,
    model::{Fault, Json, Reader},
    process::{Rules, RulesInForce, read_toml},
    settings::Settings,
    store::{Folder, Store, StoreError},
};

pub const EXAMPLES: &str = "Examples:
  tracardi apply config.toml            set up what the file says; what it does not name stays
  tracardi apply config.toml --dry-run  tell what that would change

A file has tables [[source]], [[event_type]], [[segment]], [[workflow]], [[consent]] and [[destination]] in TOML, or
lists of these names in JSON.";

#[derive(Debug, Args)]
pub struct ApplyCommand {
    /// A TOML file, or a JSON file if its name ends in .json
    file: PathBuf,
    /// Change nothing, print what would change
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
pub struct DumpCommand {
    /// Print JSON instead of TOML
    #[arg(long)]
    json: bool,
}

pub fn apply(settings: &Settings, command: &ApplyCommand) -> Result<(), CommandError> {
    let configuration = read(&command.file)?;
    let changed = on_store_or_daemon(
        settings,
        async |admin| {
            let invalid = |fault| CommandError::Configuration { path: command.file.display().to_string(), fault };
            let configuration = admin.read_configuration(&configuration).map_err(invalid)?;
            let changed = if command.dry_run {
                admin.difference(&configuration).await.map_err(invalid)?
            } else {
                admin.apply(configuration).await.map_err(|why| match why {
                    NotSaved::Invalid(fault) => invalid(fault),
                    NotSaved::Refused(refused) => refused.into(),
                })?
            };
            Ok(json!(changed))
        },
        async |daemon| {
            let path = if command.dry_run { "/configuration?dry_run=true" } else { "/configuration" };
            let mut answer = daemon.call(reqwest::Method::POST, path, Some(configuration.as_str())).await?;
            Ok(answer["changed"].take())
        },
    )?;
    let changed = changed.as_array().cloned().unwrap_or_default();
    for change in &changed {
        print_change(change);
    }
    let verb = if command.dry_run { "would change" } else { "changed" };
    println!("{} {verb}", changed.len());
    Ok(())
}

pub fn dump(settings: &Settings, command: &DumpCommand) -> Result<(), CommandError> {
    let all = on_store_or_daemon(
        settings,
        async |admin| Ok(json!(admin.dump())),
        async |daemon| daemon.call(reqwest::Method::GET, "/configuration", None).await,
    )?;
    if command.json {
        println!("{all:#}");
    } else {
        print!("{}", to_toml(all).map_err(|fault| CommandError::Configuration { path: "dump".into(), fault })?);
    }
    Ok(())
}

/// A configuration file's JSON.
fn read(path: &Path) -> Result<Json, CommandError> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|source| CommandError::File { path: name.clone(), source })?;
    let read = if path.extension().is_some_and(|extension| extension == "json") {
        Reader::new(text.as_bytes(), 0).and_then(|mut reader| {
            let value = reader.value()?;
            reader.end().map(|()| value)
        })
    } else {
        read_toml(&text)
    };
    read.map_err(|fault| CommandError::Configuration { path: name, fault })
}

fn print_change(change: &Value) {
    let mark = if change["before"].is_null() { "+" } else { "~" };
    println!("{mark} {} {}", change["kind"].as_str().unwrap_or_default(), change["id"].as_str().unwrap_or_default());
    if !change["before"].is_null() {
        println!("  - {}", change["before"]);
        println!("  + {}", change["after"]);
    }
}

/// Everything that is set up as TOML.
///
/// # Errors
/// Something in it is none: the fault names it.
fn to_toml(mut tables: Value) -> Result<String, Fault> {
    // What a source does not have is null.
    let sources = tables.get_mut("source").and_then(Value::as_array_mut);
    for source in sources.into_iter().flatten().filter_map(Value::as_object_mut) {
        source.retain(|_, value| !value.is_null());
    }
    for (kind, list) in tables.as_object().into_iter().flatten() {
        for item in list.as_array().into_iter().flatten() {
            let id = item["id"].as_str().unwrap_or_default();
            check_toml(item).map_err(|fault| fault.at(id).at(kind))?;
        }
    }
    toml::to_string_pretty(&tables).map_err(|error| Fault::new("value_error", error.to_string()))
}

/// TOML has no null, and no whole numbers beyond 64 bits with a sign.
fn check_toml(value: &Value) -> Result<(), Fault> {
    match value {
        Value::Null => Err(Fault::new("value_error", "TOML has no null: dump --json")),
        Value::Number(number) if number.is_u64() && !number.is_i64() => {
            Err(Fault::new("value_error", "TOML has no number as large as this: dump --json"))
        }
        Value::Array(list) => {
            let mut items = list.iter().enumerate();
            items.try_for_each(|(index, item)| check_toml(item).map_err(|fault| fault.at_index(index)))
        }
        Value::Object(object) => {
            let mut entries = object.iter();
            entries.try_for_each(|(key, value)| check_toml(value).map_err(|fault| fault.at(key)))
        }
        _ => Ok(()),
    }
}

/// Works on the store if nobody has it, else through the daemon that has.
fn on_store_or_daemon<T>(
    settings: &Settings,
    on_store: impl AsyncFnOnce(&Admin) -> Result<T, CommandError>,
    on_daemon: impl AsyncFnOnce(&Daemon) -> Result<T, CommandError>,
) -> Result<T, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CommandError::Runtime)?;
    let folder = match Folder::take(&settings.storage.path) {
        Err(StoreError::InUse { .. }) => return runtime.block_on(on_daemon(&Daemon::new(settings)?)),
        taken => taken?,
    };
    let clock = Arc::new(Clock::default());
    let progress = Progress::new();
    let report = |step, done, all| progress.report(step, done, all);
    let store = Arc::new(Store::open(&settings.storage, folder, clock.clone(), &report)?);
    drop(progress);
    let rules = Arc::new(RulesInForce::new(Rules::compile(&store.definitions())?));
    let done = runtime.block_on(on_store(&Admin::new(store.clone(), clock, rules)));
    store.close();
    done
}

/// The daemon that runs with the same settings.
struct Daemon {
    url: String,
    token: String,
}

impl Daemon {
    fn new(settings: &Settings) -> Result<Self, CommandError> {
        let token = match &settings.admin_token {
            Some(token) => token.clone(),
            None => secret_file::kept(&settings.storage.path, secret_file::ADMIN_TOKEN)?,
        };
        Ok(Self { url: format!("http://{}", super::serve::reachable(settings.server.listen)), token })
    }

    async fn call(&self, method: reqwest::Method, path: &str, body: Option<&str>) -> Result<Value, CommandError> {
        let failed = |what: String| CommandError::Daemon { url: self.url.clone(), what };
        let client = crate::process::plain_client().map_err(failed)?;
        let mut request = client.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.header(reqwest::header::CONTENT_TYPE, "application/json").body(body.to_owned());
        }
        let response = request.send().await.map_err(|error| failed(error.to_string()))?;
        let status = response.status();
        let text = response.text().await.map_err(|error| failed(error.to_string()))?;
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        if status.is_success() {
            return Ok(answer);
        }
        Err(failed(match &answer["detail"][0] {
            Value::Null => format!("{status}: {}", answer["detail"].as_str().unwrap_or_default()),
            fault => {
                let steps = fault["loc"].as_array().into_iter().flatten().skip(1);
                let steps = steps.map(|step| step.as_str().map_or_else(|| step.to_string(), str::to_owned));
                format!("{}: {}", steps.collect::<Vec<_>>().join(": "), fault["msg"].as_str().unwrap_or_default())
            }
        }))
    }
}
