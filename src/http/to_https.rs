//! Plain HTTP is sent on to where TLS is spoken, and nothing else is served there.

use std::sync::Arc;

use hyper::{
    StatusCode, Uri,
    body::{Body, Incoming},
    header::{CONNECTION, HOST, HeaderMap, HeaderValue, LOCATION},
    http::uri::Authority,
};

use super::{
    App,
    connection::{Activity, Peer, Place, Socket, Wire},
    failure::Failure,
    http1,
    reply::{self, Reply},
};

/// The port that is not named in an address.
const HTTPS_PORT: u16 = 443;

/// Sends on what is asked over a connection.
pub async fn serve(app: Arc<App>, wire: impl Wire, peer: Peer, place: Place, tls_port: u16) {
    let socket = Socket::new(wire, app.settings.idle_time_max);
    let activity = place.activity();
    let target_bytes_max = app.settings.target_bytes_max;
    http1::answer_all(&app, socket, peer, activity, |request| {
        let reply = answer(&request, activity, tls_port, target_bytes_max);
        async move { reply }
    })
    .await;
}

fn answer(request: &hyper::Request<Incoming>, activity: &Activity, tls_port: u16, target_bytes_max: usize) -> Reply {
    activity.request_begins(!request.body().is_end_stream());
    let location = location(request.uri(), request.headers(), tls_port, target_bytes_max);
    let mut reply = location.map_or_else(Reply::from, |location| {
        let mut reply = reply::empty(StatusCode::PERMANENT_REDIRECT);
        reply.headers_mut().insert(LOCATION, location);
        reply
    });
    // Whoever follows it goes on elsewhere.
    reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    reply
}

/// The same over https.
fn location(uri: &Uri, headers: &HeaderMap, tls_port: u16, target_bytes_max: usize) -> Result<HeaderValue, Failure> {
    const NO_HOST: Failure = Failure::BadRequest("The header Host is missing, or is no host.");
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return Err(NO_HOST) };
    let host: Authority = host.as_bytes().try_into().map_err(|_| NO_HOST)?;
    if host.host().is_empty() || host.as_str().contains('@') {
        return Err(NO_HOST);
    }
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    if target.len() > target_bytes_max {
        return Err(Failure::TargetTooLong(target_bytes_max));
    }
    let target = if target.starts_with('/') { target } else { "/" }; // OPTIONS *
    let port = if tls_port == HTTPS_PORT { String::new() } else { format!(":{tls_port}") };
    HeaderValue::try_from(format!("https://{}{port}{target}", host.host())).map_err(|_| NO_HOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent_to(host: Option<&str>, uri: &str, port: u16) -> Option<String> {
        let headers = host.map(|host| (HOST, host.parse().unwrap()));
        let location = location(&uri.parse().unwrap(), &HeaderMap::from_iter(headers), port, 64);
        location.ok().map(|location| location.to_str().unwrap().to_owned())
    }

    #[test]
    fn the_same_path_of_the_same_host() {
        for (host, uri, port, expected) in [
            ("shop.example", "/a%20b?c=d", 443, "https://shop.example/a%20b?c=d"),
            ("shop.example:80", "/", 8443, "https://shop.example:8443/"),
            ("[::1]:8080", "/x", 443, "https://[::1]/x"),
            ("shop.example", "*", 443, "https://shop.example/"),
            ("shop.example", "http://other.example/x", 443, "https://shop.example/x"),
        ] {
            assert_eq!(sent_to(Some(host), uri, port).as_deref(), Some(expected));
        }
        for wrong in [None, Some(""), Some("a b"), Some("user@shop.example"), Some("shop.example/x"), Some(":80")] {
            assert_eq!(sent_to(wrong, "/", 443), None, "{wrong:?}");
        }
        assert_eq!(sent_to(Some("shop.example"), &format!("/{}", "x".repeat(64)), 443), None);
    }
}
