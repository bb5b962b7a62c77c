//! Secrets that are made on the first start and kept in the storage folder: the administrator's token
//! (docs/contract.md, section 11), and the key that merge keys are hashed with.
//!
//! Each is one line, `PREFIX`, 64 hexadecimal digits that nobody guesses, and the CRC32C of both as 8 more: what was
//! cut or changed is not taken for another secret. Earlier versions wrote the 64 digits alone.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use super::CommandError;

/// How many digits are the secret's own, and its checksum's.
const DIGITS: usize = 64;
const CHECKSUM_DIGITS: usize = 8;

/// Why a key is refused that people are known by and that is not there.
pub const MISSING: &str = "it is missing";

/// A kind of secret, by the file that it is kept in.
pub struct SecretFile {
    pub name: &'static str,
    prefix: &'static str,
    /// What helps if it is not whole, for people.
    remedy: &'static str,
}

pub const ADMIN_TOKEN: SecretFile = SecretFile {
    name: "admin.token",
    prefix: "tracardi_admin_",
    remedy: "put it back from a backup, or remove it and the next start makes a new token",
};
/// Merge keys mean nothing without it: it goes wherever the store goes.
pub const IDENTITY_KEY: SecretFile = SecretFile {
    name: "identity.key",
    prefix: "tracardi_identity_",
    remedy: "people are known by it, so put it back from a backup; if it is lost for good, \
             `tracardi new-identity-key` makes another, and whoever was known has to be identified anew",
};

/// The administrator's token that is kept in the storage folder; makes one if there is none.
///
/// # Errors
/// The file is damaged, or cannot be read or written.
pub fn admin_token(storage: &Path) -> Result<String, CommandError> {
    ADMIN_TOKEN.close_to_others(storage);
    let token = match ADMIN_TOKEN.read(storage)? {
        Some(secret) => secret,
        None => ADMIN_TOKEN.make(storage)?,
    };
    Ok(token.text)
}

/// A secret that is whole.
pub struct Secret {
    /// The line in its file.
    pub text: String,
    /// What is secret of it.
    pub digits: String,
    /// As earlier versions wrote it.
    is_old: bool,
}

impl SecretFile {
    pub fn path(&self, storage: &Path) -> PathBuf {
        storage.join(self.name)
    }

    /// The secret kept in the storage folder; `None` if there is no file.
    ///
    /// # Errors
    /// The file is damaged, or cannot be read.
    pub fn read(&self, storage: &Path) -> Result<Option<Secret>, CommandError> {
        let path = self.path(storage);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(unusable(&path, source)),
        };
        let secret = std::str::from_utf8(&bytes).ok().and_then(|text| self.parse(text.trim()));
        secret.map(Some).ok_or_else(|| self.refused(storage, "it is damaged, cut or changed"))
    }

    /// As [`SecretFile::read`]; what an earlier version wrote gets its checksum, and others may not read it any more.
    ///
    /// # Errors
    /// As [`SecretFile::read`], or it cannot be written.
    pub fn read_and_renew_form(&self, storage: &Path) -> Result<Option<Secret>, CommandError> {
        self.close_to_others(storage);
        match self.read(storage)? {
            Some(old) if old.is_old => self.write(storage, old.digits).map(Some),
            found => Ok(found),
        }
    }

    /// Makes a secret and keeps it, durably, in place of what is there.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn make(&self, storage: &Path) -> Result<Secret, CommandError> {
        // Two random UUIDs: 244 bits.
        self.write(storage, format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple()))
    }

    /// Why the daemon does not go on without a whole secret, and what helps.
    pub fn refused(&self, storage: &Path, why: &str) -> CommandError {
        CommandError::Secret { path: self.path(storage).display().to_string(), what: format!("{why}: {}", self.remedy) }
    }

    fn close_to_others(&self, storage: &Path) {
        let path = self.path(storage);
        let is_open = fs::metadata(&path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0);
        if is_open && let Err(error) = fs::set_permissions(&path, Permissions::from_mode(0o600)) {
            tracing::warn!(path = %path.display(), %error, "others may read a secret: its mode should be 0600");
        }
    }

    fn write(&self, storage: &Path, digits: String) -> Result<Secret, CommandError> {
        let (path, text) = (self.path(storage), self.line(&digits));
        let write = || {
            let new = path.with_extension("new");
            _ = fs::remove_file(&new); // what a crash left; made anew so that its mode is ours
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
            writeln!(file, "{text}")?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            File::open(storage)?.sync_all() // its name
        };
        write().map_err(|source| unusable(&path, source))?;
        Ok(Secret { text, digits, is_old: false })
    }

    fn line(&self, digits: &str) -> String {
        let text = format!("{}{digits}", self.prefix);
        let checksum = crc32c::crc32c(text.as_bytes());
        format!("{text}{checksum:08x}")
    }

    fn parse(&self, line: &str) -> Option<Secret> {
        let secret = |digits: &str, is_old| Secret { text: line.into(), digits: digits.into(), is_old };
        let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        match line.strip_prefix(self.prefix) {
            Some(rest) if is_hex(rest) && rest.len() == DIGITS + CHECKSUM_DIGITS => {
                let digits = &rest[..DIGITS];
                (self.line(digits) == line).then(|| secret(digits, false))
            }
            None if is_hex(line) && line.len() == DIGITS => Some(secret(line, true)),
            _ => None,
        }
    }
}

fn unusable(path: &Path, source: io::Error) -> CommandError {
    CommandError::File { path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_is_cut_or_changed_anywhere_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for file in [ADMIN_TOKEN, IDENTITY_KEY] {
            assert!(file.read(folder.path()).unwrap().is_none());
            let made = file.make(folder.path()).unwrap();
            let path = file.path(folder.path());
            let whole = fs::read(&path).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            assert_eq!(file.read(folder.path()).unwrap().unwrap().text, made.text);
            let line = whole.len() - 1; // the end of the line is not part of it
            let cut = (0..line).map(|length| whole[..length].to_vec());
            let changed = (0..line * 8).map(|bit| {
                let mut bytes = whole.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                bytes
            });
            for damaged in cut.chain(changed).chain([vec![0; whole.len()], whole.repeat(2)]) {
                fs::write(&path, &damaged).unwrap();
                let error = file.read(folder.path()).map(|_| ()).unwrap_err().to_string();
                assert!(error.contains("damaged") && error.contains(file.name), "{damaged:?}: {error}");
            }
        }
    }

    #[test]
    fn what_an_earlier_version_wrote_counts_and_gets_its_checksum() {
        let folder = tempfile::tempdir().unwrap();
        let path = IDENTITY_KEY.path(folder.path());
        let digits = "0123456789abcdef".repeat(4);
        fs::write(&path, format!("{digits}\n")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert_eq!(IDENTITY_KEY.read_and_renew_form(folder.path()).unwrap().unwrap().digits, digits);
        let now = fs::read_to_string(&path).unwrap();
        assert!(now.starts_with("tracardi_identity_") && now.contains(&digits), "{now}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(IDENTITY_KEY.read_and_renew_form(folder.path()).unwrap().unwrap().digits, digits);
        fs::write(&path, &digits[1..]).unwrap();
        assert!(IDENTITY_KEY.read(folder.path()).is_err());
        // A token that people already use stays as it is.
        fs::write(ADMIN_TOKEN.path(folder.path()), format!("{digits}\n")).unwrap();
        assert_eq!(admin_token(folder.path()).unwrap(), digits);
    }
}
