//! Reads the whole store and says what it found.

use super::{
    StoreSettings,
    engine::Report,
    error::StoreError,
    folder::{Folder, LastEnd},
    journal,
    log::Log,
    views::Views,
};

/// One line of what was found.
#[derive(Debug, PartialEq)]
pub struct Finding {
    pub text: String,
    /// Something is wrong.
    pub wrong: bool,
}

impl Finding {
    fn fine(text: String) -> Self {
        Self { text, wrong: false }
    }

    fn wrong(error: &StoreError) -> Self {
        Self { text: error.to_string(), wrong: true }
    }
}

/// Reads every block of the log, every frame of the journal and every record of the views, and checks that they fit
/// together. Changes nothing that a start would take amiss.
///
/// # Errors
/// The folder is in use, or is no store of this format.
pub fn check(settings: &StoreSettings, report: Report<'_>) -> Result<Vec<Finding>, StoreError> {
    let folder = Folder::take(&settings.path)?;
    let last_end = folder.last_end()?;
    let clean = last_end == LastEnd::Clean;
    let mut findings = Vec::new();
    if !clean {
        findings.push(Finding::fine("the last process did not close the store: the next start recovers it".into()));
    }
    let log_end = check_log(&folder, settings, clean, report).unwrap_or_else(|error| {
        findings.push(Finding::wrong(&error));
        None
    });
    match check_journal(&folder, log_end, clean, report) {
        Ok((text, end)) => {
            findings.push(Finding::fine(text));
            match check_views(&folder, end, clean, report) {
                Ok(text) => findings.push(Finding::fine(text)),
                Err(error) => findings.push(Finding::wrong(&error)),
            }
        }
        Err(error) => findings.push(Finding::wrong(&error)),
    }
    if let Some(end) = log_end {
        findings.push(Finding::fine(format!("log: the entries up to offset {end} are whole")));
    }
    Ok(findings)
}

/// Reads all blocks; returns the offset behind the last one that a start will take from the log.
fn check_log(
    folder: &Folder,
    settings: &StoreSettings,
    clean: bool,
    report: Report<'_>,
) -> Result<Option<u64>, StoreError> {
    if !folder.segments().exists() {
        return Ok(Some(0));
    }
    let log = Log::open(&folder.segments(), settings.segment_bytes, clean)?;
    let end = log.end();
    log.scan(0, |first, entries| {
        report("reading the log", first + entries.len() as u64, end);
        Ok(())
    })?;
    log.close()?;
    Ok(Some(end))
}

fn check_journal(
    folder: &Folder,
    log_end: Option<u64>,
    clean: bool,
    report: Report<'_>,
) -> Result<(String, u64), StoreError> {
    let mut entries = 0_u64;
    let read = journal::read(&folder.journal(), 0, !clean, |block| {
        let damaged = |what| {
            StoreError::damaged(&folder.journal(), format!("{what} at offset {}", block.first), super::error::RESTORE)
        };
        entries += block.entries().map_err(damaged)?.len() as u64;
        report("reading the journal", entries, 0);
        Ok(())
    })?;
    if let Some(log_end) = log_end
        && (read.first > log_end || read.end < log_end || (read.is_missing() && log_end > 0))
    {
        let what = format!("it has the entries from offset {} to {}, the log ends at {log_end}", read.first, read.end);
        return Err(StoreError::damaged(&folder.journal(), what, super::error::RESTORE));
    }
    Ok((format!("journal: {entries} entries, up to offset {}", read.end), read.end))
}

fn check_views(folder: &Folder, end: u64, clean: bool, report: Report<'_>) -> Result<String, StoreError> {
    if !clean || !folder.views().exists() {
        return Ok("views: not checked, the next start checks or makes them".into());
    }
    let views = Views::open(&folder.views())?;
    let progress = views.progress();
    if progress.to > end {
        let what = format!("the entries from offset {end} to {} are missing at the end", progress.to);
        return Err(StoreError::damaged(&folder.journal(), what, super::error::RESTORE));
    }
    let seen = std::cell::Cell::new(0);
    let whole = views.verify(|| {
        seen.set(seen.get() + 1);
        report("reading the views", seen.get(), 0);
    })?;
    views.close()?;
    if !whole {
        let what = "the records are not those that were written";
        return Err(StoreError::damaged(&folder.views(), what, super::views::REBUILD));
    }
    Ok(format!("views: {} records, up to offset {}", seen.get(), progress.to))
}
