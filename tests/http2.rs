//! HTTP/2 over TLS: what holds over HTTP/1 holds for each of several requests at a time.

mod support;

use std::{
    io::{Read, Write},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use support::{
    Daemon, Setup,
    daemon::{TOKEN, signal, wait_for},
    external::Slow,
    tls::{self, Stream, curl},
};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// A client that says what it is told to, and nothing more.
struct Client(Stream);

#[derive(Debug)]
struct Frame {
    kind: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Client {
    /// A connection whose client takes so many bytes of each answer before it says so.
    fn connect(daemon: &Daemon, window: u32) -> Self {
        let mut client = Self(tls::connect(daemon, &["h2", "http/1.1"]).unwrap());
        assert_eq!(client.0.conn.alpn_protocol(), Some(&b"h2"[..]));
        client.0.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        client.send(SETTINGS, 0, 0, &[&[0, 4][..], &window.to_be_bytes()].concat());
        client
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = (payload.len() as u32).to_be_bytes();
        let frame = [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat();
        self.0.write_all(&frame).unwrap();
    }

    /// A request's head, as the administrator. `method` is the static table's: 2 is GET, 3 is POST.
    fn ask(&mut self, stream: u32, method: u8, path: &str, flags: u8) {
        let token = format!("Bearer {TOKEN}");
        // Literals without indexing: of :path (4), :authority (1), authorization (23).
        let mut head = vec![0x80 | method, 0x87];
        for (name, value) in [(&[4][..], path), (&[1], "localhost"), (&[15, 8], &token)] {
            head.extend_from_slice(name);
            head.push(value.len() as u8);
            head.extend_from_slice(value.as_bytes());
        }
        self.send(HEADERS, flags | END_HEADERS, stream, &head);
    }

    /// The next frame; none at the end of the connection.
    fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).ok()?;
        let frame = Frame { kind: head[3], stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload };
        if frame.kind == SETTINGS && head[4] & ACK == 0 {
            self.send(SETTINGS, ACK, 0, &[]);
        }
        Some(frame)
    }

    /// Reads until such a frame comes.
    fn wait_for(&mut self, kind: u8, stream: u32) -> Frame {
        std::iter::from_fn(|| self.next())
            .find(|frame| (frame.kind, frame.stream) == (kind, stream))
            .expect("the frame comes before the end")
    }
}

fn started(set_up: impl FnOnce(Setup) -> Setup) -> (tempfile::TempDir, Daemon) {
    let folder = tempfile::tempdir().unwrap();
    let daemon = set_up(tls::setup(folder.path())).start();
    (folder, daemon)
}

fn url(daemon: &Daemon, path: &str) -> String {
    format!("https://{}{path}", daemon.address)
}

/// What curl prints of a call as the administrator.
fn admin(daemon: &Daemon, path: &str, more: &[&str]) -> String {
    curl(&[&["--http2", "-H", &format!("Authorization: Bearer {TOKEN}"), &*url(daemon, path)], more].concat())
}

fn shop(daemon: &Daemon) {
    let source = json!({"id": "shop", "name": "Shop", "type": ["rest", "webhook"]}).to_string();
    let saved = admin(daemon, "/event-source", &["-H", "Content-Type: application/json", "-d", &source]);
    assert!(saved.contains("shop"), "{saved}");
}

fn open_connections(daemon: &Daemon) -> u64 {
    let system: Value = serde_json::from_str(&admin(daemon, "/system", &[])).unwrap();
    system["http"]["connections"]["open"].as_u64().unwrap() - 1 // the one that asks
}

#[test]
fn requests_are_answered_as_over_http_1() {
    let (folder, daemon) = started(|setup| setup.set("track.ip", "full"));
    shop(&daemon);
    assert_eq!(curl(&["--http2", "-o", "/dev/null", "-w", "%{http_version}", &url(&daemon, "/health")]), "2");
    let body = json!({"source": {"id": "shop"}, "session": {"id": "s"}, "events": [{"id": "e", "type": "x"}]});
    let sent = ["--http2", "-H", "Content-Type: application/json", "-H", "Origin: https://a.example", "-i", "-d"];
    let answer = curl(&[&sent[..], &[&body.to_string(), &url(&daemon, "/track")]].concat());
    assert!(answer.starts_with("HTTP/2 200") && answer.contains("access-control-allow-origin"), "{answer}");
    let event: Value = serde_json::from_str(&admin(&daemon, "/event/e", &[])).unwrap();
    assert_eq!(event["event"]["request"]["ip"], "127.0.0.1");
    let head = curl(&["--http2", "-I", &url(&daemon, "/openapi.json")]);
    let document = curl(&["--http2", &url(&daemon, "/openapi.json")]);
    assert!(head.contains(&format!("content-length: {}", document.len())), "{head}");
    serde_json::from_str::<Value>(&document).unwrap();
    let large = format!("X-Large: {}", "x".repeat(40_000));
    let status = ["--http2", "-o", "/dev/null", "-w", "%{http_code}"];
    assert_eq!(curl(&[&status[..], &["-H", &large, &url(&daemon, "/health")]].concat()), "431");
    let file = folder.path().join("body");
    std::fs::write(&file, vec![b'x'; 3_000_000]).unwrap();
    let body = format!("@{}", file.display());
    let sent = ["-H", "Content-Type: application/json", "--data-binary", &body, &url(&daemon, "/track")];
    assert_eq!(curl(&[&status[..], &sent[..]].concat()), "413");
    // Who logs in names the host elsewhere than over HTTP/1.
    let origin = format!("Origin: {}", url(&daemon, ""));
    let form = format!("password={TOKEN}");
    let sent = ["--http2", "-i", "-H", &origin, "--data-urlencode", &form, &url(&daemon, "/console/log-in")];
    let answer = curl(&sent);
    assert!(answer.starts_with("HTTP/2 303") && answer.contains("; Secure"), "{answer}");
    let many: Vec<String> = (0..200).map(|number| url(&daemon, &format!("/health?{number}"))).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let answers = curl(&[&["--http2", "-Z", "--parallel-max", "50"], &many[..]].concat());
    assert_eq!(answers.matches("\"ok\"").count(), 200);
    daemon.stop();
}

#[test]
fn a_connection_that_rests_is_ended() {
    let (_folder, daemon) =
        started(|setup| setup.set("server.idle_timeout_ms", 300).set("server.header_timeout_ms", 700));
    let mut client = Client::connect(&daemon, 65_535);
    client.ask(1, 2, "/health", END_STREAM);
    client.wait_for(DATA, 1);
    client.wait_for(GOAWAY, 0);
    // It does not answer what else is asked of it, and is left.
    while client.next().is_some() {}
    // So is who says nothing at all, and who does not come to the end of a head.
    let mut silent = tls::connect(&daemon, &["h2"]).unwrap();
    _ = silent.read_to_end(&mut Vec::new());
    let mut trickling = Client::connect(&daemon, 65_535);
    trickling.send(HEADERS, END_STREAM, 1, &[0x82, 0x87]);
    while trickling.next().is_some() {}
}

#[test]
fn a_slow_body_is_told_408_and_the_connection_goes_on() {
    let (_folder, daemon) = started(|setup| setup.set("server.read_timeout_ms", 300));
    let mut client = Client::connect(&daemon, 65_535);
    client.ask(1, 3, "/track", 0);
    client.send(DATA, 0, 1, b"{");
    let told = client.wait_for(DATA, 1);
    assert!(String::from_utf8_lossy(&told.payload).contains("took too long"), "{told:?}");
    client.ask(3, 2, "/health", END_STREAM);
    assert!(String::from_utf8_lossy(&client.wait_for(DATA, 3).payload).contains("ok"));
}

#[test]
fn an_answer_that_its_client_does_not_take_is_cut_off_alone() {
    let (_folder, daemon) = started(|setup| setup.set("server.idle_timeout_ms", 1_000));
    let mut client = Client::connect(&daemon, 0);
    client.ask(1, 2, "/openapi.json", END_STREAM);
    client.wait_for(HEADERS, 1);
    // Others go on meanwhile.
    let begun = Instant::now();
    for stream in (3..).step_by(2).take_while(|_| begun.elapsed().as_millis() < 500) {
        client.ask(stream, 2, "/console/log-out", END_STREAM); // without a body
        client.wait_for(HEADERS, stream);
    }
    client.wait_for(RST_STREAM, 1);
    client.wait_for(GOAWAY, 0);
}

#[test]
fn a_slow_client_gets_the_whole_answer() {
    const WINDOW: u32 = 8 * 1024;
    let (_folder, daemon) = started(|setup| setup.set("server.idle_timeout_ms", 400));
    let document = curl(&["--http2", &url(&daemon, "/openapi.json")]);
    let mut client = Client::connect(&daemon, WINDOW);
    client.ask(1, 2, "/openapi.json", END_STREAM);
    let (begun, mut got, mut untold) = (Instant::now(), Vec::new(), 0);
    while got.len() < document.len() {
        let piece = client.wait_for(DATA, 1).payload;
        untold += piece.len() as u32;
        got.extend_from_slice(&piece);
        if untold >= WINDOW / 2 {
            std::thread::sleep(Duration::from_millis(20)); // this client is slow
            for stream in [0, 1] {
                client.send(WINDOW_UPDATE, 0, stream, &untold.to_be_bytes());
            }
            untold = 0;
        }
    }
    assert!(got == document.as_bytes());
    assert!(begun.elapsed().as_millis() > 800, "it took several idle timeouts: {:?}", begun.elapsed());
}

/// A daemon whose events of the type `slow` wait for that system.
fn waiting_for(slow: &Slow, set_up: impl FnOnce(Setup) -> Setup) -> (tempfile::TempDir, Daemon) {
    let (folder, daemon) = started(|setup| set_up(setup.set("lookup.allowed_hosts", "127.0.0.1")));
    shop(&daemon);
    let workflow = slow.workflow().to_string();
    let saved = admin(&daemon, "/workflow", &["-H", "Content-Type: application/json", "-d", &workflow]);
    assert!(saved.contains("slow"), "{saved}");
    (folder, daemon)
}

fn send_slow(client: &mut Client, stream: u32, session: &str) {
    client.ask(stream, 3, "/track", 0);
    let body = json!({"source": {"id": "shop"}, "session": {"id": session}, "events": [{"type": "slow"}]}).to_string();
    client.send(DATA, END_STREAM, stream, body.as_bytes());
}

#[test]
fn requests_are_finished_whose_client_gave_them_up() {
    let slow = Slow::start();
    let (_folder, daemon) = waiting_for(&slow, |setup| setup);
    let mut client = Client::connect(&daemon, 65_535);
    for (number, session) in ["a", "b", "c"].iter().enumerate() {
        send_slow(&mut client, 2 * number as u32 + 1, session);
        wait_for("the lookup", || (slow.asked() == number + 1).then_some(()));
    }
    client.send(RST_STREAM, 0, 1, &8_u32.to_be_bytes());
    client.ask(7, 2, "/health", END_STREAM); // answered behind it
    client.wait_for(DATA, 7);
    drop(client); // the others are given up with the connection, which holds its place meanwhile
    assert_eq!(open_connections(&daemon), 1);
    signal(daemon.pid(), "TERM");
    wait_for("the end to begin", || daemon.stderr().contains("ending").then_some(()));
    slow.answer();
    let daemon = daemon.wait_ended().start();
    for session in ["a", "b", "c"] {
        let stored = admin(&daemon, &format!("/session/{session}"), &["-o", "/dev/null", "-w", "%{http_code}"]);
        assert_eq!(stored, "200", "{session}");
    }
}

#[test]
fn a_place_is_given_up_by_a_connection_that_rests_and_by_no_other() {
    let slow = Slow::start();
    let (_folder, daemon) = waiting_for(&slow, |setup| setup.set("server.max_connections", 3));
    let (mut busy, mut resting) = (Client::connect(&daemon, 65_535), Client::connect(&daemon, 65_535));
    send_slow(&mut busy, 1, "s");
    wait_for("the lookup", || (slow.asked() == 1).then_some(()));
    resting.ask(1, 2, "/health", END_STREAM);
    resting.wait_for(DATA, 1);
    let _others: Vec<_> = (0..2)
        .map(|_| {
            let mut kept = wait_for("a place", || tls::connect(&daemon, &["http/1.1"]).ok());
            assert!(tls::ask(&mut kept, "/health").unwrap().starts_with("HTTP/1.1 200"));
            kept
        })
        .collect();
    resting.wait_for(GOAWAY, 0);
    while resting.next().is_some() {}
    slow.answer();
    busy.wait_for(DATA, 1);
}

#[test]
fn streams_without_end_are_followed_and_end_with_the_daemon() {
    let (_folder, daemon) = started(|setup| setup);
    shop(&daemon);
    let mut following = Command::new("curl")
        .args(["-skN", "--http2", "-H", &format!("Authorization: Bearer {TOKEN}"), &url(&daemon, "/events/live")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut unread = Client::connect(&daemon, 0);
    unread.ask(1, 2, "/events/live", END_STREAM);
    unread.wait_for(HEADERS, 1);
    let readers = || {
        let system: Value = serde_json::from_str(&admin(&daemon, "/system", &[])).unwrap();
        (system["http"]["live_readers"] == 2).then_some(())
    };
    wait_for("both to follow", readers);
    let body = json!({"source": {"id": "shop"}, "session": {"id": "s"}, "events": [{"id": "seen", "type": "x"}]});
    admin(&daemon, "/track", &["-H", "Content-Type: application/json", "-d", &body.to_string()]);
    let mut out = following.stdout.take().unwrap();
    let mut read = String::new();
    while !read.contains("\"seen\"") {
        let mut piece = [0; 1024];
        let count = out.read(&mut piece).unwrap();
        assert!(count > 0, "{read}");
        read += &String::from_utf8_lossy(&piece[..count]);
    }
    let begun = Instant::now();
    daemon.stop();
    assert!(begun.elapsed().as_secs() < 4, "who does not take it is not waited for: {:?}", begun.elapsed());
    following.wait().unwrap();
}
