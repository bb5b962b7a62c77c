//! `tracardi source add|list|remove|secret`: sources of a stopped store.

use std::sync::Arc;

use clap::Subcommand;
use serde_json::json;

use super::{CommandError, Printable, terminal::Progress};
use crate::{
    admin::{Admin, Author},
    clock::Clock,
    model::Id,
    settings::Settings,
    store::{Folder, Store, StoreError},
};

#[derive(Debug, Subcommand)]
pub enum SourceCommand {
    /// Register a source and print its id
    Add {
        name: String,
        /// The source's id [default: made by the server]
        #[arg(long)]
        id: Option<String>,
        /// What it may send to: rest (/track) or webhook (/collect); both if none is named
        #[arg(long = "type", value_name = "TYPE")]
        types: Vec<String>,
        /// A web origin that may send; any if none is named
        #[arg(long = "origin", value_name = "ORIGIN")]
        origins: Vec<String>,
    },
    /// List the sources
    List,
    /// Remove a source
    Remove { id: String },
    /// Make a secret for a source and print it, this once; it is valid beside the one that was made before it
    Secret { id: String },
}

pub fn run(settings: &Settings, command: SourceCommand) -> Result<(), CommandError> {
    let adds = matches!(command, SourceCommand::Add { .. });
    let take = if adds { Folder::take } else { Folder::take_existing };
    let folder = take(&settings.storage.path).map_err(|error| match error {
        StoreError::InUse { .. } => CommandError::Running(error),
        other => other.into(),
    })?;
    let clock = Arc::new(Clock::default());
    let progress = Progress::new();
    let report = |step, done, all| progress.report(step, done, all);
    let store = Arc::new(Store::open(&settings.storage, folder, clock.clone(), &report)?);
    drop(progress);
    let admin = Admin::new(store.clone(), clock, Default::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CommandError::Runtime)?;
    let done = runtime.block_on(carry_out(&admin, command));
    store.close();
    done
}

async fn carry_out(admin: &Admin, command: SourceCommand) -> Result<(), CommandError> {
    let author = Author::named("tracardi source");
    match command {
        SourceCommand::Add { name, id, types, origins } => {
            let types = if types.is_empty() { json!(["rest", "webhook"]) } else { json!(types) };
            let config = if origins.is_empty() { json!({}) } else { json!({ "origins": origins }) };
            let body = json!({ "id": id, "name": name, "type": types, "config": config }).to_string();
            let source = admin.read_source(body.as_bytes()).map_err(CommandError::Source)?;
            println!("{}", Printable(&admin.save_source(source, &author).await?.text()));
        }
        SourceCommand::List => {
            for found in admin.sources(None) {
                let source = &found.source;
                let types: Vec<&str> = source.types.iter().map(|kind| kind.word()).collect();
                let state = if source.enabled { "enabled" } else { "disabled" };
                let (id, name) = (Printable(&source.id.text()), Printable(&source.name));
                println!("{id}\t{name}\t{}\t{state}", types.join(","));
            }
        }
        SourceCommand::Remove { id } => {
            if !admin.delete_source(&named(&id)?, &author).await? {
                return Err(CommandError::NoSource(id));
            }
        }
        SourceCommand::Secret { id } => {
            let made = admin.make_source_secret(&named(&id)?, &author).await?;
            println!("{}", made.ok_or(CommandError::NoSource(id))?.as_str());
        }
    }
    Ok(())
}

/// The id of a source, as people write it.
fn named(id: &str) -> Result<Id, CommandError> {
    Id::parse(id).map_err(CommandError::Source)?.ok_or_else(|| CommandError::NoSource(id.into()))
}
