//! Event sources: who may send, and how (contract, sections 8 and 9).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Fault, Id, Json, Object, Path, Reader, Time, Value, check_tag};

/// By which endpoint a source may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceType {
    /// /track
    Rest,
    /// /collect
    Webhook,
}

impl SourceType {
    pub const ALL: [Self; 2] = [Self::Rest, Self::Webhook];

    /// The word that stands for it in a source's `type`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Rest => "rest",
            Self::Webhook => "webhook",
        }
    }

    /// What people read in a list of the types.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rest => "REST API",
            Self::Webhook => "Webhook",
        }
    }

    fn parse(word: &str) -> Result<Self, Fault> {
        Self::ALL.into_iter().find(|kind| kind.word() == word).ok_or_else(|| {
            let msg = format!("unknown type {}: expected rest or webhook", super::short(word));
            Fault::new("value_error", msg)
        })
    }
}

/// The bridge that a source comes in by; kept for clients that set it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bridge {
    pub id: Id,
    pub name: Box<str>,
}

/// A registered event source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    pub id: Id,
    pub name: Box<str>,
    #[serde(rename = "type")]
    pub types: Vec<SourceType>,
    pub bridge: Option<Bridge>,
    pub description: Box<str>,
    pub channel: Option<Box<str>>,
    pub enabled: bool,
    /// Sessions and events are processed and not stored.
    pub transitional: bool,
    pub tags: Vec<Box<str>>,
    pub groups: Vec<Box<str>>,
    /// The profile id that a client gives is used as it is.
    pub permanent_profile_id: bool,
    pub requires_consent: bool,
    pub locked: bool,
    pub config: Json,
    /// When it was last saved.
    pub timestamp: Time,
}

impl Source {
    /// What a source is written with.
    pub const FIELDS: &[&str] = &[
        "id",
        "name",
        "type",
        "bridge",
        "description",
        "channel",
        "enabled",
        "transitional",
        "tags",
        "groups",
        "permanent_profile_id",
        "requires_consent",
        "locked",
        "config",
        "timestamp",
    ];

    /// Reads the body that creates or replaces a source; `make_id` names one that comes without an id.
    ///
    /// # Errors
    /// It is not JSON, or a field is missing or wrong; the fault names it.
    pub fn parse(body: &[u8], now: Time, make_id: impl FnOnce() -> Id) -> Result<Self, Fault> {
        let (mut id, mut name, mut types) = (None, None, Vec::new());
        let (mut bridge, mut description, mut channel) = (None, None, None);
        let (mut tags, mut groups, mut config) = (Vec::new(), Vec::new(), Json::empty_object());
        let (mut enabled, mut transitional, mut permanent, mut consent, mut locked) =
            (true, false, false, false, false);
        let mut reader = Reader::new(body, 0)?;
        reader.object(Self::FIELDS, |reader, field| {
            match field {
                "id" => id = read_text(reader)?.map(|text| Id::parse(&text)).transpose()?.flatten(),
                "name" => name = read_text(reader)?,
                "type" => types = read_types(reader)?,
                "bridge" => bridge = read_bridge(reader)?,
                "description" => description = read_text(reader)?,
                "channel" => channel = read_text(reader)?,
                "enabled" => enabled = reader.lenient_boolean()?.unwrap_or(enabled),
                "transitional" => transitional = reader.lenient_boolean()?.unwrap_or(transitional),
                "tags" => tags = read_tags(reader)?,
                "groups" => groups = read_tags(reader)?,
                "permanent_profile_id" => permanent = reader.lenient_boolean()?.unwrap_or(permanent),
                "requires_consent" => consent = reader.lenient_boolean()?.unwrap_or(consent),
                "locked" => locked = reader.lenient_boolean()?.unwrap_or(locked),
                "config" => config = reader.free_object()?,
                _ => reader.skip()?, // the timestamp is the server's
            }
            Ok(())
        })?;
        reader.end()?;
        if id.as_ref().is_some_and(Id::is_reserved) {
            return Err(Fault::new("value_error", "an id must not start with @").at("id"));
        }
        let name = name.filter(|name| !name.trim().is_empty()).ok_or_else(|| Fault::missing().at("name"))?;
        if types.is_empty() {
            return Err(Fault::missing().at("type"));
        }
        Terms::read(&config).map_err(|fault| fault.at("config"))?;
        Ok(Self {
            id: id.unwrap_or_else(make_id),
            name,
            types,
            bridge,
            description: description.unwrap_or_default(),
            channel,
            enabled,
            transitional,
            tags,
            groups,
            permanent_profile_id: permanent,
            requires_consent: consent,
            locked,
            config,
            timestamp: now,
        })
    }

    /// An enabled source of all types with nothing set.
    pub fn open(id: Id, name: &str, now: Time) -> Self {
        Self {
            id,
            name: name.into(),
            types: SourceType::ALL.to_vec(),
            bridge: None,
            description: "".into(),
            channel: None,
            enabled: true,
            transitional: false,
            tags: Vec::new(),
            groups: Vec::new(),
            permanent_profile_id: false,
            requires_consent: false,
            locked: false,
            config: Json::empty_object(),
            timestamp: now,
        }
    }
}

/// What a source's `config` says of who may send and how they are known.
#[derive(Debug, Default, PartialEq)]
pub struct Terms {
    /// The web origins that may send; `None`: any.
    pub origins: Option<Vec<Origin>>,
    /// The same as a source's `permanent_profile_id`, in the reference's other place.
    pub static_profile_id: bool,
    /// What in an event that comes without a profile tells whose it is.
    pub profile: Option<ProfileTerms>,
}

/// `{"path": "properties.customer.email", "is": "email", "create": true}`.
#[derive(Debug, PartialEq)]
pub struct ProfileTerms {
    /// A place in the event.
    pub path: Path,
    pub is: KnownBy,
    /// Make a profile when there is none.
    pub create: bool,
}

/// What a person is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownBy {
    /// One of the profile's ids.
    Id,
    Email,
    Phone,
    Identifier,
    Pk,
}

impl KnownBy {
    pub const ALL: [Self; 5] = [Self::Id, Self::Email, Self::Phone, Self::Identifier, Self::Pk];

    /// The word that stands for it in configurations.
    pub fn word(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Identifier => "identifier",
            Self::Pk => "pk",
        }
    }

    pub fn parse(word: &str) -> Result<Self, Fault> {
        Self::ALL.into_iter().find(|known| known.word() == word).ok_or_else(|| {
            Fault::new("value_error", format!("{}: id, email, phone, identifier or pk is expected", super::short(word)))
        })
    }
}

impl ProfileTerms {
    const FIELDS: &[&str] = &["path", "is", "create"];

    fn read(reader: &mut Reader<'_>) -> Result<Option<Self>, Fault> {
        let written = reader.value()?;
        let tree = Value::from(&written);
        let mut fields = tree.as_object().into_iter().flat_map(Object::iter).map(|(name, _)| name);
        if let Some(unknown) = fields.find(|name| !Self::FIELDS.contains(name)) {
            return Err(Fault::new("value_error", "path, is and create are known").at(unknown));
        }
        let (mut path, mut is, mut create) = (None, None, false);
        let mut reader = Reader::new(written.as_str().as_bytes(), 0)?;
        let there = reader.optional_object(Self::FIELDS, |reader, field| {
            match field {
                "path" => {
                    let text = reader.string()?.text;
                    if !text.starts_with("properties.") {
                        return Err(Fault::new(
                            "value_error",
                            "a place in the properties is expected: properties.NAME",
                        ));
                    }
                    path = Some(Path::parse(&format!("event.{text}"))?);
                }
                "is" => is = Some(KnownBy::parse(&reader.string()?.text)?),
                _ => create = reader.lenient_boolean()?.unwrap_or(false),
            }
            Ok(())
        })?;
        if !there {
            return Ok(None);
        }
        let path = path.ok_or_else(|| Fault::missing().at("path"))?;
        Ok(Some(Self { path, is: is.ok_or_else(|| Fault::missing().at("is"))?, create }))
    }
}

impl Terms {
    /// # Errors
    /// `origins` is no list of origins, `static_profile_id` no boolean, or `profile` not what it should be; the fault names
    /// it.
    pub fn read(config: &Json) -> Result<Self, Fault> {
        let mut terms = Self::default();
        Reader::new(config.as_str().as_bytes(), 0)?.object(
            &["origins", "static_profile_id", "profile"],
            |reader, field| {
                if field == "profile" {
                    terms.profile = ProfileTerms::read(reader)?;
                } else if field == "static_profile_id" {
                    terms.static_profile_id = reader.lenient_boolean()?.unwrap_or(false);
                } else if reader.peek()? == b'n' {
                    reader.null()?;
                } else {
                    let mut origins = Vec::new();
                    reader.array(|reader, _| {
                        origins.push(Origin::parse(&reader.string()?.text)?);
                        Ok(())
                    })?;
                    terms.origins = Some(origins);
                }
                Ok(())
            },
        )?;
        Ok(terms)
    }
}

/// A source with its terms, as requests are checked against it.
pub struct RegisteredSource {
    pub source: Arc<Source>,
    pub terms: Terms,
}

impl From<Arc<Source>> for RegisteredSource {
    fn from(source: Arc<Source>) -> Self {
        // The terms were read when it was saved; a source that no longer has any admits no origin.
        let closed = Terms { origins: Some(Vec::new()), ..Terms::default() };
        let terms = Terms::read(&source.config).unwrap_or(closed);
        Self { source, terms }
    }
}

impl RegisteredSource {
    /// Whether the profile id that a client gives is used as it is.
    pub fn keeps_profile_ids(&self) -> bool {
        self.source.permanent_profile_id || self.terms.static_profile_id
    }
}

/// A web origin (RFC 6454): scheme, host and port, compared exactly; or `null`, the opaque one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Lower-cased, without a port that is the scheme's own.
    canonical: Box<str>,
}

impl Origin {
    /// # Errors
    /// It is neither `null` nor `scheme://host[:port]`.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let canonical = if text == "null" { Some(text.to_owned()) } else { canonical_origin(text) };
        let canonical = canonical.ok_or_else(|| {
            let msg = format!("not an origin (scheme://host or scheme://host:port): {}", super::short(text));
            Fault::new("value_error", msg)
        })?;
        Ok(Self { canonical: canonical.into() })
    }
}

fn canonical_origin(text: &str) -> Option<String> {
    let (scheme, authority) = text.split_once("://")?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.chars().all(|character| character.is_ascii_alphanumeric() || "+-.".contains(character));
    // A colon inside the brackets of an IPv6 address is no port's.
    let behind_brackets = authority.rfind(']').map_or(0, |bracket| bracket + 1);
    let (host, port) = match authority[behind_brackets..].rfind(':') {
        Some(colon) => {
            let (host, port) = authority.split_at(behind_brackets + colon);
            (host, Some(port[1..].parse::<u16>().ok()?))
        }
        None => (authority, None),
    };
    let host_ends =
        |character: char| character.is_whitespace() || character.is_control() || "/?#@\\".contains(character);
    if !is_scheme || host.is_empty() || host.contains(host_ends) || (behind_brackets == 0 && host.contains(':')) {
        return None;
    }
    let (scheme, host) = (scheme.to_ascii_lowercase(), host.to_lowercase());
    let own_port = match scheme.as_str() {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    Some(match port.filter(|port| own_port != Some(*port)) {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    })
}

fn read_text(reader: &mut Reader<'_>) -> Result<Option<Box<str>>, Fault> {
    if reader.peek()? == b'n' {
        return reader.null().map(|()| None);
    }
    Ok(Some(reader.whole_string()?.into()))
}

fn read_texts(reader: &mut Reader<'_>) -> Result<Vec<Box<str>>, Fault> {
    let mut texts = Vec::new();
    match reader.peek()? {
        b'n' => reader.null()?,
        b'"' => texts.push(reader.whole_string()?.into()),
        _ => reader.array(|reader, _| {
            texts.push(reader.whole_string()?.into());
            Ok(())
        })?,
    }
    Ok(texts)
}

fn read_tags(reader: &mut Reader<'_>) -> Result<Vec<Box<str>>, Fault> {
    let tags = read_texts(reader)?;
    for (index, tag) in tags.iter().enumerate() {
        check_tag(index, tag).map_err(|fault| fault.at_index(index))?;
    }
    Ok(tags)
}

fn read_types(reader: &mut Reader<'_>) -> Result<Vec<SourceType>, Fault> {
    let mut types = read_texts(reader)?.iter().map(|word| SourceType::parse(word)).collect::<Result<Vec<_>, _>>()?;
    types.sort_unstable();
    types.dedup();
    Ok(types)
}

fn read_bridge(reader: &mut Reader<'_>) -> Result<Option<Bridge>, Fault> {
    let (mut id, mut name) = (None, None);
    let there = reader.optional_object(&["id", "name"], |reader, field| {
        let text = read_text(reader)?;
        match field {
            "id" => id = text.map(|text| Id::parse(&text)).transpose()?.flatten(),
            _ => name = text,
        }
        Ok(())
    })?;
    Ok(id.filter(|_| there).map(|id| Bridge { id, name: name.unwrap_or_default() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_compared_by_scheme_host_and_port() {
        let same = |a: &str, b: &str| Origin::parse(a).unwrap() == Origin::parse(b).unwrap();
        assert!(same("https://Shop.example", "https://shop.example:443"));
        assert!(same("capacitor://localhost", "capacitor://localhost"));
        assert!(same("http://[::1]:8080", "http://[::1]:8080"));
        assert!(same("null", "null"));
        for other in
            ["http://shop.example", "https://shop.example:444", "https://shop.example.evil", "https://www.shop.example"]
        {
            assert!(!same("https://shop.example", other), "{other}");
        }
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for text in [
            "",
            "*",
            "shop.example",
            "https://",
            "https://a/",
            "https://a:x",
            "https://a b",
            "https://u@a",
            "https://::1",
            "://a",
        ] {
            assert!(Origin::parse(text).is_err(), "{text}");
        }
    }
}
