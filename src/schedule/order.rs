//! What of one person comes before what: delayed events, and what is scheduled for each profile.
//!
//! Both are due at a time. An event waits while something scheduled was due before it and has not come to its person yet;
//! what is scheduled comes to somebody once all that was due for them before it is done. What waits for something was due
//! later, so nothing waits for itself.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    Name,
    lanes::{Lanes, Person},
};
use crate::{
    model::{Id, Profile, Time},
    process::{ProfileDraft, Records, RulesInForce},
    supervise::caught_now,
};

/// What is due for people, and how far it is.
#[derive(Default)]
pub struct Order {
    /// Delayed events.
    pub lanes: Mutex<Lanes>,
    /// The delayed events that are due until then are in the lanes, or done.
    pub taken_to: Mutex<Option<Time>>,
    /// What is scheduled for each profile, and under way.
    walks: Mutex<HashMap<Name, Walk>>,
    /// Something is done.
    pub changed: Notify,
}

/// How far something that is scheduled is on its way through all profiles.
#[derive(Clone)]
struct Walk {
    due: Time,
    /// Those that were made later are none of its.
    begun: Time,
    /// The key of the profile's id that it is done with last.
    done_to: Option<Vec<u8>>,
}

impl Order {
    /// Nothing is known of what is due.
    pub fn clear(&self) {
        *self.lanes.lock() = Lanes::default();
        *self.taken_to.lock() = None;
        self.walks.lock().clear();
    }

    /// Something scheduled goes through all profiles, from behind the id `after` on.
    pub fn begin(&self, name: Name, due: Time, begun: Time, after: Option<&Id>) {
        self.walks.lock().insert(name, Walk { due, begun, done_to: after.map(Id::key) });
    }

    /// It is done with all profiles up to this one.
    pub fn come_to(&self, name: &Name, profile: &Id) {
        if let Some(walk) = self.walks.lock().get_mut(name) {
            walk.done_to = Some(profile.key());
        }
        self.changed.notify_waiters();
    }

    /// It does not go on, or is at its end.
    pub fn end(&self, name: &Name) {
        self.walks.lock().remove(name);
        self.changed.notify_waiters();
    }

    /// Whether something scheduled was due before `due` that concerns the profile and has not come to it yet.
    pub fn is_before(&self, due: Time, profile: &Arc<Profile>, rules: &RulesInForce) -> bool {
        let key = profile.id.key();
        let is_ahead = |walk: &Walk| {
            walk.due < due && profile.inserted <= walk.begun && walk.done_to.as_ref().is_none_or(|done| *done < key)
        };
        let walks = self.walks.lock();
        let ahead: Vec<Name> = walks.iter().filter(|(_, walk)| is_ahead(walk)).map(|(name, _)| name.clone()).collect();
        drop(walks);
        if ahead.is_empty() {
            return false;
        }
        let (rules, mut records) = (rules.get(), Records::internal(None, due, false));
        records.profile = Some(ProfileDraft::known(profile.clone()));
        // What cannot be looked at is told by the pass itself.
        ahead.iter().any(|(kind, id)| caught_now(|| rules.concerns(*kind, id, &records)) == Ok(Ok(true)))
    }

    /// Waits until all is done for the profile that is due before something scheduled, which was due at `due`.
    pub async fn turn_of(&self, profile: &Arc<Profile>, due: Time, rules: &RulesInForce) {
        let person = Person::Profile(profile.reference());
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable(); // from here on nothing is missed
            let is_known = self.taken_to.lock().is_some_and(|taken_to| taken_to >= due);
            if is_known && !self.lanes.lock().has_before(&person, due) && !self.is_before(due, profile, rules) {
                return;
            }
            changed.await;
        }
    }
}
