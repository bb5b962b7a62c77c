//! A connection of HTTP/2: several requests at a time.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http_body_util::{Either, Full};
use hyper::{
    Method, Response,
    body::{Body, Incoming},
    header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderValue},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::Instant;

use super::{
    App,
    answer::answer,
    connection::{Given, Peer, Place, STREAMS_MAX, Streams, Transport, UnderWay},
    http1::ENDLESS_FINISH_TIME_MAX,
    reply::{Endless, Reply, ReplyBody},
};

/// What a client may send of a body, and of all of a connection, that nobody has read yet.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 128 * 1024;
/// What is taken of an answer before its client lets it be sent.
const SEND_BYTES_MAX: usize = 16 * 1024;
/// How often a client has to say that it is there.
const PING_EVERY: Duration = Duration::from_secs(30);
/// How long a connection may take to end once it is asked to: one that rests, and one that has just answered.
const GOODBYE_TIME_MAX: Duration = Duration::from_millis(500);
const LAST_ANSWER_TIME_MAX: Duration = Duration::from_secs(2);

type Answered = Response<Given<ReplyBody>>;

/// Answers the requests of a connection, whose place is free once everything that was taken is done.
pub async fn serve(app: Arc<App>, transport: impl Transport, peer: Peer, place: Place) {
    let limits = app.settings.clone();
    let streams = Streams::new(place, limits.idle_time_max, ENDLESS_FINISH_TIME_MAX);
    let service = service_fn({
        let streams = streams.clone();
        move |request: hyper::Request<Incoming>| {
            let answered = answer_one(app.clone(), request, peer, streams.request_begins());
            async move { Ok::<_, Infallible>(answered.await) }
        }
    });
    let mut connection = http2::Builder::new(streams.tasks())
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(limits.head_bytes_max).unwrap_or(u32::MAX))
        .max_concurrent_streams(STREAMS_MAX as u32)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BYTES_MAX)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(limits.idle_time_max)
        .serve_connection(TokioIo::new(transport), service);
    let mut connection = std::pin::Pin::new(&mut connection);
    let activity = streams.activity();
    // A head that trickles in, or the beginning that never comes, is rest like any other.
    let (mut patience, mut from, mut leaves) = (limits.idle_time_max, Instant::now(), false);
    let mut look_at = from + patience;
    loop {
        tokio::select! {
            biased; // a request that is there already is taken before the connection leaves
            result = &mut connection => {
                if let Err(error) = result {
                    tracing::debug!(%error, %peer, "a connection ended early");
                }
                return;
            }
            () = activity.asked_to_leave() => {
                patience = if activity.rests() { GOODBYE_TIME_MAX } else { LAST_ANSWER_TIME_MAX };
                streams.leave();
            }
            () = tokio::time::sleep_until(look_at) => {
                let Some(since) = activity.resting_since() else {
                    look_at = Instant::now() + patience;
                    continue;
                };
                look_at = since.max(from) + patience;
                if look_at > Instant::now() {
                    continue;
                }
                if leaves {
                    return;
                }
                patience = limits.head_time_max;
            }
        }
        // The client is told that nothing more is taken, and may have the rest of what it was answered.
        connection.as_mut().graceful_shutdown();
        (leaves, from) = (true, Instant::now());
        look_at = from + patience;
    }
}

async fn answer_one(app: Arc<App>, mut request: hyper::Request<Incoming>, peer: Peer, under_way: UnderWay) -> Answered {
    let answering = under_way.answering().await;
    // What HTTP/1 says in a header.
    let host = request.uri().authority().and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    if let Some(host) = host {
        request.headers_mut().insert(HOST, host);
    }
    let is_head = request.method() == Method::HEAD;
    let activity = answering.activity.clone();
    let mut reply = answer(app, request, peer, &activity).await;
    reply.headers_mut().remove(CONNECTION); // the end of one answer is not the connection's
    if is_head {
        reply = without_body(reply);
    }
    let is_endless = reply.extensions().get::<Endless>().is_some();
    if let Some(body) = activity.take_left_body() {
        answering.read_on(body);
    }
    reply.map(|body| Given::new(body, is_endless, answering))
}

/// What hyper leaves out by itself over HTTP/1.
fn without_body(reply: Reply) -> Reply {
    let (mut head, body) = reply.into_parts();
    if let Some(length) = body.size_hint().exact() {
        head.headers.entry(CONTENT_LENGTH).or_insert(length.into());
    }
    Response::from_parts(head, Either::Left(Full::default()))
}
