//! What becomes of each entry of a block.

use std::sync::Arc;

use super::survey::{Found, SessionFate};
use crate::{
    model::{ErasureKind, Event, EventRequest, Json, MergeKey, ProfileRef},
    store::{
        entry::{self, Entry},
        log::Encoded,
    },
};

#[derive(Debug, PartialEq)]
enum Fate {
    Stays,
    Gone,
    Becomes(Entry),
}

/// The block's entries encoded without what is to go, each at its offset; `None`: all of them stay as they are.
pub fn changed(found: &Found, block: &Encoded<'_>) -> Result<Option<Vec<u8>>, &'static str> {
    let entries = block.entries()?;
    let fates = fates(found, block.first, &entries);
    if fates.iter().all(|fate| *fate == Fate::Stays) {
        return Ok(None);
    }
    let mut raw = Vec::with_capacity(block.raw.len());
    if block.is_of_format_3() {
        let spans = block.spans()?;
        for ((offset, fate), span) in (block.first..).zip(fates).zip(spans) {
            match fate {
                Fate::Stays => raw.extend_from_slice(&block.raw[span]),
                Fate::Becomes(
                    entry @ (Entry::Request(_) | Entry::Event(_) | Entry::Session(_) | Entry::Passed { .. }),
                ) => {
                    entry::encode_into(&mut raw, &entry); // it has the same form there
                }
                Fate::Becomes(Entry::ProfileDeleted { id, names, keys, .. }) if names.is_empty() && keys.is_empty() => {
                    raw.append(&mut Encoded::profile_deleted_of_format_3(&id));
                }
                // There, nothing is said by an event that is deleted and is none.
                _ => entry::encode_into(&mut raw, &Entry::EventDeleted(offset)),
            }
        }
        return Ok(Some(raw));
    }
    for (fate, entry) in fates.into_iter().zip(entries) {
        let entry = match fate {
            Fate::Stays => entry,
            Fate::Gone => Entry::Erased,
            Fate::Becomes(entry) => entry,
        };
        entry::encode_into(&mut raw, &entry);
    }
    Ok(Some(raw))
}

fn fates(found: &Found, first: u64, entries: &[Entry]) -> Vec<Fate> {
    let mut fates: Vec<Fate> = Vec::with_capacity(entries.len());
    // The request of the events that follow: its place, and what becomes of them with it.
    let mut request: Option<Of> = None;
    for (offset, entry) in (first..).zip(entries) {
        let fate = match entry {
            Entry::Request(shared) | Entry::ImportedRequest(shared) => {
                close(&mut request, &mut fates);
                let form = if matches!(entry, Entry::Request(_)) { Entry::Request } else { Entry::ImportedRequest };
                let (events, fate) = of_request(found, offset, shared, form);
                request = Some(Of { place: fates.len(), events, kept: 0, gone: 0 });
                fate
            }
            Entry::Event(event) | Entry::ImportedEvent(event) => {
                let form = if matches!(entry, Entry::Event(_)) { Entry::Event } else { Entry::ImportedEvent };
                let fate = of_event(found, offset, event, request.as_ref().map(|of| of.events), form);
                if let Some(of) = &mut request {
                    *(if fate == Fate::Gone { &mut of.gone } else { &mut of.kept }) += 1;
                }
                fate
            }
            // It stands right behind the session or profile that it is said of.
            Entry::Imported { made, .. } => match fates.last() {
                Some(Fate::Gone) => Fate::Gone,
                Some(Fate::Becomes(_)) => Fate::Becomes(Entry::Imported { made: *made, shown: Json::empty_object() }),
                Some(Fate::Stays) | None => Fate::Stays,
            },
            other => of_other(found, offset, other),
        };
        fates.push(fate);
    }
    close(&mut request, &mut fates);
    fates
}

/// A request whose events are looked at.
struct Of {
    place: usize,
    events: Events,
    kept: usize,
    gone: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Events {
    Stay,
    Go,
    AreStripped,
}

/// Of a request all of whose events are gone, nothing stays.
fn close(request: &mut Option<Of>, fates: &mut [Fate]) {
    if let Some(of) = request.take().filter(|of| of.kept == 0 && of.gone > 0) {
        fates[of.place] = Fate::Gone;
    }
}

fn of_request(
    found: &Found,
    offset: u64,
    request: &EventRequest,
    form: impl FnOnce(Arc<EventRequest>) -> Entry,
) -> (Events, Fate) {
    let named = match (&request.profile, &request.session) {
        (Some(profile), _) => found.whose(&profile.id, offset),
        (None, Some(session)) => found.forgotten_visitor(session, offset),
        (None, None) => None,
    };
    match named {
        None => (Events::Stay, Fate::Stays),
        Some(named) if named.kind == ErasureKind::Erased => (Events::Go, Fate::Gone),
        Some(named) => {
            let stripped = named.strip(request);
            (Events::AreStripped, becomes(*request == stripped, || form(Arc::new(stripped))))
        }
    }
}

fn of_event(
    found: &Found,
    offset: u64,
    event: &Event,
    events: Option<Events>,
    form: impl FnOnce(Arc<Event>) -> Entry,
) -> Fate {
    match events {
        Some(Events::Go) => Fate::Gone,
        _ if found.is_erased_event(offset) => Fate::Gone,
        Some(Events::AreStripped) => {
            let stripped = event.stripped();
            becomes(*event == stripped, || form(Arc::new(stripped)))
        }
        _ => Fate::Stays,
    }
}

fn of_other(found: &Found, offset: u64, entry: &Entry) -> Fate {
    let named = |profile: &ProfileRef| found.whose(&profile.id, offset);
    let gone_if = |is_gone: bool| if is_gone { Fate::Gone } else { Fate::Stays };
    match entry {
        Entry::Session(session) => match found.session(offset, session) {
            None => Fate::Stays,
            Some(SessionFate::Gone) => Fate::Gone,
            Some(SessionFate::Stripped(profile)) => {
                let stripped = session.stripped(profile);
                becomes(**session == stripped, || Entry::Session(Arc::new(stripped)))
            }
        },
        Entry::Profile(state) | Entry::ProfileOfFormat3(state) | Entry::AbsorbedState(state) => {
            gone_if(found.whose(&state.id, offset).is_some() || found.is_mixed(&state.reference(), offset))
        }
        Entry::ProfileChanged { profile, .. } => gone_if(named(profile).is_some() || found.is_mixed(profile, offset)),
        Entry::Name { name, profile, .. } => gone_if(found.whose(name, offset).is_some() || named(profile).is_some()),
        Entry::Visited { session, profile, moved } => of_visit(found, offset, *session, profile, moved.as_ref()),
        Entry::SessionDeleted(_) => gone_if(found.is_deletion_of_gone(offset)),
        Entry::ProfileDeleted { id, names, keys, ids } => {
            if found.whose(id, offset).is_some() {
                return Fate::Gone;
            }
            let (names, keys, is_same) = of_names(found, offset, names, keys);
            becomes(is_same, || Entry::ProfileDeleted { id: id.clone(), names, keys, ids: *ids })
        }
        Entry::NamesDeleted { names, keys } => {
            let (names, keys, is_same) = of_names(found, offset, names, keys);
            if names.is_empty() && keys.is_empty() && !is_same {
                return Fate::Gone;
            }
            becomes(is_same, || Entry::NamesDeleted { names, keys })
        }
        Entry::Absorbed { absorbed, .. } if named(absorbed).is_some() => Fate::Gone,
        // Who is not named and was part of them is nobody by themselves: so it stays.
        Entry::Absorbed { absorbed, by, .. } if named(by).is_some() => Fate::Becomes(Entry::ProfileDeleted {
            id: absorbed.id.clone(),
            names: Vec::new(),
            keys: Vec::new(),
            ids: 1,
        }),
        Entry::Split { profile } => gone_if(named(profile).is_some()),
        Entry::Shortcut { name, to } => gone_if(named(name).is_some() || named(to).is_some()),
        Entry::MergeKey { key, profile } => gone_if(named(profile).is_some() || found.was_taken_over(key, offset)),
        Entry::Delayed(event) => gone_if(match (&event.profile, &event.session) {
            (Some(profile), _) => named(profile).is_some(),
            (None, Some(session)) => found.is_session_of_them(session, offset),
            (None, None) => false,
        }),
        Entry::Passed { kind, id, pass } => match &pass.under_way {
            // What is left of the pass is left to the next one.
            Some(profile) if found.whose(profile, offset).is_some() => {
                let pass = crate::model::Pass { under_way: None, ..pass.clone() };
                Fate::Becomes(Entry::Passed { kind: *kind, id: id.clone(), pass })
            }
            _ => Fate::Stays,
        },
        Entry::Named(named) => gone_if(found.is_erasure(&named.erasure)),
        _ => Fate::Stays,
    }
}

/// Who had a session once, without those who are named.
fn of_visit(
    found: &Found,
    offset: u64,
    session: u64,
    profile: &ProfileRef,
    moved: Option<&(ProfileRef, ProfileRef)>,
) -> Fate {
    let now = |profile: &ProfileRef| match found.whose(&profile.id, offset) {
        Some(named) => named.kept.clone(),
        None => Some(profile.clone()),
    };
    let Some(left) = now(profile) else { return Fate::Gone };
    let both = moved.and_then(|(from, to)| now(from).zip(now(to))).filter(|(from, to)| from != to);
    let is_same = left == *profile && both.as_ref() == moved;
    becomes(is_same, || Entry::Visited { session, profile: left, moved: both })
}

/// The names and keys that are not those of who is named; whether these are all.
fn of_names(
    found: &Found,
    offset: u64,
    names: &[ProfileRef],
    keys: &[MergeKey],
) -> (Vec<ProfileRef>, Vec<MergeKey>, bool) {
    let others: Vec<ProfileRef> =
        names.iter().filter(|name| found.whose(&name.id, offset).is_none()).cloned().collect();
    if others.len() == names.len() && !names.is_empty() {
        return (others, keys.to_vec(), true);
    }
    let other_keys: Vec<MergeKey> = keys.iter().filter(|key| !found.is_key_of_them(key)).copied().collect();
    let is_same = others.len() == names.len() && other_keys.len() == keys.len();
    (others, other_keys, is_same)
}

fn becomes(is_same: bool, entry: impl FnOnce() -> Entry) -> Fate {
    if is_same { Fate::Stays } else { Fate::Becomes(entry()) }
}
