//! What it costs that people turn out to be one, as there are more of them: the log's bytes, the views' and the
//! daemon's processor time, by request.

use super::payload::SOURCE;
use super::server::{self, Server};
use super::{Result, disk};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// The first of each kind, which the later ones are compared with.
const FIRST: usize = 100;
/// How many further steps there are.
const STEPS: usize = 5;
const CONNECTIONS: usize = 16;
/// A chain is followed one by one, and takes as many people as merges.
const CHAIN_SHARE: usize = 10;
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// The views are written in batches.
const APPLIED_WITHIN: Duration = Duration::from_millis(500);
/// So large that nothing is sealed meanwhile: the journal then has every byte of the log.
const SEGMENT_BYTES: &str = "1000000000000";

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Ever new visitors sign in with one address.
    IntoOne,
    /// Ever new visitors sign in, each as somebody known from another device.
    Pairs,
    /// Each person takes in the one who was made next, with all that this one took in.
    Chain,
}

impl Kind {
    const ALL: [Self; 3] = [Self::IntoOne, Self::Pairs, Self::Chain];

    fn name(self) -> &'static str {
        match self {
            Self::IntoOne => "into one",
            Self::Pairs => "pairs",
            Self::Chain => "chain",
        }
    }

    /// The requests of the merge numbered `number` of `count`, each as session, event type and properties.
    fn requests(self, number: usize, count: usize) -> Vec<(String, &'static str, String)> {
        let address = |place: &str, number: usize| format!(r#"{{"email":{{"{place}":"m{number}@example.com"}}}}"#);
        let page_view = (format!("s{number}"), "page-view", "{}".to_owned());
        match self {
            Self::IntoOne => vec![page_view, (format!("s{number}"), "sign-in", address("main", 0))],
            Self::Pairs => vec![
                (format!("home-{number}"), "sign-in", address("main", number)),
                page_view,
                (format!("s{number}"), "sign-in", address("main", number)),
            ],
            Self::Chain => vec![(format!("s{}", count - 1 - number), "sign-in", address("private", count - number))],
        }
    }
}

/// What one step of merges took, by request.
struct Step {
    merges: usize,
    log_bytes: f64,
    views_bytes: f64,
    cpu_micros: f64,
}

/// Merges `merges` profiles in each way, each in a store of its own that `folder` makes, and prints what each step took.
pub fn run(daemon: &Path, merges: usize, folder: impl Fn() -> Result<super::super::Folder>) -> Result<()> {
    for kind in Kind::ALL {
        let merges = if kind == Kind::Chain { merges / CHAIN_SHARE } else { merges };
        if merges <= FIRST {
            return Err(format!("merges begin at {}", (FIRST + 1) * CHAIN_SHARE).into());
        }
        let folder = folder()?;
        let steps = measure(kind, daemon, merges, &folder).map_err(|error| folder.with_log(error))?;
        println!("\nmerges, {}", kind.name());
        println!("{:>10} {:>14} {:>16} {:>16}", "merges", "log B/request", "views B/request", "CPU us/request");
        for step in steps {
            let Step { merges, log_bytes, views_bytes, cpu_micros } = step;
            println!("{merges:>10} {log_bytes:>14.0} {views_bytes:>16.0} {cpu_micros:>16.0}");
        }
    }
    Ok(())
}

fn measure(kind: Kind, program: &Path, merges: usize, folder: &super::super::Folder) -> Result<Vec<Step>> {
    let settings = [("TRACARDI__STORAGE__SEGMENT_BYTES", SEGMENT_BYTES)];
    let daemon = server::start_daemon_with(program, &folder.storage, &folder.log, &settings)?;
    daemon.wait_for("/ready")?;
    daemon.register_source(SOURCE)?;
    if kind == Kind::Chain {
        // Everybody is known first, by an address of their own, in the order in which they were made.
        let mut client = Client::new(daemon.address)?;
        for number in 0..=merges {
            let mail = format!(r#"{{"email":{{"main":"m{number}@example.com"}}}}"#);
            client.send(&format!("s{number}"), "sign-in", &mail)?;
        }
    }
    let mut steps = Vec::new();
    let mut from = 0;
    let ends = (1..=STEPS).map(|step| FIRST + (merges - FIRST) * step / STEPS);
    for to in std::iter::once(FIRST).chain(ends) {
        let before = (daemon.usage()?.cpu_seconds, occupied(&folder.storage)?);
        let requests = load(kind, &daemon, from..to, merges)? as f64;
        thread::sleep(APPLIED_WITHIN);
        let (cpu_before, (log_before, views_before)) = before;
        let (log, views) = occupied(&folder.storage)?;
        steps.push(Step {
            merges: to,
            log_bytes: (log - log_before) as f64 / requests,
            views_bytes: views.saturating_sub(views_before) as f64 / requests,
            cpu_micros: (daemon.usage()?.cpu_seconds - cpu_before) * 1e6 / requests,
        });
        from = to;
    }
    daemon.stop()?;
    Ok(steps)
}

/// The bytes of the journal, and those that the views take.
fn occupied(storage: &Path) -> Result<(u64, u64)> {
    let mut journal = 0;
    for file in std::fs::read_dir(storage.join("journal"))? {
        journal += file?.metadata()?.len();
    }
    Ok((journal, disk::occupied(storage)?.views))
}

/// Sends the requests of the merges in `range`; returns how many there were.
fn load(kind: Kind, daemon: &Server, range: std::ops::Range<usize>, count: usize) -> Result<usize> {
    let next = AtomicUsize::new(range.start);
    let connections = if kind == Kind::Chain { 1 } else { CONNECTIONS };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..connections)
            .map(|_| {
                scope.spawn(|| {
                    let (mut client, mut sent) = (Client::new(daemon.address)?, 0);
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= range.end {
                            return Ok(sent);
                        }
                        for (session, event, properties) in kind.requests(number, count) {
                            client.send(&session, event, &properties)?;
                            sent += 1;
                        }
                    }
                })
            })
            .collect();
        let sent = clients.into_iter().map(|client| client.join().map_err(|_| "a client panicked")?);
        sent.sum::<Result<usize>>()
    })
}

/// A keep-alive connection that waits for each answer.
struct Client {
    stream: TcpStream,
    address: SocketAddr,
}

impl Client {
    fn new(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        Ok(Self { stream, address })
    }

    fn send(&mut self, session: &str, event: &str, properties: &str) -> Result<()> {
        let body = format!(
            r#"{{"source":{{"id":"{SOURCE}"}},"session":{{"id":"{session}"}},"events":[{{"type":"{event}","properties":{properties}}}]}}"#
        );
        let head = format!(
            "POST /track HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        self.stream.write_all(format!("{head}{body}").as_bytes())?;
        let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            let length = self.stream.read(&mut buffer)?;
            answer.extend_from_slice(&buffer[..length]);
            let text = String::from_utf8_lossy(&answer);
            if length == 0 {
                return Err(format!("the daemon closed the connection: {text}").into());
            }
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let mut fields = head.lines().filter_map(|line| line.split_once(": "));
            let length = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
            let length: usize = length.ok_or("an answer without a length")?.1.parse()?;
            if body.len() >= length {
                return if head.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(text.into_owned().into()) };
            }
        }
    }
}
