//! The daemon that has the store, for commands that work through it.

use reqwest::ClientBuilder;

use super::{CommandError, secret_file::ADMIN_TOKEN};
use crate::{
    http::Address,
    model::{Json, Reader, Value},
    process::plain_client,
    settings::Settings,
};

/// The daemon that has the store.
pub struct Daemon {
    address: Address,
    token: String,
}

impl Daemon {
    /// `address` is what it noted of where it is reached.
    ///
    /// # Errors
    /// It noted nothing that this program knows, or there is no token.
    pub fn new(settings: &Settings, address: &str) -> Result<Self, CommandError> {
        let unknown = |_| CommandError::Daemon { url: address.into(), what: "another version runs".into() };
        let address = address.parse::<Address>().map_err(unknown)?.reachable();
        let token = match &settings.admin_token {
            Some(token) => token.clone(),
            None => {
                let missing = || ADMIN_TOKEN.refused(&settings.storage.path, "it is missing, and the daemon runs");
                ADMIN_TOKEN.read(&settings.storage.path)?.ok_or_else(missing)?.text
            }
        };
        Ok(Self { address, token })
    }

    /// What it answers.
    ///
    /// # Errors
    /// It cannot be reached, or refuses: the message says why.
    pub async fn call(&self, method: reqwest::Method, path: &str, body: Option<&str>) -> Result<Json, CommandError> {
        let mut request = self.client()?.request(method, self.url(path)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.header(reqwest::header::CONTENT_TYPE, "application/json").body(body.to_owned());
        }
        let response = request.send().await.map_err(|error| self.failed(error.to_string()))?;
        self.answer(response).await
    }

    /// Sends records, one a line; what it answers.
    ///
    /// # Errors
    /// As [`Daemon::call`].
    pub async fn send_lines(&self, path: &str, body: reqwest::Body) -> Result<Json, CommandError> {
        let request = self.client()?.post(self.url(path)).bearer_auth(&self.token);
        let request = request.header(reqwest::header::CONTENT_TYPE, "application/x-ndjson").body(body);
        let response = request.send().await.map_err(|error| self.failed(error.to_string()))?;
        self.answer(response).await
    }

    /// An answer of any length, or one that has no end: of `path`, behind what has the id `last`.
    ///
    /// # Errors
    /// As [`Daemon::call`].
    pub async fn follow(&self, path: &str, last: Option<&str>) -> Result<reqwest::Response, CommandError> {
        let mut request = self.client()?.get(self.url(path)).bearer_auth(&self.token);
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let response = request
            .send()
            .await
            .map_err(|error| CommandError::DaemonAway(self.failed(error.to_string()).to_string()))?;
        match response.status() {
            status if status.is_success() => Ok(response),
            status if status.is_server_error() => {
                let refused = self.answer(response).await.err();
                Err(CommandError::DaemonAway(refused.map_or_else(|| status.to_string(), |error| error.to_string())))
            }
            _ => Err(self.answer(response).await.err().unwrap_or_else(|| self.failed("no stream".into()))),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address.url())
    }

    /// A client that reaches it. Its certificate is not looked at: it is one for a name of the outside, and nobody but the
    /// daemon, whose address stands in a folder that is its owner's alone, is reached at an address of this machine.
    fn client(&self) -> Result<reqwest::Client, CommandError> {
        let set_up = |client: ClientBuilder| match &self.address {
            Address::Http(_) => client,
            Address::Https(_) => client.tls_danger_accept_invalid_certs(true),
            Address::Unix(path) => client.unix_socket(path.as_path()),
        };
        plain_client(set_up).map_err(CommandError::Client)
    }

    fn failed(&self, what: String) -> CommandError {
        CommandError::Daemon { url: self.address.to_string(), what }
    }

    /// An answer's JSON, or why it is refused.
    async fn answer(&self, response: reqwest::Response) -> Result<Json, CommandError> {
        let status = response.status();
        let text = response.text().await.map_err(|error| self.failed(error.to_string()))?;
        let answer = Reader::new(text.as_bytes(), 0).and_then(|mut reader| reader.value());
        let answer = answer.map_err(|fault| self.failed(format!("{status}: {fault}")))?;
        if status.is_success() {
            Ok(answer)
        } else {
            Err(self.failed(format!("{status}: {}", told(&Value::from(&answer)))))
        }
    }
}

/// What an error's body says, for people.
fn told(answer: &Value) -> String {
    let detail = answer.get(&["detail".into()]);
    let fault = match detail {
        Some(Value::List(faults)) => faults.first(),
        other => return other.map(Value::to_text).unwrap_or_default(),
    };
    let part = |name: &str| fault.and_then(|fault| fault.get(&[name.into()]));
    let steps = match part("loc") {
        Some(Value::List(steps)) => steps.iter().skip(1).map(|step| format!("{}: ", step.to_text())).collect(),
        _ => String::new(),
    };
    format!("{steps}{}", part("msg").map(Value::to_text).unwrap_or_default())
}
