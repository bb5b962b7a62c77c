//! Calls from web pages of other origins (docs/contract.md, section 8; the Fetch standard).

use hyper::{
    StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
        ACCESS_CONTROL_REQUEST_HEADERS, HeaderMap, HeaderValue, ORIGIN, VARY,
    },
};

use super::{
    reply::{self, Reply},
    route::{Audience, Route},
};
use crate::{
    model::Origin,
    settings::{AllowedOrigins, ServerSettings},
};

/// For how long a browser need not ask again, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("86400");

/// Says who may read the answer. Paths that are not for web pages say nothing, unless a setting lets pages in.
pub fn add_headers(settings: &ServerSettings, audience: Audience, origin: Option<&HeaderValue>, reply: &mut Reply) {
    let allowed = match audience {
        Audience::Clients => &settings.cors_origins,
        Audience::Public | Audience::Administrator | Audience::Viewers | Audience::Monitoring => {
            &settings.admin_origins
        }
        Audience::Console => return, // no other origin's page has to do with it
    };
    let closed = *allowed == AllowedOrigins::These(Vec::new());
    if closed && audience != Audience::Clients {
        return;
    }
    let headers = reply.headers_mut();
    headers.append(VARY, HeaderValue::from_static("Origin")); // beside `Accept-Encoding`, where that tells answers apart
    let Some(origin) = origin.filter(|origin| allows(allowed, origin)) else { return };
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Retry-After"));
}

/// Whether the path answers a browser's preflight request.
pub fn answers_preflight(settings: &ServerSettings, audience: Audience) -> bool {
    match audience {
        Audience::Clients => true,
        Audience::Console => false,
        _ => settings.admin_origins != AllowedOrigins::These(Vec::new()),
    }
}

/// The answer to a preflight request: the asking origin may call with what it asked for.
pub fn preflight(settings: &ServerSettings, route: &Route, asked: &HeaderMap) -> Reply {
    let mut reply = reply::empty(StatusCode::NO_CONTENT);
    add_headers(settings, route.audience, asked.get(ORIGIN), &mut reply);
    let headers = reply.headers_mut();
    if headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
        let methods = route.methods.iter().map(hyper::Method::as_str).collect::<Vec<_>>().join(", ");
        if let Ok(methods) = HeaderValue::from_str(&methods) {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
        }
        if let Some(names) = asked.get(ACCESS_CONTROL_REQUEST_HEADERS) {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
        }
        headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    }
    reply
}

fn allows(allowed: &AllowedOrigins, origin: &HeaderValue) -> bool {
    match allowed {
        AllowedOrigins::Any => true,
        AllowedOrigins::These(origins) => {
            let origin = origin.to_str().ok().and_then(|origin| Origin::parse(origin).ok());
            origin.is_some_and(|origin| origins.contains(&origin))
        }
    }
}
