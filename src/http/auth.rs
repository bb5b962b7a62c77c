//! The administrator's token (contract, section 9).

use hyper::header::{AUTHORIZATION, HeaderMap};
use subtle::ConstantTimeEq;

use super::{App, failure::Failure};

/// Checks `Authorization: Bearer TOKEN`; the scheme in any case.
pub fn check_token(app: &App, headers: &HeaderMap) -> Result<(), Failure> {
    let sent = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = sent.and_then(|value| {
        let (scheme, token) = value.trim().split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    if token.is_some_and(|token| is_token(app, token)) { Ok(()) } else { Err(Failure::Unauthorized) }
}

/// Whether `sent` is the token; takes as long whatever of it is wrong.
pub fn is_token(app: &App, sent: &str) -> bool {
    app.admin_token.as_bytes().ct_eq(sent.as_bytes()).into()
}
