//! Segments that are written anew, with something else in the place of some entries.

use std::{fs, sync::Arc, thread, time::Duration};

use parking_lot::RwLock;

use super::{
    Log,
    sealed::{Change, Sealed},
};
use crate::store::{
    error::{At, StoreError},
    files::durable,
    index::{Builder, SegmentName},
};

impl Log {
    /// Writes the sealed segment that holds `offset` anew with what `change` makes of its blocks, if that is something else,
    /// and has it read in place of the one before, which goes. Readers go on. Whether it was written, and the offset behind
    /// the segment; `None`: there is none.
    ///
    /// # Errors
    /// It is damaged, or cannot be written. One of both stands and is read.
    pub fn rewrite(&self, offset: u64, change: Change<'_>) -> Result<Option<(bool, u64)>, StoreError> {
        let holds = |part: &&Arc<Sealed>| (part.first..part.end).contains(&offset);
        let Some(old) = self.sealed.read().iter().find(holds).cloned() else { return Ok(None) };
        if !old.would_change(&self.open, change)? {
            return Ok(Some((false, old.end)));
        }
        let new = Arc::new(old.rewrite(&self.path, &self.open, change)?);
        let mut builder = Builder::new(new.first);
        let scanned = new.scan(&self.open, new.first, &mut |_, entries| {
            entries.iter().for_each(|entry| builder.add(entry));
            Ok(())
        });
        if let Err(error) = scanned {
            new.remove(&self.open)?; // the one before goes on
            return Err(error);
        }
        self.indexes.keep(&new.name, &Arc::new(RwLock::new(builder)));
        if let Some(place) = self.sealed.write().iter_mut().find(|part| part.name == old.name) {
            *place = new;
        }
        // Whoever found the one before may open and read it still, for the length of a read.
        while Arc::strong_count(&old) > 1 {
            thread::sleep(Duration::from_millis(1));
        }
        self.indexes.remove(&old.name)?;
        old.remove(&self.open)?;
        durable::sync_dir(&self.path)?;
        Ok(Some((true, old.end)))
    }

    /// Removes what is left of segments in whose place others are read, where that failed before.
    pub fn remove_replaced(&self) -> Result<(), StoreError> {
        let current: Vec<SegmentName> = self.sealed.read().iter().map(|part| part.name.clone()).collect();
        for entry in fs::read_dir(&self.path).at(&self.path)? {
            let Some(found) = Sealed::of(entry.at(&self.path)?.path()) else { continue };
            let is_newer =
                |name: &SegmentName| name.range == found.name.range && name.generation > found.name.generation;
            if current.iter().any(is_newer) {
                self.indexes.remove(&found.name)?;
                durable::remove_tree(found.path())?;
            }
        }
        durable::sync_dir(&self.path)
    }
}
