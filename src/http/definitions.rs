//! Event types, segments, workflows and destinations, one by one and as a whole.

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    failure::Failure,
    reply::{self, Reply},
    route::{Request, Route},
};
use crate::{
    admin::{Admin, Author, Difference},
    deliver::Deliveries,
    model::{DefinitionKind, Fault, Json, Reader},
    schedule::Scheduler,
};

/// How much deeper a definition stands in a configuration than alone.
const LISTED_DEEPER: usize = 2;

/// What a configuration changed, or would.
#[derive(Serialize, JsonSchema)]
pub struct Applied {
    dry_run: bool,
    changed: Vec<Difference>,
}

pub async fn save(admin: &Admin, kind: DefinitionKind, body: &[u8], by: &Author) -> Result<Reply, Failure> {
    let id = admin.save_definition(kind, read(body, LISTED_DEEPER)?, by).await?;
    Ok(reply::saved(id))
}

pub fn get(admin: &Admin, kind: DefinitionKind, route: &Route) -> Result<Reply, Failure> {
    let found = admin.definition(kind, &route.record_id()?);
    Ok(reply::record(found.as_ref().map(|found| &found.body)))
}

pub async fn delete(admin: &Admin, kind: DefinitionKind, route: &Route, by: &Author) -> Result<Reply, Failure> {
    Ok(reply::deleted(admin.delete_definition(kind, &route.record_id()?, by).await?))
}

pub fn list(admin: &Admin, kind: DefinitionKind) -> Reply {
    #[derive(Serialize)]
    struct List<'a> {
        total: usize,
        result: Vec<&'a Json>,
    }
    let found = admin.definitions(kind);
    reply::json(&List { total: found.len(), result: found.iter().map(|found| &found.body).collect() })
}

/// How far a destination is, and what keeps it.
pub fn destination_status(deliveries: &Deliveries, route: &Route) -> Result<Reply, Failure> {
    Ok(reply::record(deliveries.status(&route.record_id()?)))
}

/// How a segment or a workflow fares.
pub async fn status(scheduler: &Scheduler, kind: DefinitionKind, route: &Route) -> Result<Reply, Failure> {
    Ok(reply::record(scheduler.status(kind, &route.record_id()?).await?))
}

/// Delivers everything from an offset on again: `{"from": OFFSET}`.
pub async fn replay(admin: &Admin, request: &Request) -> Result<Reply, Failure> {
    let invalid = |fault| Failure::Invalid("body", fault);
    let mut from = None;
    let read = Reader::new(&request.body.bytes, 0).and_then(|mut reader| {
        reader.object(&["from"], |reader, _| {
            let wrong = || Fault::wrong_type("an offset, a whole number");
            if !reader.peek()?.is_ascii_digit() {
                return Err(wrong());
            }
            // `7.0` is a whole number, too.
            let number = reader.number()?;
            let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
            if fraction.bytes().any(|digit| digit != b'0') {
                return Err(wrong());
            }
            from = Some(whole.parse().map_err(|_| wrong())?);
            Ok(())
        })?;
        reader.end()
    });
    read.map_err(invalid)?;
    let from = from.ok_or_else(|| invalid(Fault::missing().at("from")))?;
    Ok(reply::deleted(admin.replay(&request.route.record_id()?, from).await?))
}

/// Everything that is set up.
pub fn dump(admin: &Admin) -> Reply {
    reply::json(&admin.dump())
}

/// Applies a whole configuration, or tells what that would change.
pub async fn apply(admin: &Admin, request: &Request, by: &Author) -> Result<Reply, Failure> {
    let dry_run = request.route.flag("dry_run")?;
    let body = read(&request.body.bytes, 0)?;
    let configuration = admin.read_configuration(&body).map_err(|fault| Failure::Invalid("body", fault))?;
    let changed = if dry_run {
        admin.difference(&configuration).await.map_err(|fault| Failure::Invalid("body", fault))?
    } else {
        admin.apply(configuration, by).await?
    };
    Ok(reply::json(&Applied { dry_run, changed }))
}

/// `level`: how many levels deep the body counts as standing.
fn read(body: &[u8], level: usize) -> Result<Json, Failure> {
    let read = || {
        let mut reader = Reader::new(body, level)?;
        let value = reader.value()?;
        reader.end().map(|()| value)
    };
    read().map_err(|fault| Failure::Invalid("body", fault))
}
