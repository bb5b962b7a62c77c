//! The command line: parse it, run one command.

use std::process::ExitCode;

use clap::Parser;
use tracardi::commands::{self, CommandLine};

/// The system's allocator halves what the embedded store can take.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match commands::run(CommandLine::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tracardi: {error}");
            ExitCode::FAILURE
        }
    }
}
