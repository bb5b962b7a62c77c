//! A small HTTP service that stands for somebody else's system.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::{Value, json};

use super::{Daemon, Setup, daemon::wait_for};

/// What was asked: request line, headers in lower case, body.
#[derive(Clone, Debug)]
pub struct Asked {
    pub line: String,
    pub headers: Vec<String>,
    pub body: String,
}

pub struct External {
    pub address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl External {
    /// Answers each request with what `answer` makes of it: a status and a JSON body, or a redirect's target.
    pub fn start(answer: impl Fn(&Asked) -> (u16, String) + Send + Sync + 'static) -> Self {
        let head =
            |status: u16, text: &str| if status == 302 { format!("Location: {text}\r\n") } else { String::new() };
        Self::start_with(move |asked| {
            let (status, text) = answer(asked);
            (status, head(status, &text), text)
        })
    }

    /// As [`External::start`], with lines of the head between status and body. With the status 0 the connection is closed
    /// without an answer.
    pub fn start_with(answer: impl Fn(&Asked) -> (u16, String, String) + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0", answer)
    }

    /// As [`External::start_with`], at this address.
    pub fn start_at(address: &str, answer: impl Fn(&Asked) -> (u16, String, String) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, known) = (Arc::new(answer), asked.clone());
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let (answer, known) = (answer.clone(), known.clone());
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(&socket);
                    let mut lines = Vec::new();
                    loop {
                        let mut line = String::new();
                        if reader.read_line(&mut line).unwrap_or(0) == 0 || line.trim().is_empty() {
                            break;
                        }
                        lines.push(line.trim().to_owned());
                    }
                    let Some((line, headers)) = lines.split_first() else { return };
                    let headers: Vec<String> = headers.iter().map(|header| header.to_lowercase()).collect();
                    let length =
                        headers.iter().find_map(|header| header.strip_prefix("content-length: ")?.parse().ok());
                    let mut body = vec![0; length.unwrap_or(0)];
                    _ = reader.read_exact(&mut body);
                    let body = String::from_utf8_lossy(&body).into_owned();
                    let one = Asked { line: line.clone(), headers, body };
                    let (status, lines, text) = answer(&one);
                    known.lock().unwrap().push(one);
                    if status == 0 {
                        return;
                    }
                    let head = format!("HTTP/1.1 {status} X\r\n{lines}Content-Length: {}\r\n", text.len());
                    _ = (&socket).write_all(format!("{head}Connection: close\r\n\r\n{text}").as_bytes());
                });
            }
        });
        Self { address, asked }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

/// A system that answers no lookup before it is told to.
pub struct Slow {
    external: External,
    asked: Arc<AtomicUsize>,
    open: Arc<(Mutex<bool>, Condvar)>,
}

impl Slow {
    pub fn start() -> Self {
        let (asked, open) = (Arc::new(AtomicUsize::new(0)), Arc::new((Mutex::new(false), Condvar::new())));
        let external = External::start({
            let (asked, open) = (asked.clone(), open.clone());
            move |_| {
                asked.fetch_add(1, Ordering::SeqCst);
                drop(open.1.wait_while(open.0.lock().unwrap(), |open| !*open).unwrap());
                (200, "{}".into())
            }
        });
        Self { external, asked, open }
    }

    /// How many lookups came.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// A workflow in which events of the type `slow` wait for this system.
    pub fn workflow(&self) -> Value {
        let lookup = json!({"url": format!("http://{}/", self.external.address), "timeout_ms": 10_000});
        json!({"id": "slow", "on": ["slow"], "step": [{"lookup": lookup, "id": "asked"}]})
    }

    /// A daemon whose events of the type `slow` wait for this system.
    pub fn daemon(&self, setup: Setup) -> Daemon {
        let daemon = setup.set("lookup.allowed_hosts", "127.0.0.1").start();
        daemon.shop();
        assert_eq!(daemon.post_admin("/workflow", &self.workflow()).status, 200);
        daemon
    }

    /// Sends a whole request and goes away once it has led to a lookup, the `count`th.
    pub fn send_and_leave(&self, daemon: &Daemon, request: &[u8], count: usize) {
        wait_for("a place", || {
            let mut socket = daemon.connect().unwrap();
            socket.write_all(request).unwrap();
            socket.set_nonblocking(true).unwrap();
            wait_for("the lookup or a refusal", || {
                let taken = self.asked.load(Ordering::SeqCst) == count;
                (taken || socket.read(&mut [0; 1024]).is_ok()).then_some(taken)
            })
            .then_some(())
        });
    }

    pub fn answer(&self) {
        *self.open.0.lock().unwrap() = true;
        self.open.1.notify_all();
    }
}
