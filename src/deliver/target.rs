//! Where deliveries go: a webhook, or a file.

use std::{
    fs,
    io::{Read, Seek, SeekFrom, Write},
    path::Path,
};

use crate::process::{Lookups, Target};

/// How many bytes are read at a time to find the end of a line.
const LOOKED_BACK: usize = 64 * 1024;

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

/// Appends lines, durably. What was left of a line by a delivery that did not come to its end is cut off first.
fn append(folder: &Path, path: &Path, lines: &str) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    let is_new = !path.exists();
    let mut file = fs::OpenOptions::new().create(true).read(true).append(true).open(path)?;
    let whole = end_of_lines(&mut file)?;
    if whole < file.metadata()?.len() {
        file.set_len(whole)?;
    }
    if let Err(error) = file.write_all(lines.as_bytes()) {
        file.set_len(whole)?; // nobody should wait for the next delivery to read it
        return Err(error);
    }
    file.sync_data()?;
    if is_new {
        fs::File::open(folder)?.sync_all()?; // its name
    }
    Ok(())
}

/// The length of the file up to the end of its last whole line.
fn end_of_lines(file: &mut fs::File) -> std::io::Result<u64> {
    let mut end = file.metadata()?.len();
    let mut bytes = vec![0; LOOKED_BACK];
    while end > 0 {
        let start = end.saturating_sub(LOOKED_BACK as u64);
        let read = &mut bytes[..(end - start) as usize];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(read)?;
        if let Some(place) = read.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + place as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}
