//! From the disk: everything that is behind the journal is written anew without those who were erased or forgotten.
//!
//! ```text
//! seal     what stands in the journal and in the live segment gets into a sealed one, and leaves the journal
//! survey   the log is read once for what else is theirs than what names them
//! rewrite  each sealed segment that has something of them is written anew without it, and its index
//! views    are made anew from the log, for their files keep what was superseded
//! ```
//!
//! Collecting goes on meanwhile. Each step can be cut short: the segment that names somebody is the last that has
//! something of them, so whoever is named nowhere any more is in no segment. What the survey found is kept in a file until
//! then, for what was written anew does not say it any more.

mod fate;
mod survey;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering, mpsc},
    thread,
    time::Duration,
};

use super::{
    concealed, database,
    engine::Engine,
    entry::{self, Entry, Fold},
    error::{At, RESTORE, StoreError},
    files::{checksums, durable},
    log::Encoded,
    shared::{NewViews, Shared},
    views::Views,
};
use crate::model::{Erasure, Named};
use survey::{Remembered, Survey};

/// The file of what the survey found.
const REMEMBERED: &str = "erasing";
/// How long is waited before it is looked again whether something came to its end.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// How many states are folded before they are written to the new views.
const FOLD_STATES_MAX: usize = 20_000;
/// With so few entries behind them, new views take the place of those that there are.
const BEHIND_MAX: u64 = 10_000;
/// As for queries: to the scheduler, what is done here weighs a tenth of what others do.
const NICENESS: i32 = 10;

/// Takes everything from the disk that these erasures, which are durable, are about.
///
/// # Errors
/// A part of the log is damaged, the disk takes no writes, or the store is being closed: it is to be done again then.
pub fn erase(shared: &Shared, erasures: &[Arc<Erasure>]) -> Result<(), StoreError> {
    // On Linux this is the calling thread's alone. Where it is not allowed, erasing does not give way.
    _ = rustix::process::setpriority_process(None, NICENESS);
    let erasing = Erasing { shared };
    let end = erasing.seal()?;
    let mut named = Vec::with_capacity(erasures.len());
    for erasure in erasures {
        named.extend(erasing.step(|engine| concealed::named_at(&engine.log, erasure.named_at))?);
    }
    if !named.is_empty() {
        erasing.rewrite(&named, end)?;
    }
    // Also where nobody is named any more: a work that was cut short right behind its last segment left it.
    erasing.forget_remembered()?;
    erasing.step(|engine| engine.log.remove_replaced())?;
    erasing.make_views()?.map_or(Ok(()), |before| erasing.discard(before))?;
    shared.folder.remove_other_views()
}

/// What was found before a work that did not come to its end.
fn recall(path: &Path) -> Result<Option<Remembered>, StoreError> {
    match fs::read(path) {
        Ok(bytes) => {
            let damaged =
                || StoreError::damaged(path, "it cannot be read", "remove it, and erase again who was erased");
            entry::decode(&bytes).map(Some).ok_or_else(damaged)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).at(path),
    }
}

struct Erasing<'a> {
    shared: &'a Shared,
}

impl Erasing<'_> {
    /// A step that holds the parts behind the journal, so that these can be made again between two steps.
    fn step<T>(&self, step: impl FnOnce(&Engine) -> Result<T, StoreError>) -> Result<T, StoreError> {
        if self.shared.queue.is_closing() {
            return Err(self.not_now("the store is being closed"));
        }
        let engine = self.shared.engine().ok_or_else(|| self.not_now("the store behind the journal is made again"))?;
        database::caught(|| step(&engine)).unwrap_or_else(|said| Err(self.not_now(&said)))
    }

    fn not_now(&self, why: &str) -> StoreError {
        let path = self.shared.folder.path().display().to_string();
        StoreError::Io { path, source: io::Error::other(why.to_owned()) }
    }

    /// Gets everything that is there by now into sealed segments and out of the journal; the offset behind it.
    fn seal(&self) -> Result<u64, StoreError> {
        let journal = || self.shared.folder.journal();
        let end = self.shared.journal.lock().begin_file().at(&journal())?;
        self.shared.seal_before.fetch_max(end, Ordering::AcqRel);
        while self.step(|engine| Ok(engine.log.sealed_end()))? < end {
            self.shared.committed.flush();
            thread::sleep(LOOK_AGAIN);
        }
        self.shared.journal.lock().drop_before(end)?;
        Ok(end)
    }

    /// Writes the segments before offset `end` anew that hold something of those who are named.
    fn rewrite(&self, named: &[Arc<Named>], end: u64) -> Result<(), StoreError> {
        let mut survey = Survey::new(named);
        let mut at = 0;
        while at < end {
            let (first, entries) = self.block(at)?;
            survey.see(first, &entries);
            at = first + entries.len() as u64;
        }
        let mut found = survey.finish();
        let path = self.remembered();
        if let Some(remembered) = recall(&path)? {
            found.recall(remembered);
        }
        // Whoever begins again finds less in what was written anew.
        durable::write_durably(&path, &entry::encode(&found.remembered()))?;
        let change = |block: &Encoded<'_>| fate::changed(&found, block);
        let mut at = 0;
        while at < end {
            let Some((is_new, behind)) = self.step(|engine| engine.log.rewrite(at, &change))? else { break };
            if is_new {
                tracing::info!(from = at, to = behind, "a segment of the log was written anew without what was erased");
            }
            at = behind;
        }
        Ok(())
    }

    /// Removes what was kept of the survey.
    fn forget_remembered(&self) -> Result<(), StoreError> {
        let path = self.remembered();
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.at(&path).and_then(|()| durable::sync_dir(self.shared.folder.path())),
        }
    }

    /// Where it stands what the survey found, while segments are written anew.
    fn remembered(&self) -> PathBuf {
        self.shared.folder.path().join(REMEMBERED)
    }

    fn block(&self, at: u64) -> Result<(u64, Vec<Entry>), StoreError> {
        let found = self.step(|engine| engine.log.block_around(at))?;
        let missing = || StoreError::damaged(self.shared.folder.path(), format!("no entry at offset {at}"), RESTORE);
        found.ok_or_else(missing)
    }

    /// Makes views beside those that there are, from the log, and has them read in their place; those before.
    fn make_views(&self) -> Result<Option<Views>, StoreError> {
        let (new, path) = self.shared.folder.next_views();
        durable::remove_tree(&new)?;
        let views = Views::open(&new)?;
        if let Err(why) = self.fill(&views) {
            self.discard(views)?;
            return Err(why);
        }
        // Under their own name they are whole: a start from here on takes them.
        views.close()?;
        fs::rename(&new, &path).at(&new)?;
        durable::sync_dir(self.shared.folder.path())?;
        checksums::forget(&path)?;
        let views = Views::open(&path)?;
        if let Err(why) = self.fill(&views) {
            self.discard(views)?; // those that there are go on
            return Err(why);
        }
        let (done, taken_over) = mpsc::channel();
        self.shared.hand_views(NewViews { views, done });
        loop {
            match taken_over.recv_timeout(LOOK_AGAIN) {
                Ok(taken_over) => return taken_over,
                Err(mpsc::RecvTimeoutError::Timeout) if !self.shared.queue.is_closing() => {}
                Err(_) => match self.shared.take_new_views() {
                    Some(NewViews { views, .. }) => {
                        self.discard(views)?;
                        return Err(self.not_now("the store is being closed"));
                    }
                    // The applier is at it.
                    None => return taken_over.recv().unwrap_or_else(|_| Err(self.not_now("the views were not taken"))),
                },
            }
        }
    }

    fn discard(&self, views: Views) -> Result<(), StoreError> {
        database::caught(|| views.discard()).unwrap_or_else(|said| Err(self.not_now(&said)))
    }

    /// Brings new views close to the end of the log, some entries at a time, for whoever appends waits for who reads.
    fn fill(&self, views: &Views) -> Result<(), StoreError> {
        let from = views.progress().to;
        let (mut at, mut fold) = (from, Fold::default());
        loop {
            let behind = self.step(|engine: &Engine| Ok(engine.log.end()))?.saturating_sub(at);
            if behind <= BEHIND_MAX || fold.states.len() >= FOLD_STATES_MAX {
                if at > views.progress().to {
                    views.apply(at, &fold)?;
                    fold = Fold::default();
                }
                if behind <= BEHIND_MAX {
                    return Ok(());
                }
            }
            let (first, entries) = self.block(at)?;
            let end = first + entries.len() as u64;
            for (offset, entry) in (first..).zip(&entries) {
                fold.see(offset, entry, at..end);
            }
            at = end;
        }
    }
}
