//! Where the daemon is reached: as it is printed, and noted for the commands that talk to it.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

/// Where requests are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Http(SocketAddr),
    Https(SocketAddr),
    /// Plain HTTP over the Unix socket with this path.
    Unix(PathBuf),
}

/// It names no place where requests are taken.
#[derive(Debug)]
pub struct NoAddress;

impl Address {
    /// How it is reached from the daemon's own machine.
    pub fn reachable(self) -> Self {
        match self {
            Self::Http(address) => Self::Http(reachable(address)),
            Self::Https(address) => Self::Https(reachable(address)),
            Self::Unix(path) => Self::Unix(path),
        }
    }

    /// How it is noted for commands: as earlier versions noted it, if they knew it.
    pub fn noted(&self) -> String {
        match self {
            Self::Http(address) => address.to_string(),
            Self::Https(_) | Self::Unix(_) => self.to_string(),
        }
    }

    /// What requests to it begin their URL with.
    pub fn url(&self) -> String {
        // In a URL, what tells the network of a link-local address stands behind %25 (RFC 6874).
        match self {
            Self::Http(_) | Self::Https(_) => self.to_string().replace('%', "%25"),
            Self::Unix(_) => "http://localhost".into(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(address) => write!(out, "http://{address}"),
            Self::Https(address) => write!(out, "https://{address}"),
            Self::Unix(path) => write!(out, "unix:{}", path.display()),
        }
    }
}

/// An address alone is one of plain HTTP.
impl FromStr for Address {
    type Err = NoAddress;

    fn from_str(text: &str) -> Result<Self, NoAddress> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self::Unix(path.into()));
        }
        let (make, address): (fn(SocketAddr) -> Self, _) = match text.strip_prefix("https://") {
            Some(address) => (Self::Https, address),
            None => (Self::Http, text.strip_prefix("http://").unwrap_or(text)),
        };
        address.parse().map(make).map_err(|_| NoAddress)
    }
}

fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_read_again() {
        for text in ["127.0.0.1:8686", "https://[::1]:443", "unix:/run/tracardi.sock"] {
            assert_eq!(text.parse::<Address>().unwrap().noted(), text);
        }
        assert_eq!("127.0.0.1:8686".parse::<Address>().unwrap(), "http://127.0.0.1:8686".parse().unwrap());
        assert!("ftp://127.0.0.1:8686".parse::<Address>().is_err());
    }

    #[test]
    fn a_url_is_one_that_can_be_connected_to() {
        for (listening, url) in [
            ("127.0.0.1:8686", "http://127.0.0.1:8686"),
            ("0.0.0.0:80", "http://127.0.0.1:80"),
            ("https://[::]:8686", "https://[::1]:8686"),
            ("[fd00::2]:8686", "http://[fd00::2]:8686"),
            ("[fe80::1%2]:8686", "http://[fe80::1%252]:8686"),
        ] {
            assert_eq!(listening.parse::<Address>().unwrap().reachable().url(), url);
        }
    }
}
