//! HTTP: turns requests into calls of the other rooms, and what comes back into answers.
//!
//! One file per group of endpoints; `route` has the table of all of them, `dispatch` calls them. What can go wrong
//! becomes a status in one place, `failure`. Knows no sled.

mod auth;
mod body;
mod client;
mod collect;
mod connection;
mod cors;
mod definitions;
mod dispatch;
mod failure;
mod finish;
mod health;
mod media;
mod query;
mod records;
mod reply;
mod route;
mod serve;
mod sources;
mod track;
mod user;

use std::sync::{Arc, OnceLock};

use crate::{
    admin::Admin,
    collect::Collector,
    deliver::Deliveries,
    read::Queries,
    schedule::Scheduler,
    settings::{KeepIp, ServerSettings},
};

pub use serve::serve;

/// What every request needs.
pub struct App {
    pub settings: ServerSettings,
    pub ip: KeepIp,
    pub admin_token: String,
    bodies: body::Budget,
    /// There once recovery is done.
    rooms: OnceLock<Rooms>,
}

/// The rooms that requests are turned into calls of.
#[derive(Clone)]
pub struct Rooms {
    pub collector: Arc<Collector>,
    pub admin: Arc<Admin>,
    pub deliveries: Arc<Deliveries>,
    pub scheduler: Arc<Scheduler>,
    pub queries: Arc<Queries>,
}

impl App {
    pub fn new(settings: ServerSettings, ip: KeepIp, admin_token: String) -> Self {
        let bodies = body::Budget::new(settings.bodies_bytes_max);
        Self { settings, bodies, ip, admin_token, rooms: OnceLock::new() }
    }

    /// Recovery is done: from here on requests are taken.
    pub fn open(&self, rooms: Rooms) {
        self.rooms.get_or_init(|| rooms);
    }
}
