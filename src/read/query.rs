//! What a query asks for: which kind of records, the filter, the order, where a page begins and how it is shown.

use std::sync::Arc;

use super::{
    cursor::Cursor,
    filter::{EventFilter, KeyFilter, Order, ProfileFilter, SessionFilter, Sources},
    parameters::{Parameters, boolean, kind_patterns, moment},
    projection::Projection,
};
use crate::{
    model::{Fault, Id, KnownBy, Time, Value, check_tag},
    process::{Expression, Identity},
};

/// How many records a page has, unless it is said, and at most.
const LIMIT: usize = 100;
const LIMIT_MAX: usize = 1_000;

/// The records that an address asks for.
#[derive(Clone, Debug)]
pub enum Asked {
    Events(Option<About>),
    /// Those of a profile, if it names one.
    Sessions(Option<Id>),
    Profiles,
    /// A profile's sessions and events.
    Timeline(Id),
}

/// Whose events an address names.
#[derive(Clone, Debug)]
pub enum About {
    Profile(Id),
    Session(Id),
}

/// The records that a query means.
pub enum Wanted {
    Events(Arc<EventFilter>),
    Sessions(Arc<SessionFilter>),
    Profiles(Arc<ProfileFilter>),
    Timeline(Arc<EventFilter>, Arc<SessionFilter>),
}

impl Wanted {
    /// The profile whose records are meant, by any of its ids.
    pub fn profile(&self) -> Option<&Id> {
        match self {
            Self::Events(filter) | Self::Timeline(filter, _) => filter.profile.as_ref(),
            Self::Sessions(filter) => filter.profile.as_ref(),
            Self::Profiles(_) => None,
        }
    }
}

/// A query for records.
pub struct Query {
    pub wanted: Wanted,
    pub order: Order,
    pub projection: Projection,
    /// How many at most; `None`: it is not said.
    limit: Option<usize>,
    pub(super) cursor: Option<Cursor>,
    /// Tells the query from others.
    pub(super) identity: String,
}

impl Query {
    /// Reads the parameters of a query to the store of this epoch. `keys` makes merge keys of what people are known by.
    ///
    /// # Errors
    /// A parameter is unknown or cannot be read; the fault names it.
    pub fn read(
        mut parameters: Parameters,
        asked: Asked,
        keys: &Identity,
        (epoch, now): (u64, Time),
    ) -> Result<Self, Fault> {
        let kind = format!("{asked:?}");
        let wanted = match asked {
            Asked::Events(about) => {
                let mut filter = EventFilter::read(&mut parameters, about, now)?;
                filter.to = parameters.read("to", |text| moment(text, now))?;
                Wanted::Events(Arc::new(filter))
            }
            Asked::Sessions(profile) => Wanted::Sessions(Arc::new(SessionFilter::read(&mut parameters, profile, now)?)),
            Asked::Profiles => Wanted::Profiles(Arc::new(ProfileFilter::read(&mut parameters, keys, now)?)),
            Asked::Timeline(profile) => {
                let (from, to) = times(&mut parameters, now)?;
                let events = EventFilter { profile: Some(profile.clone()), from, to, ..EventFilter::default() };
                let sessions = SessionFilter { profile: Some(profile), from, to, ..SessionFilter::default() };
                Wanted::Timeline(Arc::new(events), Arc::new(sessions))
            }
        };
        let order = parameters.read("order", order)?.unwrap_or_default();
        let limit = parameters.read("limit", limit)?;
        let projection = parameters.read("fields", Projection::read)?.unwrap_or_default();
        let identity = format!("{epoch:x}\n{kind}\n{}", parameters.identity(""));
        let cursor = parameters.read("cursor", |text| Cursor::read(text, &identity))?;
        parameters.end()?;
        Ok(Self { wanted, order, projection, limit, cursor, identity })
    }

    /// How many records a page has.
    ///
    /// # Errors
    /// More are asked for than a page may have.
    pub fn page_limit(&self) -> Result<usize, Fault> {
        match self.limit {
            Some(limit) if limit > LIMIT_MAX => {
                Err(Fault::new("value_error", format!("at most {LIMIT_MAX} in JSON; NDJSON and CSV have no limit"))
                    .at("limit"))
            }
            limit => Ok(limit.unwrap_or(LIMIT)),
        }
    }

    /// How many records a stream has: all, unless it is said.
    pub fn stream_limit(&self) -> usize {
        self.limit.unwrap_or(usize::MAX)
    }
}

/// A query of who follows the log: for events from the oldest on, without end.
pub struct LiveQuery {
    pub filter: Arc<EventFilter>,
    pub projection: Projection,
    /// Behind which record it goes on, if it does.
    pub(super) cursor: Option<Cursor>,
    /// Tells the query from others.
    pub(super) identity: String,
}

impl LiveQuery {
    /// Reads the parameters of a query to the store of this epoch.
    ///
    /// # Errors
    /// A parameter is unknown or cannot be read; the fault names it.
    pub fn read(mut parameters: Parameters, epoch: u64, now: Time) -> Result<Self, Fault> {
        let filter = Arc::new(EventFilter::read(&mut parameters, None, now)?);
        let projection = parameters.read("fields", Projection::read)?.unwrap_or_default();
        parameters.end()?;
        // Where it began says nothing of where it goes on.
        let identity = format!("{epoch:x}\nlive\n{}", parameters.identity("from"));
        Ok(Self { filter, projection, cursor: None, identity })
    }

    /// Lets it go on behind a record, by the record's cursor; `end` is where the log ends.
    ///
    /// # Errors
    /// It is no cursor of this query, or of another log.
    pub fn go_on_behind(mut self, cursor: &str, end: u64) -> Result<Self, Fault> {
        let cursor = Cursor::read(cursor, &self.identity)?;
        if cursor.place.offset > end {
            return Err(Fault::new("value_error", "it stands behind the end of the log: it is another store's"));
        }
        // What comes behind it is meant, however long ago that is by now.
        self.filter = Arc::new(EventFilter { from: None, ..(*self.filter).clone() });
        self.cursor = Some(cursor);
        Ok(self)
    }
}

impl EventFilter {
    /// Reads all but its end, which who follows the log cannot say. `about` names the profile or session whose events are
    /// meant, if the address does.
    fn read(parameters: &mut Parameters, about: Option<About>, now: Time) -> Result<Self, Fault> {
        let mut filter = Self { kinds: kind_patterns(parameters)?, ..Self::default() };
        filter.sources = Sources::read(parameters)?;
        match about {
            Some(About::Profile(id)) => filter.profile = Some(id),
            Some(About::Session(id)) => filter.session = Some(id),
            None => {}
        }
        if filter.session.is_none() {
            filter.session = parameters.read("session", Id::required)?;
        }
        if filter.profile.is_none() {
            filter.profile = parameters.read("profile", Id::required)?;
        }
        filter.tag = parameters.read("tag", |tag| check_tag(0, tag).map(|()| tag.into()))?;
        filter.valid = parameters.read("valid", boolean)?;
        filter.bot = parameters.read("bot", boolean)?;
        filter.from = parameters.read("from", |text| moment(text, now))?;
        filter.condition = condition(parameters, "event")?;
        Ok(filter)
    }
}

impl SessionFilter {
    /// `profile` is the one whose sessions are meant, if the address names it.
    fn read(parameters: &mut Parameters, profile: Option<Id>, now: Time) -> Result<Self, Fault> {
        let profile = match profile {
            Some(profile) => Some(profile),
            None => parameters.read("profile", Id::required)?,
        };
        let source = parameters.read("source", Id::required)?;
        let (from, to) = times(parameters, now)?;
        let condition = condition(parameters, "session")?;
        Ok(Self { source, profile, from, to, condition })
    }
}

impl ProfileFilter {
    fn read(parameters: &mut Parameters, identity: &Identity, now: Time) -> Result<Self, Fault> {
        let mut keys = Vec::new();
        for (name, known) in [
            ("email", KnownBy::Email),
            ("phone", KnownBy::Phone),
            ("identifier", KnownBy::Identifier),
            ("pk", KnownBy::Pk),
        ] {
            keys.extend(parameters.read(name, |text| {
                let value = Value::text(text);
                let key = identity.key(known, &value, None);
                let key = key.ok_or_else(|| Fault::new("value_error", "nobody is known by this"))?;
                Ok(KeyFilter { key, former: identity.former(known, &value, None), identity: identity.clone() })
            })?);
        }
        let segment = parameters.read("segment", Id::required)?;
        let (from, to) = times(parameters, now)?;
        let condition = condition(parameters, "profile")?;
        Ok(Self { keys, segment, from, to, condition })
    }
}

fn times(parameters: &mut Parameters, now: Time) -> Result<(Option<Time>, Option<Time>), Fault> {
    Ok((parameters.read("from", |text| moment(text, now))?, parameters.read("to", |text| moment(text, now))?))
}

fn condition(parameters: &mut Parameters, record: &'static str) -> Result<Option<Arc<Expression>>, Fault> {
    parameters.read("where", |text| Expression::compile_over(text, record)?.condition().map(Arc::new))
}

fn order(text: &str) -> Result<Order, Fault> {
    match text {
        "newest" => Ok(Order::Newest),
        "oldest" => Ok(Order::Oldest),
        _ => Err(Fault::new("value_error", "newest or oldest is expected")),
    }
}

fn limit(text: &str) -> Result<usize, Fault> {
    let limit = text.parse().ok().filter(|limit| *limit > 0);
    limit.ok_or_else(|| Fault::new("value_error", "a number from 1 on is expected"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::Place, process::IdentitySettings};

    fn read(asked: Asked, query: &str) -> Result<Query, String> {
        let sent = form_urlencoded::parse(query.as_bytes()).into_owned();
        let (keys, now) = (Identity::new("secret", &IdentitySettings::default()), Time::from_micros(86_400_000_000));
        Query::read(Parameters::new(sent), asked, &keys, (7, now)).map_err(|fault| fault.to_string())
    }

    #[test]
    fn a_query_is_read() {
        let text = "type=page-view&type=checkout-*&source=shop&from=-15m&valid=false&order=oldest&limit=7";
        let query = read(Asked::Events(None), text).unwrap();
        let Wanted::Events(filter) = &query.wanted else { panic!("events are wanted") };
        assert!(filter.takes_kind("page-view") && filter.takes_kind("checkout-started"));
        assert!(!filter.takes_kind("page-views"));
        assert_eq!(filter.from, Some(Time::from_micros(86_400_000_000 - 900_000_000)));
        assert_eq!((filter.valid, query.order, query.page_limit()), (Some(false), Order::Oldest, Ok(7)));
    }

    #[test]
    fn what_is_unknown_or_cannot_be_read_is_refused() {
        let profile = || Id::required("p").unwrap();
        for (asked, query, what) in [
            (Asked::Events(None), "tyep=page-view", "unknown parameter"),
            (Asked::Events(None), "from=yesterday", "not a time"),
            (Asked::Events(None), "valid=perhaps", "a boolean"),
            (Asked::Events(None), "limit=0", "from 1 on"),
            (Asked::Events(None), "order=random", "newest or oldest"),
            (Asked::Events(None), "session=a&session=b", "more than once"),
            (Asked::Events(None), "where=profile.traits.x == 1", "unknown name profile"),
            (Asked::Events(None), "where=event.properties.price >", "not an expression"),
            (Asked::Events(None), "cursor=abc", "cursor"),
            (Asked::Events(None), "type=a*b*", "at the end only"),
            (Asked::Events(None), "fields=", "path"),
            (Asked::Sessions(None), "where=event.type == 'a'", "unknown name event"),
            (Asked::Sessions(None), "type=a", "unknown parameter"),
            (Asked::Sessions(Some(profile())), "profile=p", "unknown parameter"),
            (Asked::Profiles, "email=", "nobody is known by this"),
            (Asked::Profiles, "where=session.id == 'a'", "unknown name session"),
            (Asked::Timeline(profile()), "where=event.type == 'a'", "unknown parameter"),
        ] {
            let refused = read(asked, query).err().unwrap_or_else(|| panic!("{query} was read"));
            assert!(refused.contains(what), "{query}: {refused}");
        }
        assert!(read(Asked::Events(None), "limit=1001").unwrap().page_limit().is_err());
    }

    #[test]
    fn who_follows_goes_on_behind_an_id_of_the_same_filters_however_it_began() {
        let live = |query: &str| {
            let sent = form_urlencoded::parse(query.as_bytes()).into_owned();
            LiveQuery::read(Parameters::new(sent), 7, Time::from_micros(86_400_000_000)).unwrap()
        };
        let id = Cursor { place: Place::in_log(5) }.to_text(&live("type=a&from=-1h").identity);
        let goes_on = live("from=-1m&type=a&fields=id").go_on_behind(&id, 5).unwrap();
        assert_eq!((goes_on.cursor, goes_on.filter.from), (Some(Cursor { place: Place::in_log(5) }), None));
        for (query, end) in [("type=b", 5), ("", 5), ("type=a", 4)] {
            assert!(live(query).go_on_behind(&id, end).is_err(), "{query}");
        }
        let page = Cursor { place: Place::in_log(5) }
            .to_text(&read(Asked::Events(None), "type=a&order=oldest").unwrap().identity);
        assert!(live("type=a").go_on_behind(&page, 5).is_err(), "a page's cursor is none of a stream");
    }

    #[test]
    fn a_cursor_goes_on_with_its_kind_of_records_alone() {
        let query = read(Asked::Sessions(None), "").unwrap();
        let cursor = Cursor { place: Place::in_log(7) }.to_text(&query.identity);
        let text = format!("cursor={cursor}");
        assert!(read(Asked::Sessions(None), &text).is_ok());
        assert!(read(Asked::Events(None), &text).is_err() && read(Asked::Profiles, &text).is_err());
    }
}
