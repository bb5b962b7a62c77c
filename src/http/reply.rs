//! Answers as they are written.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
};
use serde::Serialize;

pub type Reply = Response<Full<Bytes>>;

/// 200 with `value` as JSON.
pub fn json(value: &impl Serialize) -> Reply {
    json_with(StatusCode::OK, value)
}

pub fn json_with(status: StatusCode, value: &impl Serialize) -> Reply {
    match serde_json::to_vec(value) {
        Ok(bytes) => json_bytes(status, bytes),
        Err(error) => {
            tracing::error!(%error, "an answer cannot be written");
            json_bytes(StatusCode::INTERNAL_SERVER_ERROR, &br#"{"detail":"Internal server error."}"#[..])
        }
    }
}

/// An answer whose body is JSON already.
pub fn json_bytes(status: StatusCode, bytes: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(bytes.into()));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

/// An answer that holds a secret: nothing on the way keeps it.
pub fn not_stored(mut reply: Reply) -> Reply {
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

/// An answer without a body.
pub fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(Full::default());
    *reply.status_mut() = status;
    reply
}

/// The record, or 404 with `null`.
pub fn record(found: Option<impl Serialize>) -> Reply {
    match found {
        Some(record) => json(&record),
        None => json_with(StatusCode::NOT_FOUND, &()),
    }
}

/// `true`, or 404 with `null` where there was nothing to delete.
pub fn deleted(there: bool) -> Reply {
    record(there.then_some(true))
}
