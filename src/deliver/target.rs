//! Where deliveries go: a webhook, or a file.

use std::{fs, io::Write, path::Path};

use crate::process::{Lookups, Target};

/// Hands the items over; they are taken once this returns.
///
/// # Errors
/// Why they were not taken, for people.
pub async fn deliver(lookups: &Lookups, folder: &Path, target: &Target, items: &[String]) -> Result<(), String> {
    match target {
        Target::Webhook { url, secret, timeout } => {
            let body = format!("[{}]", items.join(","));
            lookups.post(url, secret.as_deref(), body, *timeout).await
        }
        Target::File(name) => {
            let (folder, path) = (folder.to_owned(), folder.join(&**name));
            let lines = items.iter().flat_map(|item| [item, "\n"]).collect::<String>();
            let written = tokio::task::spawn_blocking(move || append(&folder, &path, &lines));
            written.await.map_err(|_| "the file cannot be written".to_owned())?.map_err(|error| error.to_string())
        }
    }
}

/// Appends lines, durably.
fn append(folder: &Path, path: &Path, lines: &str) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    let is_new = !path.exists();
    let mut file = fs::OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(lines.as_bytes())?;
    file.sync_data()?;
    if is_new {
        fs::File::open(folder)?.sync_all()?; // its name
    }
    Ok(())
}
