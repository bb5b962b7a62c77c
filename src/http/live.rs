//! Events as they are stored, as server-sent events (docs/contract.md, section 14).

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use hyper::{
    body::Frame,
    header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue},
};

use super::{
    failure::Failure,
    query::in_query,
    reply::{self, Endless, Reply},
    route::Request,
};
use crate::{
    model::Fault,
    read::{LivePiece, LiveStream, Parameters, Queries},
};

/// The header by which a client that comes again says what it had last.
const LAST_EVENT_ID: &str = "Last-Event-ID";
/// Asks a proxy (nginx reads it) to hand on what comes, and not to gather it first.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// `GET /events/live`. It ends once whoever reads it may do so no more.
pub async fn events(
    queries: &Arc<Queries>,
    request: &Request,
    may_read: impl Fn() -> bool + Send + 'static,
) -> Result<Reply, Failure> {
    let parameters = Parameters::new(request.route.query().into_pairs());
    let mut query = queries.live_query(parameters).map_err(in_query)?;
    if let Some(id) = request.headers.get(LAST_EVENT_ID) {
        let in_header = |fault: Fault| Failure::Invalid("header", fault.at(LAST_EVENT_ID));
        query = query.go_on_behind(id.to_str().unwrap_or_default(), queries.end()).map_err(in_header)?;
    }
    let mut reply = written(queries.live(query).await?, may_read);
    reply.extensions_mut().insert(Endless);
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    Ok(reply)
}

/// Writes what comes as it comes. Each block has an id, also the first one and those without an event: who goes on
/// behind it misses nothing, even if no event came before.
fn written(live: LiveStream, may_read: impl Fn() -> bool + Send + 'static) -> Reply {
    let head = format!("retry: 2000\nid: {}\n\n", live.cursor());
    let rest = stream::unfold((live, may_read, false), |(mut live, may_read, was_cut)| async move {
        if was_cut {
            return None;
        }
        let next = live.next().await;
        if !may_read() {
            return None;
        }
        match next {
            Ok(piece) => piece.map(|piece| (Ok(Frame::data(blocks(piece))), (live, may_read, false))),
            Err(refused) => {
                tracing::warn!(%refused, "a live stream is cut off");
                Some((Err(refused), (live, may_read, true)))
            }
        }
    });
    reply::stream(stream::once(async { Ok(Frame::data(head.into())) }).chain(rest))
}

fn blocks(piece: LivePiece) -> Bytes {
    match piece {
        LivePiece::Events(events) => {
            let mut out = BytesMut::new();
            for event in events {
                // A record's JSON stands on one line.
                for part in [b"id: ", event.cursor.as_bytes(), b"\nevent: event\ndata: ", &*event.record, b"\n\n"] {
                    out.put_slice(part);
                }
            }
            out.freeze()
        }
        LivePiece::Alive(cursor) => format!(": alive\nid: {cursor}\n\n").into(),
        LivePiece::Behind(cursor) => {
            format!("id: {cursor}\nevent: behind\ndata: {{\"cursor\":\"{cursor}\"}}\n\n").into()
        }
    }
}
