//! POST /track (docs/contract.md, section 3), and the answer to what is collected: 200 once it is durable.

use hyper::StatusCode;

use super::{
    App, auth, client,
    failure::Failure,
    reply::{self, Reply},
    route::{Endpoint, Request},
};
use crate::{
    collect::{Collector, DryRun, Incoming, SentHeader},
    model::{Fault, Payload, SourceType},
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
    if profile_less && payload.opens_session {
        // Nobody would go on with it.
        return Err(Failure::Invalid("body", Fault::missing().at("id").at("session")));
    }
    take(app, collector, request, SourceType::Rest, payload, profile_less, dry_run).await
}

/// Hands a payload to the collector: 200 with its answer once what it stores is durable; what it refuses becomes another
/// status in `failure`.
pub async fn take(
    app: &App,
    collector: &Collector,
    request: &Request,
    endpoint: SourceType,
    payload: Payload,
    profile_less: bool,
    dry_run: Option<DryRun>,
) -> Result<Reply, Failure> {
    let bytes = request.body.bytes.len();
    let credentials = auth::credentials(app, &request.headers);
    let header = match endpoint {
        SourceType::Webhook => collector.event_id_header(&payload.source).and_then(|name| sent(request, name)),
        SourceType::Rest => None,
    };
    // Whoever says here what they allow says it of this site; what their browser says goes for all.
    let opted_out =
        client::asks_not_to_be_tracked(&request.headers) && request.route.endpoint != Endpoint::CustomerConsent;
    let incoming = Incoming {
        endpoint,
        payload,
        profile_less,
        client: request.client.clone(),
        header,
        credentials,
        opted_out,
        bytes,
        dry_run,
    };
    // On the heap, so that its room is not moved with each of what is around it.
    Ok(reply::json_bytes(StatusCode::OK, Box::pin(collector.collect(incoming)).await?))
}

/// What the request says in the header of this name.
fn sent(request: &Request, name: Box<str>) -> Option<SentHeader> {
    let value = String::from_utf8_lossy(request.headers.get(&*name)?.as_bytes()).into();
    Some(SentHeader { name, value })
}
