//! Is the process up, and does it take requests? (contract, section 11)

use std::time::{Duration, Instant};

use hyper::HeaderMap;
use parking_lot::Mutex;
use serde_json::json;

use super::{
    App, Rooms, auth,
    failure::{Failure, NOTHING_STORED},
    reply::{self, Reply},
};

/// How often the log tells why `/ready` answers 503.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// The process is up.
pub fn health() -> Reply {
    reply::json(&json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }))
}

/// Recovery is done and things can be stored; else 503. Why is told to the administrator and the log: it may name files.
/// Tells where the server's time stands if the machine's clock is behind it.
pub async fn ready(app: &App, headers: &HeaderMap) -> Result<Reply, Failure> {
    let admin = app.rooms()?.admin;
    match (admin.trouble().await, admin.clock_stands_at()) {
        (Some(trouble), _) => {
            app.not_ready.tell(&trouble);
            let is_administrator = auth::check_token(app, headers).is_ok();
            Err(Failure::Unavailable(if is_administrator { trouble } else { NOTHING_STORED.into() }))
        }
        (None, Some(time)) => Ok(reply::json(&json!({ "status": "ready", "clock_stands_at": time }))),
        (None, None) => Ok(reply::json(&json!({ "status": "ready" }))),
    }
}

/// When the log was told last why nothing can be stored: anybody may ask, as often as they like.
#[derive(Default)]
pub struct NotReady(Mutex<Option<Instant>>);

impl NotReady {
    fn tell(&self, trouble: &str) {
        let mut told = self.0.lock();
        if told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
            *told = Some(Instant::now());
            tracing::warn!(trouble, "not ready: nothing can be stored");
        }
    }
}

impl App {
    /// The rooms, once recovery is done.
    pub(super) fn rooms(&self) -> Result<Rooms, Failure> {
        self.rooms.get().cloned().ok_or_else(|| Failure::Unavailable("The store is being opened.".into()))
    }
}
