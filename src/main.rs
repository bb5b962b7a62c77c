//! The command line: parse it, run one command.

use std::process::ExitCode;

use clap::Parser;
use tracardi::commands::{self, CommandLine, Printable};

/// The system's allocator halves what the embedded store can take.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How the allocator is set up: few arenas, and memory that is no longer used goes back to the system within a second,
/// so that a small server keeps its memory for its page cache. A thread of its own sees to that, for without one only
/// those who go on allocating do, and an idle daemon would keep what its last work took.
// SAFETY: the allocator reads this symbol once, as a C string; it ends with a zero byte and is never written.
#[expect(unsafe_code, reason = "the symbol's name is the allocator's")]
#[unsafe(export_name = "_rjem_malloc_conf")]
#[cfg(target_env = "gnu")]
static ALLOCATOR_SETTINGS: &[u8; 95] =
    b"narenas:2,dirty_decay_ms:1000,muzzy_decay_ms:0,background_thread:true,max_background_threads:1\0";
/// As above, where the allocator has no thread of its own and would not start with one.
// SAFETY: as above.
#[expect(unsafe_code, reason = "the symbol's name is the allocator's")]
#[unsafe(export_name = "_rjem_malloc_conf")]
#[cfg(not(target_env = "gnu"))]
static ALLOCATOR_SETTINGS: &[u8; 47] = b"narenas:2,dirty_decay_ms:1000,muzzy_decay_ms:0\0";

fn main() -> ExitCode {
    // What is kept here is its owner's alone: the storage folder holds what people are known by, and secrets.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    match commands::run(CommandLine::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tracardi: {}", Printable(&error.to_string()));
            ExitCode::FAILURE
        }
    }
}
