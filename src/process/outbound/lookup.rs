//! Asking external systems over HTTP while an event is processed, so that a voucher's id becomes a customer.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant},
};

use lru::LruCache;
use parking_lot::Mutex;
use reqwest::{
    Client, ClientBuilder, Method, Response, Url,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION},
    redirect::Policy,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

use super::{
    dns::Resolver,
    headers,
    hosts::{AllowedHosts, CheckedResolver},
    secrets::Secrets,
};
use crate::{
    count::{Counter, Durations, Histogram},
    model::{Fault, Json, Reader, Value},
    process::{
        definitions::duration,
        expression::{
            scope::Scope,
            template::{Place, Template, ValueTemplate},
        },
    },
};

const TIMEOUT_MS: u64 = 1_000;
const TIMEOUT_MS_MAX: u64 = 10_000;
/// The longest answer that is read.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
const REDIRECTS_MAX: usize = 5;
/// How many answers are remembered, and the longest of them.
const CACHED_MAX: NonZeroUsize = NonZeroUsize::new(1_000).expect("it is not zero");
const CACHED_BYTES_MAX: usize = 16 * 1024;

/// A lookup as it is written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Lookup")]
pub struct Definition {
    /// May hold `{{ PATH }}`.
    url: String,
    /// GET, POST or PUT.
    method: Option<String>,
    #[serde(default)]
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    headers: Option<Json>,
    /// Sent as JSON.
    body: Option<Json>,
    #[schemars(range(min = 1, max = TIMEOUT_MS_MAX))]
    timeout_ms: Option<u64>,
    /// How long an answer is remembered.
    #[schemars(regex(pattern = crate::process::definitions::DURATION))]
    cache: Option<String>,
}

/// A lookup that was compiled.
#[derive(Debug)]
pub struct Lookup {
    url: Template,
    method: Method,
    headers: Vec<(HeaderName, Template)>,
    body: Option<ValueTemplate>,
    timeout: Duration,
    cache: Option<Duration>,
}

impl Definition {
    /// # Errors
    /// A field is wrong, or a template in it does not compile.
    pub fn compile(&self) -> Result<Lookup, Fault> {
        let method = self.method.as_deref().unwrap_or("GET").to_uppercase();
        let method = ["GET", "POST", "PUT"].iter().find(|known| **known == method).and_then(|known| known.parse().ok());
        let method = method.ok_or_else(|| Fault::new("value_error", "GET, POST or PUT is expected").at("method"))?;
        if !self.url.starts_with("http://") && !self.url.starts_with("https://") {
            return Err(
                Fault::new("value_error", "an address that begins with http:// or https:// is expected").at("url")
            );
        }
        let timeout = self.timeout_ms.unwrap_or(TIMEOUT_MS);
        if timeout == 0 || timeout > TIMEOUT_MS_MAX {
            return Err(Fault::new("value_error", format!("1 to {TIMEOUT_MS_MAX} is expected")).at("timeout_ms"));
        }
        Ok(Lookup {
            url: Template::compile(&self.url, false).map_err(|fault| fault.at("url"))?,
            method,
            headers: headers::compile(self.headers.as_ref())?,
            body: self
                .body
                .as_ref()
                .map(|body| ValueTemplate::compile(&body.into()))
                .transpose()
                .map_err(|fault| fault.at("body"))?,
            timeout: Duration::from_millis(timeout),
            cache: self.cache.as_deref().map(duration).transpose().map_err(|fault| fault.at("cache"))?,
        })
    }
}

/// Asks external systems.
pub struct Lookups {
    pub(super) allowed: AllowedHosts,
    names: Arc<Resolver>,
    pub secrets: Secrets,
    /// Made when it is first needed: most installations never do.
    client: OnceCell<Client>,
    cache: Mutex<LruCache<[u8; 32], (Instant, Value)>>,
    counts: LookupCounts,
}

/// How questions went.
#[derive(Default)]
struct LookupCounts {
    answered: Counter,
    failed: Counter,
    remembered: Counter,
    /// From asking to the answer, or to giving up.
    asking: Histogram,
}

/// How questions went since the start.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct LookupFigures {
    pub answered: u64,
    pub failed: u64,
    /// Those that were answered without asking again.
    pub remembered: u64,
    /// How long it took to ask.
    pub asking: Durations,
}

/// What is asked, with everything filled in.
pub struct Question {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Option<Json>,
    timeout: Duration,
    cache: Option<Duration>,
    /// Tells it from every other question.
    pub hash: [u8; 32],
}

impl Lookups {
    /// `name_servers` are asked for names; if there are none, those that the system asks.
    pub fn new(allowed: AllowedHosts, name_servers: Vec<SocketAddr>, secrets: Secrets) -> Self {
        let (names, cache) = (Arc::new(Resolver::new(name_servers)), Mutex::new(LruCache::new(CACHED_MAX)));
        Self { allowed, names, secrets, client: OnceCell::new(), cache, counts: LookupCounts::default() }
    }

    /// Fills in what a lookup asks.
    ///
    /// # Errors
    /// A value is missing or cannot stand where it should, or the host may not be asked.
    pub fn question(&self, lookup: &Lookup, scope: &Scope<'_>) -> Result<Question, String> {
        let text = lookup.url.text(scope, Place::Url, None)?;
        if climbs(&text) {
            return Err("an address must not have . or .. on its way".into());
        }
        let url = Url::parse(&text).map_err(|error| format!("not an address: {error}"))?;
        self.allowed.check(&url)?;
        let mut headers = headers::fill(&lookup.headers, scope, &self.secrets)?;
        let mut hash = Sha256::new();
        for part in [lookup.method.as_str(), url.as_str()] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        for (name, value) in &headers {
            for part in [name.as_str().as_bytes(), value.as_bytes()] {
                hash.update(part);
                hash.update([0]);
            }
        }
        let body = lookup.body.as_ref().map(|body| body.fill(scope)).transpose()?.map(|body| body.to_json());
        if let Some(body) = &body {
            hash.update(body.as_str().as_bytes());
            headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
        }
        let (timeout, cache) = (lookup.timeout, lookup.cache);
        Ok(Question { method: lookup.method.clone(), url, headers, body, timeout, cache, hash: hash.finalize().into() })
    }

    /// Asks, or remembers.
    ///
    /// # Errors
    /// There was no answer in time, its status is no success, or it is no JSON.
    pub async fn ask(&self, question: &Question) -> Result<Value, String> {
        if let Some((until, answer)) = self.cache.lock().get(&question.hash)
            && Instant::now() < *until
        {
            self.counts.remembered.increment();
            return Ok(answer.clone());
        }
        let begun = Instant::now();
        let asked = self.ask_now(question).await;
        self.counts.asking.observe(begun.elapsed());
        match &asked {
            Ok(_) => self.counts.answered.increment(),
            Err(_) => self.counts.failed.increment(),
        }
        let (answer, bytes) = asked?;
        if let Some(time) = question.cache
            && bytes <= CACHED_BYTES_MAX
        {
            self.cache.lock().put(question.hash, (Instant::now() + time, answer.clone()));
        }
        Ok(answer)
    }

    /// Asks whoever is to be asked; the answer, and how many bytes it had.
    async fn ask_now(&self, question: &Question) -> Result<(Value, usize), String> {
        let client = self.client().await?;
        let answer = tokio::time::timeout(question.timeout, self.send(client, question)).await;
        answer.unwrap_or_else(|_| Err(format!("no answer in {} ms", question.timeout.as_millis())))
    }

    /// How questions went since the start.
    pub fn figures(&self) -> LookupFigures {
        let LookupCounts { answered, failed, remembered, asking } = &self.counts;
        LookupFigures {
            answered: answered.get(),
            failed: failed.get(),
            remembered: remembered.get(),
            asking: asking.get(),
        }
    }

    /// Sends a question; the answer, and how many bytes it had.
    async fn send(&self, client: &Client, question: &Question) -> Result<(Value, usize), String> {
        let mut response = self.follow(client, question).await?;
        if !response.status().is_success() {
            return Err(format!("it answered {}", response.status().as_u16()));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| reason(&error))? {
            if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(format!("the answer is longer than {ANSWER_BYTES_MAX} bytes"));
            }
            bytes.extend_from_slice(&chunk);
        }
        let json = Reader::new(&bytes, 0).and_then(|mut reader| {
            let value = reader.value()?;
            reader.end().map(|()| value)
        });
        let json = json.map_err(|fault| format!("the answer is no JSON: {fault}"))?;
        Ok((Value::from(&json), bytes.len()))
    }

    /// Sends a question to where it is answered. Only GET is sent on by a redirect, and to another server without its
    /// headers, which may hold secrets.
    async fn follow(&self, client: &Client, question: &Question) -> Result<Response, String> {
        let mut url = question.url.clone();
        for _ in 0..=REDIRECTS_MAX {
            let mut request = client.request(question.method.clone(), url.clone());
            if url.origin() == question.url.origin() {
                request = request.headers(question.headers.clone());
            }
            if let Some(body) = &question.body {
                request = request.body(body.as_str().to_owned());
            }
            let response = request.send().await.map_err(|error| reason(&error))?;
            let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
            let Some(location) = location.filter(|_| response.status().is_redirection()) else { return Ok(response) };
            if question.method != Method::GET || question.body.is_some() {
                return Ok(response);
            }
            url = url.join(location).map_err(|error| format!("a redirect to no address: {error}"))?;
            self.allowed.check(&url)?;
        }
        Err("too many redirects".into())
    }

    pub(super) async fn client(&self) -> Result<&Client, String> {
        let make = async || {
            let (allowed, names) = (self.allowed.clone(), self.names.clone());
            // It reads the system's certificates.
            let made = tokio::task::spawn_blocking(move || client(&allowed, &names)).await;
            made.unwrap_or_else(|_| Err("the client cannot be made".into()))
        };
        self.client.get_or_try_init(make).await
    }
}

/// A client that goes wherever it is told to, as `set_up` makes it.
///
/// # Errors
/// The system's certificates cannot be read.
pub fn plain_client(set_up: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Result<Client, String> {
    set_up(builder()).build().map_err(|error| reason(&error))
}

/// Whether an address has a step on its way that leads elsewhere: who sends a value must not choose what is asked.
fn climbs(address: &str) -> bool {
    let way = address.split(['?', '#']).next().unwrap_or_default();
    way.split('/').any(|step| [".", ".."].contains(&step.to_ascii_lowercase().replace("%2e", ".").as_str()))
}

fn builder() -> ClientBuilder {
    // Another part of the process may have chosen one: then that one stands.
    _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().user_agent(concat!("tracardi/", env!("CARGO_PKG_VERSION"))).no_proxy()
}

fn client(allowed: &AllowedHosts, names: &Arc<Resolver>) -> Result<Client, String> {
    builder()
        .dns_resolver(Arc::new(CheckedResolver { allowed: allowed.clone(), names: names.clone() }))
        .redirect(Policy::none()) // each is looked at
        .build()
        .map_err(|error| reason(&error))
}

/// The innermost reason, which says what happened; the outer ones name the address, which may hold personal data.
pub(super) fn reason(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(inner) = innermost.source() {
        innermost = inner;
    }
    innermost.to_string()
}
