//! GET /tracker/tracardi.js, and where the reference's snippet looks for its script (docs/contract.md, section 18).

use hyper::{
    StatusCode,
    header::{
        ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_ENCODING, ETAG, HeaderMap, HeaderName,
        HeaderValue, IF_NONE_MATCH, VARY, X_CONTENT_TYPE_OPTIONS,
    },
};

use super::reply::{self, Reply};
use crate::tracker;

/// For how long a browser need not ask again, in seconds: what is mended in the script reaches pages within it.
const CACHED: HeaderValue = HeaderValue::from_static("public, max-age=3600");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// The script, readable from any origin.
pub fn script(headers: &HeaderMap) -> Reply {
    let tag = tracker::etag();
    let mut reply = if is_known(headers, tag) {
        reply::empty(StatusCode::NOT_MODIFIED)
    } else if accepts_gzip(headers) {
        let mut reply = reply::bytes("text/javascript; charset=utf-8", tracker::COMPRESSED);
        reply.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        reply
    } else {
        reply::bytes("text/javascript; charset=utf-8", tracker::SCRIPT)
    };
    let headers = reply.headers_mut();
    headers.insert(CACHE_CONTROL, CACHED);
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(ETAG, HeaderValue::from_static(tag));
    reply
}

/// Whether the client has what is tagged so (RFC 9110, section 13.1.2).
pub fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let values = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = values.flat_map(|value| value.split(',')).map(str::trim);
    tags.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

/// Whether the client takes gzip (RFC 9110, section 12.5.3).
pub fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let mut codings = values.flat_map(|value| value.split(','));
    codings.any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip") || name == "*");
        let weight = parts.find_map(|part| part.strip_prefix("q=")).and_then(|weight| weight.parse::<f32>().ok());
        is_gzip && weight.is_none_or(|weight| weight > 0.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn gzip_is_for_who_takes_it() {
        for taken in ["gzip", "br, GZIP", "gzip;q=0.5", "*", "deflate, gzip ; q=1.0"] {
            assert!(accepts_gzip(&headers(ACCEPT_ENCODING, taken)), "{taken}");
        }
        for not in ["", "br", "gzip;q=0", "gzip; q=0.0, br"] {
            assert!(!accepts_gzip(&headers(ACCEPT_ENCODING, not)), "{not}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }

    #[test]
    fn what_the_client_has_is_not_sent_again() {
        for known in ["\"a\"", "W/\"a\"", "\"b\", \"a\"", "*"] {
            assert!(is_known(&headers(IF_NONE_MATCH, known), "\"a\""), "{known}");
        }
        assert!(!is_known(&headers(IF_NONE_MATCH, "\"b\""), "\"a\""));
        assert!(!is_known(&HeaderMap::new(), "\"a\""));
    }
}
