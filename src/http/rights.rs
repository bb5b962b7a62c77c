//! The rights of a person (docs/contract.md, section 16).

use std::sync::Arc;

use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};

use super::{
    Services,
    failure::Failure,
    reply::{self, Reply},
    route::Route,
};
use crate::{
    model::{Erasure, ErasureKind, Id, Left},
    rights::{Export, Rights},
};

/// Deletes a profile; with `events=true`, everything that is known of its person.
pub async fn delete_profile(services: &Services, route: &Route) -> Result<Reply, Failure> {
    let id = route.record_id()?;
    if !route.flag("events")? {
        return Ok(reply::deleted(services.admin.delete_profile(&id).await?));
    }
    let erased = services.rights.erase(&id).await?;
    Ok(reply::record(erased.map(|erasure| json!({ "erased": counts(&erasure), "erasure": erasure.id }))))
}

pub async fn forget(rights: &Rights, route: &Route) -> Result<Reply, Failure> {
    let forgotten = rights.forget(&route.record_id()?).await?;
    Ok(reply::record(forgotten.map(|erasure| json!({ "forgotten": counts(&erasure), "erasure": erasure.id }))))
}

/// Whether an erasure is done, since when, and what it does not reach.
pub async fn erasure(rights: &Rights, route: &Route) -> Result<Reply, Failure> {
    let found = rights.erasure(&route.record_id()?).await?;
    Ok(reply::record(found.map(|erasure| {
        let (word, kind) = match erasure.kind {
            ErasureKind::Erased => ("erased", "erase"),
            ErasureKind::Forgotten => ("forgotten", "forget"),
        };
        json!({
            "id": erasure.id,
            "kind": kind,
            "done": erasure.done.is_some(),
            "time": { "asked": erasure.asked, "done": erasure.done },
            word: counts(&erasure),
            "left": erasure.left.iter().map(left).collect::<Vec<_>>(),
        })
    })))
}

fn counts(erasure: &Erasure) -> Value {
    json!({ "events": erasure.events, "sessions": erasure.sessions, "profiles": erasure.profiles })
}

fn left(left: &Left) -> Value {
    match left {
        Left::File { destination, file } => json!({ "kind": "file", "destination": destination, "file": file }),
        Left::Definition { kind, id } => json!({ "kind": kind.word(), "id": id }),
        Left::Untold(destination) => json!({ "kind": "untold", "destination": destination }),
    }
}

/// Everything that is known of somebody, written while it is read. The status line is sent once it is known that there is
/// something.
pub async fn export(rights: &Arc<Rights>, route: &Route) -> Result<Reply, Failure> {
    export_of(rights, &route.record_id()?).await
}

pub async fn export_of(rights: &Arc<Rights>, id: &Id) -> Result<Reply, Failure> {
    let Some(export) = rights.export(id).await? else { return Err(Failure::NoRecord) };
    let pieces = futures_util::stream::unfold(Some(export), |export| async move {
        let mut export: Export = export?;
        reply::next_piece(export.next().await, export)
    });
    let mut reply = reply::not_stored(reply::stream(pieces));
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(reply)
}
