//! What a request keeps when it starts again.

use std::collections::{BTreeMap, HashMap};

use crate::{
    clock::Clock,
    model::{Id, Value},
    process::{
        Interrupted,
        outbound::lookup::{Lookups, Question},
    },
    store::Key,
};

/// What a request found out about itself so far: it goes by this when it starts again.
#[derive(Default)]
pub struct RetryState {
    /// Names that turned up on the way.
    pub names: Vec<Key>,
    /// The session that a workflow attached to a part, by the place of the part's first event in the payload.
    sessions: BTreeMap<usize, Id>,
    /// The ids of events that came without one, by their places.
    event_ids: BTreeMap<usize, Id>,
    /// How often what is set up changed while the request was processed.
    pub outdated: usize,
    answers: HashMap<[u8; 32], Result<Value, String>>,
    /// Ids that were given, and how many of them since it started again.
    ids: Vec<Id>,
    ids_used: usize,
}

impl RetryState {
    /// It starts again.
    pub fn begin(&mut self) {
        self.ids_used = 0;
    }

    /// An id for something that the request makes: the same one when it starts again.
    pub fn new_id(&mut self, clock: &Clock) -> Id {
        if self.ids_used == self.ids.len() {
            self.ids.push(clock.make_id());
        }
        self.ids_used += 1;
        self.ids[self.ids_used - 1].clone()
    }

    /// The id of the event at `place`, which came without one: the same one when the request starts again.
    pub fn event_id(&mut self, place: usize, clock: &Clock) -> Id {
        self.event_ids.entry(place).or_insert_with(|| clock.make_id()).clone()
    }

    /// What an external system says; it is asked once.
    pub(super) async fn answer(&mut self, lookups: &Lookups, question: &Question) -> Result<Value, String> {
        if let Some(answer) = self.answers.get(&question.hash) {
            return answer.clone();
        }
        let answer = lookups.ask(question).await;
        self.answers.insert(question.hash, answer.clone());
        answer
    }

    /// Whether people were looked for by what they are known by, or external systems were asked.
    pub fn has_sought(&self) -> bool {
        !self.answers.is_empty() || self.names.iter().any(|name| matches!(name, Key::MergeKey(_)))
    }

    /// The sessions that workflows attached.
    pub fn sessions(&self) -> impl Iterator<Item = &Id> {
        self.sessions.values()
    }

    /// The session that a workflow attached to the part that begins at `place`.
    pub fn session(&self, place: usize) -> Option<&Id> {
        self.sessions.get(&place)
    }

    /// Keeps in mind why the part that begins at `place` was not processed to its end.
    ///
    /// # Errors
    /// The request does not start again for this.
    pub fn note(&mut self, why: Interrupted, place: usize) -> Result<(), Interrupted> {
        match why {
            Interrupted::Names(names) => self.names.extend(names),
            Interrupted::Session(id) => _ = self.sessions.insert(place, id),
            Interrupted::Again => {}
            refused => return Err(refused),
        }
        Ok(())
    }
}
