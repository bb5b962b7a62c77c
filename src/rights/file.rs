//! The file in which erasures are noted: on another disk, it tells what is to be done again on a store that was put back
//! from before them. Each is a line of JSON, and its ids are hashed.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use serde_json::json;

use super::{
    Rights,
    person::{People, Sessions},
};
use crate::{
    model::{Erasure, ErasureKind},
    process::hex,
    store::Refused,
};

impl Rights {
    /// Notes an erasure before it is done, durably, if there is a file for it.
    ///
    /// # Errors
    /// It cannot be written; nothing is erased then.
    pub(super) async fn note_in_file(
        &self,
        erasure: &Erasure,
        people: &People,
        sessions: &Sessions,
    ) -> Result<(), Refused> {
        let Some(path) = self.settings.erasures_file.clone() else { return Ok(()) };
        let profiles: Vec<String> = people.listed().iter().map(|id| hex(&self.identity.profile_hash(id).0)).collect();
        let sessions = sessions.own.iter().map(|session| hex(&self.identity.session_hash(&session.id).0));
        let line = json!({
            "erasure": erasure.id,
            "kind": match erasure.kind {
                ErasureKind::Erased => "erase",
                ErasureKind::Forgotten => "forget",
            },
            "time": erasure.asked,
            "offset": self.store.end(),
            "profiles": profiles,
            "sessions": sessions.collect::<Vec<_>>(),
        });
        let _one_at_a_time = self.file.lock().await;
        let written = tokio::task::spawn_blocking(move || append(&path, &format!("{line}\n")));
        let written = written.await.unwrap_or_else(|_| Err(io::Error::other("it was not written")));
        written.map_err(|error| Refused::Unavailable(format!("storage.erasures_file cannot be written: {error}")))
    }
}

/// Appends a line, durably. What is left of one that was not written whole is no line: a new one begins behind it.
fn append(path: &Path, line: &str) -> io::Result<()> {
    let is_new = !path.exists();
    let mut file = OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(path)?;
    let mut last = *b"\n";
    if file.metadata()?.len() > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    let line = if last == *b"\n" { line.to_owned() } else { format!("\n{line}") };
    file.write_all(line.as_bytes())?;
    file.sync_all()?;
    match path.parent().filter(|_| is_new) {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(), // its name
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_was_cut_is_no_part_of_the_next_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("erasures.ndjson");
        append(&path, "one\n").unwrap();
        append(&path, "two\n").unwrap();
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"thr").unwrap();
        append(&path, "four\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\nthr\nfour\n");
        assert!(append(folder.path(), "five\n").is_err());
    }
}
