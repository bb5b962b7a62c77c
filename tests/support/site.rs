//! A web site whose pages are of another origin than the daemon, and a way to the daemon on which things get lost.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// A request as it came: its head and its body.
pub struct Sent {
    pub head: Vec<u8>,
    pub body: Vec<u8>,
}

impl Sent {
    pub fn line(&self) -> String {
        String::from_utf8_lossy(&self.head).lines().next().unwrap_or_default().to_owned()
    }

    /// The path and query that it asks for.
    pub fn path(&self) -> String {
        self.line().split(' ').nth(1).unwrap_or_default().to_owned()
    }
}

/// Takes each connection's one request; what `answer` writes is all that comes back. Its address.
pub fn serve(answer: impl Fn(Sent, TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let answer = answer.clone();
            thread::spawn(move || {
                if let Some(sent) = read(&socket) {
                    answer(sent, socket);
                }
            });
        }
    });
    address
}

fn read(socket: &TcpStream) -> Option<Sent> {
    let mut reader = BufReader::new(socket);
    let mut head = Vec::new();
    let mut length = 0;
    loop {
        let from = head.len();
        if reader.read_until(b'\n', &mut head).ok()? == 0 {
            return None;
        }
        let line = String::from_utf8_lossy(&head[from..]).to_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Sent { head, body })
}

/// A site whose pages are what `page` makes of their paths; its address.
pub fn site(page: impl Fn(&str) -> String + Send + Sync + 'static) -> String {
    serve(move |sent, mut socket| {
        let (text, kind) = match sent.path().as_str() {
            "/favicon.ico" => (String::new(), "image/x-icon"),
            path => (page(path), "text/html; charset=utf-8"),
        };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n", text.len());
        _ = socket.write_all(format!("{head}Cache-Control: no-store\r\nConnection: close\r\n\r\n{text}").as_bytes());
    })
}

/// What becomes of a request to the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Answered,
    /// The daemon takes it, and nobody hears of it.
    AnswerLost,
    /// It never arrives.
    Lost,
    /// It is answered with this status and does not arrive.
    Refused(u16),
}

/// A way to the daemon at `to`, on which `fate` decides over each request, of which it is told how many were before.
pub fn way(to: &str, fate: impl Fn(usize, &Sent) -> Fate + Send + Sync + 'static) -> String {
    let (to, count) = (to.to_owned(), AtomicUsize::new(0));
    serve(move |sent, mut socket| {
        let fate = fate(count.fetch_add(1, Ordering::Relaxed), &sent);
        if let Fate::Refused(status) = fate {
            let head = format!("HTTP/1.1 {status} X\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 2\r\n");
            _ = socket.write_all(format!("{head}Connection: close\r\n\r\n{{}}").as_bytes());
        }
        if matches!(fate, Fate::Lost | Fate::Refused(_)) {
            return;
        }
        let Ok(mut daemon) = TcpStream::connect(&to) else { return };
        let head = String::from_utf8_lossy(&sent.head).replace("Connection: keep-alive", "Connection: close");
        let mut answer = Vec::new();
        if daemon.write_all(&[head.as_bytes(), &*sent.body].concat()).is_ok()
            && daemon.read_to_end(&mut answer).is_ok()
            && fate == Fate::Answered
        {
            _ = socket.write_all(&answer);
        }
    })
}
