//! Where the daemon listens: at several addresses, and at Unix sockets.

mod support;

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::Path,
};

use serde_json::json;
use support::{
    Setup,
    daemon::{TOKEN, wait_for},
};

/// Sends a request over a Unix socket; the whole answer.
fn ask(path: &Path, method: &str, target: &str, headers: &str, body: &str) -> String {
    let mut socket = UnixStream::connect(path).unwrap();
    let length = body.len();
    let head = format!("{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n");
    socket.write_all(format!("{head}{headers}\r\n{body}").as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn requests_are_taken_wherever_it_listens() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one.sock"), folder.path().join("two.sock"));
    let listen = format!("127.0.0.1:0, unix:{},127.0.0.1:0,unix:{}", one.display(), two.display());
    let daemon = Setup::new(&folder.path().join("data")).set("server.listen", listen).start();
    let said = wait_for("all addresses", || {
        let said = daemon.stdout();
        said.contains("two.sock").then_some(said)
    });
    let others: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("listening on ")).collect();
    assert_eq!((others[0], others[2]), (&*format!("unix:{}", one.display()), &*format!("unix:{}", two.display())));
    let mut second = TcpStream::connect(others[1].strip_prefix("http://").unwrap()).unwrap();
    second.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    second.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(daemon.get("/health").status, 200);
    for path in [&one, &two] {
        assert!(ask(path, "GET", "/health", "", "").starts_with("HTTP/1.1 200"));
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o660);
    }
    assert_eq!(daemon.record("/system")["settings"]["server"]["listen"].as_str().unwrap().matches("sock").count(), 2);
    // A connection that is kept ends with the daemon.
    let mut kept = UnixStream::connect(&one).unwrap();
    kept.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert!(kept.read(&mut [0; 1024]).unwrap() > 0);
    daemon.stop();
    assert_eq!(kept.read(&mut [0; 1024]).unwrap(), 0);
    assert!(!one.exists() && !two.exists());
}

#[test]
fn who_comes_over_a_unix_socket_says_who_is_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tracardi.sock");
    let setup = Setup::new(&folder.path().join("data")).set("track.ip", "full");
    let daemon = setup.set("server.listen", format!("127.0.0.1:0,unix:{}", path.display())).start();
    daemon.shop();
    for (id, headers, kept) in [("a", "", "127.0.0.1"), ("b", "X-Forwarded-For: 198.51.100.7\r\n", "198.51.100.7")] {
        let body = json!({"source": {"id": "shop"}, "session": {"id": "s"}, "events": [{"id": id, "type": "x"}]});
        let answer = ask(&path, "POST", "/track", headers, &body.to_string());
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!(daemon.record(&format!("/event/{id}"))["event"]["request"]["ip"], kept);
    }
    let form = format!("password={TOKEN}");
    let headers = "Origin: https://x\r\nX-Forwarded-Proto: https\r\n";
    let answer = ask(&path, "POST", "/console/log-in", headers, &form);
    assert!(answer.starts_with("HTTP/1.1 303") && answer.contains("; Secure"), "{answer}");
}

#[test]
fn a_socket_that_nobody_listens_at_gives_way_and_another_s_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tracardi.sock");
    let setup = Setup::new(&folder.path().join("data")).set("server.listen", format!("unix:{}", path.display()));
    let other = UnixListener::bind(&path).unwrap();
    let (status, said) = setup.start_refused();
    assert!(!status.success() && said.contains("tracardi.sock") && said.contains("in use"), "{said}");
    drop(other); // its file stays
    let mut daemon = setup.start();
    assert!(ask(&path, "GET", "/health", "", "").starts_with("HTTP/1.1 200"));
    daemon.kill();
    assert!(path.exists());
    let daemon = setup.start();
    assert!(ask(&path, "GET", "/health", "", "").starts_with("HTTP/1.1 200"));
    daemon.stop();
    fs::write(&path, "precious").unwrap();
    let (_, said) = setup.start_refused();
    assert!(said.contains("tracardi.sock") && said.contains("no socket"), "{said}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn commands_reach_a_daemon_that_listens_at_a_unix_socket_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tracardi.sock");
    let setup = Setup::new(&folder.path().join("data")).set("server.listen", format!("unix:{}", path.display()));
    let daemon = setup.start();
    let line =
        wait_for("the curl line", || daemon.stdout().lines().find(|line| line.starts_with("curl ")).map(str::to_owned));
    let pasted = std::process::Command::new("sh").args(["-c", &line.replacen("curl ", "curl -sf ", 1)]).output();
    assert!(pasted.unwrap().status.success(), "{line}");
    let dumped = setup.command(&["dump"]).output().unwrap();
    let said = String::from_utf8_lossy(&dumped.stdout);
    assert!(dumped.status.success() && said.contains("default"), "{said}{}", String::from_utf8_lossy(&dumped.stderr));
    daemon.stop();
}
