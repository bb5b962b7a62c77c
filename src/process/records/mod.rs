//! The records of a request while they are processed: what they were, and what was written to them.
//!
//! They are read by path. A record is turned into a tree only when something looks into it, so that a request that
//! nothing is set up for costs nothing here.

mod event;
mod names;
mod prepared;
mod profile;
mod session;

use std::sync::{Arc, OnceLock};

use crate::model::{
    Chain, Decimal, DelayedEvent, EventRequest, Fault, Id, Identify, Json, Misplaced, Path, RegisteredSource, Source,
    Time, Value,
};

pub use event::EventDraft;
pub use prepared::PreparedProfile;
pub use profile::{NoRoom, ProfileDraft, Visits};
pub use session::SessionDraft;

/// The source of what comes from no client; clients' ids do not begin with `@`.
const INTERNAL: &str = "@internal";

/// Why something is not written to a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotWritten {
    #[error("{0}: there is no {1}")]
    NoRecord(Path, &'static str),
    #[error(
        "{0}: this cannot be written: of an event, properties, context, data, traits, tags, journey.state, hit, utm, device, \
         os and app can; of a profile, traits, data, interests, consents, segments, aux and primary_id; of a session, traits"
    )]
    ReadOnly(Path),
    #[error("{0}: this is what the server counts")]
    Counted(Path),
    #[error("{0}: {1}")]
    Misplaced(Path, Misplaced),
    #[error("{0}: {1}")]
    WrongType(Path, &'static str),
    #[error("{0}: this is more than is kept")]
    TooLarge(Path),
}

impl From<NotWritten> for Fault {
    fn from(why: NotWritten) -> Self {
        Self::new("value_error", why.to_string())
    }
}

/// Everything that a request is about.
pub struct Records<'a> {
    pub profile: Option<ProfileDraft>,
    /// Which part of the request this is.
    pub part: usize,
    /// How many events the parts before have.
    pub first_event: usize,
    /// The place in the request of the event that is processed: what it writes is written there.
    place: usize,
    /// The profiles that other parts of the request are about, as these left them.
    pub others: Vec<ProfileDraft>,
    pub session: Option<SessionDraft>,
    /// The session that a workflow asked for before the request started again: it is attached where the workflow does.
    pub attachable: Option<SessionDraft>,
    pub events: Vec<EventDraft<'a>>,
    /// Events that are to happen later; whose they are is known when they are stored.
    pub delayed: Vec<DelayedEvent>,
    /// The workflows that led to what happens here by delayed events.
    pub chain: Chain,
    /// What the events have in common; its time and profile are fixed when it is stored.
    pub request: EventRequest,
    registered: Arc<RegisteredSource>,
    source: OnceLock<Value>,
    pub now: Time,
    /// Whether events that processing makes are stored: as those of the payload are.
    pub saves_events: bool,
    /// The events are stored without what tells whose they are.
    pub anonymous: bool,
    /// Their visitor asks not to be tracked, and their source hears it.
    pub opted_out: bool,
    /// Places in what the events have in common as their context that are as the profile's consents let them be.
    treated: Vec<Path>,
    /// Events that are another person's than those before them: they are a part of their own.
    pub rest: Vec<Rest<'a>>,
    /// The client's id of the profile counts, whatever the events say of whose they are.
    pub keeps_profile: bool,
    /// The profile that a link from another domain names.
    pub passed: Option<Id>,
    /// They came as a webhook, whose source may say whose they are.
    pub by_webhook: bool,
    /// They may tell by merge keys whose they are: their source lets anyone, or they came with its secret.
    pub may_identify: bool,
    /// What becomes of them may tell whoever sent them something of people who are known.
    pub may_learn: bool,
}

/// Events that go on as a part of their own, in the same session.
pub struct Rest<'a> {
    pub events: Vec<EventDraft<'a>>,
    /// Whose they are, as far as that is known.
    pub profile: Option<ProfileDraft>,
}

impl<'a> Records<'a> {
    /// From here on, what is written is written by this event.
    pub fn turn_to(&mut self, event: usize) {
        self.place = self.first_event + event;
    }

    /// The place in the request of the event that writes.
    pub fn place(&self) -> usize {
        self.place
    }

    /// The event at `from`, and what the client sent behind it, are `profile`'s, and a part of their own.
    pub fn part_from(&mut self, from: usize, profile: Option<ProfileDraft>) {
        let mut place = from;
        let events = self.events.extract_if(from.., |event| {
            place += 1;
            event.was_sent || place == from + 1
        });
        let events = events.collect();
        // What is left of the part goes on before what was cut off before.
        self.rest.insert(0, Rest { events, profile });
    }

    /// All events are `profile`'s, and not of whose they were taken to be.
    pub fn change_profile(&mut self, profile: Option<ProfileDraft>) {
        let before = std::mem::replace(&mut self.profile, profile);
        // Other parts are about it.
        self.others.extend(before.filter(|before| !before.parts.is_empty()));
    }
}

impl Records<'_> {
    pub fn new(request: EventRequest, registered: Arc<RegisteredSource>, now: Time, saves_events: bool) -> Self {
        let may_identify = registered.terms.identify == Identify::Anyone;
        Self {
            profile: None,
            part: 0,
            first_event: 0,
            place: 0,
            others: Vec::new(),
            session: None,
            attachable: None,
            events: Vec::new(),
            delayed: Vec::new(),
            chain: Chain::None,
            request,
            registered,
            source: OnceLock::new(),
            now,
            saves_events,
            anonymous: false,
            opted_out: false,
            treated: Vec::new(),
            rest: Vec::new(),
            keeps_profile: false,
            passed: None,
            by_webhook: false,
            may_identify,
            may_learn: true,
        }
    }

    /// Records of no client's request, for what the server does by itself; without a source, they have one that stands
    /// for the server.
    pub fn internal(source: Option<Arc<RegisteredSource>>, now: Time, saves_events: bool) -> Self {
        let source = source.unwrap_or_else(|| {
            let id = Self::internal_source();
            Arc::new(RegisteredSource::from(Arc::new(Source::open(id, "What the server does by itself", now))))
        });
        let request = EventRequest {
            inserted: now,
            source: source.source.id.clone(),
            session: None,
            profile: None,
            profile_less: false,
            context: Json::empty_object(),
            client: Arc::default(),
            bot: false,
            profile_state: None,
            imported: false,
        };
        let saves_events = saves_events && !source.source.transitional;
        Self::new(request, source, now, saves_events)
    }

    /// The id of the source that stands for the server.
    pub fn internal_source() -> Id {
        Id::required(INTERNAL).expect("it is an id like any other")
    }

    pub fn registered(&self) -> &Arc<RegisteredSource> {
        &self.registered
    }

    pub fn source(&self) -> &Value {
        self.source.get_or_init(|| Value::shown(&*self.registered.source))
    }

    /// Checks that a configuration may write to `path`.
    ///
    /// # Errors
    /// It may not.
    pub fn check_writable(path: &Path) -> Result<(), NotWritten> {
        let (root, steps) = path.split_root();
        let part = steps.first().map_or("", |part| part);
        let is_writable = match root {
            "event" => {
                event::PARTS.contains(&part)
                    || part == "tags"
                    || (part == "journey" && steps.len() == 2)
                    || EventDraft::is_sent(path)
            }
            "profile" => profile::PARTS.contains(&part),
            "session" => part == "traits",
            _ => false,
        };
        if is_writable { Ok(()) } else { Err(NotWritten::ReadOnly(path.clone())) }
    }

    /// Checks that a workflow may count at `path`: what it may write, and numbers of its own beside those that the server
    /// counts of a profile.
    ///
    /// # Errors
    /// It may not.
    pub fn check_countable(path: &Path) -> Result<(), NotWritten> {
        match path.split_root() {
            ("profile", [part, name]) if **part == *"stats" => {
                if profile::COUNTED.contains(&&**name) {
                    Err(NotWritten::Counted(path.clone()))
                } else {
                    Ok(())
                }
            }
            _ => Self::check_writable(path),
        }
    }

    /// Writes `value` to `path`; `None` removes what stands there.
    pub fn write(&mut self, event: Option<usize>, path: &Path, value: Option<Value>) -> Result<(), NotWritten> {
        let (root, steps) = path.split_root();
        Self::check_writable(path)?;
        match root {
            "event" => {
                let event = event.and_then(|event| self.events.get_mut(event));
                event.ok_or_else(|| NotWritten::NoRecord(path.clone(), "event"))?.write(path, steps, value)
            }
            "profile" => {
                let (place, profile) = (self.place, self.profile.as_mut());
                profile.ok_or_else(|| NotWritten::NoRecord(path.clone(), "profile"))?.write(place, path, steps, value)
            }
            _ => {
                let session = self.session.as_mut();
                session.ok_or_else(|| NotWritten::NoRecord(path.clone(), "session"))?.write(path, steps, value)
            }
        }
    }

    /// Whether what stands at `path` in an event's context was treated before, with another event that has it from the
    /// payload.
    pub fn is_treated(&self, event: Option<usize>, path: &Path) -> bool {
        let own = event.and_then(|event| self.events.get(event)).is_some_and(|event| event.brings(path));
        self.treated.contains(path) && !own
    }

    /// Puts `value` where the payload's context has something at `path`, an event's, or nothing; its session loses it.
    pub fn treat_context(&mut self, path: &Path, value: Option<Value>) {
        let below = &path.steps()[2..];
        let without = |json: &Json, value: Option<Value>| {
            let mut tree = Value::from(json);
            match value {
                Some(value) if tree.get(below).is_some() => _ = tree.set(below, value),
                Some(_) => {}
                None if below.is_empty() => tree = Value::object(),
                None => _ = tree.remove(below),
            }
            tree.to_json()
        };
        self.request.context = without(&self.request.context, value);
        if let Some(draft) = &mut self.session {
            draft.session.context = without(&draft.session.context, None);
        }
        self.treated.push(path.clone());
    }

    /// Puts `new` in the place of `old` in everything that workflows made of what was sent.
    pub fn replace(&mut self, old: &str, new: &str) {
        self.events.iter_mut().for_each(|event| event.replace(old, new));
        for event in &mut self.delayed {
            let mut properties = Value::from(&event.properties);
            properties.replace(old, new);
            event.properties = properties.to_json();
        }
        if let Some(session) = &mut self.session {
            session.replace(old, new);
        }
    }

    /// Writes a number to `path` that is what stood there and `amount`; a profile remembers that it was added.
    pub fn add(&mut self, event: Option<usize>, path: &Path, sum: Value, amount: Decimal) -> Result<(), NotWritten> {
        match (path.split_root(), &mut self.profile) {
            (("profile", steps), Some(profile)) => {
                Self::check_countable(path)?;
                profile.add(self.place, path, steps, sum, amount)
            }
            _ => self.write(event, path, Some(sum)),
        }
    }
}
