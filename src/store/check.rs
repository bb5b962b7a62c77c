//! Reads the whole store and says what it found.

use super::{
    StoreSettings,
    engine::Report,
    entry::Entry,
    error::{MADE_AGAIN, RESTORE, StoreError},
    files::{
        checksums::{self, Comparison},
        folder::{Folder, LastEnd},
    },
    journal,
    log::{self, Log},
    views::{self, Views},
};

/// One line of what was found.
#[derive(Debug, PartialEq)]
pub struct Finding {
    pub text: String,
    /// Something is wrong.
    pub wrong: bool,
}

/// What was found.
pub struct Checked {
    pub findings: Vec<Finding>,
    /// Whether a profile is stored; where the views were not read, whether one ever was.
    pub has_profiles: bool,
}

/// What is found on the way.
struct Findings<'a> {
    list: Vec<Finding>,
    has_profiles: bool,
    report: Report<'a>,
}

impl Findings<'_> {
    fn fine(&mut self, text: impl Into<String>) {
        self.list.push(Finding { text: text.into(), wrong: false });
    }

    fn wrong(&mut self, what: &StoreError) {
        self.list.push(Finding { text: what.to_string(), wrong: true });
    }

    fn see(&mut self, entries: &[Entry]) {
        let is_profile = |entry: &Entry| matches!(entry, Entry::Profile(_) | Entry::ProfileOfFormat3(_));
        self.has_profiles |= entries.iter().any(is_profile);
    }

    /// What was found, or nothing where it was wrong.
    fn or_wrong<T>(&mut self, found: Result<T, StoreError>) -> Option<T> {
        found.map_err(|error| self.wrong(&error)).ok()
    }
}

/// Reads every block of the log, every frame of the journal and every record of the views, and checks that they fit
/// together. Changes nothing that a start would take amiss.
///
/// # Errors
/// The folder is in use, or holds no store of this format.
pub fn check(settings: &StoreSettings, report: Report<'_>) -> Result<Checked, StoreError> {
    let folder = Folder::take_existing(&settings.path)?;
    let last_end = folder.last_end()?;
    let clean = last_end == LastEnd::Clean;
    let mut findings = Findings { list: Vec::new(), has_profiles: false, report };
    if !clean {
        findings.fine("the last process did not close the store: the next start recovers it");
    }
    let log_end = check_log(&folder, settings, clean, &mut findings);
    if let Some(end) = check_journal(&folder, log_end, clean, &mut findings) {
        let checked = check_views(&folder, end, clean, &mut findings);
        findings.or_wrong(checked);
    }
    Ok(Checked { findings: findings.list, has_profiles: findings.has_profiles })
}

/// Reads all blocks; the offset behind the last one that a start will take from the log, if nothing is missing.
fn check_log(folder: &Folder, settings: &StoreSettings, clean: bool, findings: &mut Findings<'_>) -> Option<u64> {
    let path = folder.segments();
    if !path.exists() {
        return Some(0);
    }
    let (sealed, live) = findings.or_wrong(log::segments(&path))?;
    let sealed = sealed.iter().map(|segment| (segment.path().to_owned(), segment.compare(), RESTORE));
    let live = live.into_iter().filter(|_| clean); // else they are made again anyway
    let live = live.map(|path| (path.clone(), checksums::compare(&path), MADE_AGAIN));
    for (database, comparison, advice) in sealed.chain(live) {
        if let Some(Comparison::Differs(what)) = findings.or_wrong(comparison) {
            findings.wrong(&StoreError::damaged(&database, what, advice));
        }
    }
    let log = findings.or_wrong(Log::open(&path, &folder.indexes(), settings.segment_bytes, clean))?;
    let (report, end) = (findings.report, log.end());
    let scanned = log.scan(0, |first, entries| {
        report("reading the log", first + entries.len() as u64, end);
        findings.see(&entries);
        Ok(())
    });
    if findings.or_wrong(scanned).is_some() {
        findings.fine(format!("log: the entries up to offset {end} can be read"));
    }
    findings.or_wrong(log.close());
    Some(end)
}

/// The offset behind the last entry of the journal.
fn check_journal(folder: &Folder, log_end: Option<u64>, clean: bool, findings: &mut Findings<'_>) -> Option<u64> {
    let (report, path) = (findings.report, folder.journal());
    let mut entries = 0_u64;
    let read = journal::inspect(&path, !clean, |block| {
        let damaged = |what| StoreError::damaged(&path, format!("{what} at offset {}", block.first), RESTORE);
        let found = block.entries().map_err(damaged)?;
        findings.see(&found);
        entries += found.len() as u64;
        report("reading the journal", entries, 0);
        Ok(())
    });
    let found = findings.or_wrong(read)?;
    let (first, end) = found.unwrap_or_default();
    if let Some(log_end) = log_end
        && (first > log_end || end < log_end)
    {
        let what = format!("it has the entries from offset {first} to {end}, the log ends at {log_end}");
        findings.wrong(&StoreError::damaged(&path, what, RESTORE));
        return None;
    }
    findings.fine(format!("journal: {entries} entries, up to offset {end}"));
    Some(end)
}

fn check_views(folder: &Folder, end: u64, clean: bool, findings: &mut Findings<'_>) -> Result<(), StoreError> {
    let path = folder.views();
    if !clean || !path.exists() || folder.has_other_views() {
        findings.fine("views: not checked, the next start checks or makes them");
        return Ok(());
    }
    if let Comparison::Differs(what) = checksums::compare(&path)? {
        return Err(StoreError::damaged(&path, what, views::REBUILD));
    }
    checksums::forget(&path)?;
    let views = match Views::open(&path) {
        Err(StoreError::OtherViews { .. }) => {
            findings.fine("views: not checked, another version made them, and the next start makes them again");
            return Ok(());
        }
        opened => opened?,
    };
    let progress = views.progress();
    if progress.to > end {
        let what = format!("the entries from offset {end} to {} are missing at the end", progress.to);
        return Err(StoreError::damaged(&folder.journal(), what, RESTORE));
    }
    let report = findings.report;
    let seen = std::cell::Cell::new(0);
    let whole = views.verify(|| {
        seen.set(seen.get() + 1);
        report("reading the views", seen.get(), 0);
    })?;
    if !whole {
        // It stays without a note, so that the next start makes them again.
        return Err(StoreError::damaged(&path, "the records are not those that were written", views::REBUILD));
    }
    findings.has_profiles = !views.profiles(None, 1)?.is_empty();
    views.close()?;
    findings.fine(format!("views: {} records, up to offset {}", seen.get(), progress.to));
    Ok(())
}
