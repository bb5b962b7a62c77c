//! GET /redirect/ID[/SESSION-ID]: notes an event and sends the visitor on (docs/contract.md, section 18).

use hyper::{Method, header::HeaderValue};
use serde::Deserialize;

use super::{
    client,
    failure::Failure,
    reply::{self, Reply},
    route::Request,
};
use crate::{
    collect::{Collector, Credentials, Incoming},
    model::{Id, Payload, SourceType, WebhookProperties},
};

/// What is read of the answer to the event: whose it is.
#[derive(Deserialize)]
struct Answered {
    profile: Person,
}

#[derive(Deserialize)]
struct Person {
    id: Option<String>,
}

/// Sends the visitor on once the event is durable; and also where it cannot be stored, for they came to go on.
pub async fn follow(collector: &Collector, request: &Request) -> Result<Reply, Failure> {
    let route = &request.route;
    let redirect = collector.redirect(&route.record_id()?).ok_or(Failure::NoRecord)?;
    // What is no id is no session, and whoever follows the link goes on all the same.
    let session = route.part("session_id").ok().flatten().and_then(|part| Id::parse(&part).ok().flatten());
    let mut profile = None;
    // Who asks for the head alone looks where the link leads, and does not follow it.
    if request.method == Method::GET {
        let properties = WebhookProperties::of_texts(redirect.properties(&route.query().to_json()));
        let profile_less = session.is_none();
        let incoming = Incoming {
            endpoint: SourceType::Rest,
            payload: Payload::webhook(&redirect.kind, redirect.source.clone(), session, properties),
            profile_less,
            client: request.client.clone(),
            header: None,
            credentials: Credentials::Redirect,
            opted_out: client::asks_not_to_be_tracked(&request.headers),
            bytes: 0,
            dry_run: None,
        };
        match collector.collect(incoming).await {
            Ok(answer) => profile = serde_json::from_slice(&answer).ok().and_then(|it: Answered| it.profile.id),
            // Refused payloads are counted; a line for each visitor would fill the log.
            Err(why) => tracing::debug!(%why, source = %redirect.source, "the event of a redirect is not stored"),
        }
    }
    let url = match profile.filter(|_| redirect.pass) {
        Some(profile) => redirect.url_with(&profile),
        None => redirect.url().to_owned(),
    };
    let location = HeaderValue::from_str(&url).map_err(|_| Failure::Bug)?;
    Ok(reply::not_stored(reply::found(location)))
}
