//! Which events are meant.

use std::sync::Arc;

use crate::{
    model::{Id, ShownEvent, Time},
    process::Expression,
};

/// All of it must be so.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Any of these; none: of any type.
    pub kinds: Vec<KindPattern>,
    pub source: Option<Id>,
    pub session: Option<Id>,
    /// Any id of a person; stands for all of them.
    pub profile: Option<Id>,
    pub tag: Option<Box<str>>,
    pub valid: Option<bool>,
    /// At this server time or later.
    pub from: Option<Time>,
    /// Before this server time.
    pub to: Option<Time>,
    /// Over `event`. One that cannot be evaluated does not hold.
    pub condition: Option<Arc<Expression>>,
}

/// Event types by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KindPattern {
    Exactly(Arc<str>),
    /// All that begin so.
    Beginning(Box<str>),
}

impl KindPattern {
    pub fn takes(&self, kind: &str) -> bool {
        match self {
            Self::Exactly(exactly) => **exactly == *kind,
            Self::Beginning(beginning) => kind.starts_with(&**beginning),
        }
    }
}

impl EventFilter {
    pub fn takes_kind(&self, kind: &str) -> bool {
        self.kinds.is_empty() || self.kinds.iter().any(|pattern| pattern.takes(kind))
    }

    /// Whether the event is meant, by all but the condition. `people`: all ids of the profile that the filter names, if
    /// that is to be looked at.
    pub fn takes(&self, event: &ShownEvent, people: Option<&[Id]>) -> bool {
        let ShownEvent { request, event } = event;
        let is_theirs =
            |people: &[Id]| request.profile.as_ref().is_some_and(|profile| people.binary_search(&profile.id).is_ok());
        self.takes_kind(&event.kind)
            && self.takes_time(request.inserted)
            && self.source.as_ref().is_none_or(|source| request.source == *source)
            && self.session.as_ref().is_none_or(|session| request.session.as_ref() == Some(session))
            && self.tag.as_ref().is_none_or(|tag| event.tags.contains(tag))
            && self.valid.is_none_or(|valid| event.outcome.valid == valid)
            && people.is_none_or(is_theirs)
    }

    pub fn takes_time(&self, time: Time) -> bool {
        self.from.is_none_or(|from| time >= from) && self.to.is_none_or(|to| time < to)
    }
}

/// In which order records are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    Newest,
    Oldest,
}
