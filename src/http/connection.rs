//! A connection with limits on how long a client may be silent (contract, section 2).
//!
//! hyper closes a slow connection without a word; a client learns nothing from that. Here the socket itself answers 408
//! when nothing is being answered anyway.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep},
};

const TIMEOUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-type: application/json\r\n\
    content-length: 34\r\n\r\n{\"detail\":\"The request was slow.\"}";

/// What the connection is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    /// The first byte of a request.
    Idle,
    /// The rest of a request's head.
    Head,
    /// The answer; the body has limits of its own.
    Answer,
}

/// Told by whoever answers when a request begins and ends.
#[derive(Clone, Default)]
pub struct Activity(Arc<AtomicU8>);

impl Activity {
    pub fn begin(&self) {
        self.0.store(Phase::Answer as u8, Ordering::Relaxed);
    }

    pub fn end(&self) {
        self.0.store(Phase::Idle as u8, Ordering::Relaxed);
    }

    fn phase(&self) -> Phase {
        match self.0.load(Ordering::Relaxed) {
            0 => Phase::Idle,
            1 => Phase::Head,
            _ => Phase::Answer,
        }
    }
}

pub struct Connection {
    socket: TcpStream,
    activity: Activity,
    head_time_max: Duration,
    idle_time_max: Duration,
    /// Rings when the phase that it was set for has lasted too long.
    alarm: Pin<Box<Sleep>>,
    alarm_for: Option<Phase>,
    /// Rings when the client takes nothing of an answer for too long.
    write_alarm: Option<Pin<Box<Sleep>>>,
}

impl Connection {
    pub fn new(socket: TcpStream, activity: Activity, head_time_max: Duration, idle_time_max: Duration) -> Self {
        let alarm = Box::pin(tokio::time::sleep(idle_time_max));
        Self { socket, activity, head_time_max, idle_time_max, alarm, alarm_for: None, write_alarm: None }
    }

    /// Whether the phase lasts too long; sets the alarm when a phase begins.
    fn is_too_slow(&mut self, context: &mut Context<'_>) -> bool {
        let phase = self.activity.phase();
        if phase == Phase::Answer {
            self.alarm_for = None;
            return false;
        }
        if self.alarm_for != Some(phase) {
            self.alarm_for = Some(phase);
            let most = if phase == Phase::Head { self.head_time_max } else { self.idle_time_max };
            self.alarm.as_mut().reset(Instant::now() + most);
        }
        self.alarm.as_mut().poll(context).is_ready()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(context, buffer);
        if read.is_ready() {
            if buffer.filled().len() > before && self.activity.phase() == Phase::Idle {
                self.activity.0.store(Phase::Head as u8, Ordering::Relaxed);
            }
            // A head that trickles in must not live from its last byte.
            if !(self.activity.phase() == Phase::Head && self.is_too_slow(context)) {
                return read;
            }
        } else if !self.is_too_slow(context) {
            return Poll::Pending;
        }
        _ = self.socket.try_write(TIMEOUT); // who does not read either is closed without it
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.unless_stalled(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(context, bytes);
        self.unless_stalled(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // An answer ends here: hyper may not look for the next request before it is woken.
        _ = self.is_too_slow(context);
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

impl Connection {
    fn unless_stalled(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.write_alarm = None;
            return written;
        }
        let most = self.idle_time_max;
        let alarm = self.write_alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep(most)));
        match alarm.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}
