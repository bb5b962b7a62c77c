//! What it means that a delivery was not taken. README has the table, and a test walks it.

use std::time::Duration;

use crate::process::NotTaken;

/// What is wrong, as far as the answer tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is too much at once.
    TooLarge,
    /// Something in it, which will not be taken later either.
    Item,
    /// The address, or who sends: nothing is taken there until somebody sees to it.
    Endpoint,
    /// It is to be sent later.
    Busy,
    /// The other system fails.
    Trouble,
    /// It did not come there.
    NotSent,
}

impl Refusal {
    pub fn of(why: &NotTaken) -> Self {
        let NotTaken::Answered { status, retry_after } = why else {
            return if matches!(why, NotTaken::NotSent(_)) { Self::NotSent } else { Self::Trouble };
        };
        match status {
            413 => Self::TooLarge,
            401 | 402 | 403 | 404 | 405 | 407 | 410 | 421 | 451 => Self::Endpoint,
            408 | 423 | 425 | 429 => Self::Busy,
            503 if retry_after.is_some() => Self::Busy,
            400..=499 => Self::Item,
            500.. => Self::Trouble,
            _ => Self::Endpoint, // redirects are not followed
        }
    }

    /// Whether sending it again will not change that by itself.
    pub fn is_lasting(self) -> bool {
        matches!(self, Self::Item | Self::TooLarge | Self::Endpoint)
    }

    /// Whether it is about what was sent, and not about who takes it.
    pub fn is_about_items(self) -> bool {
        matches!(self, Self::Item | Self::TooLarge)
    }

    /// Whether it tells nothing of what was sent. `at_length`: so long that it is asked whether only this is told to wait.
    pub fn tells_nothing(self, at_length: bool) -> bool {
        self == Self::NotSent || (self == Self::Busy && !at_length)
    }
}

/// How long the answer asks to wait; not longer than `most`.
pub fn asked_to_wait(why: &NotTaken, most: Duration) -> Duration {
    match why {
        NotTaken::Answered { retry_after: Some(time), .. } => (*time).min(most),
        _ => Duration::ZERO,
    }
}
