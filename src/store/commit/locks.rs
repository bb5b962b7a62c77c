//! Locks by name: requests of one session, for one profile, with one event id, take effect one after another.

use std::sync::Arc;

use foldhash::HashMap;
use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use crate::store::entry::Key;

/// The locks that are held or waited for; one that nobody wants is not there.
#[derive(Default)]
pub struct Locks {
    names: Arc<Mutex<HashMap<Key, Arc<tokio::sync::Mutex<()>>>>>,
}

/// Names that are held until this is dropped.
pub struct Held {
    names: Arc<Mutex<HashMap<Key, Arc<tokio::sync::Mutex<()>>>>>,
    held: Vec<(Key, OwnedMutexGuard<()>)>,
}

impl Locks {
    /// Takes all of `names`, in sorted order, so that two requests never wait for each other.
    pub async fn take(&self, mut names: Vec<Key>) -> Held {
        names.sort_unstable();
        names.dedup();
        let mut held = Held { names: self.names.clone(), held: Vec::with_capacity(names.len()) };
        for name in names {
            let lock = self.names.lock().entry(name.clone()).or_default().clone();
            held.held.push((name, lock.lock_owned().await));
        }
        held
    }

    /// Forgets those of `names` that nobody has or waits for: whoever gave up waiting leaves its last name behind.
    pub fn forget_unused(&self, names: &[Key]) {
        let mut known = self.names.lock();
        for name in names {
            if known.get(name).is_some_and(|lock| Arc::strong_count(lock) == 1) {
                known.remove(name);
            }
        }
    }
}

impl Held {
    pub fn holds(&self, name: &Key) -> bool {
        self.held.binary_search_by(|(held, _)| held.cmp(name)).is_ok()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut names = self.names.lock();
        for (name, guard) in self.held.drain(..) {
            drop(guard);
            // Nobody else has it or waits for it if the map's own is the only one left.
            if names.get(&name).is_some_and(|lock| Arc::strong_count(lock) == 1) {
                names.remove(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests;
