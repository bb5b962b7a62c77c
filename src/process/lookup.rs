//! Asking external systems over HTTP while an event is processed, so that a voucher's id becomes a customer.
//!
//! A lookup goes to public addresses, or to hosts that the settings name: a private address is refused wherever it comes
//! from, an address in the URL, a name's entry in the DNS or a redirect.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroUsize,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use hmac::{Hmac, KeyInit, Mac};
use ipnet::IpNet;
use lru::LruCache;
use parking_lot::Mutex;
use reqwest::{
    Client, Method, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
    redirect::Policy,
};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{
    definition::duration,
    digest,
    scope::Scope,
    secrets::Secrets,
    template::{Place, Template, ValueTemplate},
};
use crate::model::{Fault, Json, Reader, Value};

/// What a delivery is signed in.
const SIGNATURE: &str = "tracardi-signature";
const TIMEOUT_MS: u64 = 1_000;
const TIMEOUT_MS_MAX: u64 = 10_000;
/// The longest answer that is read.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
const REDIRECTS_MAX: usize = 5;
/// How many answers are remembered, and the longest of them.
const CACHED_MAX: NonZeroUsize = NonZeroUsize::new(1_000).expect("it is not zero");
const CACHED_BYTES_MAX: usize = 16 * 1024;

/// A lookup as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    url: String,
    method: Option<String>,
    #[serde(default)]
    headers: Option<Json>,
    /// Sent as JSON.
    body: Option<Json>,
    timeout_ms: Option<u64>,
    /// How long an answer is remembered.
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
        let mut headers = Vec::new();
        let values = self.headers.as_ref().map_or(Value::object(), Value::from);
        for (name, value) in values.as_object().ok_or_else(|| Fault::wrong_type("an object").at("headers"))?.iter() {
            let at = |fault: Fault| fault.at(name).at("headers");
            let value = value.as_str().ok_or_else(|| at(Fault::wrong_type("a text")))?;
            let header = name.parse().map_err(|_| at(Fault::new("value_error", "not a header's name")))?;
            headers.push((header, Template::compile(value, true).map_err(at)?));
        }
        Ok(Lookup {
            url: Template::compile(&self.url, false).map_err(|fault| fault.at("url"))?,
            method,
            headers,
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

/// Where lookups may go.
#[derive(Clone, Debug, Default)]
pub struct AllowedHosts {
    /// Any public address, beside what is named.
    pub public: bool,
    pub names: Vec<String>,
    pub networks: Vec<IpNet>,
}

impl AllowedHosts {
    fn allows_name(&self, name: &str) -> bool {
        self.names.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    fn allows_address(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address)) || (self.public && is_public(address))
    }

    /// Whether the host of `url` may be asked; what its name leads to is looked at when it is resolved.
    fn check(&self, url: &Url) -> Result<(), String> {
        let allowed = match url.host() {
            Some(url::Host::Ipv4(address)) => self.allows_address(address.into()),
            Some(url::Host::Ipv6(address)) => self.allows_address(address.into()),
            Some(url::Host::Domain(_)) => true,
            None => false,
        };
        if allowed { Ok(()) } else { Err(format!("lookups may not go to {}", url.host_str().unwrap_or_default())) }
    }
}

/// Resolves names to those of their addresses that may be asked.
struct CheckedResolver(AllowedHosts);

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allowed = self.0.clone();
        Box::pin(async move {
            let name = name.as_str().to_owned();
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let named = allowed.allows_name(&name);
            let open: Vec<SocketAddr> = found.filter(|found| named || allowed.allows_address(found.ip())).collect();
            if open.is_empty() {
                return Err(format!("lookups may not go to {name}").into());
            }
            Ok(Box::new(open.into_iter()) as Addrs)
        })
    }
}

/// Asks external systems.
pub struct Lookups {
    allowed: AllowedHosts,
    pub secrets: Secrets,
    /// Made when it is first needed: most installations never do.
    client: OnceLock<Result<Client, String>>,
    cache: Mutex<LruCache<[u8; 32], (Instant, Value)>>,
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
    pub fn new(allowed: AllowedHosts, secrets: Secrets) -> Self {
        Self { allowed, secrets, client: OnceLock::new(), cache: Mutex::new(LruCache::new(CACHED_MAX)) }
    }

    /// Fills in what a lookup asks.
    ///
    /// # Errors
    /// A value is missing or cannot stand where it should, or the host may not be asked.
    pub fn question(&self, lookup: &Lookup, scope: &Scope<'_>) -> Result<Question, String> {
        let text = lookup.url.text(scope, Place::Url, None)?;
        let url = Url::parse(&text).map_err(|error| format!("not an address: {error}"))?;
        self.allowed.check(&url)?;
        let mut headers = HeaderMap::new();
        let mut hash = Sha256::new();
        for part in [lookup.method.as_str(), url.as_str()] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        for (name, template) in &lookup.headers {
            let value = template.text(scope, Place::Header, Some(&self.secrets))?;
            hash.update(value.as_bytes());
            hash.update([0]);
            let mut value = HeaderValue::from_str(&value).map_err(|_| format!("header {name}: it cannot be sent"))?;
            value.set_sensitive(true);
            headers.insert(name.clone(), value);
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
            return Ok(answer.clone());
        }
        let client = self.client()?;
        let answer = tokio::time::timeout(question.timeout, send(client, question)).await;
        let (answer, bytes) = answer.map_err(|_| format!("no answer in {} ms", question.timeout.as_millis()))??;
        if let Some(time) = question.cache
            && bytes <= CACHED_BYTES_MAX
        {
            self.cache.lock().put(question.hash, (Instant::now() + time, answer.clone()));
        }
        Ok(answer)
    }

    /// Posts JSON; whoever gets it can check by the signature that it comes from here, and when.
    ///
    /// # Errors
    /// It was not taken: there was no answer in time, or its status is no success.
    pub async fn post(&self, url: &str, secret: Option<&str>, body: String, timeout: Duration) -> Result<(), String> {
        let url = Url::parse(url).map_err(|error| format!("not an address: {error}"))?;
        self.allowed.check(&url)?;
        let mut request = self.client()?.post(url).timeout(timeout).header(CONTENT_TYPE, "application/json");
        if let Some(name) = secret {
            let secret = self.secrets.get(name).ok_or_else(|| format!("there is no secret {name}"))?;
            let seconds =
                std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
            request = request.header(SIGNATURE, signature(&secret, seconds, &body));
        }
        let response = request.body(body).send().await.map_err(|error| reason(&error))?;
        if response.status().is_success() { Ok(()) } else { Err(format!("it answered {}", response.status().as_u16())) }
    }

    fn client(&self) -> Result<&Client, String> {
        self.client.get_or_init(|| client(&self.allowed)).as_ref().map_err(Clone::clone)
    }
}

/// Sends a question; the answer, and how many bytes it had.
async fn send(client: &Client, question: &Question) -> Result<(Value, usize), String> {
    let mut request = client.request(question.method.clone(), question.url.clone()).headers(question.headers.clone());
    if let Some(body) = &question.body {
        request = request.body(body.as_str().to_owned());
    }
    let mut response = request.send().await.map_err(|error| reason(&error))?;
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

/// A client that goes wherever it is told to.
///
/// # Errors
/// The system's certificates cannot be read.
pub fn plain_client() -> Result<Client, String> {
    builder().build().map_err(|error| reason(&error))
}

/// `t=SECONDS,v1=HEX`: the HMAC-SHA256, with the secret, of the seconds since 1970, a dot and the body.
fn signature(secret: &str, seconds: u64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("every length is taken");
    mac.update(format!("{seconds}.{body}").as_bytes());
    format!("t={seconds},v1={}", digest::hex(&mac.finalize().into_bytes()))
}

fn builder() -> reqwest::ClientBuilder {
    // Another part of the process may have chosen one: then that one stands.
    _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().user_agent(concat!("tracardi/", env!("CARGO_PKG_VERSION"))).no_proxy()
}

fn client(allowed: &AllowedHosts) -> Result<Client, String> {
    let checked = allowed.clone();
    let redirects = Policy::custom(move |attempt| {
        if attempt.previous().len() > REDIRECTS_MAX {
            return attempt.error("too many redirects");
        }
        match checked.check(attempt.url()) {
            Ok(()) => attempt.follow(),
            Err(error) => attempt.error(error),
        }
    });
    builder()
        .dns_resolver(Arc::new(CheckedResolver(allowed.clone())))
        .redirect(redirects)
        .build()
        .map_err(|error| reason(&error))
}

/// The innermost reason, which says what happened; the outer ones name the address, which may hold personal data.
fn reason(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(inner) = innermost.source() {
        innermost = inner;
    }
    innermost.to_string()
}

/// Whether an address is of the public Internet: not one of the ranges that IANA keeps for special use.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            !(v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.is_documentation()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
                || (a == 198 && (18..20).contains(&b))
                || (a == 192 && b == 0 && c == 0))
        }
        IpAddr::V6(v6) => {
            let first = v6.segments()[0];
            // What is given out to the public lies in 2000::/3; 6to4, Teredo and documentation lead elsewhere.
            (0x2000..0x4000).contains(&first)
                && first != 0x2002
                && !(first == 0x2001 && (v6.segments()[1] == 0 || v6.segments()[1] == 0x0db8))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_not_public_in_any_spelling() {
        let hosts = AllowedHosts { public: true, ..AllowedHosts::default() };
        for url in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://10.1.2.3/",
            "http://192.168.0.1/",
            "http://172.16.0.1/",
            "http://169.254.169.254/latest",
            "http://100.64.0.1/",
            "http://0.0.0.0/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[fd00::1]/",
            "http://[fe80::1]/",
            "http://[64:ff9b::7f00:1]/",
            "http://[2002:7f00:1::]/",
            "http://255.255.255.255/",
            "http://224.0.0.1/",
        ] {
            assert!(hosts.check(&Url::parse(url).unwrap()).is_err(), "{url}");
        }
        for url in
            ["http://93.184.215.14/", "http://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/", "https://crm.example.com/"]
        {
            assert!(hosts.check(&Url::parse(url).unwrap()).is_ok(), "{url}");
        }
        let listed = AllowedHosts { networks: vec!["10.0.0.0/8".parse().unwrap()], ..AllowedHosts::default() };
        assert!(listed.check(&Url::parse("http://10.1.2.3/").unwrap()).is_ok());
        assert!(listed.check(&Url::parse("http://93.184.215.14/").unwrap()).is_err(), "only what is listed");
    }
}
