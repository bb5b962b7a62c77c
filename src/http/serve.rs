//! Accepting connections, answering their requests, and ending in good order (contract, sections 2 and 11).

use std::{convert::Infallible, future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use http_body_util::Either;
use hyper::{
    Method,
    body::{Body as _, Incoming},
    header::{CONNECTION, EXPECT, HeaderValue, ORIGIN},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::Instant,
};

use super::{
    App,
    body::{self, Body, Pieces},
    client,
    connection::{Activity, LINGER, Place, Refused, SHORT_LINGER, Socket, Streamed, linger, linger_if_unread},
    cors, dispatch,
    failure::Failure,
    finish::ToItsEnd,
    media,
    reply::{Endless, Reply},
    route::{Audience, Endpoint, Request, Route},
};
use crate::settings::ServerSettings;

/// What a connection over the limit is told.
const CROWDED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\n\
    content-type: application/json\r\ncontent-length: 34\r\n\r\n{\"detail\":\"Too many connections.\"}";
/// How many connections over the limit are read on, so that they can read why, at a time; more are just closed.
const REFUSED_MAX: usize = 64;
/// How often the log tells that connections are refused.
const TOLD_EVERY: Duration = Duration::from_secs(60);
/// How long requests that run may still take when the server ends.
const FINISH_TIME_MAX: Duration = Duration::from_secs(5);
/// How long a client may take, when the server ends, for what it was sent of an answer that has no end.
const ENDLESS_FINISH_TIME_MAX: Duration = Duration::from_millis(500);
/// How long to wait after the system had no room for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// A body that was not read, of at most so many bytes, has mostly come with its head: the connection can be kept.
const LEFT_BYTES_MAX: u64 = 4 * 1024;

/// Serves until `end` is done; then stops accepting, finishes what runs and closes idle connections.
pub async fn serve(app: Arc<App>, listener: TcpListener, end: impl Future<Output = ()>) {
    if let Err(error) = Socket::prepare(&listener) {
        tracing::warn!(%error, "clients that read slowly are seen late");
    }
    let admission = &app.admission;
    let mut door = Door::new();
    tokio::pin!(end);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut end => break,
        };
        match accepted {
            Ok((socket, peer)) => match admission.admit(peer.ip()) {
                Ok(place) => _ = tokio::spawn(answer_connection(app.clone(), socket, peer, place)),
                Err(refused) => door.refuse(socket, peer, refused),
            },
            // The client went away before it was let in.
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => {
            }
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    if let Some(rooms) = app.rooms.get() {
        rooms.queries.end_live();
    }
    if tokio::time::timeout(FINISH_TIME_MAX, admission.finish_all()).await.is_err() {
        tracing::warn!("some connections did not end in time");
    }
}

/// Where connections are refused.
struct Door {
    lingering: Arc<Semaphore>,
    told: Option<Instant>,
}

impl Door {
    fn new() -> Self {
        Self { lingering: Arc::new(Semaphore::new(REFUSED_MAX)), told: None }
    }

    fn refuse(&mut self, socket: TcpStream, peer: SocketAddr, refused: Refused) {
        if self.told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
            self.told = Some(Instant::now());
            let setting = match refused {
                Refused::All => "server.max_connections",
                Refused::Address => "server.max_connections_per_address",
            };
            tracing::warn!(%peer, "connections are refused: there are as many as {setting} allows");
        }
        _ = socket.try_write(CROWDED);
        if let Ok(one_of) = self.lingering.clone().try_acquire_owned() {
            tokio::spawn(async move {
                linger(socket, SHORT_LINGER).await;
                drop(one_of);
            });
        }
    }
}

/// Answers the requests of a connection, whose place is free once everything that was taken is done.
async fn answer_connection(app: Arc<App>, socket: TcpStream, peer: SocketAddr, place: Place) {
    let activity = place.activity();
    let limits = &app.settings;
    let io = Socket::new(socket, activity.clone(), limits.head_time_max, limits.idle_time_max);
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let answered = answer(app.clone(), request, peer, activity);
        async move {
            let reply = answered.await;
            activity.answer_begins();
            let is_endless = reply.extensions().get::<Endless>().is_some();
            Ok::<_, Infallible>(reply.map(|body| match body {
                Either::Left(whole) => Either::Left(whole),
                Either::Right(pieces) => Either::Right(Streamed::new(pieces, activity.clone(), is_endless)),
            }))
        }
    });
    let mut connection = http1::Builder::new()
        .max_buf_size(limits.head_bytes_max)
        .header_read_timeout(None)
        .half_close(true) // a request is answered also to who says that it is the last
        .serve_connection(TokioIo::new(io), service);
    let mut cut_at = None;
    loop {
        tokio::select! {
            biased; // a request that is there already is taken before the connection leaves
            result = &mut connection => {
                if let Err(error) = result {
                    tracing::debug!(%error, %peer, "a connection ended early");
                }
                break;
            }
            () = activity.asked_to_leave() => {
                if activity.rests() {
                    return;
                }
                std::pin::Pin::new(&mut connection).graceful_shutdown();
                cut_at = activity.is_endless().then(|| Instant::now() + ENDLESS_FINISH_TIME_MAX);
            }
            () = tokio::time::sleep_until(cut_at.unwrap_or_else(Instant::now)), if cut_at.is_some() => return,
        }
    }
    end_connection(connection.into_parts().io.into_inner(), activity).await;
}

/// Finishes what a connection's client did not wait for, or waits until it has read the last answer.
async fn end_connection(socket: Socket, activity: &Activity) {
    let has_stalled = socket.has_stalled();
    let socket = socket.into_tcp();
    if let Some(rest) = activity.take_unfinished() {
        drop(socket);
        rest.await;
    } else if has_stalled {
        _ = socket.set_zero_linger(); // what it did not take is not kept for it either
    } else if activity.leaves_unread() {
        tokio::select! {
            () = linger(socket, LINGER) => {}
            () = activity.asked_to_leave() => {}
        }
    } else {
        linger_if_unread(socket, SHORT_LINGER).await;
    }
}

/// Answers a request, to its end.
fn answer(
    app: Arc<App>,
    request: hyper::Request<Incoming>,
    peer: SocketAddr,
    activity: &Arc<Activity>,
) -> impl Future<Output = Reply> {
    let origin = request.headers().get(ORIGIN).cloned();
    let has_body = !request.body().is_end_stream();
    let left_is_small = has_body
        && request.body().size_hint().upper().is_some_and(|bytes| bytes <= LEFT_BYTES_MAX)
        && !request.headers().contains_key(EXPECT);
    activity.request_begins(has_body);
    let route = Route::find(request.uri());
    // Who is not shown the way has no business with other origins either.
    let audience = route.as_ref().map_or(Audience::Public, |route| route.audience);
    let is_query = route.as_ref().is_ok_and(|route| route.endpoint.is_query());
    let answered = ToItsEnd::new(activity, is_query, {
        let (app, activity) = (app.clone(), activity.clone());
        async move {
            let under_way = app.requests.begin(route.as_ref().ok());
            let answered = async {
                match read(&app, route?, request, peer, &activity).await? {
                    Read::Request(request) => dispatch::answer(&app, request).await,
                    Read::Preflight(reply) => Ok(reply),
                }
            };
            let (reply, refused) = match answered.await {
                Ok(reply) => (reply, None),
                Err(failure) => {
                    let reason = failure.reason();
                    (Reply::from(failure), Some(reason))
                }
            };
            under_way.answered(reply.status(), refused);
            Ok(reply)
        }
    });
    async move {
        let mut reply = answered.await.unwrap_or_else(Reply::from);
        // Collecting paths carry their CORS headers whatever the answer is.
        cors::add_headers(&app.settings, audience, origin.as_ref(), &mut reply);
        if activity.leaves_unread() && !left_is_small {
            reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        reply
    }
}

enum Read {
    Request(Request),
    Preflight(Reply),
}

/// Checks a request's head and reads its body, in the order of the contract's section 2.
async fn read(
    app: &App,
    route: Route,
    request: hyper::Request<Incoming>,
    peer: SocketAddr,
    activity: &Arc<Activity>,
) -> Result<Read, Failure> {
    let settings = &app.settings;
    let (head, body) = request.into_parts();
    let target_len = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target_len > settings.target_bytes_max {
        return Err(Failure::TargetTooLong(settings.target_bytes_max));
    }
    // hyper's own limit is the room it reads into, and a head may reach beyond that in one read.
    let headers_len: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if target_len + headers_len > settings.head_bytes_max {
        return Err(Failure::HeadTooLarge(settings.head_bytes_max));
    }
    if head.method == Method::OPTIONS && cors::answers_preflight(settings, route.audience) {
        return Ok(Read::Preflight(cors::preflight(settings, &route, &head.headers)));
    }
    if !route.methods.contains(&head.method) {
        return Err(Failure::MethodNotAllowed(route.methods));
    }
    let (mut read, mut pieces) = (Body::default(), None);
    if route.endpoint == Endpoint::Import {
        pieces = Some(Box::new(body_in_pieces(settings, &head.headers, body, activity)?));
    } else if head.method == Method::POST {
        read = read_body(app, route.endpoint, &head.headers, body, activity).await?;
    } else {
        body::check_head(settings, &head.headers, media::Encoding::Plain)?;
    }
    let client = Arc::new(client::facts(app, peer.ip(), &head.headers));
    let peer = peer.ip();
    Ok(Read::Request(Request { method: head.method, route, headers: head.headers, body: read, pieces, client, peer }))
}

/// A body of any length: whoever it is for reads it.
fn body_in_pieces(
    settings: &ServerSettings,
    headers: &hyper::HeaderMap,
    body: Incoming,
    activity: &Arc<Activity>,
) -> Result<Pieces, Failure> {
    if !media::is_lines(headers) {
        media::media(headers, false)?;
    }
    let encoding = media::encoding(headers)?;
    body::check_transfer(headers)?;
    Pieces::new(settings, body, encoding, activity.clone())
}

async fn read_body(
    app: &App,
    endpoint: Endpoint,
    headers: &hyper::HeaderMap,
    body: Incoming,
    activity: &Activity,
) -> Result<Body, Failure> {
    let App { settings, bodies, .. } = app;
    let forms = matches!(endpoint, Endpoint::Collect | Endpoint::Token | Endpoint::Logout | Endpoint::Console);
    // An empty webhook is an event, whatever its media type and encoding say.
    let may_be_empty = endpoint == Endpoint::Collect;
    let encoding = media::media(headers, forms).and_then(|_| media::encoding(headers));
    if may_be_empty && body::is_empty(&body) {
        return Ok(Body::default());
    }
    let sent_as = match &encoding {
        Ok(encoding) => {
            body::check_head(settings, headers, *encoding)?;
            *encoding
        }
        Err(_) if may_be_empty => media::Encoding::Plain,
        Err(_) => return encoding.map(|_| Body::default()),
    };
    let sent = body::read(settings, bodies, body, sent_as).await?;
    activity.body_was_read();
    if may_be_empty && sent.bytes.is_empty() {
        return Ok(sent);
    }
    body::decode(settings, bodies, sent, encoding?).await
}
