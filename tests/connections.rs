//! Connections: how many there may be, whose place a new one gets, and that each client can read its answer.

mod support;

use std::{
    io::{ErrorKind, Read, Write},
    net::{IpAddr, Shutdown, SocketAddr, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use serde_json::json;
use support::{
    Daemon, Setup,
    daemon::{read_answer, started, wait_for},
    external::Slow,
};

/// A request to /track for a session, whole, whose event is of the type `slow`.
fn slow_request(session: &str, padding: usize) -> Vec<u8> {
    let body =
        json!({"source": {"id": "shop"}, "session": {"id": session}, "context": {"padding": "x".repeat(padding)},
        "events": [{"type": "slow"}]})
        .to_string();
    format!("POST /track HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A connection over which a request was answered, and that is kept.
fn resting(daemon: &Daemon) -> TcpStream {
    wait_for("a place", || {
        let mut socket = daemon.connect().unwrap();
        socket.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut answer = [0; 1024];
        socket.read(&mut answer).ok().filter(|_| answer.starts_with(b"HTTP/1.1 200"))?;
        Some(socket)
    })
}

/// A connection with a request whose body is under way for as long as the socket is kept.
fn busy(daemon: &Daemon) -> TcpStream {
    wait_for("a place", || {
        let mut socket = daemon.connect().unwrap();
        let head = b"POST /track HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n";
        socket.write_all(head).unwrap();
        let mut answer = [0; 25];
        socket.read_exact(&mut answer).ok().filter(|()| answer.starts_with(b"HTTP/1.1 100"))?;
        Some(socket)
    })
}

/// Whether the daemon has closed the connection.
fn is_closed(socket: &TcpStream) -> bool {
    socket.set_nonblocking(true).unwrap();
    let closed = !matches!((&*socket).read(&mut [0; 1024]), Err(error) if error.kind() == ErrorKind::WouldBlock);
    socket.set_nonblocking(false).unwrap();
    closed
}

#[test]
fn clients_that_went_away_hold_their_places_until_they_are_served() {
    let slow = Slow::start();
    let folder = tempfile::tempdir().unwrap();
    let daemon = slow.daemon(Setup::new(folder.path()).set("server.max_connections", 5));
    for number in 0..5 {
        slow.send_and_leave(&daemon, &slow_request(&format!("taken-{number}"), 0), number + 1);
    }
    for number in 0..10 {
        let _ = daemon.connect().unwrap().write_all(&slow_request(&format!("refused-{number}"), 0));
        assert_eq!(daemon.get("/health").status, 503);
    }
    assert_eq!(slow.asked(), 5);
    slow.answer();
    for number in 0..5 {
        let path = format!("/session/taken-{number}");
        wait_for(&path, || (daemon.admin("GET", &path).status == 200).then_some(()));
    }
    assert_eq!(daemon.admin("GET", "/session/refused-0").status, 404);
}

#[test]
fn the_end_waits_for_requests_whose_clients_went_away() {
    let slow = Slow::start();
    let folder = tempfile::tempdir().unwrap();
    let daemon = slow.daemon(Setup::new(folder.path()));
    slow.send_and_leave(&daemon, &slow_request("gone", 0), 1);
    support::daemon::signal(daemon.pid(), "TERM");
    wait_for("the end to begin", || daemon.stderr().contains("ending").then_some(()));
    slow.answer();
    let daemon = daemon.wait_ended().start();
    assert_eq!(daemon.admin("GET", "/session/gone").status, 200);
}

#[test]
fn bodies_in_one_piece_count_too() {
    let slow = Slow::start();
    let folder = tempfile::tempdir().unwrap();
    let limits = [("server.max_body_bytes", 20_000), ("server.max_bodies_bytes", 40_000)];
    let daemon =
        slow.daemon(limits.iter().fold(Setup::new(folder.path()), |setup, (key, bytes)| setup.set(key, bytes)));
    for number in 0..2 {
        slow.send_and_leave(&daemon, &slow_request(&format!("kept-{number}"), 4_000), number + 1);
    }
    let refused = daemon.raw(&slow_request("refused", 4_000));
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{}", refused.text());
    assert_eq!(daemon.track(&json!({"source": {"id": "shop"}, "session": {"id": "s"}, "events": []})).status, 200);
    slow.answer();
    wait_for("room", || (daemon.raw(&slow_request("later", 4_000)).status == 200).then_some(()));
}

#[test]
fn who_says_that_a_request_is_the_last_is_answered() {
    let (_folder, daemon) = started();
    let mut socket = daemon.connect().unwrap();
    socket.write_all(&slow_request("s1", 0)).unwrap();
    socket.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer:?}");
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let (_folder, daemon) = started();
    let mut socket = daemon.connect().unwrap();
    let request =
        "POST /track HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}GET /tracks HTTP/1.1\r\nHost: x\r\n\r\n";
    let requests = request.repeat(200);
    let (first, second) = requests.split_at(requests.len() / 2 + 7);
    socket.write_all(first.as_bytes()).unwrap();
    socket.write_all(second.as_bytes()).unwrap();
    socket.shutdown(Shutdown::Write).unwrap();
    let mut answers = String::new();
    socket.read_to_string(&mut answers).unwrap();
    let statuses: Vec<&str> = answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert!(statuses == ["422", "404"].repeat(200), "{} answers: {statuses:?}", statuses.len());
}

/// A daemon with an answer of some megabytes, at `/event-types`.
fn with_a_large_answer(setup: Setup) -> Daemon {
    let daemon = setup.start();
    for number in 0..6 {
        let schema = json!({"properties": {"type": "object", "description": "x".repeat(900_000)}});
        let kind = json!({"id": format!("type-{number}"), "schema": schema});
        assert_eq!(daemon.post_admin("/event-type", &kind).status, 200);
    }
    daemon
}

/// Asks for it, over a connection whose system reads little ahead.
fn ask_for_a_large_answer(daemon: &Daemon) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(32 * 1024).unwrap();
    socket.connect(&daemon.address.parse::<SocketAddr>().unwrap().into()).unwrap();
    let mut socket = TcpStream::from(socket);
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let head =
        format!("GET /event-types HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n", support::daemon::TOKEN);
    socket.write_all(head.as_bytes()).unwrap();
    socket
}

#[test]
fn a_client_that_reads_slowly_gets_the_whole_answer() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = with_a_large_answer(Setup::new(folder.path()).set("server.idle_timeout_ms", 400));
    let mut socket = ask_for_a_large_answer(&daemon);
    let begun = Instant::now();
    let mut got = Vec::new();
    let mut piece = vec![0; 32 * 1024];
    let whole = loop {
        let count = socket.read(&mut piece).unwrap();
        assert!(count > 0, "cut after {} bytes and {:?}", got.len(), begun.elapsed());
        got.extend_from_slice(&piece[..count]);
        if let Some(head_len) = got.windows(4).take(1_000).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&got[..head_len]).to_lowercase();
            let length = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
            let whole = head_len + 4 + length.parse::<usize>().unwrap();
            if got.len() >= whole {
                break whole;
            }
        }
        std::thread::sleep(Duration::from_millis(10)); // this client is slow
    };
    assert!(begun.elapsed() > Duration::from_millis(1_200), "{:?}: it took several idle timeouts", begun.elapsed());
    assert!(got[..whole].ends_with(b"}]}"), "{}", String::from_utf8_lossy(&got[whole - 100..]));
    // The connection ends behind the answer, as any other that rests.
    socket.read_to_end(&mut got).unwrap();
    assert!(got[whole..].starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&got[whole..]));
}

#[test]
fn a_client_that_hardly_reads_its_answer_loses_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = with_a_large_answer(Setup::new(folder.path()).set("server.idle_timeout_ms", 400));
    let daemon = daemon.stop().set("server.max_connections", 1).start();
    let mut socket = wait_for("the only place", || {
        let mut socket = ask_for_a_large_answer(&daemon);
        socket.read_exact(&mut [0; 1_000]).ok()?;
        Some(socket)
    });
    wait_for("its place", || {
        _ = socket.read(&mut [0; 10]); // a little is no progress
        (daemon.get("/health").status == 200).then_some(())
    });
}

#[test]
fn a_refusal_can_be_read_by_who_sends_without_waiting() {
    let (_folder, daemon) = started();
    let large = vec![b'x'; 6_000_000];
    let chunk = [&b"ffff\r\n"[..], &[b'x'; 0xffff], b"\r\n"].concat();
    let chunked = [chunk.repeat(100), b"0\r\n\r\n".to_vec()].concat();
    let length = format!("Content-Length: {}", large.len());
    for (head, body, status) in [
        (format!("POST /track HTTP/1.1\r\n{length}"), &large, 413),
        ("POST /track HTTP/1.1\r\nTransfer-Encoding: chunked".into(), &chunked, 413),
        (format!("POST /track HTTP/1.1\r\nContent-Type: text/html\r\n{length}"), &large, 415),
        ("POST /track HTTP/1.1\r\nContent-Encoding: br\r\nTransfer-Encoding: chunked".into(), &chunked, 415),
        (format!("POST /tracks HTTP/1.1\r\n{length}"), &large, 404),
        (format!("PUT /track HTTP/1.1\r\n{length}"), &large, 405),
        (format!("POST /event-source HTTP/1.1\r\n{length}"), &large, 413),
        (format!("POST /track HTTP/1.1\r\nExpect: banana\r\n{length}"), &large, 417),
        (format!("GET /health HTTP/1.1\r\n{length}"), &large, 413),
        ("GET /health HTTP/1.1\r\nTransfer-Encoding: chunked".into(), &chunked, 200),
        ("NONSENSE".into(), &large, 400),
        (format!("GET /health HTTP/1.1\r\nX-Large: {}", "x".repeat(40_000)), &large, 431),
    ] {
        let what: String = head.chars().take(100).collect();
        let mut socket = daemon.connect().unwrap();
        socket.write_all(format!("{head}\r\nHost: x\r\n\r\n").as_bytes()).unwrap();
        socket.write_all(body).unwrap_or_else(|error| panic!("{what}: {error}"));
        let answer = read_answer(socket).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        assert_eq!(answer.header("connection").unwrap_or("close"), "close", "{what}");
    }
    // What is small does not cost the connection.
    let mut kept = daemon.kept().unwrap();
    for (path, status) in [("/tracks", 404), ("/health", 405), ("/track", 422)] {
        assert_eq!(kept.post(path, "{}").unwrap().status, status);
    }
}

#[test]
fn a_client_that_sends_for_ever_is_not_read_for_ever() {
    let (_folder, daemon) = started();
    let mut socket = daemon.connect().unwrap();
    socket.write_all(b"POST /track HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999\r\n\r\n").unwrap();
    let piece = vec![b'x'; 1 << 20];
    let sent = (0..1_000).take_while(|_| socket.write_all(&piece).is_ok()).count();
    assert!(sent < 100, "{sent} MiB");
}

#[test]
fn one_connection_too_many_is_told_503() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).set("server.max_connections", 3).start();
    let kept = [busy(&daemon), busy(&daemon), busy(&daemon)];
    let response = daemon.get("/health");
    assert_eq!((response.status, response.header("retry-after")), (503, Some("1")));
    wait_for("the log", || daemon.stderr().contains("server.max_connections allows").then_some(()));
    // Who sends without waiting reads it too.
    let mut socket = daemon.connect().unwrap();
    socket.write_all(b"POST /track HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n\r\n").unwrap();
    socket.write_all(&[b'x'; 500_000]).unwrap();
    assert_eq!(read_answer(socket).unwrap().status, 503);
    drop(kept);
    wait_for("a place", || (daemon.get("/health").status == 200).then_some(()));
}

#[test]
fn the_connection_that_rested_longest_leaves_for_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).set("server.max_connections", 4).start();
    let place = || wait_for("a place", || (daemon.get("/health").status == 200).then_some(()));
    let busy = busy(&daemon);
    let (mut slow_head, quiet, mut used) = (resting(&daemon), resting(&daemon), resting(&daemon));
    // Whoever sends a head a byte at a time does not hold a place better than who keeps still.
    slow_head.write_all(b"POST /track HT").unwrap();
    wait_for("the one that sends a head to leave", || {
        slow_head.write_all(b"T").ok();
        place();
        is_closed(&slow_head).then_some(())
    });
    used.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert!(used.read(&mut [0; 1024]).unwrap() > 0);
    let _new = resting(&daemon);
    wait_for("the one that kept still to leave", || {
        place();
        is_closed(&quiet).then_some(())
    });
    assert!(!is_closed(&used), "it was used since");
    assert!(!is_closed(&busy), "a request is under way");
}

#[test]
fn connections_leave_open_files_for_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).open_files(200).start();
    daemon.shop();
    wait_for("the log", || daemon.stderr().contains("server.max_connections is 150").then_some(()));
    let _idle: Vec<_> = (0..250).map(|_| daemon.connect().unwrap()).collect();
    for number in 0..20 {
        let body = json!({"source": {"id": "shop"}, "session": {"id": format!("s{number}")}, "events": []});
        wait_for("a place", || (daemon.track(&body).status == 200).then_some(()));
    }
    let daemon = daemon.restart();
    assert_eq!(daemon.admin("GET", "/session/s19").status, 200);
}

#[test]
fn one_address_has_a_part_of_the_connections() {
    // The machine's own address in its network; without one, only the tests beside the code tell.
    let Some(own) = UdpSocket::bind("0.0.0.0:0").ok().and_then(|socket| {
        socket.connect("198.51.100.1:9").ok()?;
        Some(socket.local_addr().ok()?.ip()).filter(|ip: &IpAddr| !ip.is_loopback())
    }) else {
        return println!("this machine has no address but its own");
    };
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path()).set("server.listen", "0.0.0.0:0");
    // A part of fewer connections than the setting says.
    let daemon = setup.set("server.max_connections", 4).start();
    let port = daemon.address.parse::<SocketAddr>().unwrap().port();
    let connect = || {
        let mut socket = TcpStream::connect((own, port)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        socket.write_all(b"POST /track HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{").unwrap();
        socket
    };
    let _kept = [connect(), connect()];
    let refused = connect();
    let answer = read_answer(refused).unwrap();
    assert_eq!(answer.status, 503, "{}", answer.text());
    wait_for("the log", || daemon.stderr().contains("server.max_connections_per_address allows").then_some(()));
    assert_eq!(daemon.get("/health").status, 200, "others are let in");
}
