//! Readers that follow the log while the daemon is under load. They take what comes and throw it away; what they cost
//! beside the daemon shows in the generator's share of the processor.

use super::Result;
use super::server::{ADMIN_TOKEN, Server};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

const COUNT: usize = 100;
/// How often a reader to whom nothing comes looks whether it is to end.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const PIECE_BYTES: usize = 64 * 1024;
const STACK_BYTES: usize = 256 * 1024;

pub struct Readers {
    threads: Vec<JoinHandle<io::Result<()>>>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    end: AtomicBool,
    bytes: AtomicU64,
    /// How often a stream was closed: its reader had not kept up.
    closed: AtomicU64,
}

impl Readers {
    /// Lets 100 readers follow with the filters in `query`.
    pub fn start(daemon: &Server, query: &'static str) -> Result<Self> {
        let (address, shared) = (daemon.address, Arc::new(Shared::default()));
        let start = |_| {
            let shared = shared.clone();
            let reader = thread::Builder::new().name("reader".into()).stack_size(STACK_BYTES);
            reader.spawn(move || follow(address, query, &shared))
        };
        let threads = (0..COUNT).map(start).collect::<io::Result<_>>()?;
        Ok(Self { threads, shared })
    }

    /// Lets them go; what they saw.
    pub fn end(self) -> Result<String> {
        self.shared.end.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().map_err(|_| "a reader panicked")??;
        }
        let (bytes, closed) = (self.shared.bytes.load(Ordering::Relaxed), self.shared.closed.load(Ordering::Relaxed));
        Ok(format!("{COUNT} readers took {} MiB, {closed} streams were closed", bytes >> 20))
    }
}

/// Follows the log, from now on again each time that the stream is closed.
fn follow(address: SocketAddr, query: &str, shared: &Shared) -> io::Result<()> {
    let mut buffer = vec![0; PIECE_BYTES];
    while !shared.end.load(Ordering::Relaxed) {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(LOOK_EVERY))?;
        let head = format!(
            "GET /events/live?{query} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\n\
             Connection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        let mut is_first = true;
        while !shared.end.load(Ordering::Relaxed) {
            let count = match stream.read(&mut buffer) {
                Ok(0) => {
                    shared.closed.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                Ok(count) => count,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
                Err(error) => return Err(error),
            };
            if std::mem::take(&mut is_first) && !buffer.starts_with(b"HTTP/1.1 200") {
                return Err(io::Error::other(String::from_utf8_lossy(&buffer[..count]).into_owned()));
            }
            shared.bytes.fetch_add(count as u64, Ordering::Relaxed);
        }
    }
    Ok(())
}
