//! Records that come in from files, and not from clients (docs/contract.md, section 15).
//!
//! A file goes its way in this order: `lines` cuts it into lines, batch by batch; `model` reads each as a document;
//! `plan` decides what is stored of them, under locks by name; everything of a batch is queued as one. What is there
//! already is left out, so whoever imports a file again goes on where it stopped. Nothing is done about imported events:
//! no type's mapping, no workflow, no destination, no stream that follows the log.
//!
//! Knows `model`, `process`, `store` and `admin`, and no HTTP.

mod lines;
mod outcome;
mod plan;

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    task::JoinHandle,
};

use crate::{
    admin::{Admin, Author},
    clock::Clock,
    model::{Document, Fault, Id, Reader, RecordKind, Source, Time},
    process::Identity,
    store::{Refused, Store, retry},
};

use lines::{Line, Lines};
use plan::Plan;

pub use lines::LINE_BYTES_MAX;
pub use outcome::{Counts, LineFault, Outcome};

/// How many lines are stored together, and how many bytes of them at most, but for the last one.
const BATCH_LINES: usize = 1_000;
const BATCH_BYTES: usize = 1024 * 1024;

/// How long a batch waits for room among the requests: they go first.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(200);
/// How many files are imported at once; more are refused.
const IMPORTS_MAX: usize = 2;

/// How a file is to be read.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// What its records are; `None`: each tells by what it has.
    pub kind: Option<RecordKind>,
    /// The source of events that name none.
    pub source: Option<Id>,
    /// Registers sources that events name and that are not there, switched off.
    pub makes_sources: bool,
}

/// Imports records.
pub struct Importer {
    store: Arc<Store>,
    clock: Arc<Clock>,
    /// Finds what people are known by in their profiles.
    identity: Identity,
    admin: Arc<Admin>,
    running: Semaphore,
}

/// A file that is being imported, piece by piece.
pub struct Import<'a> {
    importer: &'a Importer,
    _turn: SemaphorePermit<'a>,
    options: ImportOptions,
    lines: Lines,
    /// The lines that are whole and not stored yet.
    waiting: Vec<Line>,
    waiting_bytes: usize,
    applying: Applying,
    outcome: Outcome,
}

/// The last batch on its way to the log and the views. The next one is queued once it is there: so the queue has room for
/// requests, however large a file is.
#[derive(Default)]
struct Applying(Option<JoinHandle<Result<(), Refused>>>);

impl Applying {
    fn begin(&mut self, store: &Store) {
        let view = store.read_view();
        self.0 = Some(tokio::spawn(async move { view.applied().await }));
    }

    /// Waits for its end, whatever that is: the next batch meets what there is to be met.
    async fn end(&mut self) {
        if let Some(applying) = self.0.take() {
            _ = applying.await;
        }
    }
}

impl Importer {
    pub fn new(store: Arc<Store>, clock: Arc<Clock>, identity: Identity, admin: Arc<Admin>) -> Self {
        Self { store, clock, identity, admin, running: Semaphore::new(IMPORTS_MAX) }
    }

    /// Begins to import a file.
    ///
    /// # Errors
    /// As many are being imported as may be at once.
    pub fn begin(&self, options: ImportOptions) -> Result<Import<'_>, Refused> {
        let turn = self.running.try_acquire();
        let turn = turn.map_err(|_| Refused::Unavailable(format!("{IMPORTS_MAX} files are being imported already")))?;
        let (lines, outcome) = (Lines::default(), Outcome::default());
        Ok(Import {
            importer: self,
            _turn: turn,
            options,
            lines,
            waiting: Vec::new(),
            waiting_bytes: 0,
            applying: Applying::default(),
            outcome,
        })
    }

    /// Imports the records of a JSON list, all of which are of one kind.
    ///
    /// # Errors
    /// It is no list, or one of its records is none; the fault names it, and nothing was stored.
    pub async fn list(&self, body: &[u8], kind: RecordKind) -> Result<Result<Outcome, Fault>, Refused> {
        let mut documents = Vec::new();
        let now = self.clock.now();
        let read = Reader::new(body, 0).and_then(|mut reader| {
            reader.array(|reader, index| {
                let record = reader.value()?;
                documents.push((index as u64, Document::read(record.as_str().as_bytes(), Some(kind), now)?));
                Ok(())
            })?;
            reader.end()
        });
        if let Err(fault) = read {
            return Ok(Err(fault));
        }
        let (mut outcome, mut applying) = (Outcome::default(), Applying::default());
        let options = ImportOptions { kind: Some(kind), ..ImportOptions::default() };
        for batch in documents.chunks(BATCH_LINES) {
            outcome.add(self.store(batch, &options, &mut applying).await?);
        }
        Ok(Ok(outcome))
    }

    /// Stores a batch of documents, each with its line, as one.
    async fn store(
        &self,
        documents: &[(u64, Document)],
        options: &ImportOptions,
        applying: &mut Applying,
    ) -> Result<Outcome, Refused> {
        let made = if options.makes_sources { self.make_sources(documents).await? } else { BTreeSet::new() };
        applying.end().await;
        let begun = Instant::now();
        let mut stored = loop {
            match retry(|| self.try_store(documents, options)).await {
                Err(Refused::Unavailable(_)) if begun.elapsed() < PATIENCE => tokio::time::sleep(PAUSE).await,
                stored => break stored?,
            }
        };
        applying.begin(&self.store);
        stored.sources_made = made;
        Ok(stored)
    }

    async fn try_store(&self, documents: &[(u64, Document)], options: &ImportOptions) -> Result<Outcome, Refused> {
        let names = plan::names(documents, &self.identity, options.source.as_ref());
        let held = self.store.lock(names).await?;
        let view = self.store.read_view();
        let mut plan = Plan::new(&view, &self.store, &self.clock, &self.identity, options.source.as_ref());
        plan.read_known(documents).await?;
        for (line, document) in documents {
            plan.add(*line, document).await?;
        }
        let (ready, outcome) = plan.end();
        if ready.is_empty() {
            return view.answer(outcome).await;
        }
        let permit = self.store.permit(ready.bytes()).await?;
        let ((), pending) = view.push(permit, |moment| (ready.fix(moment), ()))?;
        drop(held); // the next request sees it already; only the answer waits for the disk
        pending.durable().await?;
        Ok(outcome)
    }

    /// Registers the sources that the events name and that are not there; which these were.
    async fn make_sources(&self, documents: &[(u64, Document)]) -> Result<BTreeSet<Id>, Refused> {
        let mut missing = BTreeSet::new();
        for (_, document) in documents {
            if let Document::Event(event) = document
                && let Some(source) = &event.source
                && !source.is_reserved()
                && self.store.source(source).is_none()
            {
                missing.insert(source.clone());
            }
        }
        for id in &missing {
            let source = Source { enabled: false, ..Source::open(id.clone(), &id.text(), self.clock.now()) };
            self.admin.save_source(source, &Author::named("an import")).await?;
        }
        Ok(missing)
    }
}

impl Import<'_> {
    /// Takes the next piece of the file, which may end anywhere.
    ///
    /// # Errors
    /// Nothing can be stored now: what was taken before, batch by batch, is.
    pub async fn add(&mut self, piece: &[u8]) -> Result<(), Refused> {
        // Some at a time: a piece may be long.
        for part in piece.chunks(BATCH_BYTES) {
            for line in self.lines.add(part) {
                self.wait(line);
                if self.waiting.len() >= BATCH_LINES || self.waiting_bytes >= BATCH_BYTES {
                    self.store().await?;
                }
            }
        }
        Ok(())
    }

    /// Takes the end of the file: what became of it.
    pub async fn end(mut self) -> Result<Outcome, Refused> {
        let last = self.lines.end();
        last.into_iter().for_each(|line| self.wait(line));
        self.store().await?;
        Ok(self.outcome)
    }

    fn wait(&mut self, line: Line) {
        match line {
            Line::TooLong(number) => self.outcome.refuse(number, &lines::too_long()),
            line => {
                self.waiting_bytes += line.bytes();
                self.waiting.push(line);
            }
        }
    }

    async fn store(&mut self) -> Result<(), Refused> {
        let lines = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        if lines.is_empty() {
            return Ok(());
        }
        let (kind, now) = (self.options.kind, self.importer.clock.now());
        // It takes a while: not on a thread that answers others.
        let read = tokio::task::spawn_blocking(move || read_all(&lines, kind, now)).await;
        let (documents, refused) = read.map_err(|_| Refused::Unavailable("a line could not be read".into()))?;
        refused.iter().for_each(|(line, fault)| self.outcome.refuse(*line, fault));
        let stored = self.importer.store(&documents, &self.options, &mut self.applying).await?;
        self.outcome.add(Outcome { ids: Vec::new(), ids_skipped: Vec::new(), ..stored });
        Ok(())
    }
}

type Documents = Vec<(u64, Document)>;
type Faults = Vec<(u64, Fault)>;

/// The documents that the lines hold, and what is wrong with the others.
fn read_all(lines: &[Line], kind: Option<RecordKind>, now: Time) -> (Documents, Faults) {
    let (mut documents, mut faults) = (Vec::with_capacity(lines.len()), Vec::new());
    for line in lines {
        let Line::Whole(number, text) = line else { continue };
        match Document::read(text, kind, now) {
            Ok(document) => documents.push((*number, document)),
            Err(fault) => faults.push((*number, fault)),
        }
    }
    (documents, faults)
}
