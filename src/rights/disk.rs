//! From the disk: many erasures at a time, in half of the time that they may take.

use std::{sync::Arc, time::Duration};

use tokio::sync::{oneshot, watch};

use super::{ENTRY_BYTES, Rights};
use crate::{
    model::{Erasure, Left},
    store::{Entry, Refused, retry},
    supervise::{Next, caught_now, supervise},
};

/// How often it is looked whether something is to be done, at least and at most.
const TICK: Duration = Duration::from_secs(1);
const TICK_MIN: Duration = Duration::from_millis(50);

impl Rights {
    /// Erases from the disk what was erased from reads, until `ended` says so. What is under way then is done again after
    /// the next start.
    pub async fn run(self: Arc<Self>, mut ended: watch::Receiver<bool>) {
        let told = |ended| {
            match ended {
                Ok(why) => tracing::error!(why, "what was erased stands on the disk still; it is tried again"),
                Err(panic) => tracing::error!(panic, "erasing from the disk panicked and is tried again"),
            }
            Next::AfterPause
        };
        tokio::select! {
            () = supervise(|| self.follow(), told) => {}
            _ = ended.wait_for(|ended| *ended) => {}
        }
    }

    /// Erases what is to be erased; why it cannot go on.
    async fn follow(&self) -> String {
        let tick = (self.settings.erase_within / 8).clamp(TICK_MIN, TICK);
        loop {
            match self.ready().await {
                Ok(erasures) if erasures.is_empty() => {}
                Ok(erasures) => {
                    if let Err(why) = self.erase_from_disk(erasures).await {
                        return why;
                    }
                }
                Err(refused) => return refused.to_string(),
            }
            tokio::time::sleep(tick).await;
        }
    }

    /// The erasures that are to be done now; none, as long as none must be. With one that must, all others are done of
    /// which every destination that is to hear of them has.
    async fn ready(&self) -> Result<Vec<Arc<Erasure>>, Refused> {
        let erasures = self.store.erasures();
        let begins = self.clock.now().earlier(self.settings.erase_within / 2);
        let must_be = |erasure: &Erasure| erasure.asked <= begins;
        let mut ready = Vec::new();
        if erasures.iter().any(|erasure| must_be(erasure)) {
            for erasure in erasures {
                if must_be(&erasure) || self.untold(&erasure).await?.is_empty() {
                    ready.push(erasure);
                }
            }
        }
        Ok(ready)
    }

    /// The destinations that are to hear of it and have not.
    async fn untold(&self, erasure: &Erasure) -> Result<Vec<Left>, Refused> {
        let mut untold = Vec::new();
        for destination in &erasure.destinations {
            let is_told = retry(|| async {
                let view = self.store.read_view();
                let is_passed = view.delivered(destination).await?.is_some_and(|offset| offset > erasure.named_at);
                // It is told by the entry that names them, or by the one before, and may have refused that.
                let by_profile = view.aside(destination, erasure.named_at.saturating_sub(1)).await?;
                let is_refused = by_profile.is_some() || view.aside(destination, erasure.named_at).await?.is_some();
                view.answer(is_passed && !is_refused).await
            });
            if !is_told.await? {
                untold.push(Left::Untold(destination.clone()));
            }
        }
        Ok(untold)
    }

    async fn erase_from_disk(&self, erasures: Vec<Arc<Erasure>>) -> Result<(), String> {
        let mut done = Vec::with_capacity(erasures.len());
        for erasure in &erasures {
            let untold = self.untold(erasure).await.map_err(|refused| refused.to_string())?;
            let left = erasure.left.iter().cloned().chain(untold).collect();
            done.push(Erasure { left, ..(**erasure).clone() });
        }
        tracing::info!(erasures = erasures.len(), "erasing from the disk");
        let (told, ended) = oneshot::channel();
        let store = self.store.clone();
        let work = move || {
            let erased = caught_now(|| store.erase(&erasures)).and_then(|done| done.map_err(|error| error.to_string()));
            _ = told.send(erased); // nobody waits where the daemon ends
        };
        // A thread of its own, which gives way to others.
        let thread = std::thread::Builder::new().name("erasing".into()).spawn(work);
        thread.map_err(|error| error.to_string())?;
        ended.await.unwrap_or_else(|_| Err("it ended early".into()))?;
        let count = done.len();
        for erasure in done {
            let noted = retry(|| async {
                let permit = self.store.permit(ENTRY_BYTES).await?;
                let entry = Entry::Erasure(Arc::new(Erasure { done: Some(self.clock.now()), ..erasure.clone() }));
                let ((), pending) = self.store.read_view().push(permit, |_| (vec![entry], ()))?;
                pending.durable().await
            });
            noted.await.map_err(|refused| refused.to_string())?;
        }
        tracing::info!(erasures = count, "nothing of what was erased is on the disk any more");
        Ok(())
    }
}
