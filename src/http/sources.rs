//! The event sources (docs/contract.md, section 9).

use std::{collections::BTreeMap, sync::Arc};

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    failure::Failure,
    reply::{self, Reply},
    route::Route,
};
use crate::{
    admin::{Admin, Author},
    model::{Id, RegisteredSource, Source, SourceType, Time},
};

/// The group of sources that have none.
const NO_GROUP: &str = "General";

/// A source as it is shown alone: with how many secrets it has, and since when.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ShownSource")]
pub struct Shown<'a> {
    #[serde(flatten)]
    source: &'a Source,
    secrets: Vec<ShownSecret>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct ShownSecret {
    since: Time,
}

/// Sources by their groups or types.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "GroupedSources")]
pub struct Grouped<'a> {
    total: usize,
    grouped: BTreeMap<&'a str, Vec<&'a Source>>,
}

/// Of each source its id and name.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SourceEntities")]
pub struct Entities<'a> {
    total: usize,
    result: Vec<NamedEntity<'a>>,
}

#[derive(Serialize, JsonSchema)]
struct NamedEntity<'a> {
    id: &'a Id,
    name: &'a str,
}

/// A new secret, as its owner is told it once.
#[derive(Serialize, JsonSchema)]
pub struct MadeSecret {
    secret: String,
}

/// The types by their words: what people read.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SourceTypeNames")]
pub struct TypeNames {
    total: usize,
    result: BTreeMap<&'static str, &'static str>,
}

/// The types by their words.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SourceTypes")]
pub struct Types {
    total: usize,
    result: BTreeMap<&'static str, NamedType>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct NamedType {
    name: &'static str,
    tags: [&'static str; 2],
}

pub async fn save(admin: &Admin, body: &[u8], by: &Author) -> Result<Reply, Failure> {
    let source = admin.read_source(body).map_err(|fault| Failure::Invalid("body", fault))?;
    let id = admin.save_source(source, by).await?;
    Ok(reply::saved(id))
}

pub fn get(admin: &Admin, route: &Route) -> Result<Reply, Failure> {
    let found = admin.source(&route.record_id()?);
    let shown = found.as_ref().map(|found| {
        let secrets = found.secrets.iter().map(|secret| ShownSecret { since: secret.since });
        Shown { source: &found.source, secrets: secrets.collect() }
    });
    Ok(reply::record(shown))
}

pub async fn delete(admin: &Admin, route: &Route, by: &Author) -> Result<Reply, Failure> {
    Ok(reply::deleted(admin.delete_source(&route.record_id()?, by).await?))
}

/// Makes a secret, which is answered this once.
pub async fn make_secret(admin: &Admin, route: &Route, by: &Author) -> Result<Reply, Failure> {
    let made = admin.make_source_secret(&route.record_id()?, by).await?;
    Ok(reply::not_stored(reply::record(made.map(|secret| MadeSecret { secret: secret.as_str().to_owned() }))))
}

pub async fn end_secrets(admin: &Admin, route: &Route, by: &Author) -> Result<Reply, Failure> {
    Ok(reply::deleted(admin.end_source_secrets(&route.record_id()?, by).await?))
}

pub fn list(admin: &Admin, route: &Route) -> Reply {
    grouped(&found(admin, route), |source| match source.groups.as_slice() {
        [] => vec![NO_GROUP],
        groups => groups.iter().map(|group| &**group).collect(),
    })
}

pub fn list_by_type(admin: &Admin, route: &Route) -> Reply {
    grouped(&found(admin, route), |source| source.types.iter().map(|kind| kind.word()).collect())
}

pub fn entities(admin: &Admin) -> Reply {
    let sources = admin.sources(None);
    let result = sources.iter().map(|found| NamedEntity { id: &found.source.id, name: &found.source.name });
    reply::json(&Entities { total: sources.len(), result: result.collect() })
}

pub fn type_names() -> Reply {
    let result: BTreeMap<_, _> = SourceType::ALL.iter().map(|kind| (kind.word(), kind.name())).collect();
    reply::json(&TypeNames { total: result.len(), result })
}

pub fn types() -> Reply {
    let types = SourceType::ALL.iter();
    let types = types.map(|kind| (kind.word(), NamedType { name: kind.name(), tags: [kind.word(), "inbound"] }));
    let result: BTreeMap<_, _> = types.collect();
    reply::json(&Types { total: result.len(), result })
}

fn found(admin: &Admin, route: &Route) -> Vec<Arc<RegisteredSource>> {
    admin.sources(route.query().last("query"))
}

fn grouped<'a>(sources: &'a [Arc<RegisteredSource>], groups: impl Fn(&'a Source) -> Vec<&'a str>) -> Reply {
    let mut grouped: BTreeMap<&str, Vec<&Source>> = BTreeMap::new();
    for found in sources {
        for group in groups(&found.source) {
            grouped.entry(group).or_default().push(&found.source);
        }
    }
    reply::json(&Grouped { total: sources.len(), grouped })
}
