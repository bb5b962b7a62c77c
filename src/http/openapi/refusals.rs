//! What an answer says that is none of what was asked for.

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::schemas::Schemas;
use crate::http::failure::{Detail, Faults};

/// The statuses that any request may have, whatever it asks for.
pub const ALWAYS: [StatusCode; 8] = [
    StatusCode::BAD_REQUEST,
    StatusCode::REQUEST_TIMEOUT,
    StatusCode::PAYLOAD_TOO_LARGE,
    StatusCode::URI_TOO_LONG,
    StatusCode::EXPECTATION_FAILED,
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    StatusCode::INTERNAL_SERVER_ERROR,
    StatusCode::SERVICE_UNAVAILABLE,
];

/// What each status of a refusal means.
const MEANINGS: [(StatusCode, &str); 15] = [
    (StatusCode::NOT_MODIFIED, "The client has it: its tag is the one of `If-None-Match`."),
    (StatusCode::BAD_REQUEST, "It is not HTTP, or not of a kind that is taken."),
    (StatusCode::UNAUTHORIZED, "Who asks is not known, or may not do this."),
    (StatusCode::NOT_FOUND, "There is no such record."),
    (StatusCode::NOT_ACCEPTABLE, "An event does not keep to its type's schema, or a bot sent it; nothing is stored."),
    (StatusCode::REQUEST_TIMEOUT, "The client took too long; the connection is closed."),
    (StatusCode::PAYLOAD_TOO_LARGE, "The body is larger than `server.max_body_bytes`, or has too many events."),
    (StatusCode::URI_TOO_LONG, "Path and query are too long."),
    (StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body's media type, charset or encoding is none that is read."),
    (StatusCode::EXPECTATION_FAILED, "Only `100-continue` can be expected."),
    (StatusCode::UNPROCESSABLE_ENTITY, "A value is wrong; `loc` names it. Nothing is stored."),
    (StatusCode::TOO_MANY_REQUESTS, "Too many wrong passwords came from this address; try again later."),
    (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "The request's head is too large."),
    (StatusCode::INTERNAL_SERVER_ERROR, "A bug, of this request alone."),
    (StatusCode::SERVICE_UNAVAILABLE, "There is no room for it now, or nothing can be stored; try again later."),
];

/// The responses that operations refer to, by their status.
pub fn responses(schemas: &mut Schemas) -> Map<String, Value> {
    let (detail, faults) = (schemas.answer::<Detail>(), schemas.answer::<Faults>());
    let responses = MEANINGS.iter().map(|(status, meaning)| {
        let schema = match *status {
            StatusCode::NOT_FOUND => json!({ "type": "null" }),
            StatusCode::UNPROCESSABLE_ENTITY => faults.clone(),
            _ => detail.clone(),
        };
        let mut response = json!({ "description": meaning, "content": { "application/json": { "schema": schema } } });
        if [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(status) {
            let seconds = json!({ "type": "integer", "minimum": 1 });
            response["headers"] = json!({
                "Retry-After": { "description": "In how many seconds.", "required": true, "schema": seconds }
            });
        }
        (status.as_str().to_owned(), response)
    });
    responses.collect()
}

pub fn reference(status: StatusCode) -> Value {
    json!({ "$ref": format!("#/components/responses/{}", status.as_str()) })
}
