//! The end of a connection whose client may still be sending.
//!
//! Closing a socket with bytes that nobody read resets the connection, and the client loses the answer that it has not
//! read yet. So what it sends is read on and thrown away, within limits. It is the same with one request of many.

use std::{future::poll_fn, io, pin::Pin, time::Duration};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::{
    io::AsyncWrite,
    time::{Instant, timeout, timeout_at},
};

use super::wire::{Transport, Wire};

/// How long, and for how much, a client is listened to after its answer.
pub struct Limits {
    time_max: Duration,
    /// Between two pieces.
    quiet_max: Duration,
    bytes_max: usize,
}

/// For a connection that has its place.
pub const LINGER: Limits =
    Limits { time_max: Duration::from_secs(30), quiet_max: Duration::from_secs(5), bytes_max: 16 << 20 };
/// For one that was let in only to be told that there is no place.
pub const SHORT_LINGER: Limits =
    Limits { time_max: Duration::from_secs(2), quiet_max: Duration::from_secs(1), bytes_max: 1 << 20 };

/// What is thrown away at once.
const PIECE: usize = 16 * 1024;

/// Says that nothing more will be sent, and reads until the client has closed, or to a limit.
pub async fn linger(mut transport: impl Transport, limits: Limits) {
    let end = Instant::now() + limits.time_max;
    if says_that_it_ends(&mut transport, end).await {
        drain(transport.socket().wire(), &limits, end).await;
    }
}

/// The same for a socket that was never more than that.
pub async fn linger_on_wire(mut wire: impl Wire, limits: Limits) {
    let end = Instant::now() + limits.time_max;
    if says_that_it_ends(&mut wire, end).await {
        drain(&wire, &limits, end).await;
    }
}

/// Reads the rest of a request's body, or to a limit; dropping it then tells the client to stop.
pub async fn read_on(mut body: Incoming, limits: Limits) {
    let end = Instant::now() + limits.time_max;
    let mut left = limits.bytes_max;
    while let Ok(Some(Ok(frame))) = timeout(limits.quiet_max, body.frame()).await {
        left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        if left == 0 || Instant::now() >= end {
            return;
        }
    }
}

/// Closes a connection at whose end everything was read; what came behind is read as by [`linger`].
pub async fn linger_if_unread(transport: impl Transport, limits: Limits) {
    if read(transport.socket().wire()).is_ok_and(|bytes| bytes > 0) {
        linger(transport, limits).await;
    }
}

/// Whether the client is still there to hear it. Over TLS it has to take what was written before.
async fn says_that_it_ends(io: &mut (impl AsyncWrite + Unpin), end: Instant) -> bool {
    let said = timeout_at(end, poll_fn(|context| Pin::new(&mut *io).poll_shutdown(context))).await;
    matches!(said, Ok(Ok(())))
}

async fn drain(wire: &impl Wire, limits: &Limits, end: Instant) {
    let mut left = limits.bytes_max;
    while left > 0 {
        match read(wire) {
            Ok(0) => return,
            Ok(bytes) => left = left.saturating_sub(bytes),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let quiet = end.min(Instant::now() + limits.quiet_max);
                if !matches!(timeout_at(quiet, wire.readable()).await, Ok(Ok(()))) {
                    return;
                }
            }
            Err(_) => return,
        }
        tokio::task::yield_now().await; // who sends without pause must not keep a thread
        if Instant::now() >= end {
            return;
        }
    }
}

fn read(wire: &impl Wire) -> io::Result<usize> {
    wire.try_read(&mut [0; PIECE])
}
