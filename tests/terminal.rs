//! What is stored does not speak to the terminal of whoever looks at it.

mod support;

use std::fs;

use serde_json::json;
use support::Setup;

/// A name that clears the screen, starts a line of its own, and turns the direction of what follows.
const NASTY: &str = "Shop\u{1b}[2J\u{9b}31m\r\nroot\u{202e}txt\u{2066}\u{200f}";

/// No control character but the ends of lines, and nothing that changes the direction.
fn assert_quiet(text: &str) {
    let speaks = |character: char| {
        (character.is_control() && !['\n', '\t'].contains(&character))
            || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert!(!text.contains(speaks), "{text:?}");
}

#[test]
fn no_command_prints_what_speaks_to_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(&folder.path().join("data"));
    let run = |arguments: &[&str]| {
        let output = setup.command(arguments).output().unwrap();
        let (out, error) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert_quiet(&out);
        assert_quiet(&error);
        (output.status.success(), out, error)
    };
    let id = "s\u{202e}hop";
    let file = folder.path().join("it.json");
    let source = json!({"id": id, "name": NASTY, "type": ["rest"]});
    let destination = json!({"id": id, "events": ["a"], "file": "a.ndjson", "description": NASTY});
    let configuration = |description: &str| {
        let mut destination = destination.clone();
        destination["description"] = description.into();
        json!({"source": [source], "destination": [destination]}).to_string()
    };
    fs::write(&file, configuration("before")).unwrap();
    let (applied, out, _) = run(&["apply", file.to_str().unwrap()]);
    assert!(applied && out.contains("+ source s\\u202ehop"), "{out}");
    fs::write(&file, configuration(NASTY)).unwrap();
    let (applied, out, _) = run(&["apply", file.to_str().unwrap()]);
    assert!(applied && out.contains("~ destination s\\u202ehop") && out.contains("Shop\\u001b[2J\\u009b31m"), "{out}");
    assert_eq!(out.lines().count(), 4, "{out}");
    let (_, list, _) = run(&["source", "list"]);
    assert!(list.starts_with("s\\u202ehop\tShop\\u001b[2J\\u009b31m\\r\\nroot"), "{list}");
    assert_eq!(list.lines().count(), 1, "{list}");
    assert!(run(&["check"]).0);
    let (removed, _, error) = run(&["source", "remove", "a\u{202e}b"]);
    assert!(!removed && error.contains("there is no source a\\u202eb"), "{error}");

    // What dump prints is what is set up.
    for (arguments, name) in [(&["dump"][..], "dump.toml"), (&["dump", "--json"], "dump.json")] {
        let (_, dumped, _) = run(arguments);
        let file = folder.path().join(name);
        fs::write(&file, dumped).unwrap();
        assert_eq!(run(&["apply", "--dry-run", file.to_str().unwrap()]).1, "0 would change\n");
    }
}

#[test]
fn what_clients_send_stands_escaped_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).set("log.level", "debug").start();
    daemon.shop();
    let id = "d\u{202e}\u{2066}";
    let destination = json!({"id": id, "events": ["*"], "webhook": {"url": "http://127.0.0.1:1/"}});
    assert_eq!(daemon.post_admin("/destination", &destination).status, 200);
    daemon.tracked(&json!({
        "source": {"id": "shop"}, "session": {"id": "s"}, "events": [{"type": "a\u{202e}b", "properties": {}}]
    }));
    support::daemon::wait_for("the failed delivery", || {
        daemon.stderr().contains("destination=d\\u202e\\u2066").then_some(())
    });
    assert_quiet(&daemon.stderr());
}
