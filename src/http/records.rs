//! GET and DELETE of events, sessions and profiles (docs/contract.md, section 9).

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    Services,
    failure::Failure,
    reply::{self, Reply},
    route::{Request, Route},
};
use crate::{
    admin::{Admin, BlockedKey},
    model::{Fault, Id, Reader, ShownEvent},
};

/// An event, as clients of Tracardi 0.9 expect it.
#[derive(Serialize, JsonSchema)]
pub struct EventRecord {
    event: ShownEvent,
}

/// A merge that was taken back.
#[derive(Serialize, JsonSchema)]
pub struct Split<'a> {
    /// Who goes on.
    profile: Named<'a>,
    /// Who was split off.
    split: Named<'a>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct Named<'a> {
    id: &'a Id,
}

/// Two profiles that were made one.
#[derive(Serialize, JsonSchema)]
pub struct Merged<'a> {
    /// Who goes on.
    profile: Named<'a>,
}

/// The keys that find nobody.
#[derive(Serialize, JsonSchema)]
pub struct BlockedKeys {
    total: usize,
    result: Vec<BlockedKey>,
}

pub async fn event(admin: &Admin, route: &Route) -> Result<Reply, Failure> {
    let found = admin.event(&route.record_id()?, source(route)?.as_ref()).await?;
    Ok(reply::record(found.map(|event| EventRecord { event })))
}

pub async fn delete_event(admin: &Admin, route: &Route) -> Result<Reply, Failure> {
    Ok(reply::deleted(admin.delete_event(&route.record_id()?, source(route)?.as_ref()).await?))
}

pub async fn session(admin: &Admin, route: &Route) -> Result<Reply, Failure> {
    let found = admin.session(&route.record_id()?).await?;
    Ok(reply::record(found.as_ref().map(|(session, imported)| session.shown_if_imported(imported.as_ref()))))
}

pub async fn delete_session(admin: &Admin, route: &Route) -> Result<Reply, Failure> {
    Ok(reply::deleted(admin.delete_session(&route.record_id()?).await?))
}

pub async fn profile(admin: &Admin, route: &Route) -> Result<Reply, Failure> {
    let found = admin.profile(&route.record_id()?).await?;
    Ok(reply::record(found.as_ref().map(|(profile, imported)| profile.shown_if_imported(*imported))))
}

/// Takes back a merge: `{"id": ...}` names the profile to split off, else it is the last one that was merged.
pub async fn split_profile(services: &Services, request: &Request) -> Result<Reply, Failure> {
    let mut merged = None;
    if !request.body.bytes.trim_ascii().is_empty() {
        let read = Reader::new(&request.body.bytes, 0).and_then(|mut reader| {
            reader.object(&["id"], |reader, _| {
                merged = Id::parse(&reader.whole_string()?)?;
                Ok(())
            })?;
            reader.end()
        });
        read.map_err(|fault| Failure::Invalid("body", fault))?;
    }
    let split = services.admin.split_profile(&services.identity, &request.route.record_id()?, merged.as_ref()).await?;
    let split =
        split.as_ref().map(|(profile, split)| Split { profile: Named { id: profile }, split: Named { id: split } });
    Ok(reply::record(split))
}

/// Makes the profile one with the one that `{"with": ...}` names.
pub async fn merge_profiles(admin: &Admin, request: &Request) -> Result<Reply, Failure> {
    let mut with = None;
    let read = Reader::new(&request.body.bytes, 0).and_then(|mut reader| {
        reader.object(&["with"], |reader, _| {
            with = Some(Id::required(&reader.whole_string()?)?);
            Ok(())
        })?;
        reader.end()
    });
    let with = read.and_then(|()| with.ok_or_else(|| Fault::missing().at("with")));
    let with = with.map_err(|fault| Failure::Invalid("body", fault))?;
    let merged = admin.merge_profiles(&request.route.record_id()?, &with).await?;
    Ok(reply::record(merged.as_ref().map(|profile| Merged { profile: Named { id: profile } })))
}

pub async fn blocked_keys(admin: &Admin) -> Result<Reply, Failure> {
    let result = admin.blocked_keys().await?;
    Ok(reply::json(&BlockedKeys { total: result.len(), result }))
}

/// Which source's event is meant, if the query says so.
fn source(route: &Route) -> Result<Option<Id>, Failure> {
    let query = route.query();
    let Some(source) = query.last("source") else { return Ok(None) };
    Id::parse(source).map_err(|fault: Fault| Failure::Invalid("query", fault.at("source")))
}
