//! The command line of a benchmark.

use std::{process::ExitCode, vec};

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What was said behind the benchmark's name.
pub struct Arguments {
    usage: &'static str,
    said: vec::IntoIter<String>,
}

/// Measures if `cargo bench` asks for it, and prints `usage` for `--help`.
pub fn run(usage: &'static str, measure: impl FnOnce(Arguments) -> Result<()>) -> ExitCode {
    let mut said: Vec<String> = std::env::args().skip(1).collect();
    if said.iter().any(|argument| argument == "--help") {
        println!("{usage}");
        return ExitCode::SUCCESS;
    }
    // Cargo's own way of telling a benchmark from a test: `cargo test --all-targets` runs it too, with a daemon that is
    // not optimised.
    if !said.iter().any(|argument| argument == "--bench") {
        println!("figures are measured by `cargo bench` only");
        return ExitCode::SUCCESS;
    }
    said.retain(|argument| argument != "--bench");
    exit_code(measure(Arguments { usage, said: said.into_iter() }))
}

/// How a process ends.
pub fn exit_code(outcome: Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Arguments {
    /// The next option and its value.
    pub fn next(&mut self) -> Result<Option<(String, String)>> {
        let Some(name) = self.said.next() else { return Ok(None) };
        let value = self.said.next().ok_or_else(|| format!("{name} needs a value\n{}", self.usage))?;
        Ok(Some((name, value)))
    }
}
