//! Who is at the other end of a connection.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
};

use ipnet::IpNet;

/// The client, or a proxy that hands its requests on.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Its address; the machine's own for who came over a Unix socket.
    pub ip: IpAddr,
    /// It came over a Unix socket, which the system opens only to whom the file's mode allows: its word counts as that of
    /// a trusted proxy.
    pub is_on_unix_socket: bool,
    /// It speaks TLS with this very process.
    pub speaks_tls: bool,
}

impl Peer {
    pub fn at(ip: IpAddr, speaks_tls: bool) -> Self {
        Self { ip, is_on_unix_socket: false, speaks_tls }
    }

    pub fn on_unix_socket() -> Self {
        Self { ip: Ipv4Addr::LOCALHOST.into(), is_on_unix_socket: true, speaks_tls: false }
    }

    /// Whether its word about who is behind it counts.
    pub fn is_trusted(&self, proxies: &[IpNet]) -> bool {
        let ip = self.ip.to_canonical();
        self.is_on_unix_socket || proxies.iter().any(|net| net.contains(&ip))
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_on_unix_socket { out.write_str("a Unix socket") } else { self.ip.fmt(out) }
    }
}
