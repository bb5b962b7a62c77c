//! The metrics, as a real Prometheus takes them.

mod support;

use std::{
    io::{Read, Write},
    net::TcpListener,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};
use support::{Daemon, Setup, daemon::wait_for};

const METRICS_TOKEN: &str = "metrics-token";

/// The tools of a real Prometheus.
fn tool(name: &str) -> Command {
    let found = Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(found.is_ok_and(|status| status.success()), "{name} is needed: it is in Debian's package prometheus");
    Command::new(name)
}

/// Something of everything, so that no family is missing.
fn with_everything(folder: &std::path::Path) -> Daemon {
    let daemon = Setup::new(folder).set("metrics.token", METRICS_TOKEN).start();
    daemon.shop();
    let configuration = json!({
        "workflow": [{"id": "w", "on": ["a"], "step": [{"stop": true}]}],
        "destination": [{"id": "all", "events": ["*"], "file": "all.ndjson"}],
    });
    assert_eq!(daemon.post_admin("/configuration", &configuration).status, 200);
    daemon.tracked(&json!({"source": {"id": "shop"}, "session": {"id": "s"}, "events": [{"type": "a"}]}));
    daemon
}

#[test]
fn promtool_finds_nothing_to_object_to() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = with_everything(folder.path());
    let headers = [("Authorization", &*format!("Bearer {METRICS_TOKEN}")), ("Accept", "text/plain")];
    let response = daemon.request("GET", "/metrics", &headers, b"");
    assert_eq!(response.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let mut promtool = tool("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(&response.body).unwrap();
    let said = promtool.wait_with_output().unwrap();
    let said_words = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
    assert!(said.status.success() && said_words.is_empty(), "{said_words}");
}

/// Prometheus at work; it ends with the test.
struct Prometheus {
    child: Child,
    address: String,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

impl Prometheus {
    fn start(folder: &std::path::Path, configuration: &str) -> Self {
        let file = folder.join("prometheus.yml");
        std::fs::write(&file, configuration).unwrap();
        // It tells nobody which port it took, so it is given one that was free a moment ago.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let child = tool("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("tsdb").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, address }
    }

    /// The value that an expression has now, if it has one.
    fn query(&self, expression: &str) -> Option<String> {
        let mut socket = std::net::TcpStream::connect(&self.address).ok()?;
        let head = format!("GET /api/v1/query?query={expression} HTTP/1.0\r\nHost: localhost\r\n\r\n");
        socket.write_all(head.as_bytes()).ok()?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).ok()?;
        let answer: Value = serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()?;
        answer["data"]["result"][0]["value"][1].as_str().map(str::to_owned)
    }
}

#[test]
fn a_prometheus_that_is_set_up_as_readme_says_reads_the_metrics() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = with_everything(&folder.path().join("data"));
    let readme = include_str!("../README.md");
    let printed = readme.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let configuration =
        printed.replace("127.0.0.1:8686", &daemon.address).replace("METRICS-TOKEN", METRICS_TOKEN).replace("15s", "1s");
    let prometheus = Prometheus::start(folder.path(), &configuration);
    // In the format that it asks for first, which is OpenMetrics.
    wait_for("the events that Prometheus read", || {
        prometheus.query("tracardi_events_total").filter(|events| events == "1")
    });
    assert_eq!(prometheus.query("up").as_deref(), Some("1"));
    assert_eq!(prometheus.query("tracardi_destination_lag_entries").map(|lag| lag.parse::<u64>().is_ok()), Some(true));
}
