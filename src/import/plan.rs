//! What is stored of a batch of documents.

mod fix;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::outcome::Outcome;
use crate::{
    clock::Clock,
    model::{
        Document, EventDocument, EventRequest, Fault, Field, Id, Json, MergeKey, Person, Profile, ProfileDocument,
        SessionDocument, Time, Value, Visit,
    },
    process::{Identity, find_profile, referred_profile},
    store::{Key, ReadView, Refused, Store},
};

pub use fix::Ready;
use fix::{ReadyEvents, ReadyProfile, ReadySession, UNPLACED, Whose};

/// The names that are held while the documents are decided on.
pub fn names(documents: &[(u64, Document)], identity: &Identity, source: Option<&Id>) -> Vec<Key> {
    let mut names = Vec::new();
    for (_, document) in documents {
        match document {
            Document::Event(event) => {
                if let Some(source) = event.source.as_ref().or(source) {
                    names.push(Key::EventId { id: event.event.id.clone(), source: source.clone() });
                }
                if let (Some(profile), Some(person)) = (&event.profile, &event.person) {
                    names.extend(
                        [Some(profile), person.alias.as_ref()].into_iter().flatten().cloned().map(Key::Profile),
                    );
                }
            }
            Document::Session(session) => names.push(Key::Session(session.session.id.clone())),
            Document::Profile(document) => {
                let ProfileDocument { profile, names: others, .. } = &**document;
                names.extend(others.iter().chain([&profile.id]).cloned().map(Key::Profile));
                names.extend(identity.keys_of(&profile.facts, None).into_iter().map(|(key, _)| Key::MergeKey(key)));
            }
        }
    }
    names
}

/// Writes what was said of somebody at `time`, where nothing was said later; whether that changed anything.
fn write_traits(profile: &mut Profile, traits: &Json, time: Time) -> bool {
    if traits.is_empty_object() {
        return false;
    }
    let (said, mut facts) = (Value::from(traits), Value::from(&profile.facts));
    let mut leaves = Vec::new();
    said.leaves(&["traits"].into_iter().collect(), &mut leaves);
    let mut is_changed = false;
    for path in leaves {
        let written = path.to_string();
        let is_later = profile.fields.within(&written).any(|field| field.time > time);
        let Some(value) = said.get(&path.steps()[1..]).filter(|_| !is_later) else { continue };
        if facts.set(path.steps(), value.clone()).is_ok() {
            profile.fields.forget_around(&written);
            profile.fields.insert(written.into(), Field::set(UNPLACED, time));
            is_changed = true;
        }
    }
    if is_changed {
        profile.facts = facts.to_json();
        profile.updated = profile.updated.max(time);
    }
    is_changed
}

/// Decides what is stored of documents, one after the other, while their names are held.
pub struct Plan<'a> {
    view: &'a ReadView,
    store: &'a Store,
    clock: &'a Clock,
    identity: &'a Identity,
    /// The source of events that name none.
    source: Option<&'a Id>,
    /// The events, by source and id, that are stored or planned already.
    known_events: HashSet<(Id, Id)>,
    sessions: HashSet<Id>,
    /// Whom an id leads to, as far as it was asked.
    people: HashMap<Id, Whose>,
    keys: HashSet<MergeKey>,
    ready: Ready,
    outcome: Outcome,
}

impl<'a> Plan<'a> {
    pub fn new(
        view: &'a ReadView,
        store: &'a Store,
        clock: &'a Clock,
        identity: &'a Identity,
        source: Option<&'a Id>,
    ) -> Self {
        Self {
            view,
            store,
            clock,
            identity,
            source,
            known_events: HashSet::new(),
            sessions: HashSet::new(),
            people: HashMap::new(),
            keys: HashSet::new(),
            ready: Ready::default(),
            outcome: Outcome::default(),
        }
    }

    /// Looks up all events at once: those that are stored, and those that were until they were erased.
    pub async fn read_known(&mut self, documents: &[(u64, Document)]) -> Result<(), Refused> {
        let events = documents.iter().filter_map(|(_, document)| {
            let Document::Event(event) = document else { return None };
            Some((event.source.as_ref().or(self.source)?.clone(), event.event.id.clone()))
        });
        let events: Vec<(Id, Id)> = events.collect();
        if !events.is_empty() {
            self.known_events = self.view.known_events(&events).await?;
        }
        for (source, id) in events {
            if self.view.erased_id(|| self.identity.event_hash(&id, &source)).await?.is_some() {
                self.known_events.insert((source, id));
            }
        }
        Ok(())
    }

    pub async fn add(&mut self, line: u64, document: &Document) -> Result<(), Refused> {
        match document {
            Document::Event(event) => self.add_event(line, event).await,
            Document::Session(session) => self.add_session(session).await,
            Document::Profile(profile) => self.add_profile(line, profile).await,
        }
    }

    pub fn end(self) -> (Ready, Outcome) {
        (self.ready, self.outcome)
    }

    async fn add_event(&mut self, line: u64, document: &EventDocument) -> Result<(), Refused> {
        let Some(source) = document.source.as_ref().or(self.source) else {
            self.outcome.refuse(line, &Fault::missing().at("id").at("source"));
            return Ok(());
        };
        // What the server noted by itself has a source that nobody registers.
        if !source.is_reserved() && self.store.source(source).is_none() {
            self.outcome.refuse_source(line, source);
            return Ok(());
        }
        if !self.known_events.insert((source.clone(), document.event.id.clone())) {
            self.outcome.skipped.events += 1;
            return Ok(());
        }
        let whose = match &document.profile {
            None => None,
            Some(id) => match (self.whose(id).await?, &document.person) {
                (Whose::Nobody(_), Some(person)) => Some(self.make_person(id, person, document.inserted).await?),
                (whose, Some(person)) => {
                    self.tell_of(id, &whose, person, document.inserted).await?;
                    Some(whose)
                }
                (whose, None) => Some(whose),
            },
        };
        self.outcome.without_profile += u64::from(matches!(whose, Some(Whose::Nobody(_))));
        let request = EventRequest {
            inserted: document.inserted,
            source: source.clone(),
            session: document.session.clone(),
            profile: None,
            profile_less: document.profile_less,
            context: Json::empty_object(),
            client: Arc::new(document.client.clone()),
            bot: document.bot,
            profile_state: None,
            imported: true,
        };
        self.ready.add_event(ReadyEvents { request, whose, list: vec![document.event.clone()] });
        self.outcome.imported.events += 1;
        Ok(())
    }

    async fn add_session(&mut self, document: &SessionDocument) -> Result<(), Refused> {
        let SessionDocument { profile, session, shown } = document;
        if !self.sessions.insert(session.id.clone()) || self.view.session(&session.id).await?.is_some() {
            self.outcome.skipped.sessions += 1;
            self.outcome.ids_skipped.push(session.id.clone());
            return Ok(());
        }
        let whose = match profile {
            Some(id) => Some(self.whose(id).await?),
            None => None,
        };
        self.outcome.without_profile += u64::from(matches!(whose, Some(Whose::Nobody(_))));
        self.outcome.ids.push(session.id.clone());
        self.ready.sessions.push(ReadySession { session: session.clone(), whose, shown: shown.clone() });
        self.outcome.imported.sessions += 1;
        Ok(())
    }

    async fn add_profile(&mut self, line: u64, document: &ProfileDocument) -> Result<(), Refused> {
        let ProfileDocument { profile, names, visits } = document;
        if !matches!(self.whose(&profile.id).await?, Whose::Nobody(_)) {
            self.outcome.skipped.profiles += 1;
            self.outcome.ids_skipped.push(profile.id.clone());
            return Ok(());
        }
        for (place, name) in names.iter().enumerate() {
            if !matches!(self.whose(name).await?, Whose::Nobody(_)) {
                let taken = Fault::new("value_error", format!("{name} leads to another profile"));
                self.outcome.refuse(line, &taken.at_index(place).at("ids"));
                return Ok(());
            }
        }
        let mut profile = profile.clone();
        for (visit, begun) in profile.latest_visits.iter_mut().zip(visits) {
            // The document does not tell which session it was: it is none that anybody has.
            *visit = begun.map(|begun| Visit { begun, session: self.clock.make_id() });
        }
        self.make_profile(profile, names.clone()).await?;
        self.outcome.ids.push(document.profile.id.clone());
        self.outcome.imported.profiles += 1;
        Ok(())
    }

    /// Makes the profile of somebody that nothing but an event speaks of.
    async fn make_person(&mut self, id: &Id, person: &Person, time: Time) -> Result<Whose, Refused> {
        let mut profile = Profile::new(id.clone(), 0, time);
        write_traits(&mut profile, &person.traits, time);
        let mut names = Vec::new();
        if let Some(alias) = &person.alias
            && matches!(self.whose(alias).await?, Whose::Nobody(_))
        {
            names.push(alias.clone());
        }
        self.outcome.imported.profiles += 1;
        self.make_profile(profile, names).await
    }

    /// Writes what an event says of somebody who is there.
    async fn tell_of(&mut self, id: &Id, whose: &Whose, person: &Person, time: Time) -> Result<(), Refused> {
        if person.traits.is_empty_object() {
            return Ok(());
        }
        match whose {
            Whose::Made(place) => _ = write_traits(&mut self.ready.profiles[*place].profile, &person.traits, time),
            // Only the name of the profile itself is held: who is called so by another name stays as they are.
            Whose::Stored(profile) if profile.id == *id => {
                let changed = &mut self.ready.changed;
                if let Some(changed) = changed.iter_mut().find(|changed| changed.id == *id) {
                    write_traits(changed, &person.traits, time);
                } else if let Some(profile) = self.view.profile(id).await? {
                    let mut profile = (*profile).clone();
                    if write_traits(&mut profile, &person.traits, time) {
                        changed.push(profile);
                    }
                }
            }
            Whose::Stored(_) | Whose::Nobody(_) => {}
        }
        Ok(())
    }

    /// Plans a profile that is not there, with other ids that lead nowhere yet.
    async fn make_profile(&mut self, profile: Profile, names: Vec<Id>) -> Result<Whose, Refused> {
        let keys = self.identity.keys_of(&profile.facts, None);
        let mut free = Vec::with_capacity(keys.len());
        for (key, former) in keys {
            // Who is found by it already stays so.
            if !self.is_somebodys(key, former).await? && self.keys.insert(key) {
                free.push(key);
            }
        }
        let whose = Whose::Made(self.ready.profiles.len());
        for id in names.iter().chain([&profile.id]) {
            self.people.insert(id.clone(), whose.clone());
        }
        self.ready.profiles.push(ReadyProfile { profile, names, keys: free });
        Ok(whose)
    }

    /// Whether a key leads to somebody, or what the store has of the same value from before.
    async fn is_somebodys(&self, key: MergeKey, former: Option<MergeKey>) -> Result<bool, Refused> {
        if self.view.merge_key(key).await?.is_some() {
            return Ok(true);
        }
        let Some(former) = former else { return Ok(false) };
        let Some(reference) = self.view.merge_key(former).await? else { return Ok(false) };
        let found = referred_profile(self.view, &reference).await?;
        Ok(found.is_some_and(|profile| self.identity.says(&profile.facts, key, None)))
    }

    /// Whom an id leads to.
    async fn whose(&mut self, id: &Id) -> Result<Whose, Refused> {
        if let Some(known) = self.people.get(id) {
            return Ok(known.clone());
        }
        let whose = match find_profile(self.view, id).await? {
            Some(profile) => Whose::Stored(profile.reference()),
            None => Whose::Nobody(id.clone()),
        };
        self.people.insert(id.clone(), whose.clone());
        Ok(whose)
    }
}
