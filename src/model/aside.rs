//! What a destination does not take: an item that is kept apart for it, so that it stops nobody.

use serde::{Deserialize, Serialize};

use super::Time;

/// How an item fared that was set aside for a destination. What it says is made from the log again, where it is named by its
/// offset: here nothing is kept of anybody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aside {
    /// When it was refused first.
    pub since: Time,
    /// How often it was tried; 0: it waits for an earlier item of the same person, which is not taken.
    pub tries: u32,
    /// Why the last try failed.
    pub reason: Box<str>,
    /// It is not tried again by itself.
    pub given_up: bool,
}
