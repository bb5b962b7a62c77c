//! What a connection's bytes go over: a socket of the system, or TLS over one.

use std::{future::Future, io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::server::TlsStream;

use super::socket::Socket;

/// A socket of the system.
pub trait Wire: AsyncRead + AsyncWrite + Unpin + Send + Sync + 'static {
    /// What every connection's socket is set to.
    fn set_up(&self);

    /// What came and was not read, if anything did.
    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes what the system takes at once.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Waits until there is something to read, or the end.
    fn readable(&self) -> impl Future<Output = io::Result<()>> + Send;

    /// The system keeps nothing for the client that it has not taken when the socket is closed.
    fn forget_unsent(&self);
}

impl Wire for TcpStream {
    fn set_up(&self) {
        _ = self.set_nodelay(true); // only costs time if it fails
    }

    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Self::try_read(self, buffer)
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        Self::try_write(self, bytes)
    }

    fn readable(&self) -> impl Future<Output = io::Result<()>> + Send {
        Self::readable(self)
    }

    fn forget_unsent(&self) {
        _ = socket2::SockRef::from(self).set_linger(Some(Duration::ZERO));
    }
}

impl Wire for UnixStream {
    fn set_up(&self) {}

    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Self::try_read(self, buffer)
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        Self::try_write(self, bytes)
    }

    fn readable(&self) -> impl Future<Output = io::Result<()>> + Send {
        Self::readable(self)
    }

    /// What was sent lies with the client's socket already.
    fn forget_unsent(&self) {}
}

/// Carries the bytes of requests and answers, as they are or encrypted.
pub trait Transport: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    type Wire: Wire;

    /// The socket below.
    fn socket(&self) -> &Socket<Self::Wire>;
}

impl<W: Wire> Transport for Socket<W> {
    type Wire = W;

    fn socket(&self) -> &Self {
        self
    }
}

impl<W: Wire> Transport for TlsStream<Socket<W>> {
    type Wire = W;

    fn socket(&self) -> &Socket<W> {
        self.get_ref().0
    }
}
