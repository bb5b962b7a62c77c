//! Who came with a link from another domain (docs/contract.md, section 18).

use super::{Collector, Incoming};
use crate::model::Id;

impl Collector {
    /// The profile that the payload's `context.tracardi.pass` names, if its source is one of this daemon's and the settings
    /// let it count.
    pub(super) fn passed(&self, incoming: &Incoming) -> Option<Id> {
        if !self.settings.pass || incoming.profile_less {
            return None;
        }
        let (profile, source) = incoming.payload.pass()?;
        self.store.source(&source).map(|_| profile)
    }
}
