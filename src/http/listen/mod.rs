//! Where requests come from: addresses, with or without TLS, and Unix sockets.

mod address;
mod certificate;
mod unix_socket;

use std::{future::Future, io, net::SocketAddr, sync::Arc};

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_rustls::TlsAcceptor;

use super::connection::{Peer, Wire, prepare};
use crate::settings::{Listen, ServerSettings};

pub use address::Address;
pub use certificate::{Certificate, CertificateError, HTTP2};
pub use unix_socket::SocketFile;

/// Why the daemon cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("{address}: {source}")]
    Address { address: String, source: io::Error },
    #[error("{0}")]
    Certificate(#[from] CertificateError),
    #[error("TLS cannot be spoken: {0}")]
    Tls(#[from] rustls::Error),
}

/// Everything that is listened at.
pub struct Listeners {
    pub(super) plain: Vec<Tcp>,
    pub(super) tls: Vec<Tcp>,
    pub(super) unix: Vec<UnixListener>,
    pub(super) redirecting: Option<Redirecting>,
    pub(super) encryption: Option<Encryption>,
    /// In the order of the settings; at least one.
    addresses: Vec<Address>,
}

/// A listener at an address.
pub struct Tcp {
    listener: TcpListener,
    speaks_tls: bool,
}

/// Where plain HTTP is sent on to TLS.
pub struct Redirecting {
    pub listener: Tcp,
    pub address: SocketAddr,
    /// Where TLS is spoken.
    pub tls_port: u16,
}

/// How TLS is spoken, and the certificate for it.
pub struct Encryption {
    pub acceptor: TlsAcceptor,
    pub certificate: Arc<Certificate>,
}

/// Begins to listen, and the files of Unix sockets, each of which is removed when it is dropped.
///
/// # Errors
/// An address is taken or is none of this machine's, or the certificate cannot be used.
pub async fn listen(settings: &ServerSettings) -> Result<(Listeners, Vec<SocketFile>), ListenError> {
    let encryption = match settings.tls.clone() {
        Some(files) => {
            let read = tokio::task::spawn_blocking(move || Certificate::read(files)).await;
            let certificate = read.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))?;
            Some(Encryption { acceptor: certificate.server()?.into(), certificate })
        }
        None => None,
    };
    let speaks_tls = encryption.is_some();
    let mut listeners = Listeners {
        plain: Vec::new(),
        tls: Vec::new(),
        unix: Vec::new(),
        redirecting: None,
        encryption,
        addresses: Vec::new(),
    };
    let (mut files, mut tls_port) = (Vec::new(), None);
    for listen in &settings.listen {
        let failed = |source| ListenError::Address { address: listen.to_string(), source };
        match listen {
            Listen::Tcp(address) => {
                let (listener, address) = Tcp::bind(*address, speaks_tls).await.map_err(failed)?;
                if speaks_tls {
                    tls_port.get_or_insert(address.port());
                    listeners.tls.push(listener);
                    listeners.addresses.push(Address::Https(address));
                } else {
                    listeners.plain.push(listener);
                    listeners.addresses.push(Address::Http(address));
                }
            }
            Listen::Unix(path) => {
                let (listener, file) = unix_socket::listen(path).await.map_err(failed)?;
                listeners.addresses.push(Address::Unix(file.path().to_owned()));
                listeners.unix.push(listener);
                files.push(file);
            }
        }
    }
    if let (Some(address), Some(tls_port)) = (settings.redirect_http, tls_port) {
        let failed = |source| ListenError::Address { address: address.to_string(), source };
        let (listener, address) = Tcp::bind(address, false).await.map_err(failed)?;
        listeners.redirecting = Some(Redirecting { listener, address, tls_port });
    }
    Ok((listeners, files))
}

impl Listeners {
    /// Where requests are taken, in the order of the settings; there is at least one.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Where plain HTTP is sent on to TLS.
    pub fn redirecting(&self) -> Option<SocketAddr> {
        self.redirecting.as_ref().map(|redirecting| redirecting.address)
    }
}

impl Tcp {
    async fn bind(address: SocketAddr, speaks_tls: bool) -> io::Result<(Self, SocketAddr)> {
        let listener = TcpListener::bind(address).await?;
        if let Err(error) = prepare(&listener) {
            tracing::warn!(%error, "clients that read slowly are seen late");
        }
        let address = listener.local_addr()?;
        Ok((Self { listener, speaks_tls }, address))
    }
}

/// Something that connections come from.
pub trait Accept {
    type Wire: Wire;

    /// The next connection. Who stops waiting for it misses none.
    fn accept(&self) -> impl Future<Output = io::Result<(Self::Wire, Peer)>> + Send;
}

impl Accept for Tcp {
    type Wire = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, Peer)> {
        let (wire, peer) = self.listener.accept().await?;
        Ok((wire, Peer::at(peer.ip(), self.speaks_tls)))
    }
}

impl Accept for UnixListener {
    type Wire = UnixStream;

    async fn accept(&self) -> io::Result<(UnixStream, Peer)> {
        let (wire, _) = Self::accept(self).await?;
        Ok((wire, Peer::on_unix_socket()))
    }
}
