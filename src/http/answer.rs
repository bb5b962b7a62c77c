//! Answering a request, whatever connection it came over (docs/contract.md, section 2).

use std::{future::Future, sync::Arc};

use hyper::{
    Method, Version,
    body::{Body as _, Incoming},
    header::{CONNECTION, EXPECT, HeaderValue, ORIGIN},
    http::request::Parts,
};

use super::{
    App,
    body::{self, Body, Pieces},
    client,
    connection::{Activity, Peer},
    cors, dispatch,
    failure::Failure,
    finish::ToItsEnd,
    media,
    reply::Reply,
    route::{Audience, Endpoint, Request, Route},
};
use crate::settings::ServerSettings;

/// A body that was not read, of at most so many bytes, has mostly come with its head: the connection can be kept.
const LEFT_BYTES_MAX: u64 = 4 * 1024;

/// Answers a request, to its end.
pub fn answer(
    app: Arc<App>,
    request: hyper::Request<Incoming>,
    peer: Peer,
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
            let is_one_of_many = request.version() == Version::HTTP_2;
            let (head, body) = request.into_parts();
            let mut body = Some(body);
            let answered = async {
                match read(&app, route?, head, &mut body, peer, &activity).await? {
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
            if let Some(body) = body.filter(|_| is_one_of_many && activity.leaves_unread()) {
                activity.leave_body(body);
            }
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

/// Checks a request's head and reads its body, in the order of docs/contract.md, section 2. What nobody read of the
/// body stays.
async fn read(
    app: &App,
    route: Route,
    head: Parts,
    body: &mut Option<Incoming>,
    peer: Peer,
    activity: &Arc<Activity>,
) -> Result<Read, Failure> {
    let settings = &app.settings;
    let target_len = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target_len > settings.target_bytes_max {
        return Err(Failure::TargetTooLong(settings.target_bytes_max));
    }
    // hyper's own limit is the room it reads into, and a head may reach beyond that in one read.
    let headers_len: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if target_len + headers_len > settings.head_bytes_max {
        return Err(Failure::HeadTooLarge(settings.head_bytes_max));
    }
    let is_one_of_many = head.version == Version::HTTP_2;
    let head_share = if is_one_of_many { app.bodies.for_head(target_len + headers_len).await? } else { None };
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
        let body = body.as_mut().ok_or(Failure::Bug)?; // nobody took it yet
        read = read_body(app, route.endpoint, &head.headers, body, is_one_of_many, activity).await?;
    } else {
        body::check_head(settings, &head.headers, media::Encoding::Plain)?;
    }
    if !is_one_of_many {
        *body = None; // the connection reads on what is left
    }
    let client = Arc::new(client::facts(app, &peer, &head.headers));
    Ok(Read::Request(Request {
        method: head.method,
        route,
        headers: head.headers,
        _head_share: head_share,
        body: read,
        pieces,
        client,
        peer,
    }))
}

/// A body of any length: whoever it is for reads it.
fn body_in_pieces(
    settings: &ServerSettings,
    headers: &hyper::HeaderMap,
    body: &mut Option<Incoming>,
    activity: &Arc<Activity>,
) -> Result<Pieces, Failure> {
    if !media::is_lines(headers) {
        media::media(headers, false)?;
    }
    let encoding = media::encoding(headers)?;
    body::check_transfer(headers)?;
    let body = body.take().ok_or(Failure::Bug)?; // nobody took it yet
    Pieces::new(settings, body, encoding, activity.clone())
}

async fn read_body(
    app: &App,
    endpoint: Endpoint,
    headers: &hyper::HeaderMap,
    body: &mut Incoming,
    is_one_of_many: bool,
    activity: &Activity,
) -> Result<Body, Failure> {
    let App { settings, bodies, .. } = app;
    let forms = matches!(endpoint, Endpoint::Collect | Endpoint::Token | Endpoint::Logout | Endpoint::Console);
    // An empty webhook is an event, whatever its media type and encoding say.
    let may_be_empty = endpoint == Endpoint::Collect;
    let encoding = media::media(headers, forms).and_then(|_| media::encoding(headers));
    if may_be_empty && body::is_empty(body) {
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
    let sent = body::read(settings, bodies, body, is_one_of_many, sent_as).await?;
    activity.body_was_read();
    if may_be_empty && sent.bytes.is_empty() {
        return Ok(sent);
    }
    body::decode(settings, bodies, sent, encoding?).await
}
