//! The limits on how long a client may be silent in each phase of a request (docs/contract.md, section 2).
//!
//! hyper closes a slow connection without a word; a client learns nothing from that. Here the connection itself answers
//! 408 when nothing is being answered anyway.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

use super::{
    activity::{Activity, Phase},
    wire::Transport,
};

const TIMEOUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-type: application/json\r\n\
    content-length: 34\r\n\r\n{\"detail\":\"The request was slow.\"}";

/// A connection of HTTP/1.
pub struct Phased<T> {
    transport: T,
    activity: Arc<Activity>,
    head_time_max: Duration,
    idle_time_max: Duration,
    /// Rings when the phase that it was set for has lasted too long.
    alarm: Pin<Box<Sleep>>,
    alarm_for: Option<Phase>,
}

impl<T: Transport> Phased<T> {
    pub fn new(transport: T, activity: Arc<Activity>, head_time_max: Duration, idle_time_max: Duration) -> Self {
        let alarm = Box::pin(tokio::time::sleep(idle_time_max));
        Self { transport, activity, head_time_max, idle_time_max, alarm, alarm_for: None }
    }

    pub fn into_transport(self) -> T {
        self.transport
    }

    /// Whether the phase lasts too long; sets the alarm when a phase begins.
    fn is_too_slow(&mut self, context: &mut Context<'_>) -> bool {
        let phase = self.activity.phase();
        if matches!(phase, Phase::Answer | Phase::Writing) {
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

impl<T: Transport> AsyncRead for Phased<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.transport).poll_read(context, buffer);
        if read.is_ready() {
            match self.activity.phase() {
                // Mostly the whole head is there. If it is not, hyper asks again, and the alarm is set then.
                Phase::Idle if buffer.filled().len() > before => {
                    self.activity.head_begins();
                    return read;
                }
                // A head that trickles in must not live from its last byte.
                Phase::Head if self.is_too_slow(context) => {}
                _ => return read,
            }
        } else if !self.is_too_slow(context) {
            return Poll::Pending;
        }
        _ = Pin::new(&mut self.transport).poll_write(context, TIMEOUT); // who does not read either is closed without it
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: Transport> AsyncWrite for Phased<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.transport).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    /// hyper flushes when it has written all that it has; of an answer in pieces, perhaps after each. What TLS holds back
    /// is written by then, too.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.transport).poll_flush(context))?;
        if self.activity.phase() == Phase::Writing && !self.activity.streams() {
            self.activity.answer_ends(Instant::now());
        }
        // hyper may not look for the next request before it is woken.
        _ = self.is_too_slow(context);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(context)
    }
}
