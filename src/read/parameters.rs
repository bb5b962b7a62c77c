//! What a query says: names and values, as a URL or a command line has them.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    cursor::Cursor,
    filter::{EventFilter, KindPattern, Order},
    projection::Projection,
};
use crate::{
    model::{EventType, Fault, Id, Time, boolean_word, check_tag},
    process::{Expression, duration},
};

/// How many records a page has, unless it is said, and at most.
const LIMIT: usize = 100;
const LIMIT_MAX: usize = 1_000;
/// The most types that are asked for at once.
const KINDS_MAX: usize = 100;

/// What a query says. Each value is taken by its name; what nobody took is refused.
pub struct Parameters {
    sent: Vec<(String, String)>,
    taken: BTreeSet<&'static str>,
}

impl Parameters {
    pub fn new(sent: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { sent: sent.into_iter().collect(), taken: BTreeSet::new() }
    }

    /// What is said under `name`, at most once.
    ///
    /// # Errors
    /// It is said twice.
    pub fn one(&mut self, name: &'static str) -> Result<Option<String>, Fault> {
        let mut all = self.all(name);
        match all.len() {
            0 | 1 => Ok(all.pop()),
            _ => Err(Fault::new("value_error", "it is said more than once").at(name)),
        }
    }

    /// Everything that is said under `name`.
    pub fn all(&mut self, name: &'static str) -> Vec<String> {
        self.taken.insert(name);
        self.sent.iter().filter(|(sent, _)| sent == name).map(|(_, value)| value.clone()).collect()
    }

    /// What is said under `name`, as `read` reads it.
    ///
    /// # Errors
    /// It is said twice, or cannot be read; the fault names it.
    pub fn read<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        let said = self.one(name)?;
        said.map(|said| read(&said).map_err(|fault| fault.at(name))).transpose()
    }

    /// Refuses what was not asked for: a misspelt filter must not answer everything.
    ///
    /// # Errors
    /// There is such a name.
    pub fn end(&self) -> Result<(), Fault> {
        let unknown = self.sent.iter().find(|(name, _)| !self.taken.contains(name.as_str()));
        let Some((name, _)) = unknown else { return Ok(()) };
        let known = self.taken.iter().copied().collect::<Vec<_>>().join(", ");
        Err(Fault::new("value_error.extra", format!("unknown parameter: expected one of {known}")).at(name))
    }

    /// The text that tells this query from others: everything but where it goes on and how it is shown, and `without`.
    fn identity(&self, without: &str) -> String {
        let mut said: Vec<String> = self
            .sent
            .iter()
            .filter(|(name, _)| !["cursor", "limit", "fields", "format", without].contains(&name.as_str()))
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        said.sort();
        said.join("\n")
    }
}

/// A query for events.
pub struct EventQuery {
    pub filter: Arc<EventFilter>,
    pub order: Order,
    pub projection: Projection,
    /// How many at most; `None`: it is not said.
    limit: Option<usize>,
    pub(super) cursor: Option<Cursor>,
    /// Tells the query from others.
    pub(super) identity: String,
}

impl EventQuery {
    /// Reads the parameters of a query for events. `about` names the profile or session whose events are meant, if the
    /// address does.
    ///
    /// # Errors
    /// A parameter is unknown or cannot be read; the fault names it.
    pub fn read(mut parameters: Parameters, about: Option<About>, now: Time) -> Result<Self, Fault> {
        let mut filter = read_filter(&mut parameters, about.as_ref(), now)?;
        filter.to = parameters.read("to", |text| moment(text, now))?;
        let order = parameters.read("order", order)?.unwrap_or_default();
        let limit = parameters.read("limit", limit)?;
        let projection = parameters.read("fields", Projection::read)?.unwrap_or_default();
        let about = about.map(|about| format!("{about:?}\n")).unwrap_or_default();
        let identity = format!("{about}{}", parameters.identity(""));
        let cursor = parameters.read("cursor", |text| Cursor::read(text, &identity))?;
        parameters.end()?;
        Ok(Self { filter: Arc::new(filter), order, projection, limit, cursor, identity })
    }

    /// Reads the parameters of who follows the log: those of a query that has no end and one order.
    ///
    /// # Errors
    /// As [`EventQuery::read`].
    pub fn read_live(mut parameters: Parameters, now: Time) -> Result<Self, Fault> {
        let filter = read_filter(&mut parameters, None, now)?;
        let projection = parameters.read("fields", Projection::read)?.unwrap_or_default();
        parameters.end()?;
        // Where it began says nothing of where it goes on.
        let identity = format!("live\n{}", parameters.identity("from"));
        Ok(Self { filter: Arc::new(filter), order: Order::Oldest, projection, limit: None, cursor: None, identity })
    }

    /// Lets it go on behind a record, by the record's cursor; `end` is where the log ends.
    ///
    /// # Errors
    /// It is no cursor of this query, or of another log.
    pub fn go_on_behind(mut self, cursor: &str, end: u64) -> Result<Self, Fault> {
        let cursor = Cursor::read(cursor, &self.identity)?;
        if cursor.offset > end {
            return Err(Fault::new("value_error", "it stands behind the end of the log: it is another store's"));
        }
        // What comes behind it is meant, however long ago that is by now.
        self.filter = Arc::new(EventFilter { from: None, ..(*self.filter).clone() });
        self.cursor = Some(cursor);
        Ok(self)
    }

    /// How many events a page has.
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

    /// How many events a stream has: all, unless it is said.
    pub fn stream_limit(&self) -> usize {
        self.limit.unwrap_or(usize::MAX)
    }
}

/// Whose events an address names.
#[derive(Clone, Debug)]
pub enum About {
    Profile(Id),
    Session(Id),
}

/// The types that are asked for.
pub fn kind_patterns(parameters: &mut Parameters) -> Result<Vec<KindPattern>, Fault> {
    let kinds = parameters.all("type");
    if kinds.len() > KINDS_MAX {
        return Err(Fault::new("value_error", format!("more than {KINDS_MAX} types")).at("type"));
    }
    kinds.iter().map(|kind| kind_pattern(kind).map_err(|fault| fault.at("type"))).collect()
}

/// What all queries for events say in the same words.
fn read_filter(parameters: &mut Parameters, about: Option<&About>, now: Time) -> Result<EventFilter, Fault> {
    let mut filter = EventFilter { kinds: kind_patterns(parameters)?, ..EventFilter::default() };
    filter.source = parameters.read("source", Id::required)?;
    match about {
        Some(About::Profile(id)) => filter.profile = Some(id.clone()),
        Some(About::Session(id)) => filter.session = Some(id.clone()),
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
    filter.from = parameters.read("from", |text| moment(text, now))?;
    filter.condition = parameters.read("where", |text| Expression::compile_over(text, "event").map(Arc::new))?;
    Ok(filter)
}

pub fn kind_pattern(text: &str) -> Result<KindPattern, Fault> {
    match text.strip_suffix('*') {
        Some(beginning) if !beginning.contains('*') => {
            Ok(KindPattern::Beginning(beginning.trim_start().to_lowercase().into()))
        }
        Some(_) => Err(Fault::new("value_error", "a * stands at the end only")),
        None => EventType::parse(text).map(|kind| KindPattern::Exactly(kind.id)),
    }
}

fn boolean(text: &str) -> Result<bool, Fault> {
    boolean_word(text).ok_or_else(|| Fault::wrong_type("a boolean"))
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

/// A time, or how long ago: `-15m`.
pub fn moment(text: &str, now: Time) -> Result<Time, Fault> {
    let Some(ago) = text.strip_prefix('-').filter(|ago| ago.ends_with(char::is_alphabetic)) else {
        return Time::parse(text);
    };
    duration(ago).map(|ago| now.earlier(ago))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<EventQuery, String> {
        let sent = form_urlencoded::parse(query.as_bytes()).into_owned();
        EventQuery::read(Parameters::new(sent), None, Time::from_micros(86_400_000_000))
            .map_err(|fault| fault.to_string())
    }

    #[test]
    fn a_query_is_read() {
        let query =
            read("type=page-view&type=checkout-*&source=shop&from=-15m&valid=false&order=oldest&limit=7").unwrap();
        assert!(query.filter.takes_kind("page-view") && query.filter.takes_kind("checkout-started"));
        assert!(!query.filter.takes_kind("page-views"));
        assert_eq!(query.filter.from, Some(Time::from_micros(86_400_000_000 - 900_000_000)));
        assert_eq!((query.filter.valid, query.order, query.page_limit()), (Some(false), Order::Oldest, Ok(7)));
    }

    #[test]
    fn who_follows_goes_on_behind_an_id_of_the_same_filters_however_it_began() {
        let live = |query: &str| {
            let sent = form_urlencoded::parse(query.as_bytes()).into_owned();
            EventQuery::read_live(Parameters::new(sent), Time::from_micros(86_400_000_000)).unwrap()
        };
        let id = Cursor { offset: 5 }.to_text(&live("type=a&from=-1h").identity);
        let goes_on = live("from=-1m&type=a&fields=id").go_on_behind(&id, 5).unwrap();
        assert_eq!((goes_on.cursor, goes_on.filter.from), (Some(Cursor { offset: 5 }), None));
        for (query, end) in [("type=b", 5), ("", 5), ("type=a", 4)] {
            assert!(live(query).go_on_behind(&id, end).is_err(), "{query}");
        }
        let page = Cursor { offset: 5 }.to_text(&read("type=a&order=oldest").unwrap().identity);
        assert!(live("type=a").go_on_behind(&page, 5).is_err(), "a page's cursor is none of a stream");
    }

    #[test]
    fn what_is_unknown_or_cannot_be_read_is_refused() {
        for (query, what) in [
            ("tyep=page-view", "unknown parameter"),
            ("from=yesterday", "not a time"),
            ("valid=perhaps", "a boolean"),
            ("limit=0", "from 1 on"),
            ("order=random", "newest or oldest"),
            ("source=a&source=b", "more than once"),
            ("where=profile.traits.x == 1", "unknown name profile"),
            ("where=event.properties.price >", "not an expression"),
            ("cursor=abc", "cursor"),
            ("type=a*b*", "at the end only"),
            ("fields=", "path"),
        ] {
            let refused = read(query).err().unwrap_or_else(|| panic!("{query} was read"));
            assert!(refused.contains(what), "{query}: {refused}");
        }
        assert!(read("limit=1001").unwrap().page_limit().is_err());
    }
}
