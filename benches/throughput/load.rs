//! The load: keep-alive connections that each send a request, wait for its answer and send the next.
//!
//! The generator shares the cores with what it measures, so it is kept small: its own few lines of HTTP on one thread
//! that waits for all sockets at once. The loop is closed: a slow answer delays the connection's next request, so the
//! latencies are those of N clients that wait for each other's work, not of requests that arrive by the clock.

use super::Result;
use super::histogram::Histogram;
use super::payload::{Case, Template, Visitor};
use super::server::{Server, Usage, machine_cpu_seconds, own_cpu_seconds};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// How long after the window the last answers may take. The daemon refuses what waited a second, so this is ample.
const LAST_ANSWERS_LIMIT: Duration = Duration::from_secs(15);
/// What a client does after a refusal before it goes on: without it, refusals would be measured as load.
const PAUSE_AFTER_REFUSAL: Duration = Duration::from_millis(10);
const ANSWER_BYTES_MAX: usize = 16 * 1024;

#[derive(Clone, Copy)]
pub struct Plan {
    pub case: Case,
    pub connections: usize,
    pub warm_up: Duration,
    pub window: Duration,
}

/// What the load saw, and what both sides used meanwhile.
pub struct Measured {
    pub requests_per_second: f64,
    pub latency: Histogram,
    /// Requests answered 200 from the first to the last, warm-up included: what must be in the store now.
    pub accepted: u64,
    /// Everything but a 200, from the first to the last, by its name.
    pub refused: BTreeMap<String, u64>,
    pub cpu: CpuShares,
    pub server_usage: Usage,
}

/// Who used the processor during the window, in cores: 1.0 is one core's whole time.
#[derive(Clone, Copy)]
pub struct CpuShares {
    pub generator: f64,
    pub server: f64,
    /// What had nothing to do with the measurement: if it is not small, the figures are the neighbours'.
    pub others: f64,
}

#[derive(Clone, Copy)]
struct Schedule {
    from: Instant,
    until: Instant,
}

#[derive(Default)]
struct Tally {
    latency: Histogram,
    accepted: u64,
    refused: BTreeMap<String, u64>,
}

/// Loads `server` as planned and returns after the last answer. `seed` keeps the visitors of different runs apart.
pub fn run(plan: Plan, server: &Server, seed: u64) -> Result<Measured> {
    let template = Arc::new(Template::new(server.address));
    let mut clients = Vec::with_capacity(plan.connections);
    for number in 0..plan.connections as u64 {
        let stream = std::net::TcpStream::connect(server.address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        clients.push((stream, Visitor::new(plan.case, template.clone(), seed << 32 | number)));
    }
    let from = Instant::now() + plan.warm_up;
    let schedule = Schedule { from, until: from + plan.window };
    let address = server.address;
    let generator =
        thread::Builder::new().name("generator".into()).spawn(move || generate(clients, address, schedule))?;

    thread::sleep(schedule.from.saturating_duration_since(Instant::now()));
    let begin = CpuReading::take(server)?;
    thread::sleep(schedule.until.saturating_duration_since(Instant::now()));
    let cpu = CpuReading::take(server)?.since(&begin);
    let server_usage = server.usage()?;

    let tally = generator.join().map_err(|_| "the load generator panicked")??;
    Ok(Measured {
        requests_per_second: tally.latency.total() as f64 / plan.window.as_secs_f64(),
        latency: tally.latency,
        accepted: tally.accepted,
        refused: tally.refused,
        cpu,
        server_usage,
    })
}

/// Processor time used up to now, by whom.
struct CpuReading {
    at: Instant,
    generator_seconds: f64,
    server_seconds: f64,
    machine_seconds: f64,
}

impl CpuReading {
    fn take(server: &Server) -> Result<Self> {
        Ok(Self {
            at: Instant::now(),
            generator_seconds: own_cpu_seconds()?,
            server_seconds: server.usage()?.cpu_seconds,
            machine_seconds: machine_cpu_seconds()?,
        })
    }

    fn since(&self, earlier: &Self) -> CpuShares {
        let elapsed = (self.at - earlier.at).as_secs_f64();
        let generator = (self.generator_seconds - earlier.generator_seconds) / elapsed;
        let server = (self.server_seconds - earlier.server_seconds) / elapsed;
        let machine = (self.machine_seconds - earlier.machine_seconds) / elapsed;
        // The readings are rounded each by itself, so the difference of an idle machine may fall below zero.
        CpuShares { generator, server, others: (machine - generator - server).max(0.0) }
    }
}

fn generate(
    clients: Vec<(std::net::TcpStream, Visitor)>,
    address: SocketAddr,
    schedule: Schedule,
) -> io::Result<Tally> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut running = JoinSet::new();
        for (stream, visitor) in clients {
            running.spawn(drive(Connection::new(TcpStream::from_std(stream)?, address), visitor, schedule));
        }
        let mut tally = Tally::default();
        let deadline = tokio::time::Instant::from_std(schedule.until + LAST_ANSWERS_LIMIT);
        loop {
            match tokio::time::timeout_at(deadline, running.join_next()).await {
                Ok(Some(finished)) => tally.add(finished?),
                Ok(None) => return Ok(tally),
                Err(_) => {
                    let message = format!("{} connections wait for an answer that does not come", running.len());
                    return Err(io::Error::new(ErrorKind::TimedOut, message));
                }
            }
        }
    })
}

impl Tally {
    fn add(&mut self, other: Tally) {
        self.latency.merge(&other.latency);
        self.accepted += other.accepted;
        for (name, count) in other.refused {
            *self.refused.entry(name).or_default() += count;
        }
    }
}

/// One client, to the end of the window.
async fn drive(mut connection: Connection, mut visitor: Visitor, schedule: Schedule) -> Tally {
    let mut tally = Tally::default();
    let mut request = Vec::with_capacity(4096);
    loop {
        visitor.write_request(&mut request);
        let sent = Instant::now();
        if sent >= schedule.until {
            return tally;
        }
        let refusal = match connection.exchange(&request).await {
            Ok(Answer { status: 200, body }) => {
                let answered = Instant::now();
                tally.accepted += 1;
                if (schedule.from..schedule.until).contains(&answered) {
                    tally.latency.record(answered - sent);
                }
                if !visitor.wants_profile() {
                    continue;
                }
                match profile_id(body) {
                    Some(id) => {
                        visitor.remember_profile(id);
                        continue;
                    }
                    None => "200 without a profile".to_owned(),
                }
            }
            Ok(Answer { status, .. }) => status.to_string(),
            Err(error) => {
                connection.reopen().await;
                format!("connection lost ({})", error.kind())
            }
        };
        *tally.refused.entry(refusal).or_default() += 1;
        if visitor.wants_profile() {
            visitor.give_up_visit();
        }
        tokio::time::sleep(PAUSE_AFTER_REFUSAL).await;
    }
}

struct Connection {
    stream: TcpStream,
    address: SocketAddr,
    buffer: Box<[u8; ANSWER_BYTES_MAX]>,
}

struct Answer<'a> {
    status: u16,
    body: &'a [u8],
}

impl Connection {
    fn new(stream: TcpStream, address: SocketAddr) -> Self {
        Self { stream, address, buffer: Box::new([0; ANSWER_BYTES_MAX]) }
    }

    /// Sends one request and reads its answer. The poll functions are called directly: unlike `try_read` they know
    /// that a short read empties the socket, which saves a system call on every answer.
    async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        let mut sent = 0;
        while sent < request.len() {
            sent += poll_fn(|context| Pin::new(&mut self.stream).poll_write(context, &request[sent..])).await?;
        }
        let mut filled = 0;
        let (status, body) = loop {
            let mut space = ReadBuf::new(&mut self.buffer[filled..]);
            poll_fn(|context| Pin::new(&mut self.stream).poll_read(context, &mut space)).await?;
            match space.filled().len() {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                received => filled += received,
            }
            if let Some(answer) = parse_head(&self.buffer[..filled])?
                && answer.1.end <= filled
            {
                break answer;
            }
        };
        Ok(Answer { status, body: &self.buffer[body] })
    }

    /// Tries to connect anew. If that fails the next exchange does too, and counts it.
    async fn reopen(&mut self) {
        if let Ok(stream) = TcpStream::connect(self.address).await {
            self.stream = stream;
            // Without it the measure would still be right, only slower: not worth a failure of its own.
            let _ = self.stream.set_nodelay(true);
        }
    }
}

/// Status and place of the body, once the whole head is there.
fn parse_head(received: &[u8]) -> io::Result<Option<(u16, std::ops::Range<usize>)>> {
    let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let invalid = |message| io::Error::new(ErrorKind::InvalidData, message);
    let head = std::str::from_utf8(&received[..end]).map_err(|_| invalid("head is not text"))?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.get(9..12)?.parse().ok()).ok_or(invalid("no status"))?;
    let length: usize = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .ok_or(invalid("no content length"))?;
    let body = end + 4..end + 4 + length;
    if body.end > ANSWER_BYTES_MAX {
        return Err(invalid("answer too long"));
    }
    Ok(Some((status, body)))
}

/// The id in `{"profile": {"id": "..."}, ...}`.
fn profile_id(body: &[u8]) -> Option<&[u8]> {
    let after = |text: &str, from: usize| {
        let found = body[from..].windows(text.len()).position(|window| window == text.as_bytes())?;
        Some(from + found + text.len())
    };
    let key = after("\"id\"", after("\"profile\"", 0)?)?;
    let start = after("\"", key)?;
    let end = after("\"", start)? - 1;
    Some(&body[start..end])
}
