//! The command line: one file per command, each with a function `run` that returns when the command is done.

mod apply;
mod check;
mod configured;
mod daemon;
mod dump;
mod export;
mod import;
mod new_identity_key;
mod rebuild;
mod secret_file;
mod serve;
mod source;
mod tail;
mod terminal;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::{
    http::ListenError,
    model::Fault,
    process::{Mistake, SecretsError},
    settings::{Settings, SettingsError},
    store::{Refused, StoreError},
};
pub use terminal::Printable;

/// Event tracking in one binary.
#[derive(Debug, Parser)]
#[command(name = "tracardi", version, about, after_help = EXAMPLES)]
pub struct CommandLine {
    /// The settings file [default: tracardi.toml in the working directory, if there is one]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

const EXAMPLES: &str = "Examples:
  tracardi                              run the daemon on the store in ./data
  tracardi --config /etc/tracardi.toml  run it with these settings
  tracardi source add shop              register a source while the daemon is stopped
  tracardi source secret shop           make a secret for its own servers
  tracardi apply config.toml --dry-run  tell what a configuration file would change
  tracardi dump > config.toml           print everything that is set up
  tracardi tail --type page-view        print events as they come
  tracardi export --what events --format parquet --to backup --by day
  tracardi import events.ndjson         take records that export, the reference or Segment wrote
  tracardi check                        read the whole store and report what is wrong
  tracardi rebuild                      make the views anew from the log
  TRACARDI__SERVER__LISTEN=0.0.0.0:80 tracardi serve";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon (the default)
    Serve,
    /// Register, list or remove event sources of a stopped store, or make secrets for them
    #[command(subcommand)]
    Source(source::SourceCommand),
    /// Set up what a configuration file says: sources, event types, segments, workflows
    #[command(after_help = apply::EXAMPLES)]
    Apply(apply::ApplyCommand),
    /// Print everything that is set up, in the form that apply takes
    Dump(dump::DumpCommand),
    /// Print events as a running daemon stores them
    #[command(after_help = tail::EXAMPLES)]
    Tail(tail::TailCommand),
    /// Write events, sessions or profiles to files
    #[command(after_help = export::EXAMPLES)]
    Export(export::ExportCommand),
    /// Take records from files
    #[command(after_help = import::EXAMPLES)]
    Import(import::ImportCommand),
    /// Read the whole store and report what was found; exit status 1 if something is wrong
    Check,
    /// Make the views anew from the log
    Rebuild,
    /// Make another identity.key for a store whose own is lost: people are known anew
    NewIdentityKey,
}

/// Why a command failed. One line for people.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error("{0}")]
    Settings(#[from] SettingsError),
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Listen(#[from] ListenError),
    #[error("{path}: {source}")]
    File { path: String, source: std::io::Error },
    #[error("{0}")]
    StoreFailed(String),
    #[error("{path}: {what}")]
    Secret { path: String, what: String },
    #[error("the store took nothing: {0}")]
    Refused(#[from] Refused),
    #[error("{0}")]
    Source(Fault),
    #[error("{path}: {fault}")]
    Configuration { path: String, fault: Fault },
    #[error("the daemon at {url}: {what}")]
    Daemon { url: String, what: String },
    /// It may be there again soon.
    #[error("{0}")]
    DaemonAway(String),
    #[error("{path}: no daemon runs on this store")]
    NoDaemon { path: String },
    #[error("{0}")]
    Client(String),
    #[error("standard output: {0}")]
    Output(std::io::Error),
    #[error("there is no source {0}")]
    NoSource(String),
    #[error(
        "{0}; while the daemon runs, use its endpoints: POST /event-source, GET /event-sources, DELETE /event-source/ID, \
         POST /event-source/ID/secret"
    )]
    Running(StoreError),
    #[error("{option}: {fault}")]
    Option { option: String, fault: Fault },
    #[error("{0} lines were not taken")]
    NotImported(u64),
    #[error("something is wrong with the store")]
    StoreIsWrong,
    #[error("{0}")]
    Secrets(#[from] SecretsError),
    #[error("{0}")]
    Definition(#[from] Box<Mistake>),
    #[error("the system gave no thread: {0}")]
    Runtime(std::io::Error),
}

/// Runs the command that the command line names.
pub fn run(line: CommandLine) -> Result<(), CommandError> {
    let settings = Settings::load(line.config.as_deref())?;
    terminal::init_log(settings.log_level);
    for notice in &settings.notices {
        tracing::warn!("{notice}");
    }
    match line.command.unwrap_or(Command::Serve) {
        Command::Serve => serve::run(settings),
        Command::Source(command) => source::run(&settings, command),
        Command::Apply(command) => apply::run(&settings, &command),
        Command::Dump(command) => dump::run(&settings, &command),
        Command::Tail(command) => tail::run(&settings, &command),
        Command::Export(command) => export::run(&settings, &command),
        Command::Import(command) => import::run(&settings, &command),
        Command::Check => check::run(&settings),
        Command::Rebuild => rebuild::run(&settings),
        Command::NewIdentityKey => new_identity_key::run(&settings),
    }
}
