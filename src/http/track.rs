//! POST /track (docs/contract.md, section 3).

use hyper::StatusCode;

use super::{
    App, auth,
    failure::Failure,
    reply::{self, Reply},
    route::Request,
};
use crate::{
    collect::{Collector, DryRun, Incoming},
    model::{Payload, SourceType},
};

pub async fn track(app: &App, collector: &Collector, request: &Request) -> Result<Reply, Failure> {
    let route = &request.route;
    let (dry_run, lookups) = (route.flag("dry_run")?, route.flag("lookups")?);
    if dry_run {
        auth::check_token(app, &request.headers)?;
    }
    let dry_run = dry_run.then_some(DryRun { lookups, rules: None });
    let profile_less = route.flag("profile_less")?;
    let payload = Payload::parse(&request.body.bytes)?;
    take(app, collector, request, SourceType::Rest, payload, profile_less, dry_run).await
}

/// Hands a payload to the collector and answers what it answers.
pub async fn take(
    app: &App,
    collector: &Collector,
    request: &Request,
    endpoint: SourceType,
    payload: Payload,
    profile_less: bool,
    dry_run: Option<DryRun>,
) -> Result<Reply, Failure> {
    let (client, bytes) = (request.client.clone(), request.body.bytes.len());
    let credentials = auth::credentials(app, &request.headers);
    let incoming = Incoming { endpoint, payload, profile_less, client, credentials, bytes, dry_run };
    Ok(reply::json_bytes(StatusCode::OK, collector.collect(incoming).await?))
}
