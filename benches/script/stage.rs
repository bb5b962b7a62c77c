//! Where visits happen: a site with the pages, and, of another origin, what the scripts come from and send to.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
};

use super::{
    candidate::Candidate,
    traffic::{Exchange, Traffic},
};
use crate::support::site::{Sent, serve, site};

/// How many pages a visit has. The one before them, number 0, holds no script: it leads to them.
pub const PAGES: usize = 5;
/// What scripts are answered with, but for their length: as the daemon does with its own.
const SCRIPT_HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/javascript; charset=utf-8\r\nContent-Encoding: gzip\r\n\
     Cache-Control: public, max-age=3600\r\nAccess-Control-Allow-Origin: *\r\nConnection: close\r\n";
const EMPTY: &str =
    "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

pub struct Stage {
    port: String,
    pub traffic: Arc<Traffic>,
}

impl Stage {
    pub fn set(daemon: &str, candidates: &[Candidate]) -> Self {
        let traffic = Arc::new(Traffic::new());
        let scripts: Vec<(String, Vec<u8>)> =
            candidates.iter().map(|one| (format!("/scripts/{}/", one.name), one.compressed())).collect();
        let (daemon, counted) = (daemon.to_owned(), traffic.clone());
        let way = serve(move |sent, mut socket| {
            counted.begin();
            let path = sent.path();
            let script = scripts.iter().find(|(prefix, _)| path.starts_with(prefix)).map(|(_, script)| script);
            let answer = match script {
                Some(script) => {
                    [format!("{SCRIPT_HEAD}Content-Length: {}\r\n\r\n", script.len()).as_bytes(), script].concat()
                }
                None if path == "/api/event" => EMPTY.into(),
                None => ask(&daemon, &sent).unwrap_or_default(),
            };
            _ = socket.write_all(&answer);
            let status = answer.get(9..12).and_then(|status| str::from_utf8(status).ok()?.parse().ok());
            let bytes = sent.head.len() + sent.body.len() + answer.len();
            counted.end(Exchange { path, status: status.unwrap_or(0), bytes });
        });
        let pages: Vec<(String, String)> =
            candidates.iter().map(|one| (one.name.clone(), one.snippet.replace("DAEMON", &way))).collect();
        let counted = traffic.clone();
        let address = site(move |path| {
            counted.page();
            let (place, number) = path.trim_start_matches('/').split_once('/').unwrap_or_default();
            let place: usize = place.parse().unwrap_or_default();
            page(place, number.parse().unwrap_or_default(), &pages[place].1)
        });
        let port = address.rsplit(':').next().expect("an address has a port").to_owned();
        Self { port, traffic }
    }

    /// The page before the first one that has the script at `place` among the candidates. Each visit is to a site of its
    /// own, so nothing that a browser keeps (storage, scripts, what it was allowed to send) is there of others. Its name
    /// is none of the local ones, where a script might be silent.
    pub fn door(&self, visit: usize, place: usize) -> String {
        format!("http://visit-{visit}.localhost:{}/{place}/0", self.port)
    }
}

/// A page of some text and a link to the next one; the first of them has no script.
fn page(place: usize, number: usize, snippet: &str) -> String {
    let text = "<p>Some text, as pages have it.\n".repeat(30);
    let snippet = if number == 0 { "" } else { snippet };
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>Page {number}</title></head>\n<body>\n\
         <h1>Page {number}</h1>\n<a href=\"/{place}/{}\">The next one</a>\n{text}{snippet}</body>\n</html>\n",
        number + 1
    )
}

/// What the daemon answers.
fn ask(daemon: &str, sent: &Sent) -> std::io::Result<Vec<u8>> {
    let mut daemon = TcpStream::connect(daemon)?;
    let head = String::from_utf8_lossy(&sent.head).replace("Connection: keep-alive", "Connection: close");
    daemon.write_all(&[head.as_bytes(), &*sent.body].concat())?;
    let mut answer = Vec::new();
    daemon.read_to_end(&mut answer)?;
    Ok(answer)
}
