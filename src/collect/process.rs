//! What happens to each event: repeats are left out, the rest is counted and, unless it says otherwise, kept.

use std::collections::HashSet;

use super::{admit::Admitted, identify::Identified};
use crate::{model::EventPayload, store::EventPlace};

/// The type whose events count as a profile's views.
const PAGE_VIEW: &str = "page-view";

/// The events of a payload after processing.
pub struct Processed<'a> {
    /// The events that took effect, in order; `true`: to be stored.
    pub events: Vec<(&'a EventPayload, bool)>,
    /// How many of them are page views.
    pub views: u64,
    pub warnings: Vec<String>,
    /// There were events, and the source had given the ids of all of them before.
    pub only_repeats: bool,
    /// Where the first repeated event stands.
    pub first_repeat: Option<EventPlace>,
}

pub fn process<'a>(admitted: &'a Admitted, identified: &Identified) -> Processed<'a> {
    let sent = &admitted.incoming.payload.events;
    let mut processed = Processed {
        events: Vec::with_capacity(sent.len()),
        views: 0,
        warnings: Vec::new(),
        only_repeats: false,
        first_repeat: None,
    };
    let mut stored_here = HashSet::new();
    for (event, repeat) in sent.iter().zip(&identified.repeats) {
        let save = event.save && admitted.save_events;
        if let Some(id) = &event.id {
            // An unsaved event leaves its id free, also for the next one in the same payload.
            if repeat.is_some() || stored_here.contains(id) {
                processed.warnings.push(format!("Event {id} was already registered."));
                processed.first_repeat = processed.first_repeat.or_else(|| repeat.clone());
                continue;
            }
            if save {
                stored_here.insert(id);
            }
        }
        processed.views += u64::from(&*event.kind.id == PAGE_VIEW);
        processed.events.push((event, save));
    }
    processed.only_repeats = processed.events.is_empty() && !sent.is_empty();
    processed
}
