//! Progress of work that takes longer than a second, for whoever sits at a terminal.

use std::{
    io::{IsTerminal, Write},
    sync::Mutex,
    time::{Duration, Instant},
};

/// Work is worth a word once it takes this long.
const PATIENCE: Duration = Duration::from_secs(1);
const EVERY: Duration = Duration::from_millis(200);

pub struct Progress {
    begun: Instant,
    /// When something was written last.
    shown: Mutex<Option<Instant>>,
    terminal: bool,
}

impl Progress {
    pub fn new() -> Self {
        Self { begun: Instant::now(), shown: Mutex::new(None), terminal: std::io::stderr().is_terminal() }
    }

    /// How far a step is: `done` of `all`; 0 when that is not known.
    pub fn report(&self, step: &'static str, done: u64, all: u64) {
        if !self.terminal || self.begun.elapsed() < PATIENCE {
            return;
        }
        let Ok(mut shown) = self.shown.lock() else { return };
        if shown.is_none_or(|last| last.elapsed() >= EVERY) {
            *shown = Some(Instant::now());
            let of = if all > 0 { format!(" of {all}") } else { String::new() };
            _ = write!(std::io::stderr(), "\r\x1b[K{step}: {done}{of}");
        }
    }
}

/// Leaves the line to whatever is written next.
impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.lock().is_ok_and(|shown| shown.is_some()) {
            _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
