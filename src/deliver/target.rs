//! Where deliveries go: a webhook, or a file.

use super::file::Files;
use crate::process::{Lookups, Target};

/// Hands the items over; they are taken once this returns.
///
/// # Errors
/// Why they were not taken, for people.
pub async fn deliver<'a>(
    lookups: &Lookups,
    files: &Files,
    target: &Target,
    items: impl Iterator<Item = &'a str>,
) -> Result<(), String> {
    match target {
        Target::Webhook { url, secret, timeout } => {
            let body = format!("[{}]", items.collect::<Vec<_>>().join(","));
            lookups.post(url, secret.as_deref(), body, *timeout).await
        }
        Target::File(name) => files.append(name, items.flat_map(|item| [item, "\n"]).collect()).await,
    }
}
