//! `tracardi tail`: events as a running daemon stores them.

use std::{
    io::{self, Write},
    time::Duration,
};

use clap::Args;

use super::{CommandError, Printable, daemon::Daemon};
use crate::{
    model::{Reader, Value},
    settings::Settings,
    store::Folder,
};

pub const EXAMPLES: &str = "Examples:
  tracardi tail                                      every event from now on
  tracardi tail --type 'checkout-*' --from -1h       those of the last hour first
  tracardi tail --where 'event.properties.price > 100' --json > events.ndjson

Ends with Ctrl-C. When the daemon is away, it waits for it and goes on behind the last event.";

/// The parts of an event that a line shows.
const SHOWN: &str = "metadata.time.insert,type,source.id,session.id,profile.id,properties";
/// How many characters of the properties a line shows.
const PROPERTIES_MAX: usize = 200;
/// How long a daemon that is away is left alone.
const PAUSE: Duration = Duration::from_secs(1);
/// The daemon says every 15 s that it is there: one that is silent for so long is not.
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// The longest line of the stream that is read.
const LINE_BYTES_MAX: usize = 256 * 1024 * 1024;

#[derive(Debug, Args)]
pub struct TailCommand {
    /// Only events of this type; may be given more than once, and `checkout-*` is all that begin so
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// Only events from this source
    #[arg(long, value_name = "ID")]
    source: Option<String>,
    /// Only events of this session
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Only events of the person with this id
    #[arg(long, value_name = "ID")]
    profile: Option<String>,
    /// Only events with this tag
    #[arg(long)]
    tag: Option<String>,
    /// Only events for which this condition over `event` holds (CEL)
    #[arg(long = "where", value_name = "CONDITION")]
    condition: Option<String>,
    /// From this time on: a time, or how long ago, like -15m [default: now]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<String>,
    /// Print each event whole, as a line of JSON
    #[arg(long)]
    json: bool,
}

pub fn run(settings: &Settings, command: &TailCommand) -> Result<(), CommandError> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_all().build().map_err(CommandError::Runtime)?;
    // On a thread of its own: also while nobody takes what is printed.
    runtime.spawn(async {
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(0);
        }
    });
    let ended = runtime.block_on(tail(settings, command));
    match ended {
        // Whoever read it has seen enough.
        CommandError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        error => Err(error),
    }
}

/// Prints what comes, again and again; why it ends.
async fn tail(settings: &Settings, command: &TailCommand) -> CommandError {
    let path = command.path();
    let (mut last, mut was_there) = (None, false);
    loop {
        let ended = match follow(settings, command, &path, &mut last, &mut was_there).await {
            Ok(()) => continue, // it was behind
            Err(error) => error,
        };
        match ended {
            CommandError::DaemonAway(_) | CommandError::NoDaemon { .. } if was_there => {
                tracing::debug!(%ended, "the daemon is away");
                tokio::time::sleep(PAUSE).await;
            }
            ended => return ended,
        }
    }
}

/// Prints what comes behind `last` until the daemon says that this was too slow.
async fn follow(
    settings: &Settings,
    command: &TailCommand,
    path: &str,
    last: &mut Option<String>,
    was_there: &mut bool,
) -> Result<(), CommandError> {
    let storage = &settings.storage.path;
    let none = || CommandError::NoDaemon { path: storage.display().to_string() };
    // It may listen elsewhere each time that it starts.
    let address = Folder::address_of(storage)?.ok_or_else(none)?;
    let mut response = Daemon::new(settings, &address)?.follow(path, last.as_deref()).await?;
    *was_there = true;
    let away = |what: String| CommandError::DaemonAway(what);
    let mut blocks = Blocks::default();
    loop {
        let chunk = tokio::time::timeout(SILENCE_MAX, response.chunk()).await;
        let chunk = chunk.map_err(|_| away("it is silent".into()))?.map_err(|error| away(error.to_string()))?;
        let chunk = chunk.ok_or_else(|| away("it has ended".into()))?;
        for block in blocks.add(&chunk).map_err(away)? {
            match block.event.as_deref() {
                Some("event") => print(command, &block.data)?,
                Some("behind") => {
                    tracing::warn!("events came faster than they were taken; the stream goes on where it was left");
                    *last = block.id.or(last.take());
                    return Ok(());
                }
                _ => {}
            }
            // Once it is printed: who was ended before that is shown it again.
            *last = block.id.or(last.take());
        }
    }
}

impl TailCommand {
    /// The path of the stream that is wanted.
    fn path(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        self.types.iter().for_each(|kind| _ = query.append_pair("type", kind));
        let parts = [
            ("source", &self.source),
            ("session", &self.session),
            ("profile", &self.profile),
            ("tag", &self.tag),
            ("where", &self.condition),
            ("from", &self.from),
        ];
        for (name, value) in parts {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        if !self.json {
            query.append_pair("fields", SHOWN);
        }
        format!("/events/live?{}", query.finish())
    }
}

fn print(command: &TailCommand, record: &str) -> Result<(), CommandError> {
    let line = if command.json { format!("{}\n", Printable(record)) } else { line(record) };
    // A terminal, or whoever reads a pipe, has the event at once.
    let mut out = io::stdout().lock();
    out.write_all(line.as_bytes()).and_then(|()| out.flush()).map_err(CommandError::Output)
}

/// An event on a line: when, what, from where, whose, and the beginning of its properties.
fn line(record: &str) -> String {
    let read = Reader::new(record.as_bytes(), 0).and_then(|mut reader| reader.value());
    let record = read.map_or(Value::Null, |record| Value::from(&record));
    let part = |steps: &[&str]| {
        let steps: Vec<_> = steps.iter().map(|step| (*step).into()).collect();
        record.get(&steps).filter(|value| **value != Value::Null).map_or_else(|| "-".to_owned(), Value::to_text)
    };
    let properties = part(&["properties"]);
    let properties = match properties.char_indices().nth(PROPERTIES_MAX) {
        Some((end, _)) => format!("{}...", &properties[..end]),
        None => properties,
    };
    let parts = [
        part(&["metadata", "time", "insert"]),
        part(&["type"]),
        part(&["source", "id"]),
        part(&["session", "id"]),
        part(&["profile", "id"]),
        properties,
    ];
    format!("{}\n", parts.map(|part| Printable(&part).to_string()).join("  "))
}

/// Reads server-sent events, as the daemon writes them, from pieces that may end anywhere.
#[derive(Default)]
struct Blocks {
    /// The line that is not whole yet.
    line: Vec<u8>,
    block: Block,
}

/// What stands between two empty lines.
#[derive(Debug, Default, PartialEq)]
struct Block {
    id: Option<String>,
    event: Option<String>,
    data: String,
}

impl Blocks {
    /// The blocks that end within `piece`.
    ///
    /// # Errors
    /// A line is longer than any that a daemon writes, or no text.
    fn add(&mut self, piece: &[u8]) -> Result<Vec<Block>, String> {
        let mut ended = Vec::new();
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if self.line.len() > LINE_BYTES_MAX {
                return Err("it sent a line that is too long".into());
            }
            if self.line.pop_if(|last| *last == b'\n').is_none() {
                continue;
            }
            let line = String::from_utf8(std::mem::take(&mut self.line)).map_err(|_| "it sent no text")?;
            match line.split_once(": ") {
                _ if line.is_empty() => ended.push(std::mem::take(&mut self.block)),
                Some(("id", id)) => self.block.id = Some(id.to_owned()),
                Some(("event", event)) => self.block.event = Some(event.to_owned()),
                Some(("data", data)) => self.block.data = data.to_owned(),
                _ => {} // a comment, or when to come again
            }
        }
        Ok(ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_read_wherever_pieces_end() {
        let text =
            "retry: 2000\nid: a\n\nid: b\nevent: event\ndata: {\"x\":\"y: \u{e9}\"}\n\n: alive\nid: c\n\nid: d\n";
        let expected = vec![
            Block { id: Some("a".into()), ..Block::default() },
            Block { id: Some("b".into()), event: Some("event".into()), data: "{\"x\":\"y: \u{e9}\"}".into() },
            Block { id: Some("c".into()), ..Block::default() },
        ];
        for length in 1..text.len() {
            let mut blocks = Blocks::default();
            let read: Vec<Block> =
                text.as_bytes().chunks(length).flat_map(|piece| blocks.add(piece).unwrap()).collect();
            assert_eq!(read, expected, "{length}");
        }
    }

    #[test]
    fn a_line_shows_what_is_there_and_says_nothing_to_the_terminal() {
        let record = "{\"type\":\"page\u{202e}-view\",\"source\":{\"id\":\"shop\"},\"session\":null,\"properties\":{\"a\":1},\
            \"metadata\":{\"time\":{\"insert\":\"2026-01-01T00:00:00Z\"}}}";
        assert_eq!(line(record), "2026-01-01T00:00:00Z  page\\u202e-view  shop  -  -  {\"a\":1}\n");
        let long = format!("{{\"properties\":{{\"a\":\"{}\"}}}}", "\u{e9}".repeat(1_000));
        assert!(line(&long).ends_with("\u{e9}...\n") && line(&long).chars().count() < PROPERTIES_MAX + 30);
    }
}
