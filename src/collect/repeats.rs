//! Events that their source sent before: they are not stored, processed or counted again (docs/contract.md, section 6).

use std::collections::HashSet;

use super::{admit::Admitted, identify::Identified};
use crate::{model::EventPayload, store::EventPlace};

/// The events of a payload without the repeats.
pub struct Sifted<'a> {
    pub events: Vec<SiftedEvent<'a>>,
    pub warnings: Vec<String>,
    /// There were events, and the source had given the ids of all of them before.
    pub only_repeats: bool,
    /// Where the first repeated event stands.
    pub first_repeat: Option<EventPlace>,
}

/// An event that its source did not send before.
pub struct SiftedEvent<'a> {
    /// Its place in the payload.
    pub place: usize,
    pub event: &'a EventPayload,
    /// It is to be stored.
    pub save: bool,
}

pub fn sift<'a>(admitted: &'a Admitted, identified: &Identified) -> Sifted<'a> {
    let sent = &admitted.incoming.payload.events;
    let mut sifted = Sifted {
        events: Vec::with_capacity(sent.len()),
        warnings: Vec::new(),
        only_repeats: false,
        first_repeat: None,
    };
    let mut stored_here = HashSet::new();
    for (place, (event, repeat)) in sent.iter().zip(&identified.repeats).enumerate() {
        let save = event.save && admitted.save_events;
        if let Some(id) = &event.id {
            // An unsaved event leaves its id free, also for the next one in the same payload.
            if repeat.is_some() || stored_here.contains(id) {
                sifted.warnings.push(format!("Event {id} was already registered."));
                sifted.first_repeat = sifted.first_repeat.or_else(|| repeat.clone());
                continue;
            }
            if save {
                stored_here.insert(id);
            }
        }
        sifted.events.push(SiftedEvent { place, event, save });
    }
    sifted.only_repeats = sifted.events.is_empty() && !sent.is_empty();
    sifted
}
