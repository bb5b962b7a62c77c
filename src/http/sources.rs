//! The event sources (contract, section 9).

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;
use serde_json::{Map, json};

use super::{
    failure::Failure,
    reply::{self, Reply},
    route::Route,
};
use crate::{
    admin::Admin,
    model::{Id, RegisteredSource, Source, SourceType, Time},
};

/// The group of sources that have none.
const NO_GROUP: &str = "General";

#[derive(Serialize)]
struct Saved<'a> {
    saved: usize,
    errors: [&'static str; 0],
    ids: [&'a Id; 1],
}

/// A source as it is shown alone: with how many secrets it has, and since when.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    source: &'a Source,
    secrets: Vec<ShownSecret>,
}

#[derive(Serialize)]
struct ShownSecret {
    since: Time,
}

#[derive(Serialize)]
struct Grouped<'a> {
    total: usize,
    grouped: BTreeMap<&'a str, Vec<&'a Source>>,
}

#[derive(Serialize)]
struct Entities<'a> {
    total: usize,
    result: Vec<NamedEntity<'a>>,
}

#[derive(Serialize)]
struct NamedEntity<'a> {
    id: &'a Id,
    name: &'a str,
}

pub async fn save(admin: &Admin, body: &[u8]) -> Result<Reply, Failure> {
    let source = admin.read_source(body).map_err(|fault| Failure::Invalid("body", fault))?;
    let id = admin.save_source(source).await?;
    Ok(reply::json(&Saved { saved: 1, errors: [], ids: [&id] }))
}

pub fn get(admin: &Admin, route: &Route) -> Result<Reply, Failure> {
    let found = admin.source(&route.record_id()?);
    let shown = found.as_ref().map(|found| {
        let secrets = found.secrets.iter().map(|secret| ShownSecret { since: secret.since });
        Shown { source: &found.source, secrets: secrets.collect() }
    });
    Ok(reply::record(shown))
}

pub async fn delete(admin: &Admin, route: &Route) -> Result<Reply, Failure> {
    Ok(reply::deleted(admin.delete_source(&route.record_id()?).await?))
}

/// Makes a secret, which is answered this once.
pub async fn make_secret(admin: &Admin, route: &Route) -> Result<Reply, Failure> {
    let made = admin.make_source_secret(&route.record_id()?).await?;
    Ok(reply::not_stored(reply::record(made.map(|secret| json!({ "secret": secret.as_str() })))))
}

pub async fn end_secrets(admin: &Admin, route: &Route) -> Result<Reply, Failure> {
    Ok(reply::deleted(admin.end_source_secrets(&route.record_id()?).await?))
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
    let names: Map<_, _> = SourceType::ALL.iter().map(|kind| (kind.word().to_owned(), json!(kind.name()))).collect();
    reply::json(&json!({ "total": names.len(), "result": names }))
}

pub fn types() -> Reply {
    let types = SourceType::ALL.iter().map(|kind| {
        let configuration = json!({ "name": kind.name(), "tags": [kind.word(), "inbound"] });
        (kind.word().to_owned(), configuration)
    });
    let types: Map<_, _> = types.collect();
    reply::json(&json!({ "total": types.len(), "result": types }))
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
