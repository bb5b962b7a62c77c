//! `DELETE /profile/ID?events=true`: nothing of somebody is left.

use std::sync::Arc;

use super::{
    ENTRY_BYTES, EVENTS_AT_ONCE, Rights, SESSIONS_AT_ONCE, STATE_BYTES, Taken,
    person::{self, Events, People},
};
use crate::{
    admin::{delete_names, profile_deleted},
    model::{Definition, Erasure, ErasureKind, Id, Left, Named, Profile, Session, Value},
    process::{Destination, Target},
    store::{Entry, Refused, retry},
};

/// An address or an id so short stands in too much by chance.
const TOLD_BYTES_MIN: usize = 5;

impl Rights {
    /// Erases everything of whoever `id` leads to, or led to when it was deleted. What was erased, once that is durable;
    /// `None` if there is nothing.
    pub async fn erase(&self, id: &Id) -> Result<Option<Arc<Erasure>>, Refused> {
        retry(|| self.try_erase(id)).await
    }

    async fn try_erase(&self, id: &Id) -> Result<Option<Arc<Erasure>>, Refused> {
        let Taken { view, people, sessions, _held } = self.take(id).await?;
        let events = person::events(&view, &people, &sessions, Some(&self.identity)).await?;
        let is_theirs = |session: &Session| session.profile.as_ref().is_some_and(|it| people.ids.contains(&it.id));
        let has_sessions = !sessions.own.is_empty() || sessions.shared.iter().any(is_theirs);
        if people.profile.is_none() && !has_sessions && events.shown == 0 {
            return view.answer(None).await;
        }
        let delayed = person::delayed(&view, &people, &sessions).await?;
        let erasure = Erasure {
            events: events.shown,
            sessions: sessions.own.len() as u64,
            profiles: u64::from(people.profile.is_some()),
            ..self.erasure_of(ErasureKind::Erased, &people, &events)
        };
        self.note_in_file(&erasure, &people, &sessions).await?;
        for some in events.list.chunks(EVENTS_AT_ONCE) {
            let entry = Entry::EventsErased {
                erasure: erasure.id.clone(),
                events: some.iter().map(|(offset, _)| *offset).collect(),
                given: some.iter().filter_map(|(offset, hash)| Some(((*hash)?, *offset))).collect(),
            };
            self.write(&view, 2 * STATE_BYTES * some.len(), vec![entry]).await?;
        }
        let ids = people.listed();
        for some in ids.chunks(EVENTS_AT_ONCE) {
            let hashes = some.iter().map(|id| self.identity.profile_hash(id)).collect();
            self.write(&view, STATE_BYTES * some.len(), vec![Entry::IdsErased { ids: hashes }]).await?;
        }
        for some in sessions.own.chunks(SESSIONS_AT_ONCE) {
            let deleted = some.iter().map(|session| Entry::SessionDeleted(session.id.clone())).collect();
            self.write(&view, STATE_BYTES * some.len(), deleted).await?;
        }
        for some in sessions.shared.chunks(SESSIONS_AT_ONCE) {
            let whose = |session: &Session| session.profile.clone().filter(|_| !is_theirs(session));
            let stripped = some.iter().map(|session| Entry::Session(Arc::new(session.stripped(whose(session)))));
            self.write(&view, STATE_BYTES * some.len(), stripped.collect()).await?;
        }
        let mut entries: Vec<Entry> =
            delayed.iter().map(|((due, number), _)| Entry::DelayedDone { due: *due, number: *number }).collect();
        if let Some(profile) = &people.profile {
            if !profile.lists_all() {
                delete_names(&self.store, &view, profile).await?;
            }
            entries.push(profile_deleted(profile));
        }
        let named = Named {
            erasure: erasure.id.clone(),
            kind: ErasureKind::Erased,
            before: 0,
            ids,
            sessions: sessions.own.into_iter().map(|session| session.id).collect(),
            kept: None,
            told: self.told(&people, &events),
        };
        self.write_named(&view, entries, named, erasure, Vec::new()).await.map(Some)
    }

    /// Writes what ends an erasure: `entries`, whose it is, `behind`, and the erasure itself.
    pub(super) async fn write_named(
        &self,
        view: &crate::store::ReadView,
        mut entries: Vec<Entry>,
        mut named: Named,
        mut erasure: Erasure,
        behind: Vec<Entry>,
    ) -> Result<Arc<Erasure>, Refused> {
        let states = entries.len() + behind.len() + named.ids.len() + named.sessions.len();
        let permit = self.store.permit(ENTRY_BYTES + STATE_BYTES * states).await?;
        let (erasure, pending) = view.push(permit, |moment| {
            let place = entries.len() as u64;
            named.before = moment.offset + place;
            erasure.named_at = named.before;
            let erasure = Arc::new(erasure);
            entries.push(Entry::Named(Arc::new(named)));
            entries
                .extend(behind.into_iter().zip(named_behind(moment.offset + place + 1)).map(|(entry, at)| at(entry)));
            entries.push(Entry::Erasure(erasure.clone()));
            (entries, erasure)
        })?;
        pending.durable().await?;
        Ok(erasure)
    }

    /// An erasure of this kind that is asked for now; how much it is about is said by whoever asks.
    pub(super) fn erasure_of(&self, kind: ErasureKind, people: &People, events: &Events) -> Erasure {
        let rules = self.rules.get();
        let had = |destination: &&Arc<Destination>| has_something(destination, people, events);
        let destinations = || rules.destinations().iter().filter(had);
        let files = destinations().filter_map(|destination| match &destination.target {
            Target::File(file) => Some(Left::File { destination: destination.id.clone(), file: file.clone() }),
            Target::Webhook(_) => None,
        });
        let told = told_of(people);
        let is_told = |definition: &&Arc<Definition>| holds(definition.body.as_str(), &told);
        let definitions = self.store.definitions();
        let definitions = definitions.iter().filter(is_told);
        let definitions = definitions.map(|it| Left::Definition { kind: it.kind, id: it.id.clone() });
        Erasure {
            id: self.clock.make_id(),
            kind,
            asked: self.clock.now(),
            events: 0,
            sessions: 0,
            profiles: 0,
            named_at: 0,
            destinations: match kind {
                ErasureKind::Erased => destinations().filter(|it| it.enabled).map(|it| it.id.clone()).collect(),
                ErasureKind::Forgotten => Vec::new(),
            },
            left: files.chain(definitions).collect(),
            done: None,
        }
    }

    /// The destinations that would not hear of it by the profile's deletion.
    fn told(&self, people: &People, events: &Events) -> Vec<Id> {
        let rules = self.rules.get();
        let hears = |destination: &Destination| destination.profiles && people.profile.is_some();
        let told = rules.destinations().iter().filter(|it| it.enabled && !hears(it));
        told.filter(|it| has_something(it, people, events)).map(|it| it.id.clone()).collect()
    }
}

/// States of profiles know where they stand.
fn named_behind(first: u64) -> impl Iterator<Item = impl FnOnce(Entry) -> Entry> {
    (first..).map(|offset| {
        move |entry| match entry {
            Entry::Profile(profile) => Entry::Profile(Arc::new(Profile { written: offset, ..(*profile).clone() })),
            other => other,
        }
    })
}

/// Whether a destination may have been told something of somebody: its condition is not asked.
fn has_something(destination: &Destination, people: &People, events: &Events) -> bool {
    destination.profiles && people.profile.is_some() || events.kinds.iter().any(|kind| destination.takes_type(kind))
}

/// Addresses, numbers and ids that tell who somebody is, in lower case.
fn told_of(people: &People) -> Vec<String> {
    let mut told: Vec<String> = people.ids.iter().map(|id| id.text().to_lowercase()).collect();
    if let Some(profile) = &people.profile {
        let facts = Value::from(&profile.facts);
        for part in ["contact", "identifier"] {
            if let Some(part) = facts.get(&["data".into(), part.into()]) {
                texts(part, &mut told);
            }
        }
    }
    told.retain(|text| text.len() >= TOLD_BYTES_MIN);
    told
}

/// The texts and numbers in a value.
fn texts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Text(_) | Value::Number(_) => found.push(value.to_text().to_lowercase()),
        Value::List(values) => values.iter().for_each(|value| texts(value, found)),
        Value::Object(object) => object.iter().for_each(|(_, value)| texts(value, found)),
        _ => {}
    }
}

fn holds(body: &str, told: &[String]) -> bool {
    let body = body.to_lowercase();
    told.iter().any(|text| body.contains(text.as_str()))
}
