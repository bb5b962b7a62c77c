//! Everything that the API's description allows and does not, sent to a daemon by schemathesis, which compares what is
//! answered with what is described.

mod support;

use std::process::{Command, Stdio};

use serde_json::json;
use support::{Setup, daemon::TOKEN};

/// How many calls are made up for each operation, unless `TRACARDI_EXAMPLES` says it.
const EXAMPLES: u32 = 5;

/// The tool.
fn schemathesis() -> Command {
    let found = Command::new("schemathesis").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(found.is_ok_and(|status| status.success()), "schemathesis is needed: pip install schemathesis");
    Command::new("schemathesis")
}

#[test]
#[ignore = "needs schemathesis, and a minute or more: cargo test --test schemathesis -- --ignored"]
fn schemathesis_finds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).set("storage.durability", "relaxed").start();
    daemon.shop();
    daemon.source(&json!({"id": "spare", "name": "Spare", "type": "rest"}));
    // Something of everything, so that what is asked for is there.
    let configuration = json!({
        "segment": [{"id": "regular", "condition": "profile.stats.visits >= 3"}],
        "workflow": [{"id": "greet", "on": ["sign-in"], "step": [{"response": {"hello": true}}]}],
        "destination": [{"id": "archive", "events": ["*"], "file": "archive.ndjson"}],
        "consent": [{"id": "marketing"}],
        "event_type": [{"id": "purchase"}],
    });
    assert_eq!(daemon.post_admin("/configuration", &configuration).status, 200);
    let sign_in = json!({"id": "order-1", "type": "sign-in", "properties": {"email": {"main": "ada@example.com"}}});
    daemon.tracked(&json!({"source": {"id": "shop"}, "session": {"id": "visit"}, "events": [sign_in]}));
    let kept = json!([{"id": "kept-event", "type": "page-view"}]);
    daemon.tracked(&json!({"source": {"id": "shop"}, "session": {"id": "kept-session"}, "events": kept}));
    let person = |id: &str| json!({"id": id, "metadata": {"time": {"insert": "2024-05-01T10:00:00Z"}}});
    let people = json!([person("ada"), person("kept-profile"), person("erased")]);
    assert_eq!(daemon.post_admin("/profiles/import", &people).json()["saved"], 3);
    let erased = daemon.admin("DELETE", "/profile/erased?events=true").json();
    let examples = std::env::var("TRACARDI_EXAMPLES").map_or(EXAMPLES, |said| said.parse().expect("a number"));
    // It keeps notes where it runs.
    let place = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("schemathesis.toml", include_str!("schemathesis/schemathesis.toml")),
        ("hooks.py", include_str!("schemathesis/hooks.py")),
    ] {
        std::fs::write(place.path().join(name), text).unwrap();
    }
    let found = schemathesis()
        .args(["--no-color", "run"])
        .arg(format!("http://{}/openapi.json", daemon.address))
        .arg(format!("--max-examples={examples}"))
        // The same calls each time, as far as they do not follow from answers: what fails can be seen again.
        .arg("--seed=1")
        .args(["--continue-on-failure"])
        .current_dir(place.path())
        .env("TRACARDI_TOKEN", TOKEN)
        .env("TRACARDI_ERASURE", erased["erasure"].as_str().unwrap())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&found.stdout);
    println!("{said}");
    assert!(found.status.success(), "{said}{}", String::from_utf8_lossy(&found.stderr));
    assert_eq!(daemon.get("/ready").status, 200);
    daemon.stop(); // and nothing panicked
}
