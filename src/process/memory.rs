//! What a request keeps when it starts again.

use std::collections::{BTreeMap, HashMap};

use super::{
    Interrupted,
    lookup::{Lookups, Question},
};
use crate::{
    clock::Clock,
    model::{Id, Value},
    store::Key,
};

/// What a request found out about itself so far: it goes by this when it starts again.
///
/// The events of a payload without a session may be about different people. They are processed in parts: each event is
/// one of its own, until two turn out to be about the same profile or in the same session. A part goes by the number of
/// its first event.
#[derive(Default)]
pub struct Memory {
    /// Names that turned up on the way.
    pub names: Vec<Key>,
    /// The session that a workflow attached to a part.
    sessions: BTreeMap<usize, Id>,
    /// The earlier part that a part belongs to.
    joined: HashMap<usize, usize>,
    answers: HashMap<[u8; 32], Result<Value, String>>,
    /// Ids that were given, and how many of them since it started again.
    ids: Vec<Id>,
    ids_used: usize,
}

impl Memory {
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

    /// What an external system says; it is asked once.
    pub(super) async fn answer(&mut self, lookups: &Lookups, question: &Question) -> Result<Value, String> {
        if let Some(answer) = self.answers.get(&question.hash) {
            return answer.clone();
        }
        let answer = lookups.ask(question).await;
        self.answers.insert(question.hash, answer.clone());
        answer
    }

    /// The sessions that workflows attached.
    pub fn sessions(&self) -> impl Iterator<Item = &Id> {
        self.sessions.values()
    }

    /// The session that a workflow attached to a part.
    pub fn session(&self, part: usize) -> Option<&Id> {
        self.sessions.get(&part)
    }

    /// The part that an event belongs to.
    pub fn part_of(&self, event: usize) -> usize {
        let mut first = event;
        while let Some(earlier) = self.joined.get(&first) {
            first = *earlier;
        }
        first
    }

    /// Keeps in mind why a part was not processed to its end.
    ///
    /// # Errors
    /// The request does not start again for this.
    pub fn note(&mut self, why: Interrupted, part: usize) -> Result<(), Interrupted> {
        match why {
            Interrupted::Names(names) => self.names.extend(names),
            Interrupted::Joins(earlier) => self.join(earlier, part),
            Interrupted::Session(id) => {
                let same = self.sessions.iter().find(|(_, known)| **known == id).map(|(other, _)| *other);
                match same {
                    Some(other) => self.join(other, part),
                    None => _ = self.sessions.insert(part, id),
                }
            }
            Interrupted::Again => {}
            refused => return Err(refused),
        }
        Ok(())
    }

    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.part_of(one), self.part_of(other));
        if one == other {
            return;
        }
        let (first, later) = (one.min(other), one.max(other));
        self.joined.insert(later, first);
        if let Some(session) = self.sessions.remove(&later) {
            self.sessions.entry(first).or_insert(session);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_belong_together_become_one_with_the_first_session() {
        let mut memory = Memory::default();
        let id = |text| Id::required(text).unwrap();
        memory.note(Interrupted::Session(id("a")), 2).unwrap();
        memory.note(Interrupted::Session(id("b")), 3).unwrap();
        memory.note(Interrupted::Joins(2), 3).unwrap();
        memory.note(Interrupted::Session(id("a")), 1).unwrap();
        memory.note(Interrupted::Joins(2), 1).unwrap();
        assert_eq!([0, 1, 2, 3].map(|event| memory.part_of(event)), [0, 1, 1, 1]);
        assert_eq!(memory.sessions().collect::<Vec<_>>(), [&id("a")]);
        assert_eq!(memory.session(1), Some(&id("a")));
        let refused = Interrupted::NotAccepted("no".into());
        assert!(matches!(memory.note(refused, 0), Err(Interrupted::NotAccepted(_))));
    }
}
