//! What is written for whoever sits at a terminal: progress, the log, and text that must not speak to the terminal.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    fmt::{self, Display, Write as _},
    io::{IsTerminal, Write},
    sync::Mutex,
    time::{Duration, Instant},
};

use tracing_subscriber::{
    field::MakeExt,
    filter::{LevelFilter, Targets},
    fmt::format::debug_fn,
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use crate::model::is_escaped;

/// Work is worth a word once it takes this long.
const PATIENCE: Duration = Duration::from_secs(1);
const EVERY: Duration = Duration::from_millis(200);

/// A text as it may be printed, on one line: control characters (escape sequences among them) and those that change the
/// direction or the lines of a text stand as JSON escapes them (`\n`, `\u001b`, `\u202e`). Within a string of JSON, it is
/// still the same text.
pub struct Printable<'a>(pub &'a str);

impl Display for Printable<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaping(out).write_str(self.0)
    }
}

/// Escapes what is written through it, as [`Printable`] says.
struct Escaping<W>(W);

impl<W: fmt::Write> fmt::Write for Escaping<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(place) = rest.find(is_escaped) {
            self.0.write_str(&rest[..place])?;
            let mut characters = rest[place..].chars();
            match characters.next() {
                Some('\n') => self.0.write_str("\\n")?,
                Some('\r') => self.0.write_str("\\r")?,
                Some('\t') => self.0.write_str("\\t")?,
                other => write!(self.0, "\\u{:04x}", other.map_or(0, u32::from))?,
            }
            rest = characters.as_str();
        }
        self.0.write_str(rest)
    }
}

/// Writes the log to standard error, an event a line: what stands in its fields may come from anybody.
pub fn init_log(level: tracing::Level) {
    let fields = debug_fn(|writer, field, value| match field.name() {
        "message" => write!(Escaping(writer), "{value:?}"),
        name => write!(Escaping(writer), "{name}={value:?}"),
    });
    tracing_subscriber::fmt()
        .fmt_fields(fields.delimited(" "))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_max_level(level)
        .finish()
        // What clients do wrong on a connection of HTTP/2 is worth no line each.
        .with(Targets::new().with_default(level).with_target("h2", LevelFilter::ERROR))
        .init();
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        tracing::error!(thread = thread.name().unwrap_or("unnamed"), "{panic}");
        let backtrace = Backtrace::capture();
        if backtrace.status() == BacktraceStatus::Captured {
            _ = writeln!(std::io::stderr(), "{backtrace}"); // names of functions, on many lines
        }
    }));
}

/// Work whose steps are reported once it takes long.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_speaks_to_the_terminal() {
        let nasty = "a\u{1b}[2Jb\r\n\t\0\u{7f}\u{9b}31m\u{202e}\u{2066}\u{200f}\u{61c}\u{2028}c";
        let shown = Printable(nasty).to_string();
        assert!(!shown.contains(is_escaped), "{shown}");
        assert_eq!(serde_json::from_str::<String>(&format!("\"{shown}\"")).unwrap(), nasty);
        for fine in ["", "Zo\u{eb} \u{5e9}\u{5dc}\u{5d5}\u{5dd} \u{1f600}", "{\"a\": \"b\\\\c\"}"] {
            assert_eq!(Printable(fine).to_string(), fine);
        }
    }
}
