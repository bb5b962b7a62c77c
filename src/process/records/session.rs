//! A session while it is processed.

use std::sync::OnceLock;

use super::NotWritten;
use crate::model::{Path, Session, Value};

/// About how many bytes may be written to a session: all of it is written again with each change.
const BYTES_MAX: usize = 256 * 1024;

/// A session as it will be.
pub struct SessionDraft {
    /// As it was, or as it begins, with the payload's context and properties in it.
    pub session: Session,
    /// It is stored.
    pub saved: bool,
    pub is_new: bool,
    /// The parts of the request that happened in it.
    pub parts: Vec<usize>,
    /// As it was before the payload, whose consent may be revoked by the payload itself.
    pub before: Option<Box<Session>>,
    traits: OnceLock<Value>,
    shown: OnceLock<Value>,
    traits_changed: bool,
    /// How many bytes longer the traits are by what was written.
    grown: isize,
}

impl SessionDraft {
    pub fn new(session: Session, saved: bool, is_new: bool) -> Self {
        Self {
            session,
            saved,
            is_new,
            parts: Vec::new(),
            before: None,
            traits: OnceLock::new(),
            shown: OnceLock::new(),
            traits_changed: false,
            grown: 0,
        }
    }

    pub fn get(&self, steps: &[Box<str>]) -> Option<&Value> {
        match steps.split_first() {
            Some((part, rest)) if &**part == "traits" => self.traits().get(rest),
            _ => self.shown.get_or_init(|| Value::shown(&self.session.shown())).get(steps),
        }
    }

    /// All of it, with what was written.
    pub fn whole(&self) -> Value {
        let mut session = self.session.clone();
        if self.traits_changed {
            session.traits = self.traits().to_json();
        }
        Value::shown(&session.shown())
    }

    /// Puts `new` in the place of `old` in what was written by this request.
    pub fn replace(&mut self, old: &str, new: &str) {
        if let Some(traits) = self.traits.get_mut().filter(|_| self.traits_changed) {
            traits.replace(old, new);
        }
    }

    /// Forgets what the payload says of the client.
    pub fn forget_payload(&mut self) {
        if let Some(before) = &self.before {
            let Session { context, properties, device, user_agent, landing, .. } = (**before).clone();
            self.session = Session { context, properties, device, user_agent, landing, ..self.session.clone() };
            self.shown = OnceLock::new();
        }
    }

    fn traits(&self) -> &Value {
        self.traits.get_or_init(|| Value::from(&self.session.traits))
    }

    pub(super) fn write(&mut self, path: &Path, steps: &[Box<str>], value: Option<Value>) -> Result<(), NotWritten> {
        self.traits();
        let Some(traits) = self.traits.get_mut() else { return Ok(()) };
        let below = &steps[1..];
        let more = value.as_ref().map_or(0, Value::size);
        let less = traits.get(below).map_or(0, Value::size);
        let grown = self.grown.saturating_add_unsigned(more).saturating_sub_unsigned(less);
        if more > less && self.session.traits.as_str().len().saturating_add_signed(grown) > BYTES_MAX {
            return Err(NotWritten::TooLarge(path.clone()));
        }
        match value {
            Some(value) if below.is_empty() && value.as_object().is_none() => {
                return Err(NotWritten::WrongType(path.clone(), "it is an object"));
            }
            Some(value) => {
                traits.set(below, value).map_err(|why| NotWritten::Misplaced(path.clone(), why))?;
            }
            None if below.is_empty() => *traits = Value::object(),
            None => _ = traits.remove(below),
        }
        self.traits_changed = true;
        self.grown = grown;
        Ok(())
    }

    /// The session as it will be stored, but for the moment of its request.
    pub fn prepare(self) -> Session {
        let traits = self.traits_changed.then(|| self.traits().to_json());
        let mut session = self.session;
        if let Some(traits) = traits {
            session.traits = traits;
        }
        session
    }
}
