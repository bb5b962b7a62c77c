//! The applier: brings what is in the journal into the log and the views, behind the requests' backs.
//!
//! When one of its parts fails, commits stop and reads go on as far as they can; it then makes the parts again from the
//! journal and the log, without a restart.

use std::{
    io,
    sync::{Arc, atomic::Ordering},
    thread::{self, JoinHandle},
    time::Duration,
};

use super::group::CommittedGroup;

use crate::store::{
    database,
    engine::{self, Engine, Opening, ViewsTrust},
    entry::Fold,
    error::{At, RESTORE, StoreError},
    files::durable,
    log,
    shared::{NewViews, Shared},
};

const RETRY: Duration = Duration::from_secs(1);

pub struct Applier {
    shared: Arc<Shared>,
    /// Seals the segment that was set aside, at most one at a time.
    sealer: Option<JoinHandle<Result<(), StoreError>>>,
}

impl Applier {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, sealer: None }
    }

    /// Runs until the committer is gone and everything is applied, then closes the parts. Returns whether all is closed.
    pub fn run(mut self) -> bool {
        while let Some(batch) = self.shared.committed.next_batch() {
            let applied = match self.shared.take_damage() {
                Some(damage) => Err(damage),
                None => self.apply(&batch).and_then(|()| self.seal()).and_then(|()| self.take_over_views()),
            };
            if let Err(error) = applied
                && !self.make_again(&error)
            {
                return false;
            }
            // The batch is dropped here, and with it its requests' permits of the queue: it is applied either way.
        }
        self.close()
    }

    /// Puts the batch into the log, then into the views.
    fn apply(&self, batch: &[CommittedGroup]) -> Result<(), StoreError> {
        let Some(last) = batch.last() else { return Ok(()) };
        let engine = self.engine()?;
        guarded(&self.shared, || {
            let mut fold = Fold::default();
            for committed in batch.iter().flat_map(|group| &group.blocks) {
                if committed.block.end() <= engine.log.end() {
                    continue; // it was read back from the journal when the parts were made again
                }
                let (raw, entries) = (committed.raw.as_slice(), committed.entries.as_slice());
                engine.log.append(&log::EncodedEntries { version: committed.block.version, raw, entries })?;
                let entries = committed.entries.iter().flat_map(|entries| entries.iter());
                for (offset, entry) in (committed.block.first..).zip(entries) {
                    fold.entry(offset, entry);
                }
            }
            if last.end > engine.views.progress().to {
                engine.views.apply(last.end, &fold)?;
            }
            Ok(())
        })?;
        self.shared.queue.set_applied(last.end);
        Ok(())
    }

    fn engine(&self) -> Result<Arc<Engine>, StoreError> {
        let closed = || StoreError::damaged(self.shared.folder.path(), "the parts are closed", RESTORE);
        self.shared.engine().ok_or_else(closed)
    }

    /// Has a full segment sealed beside the collecting.
    fn seal(&mut self) -> Result<(), StoreError> {
        if let Some(sealer) = self.sealer.take_if(|sealer| sealer.is_finished()) {
            match sealer.join() {
                Ok(Err(error @ StoreError::Io { .. })) => {
                    // What is to be sealed can be read as it is: it is tried again.
                    tracing::warn!(%error, "a segment of the log cannot be sealed yet");
                    self.spawn_sealer()?;
                }
                Ok(sealed) => sealed?,
                Err(_) => return Err(failed(&self.shared, "sealing a segment")),
            }
        }
        let engine = self.engine()?;
        let before = self.shared.seal_before.load(Ordering::Acquire);
        if self.sealer.is_none() && engine.log.is_to_seal(before) {
            guarded(&self.shared, || engine.log.roll())?;
            self.spawn_sealer()?;
        }
        Ok(())
    }

    /// Has views that were made anew read in place of those that there are, if there are such.
    fn take_over_views(&self) -> Result<(), StoreError> {
        let Some(NewViews { views, done }) = self.shared.take_new_views() else { return Ok(()) };
        let engine = self.engine()?;
        let caught_up = guarded(&self.shared, || engine::catch_up(&views, &engine.log, &|_, _, _| {}));
        drop(engine);
        let taken_over = match caught_up {
            Ok(()) => Ok(self.shared.replace_views(views)),
            Err(error) => guarded(&self.shared, || views.discard()).and(Err(error)),
        };
        _ = done.send(taken_over); // who made them may be gone
        Ok(())
    }

    fn spawn_sealer(&mut self) -> Result<(), StoreError> {
        // The log alone, so that other views can be read with it meanwhile.
        let (shared, log) = (self.shared.clone(), self.engine()?.log.clone());
        let sealer = thread::Builder::new().name("sealer".into()).spawn(move || {
            guarded(&shared, || {
                // What is sealed is durable, so the journal must be up to there too.
                shared.journal.lock().sync().at(&shared.folder.journal())?;
                log.seal()?;
                shared.journal.lock().drop_before(log.sealed_end())
            })
        });
        self.sealer = Some(sealer.at(self.shared.folder.path())?);
        Ok(())
    }

    /// Waits for the sealer, whatever comes of it: what it did not do is done after the next start.
    fn end_sealer(&mut self) {
        if let Some(Ok(Err(error))) = self.sealer.take().map(JoinHandle::join) {
            tracing::warn!(%error, "a segment of the log was not sealed");
        }
    }

    /// Makes the log's live segment and the views again, until it succeeds; `false` when the store is closed before that.
    /// Until the disk takes writes, what failed goes on answering reads.
    fn make_again(&mut self, error: &StoreError) -> bool {
        tracing::error!(%error, "the log or the views failed");
        let mut failure = format!("the log or the views failed and are made again: {}", error.reason());
        self.shared.set_engine_failure(&failure);
        self.shared.queue.stop(&failure);
        self.end_sealer();
        loop {
            let reopened = self.disk_takes_writes().and_then(|()| {
                // Closing what failed may fail as well; it is thrown away or checked when it is opened again.
                _ = guarded(&self.shared, || {
                    drop(self.shared.take_engine());
                    Ok(())
                });
                guarded(&self.shared, || self.reopened())
            });
            match reopened {
                Ok(engine) => {
                    let end = engine.log.end();
                    self.shared.set_engine(engine);
                    self.shared.queue.set_applied(end);
                    tracing::info!("the store behind the journal was made again");
                    return true;
                }
                Err(error) => {
                    tracing::debug!(%error, "the log and the views cannot be made again yet");
                    failure = format!("the log and the views cannot be made again yet: {}", error.reason());
                    self.shared.set_engine_failure(&failure);
                }
            }
            if self.shared.queue.is_closing() {
                return false;
            }
            thread::sleep(RETRY);
        }
    }

    /// Whether the disk takes writes, and makes them durable, where what failed is to be made again.
    fn disk_takes_writes(&self) -> Result<(), StoreError> {
        let folder = &self.shared.folder;
        durable::probe(folder.path())?;
        // Beside sled's files another one does no harm, wherever this is cut short; among segments it would.
        let views = folder.views();
        if views.exists() { durable::probe(&views) } else { Ok(()) }
    }

    fn reopened(&self) -> Result<Engine, StoreError> {
        let Shared { folder, settings, .. } = &*self.shared;
        // Held so that nothing is appended meanwhile; what could not be taken back must not be read.
        let mut journal = self.shared.journal.lock();
        journal.sync().at(&folder.journal())?;
        let how = Opening {
            segment_bytes: settings.segment_bytes,
            keep_live: false,
            views: ViewsTrust::Checked,
            may_be_short: false,
        };
        let engine = Engine::open(folder, &journal, &how, &|_, _, _| {})?;
        engine.views.flush()?; // so that it is known that they can be written
        Ok(engine)
    }

    fn close(&mut self) -> bool {
        self.end_sealer();
        let Some(engine) = self.shared.take_engine() else { return false };
        let closed = guarded(&self.shared, || engine.close());
        if let Err(error) = &closed {
            tracing::error!(%error, "the store cannot be closed; the next start makes it whole again");
        }
        closed.is_ok()
    }
}

/// Runs what uses sled, which may panic on a damaged file; that is an error like any other then.
fn guarded<T>(shared: &Shared, run: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    database::caught(run).unwrap_or_else(|said| Err(failed(shared, &said)))
}

fn failed(shared: &Shared, what: &str) -> StoreError {
    StoreError::Io {
        path: shared.folder.path().display().to_string(),
        source: io::Error::other(format!("the embedded database failed: {what}")),
    }
}
