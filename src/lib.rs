//! Tracardi in one binary: event tracking with its store inside.
//!
//! The modules, in the order in which a request goes through them:
//!
//! * [`http`] reads a request within its limits and finds what it asks for;
//! * [`model`] is what is received, stored and answered, and what makes it valid;
//! * [`tracker`] is the script that web pages send with;
//! * [`collect`] is a payload's way: admit, identify, process, commit;
//! * [`process`] is what happens to its events: types, mappings, segments, workflows;
//! * [`schedule`] is what happens without a request: delayed events, and what is due by itself;
//! * [`deliver`] hands events and changed profiles on to other systems;
//! * [`store`] makes it durable and finds it again: journal, log, views;
//! * [`console`] is what administrators see and do in a browser;
//! * [`admin`] is what an administrator reads and changes, one by one;
//! * [`read`] answers queries over everything that was collected, and writes it into files;
//! * [`rights`] tells a person everything, and erases or forgets them, from the disk too;
//! * [`import`] takes records that come in files;
//! * [`metrics`] is what the daemon tells of itself to who watches it.
//!
//! Around them: [`commands`] is the command line, [`settings`] what can be set, [`clock`] the time and the ids made
//! from it, [`count`] the numbers that modules keep of what they do, [`supervise`] keeps work going that panicked. What a
//! module may know: `model` nothing of the others, `collect`, `process`, `admin`, `import`, `store` and `metrics` no HTTP server,
//! `http` no sled.

#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod admin;
pub mod clock;
pub mod collect;
pub mod commands;
pub mod console;
pub mod count;
pub mod deliver;
pub mod http;
pub mod import;
pub mod metrics;
pub mod model;
pub mod process;
pub mod read;
pub mod rights;
pub mod schedule;
pub mod settings;
pub mod store;
pub mod supervise;
pub mod tracker;
