//! Who sends a request: the administrator's token, and what may be a source's secret (docs/contract.md, section 9).

use base64::prelude::{BASE64_STANDARD, Engine};
use hyper::header::{AUTHORIZATION, HeaderMap};
use subtle::ConstantTimeEq;

use super::{App, client, failure::Failure, route::Request};
use crate::{admin::Author, collect::Credentials};

/// Checks `Authorization: Bearer TOKEN`; the scheme in any case.
pub fn check_token(app: &App, headers: &HeaderMap) -> Result<(), Failure> {
    if bearer(headers).is_some_and(|token| is_token(app, token)) { Ok(()) } else { Err(Failure::Unauthorized) }
}

/// Whether the token that is for the metrics alone comes with a request.
pub fn is_metrics_token(app: &App, headers: &HeaderMap) -> bool {
    let token = bearer(headers).unwrap_or_default().as_bytes();
    app.metrics_token.as_ref().is_some_and(|known| known.as_bytes().ct_eq(token).into())
}

/// What stands behind `Bearer`.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    sent(headers).and_then(|sent| of_scheme(sent, "bearer"))
}

/// Who changes something by a call of an endpoint.
pub fn author(app: &App, request: &Request) -> Author {
    let address = client::address(&app.settings.trusted_proxies, &request.peer, &request.headers);
    Author { name: "the administrator's token".into(), address: Some(address.to_string()) }
}

/// Whether `sent` is the token; takes as long whatever of it is wrong.
pub fn is_token(app: &App, sent: &str) -> bool {
    app.admin_token.as_bytes().ct_eq(sent.as_bytes()).into()
}

/// What a collecting request brings: `Authorization: Bearer SECRET`, or `Basic` with it as the password, as services send
/// it whose address is `https://USER:SECRET@HOST/...`.
pub fn credentials(app: &App, headers: &HeaderMap) -> Credentials {
    if !headers.contains_key(AUTHORIZATION) {
        return Credentials::None;
    }
    // What cannot be read is no secret of anybody's.
    let secret = sent(headers).and_then(secret).unwrap_or_default();
    if is_token(app, &secret) { Credentials::Administrator } else { Credentials::Secret(secret) }
}

fn sent(headers: &HeaderMap) -> Option<&str> {
    headers.get(AUTHORIZATION)?.to_str().ok()
}

fn secret(sent: &str) -> Option<String> {
    if let Some(secret) = of_scheme(sent, "bearer") {
        return Some(secret.to_owned());
    }
    let pair = BASE64_STANDARD.decode(of_scheme(sent, "basic")?).ok()?;
    let (_, password) = std::str::from_utf8(&pair).ok()?.split_once(':')?;
    Some(password.to_owned())
}

/// What stands behind the scheme, if it is this one.
fn of_scheme<'a>(sent: &'a str, wanted: &str) -> Option<&'a str> {
    let (scheme, rest) = sent.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case(wanted).then_some(rest.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_a_bearer_s_or_a_password() {
        assert_eq!(secret("Bearer trs_1").as_deref(), Some("trs_1"));
        assert_eq!(secret(" bEARER  trs_1 ").as_deref(), Some("trs_1"));
        assert_eq!(secret("Basic c2hvcDp0cnNfMTp4").as_deref(), Some("trs_1:x"));
        assert_eq!(secret("basic OnRyc18x").as_deref(), Some("trs_1"));
        for nothing in ["", "Bearer", "trs_1", "Basic trs_1", "Basic c2hvcA==", "Basic /w==", "Digest trs_1"] {
            assert_eq!(secret(nothing), None, "{nothing}");
        }
    }
}
