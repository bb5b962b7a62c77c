//! `tracardi import`: records that come in files.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, stdin},
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use clap::Args;
use http_body_util::StreamBody;

use super::{
    CommandError, Printable,
    configured::{WithoutStore, on_store_or_daemon},
    daemon::Daemon,
    terminal::Progress,
};
use crate::{
    clock::Clock,
    import::{ImportOptions, Importer, LINE_BYTES_MAX},
    model::{Document, Fault, Id, RecordKind, Value},
    settings::Settings,
};

pub const EXAMPLES: &str = "Examples:
  tracardi import profiles.ndjson sessions.ndjson events.ndjson
  tracardi import --source shop segment-export.ndjson
  zcat events.ndjson.gz | tracardi import --what events -

A file has a record a line: as export writes them, as the reference's documents are, or Segment's messages. Profiles go
in first, then sessions, then events. What is there already is left out: to go on where an import ended, run it again.";

/// How much of a file is read at a time.
const PIECE_BYTES: usize = 256 * 1024;

#[derive(Debug, Args)]
pub struct ImportCommand {
    /// NDJSON files; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What their records are: events, sessions or profiles [default: each tells by what it has]
    #[arg(long, value_name = "KIND")]
    what: Option<String>,
    /// The source of events that name none, as Segment's messages
    #[arg(long, value_name = "ID")]
    source: Option<String>,
    /// Register the sources that events name and that are not there, switched off
    #[arg(long)]
    make_sources: bool,
}

pub fn run(settings: &Settings, command: &ImportCommand) -> Result<(), CommandError> {
    let invalid = |option: &str| {
        let option = option.to_owned();
        move |fault: Fault| CommandError::Option { option, fault }
    };
    let kind = command.what.as_deref().map(RecordKind::read).transpose().map_err(invalid("--what"))?;
    let source = command.source.as_deref().map(Id::required).transpose().map_err(invalid("--source"))?;
    let options = ImportOptions { kind, source, makes_sources: command.make_sources };
    let files = in_order(&command.files, kind)?;
    let failed = on_store_or_daemon(
        settings,
        WithoutStore::Make,
        async |store| {
            let importer = store.importer(settings).await?;
            let mut failed = 0;
            for file in &files {
                failed += tell(file, &on_store(&importer, file, &options).await?);
            }
            Ok(failed)
        },
        async |daemon| {
            let mut failed = 0;
            for file in &files {
                failed += tell(file, &on_daemon(daemon, file, &options).await?);
            }
            Ok(failed)
        },
    )?;
    if failed == 0 { Ok(()) } else { Err(CommandError::NotImported(failed)) }
}

/// What became of a file, taken by the store itself.
async fn on_store(importer: &Importer, file: &Path, options: &ImportOptions) -> Result<Value, CommandError> {
    let mut import = importer.begin(options.clone())?;
    for piece in FilePieces::open(file)? {
        import.add(&piece.map_err(|source| of_file(file, source))?).await?;
    }
    Ok(Value::shown(&import.end().await?))
}

/// What became of a file, taken by the daemon.
async fn on_daemon(daemon: &Daemon, file: &Path, options: &ImportOptions) -> Result<Value, CommandError> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    if let Some(kind) = options.kind {
        query.append_pair("what", kind.plural());
    }
    if let Some(source) = &options.source {
        query.append_pair("source", &source.text());
    }
    if options.makes_sources {
        query.append_pair("make_sources", "true");
    }
    let pieces = FilePieces::open(file)?.map(|piece| piece.map(hyper::body::Frame::data));
    let body = reqwest::Body::wrap(StreamBody::new(futures_util::stream::iter(pieces)));
    Ok(Value::from(&daemon.send_lines(&format!("/import?{}", query.finish()), body).await?))
}

/// Prints what became of a file; how many of its lines were not taken.
fn tell(file: &Path, outcome: &Value) -> u64 {
    let at = |steps: &[&str]| outcome.get(&steps.iter().map(|step| (*step).into()).collect::<Vec<_>>());
    let count = |steps: &[&str]| at(steps).and_then(|count| count.to_text().parse::<u64>().ok()).unwrap_or(0);
    let counts = |part: &str| {
        let kinds = ["events", "sessions", "profiles"].map(|kind| (count(&[part, kind]), kind));
        let kinds: Vec<String> =
            kinds.iter().filter(|(count, _)| *count > 0).map(|(count, kind)| format!("{count} {kind}")).collect();
        if kinds.is_empty() { "nothing".to_owned() } else { kinds.join(", ") }
    };
    let name = file.display().to_string();
    let failed = count(&["failed"]);
    println!(
        "{}: imported {}; there already: {}; not taken: {failed}",
        Printable(&name),
        counts("imported"),
        counts("skipped")
    );
    let without = count(&["without_profile"]);
    if without > 0 {
        println!("  {without} name a profile that is not there");
    }
    for (sources, what) in [("sources_missing", "not there"), ("sources_made", "registered, switched off")] {
        if let Some(Value::List(sources)) = at(&[sources]) {
            sources.iter().for_each(|source| println!("  source {}: {what}", Printable(&source.to_text())));
        }
    }
    if let Some(Value::List(errors)) = at(&["errors"]) {
        for error in errors {
            let part = |name: &str| error.get(&[name.into()]).map(Value::to_text).unwrap_or_default();
            println!("  line {}: {}", part("line"), Printable(&part("msg")));
        }
        let more = failed.saturating_sub(errors.len() as u64);
        if more > 0 {
            println!("  and {more} more");
        }
    }
    failed
}

/// The files in the order in which they are imported: what others name goes first, as far as their first lines tell.
fn in_order(files: &[PathBuf], kind: Option<RecordKind>) -> Result<Vec<PathBuf>, CommandError> {
    let mut ordered = Vec::with_capacity(files.len());
    for file in files {
        let first = if kind.is_some() || is_standard_input(file) { None } else { first_kind(file)? };
        let place = match first {
            Some(RecordKind::Profile) => 0,
            Some(RecordKind::Session) => 1,
            Some(RecordKind::Event) | None => 2,
        };
        ordered.push((place, file.clone()));
    }
    ordered.sort_by_key(|(place, _)| *place);
    Ok(ordered.into_iter().map(|(_, file)| file).collect())
}

/// What the first line of a file holds.
fn first_kind(path: &Path) -> Result<Option<RecordKind>, CommandError> {
    let file = File::open(path).map_err(|source| of_file(path, source))?;
    let mut lines = BufReader::new(file.take(LINE_BYTES_MAX as u64));
    let mut line = Vec::new();
    while line.trim_ascii().is_empty() {
        line.clear();
        if lines.read_until(b'\n', &mut line).map_err(|source| of_file(path, source))? == 0 {
            return Ok(None);
        }
    }
    Ok(match Document::read(&line, None, Clock::default().now()) {
        Ok(Document::Event(_)) => Some(RecordKind::Event),
        Ok(Document::Session(_)) => Some(RecordKind::Session),
        Ok(Document::Profile(_)) => Some(RecordKind::Profile),
        Err(_) => None,
    })
}

/// A file, piece by piece, with progress.
struct FilePieces {
    file: Box<dyn Read + Send + Sync>,
    read: u64,
    /// 0: it is not known.
    all: u64,
    progress: Arc<Progress>,
}

impl FilePieces {
    fn open(path: &Path) -> Result<Self, CommandError> {
        let progress = Arc::new(Progress::new());
        if is_standard_input(path) {
            return Ok(Self { file: Box::new(stdin()), read: 0, all: 0, progress });
        }
        let file = File::open(path).map_err(|source| of_file(path, source))?;
        let all = file.metadata().map_or(0, |metadata| metadata.len());
        Ok(Self { file: Box::new(file), read: 0, all, progress })
    }
}

impl Iterator for FilePieces {
    type Item = Result<Bytes, std::io::Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut piece = vec![0; PIECE_BYTES];
        let read = match self.file.read(&mut piece) {
            Ok(0) => return None,
            Ok(read) => read,
            Err(error) => return Some(Err(error)),
        };
        piece.truncate(read);
        self.read += read as u64;
        self.progress.report("bytes imported", self.read, self.all);
        Some(Ok(piece.into()))
    }
}

fn is_standard_input(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn of_file(path: &Path, source: std::io::Error) -> CommandError {
    CommandError::File { path: path.display().to_string(), source }
}
