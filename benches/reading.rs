//! What reading back costs: queries and counts over a store of realistic visits, made here in the same way each time.
//!
//! `cargo bench --bench reading -- --events 5000000` makes the store, starts the release daemon on it and prints median
//! and 99th percentile of each query and each page of the console, the first one after the start apart from the later ones. `--store FOLDER` keeps the
//! store, or measures one that is there. `TRACARDI_BIN` names another daemon than the one just built. Then all events are
//! written to files, and a DuckDB that is there (the tests' one) is asked the same of the Parquet file.

mod command;
mod reading {
    pub mod console;
    pub mod exports;
    pub mod fill;
    pub mod queries;
}
#[allow(dead_code, reason = "the benchmark of throughput uses the rest of it")]
#[path = "throughput/server.rs"]
mod server;

use std::{path::PathBuf, process::ExitCode};

use command::{Arguments, Result};
use reading::{fill, queries};

const USAGE: &str = "\
usage: cargo bench --bench reading -- [OPTION VALUE]...
  --events N       events of the store (default: 500000)
  --store FOLDER   where the store is kept, or is already (default: made anew, and removed)
  --rounds N       times that each query is asked (default: 100)";

fn main() -> ExitCode {
    command::run(USAGE, run)
}

fn run(mut arguments: Arguments) -> Result<()> {
    let (mut events, mut rounds, mut store) = (500_000, 100, None);
    while let Some((name, value)) = arguments.next()? {
        match name.as_str() {
            "--events" => events = value.parse()?,
            "--rounds" => rounds = value.parse()?,
            "--store" => store = Some(PathBuf::from(value)),
            _ => return Err(format!("unknown option {name}\n{USAGE}").into()),
        }
    }
    let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(&root)?;
    let made = tempfile::tempdir_in(&root)?;
    let store = store.unwrap_or_else(|| made.path().join("store"));
    if !store.exists() {
        fill::fill(&store, events)?;
    }
    let daemon = std::env::var_os("TRACARDI_BIN").unwrap_or(env!("CARGO_BIN_EXE_tracardi").into());
    queries::measure(&PathBuf::from(daemon), &store, rounds)
}
