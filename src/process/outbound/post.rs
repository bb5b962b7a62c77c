//! Posting to a webhook: signed, with headers of its own, and told why it was not taken.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use hmac::{Hmac, KeyInit, Mac};
use reqwest::{
    Response, Url,
    header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER},
};
use schemars::JsonSchema;
use serde::Deserialize;
use sha2::Sha256;

use super::{
    headers::{self, Headers},
    lookup::{Lookups, reason},
};
use crate::{
    model::{Fault, Json, Object, Time},
    process::{
        definitions::{self, duration},
        digest,
        expression::scope::Scope,
    },
};

/// What a delivery is signed in.
const SIGNATURE: HeaderName = HeaderName::from_static("tracardi-signature");
const TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT_MAX: Duration = Duration::from_secs(60);

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct Definition {
    #[schemars(regex(pattern = "^https?://"))]
    url: String,
    /// The name of the secret that deliveries are signed with.
    secret: Option<String>,
    /// Sent with each delivery; may hold `{{ secret.NAME }}`.
    #[serde(default)]
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    headers: Option<Json>,
    #[schemars(regex(pattern = definitions::DURATION))]
    timeout: Option<String>,
}

/// A webhook that was compiled.
#[derive(Debug)]
pub struct Webhook {
    url: Box<str>,
    /// The name of a secret.
    secret: Option<Box<str>>,
    headers: Headers,
    timeout: Duration,
}

/// Why something that was posted was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// It was answered with this status, which is no success; and how long nothing more should come.
    Answered { status: u16, retry_after: Option<Duration> },
    /// There was no answer, or none in time.
    NoAnswer(String),
    /// It could not be sent: nobody listens there, nobody may be asked there, or a secret is missing.
    NotSent(String),
}

impl std::fmt::Display for NotTaken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Answered { status, .. } => write!(f, "it answered {status}"),
            Self::NoAnswer(why) | Self::NotSent(why) => f.write_str(why),
        }
    }
}

impl Definition {
    /// # Errors
    /// A field is wrong; the fault names it.
    pub fn compile(self) -> Result<Webhook, Fault> {
        let url = Url::parse(&self.url).ok().filter(|url| ["http", "https"].contains(&url.scheme()));
        if url.is_none() {
            let what = "an address that begins with http:// or https:// is expected";
            return Err(Fault::new("value_error", what).at("url"));
        }
        let timeout = self.timeout.as_deref().map(duration).transpose().map_err(|fault| fault.at("timeout"))?;
        let timeout = timeout.unwrap_or(TIMEOUT);
        if timeout.is_zero() || timeout > TIMEOUT_MAX {
            return Err(
                Fault::new("value_error", format!("at most {}s is expected", TIMEOUT_MAX.as_secs())).at("timeout")
            );
        }
        let headers = headers::compile(self.headers.as_ref())?;
        for (name, template) in &headers {
            let at = |what| Err(Fault::new("value_error", what).at(name.as_str()).at("headers"));
            if *name == SIGNATURE {
                return at("this header is not yours to set");
            }
            if template.speaks_of_records() {
                return at("a delivery holds many items: only {{ secret.NAME }} can be filled in");
            }
        }
        Ok(Webhook { url: self.url.into(), secret: self.secret.map(Into::into), headers, timeout })
    }
}

impl Lookups {
    /// Posts JSON; whoever gets it can check by the signature that it comes from here, and when.
    ///
    /// # Errors
    /// It was not taken: there was no answer in time, or its status is no success.
    pub async fn post(&self, webhook: &Webhook, body: String) -> Result<(), NotTaken> {
        let request = self.request(webhook, body).await.map_err(NotTaken::NotSent)?;
        let response = request.send().await.map_err(|error| {
            let why = if error.is_timeout() { "there was no answer in time".to_owned() } else { reason(&error) };
            if error.is_connect() || error.is_builder() { NotTaken::NotSent(why) } else { NotTaken::NoAnswer(why) }
        })?;
        if response.status().is_success() {
            return Ok(());
        }
        Err(NotTaken::Answered { status: response.status().as_u16(), retry_after: retry_after(&response) })
    }

    async fn request(&self, webhook: &Webhook, body: String) -> Result<reqwest::RequestBuilder, String> {
        let url = Url::parse(&webhook.url).map_err(|error| format!("not an address: {error}"))?;
        self.allowed.check(&url)?;
        let nothing = Object::default();
        let scope = Scope::stored(&nothing, Time::default());
        let mut headers = headers::fill(&webhook.headers, &scope, &self.secrets)?;
        headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
        let mut request = self.client().await?.post(url).timeout(webhook.timeout).headers(headers);
        if let Some(name) = &webhook.secret {
            let secret = self.secrets.get(name).ok_or_else(|| format!("there is no secret {name}"))?;
            let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            request = request.header(SIGNATURE, signature(&secret, seconds, &body));
        }
        Ok(request.body(body))
    }
}

/// How long nothing more should come, as the answer says: in seconds, or until a time.
fn retry_after(response: &Response) -> Option<Duration> {
    let said = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !said.is_empty() && said.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(said.parse().unwrap_or(u64::MAX))); // as long as there is
    }
    let until = httpdate::parse_http_date(said).ok()?;
    Some(until.duration_since(SystemTime::now()).unwrap_or_default())
}

/// `t=SECONDS,v1=HEX`: the HMAC-SHA256, with the secret, of the seconds since 1970, a dot and the body.
fn signature(secret: &str, seconds: u64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("every length is taken");
    mac.update(format!("{seconds}.{body}").as_bytes());
    format!("t={seconds},v1={}", digest::hex(&mac.finalize().into_bytes()))
}
