//! Which records are meant, and in which order they are answered.

use std::{ops::Range, sync::Arc};

use super::parameters::Parameters;
use crate::{
    model::{Fault, Id, MergeKey, Place, Profile, ShownEvent, Time, Value},
    process::{Expression, Identity},
};

/// The most sources that are asked for at once.
const SOURCES_MAX: usize = 100;

/// All of it must be so.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Any of these; none: of any type.
    pub kinds: Vec<KindPattern>,
    pub sources: Sources,
    pub session: Option<Id>,
    /// Any id of a person; stands for all of them.
    pub profile: Option<Id>,
    pub tag: Option<Box<str>>,
    pub valid: Option<bool>,
    /// Whether a known bot sent it.
    pub bot: Option<bool>,
    /// At this server time or later.
    pub from: Option<Time>,
    /// Before this server time.
    pub to: Option<Time>,
    /// Over `event`. One that cannot be evaluated does not hold.
    pub condition: Option<Arc<Expression>>,
}

/// The sources that are meant; none: all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources(Vec<Id>);

impl Sources {
    /// Takes `source`, which may be said more than once.
    ///
    /// # Errors
    /// One is no id, or there are too many.
    pub fn read(parameters: &mut Parameters) -> Result<Self, Fault> {
        let said = parameters.all("source");
        if said.len() > SOURCES_MAX {
            return Err(Fault::new("value_error", format!("at most {SOURCES_MAX} are taken")).at("source"));
        }
        let ids = said.iter().map(|text| Id::required(text)).collect::<Result<_, _>>();
        ids.map(Self).map_err(|fault| fault.at("source"))
    }

    pub fn are_all(&self) -> bool {
        self.0.is_empty()
    }

    pub fn takes(&self, source: &Id) -> bool {
        self.are_all() || self.0.contains(source)
    }
}

/// Event types by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KindPattern {
    Exactly(Arc<str>),
    /// All that begin so.
    Beginning(Box<str>),
}

impl KindPattern {
    /// Whether one of them takes the type; where there are none, every type is meant.
    pub fn any_takes(patterns: &[Self], kind: &str) -> bool {
        patterns.is_empty() || patterns.iter().any(|pattern| pattern.takes(kind))
    }

    pub fn takes(&self, kind: &str) -> bool {
        match self {
            Self::Exactly(exactly) => **exactly == *kind,
            Self::Beginning(beginning) => kind.starts_with(&**beginning),
        }
    }
}

impl EventFilter {
    pub fn takes_kind(&self, kind: &str) -> bool {
        KindPattern::any_takes(&self.kinds, kind)
    }

    /// Whether the event is meant, by all but the condition. `people`: all ids of the profile that the filter names, if
    /// that is to be looked at.
    pub fn takes(&self, event: &ShownEvent, people: Option<&[Id]>) -> bool {
        let ShownEvent { request, event } = event;
        let is_theirs =
            |people: &[Id]| request.profile.as_ref().is_some_and(|profile| people.binary_search(&profile.id).is_ok());
        self.takes_kind(&event.kind)
            && self.takes_time(request.inserted)
            && self.sources.takes(&request.source)
            && self.bot.is_none_or(|bot| request.bot == bot)
            && self.session.as_ref().is_none_or(|session| request.session.as_ref() == Some(session))
            && self.tag.as_ref().is_none_or(|tag| event.tags.contains(tag))
            && self.valid.is_none_or(|valid| event.outcome.valid == valid)
            && people.is_none_or(is_theirs)
    }

    fn takes_time(&self, time: Time) -> bool {
        within(time, self.from, self.to)
    }

    /// Whether a time from the first to the second is meant.
    pub fn may_take_times(&self, times: (Time, Time)) -> bool {
        may_be_within(times, self.from, self.to)
    }
}

/// All of it must be so.
#[derive(Debug, Default)]
pub struct SessionFilter {
    /// That its first event came from.
    pub source: Option<Id>,
    /// Any id of a person; stands for all of them.
    pub profile: Option<Id>,
    /// It began at this server time or later.
    pub from: Option<Time>,
    /// It began before this server time.
    pub to: Option<Time>,
    /// Over `session`, as it is shown. One that cannot be evaluated does not hold.
    pub condition: Option<Arc<Expression>>,
}

/// A key that leads to a profile.
#[derive(Debug)]
pub struct KeyFilter {
    pub key: MergeKey,
    /// The key of the same value in stores of before.
    pub former: Option<MergeKey>,
    pub identity: Identity,
}

/// All of it must be so.
#[derive(Debug, Default)]
pub struct ProfileFilter {
    /// That all lead to it.
    pub keys: Vec<KeyFilter>,
    pub segment: Option<Id>,
    /// Its latest visit began at this server time or later.
    pub from: Option<Time>,
    /// Its latest visit began before this server time.
    pub to: Option<Time>,
    /// Over `profile`, as it is shown. One that cannot be evaluated does not hold.
    pub condition: Option<Arc<Expression>>,
}

impl SessionFilter {
    /// What of `left` began when it is to have begun.
    pub fn bound(&self, left: &Range<Place>) -> Range<Place> {
        let start = self.from.map_or(left.start, |from| left.start.max(Place::begin(from)));
        let end = self.to.map_or(left.end, |to| left.end.min(Place::begin(to)));
        start..end
    }
}

impl ProfileFilter {
    /// Whether all holds but keys and condition.
    pub fn takes(&self, profile: &Profile) -> bool {
        let latest = profile.latest_visits[0].as_ref().map(|visit| visit.begun);
        let in_time = match latest {
            Some(begun) => within(begun, self.from, self.to),
            None => self.from.is_none() && self.to.is_none(),
        };
        in_time && self.segment.as_ref().is_none_or(|segment| is_member(profile, segment))
    }
}

fn within(time: Time, from: Option<Time>, to: Option<Time>) -> bool {
    from.is_none_or(|from| time >= from) && to.is_none_or(|to| time < to)
}

/// Whether a time from `earliest` to `latest` may be at `from` or later and before `to`.
pub fn may_be_within((earliest, latest): (Time, Time), from: Option<Time>, to: Option<Time>) -> bool {
    from.is_none_or(|from| latest >= from) && to.is_none_or(|to| earliest < to)
}

fn is_member(profile: &Profile, segment: &Id) -> bool {
    let segment = Value::text(&segment.text());
    // As it stands in the profile's JSON: most profiles do not have it anywhere.
    if !profile.facts.as_str().contains(segment.to_json().as_str()) {
        return false;
    }
    let facts = Value::from(&profile.facts);
    let segments = facts.as_object().and_then(|facts| facts.get("segments"));
    matches!(segments, Some(Value::List(members)) if members.contains(&segment))
}

/// In which order records are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    Newest,
    Oldest,
}

impl Order {
    /// Goes through `records`, which come from the oldest to the newest, in this order.
    pub fn through<'a, T>(self, records: impl DoubleEndedIterator<Item = T> + 'a) -> Box<dyn Iterator<Item = T> + 'a> {
        match self {
            Self::Newest => Box::new(records.rev()),
            Self::Oldest => Box::new(records),
        }
    }

    /// What of `left` comes behind `place`.
    pub fn behind(self, place: Place, left: &Range<Place>) -> Range<Place> {
        match self {
            Self::Newest => left.start..place.min(left.end),
            Self::Oldest => place.next().max(left.start)..left.end,
        }
    }

    /// What of `left` comes at `place` and behind it.
    pub fn from(self, place: Place, left: &Range<Place>) -> Range<Place> {
        match self {
            Self::Newest => self.behind(place.next(), left),
            Self::Oldest => place.max(left.start)..left.end,
        }
    }
}
