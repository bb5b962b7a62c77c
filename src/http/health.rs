//! Is the process up, and does it take requests? (docs/contract.md, section 11)

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    App, Services,
    failure::Failure,
    reply::{self, Reply},
};
use crate::model::Time;

#[derive(Serialize, JsonSchema)]
pub struct Health {
    status: &'static str,
    version: &'static str,
}

#[derive(Serialize, JsonSchema)]
pub struct Ready {
    status: &'static str,
    /// The server's time until the machine's clock is there, if it is behind.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Time")]
    clock_stands_at: Option<Time>,
}

/// The process is up.
pub fn health() -> Reply {
    reply::json(&Health { status: "ok", version: env!("CARGO_PKG_VERSION") })
}

/// Recovery is done and things can be stored; else 503 with the reason. Tells where the server's time stands if the
/// machine's clock is behind it.
pub async fn ready(app: &App) -> Result<Reply, Failure> {
    let admin = &app.services()?.admin;
    match admin.trouble().await {
        Some(trouble) => Err(Failure::Unavailable(trouble)),
        None => Ok(reply::json(&Ready { status: "ready", clock_stands_at: admin.clock_stands_at() })),
    }
}

impl App {
    /// The services, once recovery is done.
    pub(super) fn services(&self) -> Result<&Services, Failure> {
        self.services.get().ok_or_else(|| Failure::Unavailable("The store is being opened.".into()))
    }
}
