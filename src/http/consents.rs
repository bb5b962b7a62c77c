//! What consent widgets call (docs/contract.md, section 18).

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    App, Services,
    failure::Failure,
    reply::{self, Reply},
    route::Request,
    track,
};
use crate::{
    admin::{Admin, ConsentType},
    model::{DefinitionKind, Id, Payload, SourceType},
    process::CONSENT_UPDATE,
};

/// The consent types in the form in which the reference's widgets read them.
#[derive(Serialize, JsonSchema)]
pub struct ConsentTypes {
    total: usize,
    grouped: Groups,
}

#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct Groups {
    #[serde(rename = "Consent types", skip_serializing_if = "Vec::is_empty")]
    types: Vec<ConsentType>,
}

/// `POST /customer/consent`: takes what a visitor grants and revokes, as an event; with `all=true` every type is granted.
pub async fn give(app: &App, services: &Services, request: &Request) -> Result<Reply, Failure> {
    let all: Vec<Id> = if request.route.flag("all")? {
        services.admin.definitions(DefinitionKind::Consent).iter().map(|definition| definition.id.clone()).collect()
    } else {
        Vec::new()
    };
    let payload = Payload::of_consents(&request.body.bytes, CONSENT_UPDATE, &all);
    let payload = payload.map_err(|fault| Failure::Invalid("body", fault))?;
    track::take(app, &services.collector, request, SourceType::Rest, payload, false, None).await
}

/// `GET /consents/types`
pub fn types(admin: &Admin) -> Reply {
    let types = admin.consent_types();
    reply::json(&ConsentTypes { total: types.len(), grouped: Groups { types } })
}
