//! Where the daemon listens, as it is set.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

/// What stands before the path of a Unix socket.
const UNIX: &str = "unix:";

/// An address that is listened at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    Tcp(SocketAddr),
    /// A Unix socket with this path.
    Unix(PathBuf),
}

/// The files of the certificate that the daemon shows to who speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, and behind it those that lead to one that clients know.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// It is no address and no path.
#[derive(Debug)]
pub struct NoAddress;

impl FromStr for Listen {
    type Err = NoAddress;

    fn from_str(text: &str) -> Result<Self, NoAddress> {
        match text.strip_prefix(UNIX) {
            Some(path) if Path::new(path).file_name().is_some() => Ok(Self::Unix(path.into())),
            Some(_) => Err(NoAddress),
            None => text.parse().map(Self::Tcp).map_err(|_| NoAddress),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(out),
            Self::Unix(path) => write!(out, "{UNIX}{}", path.display()),
        }
    }
}
