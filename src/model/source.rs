//! Event sources: who may send, and how (docs/contract.md, sections 8 and 9).

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Fault, Id, Json, Reader, SourceSecrets, Terms, Time, check_tag, json::free_object};

/// How much deeper a source stands in a list by groups than alone.
const LISTED_DEEPER: usize = 3;

/// By which endpoint a source may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Bridge {
    pub id: Id,
    pub name: Box<str>,
}

/// A registered event source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    #[schemars(schema_with = "free_object")]
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
                "config" => config = reader.free_object_deeper(LISTED_DEEPER)?,
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

/// A source with its terms and secrets, as requests are checked against it.
pub struct RegisteredSource {
    pub source: Arc<Source>,
    pub terms: Terms,
    pub secrets: Arc<SourceSecrets>,
}

impl From<Arc<Source>> for RegisteredSource {
    fn from(source: Arc<Source>) -> Self {
        let secrets = SourceSecrets::none(source.id.clone());
        Self::new(source, Arc::new(secrets))
    }
}

impl RegisteredSource {
    pub fn new(source: Arc<Source>, secrets: Arc<SourceSecrets>) -> Self {
        let terms = Terms::saved(&source.config);
        Self { source, terms, secrets }
    }

    /// Whether the profile id that a client gives is used as it is.
    pub fn keeps_profile_ids(&self) -> bool {
        self.source.permanent_profile_id || self.terms.static_profile_id
    }
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
