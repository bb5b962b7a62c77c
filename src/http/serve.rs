//! Accepting connections, answering their requests, and ending in good order (contract, sections 2 and 11).

use std::{convert::Infallible, future::Future, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{Method, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};

use super::{
    App,
    body::{self, Body},
    client,
    connection::{Activity, Connection},
    cors, dispatch,
    failure::Failure,
    finish::ToItsEnd,
    media,
    reply::Reply,
    route::{Audience, Endpoint, Request, Route},
};

/// What a connection over the limit is told.
const CROWDED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\n\
    content-type: application/json\r\ncontent-length: 34\r\n\r\n{\"detail\":\"Too many connections.\"}";
/// How long requests that run may still take when the server ends.
const FINISH_TIME_MAX: Duration = Duration::from_secs(5);
/// How long to wait after the system had no room for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `end` is done; then stops accepting, finishes what runs and closes idle connections.
pub async fn serve(app: Arc<App>, listener: TcpListener, end: impl Future<Output = ()>) {
    let places = Arc::new(Semaphore::new(app.settings.connections_max));
    let (ending, ended) = watch::channel(false);
    tokio::pin!(end);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut end => break,
        };
        match accepted {
            Ok((socket, peer)) => match places.clone().try_acquire_owned() {
                Ok(place) => {
                    let connection = answer_connection(app.clone(), socket, peer, ended.clone());
                    tokio::spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                Err(_) => _ = socket.try_write(CROWDED),
            },
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    _ = ending.send(true);
    let all = u32::try_from(app.settings.connections_max).unwrap_or(u32::MAX);
    if tokio::time::timeout(FINISH_TIME_MAX, places.acquire_many(all)).await.is_err() {
        tracing::warn!("some connections did not end in time");
    }
}

async fn answer_connection(app: Arc<App>, socket: TcpStream, peer: SocketAddr, mut ended: watch::Receiver<bool>) {
    _ = socket.set_nodelay(true); // only costs time if it fails
    let activity = Activity::default();
    let limits = &app.settings;
    let io = Connection::new(socket, activity.clone(), limits.head_time_max, limits.idle_time_max);
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let activity = activity.clone();
        activity.begin();
        let answered = answer(app.clone(), request, peer);
        async move {
            let reply = answered.await;
            activity.end();
            Ok::<_, Infallible>(reply)
        }
    });
    let connection = http1::Builder::new()
        .max_buf_size(limits.head_bytes_max)
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(io), service);
    tokio::pin!(connection);
    let ends = async move { ended.wait_for(|ended| *ended).await.is_ok() };
    let result = tokio::select! {
        result = &mut connection => result,
        _ = ends => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, %peer, "a connection ended early");
    }
}

/// Answers a request, to its end.
fn answer(app: Arc<App>, request: hyper::Request<Incoming>, peer: SocketAddr) -> impl Future<Output = Reply> {
    let origin = request.headers().get(hyper::header::ORIGIN).cloned();
    let route = Route::find(request.uri());
    // Who is not shown the way has no business with other origins either.
    let audience = route.as_ref().map_or(Audience::Public, |route| route.audience);
    let answered = ToItsEnd::new({
        let app = app.clone();
        async move {
            match read(&app, route?, request, peer).await? {
                Read::Request(request) => Ok(dispatch::answer(app, request).await),
                Read::Preflight(reply) => Ok(reply),
            }
        }
    });
    async move {
        answered.await.unwrap_or_else(|failure| {
            let mut reply = Reply::from(failure);
            cors::add_headers(&app.settings, audience, origin.as_ref(), &mut reply);
            reply
        })
    }
}

enum Read {
    Request(Request),
    Preflight(Reply),
}

/// Checks a request's head and reads its body, in the order of the contract's section 2.
async fn read(app: &App, route: Route, request: hyper::Request<Incoming>, peer: SocketAddr) -> Result<Read, Failure> {
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
    let bytes = if head.method == Method::POST {
        read_body(app, route.endpoint, &head.headers, body).await?
    } else {
        body::check_head(settings, &head.headers, media::Encoding::Plain)?;
        Body::default()
    };
    let client = Arc::new(client::facts(app, peer.ip(), &head.headers));
    Ok(Read::Request(Request { method: head.method, route, headers: head.headers, body: bytes, client }))
}

async fn read_body(app: &App, endpoint: Endpoint, headers: &hyper::HeaderMap, body: Incoming) -> Result<Body, Failure> {
    let App { settings, bodies, .. } = app;
    let forms = matches!(endpoint, Endpoint::Collect | Endpoint::Token | Endpoint::Logout);
    // An empty webhook is an event, whatever its media type and encoding say.
    let may_be_empty = endpoint == Endpoint::Collect;
    let encoding = media::media(headers, forms).and_then(|_| media::encoding(headers));
    if may_be_empty && body::is_empty(&body) {
        return Ok(Body::default());
    }
    match encoding {
        Ok(encoding) => {
            body::check_head(settings, headers, encoding)?;
            let sent = body::read(settings, bodies, body, encoding).await?;
            if may_be_empty && sent.bytes.is_empty() {
                return Ok(sent);
            }
            body::decode(settings, bodies, sent, encoding).await
        }
        Err(unsupported) if may_be_empty => {
            let sent = body::read(settings, bodies, body, media::Encoding::Plain).await?;
            if sent.bytes.is_empty() { Ok(sent) } else { Err(unsupported) }
        }
        Err(unsupported) => Err(unsupported),
    }
}
