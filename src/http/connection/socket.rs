//! A socket with a limit on how little a client may take of what it is sent.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpListener,
    time::{Instant, Sleep},
};

use super::wire::Wire;

/// How much of an answer the system takes that it cannot send yet. What it takes beyond that says nothing of the client,
/// and by default it takes megabytes, for which a client may need minutes without a sign that it reads.
const UNSENT_BYTES_MAX: u32 = 16 * 1024;
/// The least that a client takes of an answer, in bytes a second, from one idle timeout to the next.
const TAKEN_PER_SECOND_MIN: f64 = 1024.0;

/// Whether a client that took so much in this time reads too slowly to be waited for.
pub fn is_too_little(taken: usize, time: Duration) -> bool {
    (taken as f64) < time.as_secs_f64() * TAKEN_PER_SECOND_MIN
}

pub struct Socket<W> {
    wire: W,
    idle_time_max: Duration,
    /// There while the client has to take something before more can be written.
    stall: Option<Stall>,
    has_stalled: bool,
}

/// A client that has to take something of its answer.
struct Stall {
    alarm: Pin<Box<Sleep>>,
    /// What it took since the alarm was set.
    taken: usize,
}

/// What every socket of the listener is set to.
pub fn prepare(listener: &TcpListener) -> io::Result<()> {
    socket2::SockRef::from(listener).set_tcp_notsent_lowat(UNSENT_BYTES_MAX)
}

impl<W: Wire> Socket<W> {
    pub fn new(wire: W, idle_time_max: Duration) -> Self {
        wire.set_up();
        Self { wire, idle_time_max, stall: None, has_stalled: false }
    }

    pub fn wire(&self) -> &W {
        &self.wire
    }

    /// Whether the connection ended because the client did not take its answer.
    pub fn has_stalled(&self) -> bool {
        self.has_stalled
    }

    /// Notes what the client took; fails if it took too little since the last idle timeout began. A client that reads
    /// slowly is waited for as long as it reads, one that reads a byte a minute is not.
    fn unless_stalled(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = written {
            if let (Ok(bytes), Some(stall)) = (&written, &mut self.stall) {
                stall.taken += bytes;
            }
            return Poll::Ready(written);
        }
        let most = self.idle_time_max;
        let stall = self.stall.get_or_insert_with(|| Stall { alarm: Box::pin(tokio::time::sleep(most)), taken: 0 });
        while stall.alarm.as_mut().poll(context).is_ready() {
            if is_too_little(stall.taken, most) {
                self.has_stalled = true;
                self.wire.forget_unsent(); // what it did not take is not kept for it either
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            stall.taken = 0;
            stall.alarm.as_mut().reset(Instant::now() + most);
        }
        Poll::Pending
    }
}

impl<W: Wire> AsyncRead for Socket<W> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_read(context, buffer)
    }
}

impl<W: Wire> AsyncWrite for Socket<W> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.wire).poll_write(context, bytes);
        self.unless_stalled(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.wire).poll_write_vectored(context, bytes);
        self.unless_stalled(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.wire.is_write_vectored()
    }

    /// Who flushes has written all that there is: the system has it.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stall = None;
        Pin::new(&mut self.wire).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_shutdown(context)
    }
}
