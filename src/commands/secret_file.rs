//! Secrets that are made on the first start and kept in the storage folder: the administrator's token (contract,
//! section 11), and the key that merge keys are hashed with.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use super::CommandError;

pub const ADMIN_TOKEN: &str = "admin.token";
/// Merge keys mean nothing without it: it goes wherever the store goes.
pub const IDENTITY_KEY: &str = "identity.key";

/// Reads the secret kept in `file` of the storage folder; makes one on the first start.
pub fn kept(storage: &Path, file: &str) -> Result<String, CommandError> {
    let path = storage.join(file);
    let read = || match fs::read_to_string(&path) {
        Ok(secret) if !secret.trim().is_empty() => Ok(secret.trim().to_owned()),
        Ok(_) => make(&path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(&path),
        Err(error) => Err(error),
    };
    read().map_err(|source| CommandError::File { path: path.display().to_string(), source })
}

fn make(path: &Path) -> io::Result<String> {
    // Two random UUIDs: 244 bits that nobody guesses.
    let secret = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    let new = path.with_extension("new");
    _ = fs::remove_file(&new); // what a crash left; made anew so that its mode is ours
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    writeln!(file, "{secret}")?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    Ok(secret)
}
