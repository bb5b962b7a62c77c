//! `tracardi export`: everything of a kind, as files.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use clap::{Args, ValueEnum};

use super::{
    CommandError, Printable,
    configured::{WithoutStore, on_store_or_daemon},
    daemon::Daemon,
    terminal::Progress,
};
use crate::{
    clock::Clock,
    model::{Fault, Reader, RecordKind, Time, Value},
    read::{Export, Format, Parameters, Queries, moment},
    settings::Settings,
};

pub const EXAMPLES: &str = "Examples:
  tracardi export --what events --format parquet --to backup --by day
  tracardi export --what profiles --format csv --to . --where 'profile.stats.visits > 10'
  tracardi export --what events --from -7d --type 'checkout-*' --to checkouts

A file has its name once it is whole and on the disk; until then, .part stands behind it.";

/// The microseconds of a day.
const DAY: i64 = 86_400_000_000;

#[derive(Debug, Args)]
pub struct ExportCommand {
    /// What: events, sessions or profiles
    #[arg(long, value_name = "KIND")]
    what: String,
    /// As what: ndjson, csv or parquet
    #[arg(long, default_value = "ndjson", value_name = "FORMAT")]
    format: String,
    /// The folder that the files are written to; it is made if it is not there
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
    /// A file for each day (UTC) on which there is something, and not one for all
    #[arg(long)]
    by: Option<By>,
    /// From this time on: a time, or how long ago, like -7d
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<String>,
    /// Before this time: a time, or how long ago
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<String>,
    /// Only events of this type; may be given more than once, and `checkout-*` is all that begin so
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// Only from this source
    #[arg(long, value_name = "ID")]
    source: Option<String>,
    /// Only of this session
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Only of the person with this id
    #[arg(long, value_name = "ID")]
    profile: Option<String>,
    /// Only events with this tag
    #[arg(long)]
    tag: Option<String>,
    /// Only events that keep to their type's schema, or only those that do not
    #[arg(long, value_name = "BOOLEAN")]
    valid: Option<String>,
    /// Only profiles in this segment
    #[arg(long, value_name = "ID")]
    segment: Option<String>,
    /// Only records for which this condition holds (CEL)
    #[arg(long = "where", value_name = "CONDITION")]
    condition: Option<String>,
    /// Only these parts of each record: `type,properties.price`
    #[arg(long, value_name = "PATHS")]
    fields: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    Day,
}

/// What is said in a query.
type Pairs = Vec<(&'static str, String)>;

pub fn run(settings: &Settings, command: &ExportCommand) -> Result<(), CommandError> {
    let invalid = |option: &str| {
        let option = option.to_owned();
        move |fault: Fault| CommandError::Option { option, fault }
    };
    let kind = RecordKind::read(&command.what).map_err(invalid("--what"))?;
    let format = Format::read(&command.format).map_err(invalid("--format"))?;
    if command.by.is_some() && kind == RecordKind::Profile {
        let fault = Fault::new("value_error", "a profile is of no day: events and sessions are");
        return Err(invalid("--by")(fault));
    }
    let now = Clock::default().now();
    let time = |option, said: &Option<String>| {
        said.as_ref().map(|said| moment(said, now)).transpose().map_err(invalid(option))
    };
    let (from, until) = (time("--from", &command.from)?, time("--until", &command.until)?);
    fs::create_dir_all(&command.to).map_err(|source| of_file(&command.to, source))?;
    let wanted = Wanted { command, kind, format, from, until, now };
    on_store_or_daemon(
        settings,
        WithoutStore::Refuse,
        async |store| {
            let queries = store.queries(settings).await?;
            wanted.export(Origin::Store(&queries)).await
        },
        async |daemon| wanted.export(Origin::Daemon(daemon)).await,
    )
}

/// What the command asks for.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    command: &'a ExportCommand,
    kind: RecordKind,
    format: Format,
    from: Option<Time>,
    until: Option<Time>,
    now: Time,
}

impl Wanted<'_> {
    async fn export(self, origin: Origin<'_>) -> Result<(), CommandError> {
        let exporting = Exporting { origin, wanted: self, progress: Progress::new() };
        match self.command.by {
            None => {
                let name = format!("{}.{}", self.kind.plural(), self.format.extension());
                exporting.file(&name, self.from, self.until).await
            }
            Some(By::Day) => exporting.days().await,
        }
    }
}

/// Where the records come from.
enum Origin<'a> {
    Store(&'a Queries),
    Daemon(&'a Daemon),
}

/// A file as it comes, piece by piece.
enum Pieces {
    Store(Box<Export>),
    Daemon(Box<reqwest::Response>),
}

impl Origin<'_> {
    async fn export(&self, pairs: Pairs) -> Result<Pieces, CommandError> {
        match self {
            Self::Store(queries) => {
                let pairs = pairs.into_iter().map(|(name, value)| (name.to_owned(), value));
                let query = queries.export_query(Parameters::new(pairs));
                let query = query.map_err(|fault| CommandError::Option { option: "export".into(), fault })?;
                Ok(Pieces::Store(Box::new(queries.export(&query).await?)))
            }
            Self::Daemon(daemon) => {
                let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
                Ok(Pieces::Daemon(Box::new(daemon.follow(&format!("/export?{query}"), None).await?)))
            }
        }
    }
}

impl Pieces {
    /// The next piece; `None`: the file is whole.
    async fn next(&mut self) -> Result<Option<Bytes>, CommandError> {
        match self {
            Self::Store(export) => Ok(export.next().await?.map(Bytes::from)),
            Self::Daemon(response) => response
                .chunk()
                .await
                .map_err(|error| CommandError::DaemonAway(format!("the export was cut off: {error}"))),
        }
    }
}

struct Exporting<'a> {
    origin: Origin<'a>,
    wanted: Wanted<'a>,
    progress: Progress,
}

impl Exporting<'_> {
    /// What is asked for of a stretch of time.
    fn pairs(&self, from: Option<Time>, until: Option<Time>) -> Pairs {
        let Wanted { command, kind, .. } = self.wanted;
        let mut pairs: Pairs = vec![("what", kind.plural().to_owned())];
        pairs.extend(command.types.iter().map(|kind| ("type", kind.clone())));
        let said = [
            ("source", &command.source),
            ("session", &command.session),
            ("profile", &command.profile),
            ("tag", &command.tag),
            ("valid", &command.valid),
            ("segment", &command.segment),
            ("where", &command.condition),
        ];
        pairs.extend(said.into_iter().filter_map(|(name, said)| Some((name, said.clone()?))));
        let times = [("from", from), ("to", until)];
        pairs.extend(times.into_iter().filter_map(|(name, time)| Some((name, time?.to_string()))));
        pairs
    }

    /// Writes a file of everything of a stretch of time.
    async fn file(&self, name: &str, from: Option<Time>, until: Option<Time>) -> Result<(), CommandError> {
        let mut pairs = self.pairs(from, until);
        pairs.push(("format", self.wanted.format.extension().to_owned()));
        pairs.extend(self.wanted.command.fields.clone().map(|fields| ("fields", fields)));
        let mut pieces = self.origin.export(pairs).await?;
        let mut file = NewFile::create(self.wanted.command.to.join(name))?;
        while let Some(piece) = pieces.next().await? {
            file.write(&piece)?;
            self.progress.report("bytes exported", file.bytes, 0);
        }
        let bytes = file.bytes;
        let path = file.finish()?;
        println!("{}: {bytes} bytes", Printable(&path.display().to_string()));
        Ok(())
    }

    /// Writes a file for each day on which there is something.
    async fn days(&self) -> Result<(), CommandError> {
        let Wanted { kind, format, from, until, now, .. } = self.wanted;
        let last = until.map_or(now, |until| Time::from_micros(until.micros().saturating_sub(1)));
        let first = match from {
            Some(from) => from.day(),
            None => self.first_day(last).await?,
        };
        for day in first..=last.day() {
            let begins = Time::from_micros(day * DAY);
            let ends = Time::from_micros((day + 1) * DAY);
            let (from, until) =
                (from.map_or(begins, |from| from.max(begins)), until.map_or(ends, |until| until.min(ends)));
            if self.first(Some(from), Some(until)).await?.is_some() {
                let date = &begins.to_string()[..10];
                let name = format!("{}-{date}.{}", kind.plural(), format.extension());
                self.file(&name, Some(from), Some(until)).await?;
            }
        }
        Ok(())
    }

    /// The first day on which there is something; `last`'s if there is nothing.
    async fn first_day(&self, last: Time) -> Result<i64, CommandError> {
        let mut first = last.day();
        // Imported sessions come in the order in which they were imported: there may be an earlier one.
        while let Some(earlier) = self.first(None, Some(Time::from_micros(first * DAY))).await? {
            first = earlier.day();
        }
        Ok(first)
    }

    /// When the first record of a stretch of time was stored, if there is one.
    async fn first(&self, from: Option<Time>, until: Option<Time>) -> Result<Option<Time>, CommandError> {
        let mut pairs = self.pairs(from, until);
        pairs.extend([("limit", "1".to_owned()), ("fields", "metadata.time.insert".to_owned())]);
        let mut pieces = self.origin.export(pairs).await?;
        let mut line = Vec::new();
        while let Some(piece) = pieces.next().await? {
            line.extend_from_slice(&piece);
        }
        let record = Reader::new(&line, 0).and_then(|mut reader| reader.value()).ok();
        let steps = ["metadata", "time", "insert"].map(Into::into);
        let time = record.as_ref().map(Value::from).and_then(|record| Time::parse(record.get(&steps)?.as_str()?).ok());
        Ok(time)
    }
}

/// A file that has its name once it is whole and durable.
struct NewFile {
    path: PathBuf,
    part: PathBuf,
    file: File,
    /// How many were written.
    bytes: u64,
    is_finished: bool,
}

impl NewFile {
    fn create(path: PathBuf) -> Result<Self, CommandError> {
        let mut part = path.clone().into_os_string();
        part.push(".part");
        let part = PathBuf::from(part);
        let file = File::create(&part).map_err(|source| of_file(&part, source))?;
        Ok(Self { path, part, file, bytes: 0, is_finished: false })
    }

    fn write(&mut self, piece: &[u8]) -> Result<(), CommandError> {
        self.file.write_all(piece).map_err(|source| of_file(&self.part, source))?;
        self.bytes += piece.len() as u64;
        Ok(())
    }

    fn finish(mut self) -> Result<PathBuf, CommandError> {
        self.file.sync_all().map_err(|source| of_file(&self.part, source))?;
        fs::rename(&self.part, &self.path).map_err(|source| of_file(&self.path, source))?;
        self.is_finished = true;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(|source| of_file(folder, source))?;
        Ok(self.path.clone())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_finished {
            _ = fs::remove_file(&self.part); // nobody takes it for the file
        }
    }
}

fn of_file(path: &Path, source: std::io::Error) -> CommandError {
    CommandError::File { path: path.display().to_string(), source }
}
