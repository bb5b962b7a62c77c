//! What the whole-daemon tests share. Each test binary uses a part of it.
#![allow(dead_code, unused_imports, reason = "every test binary compiles all of it and uses a part")]

pub mod browser;
pub mod chance;
pub mod daemon;
pub mod load;
pub mod power_cut;
pub mod residue;
pub mod site;
pub mod tls;

pub use daemon::{Daemon, Setup};
pub mod duckdb;
pub mod external;
pub mod name_server;
pub mod open_metrics;
pub mod pages;
