//! Those who read while the daemon is under load: followers of the log, and clients that ask one query after another.
//! They take what comes and throw it away; what they cost beside the daemon shows in the generator's share of the
//! processor.

use super::Result;
use super::histogram::Histogram;
use super::server::{ADMIN_TOKEN, Server};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often a reader to whom nothing comes looks whether it is to end.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const PIECE_BYTES: usize = 64 * 1024;
const STACK_BYTES: usize = 256 * 1024;

/// Who reads what.
#[derive(Clone, Copy)]
pub struct Reading {
    pub readers: usize,
    /// Asked again as soon as an answer ends.
    pub path: &'static str,
}

pub struct Readers {
    threads: Vec<JoinHandle<io::Result<Histogram>>>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    end: AtomicBool,
    bytes: AtomicU64,
}

impl Readers {
    pub fn start(daemon: &Server, reading: Reading) -> Result<Self> {
        let (address, shared) = (daemon.address, Arc::new(Shared::default()));
        let start = |_| {
            let shared = shared.clone();
            let reader = thread::Builder::new().name("reader".into()).stack_size(STACK_BYTES);
            reader.spawn(move || read(address, reading.path, &shared))
        };
        let threads = (0..reading.readers).map(start).collect::<io::Result<_>>()?;
        Ok(Self { threads, shared })
    }

    /// Lets them go; what they saw. An answer that goes on ends only where its reader does not keep up.
    pub fn end(self) -> Result<String> {
        self.shared.end.store(true, Ordering::Relaxed);
        let (count, mut answers) = (self.threads.len(), Histogram::default());
        for thread in self.threads {
            answers.merge(&thread.join().map_err(|_| "a reader panicked")??);
        }
        let bytes = self.shared.bytes.load(Ordering::Relaxed);
        let [median, slow, most] = [0.5, 0.99, 1.0].map(|share| answers.quantile_ms(share));
        let total = answers.total();
        Ok(format!(
            "{count} readers took {} MiB; {total} answers ended, median {median:.1} ms, p99 {slow:.1} ms, at most {most:.1} ms",
            bytes >> 20
        ))
    }
}

/// Asks again and again; how long each of the answers took that ended.
fn read(address: SocketAddr, path: &str, shared: &Shared) -> io::Result<Histogram> {
    let (mut buffer, mut answers) = (vec![0; PIECE_BYTES], Histogram::default());
    while !shared.end.load(Ordering::Relaxed) {
        let begin = Instant::now();
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(LOOK_EVERY))?;
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        let mut is_first = true;
        while !shared.end.load(Ordering::Relaxed) {
            let count = match stream.read(&mut buffer) {
                Ok(0) => {
                    answers.record(begin.elapsed());
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
    Ok(answers)
}
