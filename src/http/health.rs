//! Is the process up, and does it take requests? (contract, section 11)

use serde_json::json;

use super::{
    App, Rooms,
    failure::Failure,
    reply::{self, Reply},
};

/// The process is up.
pub fn health() -> Reply {
    reply::json(&json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }))
}

/// Recovery is done and things can be stored; else 503 with the reason. Tells where the server's time stands if the
/// machine's clock is behind it.
pub async fn ready(app: &App) -> Result<Reply, Failure> {
    let admin = app.rooms()?.admin;
    match (admin.trouble().await, admin.clock_stands_at()) {
        (Some(trouble), _) => Err(Failure::Unavailable(trouble)),
        (None, Some(time)) => Ok(reply::json(&json!({ "status": "ready", "clock_stands_at": time }))),
        (None, None) => Ok(reply::json(&json!({ "status": "ready" }))),
    }
}

impl App {
    /// The rooms, once recovery is done.
    pub(super) fn rooms(&self) -> Result<Rooms, Failure> {
        self.rooms.get().cloned().ok_or_else(|| Failure::Unavailable("The store is being opened.".into()))
    }
}
