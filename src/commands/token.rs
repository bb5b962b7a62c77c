//! The administrator's token (contract, section 11).

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use super::CommandError;

/// The file in the storage folder that keeps a token that was made.
pub const FILE: &str = "admin.token";

/// Reads the token kept in the storage folder; makes one on the first start.
pub fn kept(storage: &Path) -> Result<String, CommandError> {
    let path = storage.join(FILE);
    let read = || match fs::read_to_string(&path) {
        Ok(token) if !token.trim().is_empty() => Ok(token.trim().to_owned()),
        Ok(_) => make(&path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(&path),
        Err(error) => Err(error),
    };
    read().map_err(|source| CommandError::File { path: path.display().to_string(), source })
}

fn make(path: &Path) -> io::Result<String> {
    // Two random UUIDs: 244 bits that nobody guesses.
    let token = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    let new = path.with_extension("new");
    _ = fs::remove_file(&new); // what a crash left; made anew so that its mode is ours
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    writeln!(file, "{token}")?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    Ok(token)
}
