//! The one place where what went wrong becomes a status (docs/contract.md, sections 1 and 2).

use hyper::{
    Method, StatusCode,
    header::{ACCEPT_ENCODING, ALLOW, CONNECTION, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE},
};
use schemars::JsonSchema;
use serde::Serialize;

use super::reply::{self, Reply};
use crate::{
    admin::NotSaved,
    collect::Rejection,
    model::{EVENTS_MAX, Fault, Loc, PayloadError},
    store::Refused,
};

/// How long a client waits before it tries again, in seconds.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("1");
/// What stands in a 415 answer about the encodings that are read.
const ENCODINGS: HeaderValue = HeaderValue::from_static("gzip, zstd");

/// What is said to whoever need not know why.
const NOTHING_STORED: &str = "Nothing can be stored now.";

/// Why a request is not answered as it wished.
#[derive(Debug)]
pub enum Failure {
    BadRequest(&'static str),
    /// The administrator's token is missing or wrong.
    Unauthorized,
    /// There is no such path.
    NotFound,
    /// There is no such record.
    NoRecord,
    MethodNotAllowed(&'static [Method]),
    /// The client took too long; the connection is closed.
    Timeout(&'static str),
    BodyTooLarge(usize),
    TooManyEvents,
    TargetTooLong(usize),
    HeadTooLarge(usize),
    UnsupportedMedia(String),
    UnsupportedEncoding,
    ExpectationFailed,
    /// A value is wrong; the first word of its place says which part of the request holds it.
    Invalid(&'static str, Fault),
    Rejected(Rejection),
    Unavailable(String),
    /// Too many passwords were tried; in so many seconds more may be.
    TooManyTries(u64),
    Bug,
}

/// What a refusal says.
#[derive(Serialize, JsonSchema)]
pub struct Detail<'a> {
    detail: &'a str,
}

/// What is wrong, and where.
#[derive(Serialize, JsonSchema)]
pub struct Faults<'a> {
    detail: [ShownFault<'a>; 1],
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Fault")]
struct ShownFault<'a> {
    /// The way to the value: the part of the request, keys, places in lists.
    loc: Vec<Loc>,
    msg: &'a str,
    /// The kind of mistake.
    r#type: &'static str,
}

/// Why something was not taken, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Invalid,
    TooLarge,
    Unsupported,
    Timeout,
    Denied,
    NotAccepted,
    /// There is no room now, or what it needs cannot be read.
    Unavailable,
    /// Nothing can be stored now.
    Stopped,
    OutcomeUnknown,
    Bug,
}

impl Reason {
    pub const ALL: [Self; 10] = [
        Self::Invalid,
        Self::TooLarge,
        Self::Unsupported,
        Self::Timeout,
        Self::Denied,
        Self::NotAccepted,
        Self::Unavailable,
        Self::Stopped,
        Self::OutcomeUnknown,
        Self::Bug,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::TooLarge => "too_large",
            Self::Unsupported => "unsupported",
            Self::Timeout => "timeout",
            Self::Denied => "denied",
            Self::NotAccepted => "not_accepted",
            Self::Unavailable => "unavailable",
            Self::Stopped => "stopped",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::Bug => "bug",
        }
    }
}

impl Failure {
    pub fn reason(&self) -> Reason {
        match self {
            Self::BadRequest(_) | Self::NotFound | Self::NoRecord | Self::Invalid(..) => Reason::Invalid,
            Self::Unauthorized | Self::TooManyTries(_) => Reason::Denied,
            Self::MethodNotAllowed(_)
            | Self::UnsupportedMedia(_)
            | Self::UnsupportedEncoding
            | Self::ExpectationFailed => Reason::Unsupported,
            Self::Timeout(_) => Reason::Timeout,
            Self::BodyTooLarge(_) | Self::TooManyEvents | Self::TargetTooLong(_) | Self::HeadTooLarge(_) => {
                Reason::TooLarge
            }
            Self::Unavailable(_) => Reason::Unavailable,
            Self::Bug => Reason::Bug,
            Self::Rejected(rejection) => match rejection {
                Rejection::Denied(_) => Reason::Denied,
                Rejection::NotAccepted(_) => Reason::NotAccepted,
                Rejection::Invalid(_) => Reason::Invalid,
                Rejection::Refused(Refused::Stopped(_)) => Reason::Stopped,
                Rejection::Refused(Refused::OutcomeUnknown) => Reason::OutcomeUnknown,
                Rejection::Refused(Refused::Unavailable(_) | Refused::Damaged(_) | Refused::Stale) => {
                    Reason::Unavailable
                }
            },
        }
    }
}

impl From<Rejection> for Failure {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<NotSaved> for Failure {
    fn from(why: NotSaved) -> Self {
        match why {
            NotSaved::Invalid(fault) => Self::Invalid("body", fault),
            NotSaved::Refused(refused) => refused.into(),
        }
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::Rejected(refused.into())
    }
}

impl From<PayloadError> for Failure {
    fn from(error: PayloadError) -> Self {
        match error {
            PayloadError::Invalid(fault) => Self::Invalid("body", fault),
            PayloadError::TooManyEvents => Self::TooManyEvents,
        }
    }
}

impl From<Failure> for Reply {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::BadRequest(what) => detail(StatusCode::BAD_REQUEST, what),
            Failure::Unauthorized => with_header(
                detail(StatusCode::UNAUTHORIZED, "Not authenticated: the administrator's token is expected."),
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer"),
            ),
            Failure::NotFound => detail(StatusCode::NOT_FOUND, "Not found."),
            Failure::NoRecord => reply::record(None::<()>),
            Failure::MethodNotAllowed(allowed) => {
                let allowed = allowed.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
                let allowed = HeaderValue::from_str(&allowed).unwrap_or(HeaderValue::from_static(""));
                with_header(detail(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed."), ALLOW, allowed)
            }
            Failure::Timeout(what) => {
                with_header(detail(StatusCode::REQUEST_TIMEOUT, what), CONNECTION, HeaderValue::from_static("close"))
            }
            Failure::BodyTooLarge(most) => with_header(
                detail(StatusCode::PAYLOAD_TOO_LARGE, &format!("The body is larger than {most} bytes.")),
                CONNECTION,
                HeaderValue::from_static("close"),
            ),
            Failure::TooManyEvents => {
                detail(StatusCode::PAYLOAD_TOO_LARGE, &format!("A payload has at most {EVENTS_MAX} events."))
            }
            Failure::TargetTooLong(most) => {
                detail(StatusCode::URI_TOO_LONG, &format!("The path and query are longer than {most} bytes."))
            }
            Failure::HeadTooLarge(most) => detail(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                &format!("The request line and headers are larger than {most} bytes."),
            ),
            Failure::UnsupportedMedia(what) => detail(StatusCode::UNSUPPORTED_MEDIA_TYPE, &what),
            Failure::UnsupportedEncoding => with_header(
                detail(StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body's encoding is not supported: gzip or zstd is."),
                ACCEPT_ENCODING,
                ENCODINGS,
            ),
            Failure::ExpectationFailed => detail(StatusCode::EXPECTATION_FAILED, "Only 100-continue can be expected."),
            Failure::Invalid(part, fault) => invalid(part, &fault),
            Failure::Rejected(rejection) => rejected(rejection),
            Failure::Unavailable(what) => unavailable(&what),
            Failure::TooManyTries(seconds) => with_header(
                detail(StatusCode::TOO_MANY_REQUESTS, "Too many passwords were tried."),
                RETRY_AFTER,
                seconds.into(),
            ),
            Failure::Bug => detail(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error."),
        }
    }
}

fn rejected(rejection: Rejection) -> Reply {
    match rejection {
        Rejection::Denied(_) => detail(StatusCode::UNAUTHORIZED, &rejection.to_string()),
        Rejection::NotAccepted(what) => detail(StatusCode::NOT_ACCEPTABLE, &what),
        Rejection::Invalid(fault) => invalid("body", &fault),
        // Why is told by /ready, and in more words by the log.
        Rejection::Refused(Refused::Stopped(_)) => unavailable(NOTHING_STORED),
        Rejection::Refused(Refused::Damaged(_)) => unavailable("A part of the log cannot be read."),
        Rejection::Refused(refused) => unavailable(&refused.to_string()),
    }
}

fn unavailable(what: &str) -> Reply {
    with_header(detail(StatusCode::SERVICE_UNAVAILABLE, what), RETRY_AFTER, RETRY_SECONDS)
}

fn invalid(part: &'static str, fault: &Fault) -> Reply {
    let loc = std::iter::once(Loc::Key(part.into())).chain(fault.loc()).collect();
    let shown = ShownFault { loc, msg: &fault.msg, r#type: fault.kind };
    reply::json_with(StatusCode::UNPROCESSABLE_ENTITY, &Faults { detail: [shown] })
}

fn detail(status: StatusCode, what: &str) -> Reply {
    reply::json_with(status, &Detail { detail: what })
}

fn with_header(mut reply: Reply, name: HeaderName, value: HeaderValue) -> Reply {
    reply.headers_mut().insert(name, value);
    reply
}
