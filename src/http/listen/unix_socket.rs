//! A Unix socket's file: who may open it, what an earlier process left, and that nothing is left behind.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf, absolute},
};

use tokio::net::{UnixListener, UnixStream};

/// Its owner and its group may connect.
const MODE: u32 = 0o660;

/// The file of a socket that is listened at; removed when this is dropped.
pub struct SocketFile {
    path: PathBuf,
    /// Which file it is: another process may have put its own in this place.
    device: u64,
    number: u64,
    /// Numbers are given again: when it was made, in seconds and nanoseconds.
    made: (i64, i64),
}

/// Listens at `path`; a socket at which nobody listens any more gives way.
///
/// # Errors
/// Somebody listens there, something else stands there, or the system refuses.
pub async fn listen(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let path = absolute(path)?; // whoever reads it later may be in another folder
    remove_stale(&path).await?;
    // The process's mask lets nobody else in until the mode is set.
    let listener = UnixListener::bind(&path)?;
    let metadata = fs::symlink_metadata(&path)?;
    let made = (metadata.mtime(), metadata.mtime_nsec());
    let file = SocketFile { device: metadata.dev(), number: metadata.ino(), made, path };
    fs::set_permissions(&file.path, Permissions::from_mode(MODE))?;
    Ok((listener, file))
}

/// Removes the socket that a process left which is gone.
async fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => {}
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is no socket stands there")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
        // Also where so many wait that one more cannot.
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}

impl SocketFile {
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_own = |metadata: fs::Metadata| {
            (metadata.dev(), metadata.ino()) == (self.device, self.number)
                && (metadata.mtime(), metadata.mtime_nsec()) == self.made
        };
        if fs::symlink_metadata(&self.path).is_ok_and(is_own) {
            _ = fs::remove_file(&self.path); // what stays gives way at the next start
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_socket_that_nobody_listens_at_gives_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some.sock");
        // As a process leaves it that is killed.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let (listener, file) = listen(&path).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        assert_eq!(listen(&path).await.map(|_| ()).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop((listener, file));
        assert!(!path.exists());
        fs::write(&path, "x").unwrap();
        assert_eq!(listen(&path).await.map(|_| ()).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"x");
    }

    #[tokio::test]
    async fn another_s_file_in_its_place_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some.sock");
        let (_listener, file) = listen(&path).await.unwrap();
        fs::remove_file(&path).unwrap();
        let _other = UnixListener::bind(&path).unwrap();
        drop(file);
        assert!(path.exists());
    }
}
