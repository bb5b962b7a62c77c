//! `tracardi apply FILE`: what is set up, kept as a file.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;

use super::{
    CommandError, Printable,
    configured::{WithoutStore, on_store_or_daemon},
};
use crate::{
    admin::{Author, NotSaved},
    model::{Json, Reader, Value},
    process::read_toml,
    settings::Settings,
};

pub const EXAMPLES: &str = "Examples:
  tracardi apply config.toml            set up what the file says; what it does not name stays
  tracardi apply config.toml --dry-run  tell what that would change

A file has tables [[source]], [[event_type]], [[segment]], [[workflow]], [[consent]], [[destination]] and [[redirect]]
in TOML, or lists of these names in JSON.";

#[derive(Debug, Args)]
pub struct ApplyCommand {
    /// A TOML file, or a JSON file if its name ends in .json
    file: PathBuf,
    /// Change nothing, print what would change
    #[arg(long)]
    dry_run: bool,
}

pub fn run(settings: &Settings, command: &ApplyCommand) -> Result<(), CommandError> {
    let configuration = read(&command.file)?;
    let changed: Vec<Value> = on_store_or_daemon(
        settings,
        if command.dry_run { WithoutStore::Refuse } else { WithoutStore::Make },
        async |store| {
            let admin = &store.admin;
            let invalid = |fault| CommandError::Configuration { path: command.file.display().to_string(), fault };
            let configuration = admin.read_configuration(&configuration).map_err(invalid)?;
            let changed = if command.dry_run {
                admin.difference(&configuration).await.map_err(invalid)?
            } else {
                admin.apply(configuration, &Author::named("tracardi apply")).await.map_err(|why| match why {
                    NotSaved::Invalid(fault) => invalid(fault),
                    NotSaved::Refused(refused) => refused.into(),
                })?
            };
            Ok(changed.iter().map(Value::shown).collect())
        },
        async |daemon| {
            let path = if command.dry_run { "/configuration?dry_run=true" } else { "/configuration" };
            let answer = daemon.call(reqwest::Method::POST, path, Some(configuration.as_str())).await?;
            Ok(match Value::from(&answer).get(&["changed".into()]) {
                Some(Value::List(changed)) => changed.clone(),
                _ => Vec::new(),
            })
        },
    )?;
    for change in &changed {
        print_change(change);
    }
    let verb = if command.dry_run { "would change" } else { "changed" };
    println!("{} {verb}", changed.len());
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
    let part = |name: &str| change.get(&[name.into()]).filter(|value| **value != Value::Null);
    let text = |name| part(name).map(Value::to_text).unwrap_or_default();
    let mark = if part("before").is_some() { "~" } else { "+" };
    println!("{mark} {} {}", Printable(&text("kind")), Printable(&text("id")));
    if part("before").is_some() {
        println!("  - {}", Printable(&text("before")));
        println!("  + {}", Printable(&text("after")));
    }
}
