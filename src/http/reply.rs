//! Answers as they are written.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;
use http_body_util::{Either, Full, StreamBody};
use hyper::{
    Response, StatusCode,
    body::Frame,
    header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, LOCATION},
};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{model::Id, store::Refused};

pub type Reply = Response<ReplyBody>;
/// Whole, or in pieces as they come.
pub type ReplyBody = Either<Full<Bytes>, StreamBody<Pin<Box<dyn Stream<Item = Piece> + Send>>>>;

/// A piece of an answer that is written while it is made, or why it ends before its end.
pub type Piece = Result<Frame<Bytes>, Refused>;

/// Among a reply's extensions: its pieces would never end by themselves, so whoever ends the connection need not wait for
/// a client to take them.
#[derive(Clone, Copy, Debug)]
pub struct Endless;

/// 200 with pieces as they come.
pub fn stream(pieces: impl Stream<Item = Piece> + Send + 'static) -> Reply {
    Response::new(Either::Right(StreamBody::new(Box::pin(pieces))))
}

/// A step of [`stream`] over what `from` writes, of which `written` is the next part: where it cannot be written any
/// further, the answer is cut off, so that nobody takes it for whole.
pub fn next_piece<T>(written: Result<Option<Vec<u8>>, Refused>, from: T) -> Option<(Piece, Option<T>)> {
    match written {
        Ok(Some(part)) => Some((Ok(Frame::data(part.into())), Some(from))),
        Ok(None) => None,
        Err(refused) => {
            tracing::warn!(%refused, "an answer is cut off");
            Some((Err(refused), None))
        }
    }
}

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
    let mut reply = Response::new(Either::Left(Full::new(bytes.into())));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

/// 200 with a page.
pub fn html(page: Bytes) -> Reply {
    let mut reply = Response::new(Either::Left(Full::new(page)));
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    reply
}

/// 200 with bytes of this media type that are part of the program.
pub fn bytes(kind: &'static str, bytes: &'static [u8]) -> Reply {
    let mut reply = Response::new(Either::Left(Full::new(Bytes::from_static(bytes))));
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    reply
}

/// Sends a browser on to `location`.
pub fn found(location: HeaderValue) -> Reply {
    let mut reply = empty(StatusCode::FOUND);
    reply.headers_mut().insert(LOCATION, location);
    reply
}

/// 200 with a text of this media type.
pub fn text(kind: &'static str, text: String) -> Reply {
    let mut reply = Response::new(Either::Left(Full::from(text)));
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    reply
}

/// An answer that holds a secret: nothing on the way keeps it.
pub fn not_stored(mut reply: Reply) -> Reply {
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

/// An answer without a body.
pub fn empty(status: StatusCode) -> Reply {
    let mut reply = Response::new(Either::Left(Full::default()));
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

/// What was saved.
#[derive(Serialize, JsonSchema)]
pub struct Saved {
    /// How many.
    saved: usize,
    errors: [&'static str; 0],
    ids: [Id; 1],
}

/// It is saved under this id.
pub fn saved(id: Id) -> Reply {
    json(&Saved { saved: 1, errors: [], ids: [id] })
}
