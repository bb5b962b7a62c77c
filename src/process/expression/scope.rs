//! What conditions, templates and mappings see: the records of a request while they are processed, by path.

use std::{
    borrow::Cow,
    sync::atomic::{AtomicBool, Ordering},
};

use crate::{
    model::{Object, Path, ShownEvent, Time, Value, Zone, kind_in, value_in},
    process::records::Records,
};

/// The records, with what is seen beside them for the moment.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    seen: Seen<'a>,
    /// The event that is processed, by its place.
    event: Option<usize>,
    /// What the steps of the workflow left so far.
    steps: Option<&'a Object>,
    /// The segment that was entered or left.
    segment: Option<&'a str>,
    /// Where days begin.
    zone: Zone,
}

#[derive(Clone, Copy)]
enum Seen<'a> {
    /// Records while they are processed.
    Records(&'a Records<'a>),
    /// Records as they are stored, by their names.
    Stored(&'a Object, Time),
    /// An event as it is stored: only what is looked at is made.
    Event(&'a ShownEvent, Time),
    /// The properties of one, as JSON. What else is looked at is noted, and is not there.
    Properties(&'a str, Time, &'a AtomicBool),
}

impl<'a> Scope<'a> {
    pub fn new(records: &'a Records<'a>, event: Option<usize>) -> Self {
        Self { event, ..Self::of(Seen::Records(records)) }
    }

    fn of(seen: Seen<'a>) -> Self {
        Self { seen, event: None, steps: None, segment: None, zone: Zone::default() }
    }

    /// The same where days begin as they do in `zone`.
    pub fn in_zone(self, zone: Zone) -> Self {
        Self { zone, ..self }
    }

    pub fn zone(&self) -> Zone {
        self.zone
    }

    /// What the condition of a workflow sees that entering or leaving `segment` starts.
    pub fn of_crossing(records: &'a Records<'a>, segment: Option<&'a str>) -> Self {
        Self { segment, ..Self::new(records, None) }
    }

    /// What a step of a workflow sees.
    pub fn of_step(
        records: &'a Records<'a>,
        event: Option<usize>,
        steps: &'a Object,
        segment: Option<&'a str>,
    ) -> Self {
        Self { event, steps: Some(steps), segment, ..Self::of(Seen::Records(records)) }
    }

    /// Records as they are stored: an object that has each under its name.
    pub fn stored(records: &'a Object, now: Time) -> Self {
        Self::of(Seen::Stored(records, now))
    }

    /// An event as it is stored, and nothing beside it.
    pub fn stored_event(event: &'a ShownEvent, now: Time) -> Self {
        Self::of(Seen::Event(event, now))
    }

    /// The properties of an event as it is stored, as JSON; `looks_further` becomes true where something else is looked at.
    pub fn properties(properties: &'a str, now: Time, looks_further: &'a AtomicBool) -> Self {
        Self::of(Seen::Properties(properties, now, looks_further))
    }

    /// What stands at `path`, whose first step names the record.
    pub fn get(&self, path: &Path) -> Option<Cow<'a, Value>> {
        let (root, steps) = path.split_root();
        let records = match self.seen {
            Seen::Records(records) => records,
            Seen::Stored(records, _) => return records.get(root)?.get(steps).map(Cow::Borrowed),
            Seen::Properties(properties, _, looks_further) => {
                if let ("event", Some((part, rest))) = (root, steps.split_first())
                    && **part == *"properties"
                {
                    return value_in(properties, rest).map(Cow::Owned);
                }
                looks_further.store(true, Ordering::Relaxed);
                return None;
            }
            Seen::Event(event, _) => return (root == "event").then(|| event.get(steps)).flatten().map(Cow::Owned),
        };
        match root {
            "event" => records.events.get(self.event?)?.get(records, steps).map(Cow::Borrowed),
            "profile" if steps.is_empty() => records.profile.as_ref().map(|draft| Cow::Owned(draft.whole())),
            "profile" => records.profile.as_ref()?.get(steps).map(Cow::Borrowed),
            "session" if steps.is_empty() => records.session.as_ref().map(|draft| Cow::Owned(draft.whole())),
            "session" => records.session.as_ref()?.get(steps).map(Cow::Borrowed),
            "source" => records.source().get(steps).map(Cow::Borrowed),
            "steps" => match steps.split_first() {
                Some((first, rest)) => self.steps?.get(first)?.get(rest).map(Cow::Borrowed),
                None => self.steps.map(|steps| Cow::Owned(Value::Object(steps.clone()))),
            },
            "segment" => steps.is_empty().then(|| self.segment.map(Value::text)).flatten().map(Cow::Owned),
            _ => None,
        }
    }

    /// How many events of a type the profile had in the last `days`, the last of which is today in the zone.
    pub fn count(&self, kind: &str, days: u64) -> u64 {
        let Seen::Records(records) = self.seen else { return 0 };
        let profile = records.profile.as_ref().map(|draft| &draft.profile);
        profile.map_or(0, |profile| profile.counts.within(&kind_in(kind, self.zone), self.zone.wall(records.now), days))
    }

    /// The server's time, as the clocks of the zone show it.
    pub fn now(&self) -> chrono::DateTime<chrono::FixedOffset> {
        let now = match self.seen {
            Seen::Records(records) => records.now,
            Seen::Stored(_, now) | Seen::Event(_, now) | Seen::Properties(_, now, _) => now,
        };
        self.zone.local(now).fixed_offset()
    }
}
