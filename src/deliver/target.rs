//! Where deliveries go: a webhook, or a file.

use super::file::Files;
use crate::process::{Lookups, NotTaken, Target};

/// Hands the items over; they are taken once this returns.
///
/// # Errors
/// Why they were not taken.
pub async fn deliver<'a>(
    lookups: &Lookups,
    files: &Files,
    target: &Target,
    items: impl Iterator<Item = &'a str>,
) -> Result<(), NotTaken> {
    match target {
        Target::Webhook(webhook) => {
            let body = format!("[{}]", items.collect::<Vec<_>>().join(","));
            lookups.post(webhook, body).await
        }
        Target::File(name) => {
            let lines = items.flat_map(|item| [item, "\n"]).collect();
            files.append(name, lines).await.map_err(NotTaken::NotSent)
        }
    }
}
