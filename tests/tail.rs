//! `tracardi tail`: what is stored, on a terminal.

mod support;

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStdout, Stdio},
};

use serde_json::{Value, json};
use support::{
    Setup,
    daemon::{signal, wait_for},
};

/// A `tail` under way.
struct Tail {
    child: Child,
    /// `None` once nobody reads what it prints.
    lines: Option<BufReader<ChildStdout>>,
}

impl Tail {
    fn start(setup: &Setup, arguments: &[&str]) -> Self {
        let arguments = [&["tail"], arguments].concat();
        let spawned = setup.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = spawned.expect("the binary was built for this test");
        let lines = child.stdout.take().map(BufReader::new);
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.lines.as_mut().unwrap().read_line(&mut line).unwrap() > 0, "it ended: {}", self.said());
        line.trim_end_matches('\n').to_owned()
    }

    /// What it said of itself until its end.
    fn said(&mut self) -> String {
        let mut said = String::new();
        self.child.stderr.take().expect("it is piped").read_to_string(&mut said).unwrap();
        said
    }

    /// Whether it ended well.
    fn ends_well(&mut self) -> bool {
        wait_for("tail to end", || self.child.try_wait().unwrap()).success()
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn event(id: &str, kind: &str, properties: &Value) -> Value {
    json!({
        "source": {"id": "shop"}, "session": {"id": "s1"},
        "events": [{"id": id, "type": kind, "properties": properties}],
    })
}

fn id(line: &str) -> String {
    serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned()
}

#[test]
fn each_event_is_a_line_that_says_nothing_to_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path());
    let daemon = setup.start();
    daemon.shop();
    daemon.tracked(&event("e0", "paid", &json!({"price": 5})));
    daemon.tracked(&event("e1", "seen", &json!({})));
    daemon.tracked(&event("e2", "paid", &json!({"price": 50, "note": "a\u{1b}[2J\u{202e}\r\nb"})));
    let arguments = ["--from", "-1h", "--type", "pa*", "--source", "shop", "--where", "event.properties.price > 9"];
    let mut tail = Tail::start(&setup, &arguments);
    let line = tail.line();
    let parts: Vec<&str> = line.split("  ").collect();
    assert_eq!(parts[1..4], ["paid", "shop", "s1"], "{line}");
    assert!(parts[0].starts_with("20") && parts[0].contains('T'), "{line}");
    let profile = daemon.record("/event/e2")["event"]["profile"]["id"].as_str().unwrap().to_owned();
    assert_eq!(parts[4], profile);
    assert!(parts[5].contains("\"price\":50") && parts[5].contains("\\u202e"), "{line}");
    assert!(!line.contains(|it: char| it.is_control() || it == '\u{202e}'), "{line:?}");

    let mut whole = Tail::start(&setup, &["--from", "-1h", "--json", "--session", "s1"]);
    for id in ["e0", "e1", "e2"] {
        let line = whole.line();
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), daemon.record(&format!("/event/{id}"))["event"]);
        assert!(!line.contains('\u{202e}'), "{line:?}");
    }
    daemon.tracked(&event("e3", "seen", &json!({})));
    assert_eq!(id(&whole.line()), "e3");
}

#[test]
fn it_waits_for_the_daemon_and_goes_on_behind_its_last_event() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path());
    let daemon = setup.start();
    daemon.shop();
    let mut tail = Tail::start(&setup, &["--json", "--from", "-1h"]);
    daemon.tracked(&event("e0", "seen", &json!({})));
    assert_eq!(id(&tail.line()), "e0");
    // Each start takes another port.
    let mut daemon = daemon.restart();
    daemon.tracked(&event("e1", "seen", &json!({})));
    assert_eq!(id(&tail.line()), "e1");
    daemon.kill();
    let daemon = setup.start();
    daemon.tracked(&event("e2", "seen", &json!({})));
    assert_eq!(id(&tail.line()), "e2");
    signal(tail.child.id(), "INT");
    assert!(tail.ends_well());
    assert_eq!(tail.said(), "");
}

#[test]
fn it_ends_with_whoever_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path());
    let daemon = setup.start();
    daemon.shop();
    let mut tail = Tail::start(&setup, &["--from", "-1h"]);
    daemon.tracked(&event("e0", "seen", &json!({})));
    tail.line();
    drop(tail.lines.take());
    daemon.tracked(&event("e1", "seen", &json!({})));
    assert!(tail.ends_well());
    assert_eq!(tail.said(), "");
}

#[test]
fn it_says_why_it_cannot() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path());
    let run = |setup: &Setup, arguments: &[&str]| {
        let output = setup.command(&[&["tail"], arguments].concat()).output().unwrap();
        assert!(!output.status.success() && output.stdout.is_empty());
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(run(&setup, &[]).contains("no daemon runs on this store"));
    let daemon = setup.start();
    let wrong = run(&setup, &["--where", "event.nothing("]);
    assert!(wrong.contains("422") && wrong.contains("where: "), "{wrong}");
    let refused = run(&setup.clone().set("admin.token", "another"), &[]);
    assert!(refused.contains("401"), "{refused}");
    drop(daemon.stop());
    assert!(run(&setup, &[]).contains("no daemon runs on this store"));
}
