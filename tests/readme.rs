//! What README prints works as it stands.

mod support;

use serde_json::json;
use support::{Setup, daemon::started};

/// The blocks of a language in README.
fn blocks(language: &str) -> Vec<&'static str> {
    let opening = format!("```{language}\n");
    let readme = include_str!("../README.md");
    readme.split(&*opening).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

/// Applies every configuration that README prints.
fn apply_all(folder: &std::path::Path) {
    let setup = Setup::new(folder);
    let blocks = blocks("toml");
    assert!(blocks.len() >= 4);
    for block in blocks {
        let file = folder.join("config.toml");
        std::fs::write(&file, block).unwrap();
        let applied = setup.command(&["apply", file.to_str().unwrap()]).output().unwrap();
        assert!(applied.status.success(), "{block}{}", String::from_utf8_lossy(&applied.stderr));
    }
}

#[test]
fn every_configuration_can_be_applied() {
    let (folder, daemon) = started();
    apply_all(folder.path());
    let order = |properties: serde_json::Value| {
        daemon.tracked(&json!({
            "source": {"id": "shop"}, "session": {"id": "s"}, "options": {"profile": true},
            "events": [{"type": "purchase-order", "properties": properties}]
        }))["profile"]["traits"]
            .clone()
    };
    order(json!({"product": "Nike shoes", "quantity": 1}));
    order(json!({"product": "Hat"}));
    let traits = order(json!({"product": "Nike shoes", "quantity": 11}));
    assert_eq!(
        traits,
        json!({"last_product": "Nike shoes", "products": ["Nike shoes", "Hat"], "bought": 13, "big_spender": true})
    );
    let page = json!({"page": {"url": "https://shop.example.com/?utm_campaign=spring"}});
    let visit = daemon.tracked(&json!({
        "source": {"id": "shop"}, "session": {"id": "campaign"}, "context": page, "options": {"profile": true},
        "events": [{"type": "page-view"}]
    }));
    assert_eq!(visit["profile"]["traits"]["campaigns"], json!(["spring"]));
    let subscribed =
        daemon.post_json("/collect/subscribed/newsletter", r#"{"subscriber":{"email":"ada@example.com"}}"#);
    assert!(subscribed.json()["profile"]["id"].is_string());
}

#[test]
fn what_follows_the_log_does_so() {
    let (folder, daemon) = started();
    let setup = Setup::new(folder.path());
    let blocks = blocks("console");
    let lines: Vec<&str> = blocks.iter().flat_map(|block| block.lines()).collect();
    assert_eq!(lines.len(), 3);
    for line in lines {
        let line = line.replace("http://127.0.0.1:8686", &format!("http://{}", daemon.address));
        let line = line.replace("tracardi ", concat!(env!("CARGO_BIN_EXE_tracardi"), " "));
        let mut command = std::process::Command::new("sh");
        command.args(["-euc", &format!("exec {line}")]).env("TOKEN", support::daemon::TOKEN);
        let environment = setup.command(&[]);
        command.envs(environment.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let mut following = command.stdout(std::process::Stdio::null()).spawn().unwrap();
        let readers = |count: u64| (daemon.record("/system")["http"]["live_readers"] == count).then_some(());
        support::daemon::wait_for("it to follow", || readers(1));
        support::daemon::signal(following.id(), "INT");
        following.wait().unwrap();
        // That it is gone is seen once something is sent to it.
        support::daemon::wait_for("its place to be free", || {
            daemon.tracked(&json!({
                "source": {"id": "shop"}, "session": {"id": "s"},
                "events": [
                    {"type": "page-view"}, {"type": "checkout-started"},
                    {"type": "page-view", "properties": {"price": 101}},
                ],
            }));
            readers(0)
        });
    }
}

#[test]
fn every_command_line_for_curl_is_answered() {
    let (folder, daemon) = started();
    apply_all(folder.path());
    let body = json!({"source": {"id": "shop"}, "session": {"id": "my-first-session"}, "events": [{"type": "x"}]});
    let profile = daemon.tracked(&body)["profile"]["id"].as_str().unwrap().to_owned();
    let script = blocks("sh").join("\n");
    let script = script.replace("http://127.0.0.1:8686", &format!("http://{}", daemon.address));
    let script = script.replace("SOURCE-ID", "shop").replace("PROFILE-ID", &profile);
    let script = script.replace("$(cat data/admin.token)", support::daemon::TOKEN);
    let lines = script.lines().filter(|line| !line.starts_with("cargo "));
    let script = lines.collect::<Vec<_>>().join("\n").replace("curl ", "curl -s -o /dev/null -w '%{http_code} ' ");
    let run = std::process::Command::new("sh").args(["-eu", "-c", &script]).output().unwrap();
    let statuses = String::from_utf8(run.stdout).unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    // A profile that nothing was merged into cannot be split; nothing is set aside; the erasure has another id.
    assert_eq!(
        statuses.trim(),
        "200 200 200 200 200 200 200 200 200 200 200 200 404 200 200 200 200 404 404 200 302 200 200 200 200 200 200 200 200 200 \
         200 200 200 200 200 200 200 200 200 200 404 200 200 200 200"
    );
}
