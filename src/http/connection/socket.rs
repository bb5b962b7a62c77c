//! A socket with limits on how long a client may be silent (contract, section 2).
//!
//! hyper closes a slow connection without a word; a client learns nothing from that. Here the socket itself answers 408
//! when nothing is being answered anyway.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    time::{Instant, Sleep},
};

use super::activity::{Activity, Phase};

const TIMEOUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-type: application/json\r\n\
    content-length: 34\r\n\r\n{\"detail\":\"The request was slow.\"}";
/// How much of an answer the system takes that it cannot send yet. What it takes beyond that says nothing of the client,
/// and by default it takes megabytes, for which a client may need minutes without a sign that it reads.
const UNSENT_BYTES_MAX: u32 = 16 * 1024;
/// The least that a client takes of an answer, in bytes a second, from one idle timeout to the next.
const TAKEN_PER_SECOND_MIN: f64 = 1024.0;

pub struct Socket {
    tcp: TcpStream,
    activity: Arc<Activity>,
    head_time_max: Duration,
    idle_time_max: Duration,
    /// Rings when the phase that it was set for has lasted too long.
    alarm: Pin<Box<Sleep>>,
    alarm_for: Option<Phase>,
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

impl Socket {
    /// What every socket of the listener is set to.
    pub fn prepare(listener: &TcpListener) -> io::Result<()> {
        socket2::SockRef::from(listener).set_tcp_notsent_lowat(UNSENT_BYTES_MAX)
    }

    pub fn new(tcp: TcpStream, activity: Arc<Activity>, head_time_max: Duration, idle_time_max: Duration) -> Self {
        _ = tcp.set_nodelay(true); // only costs time if it fails
        let alarm = Box::pin(tokio::time::sleep(idle_time_max));
        Self { tcp, activity, head_time_max, idle_time_max, alarm, alarm_for: None, stall: None, has_stalled: false }
    }

    pub fn into_tcp(self) -> TcpStream {
        self.tcp
    }

    /// Whether the connection ended because the client did not take its answer.
    pub fn has_stalled(&self) -> bool {
        self.has_stalled
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
            if (stall.taken as f64) < most.as_secs_f64() * TAKEN_PER_SECOND_MIN {
                self.has_stalled = true;
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            stall.taken = 0;
            stall.alarm.as_mut().reset(Instant::now() + most);
        }
        Poll::Pending
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.tcp).poll_read(context, buffer);
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
        _ = self.tcp.try_write(TIMEOUT); // who does not read either is closed without it
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write(context, bytes);
        self.unless_stalled(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write_vectored(context, bytes);
        self.unless_stalled(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    /// hyper flushes when it has written all that it has; of an answer in pieces, perhaps after each.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stall = None;
        if self.activity.phase() == Phase::Writing && !self.activity.streams() {
            self.activity.answer_ends(Instant::now());
        }
        // hyper may not look for the next request before it is woken.
        _ = self.is_too_slow(context);
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}
