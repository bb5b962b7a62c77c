//! Media types, encodings, statuses, the order of checks, paths and limits (docs/contract.md, section 2).

mod support;

use std::io::{Read, Write};

use serde_json::json;
use support::{
    Daemon, Setup,
    daemon::{Response, started},
};

const BODY: &str = r#"{"source":{"id":"shop"},"session":{"id":"s1"},"events":[{"type":"page-view"}]}"#;

fn track(daemon: &Daemon, headers: &[(&str, &str)], body: &[u8]) -> Response {
    daemon.request("POST", "/track", headers, body)
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn json_comes_under_many_names() {
    let (_folder, daemon) = started();
    for media in [
        "application/json",
        "Application/JSON; charset=UTF-8",
        "application/ld+json",
        "text/plain;charset=UTF-8",
        "text/json",
    ] {
        assert_eq!(track(&daemon, &[("Content-Type", media)], BODY.as_bytes()).status, 200, "{media}");
    }
    assert_eq!(track(&daemon, &[], BODY.as_bytes()).status, 200);
    for media in ["text/html", "application/x-www-form-urlencoded", "application/json; charset=iso-8859-1", "json"] {
        let response = track(&daemon, &[("Content-Type", media)], BODY.as_bytes());
        assert_eq!(response.status, 415, "{media}");
        assert!(response.json()["detail"].is_string());
    }
}

#[test]
fn bodies_may_be_gzip_and_zstd() {
    let (_folder, daemon) = started();
    let (first, second) = BODY.as_bytes().split_at(20);
    let members = [gzip(first), gzip(second)].concat();
    let zstd = zstd::encode_all(BODY.as_bytes(), 3).unwrap();
    for (encoding, body) in [("gzip", &gzip(BODY.as_bytes())), ("X-GZIP", &members), ("zstd", &zstd)] {
        assert_eq!(track(&daemon, &[("Content-Encoding", encoding)], body).status, 200, "{encoding}");
    }
    for (encoding, body) in [
        ("gzip", &zstd[..]),
        ("zstd", BODY.as_bytes()),
        ("gzip", &members[..members.len() - 3]),
        ("zstd", &zstd[..zstd.len() - 1]),
    ] {
        let response = track(&daemon, &[("Content-Encoding", encoding)], body);
        assert_eq!(response.status, 422, "{encoding}: {}", response.text());
    }
    for encoding in ["br", "gzip, zstd"] {
        let response = track(&daemon, &[("Content-Encoding", encoding)], BODY.as_bytes());
        assert_eq!((response.status, response.header("accept-encoding")), (415, Some("gzip, zstd")));
    }
}

#[test]
fn the_body_limit_counts_decoded_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).set("server.max_body_bytes", 2_000).start();
    daemon.shop();
    let padded = |bytes: usize| format!("{BODY}{}", " ".repeat(bytes - BODY.len()));
    assert_eq!(track(&daemon, &[], padded(2_000).as_bytes()).status, 200);
    assert_eq!(track(&daemon, &[], padded(2_001).as_bytes()).status, 413);
    let bomb = gzip(padded(50_000_000).as_bytes());
    assert!(bomb.len() < 60_000);
    assert_eq!(track(&daemon, &[("Content-Encoding", "gzip")], &bomb).status, 413);
    assert_eq!(track(&daemon, &[("Content-Encoding", "gzip")], &gzip(padded(2_000).as_bytes())).status, 200);
    // At once, without 100 Continue.
    let mut socket = daemon.connect().unwrap();
    write!(socket, "POST /track HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\nExpect: 100-continue\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    // Chunked, so that nothing says beforehand how long it is.
    let mut chunked = b"POST /track HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    (0..30).for_each(|_| chunked.extend_from_slice(format!("64\r\n{}\r\n", " ".repeat(100)).as_bytes()));
    assert_eq!(daemon.raw(&chunked).status, 413);
    // In pieces of a byte each.
    let tiny = |body: &str| {
        let pieces: String = body.chars().map(|byte| format!("1;x\r\n{byte}\r\n")).collect();
        format!("POST /track HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{pieces}0\r\n\r\n")
    };
    assert_eq!(daemon.raw(tiny(&padded(2_000)).as_bytes()).status, 200);
    assert_eq!(daemon.raw(tiny(&padded(2_001)).as_bytes()).status, 413);
}

#[test]
fn unknown_paths_and_methods_are_told() {
    let (_folder, daemon) = started();
    for path in ["/", "/tracks", "/track/x", "/collect", "/collect/a", "/event", "/event-sources/type/x"] {
        let response = daemon.get(path);
        assert_eq!((response.status, response.json()), (404, json!({"detail": "Not found."})), "{path}");
    }
    for (method, path, allow) in [
        ("GET", "/track", "POST"),
        ("DELETE", "/collect/a/shop", "GET, HEAD, POST"),
        ("POST", "/event/x", "GET, HEAD, DELETE"),
        ("PUT", "/event-source", "POST"),
        ("POST", "/health", "GET, HEAD"),
    ] {
        let response = daemon.request(method, path, &[], b"");
        assert_eq!((response.status, response.header("allow")), (405, Some(allow)), "{method} {path}");
    }
    assert_eq!(daemon.request("POST", "/track/", &[], BODY.as_bytes()).status, 200, "one trailing slash is ignored");
    assert_eq!(daemon.get("/health/").status, 200);
}

#[test]
fn checks_are_made_in_order() {
    let (_folder, daemon) = started();
    let unknown_source = BODY.replace("shop", "nobody");
    let statuses = [
        daemon.request("GET", "/track", &[("Content-Type", "text/html")], b"").status,
        track(&daemon, &[("Content-Type", "text/html")], &vec![b' '; 2_000_000]).status,
        track(&daemon, &[], &vec![b' '; 2_000_000]).status,
        track(&daemon, &[], unknown_source.replace("page-view", "").as_bytes()).status,
        track(&daemon, &[], unknown_source.as_bytes()).status,
    ];
    assert_eq!(statuses, [405, 415, 413, 422, 401]);
}

#[test]
fn heads_have_limits() {
    let (_folder, daemon) = started();
    let long = "x".repeat(9_000);
    let response = daemon.get(&format!("/collect/a/shop?a={long}"));
    assert_eq!(response.status, 414, "{}", response.text());
    let headers: Vec<(String, String)> = (0..120).map(|number| (format!("X-{number}"), "y".into())).collect();
    let many: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(daemon.request("GET", "/health", &many, b"").status, 431);
    let large = "z".repeat(40_000);
    assert_eq!(daemon.request("GET", "/health", &[("X-Large", &large)], b"").status, 431);
}

#[test]
fn what_http_does_not_know_is_refused() {
    let (_folder, daemon) = started();
    assert_eq!(track(&daemon, &[("Expect", "banana")], BODY.as_bytes()).status, 417);
    let coded = "POST /track HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(daemon.raw(coded.as_bytes()).status, 400);
    assert_eq!(daemon.raw(b"NONSENSE\r\n\r\n").status, 400);
}

#[test]
fn slow_clients_are_told_408_and_closed() {
    let folder = tempfile::tempdir().unwrap();
    let times = ["header_timeout_ms", "body_timeout_ms", "read_timeout_ms", "idle_timeout_ms"];
    let setup = times.iter().fold(Setup::new(folder.path()), |setup, key| setup.set(&format!("server.{key}"), 200));
    let daemon = setup.start();
    let ends = |sent: &[u8]| {
        let mut socket = daemon.connect().unwrap();
        socket.write_all(sent).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap(); // ends when the daemon closes
        answer
    };
    for sent in ["", "POST /track HTTP/1.1\r\nHost:", "POST /track HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"]
    {
        let answer = ends(sent.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("detail"), "{sent:?}: {answer:?}");
    }
    let daemon = daemon.stop().set("server.header_timeout_ms", 3_600_000).start();
    let mut kept = daemon.connect().unwrap();
    kept.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = String::new();
    kept.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "idle from the answer on: {answer}");
}

#[test]
fn a_request_is_finished_even_if_the_client_goes_away() {
    let (_folder, daemon) = started();
    let sessions: Vec<String> = (0..100).map(|number| format!("gone-{number}")).collect();
    for session in &sessions {
        let body = BODY.replace("s1", session);
        let mut socket = daemon.connect().unwrap();
        // In one write: often the daemon sees the client's end together with the request.
        let request = format!("POST /track HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        socket.write_all(request.as_bytes()).unwrap();
        drop(socket);
    }
    for session in &sessions {
        let path = format!("/session/{session}");
        support::daemon::wait_for(&path, || (daemon.admin("GET", &path).status == 200).then_some(()));
    }
}

#[test]
fn bodies_have_a_limit_together() {
    let folder = tempfile::tempdir().unwrap();
    let limits = [("server.max_body_bytes", 200_000), ("server.max_bodies_bytes", 400_000)];
    let daemon = limits.iter().fold(Setup::new(folder.path()), |setup, (key, bytes)| setup.set(key, bytes)).start();
    daemon.shop();
    let large = format!("{BODY}{}", " ".repeat(100_000));
    assert_eq!(track(&daemon, &[], large.as_bytes()).status, 200);
    let slow: Vec<_> = (0..2)
        .map(|_| {
            let mut socket = daemon.connect().unwrap();
            write!(socket, "POST /track HTTP/1.1\r\nHost: x\r\nContent-Length: 150000\r\n\r\n").unwrap();
            socket.write_all(&[b' '; 140_000]).unwrap();
            socket
        })
        .collect();
    let refused = support::daemon::wait_for("the bodies to fill the room", || {
        Some(track(&daemon, &[], large.as_bytes())).filter(|response| response.status == 503)
    });
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(track(&daemon, &[], BODY.as_bytes()).status, 200, "small ones go on");
    drop(slow);
    support::daemon::wait_for("room", || (track(&daemon, &[], large.as_bytes()).status == 200).then_some(()));
}
