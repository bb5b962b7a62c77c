//! The log and its views, opened together: what a process finds when it starts, and makes again when a part failed.

use std::{path::PathBuf, sync::Arc};

use super::{
    entry::{Entry, Fold},
    error::{RESTORE, StoreError},
    folder::{self, Folder, LastEnd},
    journal::{self, Recovered},
    log::{EncodedEntries, Log},
    views::Views,
};

/// How many states are folded before they are written to the views.
const FOLD_STATES_MAX: usize = 50_000;

/// Told how far a long step is: what is done, of how much.
pub type Report<'a> = &'a (dyn Fn(&'static str, u64, u64) + Sync);

pub struct Engine {
    pub log: Log,
    pub views: Views,
}

/// What the views of the last process are worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ViewsTrust {
    /// They were closed.
    Whole,
    /// Whoever wrote them ended before closing them.
    Checked,
    /// What they were written to may have lost any part of them.
    Rebuilt,
}

impl From<LastEnd> for ViewsTrust {
    fn from(end: LastEnd) -> Self {
        match end {
            LastEnd::Clean => Self::Whole,
            LastEnd::ProcessCrash(_) => Self::Checked,
            LastEnd::MachineCrash(_) => Self::Rebuilt,
        }
    }
}

/// How to open the parts behind the journal.
pub struct Opening {
    pub segment_bytes: u64,
    /// The live segment was closed and can be taken as it is.
    pub keep_live: bool,
    pub views: ViewsTrust,
    /// The last frame of the journal may be torn.
    pub torn_end: bool,
    /// The last process may have lost what it had answered, so the views may say more than the log.
    pub may_be_short: bool,
}

impl Engine {
    /// Opens the log, fills it up from the journal, and brings the views to its end.
    ///
    /// # Errors
    /// A part of the log is damaged or missing; views that are, are made again.
    pub fn open(folder: &Folder, how: &Opening, report: Report<'_>) -> Result<(Self, Recovered), StoreError> {
        let log = Log::open(&folder.segments(), how.segment_bytes, how.keep_live)?;
        let recovered = fill_up(&log, folder, how.torn_end, report)?;
        let views = open_views(folder, &log, how, report)?;
        Ok((Self { log, views }, recovered))
    }

    /// Seals the live segment if it is full, and removes the journal's files that it makes superfluous.
    pub fn seal_if_full(&self, folder: &Folder) -> Result<(), StoreError> {
        if self.log.is_full() {
            self.log.seal()?;
            journal::remove_before(&folder.journal(), self.log.sealed_end())?;
        }
        Ok(())
    }

    /// Closes both, durably.
    pub fn close(self) -> Result<(), StoreError> {
        self.log.close()?;
        self.views.close()
    }
}

/// Appends what the journal has and the log has not.
fn fill_up(log: &Log, folder: &Folder, torn_end: bool, report: Report<'_>) -> Result<Recovered, StoreError> {
    let from = log.end();
    let recovered = journal::read(&folder.journal(), from, torn_end, |block| {
        report("reading the journal", block.end() - from, 0);
        let damaged =
            |what| StoreError::damaged(&folder.journal(), format!("{what} at offset {}", block.first), RESTORE);
        let raw = block.unpack().map_err(damaged)?;
        let entries: Arc<[Entry]> = block.entries().map_err(damaged)?.into();
        if block.first < from {
            return Err(damaged("the log ends within a block"));
        }
        log.append(&EncodedEntries { raw: &raw, entries: &[entries] })?;
        if log.is_full() { log.seal() } else { Ok(()) }
    })?;
    if recovered.first > from || recovered.end < from || (recovered.is_missing() && from > 0) {
        let what = format!("the entries behind offset {} are missing, the log has {from}", recovered.end.min(from));
        return Err(StoreError::damaged(&folder.journal(), what, RESTORE));
    }
    Ok(recovered)
}

fn open_views(folder: &Folder, log: &Log, how: &Opening, report: Report<'_>) -> Result<Views, StoreError> {
    let path = folder.views();
    if how.views == ViewsTrust::Rebuilt {
        return rebuild(path, log, report);
    }
    let views = match Views::open(&path) {
        Ok(views) => views,
        Err(StoreError::Damaged { what, .. }) => {
            tracing::warn!(what, "the views are made again from the log");
            return rebuild(path, log, report);
        }
        Err(error) => return Err(error),
    };
    let progress = views.progress();
    if progress.to > log.end() {
        if !how.may_be_short {
            let what = format!("the entries from offset {} to {} are missing at the end", log.end(), progress.to);
            return Err(StoreError::damaged(&folder.journal(), what, RESTORE));
        }
        tracing::warn!(
            from = log.end(),
            to = progress.to,
            "the last entries were not on the disk yet when the machine or the process ended"
        );
        drop(views);
        return rebuild(path, log, report);
    }
    if how.views == ViewsTrust::Checked && !is_whole(&views, log, report) {
        tracing::warn!("the views were not whole; they are made again from the log");
        drop(views);
        return rebuild(path, log, report);
    }
    catch_up(&views, log, report)?;
    Ok(views)
}

/// Whether the views, once the batch that was under way is written, are what they say that they are.
fn is_whole(views: &Views, log: &Log, report: Report<'_>) -> bool {
    let progress = views.progress();
    let check = || {
        let mut fold = Fold::default();
        log.scan(progress.from, |first, entries| {
            for (offset, entry) in (first..).zip(&entries) {
                fold.see(offset, entry, progress.from..progress.to);
            }
            Ok(())
        })?;
        views.apply_again(&fold)?;
        let seen = std::cell::Cell::new(0);
        views.verify(|| {
            seen.set(seen.get() + 1);
            report("checking the views", seen.get(), 0);
        })
    };
    check().unwrap_or_else(|error: StoreError| {
        tracing::warn!(%error, "the views cannot be checked");
        false
    })
}

fn rebuild(path: PathBuf, log: &Log, report: Report<'_>) -> Result<Views, StoreError> {
    folder::remove_tree(&path)?;
    let views = Views::open(&path)?;
    catch_up(&views, log, report)?;
    Ok(views)
}

/// Folds what the log has and the views have not.
fn catch_up(views: &Views, log: &Log, report: Report<'_>) -> Result<(), StoreError> {
    let from = views.progress().to;
    let end = log.end();
    let mut fold = Fold::default();
    let mut reached = from;
    log.scan(from, |first, entries| {
        reached = first + entries.len() as u64;
        for (offset, entry) in (first..).zip(&entries) {
            fold.see(offset, entry, from..end);
        }
        if fold.states.len() >= FOLD_STATES_MAX {
            views.apply(reached, &fold)?;
            fold = Fold::default();
            report("making the views", reached - from, end - from);
        }
        Ok(())
    })?;
    if reached > from {
        views.apply(reached, &fold)?;
    }
    Ok(())
}
