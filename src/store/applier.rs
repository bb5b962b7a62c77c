//! The applier: brings what is in the journal into the log and the views, behind the requests' backs.
//!
//! When one of its parts fails, commits stop and reads go on as far as they can; it then makes the parts again from the
//! journal and the log, without a restart.

use std::{
    panic::{self, AssertUnwindSafe},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use super::{
    Shared,
    committed::{ApplierMessage, CommittedGroup},
    engine::{Engine, Opening, ViewsTrust},
    entry::Fold,
    error::{RESTORE, StoreError},
    log,
};

/// About how many entries are folded before they are written, so that a profile touched often is written once.
const BATCH_ENTRIES: u64 = 8_192;
/// How long the first entries of a batch wait for more of them.
const BATCH_TIME: Duration = Duration::from_millis(200);
const RETRY: Duration = Duration::from_secs(1);

/// Runs until the committer is gone and everything is applied, then closes the parts. Returns whether all is closed.
pub fn run(shared: &Shared, messages: &mpsc::Receiver<ApplierMessage>) -> bool {
    while let Ok(message) = messages.recv() {
        let batch = collect(message, messages);
        let applied = match shared.take_damage() {
            Some(damage) => Err(damage),
            None => apply(shared, &batch),
        };
        if let Err(error) = applied
            && !make_again(shared, &error)
        {
            return false;
        }
        // The share of the batch of the queue's permits ends here, when it is applied either way.
    }
    close(shared)
}

/// Gathers groups until there are enough, their time is up, or somebody is in a hurry.
fn collect(first: ApplierMessage, messages: &mpsc::Receiver<ApplierMessage>) -> Vec<CommittedGroup> {
    let until = Instant::now() + BATCH_TIME;
    let mut entries = 0;
    let mut batch = Vec::new();
    let mut next = Some(first);
    while let Some(ApplierMessage::Committed(group)) = next {
        entries += group.blocks.iter().map(|committed| u64::from(committed.block.count)).sum::<u64>();
        batch.push(group);
        if entries >= BATCH_ENTRIES {
            break;
        }
        next = messages.recv_timeout(until.saturating_duration_since(Instant::now())).ok();
    }
    batch
}

/// Puts the batch into the log, then into the views.
fn apply(shared: &Shared, batch: &[CommittedGroup]) -> Result<(), StoreError> {
    let Some(last) = batch.last() else { return Ok(()) };
    let engine =
        shared.engine().ok_or_else(|| StoreError::damaged(shared.folder.path(), "the parts are closed", RESTORE))?;
    guarded(shared, || {
        let mut fold = Fold::default();
        for committed in batch.iter().flat_map(|group| &group.blocks) {
            if committed.block.end() <= engine.log.end() {
                continue; // it was read back from the journal when the parts were made again
            }
            engine.log.append(&log::EncodedEntries { raw: &committed.raw, entries: &committed.entries })?;
            let entries = committed.entries.iter().flat_map(|entries| entries.iter());
            for (offset, entry) in (committed.block.first..).zip(entries) {
                fold.entry(offset, entry);
            }
        }
        if last.end > engine.views.progress().to {
            engine.views.apply(last.end, &fold)?;
        }
        shared.queue.set_applied(last.end);
        if engine.log.is_full() {
            // What is sealed is durable, so the journal must be up to there too.
            let journal = shared.journal.lock();
            journal
                .sync()
                .map_err(|source| StoreError::Io { path: shared.folder.journal().display().to_string(), source })?;
            drop(journal);
            engine.seal_if_full(&shared.folder)?;
        }
        Ok(())
    })
}

/// Makes the log's live segment and the views again, until it succeeds; `false` when the store is closed before that.
fn make_again(shared: &Shared, error: &StoreError) -> bool {
    shared.queue.stop(&format!("the store behind the journal failed: {error}"));
    // Closing what failed may fail as well; it is thrown away or checked when it is opened again.
    _ = guarded(shared, || {
        shared.set_engine(None);
        Ok(())
    });
    loop {
        let made = guarded(shared, || {
            // Held so that nothing is appended meanwhile; what could not be cut back must not be read.
            let mut journal = shared.journal.lock();
            journal
                .cut_back()
                .map_err(|source| StoreError::Io { path: shared.folder.journal().display().to_string(), source })?;
            let how = Opening {
                segment_bytes: shared.segment_bytes,
                keep_live: false,
                views: ViewsTrust::Checked,
                torn_end: false,
                may_be_short: false,
            };
            let (engine, _) = Engine::open(&shared.folder, &how, &|_, _, _| {})?;
            engine.views.flush()?;
            Ok(engine)
        });
        match made {
            Ok(engine) => {
                let end = engine.log.end();
                shared.set_engine(Some(Arc::new(engine)));
                shared.queue.set_applied(end);
                tracing::info!("the store behind the journal was made again");
                return true;
            }
            Err(error) => tracing::error!(%error, "the store behind the journal cannot be made again yet"),
        }
        if shared.queue.is_closing() {
            return false;
        }
        thread::sleep(RETRY);
    }
}

fn close(shared: &Shared) -> bool {
    let Some(engine) = shared.take_engine() else { return false };
    let closed = guarded(shared, || engine.close());
    if let Err(error) = &closed {
        tracing::error!(%error, "the store cannot be closed; the next start makes it whole again");
    }
    closed.is_ok()
}

/// Runs what uses sled, which may panic on a damaged file; that is an error like any other then.
fn guarded<T>(shared: &Shared, run: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    panic::catch_unwind(AssertUnwindSafe(run))
        .unwrap_or_else(|_| Err(StoreError::damaged(shared.folder.path(), "the embedded database failed", RESTORE)))
}
