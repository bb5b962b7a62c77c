//! A profile that was processed, on its way into the queue.

use std::sync::Arc;

use super::{names::NameChanges, profile::THIS_REQUEST};
use crate::{
    model::{FieldChange, Id, Profile, ProfileRef, Time},
    process::identity::blocked::blocked_key,
    store::{Entry, Merge, MergingRequest, Moment},
};

/// A profile that is ready to be stored, but for the moment of its request.
pub struct PreparedProfile {
    pub(super) profile: Profile,
    pub(super) is_new: bool,
    /// A new name that leads to it.
    pub(super) alias: Option<Id>,
    pub(super) changed: bool,
    pub(super) touched: bool,
    pub(super) begun: Vec<Id>,
    /// The parts of the request that are about it.
    pub parts: Vec<usize>,
    pub(super) names: Option<Box<NameChanges>>,
    pub(super) changes: Vec<FieldChange>,
    /// The paths of the fields that this request wrote.
    pub(super) written: Vec<Box<str>>,
}

impl PreparedProfile {
    pub fn id(&self) -> &Id {
        &self.profile.id
    }

    /// How many entries it leads to at least.
    pub fn entries(&self) -> usize {
        usize::from(self.changed)
    }

    /// Whether the log has its state once the request is stored.
    pub fn is_stored(&self) -> bool {
        self.changed || !self.is_new
    }

    /// About what its entries take in memory.
    pub fn bytes(&self) -> usize {
        if !self.changed {
            return 0;
        }
        const NAME: usize = 256;
        let names = self.names.as_ref().map_or(0, |names| names.entries()) + 1;
        self.profile.bytes() + NAME * names + self.changes.iter().map(FieldChange::bytes).sum::<usize>()
    }

    /// Whether this is the stored profile that is meant, or one that it took in.
    pub fn is_or_took_in(&self, reference: &ProfileRef) -> bool {
        self.profile.id == reference.id && self.profile.since == reference.since
            || self.names.as_ref().is_some_and(|names| names.took_in(reference))
    }

    /// The profile as it is stored by the request of this moment, with its entries, the first of which stands at
    /// `place` behind the request's first offset. `last` is how far behind that one may be.
    pub fn finalize(self, Moment { now, offset }: Moment, place: u64, last: u64) -> (Arc<Profile>, Vec<Entry>) {
        let fixed = |at: u64| if at < THIS_REQUEST { at } else { offset + (at - THIS_REQUEST).min(last) };
        let mut profile = self.profile;
        let fix = |at: &mut u64, time: &mut Time| {
            if *at >= THIS_REQUEST {
                (*at, *time) = (fixed(*at), now);
            }
        };
        for path in &self.written {
            profile.fields.change(path, |field| {
                fix(&mut field.offset, &mut field.time);
                field.parts.iter_mut().for_each(|part| fix(&mut part.offset, &mut part.time));
            });
        }
        profile.conflicts.iter_mut().for_each(|lost| fix(&mut lost.written.offset, &mut lost.written.time));
        profile.keys.iter_mut().for_each(|known| known.since = fixed(known.since));
        profile.aliases.iter_mut().for_each(|alias| alias.since = fixed(alias.since));
        if self.is_new {
            profile.since = fixed(profile.since);
            profile.inserted = now;
        }
        let visits = profile.latest_visits.iter_mut().flatten();
        visits.filter(|visit| self.begun.contains(&visit.session)).for_each(|visit| visit.begun = now);
        if self.touched {
            profile.updated = now;
        }
        let reference = profile.reference();
        let mut entries = Vec::new();
        if self.changed {
            let by = &reference;
            let names = self.names.map(|names| *names).unwrap_or_default();
            let absorbed = names.absorbed.into_iter();
            let fixed_request = |request: MergingRequest| MergingRequest {
                begins: fixed(request.begins),
                merges: fixed(request.merges),
            };
            let merged = |merge: Merge| Merge { request: merge.request.map(fixed_request), ..merge };
            entries.extend(absorbed.map(|(absorbed, merge)| {
                let (by, merge) = (by.clone(), merged(merge));
                Entry::Absorbed { absorbed, by, merge }
            }));
            entries.extend(names.shortcuts.into_iter().map(|(name, to)| Entry::Shortcut { name, to }));
            profile.written = offset + place + entries.len() as u64;
            let profile = Arc::new(profile);
            entries.push(Entry::Profile(profile.clone()));
            if !self.changes.is_empty() {
                entries.push(Entry::ProfileChanged { profile: by.clone(), changes: self.changes });
            }
            if !names.former_keys.is_empty() {
                entries.push(Entry::NamesDeleted { names: Vec::new(), keys: names.former_keys });
            }
            entries.extend(names.new_keys.into_iter().map(|key| Entry::MergeKey { key, profile: by.clone() }));
            let blocked = names.blocked_keys.into_iter();
            entries.extend(blocked.map(|(place, key)| Entry::Definition(Arc::new(blocked_key(&place, key, now)))));
            entries.extend(self.alias.map(|name| Entry::Name { name, since: offset, profile: by.clone() }));
            return (profile, entries);
        }
        (Arc::new(profile), entries)
    }
}
