//! The log and its views, opened together: what a process finds when it starts, and makes again when a part failed.

use std::{fs, path::PathBuf, sync::Arc};

use super::{
    entry::{Entry, Fold},
    error::{At, RESTORE, StoreError},
    files::{
        checksums::{self, Comparison},
        disk::Disk,
        durable,
        folder::{Folder, LastEnd},
    },
    journal::Journal,
    log::{EncodedEntries, Log},
    views::Views,
};

/// How many states are folded before they are written to the views.
const FOLD_STATES_MAX: usize = 50_000;

/// Told how far a long step is: what is done, of how much.
pub type Report<'a> = &'a (dyn Fn(&'static str, u64, u64) + Sync);

pub struct Engine {
    /// Other views may be read with it.
    pub log: Arc<Log>,
    pub views: Views,
}

/// What the views of the last process are worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ViewsTrust {
    /// They were closed: they are whole if they are as they were then.
    Closed,
    /// Whoever wrote them ended before closing them.
    Checked,
    /// What they were written to may have lost any part of them.
    Rebuilt,
}

impl From<LastEnd> for ViewsTrust {
    fn from(end: LastEnd) -> Self {
        match end {
            LastEnd::Clean => Self::Closed,
            LastEnd::ProcessCrash(_) => Self::Checked,
            LastEnd::MachineCrash(_) => Self::Rebuilt,
        }
    }
}

/// How to open the parts behind the journal.
pub struct Opening {
    pub segment_bytes: u64,
    /// The live segment was closed and can be taken if it is as it was then.
    pub keep_live: bool,
    pub views: ViewsTrust,
    /// The last process may have lost what it had answered, so the views may say more than the log.
    pub may_be_short: bool,
}

impl Engine {
    /// Opens the log, fills it up from the journal, all of which is durable, and brings the views to its end.
    ///
    /// # Errors
    /// A part of the log is damaged or missing; views that are, are made again.
    pub fn open<D: Disk>(
        folder: &Folder,
        journal: &Journal<D>,
        how: &Opening,
        report: Report<'_>,
    ) -> Result<Self, StoreError> {
        fs::create_dir_all(folder.segments()).at(&folder.segments())?;
        let log = Log::open(&folder.segments(), &folder.indexes(), how.segment_bytes, how.keep_live)?;
        fill_up(&log, folder, journal, report)?;
        let views = open_views(folder, &log, how, report)?;
        Ok(Self { log: Arc::new(log), views })
    }

    /// Closes both, durably.
    pub fn close(self) -> Result<(), StoreError> {
        self.log.close()?;
        self.views.close()
    }
}

/// Appends what the journal has and the log has not. All of it is durable, so full segments can be sealed.
fn fill_up<D: Disk>(log: &Log, folder: &Folder, journal: &Journal<D>, report: Report<'_>) -> Result<(), StoreError> {
    let from = log.end();
    if journal.first() > from || journal.end() < from {
        let what = format!("the entries behind offset {} are missing, the log has {from}", journal.end().min(from));
        return Err(StoreError::damaged(&folder.journal(), what, RESTORE));
    }
    journal.read(from, |block| {
        report("reading the journal", block.end() - from, journal.end() - from);
        let damaged =
            |what| StoreError::damaged(&folder.journal(), format!("{what} at offset {}", block.first), RESTORE);
        let encoded = block.encoded().map_err(damaged)?;
        let entries: Arc<[Entry]> = encoded.entries().map_err(damaged)?.into();
        if block.first < from {
            return Err(damaged("the log ends within a block"));
        }
        log.append(&EncodedEntries { version: encoded.version, raw: &encoded.raw, entries: &[entries] })?;
        if log.is_to_seal(0) {
            log.roll()?;
            log.seal()?;
        }
        Ok(())
    })
}

fn open_views(folder: &Folder, log: &Log, how: &Opening, report: Report<'_>) -> Result<Views, StoreError> {
    folder.remove_other_views()?;
    let path = folder.views();
    if how.views == ViewsTrust::Rebuilt {
        return rebuild(path, log, report);
    }
    if how.views == ViewsTrust::Closed && path.exists() {
        let comparison = checksums::compare(&path)?;
        if comparison != Comparison::Same {
            tracing::warn!(?comparison, "the views are not as they were closed; they are made again from the log");
            return rebuild(path, log, report);
        }
    }
    if path.exists() {
        checksums::forget(&path)?;
    }
    let views = match Views::open(&path) {
        Ok(views) => views,
        Err(StoreError::Damaged { what, .. }) => {
            tracing::warn!(what, "the views are made again from the log");
            return rebuild(path, log, report);
        }
        Err(StoreError::OtherViews { .. }) => {
            tracing::info!("another version made the views; they are made again from the log");
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
        folder.begin_epoch()?;
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
    durable::remove_tree(&path)?;
    let views = Views::open(&path)?;
    catch_up(&views, log, report)?;
    Ok(views)
}

/// Folds what the log has and the views have not.
pub fn catch_up(views: &Views, log: &Log, report: Report<'_>) -> Result<(), StoreError> {
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
