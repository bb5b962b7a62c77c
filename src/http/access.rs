//! Tokens of viewers, links to single pages, and the history of changes (docs/contract.md, section 19).

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    App, Services, auth,
    failure::Failure,
    reply::{self, Reply},
    route::{Request, Route},
};
use crate::{
    admin::{Access, Admin, Author},
    model::{DefinitionKind, Fault, Id, Json, Reader, Time},
    process::duration,
};

/// What may be made: the role of a token.
const VIEWER: &str = "viewer";
/// How long a link leads to its page if nothing is said.
const SHARED_FOR: &str = "30d";

/// A token that was made. It is told this once.
#[derive(Serialize, JsonSchema)]
pub struct MadeToken {
    id: Id,
    token: String,
}

/// A link that was made. It is told this once.
#[derive(Serialize, JsonSchema)]
pub struct MadeShare {
    id: Id,
    /// The path of the page.
    path: String,
}

#[derive(Serialize, JsonSchema)]
pub struct Accesses {
    total: usize,
    result: Vec<Access>,
}

#[derive(Serialize, JsonSchema)]
pub struct Changes {
    total: usize,
    result: Vec<ShownChange>,
}

/// A change of something that is set up.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Change")]
struct ShownChange {
    id: Id,
    time: Time,
    by: String,
    address: String,
    kind: String,
    of: String,
    before: Option<Json>,
    after: Option<Json>,
}

/// `POST /token`: `{"role": "viewer", "name"}`.
pub async fn make_token(admin: &Admin, request: &Request, by: &Author) -> Result<Reply, Failure> {
    let [role, name] = texts(&request.body.bytes, ["role", "name"])?;
    if role.as_deref() != Some(VIEWER) {
        return Err(Failure::Invalid("body", Fault::new("value_error", "viewer is expected").at("role")));
    }
    let made = admin.make_token(&name.unwrap_or_default(), by).await?;
    Ok(reply::not_stored(reply::json(&MadeToken { id: made.id, token: made.secret })))
}

/// `POST /share`: `{"page": "overview?period=30d", "expires"}`; `expires` is a time, or for how long (`7d`).
pub async fn make_share(admin: &Admin, request: &Request, by: &Author) -> Result<Reply, Failure> {
    let [page, expires] = texts(&request.body.bytes, ["page", "expires"])?;
    let expires = expires.as_deref().unwrap_or(SHARED_FOR);
    let ends = match duration(expires) {
        Ok(lasts) => admin.now().later(lasts),
        Err(_) => Time::parse(expires).map_err(|fault| Failure::Invalid("body", fault.at("expires")))?,
    };
    let made = admin.make_share(&page.unwrap_or_default(), ends, by).await?;
    let path = format!("/console/shared/{}", made.secret);
    Ok(reply::not_stored(reply::json(&MadeShare { id: made.id, path })))
}

pub fn list(admin: &Admin, kind: DefinitionKind) -> Reply {
    let result = admin.accesses(kind);
    reply::json(&Accesses { total: result.len(), result })
}

pub async fn end(admin: &Admin, kind: DefinitionKind, route: &Route, by: &Author) -> Result<Reply, Failure> {
    Ok(reply::deleted(admin.end_access(kind, &route.record_id()?, by).await?))
}

/// `GET /changes`: who changed what is set up, the newest first.
pub fn changes(admin: &Admin) -> Reply {
    let shown = admin.changes().into_iter().map(|change| ShownChange {
        id: change.id,
        time: change.time,
        by: change.by,
        address: change.address,
        kind: change.kind,
        of: change.of,
        before: change.before,
        after: change.after,
    });
    let result: Vec<ShownChange> = shown.collect();
    reply::json(&Changes { total: result.len(), result })
}

/// Whether a viewer's token, or the administrator's, comes with a request.
pub fn check_viewer(app: &App, request: &Request) -> Result<(), Failure> {
    let may_look = auth::bearer(&request.headers)
        .is_some_and(|token| app.services().is_ok_and(|services| services.admin.viewer(token).is_some()));
    if may_look { Ok(()) } else { auth::check_token(app, &request.headers) }
}

/// Whether the token that came with a request is still one: a viewer's can be ended while its request is answered.
pub fn still_allowed(services: &Services, request: &Request) -> impl Fn() -> bool + Send + 'static {
    let viewer = auth::bearer(&request.headers).and_then(|token| services.admin.viewer(token));
    let admin = services.admin.clone();
    move || viewer.as_ref().is_none_or(|it| admin.definition(DefinitionKind::Token, &it.id).is_some())
}

/// The texts of an object's fields.
fn texts<const N: usize>(body: &[u8], names: [&'static str; N]) -> Result<[Option<String>; N], Failure> {
    let mut found = [const { None }; N];
    let read = Reader::new(body, 0).and_then(|mut reader| {
        reader.object(&names, |reader, field| {
            let at = names.iter().position(|name| *name == field).unwrap_or_default();
            if reader.peek()? == b'n' {
                return reader.null();
            }
            found[at] = Some(reader.whole_string()?.to_string());
            Ok(())
        })?;
        reader.end()
    });
    read.map_err(|fault| Failure::Invalid("body", fault))?;
    Ok(found)
}
