//! POST /track (contract, section 3).

use std::sync::Arc;

use hyper::StatusCode;

use super::{
    failure::Failure,
    reply::{self, Reply},
    route::Request,
};
use crate::{
    collect::{Collector, Incoming},
    model::{Fault, Origin, Payload, SourceType, boolean_word},
};

pub async fn track(collector: &Collector, request: &Request) -> Result<Reply, Failure> {
    let profile_less = match request.route.query().last("profile_less") {
        Some(word) => boolean_word(word)
            .ok_or_else(|| Failure::Invalid("query", Fault::wrong_type("a boolean").at("profile_less")))?,
        None => false,
    };
    let payload = Payload::parse(&request.body.bytes)?;
    take(collector, request, SourceType::Rest, payload, profile_less).await
}

/// Hands a payload to the collector and answers what it answers.
pub async fn take(
    collector: &Collector,
    request: &Request,
    endpoint: SourceType,
    payload: Payload,
    profile_less: bool,
) -> Result<Reply, Failure> {
    let client = Arc::new(request.client.clone());
    let origin = client.origin.as_ref().map(|origin| Origin::parse(origin).ok());
    let bytes = request.body.bytes.len();
    let incoming = Incoming { endpoint, payload, profile_less, client, origin, bytes };
    Ok(reply::json_bytes(StatusCode::OK, collector.collect(incoming).await?))
}
