//! TLS by the daemon itself: its certificate, and what is sent on to it.

mod support;

use std::{
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    process::Command,
    time::Duration,
};

use serde_json::{Value, json};
use support::{
    Daemon,
    daemon::{Response, TOKEN, read_answer, wait_for},
    tls::{self, ask, certificate, curl},
};

fn url(daemon: &Daemon, path: &str) -> String {
    format!("https://{}{path}", daemon.address)
}

/// How the daemon fares, as the administrator is told.
fn system(daemon: &Daemon) -> Value {
    let answer = curl(&["-H", &format!("Authorization: Bearer {TOKEN}"), &url(daemon, "/system")]);
    serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

/// The certificate that somebody is shown who connects now.
fn shown(daemon: &Daemon) -> Option<Vec<u8>> {
    let stream = tls::connect(daemon, &["http/1.1"]).ok()?;
    Some(stream.conn.peer_certificates()?.first()?.to_vec())
}

#[test]
fn requests_are_answered_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = tls::setup(folder.path()).start();
    let health = curl(&["--http1.1", "-w", " %{http_version}", &url(&daemon, "/health")]);
    assert_eq!(health, format!("{{\"status\":\"ok\",\"version\":\"{}\"}} 1.1", env!("CARGO_PKG_VERSION")));
    let mut kept = tls::connect(&daemon, &[]).unwrap();
    for _ in 0..3 {
        assert!(ask(&mut kept, "/health").unwrap().starts_with("HTTP/1.1 200"));
    }
    // The line that the first start prints works over TLS, too.
    let line =
        wait_for("the curl line", || daemon.stdout().lines().find(|line| line.starts_with("curl ")).map(str::to_owned));
    let pasted = Command::new("sh").args(["-c", &line.replacen("curl ", "curl -sf ", 1)]).output().unwrap();
    assert!(pasted.status.success() && String::from_utf8_lossy(&pasted.stdout).contains("\"profile\""), "{line}");
    assert!(line.contains(&url(&daemon, "/track")), "{line}");
    // A large answer arrives whole, and so does a large body.
    let document = curl(&[&url(&daemon, "/openapi.json")]);
    serde_json::from_str::<Value>(&document).unwrap();
    let body = folder.path().join("body");
    std::fs::write(&body, json!({"source": {"id": "x"}, "padding": "x".repeat(900_000)}).to_string()).unwrap();
    let refused = curl(&[
        "-H",
        "Content-Type: application/json",
        "--data-binary",
        &format!("@{}", body.display()),
        &url(&daemon, "/track"),
    ]);
    assert!(refused.contains("field required"), "{refused}");
    let settings = system(&daemon)["settings"]["server"].clone();
    assert!(settings["tls"]["cert"].as_str().unwrap().ends_with("cert.pem"), "{settings}");
    daemon.stop();
}

#[test]
fn who_connects_once_the_files_have_changed_is_shown_the_new_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = tls::setup(folder.path()).start();
    let mut kept = tls::connect(&daemon, &[]).unwrap();
    assert_eq!(shown(&daemon).unwrap(), certificate("one").to_vec());
    tls::put(folder.path(), "two", "one");
    wait_for("the warning", || daemon.stderr().contains("the certificate in use stays").then_some(()));
    assert!(daemon.stderr().contains("key.pem: it is not the key of"), "{}", daemon.stderr());
    assert_eq!(shown(&daemon).unwrap(), certificate("one").to_vec());
    tls::put(folder.path(), "two", "two");
    wait_for("the new certificate", || (shown(&daemon)? == certificate("two").to_vec()).then_some(()));
    assert!(ask(&mut kept, "/health").unwrap().starts_with("HTTP/1.1 200"), "the connection before goes on");
    daemon.stop();
}

#[test]
fn a_wrong_file_ends_the_start_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let setup = tls::setup(folder.path());
    let refused = |key: &str, what: &str| {
        let (status, said) = setup.start_refused();
        assert!(!status.success() && said.contains(key) && said.contains(what), "{said}");
    };
    tls::put(folder.path(), "one", "two");
    refused("server.tls.key", "key.pem");
    std::fs::write(folder.path().join("cert.pem"), "nonsense").unwrap();
    refused("server.tls.cert", "cert.pem");
    std::fs::remove_file(folder.path().join("cert.pem")).unwrap();
    refused("server.tls.cert", "cert.pem");
    // A key that everybody may read is told of, and taken.
    tls::put(folder.path(), "one", "one");
    std::fs::set_permissions(folder.path().join("key.pem"), PermissionsExt::from_mode(0o644)).unwrap();
    let daemon = setup.start();
    assert!(daemon.stderr().contains("others may read the key"), "{}", daemon.stderr());
    let daemon = daemon.stop();
    std::fs::set_permissions(folder.path().join("key.pem"), PermissionsExt::from_mode(0o600)).unwrap();
    assert!(!daemon.start().stderr().contains("others may read the key"));
}

#[test]
fn who_does_not_come_to_an_agreement_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = tls::setup(folder.path()).set("server.header_timeout_ms", 1_500).start();
    let mut silent = daemon.connect().unwrap();
    wait_for("both connections to count", || (system(&daemon)["http"]["connections"]["open"] == 2).then_some(()));
    assert_eq!(silent.read(&mut [0; 16]).unwrap(), 0, "it is closed without a word");
    // What is no TLS is told so, in the words of TLS.
    let mut plain = daemon.connect().unwrap();
    plain.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    plain.read_to_end(&mut answer).unwrap();
    assert_eq!((answer.first(), answer.len()), (Some(&21), 7), "an alert");
}

#[test]
fn who_is_silent_over_tls_is_told_408() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = tls::setup(folder.path()).set("server.idle_timeout_ms", 300).start();
    let mut kept = tls::connect(&daemon, &["http/1.1"]).unwrap();
    assert!(ask(&mut kept, "/health").unwrap().starts_with("HTTP/1.1 200"));
    let mut rest = String::new();
    kept.read_to_string(&mut rest).unwrap(); // with the word of TLS that this was all
    assert!(rest.starts_with("HTTP/1.1 408"), "{rest}");
}

#[test]
fn a_refusal_can_be_read_over_tls_by_who_sends_without_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = tls::setup(folder.path()).start();
    let mut stream = tls::connect(&daemon, &[]).unwrap();
    stream.write_all(b"POST /track HTTP/1.1\r\nHost: x\r\nContent-Length: 6000000\r\n\r\n").unwrap();
    stream.write_all(&vec![b'x'; 6_000_000]).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[test]
fn plain_http_is_sent_on_and_nothing_else_is_served_there() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = tls::setup(folder.path()).set("server.redirect_http", "127.0.0.1:0").start();
    let address = wait_for("the address", || {
        let said = daemon.stdout();
        Some(said.split("sending on from http://").nth(1)?.split(' ').next()?.to_owned())
    });
    let send = |head: &str| -> Response {
        let mut socket = TcpStream::connect(&address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        socket.write_all(head.as_bytes()).unwrap();
        read_answer(socket).unwrap_or_else(|error| panic!("{head}: {error}"))
    };
    let port = daemon.address.rsplit(':').next().unwrap();
    for head in ["GET /a%20b?c=d", "DELETE /profile/x", "POST /track"] {
        let answer = send(&format!("{head} HTTP/1.1\r\nHost: shop.example:80\r\nContent-Length: 0\r\n\r\n"));
        let location = format!("https://shop.example:{port}{}", head.split(' ').nth(1).unwrap());
        assert_eq!((answer.status, answer.header("location")), (308, Some(&*location)), "{head}");
        assert!(answer.body.is_empty());
    }
    // Also who sends a body without waiting can read where to send it.
    let body = "x".repeat(1_000_000);
    let answer = send(&format!("POST /track HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    assert_eq!(answer.status, 308);
    for head in ["GET /health HTTP/1.0\r\n\r\n", "GET /health HTTP/1.1\r\nHost: a b\r\n\r\n"] {
        assert_eq!(send(head).status, 400, "{head}");
    }
    let followed = curl(&["-L", &format!("http://{address}/health")]);
    assert!(followed.contains("\"ok\""), "{followed}");
    daemon.stop();
}

#[test]
fn the_console_s_cookie_is_secure() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = tls::setup(folder.path()).start();
    let jar = folder.path().join("jar");
    let jar = jar.to_str().unwrap();
    let origin = format!("Origin: {}", url(&daemon, ""));
    let logged_in = curl(&[
        "-i",
        "-c",
        jar,
        "-H",
        &origin,
        "--data-urlencode",
        &format!("password={TOKEN}"),
        &url(&daemon, "/console/log-in"),
    ]);
    let cookie = logged_in.lines().find(|line| line.to_lowercase().starts_with("set-cookie:")).unwrap();
    assert!(cookie.contains("; Secure"), "{cookie}");
    let sources = curl(&["-b", jar, &url(&daemon, "/console/setup/sources")]);
    assert!(!sources.contains("http://127.0.0.1"), "{sources}");
}

#[test]
fn commands_reach_a_daemon_that_speaks_tls() {
    let folder = tempfile::tempdir().unwrap();
    let setup = tls::setup(folder.path());
    let daemon = setup.start();
    let noted = std::fs::read_to_string(folder.path().join("data/address")).unwrap();
    assert_eq!(noted, format!("{}\n", url(&daemon, "")));
    let dumped = setup.command(&["dump"]).output().unwrap();
    let said = String::from_utf8_lossy(&dumped.stdout);
    assert!(dumped.status.success() && said.contains("default"), "{said}{}", String::from_utf8_lossy(&dumped.stderr));
}
