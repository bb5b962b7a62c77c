//! Settings, first start, commands and signals (docs/contract.md, section 11).

mod support;

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use serde_json::json;
use support::{Setup, daemon::wait_for};

#[test]
fn the_first_start_registers_a_source_and_prints_a_curl_line_that_works() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).start();
    let line =
        wait_for("the curl line", || daemon.stdout().lines().find(|line| line.starts_with("curl ")).map(str::to_owned));
    let sources = daemon.record("/event-sources/entity");
    assert_eq!((&sources["total"], &sources["result"][0]["name"]), (&json!(1), &json!("default")));
    assert!(line.contains(sources["result"][0]["id"].as_str().unwrap()));
    let body = line.split("-d '").nth(1).and_then(|rest| rest.strip_suffix('\'')).unwrap();
    assert!(line.contains(&format!("http://{}/track", daemon.address)));
    assert_eq!(daemon.post_json("/track", body).status, 200);
    let daemon = daemon.restart();
    assert_eq!(daemon.record("/event-sources/entity"), sources, "only the first start registers one");
}

#[test]
fn the_curl_line_can_be_pasted_whatever_address_it_names() {
    for listen in ["0.0.0.0:0", "[::1]:0", "[::]:0"] {
        if std::net::TcpListener::bind(listen).is_err() {
            continue; // a machine without IPv6: the line itself is tested beside the code
        }
        let folder = tempfile::tempdir().unwrap();
        let mut daemon = Setup::new(folder.path()).set("server.listen", listen).start();
        let line = wait_for("the curl line", || {
            daemon.stdout().lines().find(|line| line.starts_with("curl ")).map(str::to_owned)
        });
        let port = daemon.address.rsplit(':').next().unwrap().to_owned();
        daemon.address = if listen.starts_with('[') { format!("[::1]:{port}") } else { format!("127.0.0.1:{port}") };
        // As zsh does, bash refuses a pattern that nothing matches; -s and -f only change what curl tells.
        let pasted =
            Command::new("bash").args(["-O", "failglob", "-c", &line.replacen("curl ", "curl -sf ", 1)]).output();
        let pasted = pasted.unwrap();
        assert!(pasted.status.success(), "{line}: {}", String::from_utf8_lossy(&pasted.stderr));
        assert!(String::from_utf8_lossy(&pasted.stdout).contains("\"profile\""), "{line}");
    }
}

#[test]
fn health_and_ready_need_no_token() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).start();
    for path in ["/health", "/healthcheck"] {
        assert_eq!(daemon.get(path).json(), json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}));
    }
    assert_eq!(daemon.get("/ready").status, 200);
}

#[test]
fn the_token_is_made_kept_secret_and_never_logged() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path()).set("admin.token", "").set("log.level", "trace");
    let daemon = setup.start();
    let path = folder.path().join("admin.token");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let token = fs::read_to_string(&path).unwrap().trim().to_owned();
    assert!(token.len() >= 32);
    let ask = |token: &str| {
        daemon.request("GET", "/event-sources", &[("Authorization", &format!("Bearer {token}"))], b"").status
    };
    assert_eq!((ask(&token), ask("")), (200, 401));
    assert!(!daemon.stderr().contains(&token) && !daemon.stdout().contains(&token));
    daemon.stop();
    let again = setup.start();
    assert_eq!(fs::read_to_string(&path).unwrap().trim(), token);
    drop(again);
}

#[test]
fn an_unknown_key_or_a_wrong_value_ends_the_start_and_names_key_and_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("my.toml");
    let run = |toml: &str| {
        fs::write(&file, toml).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_tracardi")).arg("--config").arg(&file).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    for (toml, key) in [
        ("[server]\nlissen = 1", "server.lissen"),
        ("[track]\nip = \"some\"", "track.ip"),
        ("[server]\nmax_body_bytes = \"x\"", "server.max_body_bytes"),
    ] {
        let error = run(toml);
        assert!(error.contains(key) && error.contains("my.toml"), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    let (status, error) = Setup::new(folder.path()).set("storage.durability", "maybe").start_refused();
    assert!(!status.success() && error.contains("TRACARDI__STORAGE__DURABILITY"), "{error}");
    let (_, error) = Setup::new(folder.path()).set("storage.nothing", 1).start_refused();
    assert!(error.contains("TRACARDI__STORAGE__NOTHING"), "{error}");
    let missing = Command::new(env!("CARGO_BIN_EXE_tracardi")).args(["--config", "/nowhere/my.toml"]).output().unwrap();
    assert!(String::from_utf8(missing.stderr).unwrap().contains("/nowhere/my.toml"));
}

#[test]
fn the_environment_comes_after_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("my.toml");
    fs::write(&file, "[storage]\npath = \"nowhere\"\n[server]\nlisten = \"127.0.0.1:1\"").unwrap();
    let storage = folder.path().join("data");
    let output =
        Setup::new(&storage).command(&["--config", file.to_str().unwrap(), "source", "add", "x"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(storage.join("format").exists());
}

#[test]
fn a_second_process_on_the_same_folder_ends_with_a_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path());
    let daemon = setup.start();
    let (status, error) = setup.start_refused();
    assert_eq!(status.code(), Some(1));
    assert!(error.contains("in use by another process") && error.contains(folder.path().to_str().unwrap()), "{error}");
    for arguments in [&["source", "list"][..], &["source", "add", "x"], &["check"], &["rebuild"]] {
        let output = setup.command(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains("in use"), "{error}");
        assert!(arguments[0] != "source" || error.contains("/event-source"), "{error}");
    }
    assert_eq!(daemon.get("/ready").status, 200);
}

#[test]
fn a_command_that_has_business_with_a_store_makes_none() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let config = folder.path().join("config.toml");
    fs::write(&config, "").unwrap();
    for path in [folder.path().join("no/where"), empty.clone()] {
        for arguments in [
            &["check"][..],
            &["rebuild"],
            &["dump"],
            &["apply", "--dry-run", config.to_str().unwrap()],
            &["source", "list"],
            &["source", "remove", "x"],
            &["source", "secret", "x"],
            &["new-identity-key"],
        ] {
            let output = Setup::new(&path).command(arguments).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{arguments:?}");
            assert!(said.contains("there is no store") && said.contains(path.to_str().unwrap()), "{said}");
        }
    }
    assert!(!folder.path().join("no").exists());
    assert_eq!(fs::read_dir(&empty).unwrap().count(), 0);
    assert!(Setup::new(&empty).command(&["apply", config.to_str().unwrap()]).status().unwrap().success());
    assert!(Setup::new(&empty).command(&["check"]).status().unwrap().success());
}

#[test]
fn sources_of_a_stopped_store_are_added_listed_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path());
    let run = |arguments: &[&str]| {
        let output = setup.command(arguments).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let (added, id) = run(&["source", "add", "Shop", "--type", "rest", "--origin", "https://shop.example"]);
    assert!(added);
    assert_eq!(run(&["source", "add", "Hook", "--id", "hook"]), (true, "hook\n".into()));
    let (_, list) = run(&["source", "list"]);
    assert!(
        list.contains(&format!("{}\tShop\trest\tenabled", id.trim())) && list.contains("hook\tHook\trest,webhook"),
        "{list}"
    );
    assert!(run(&["source", "remove", id.trim()]).0);
    assert!(!run(&["source", "remove", id.trim()]).0);
    assert!(!run(&["source", "add", "Bad", "--type", "fax"]).0);
    let daemon = setup.start();
    assert_eq!(daemon.record("/event-sources/entity"), json!({"total": 1, "result": [{"id": "hook", "name": "Hook"}]}));
}

#[test]
fn both_signals_end_the_daemon_in_good_order() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path());
    let daemon = setup.start();
    daemon.shop();
    let _idle = daemon.kept().unwrap();
    daemon.stop();
    assert!(!folder.path().join("running").exists());
    setup.start().stop_with("INT");
    assert!(!folder.path().join("running").exists());
}

#[test]
fn help_and_version_are_there() {
    let run = |argument: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_tracardi")).arg(argument).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(run("--version").contains(env!("CARGO_PKG_VERSION")));
    let help = run("--help");
    for word in ["serve", "source", "check", "rebuild", "Examples:"] {
        assert!(help.contains(word), "{help}");
    }
}

#[test]
fn a_second_signal_ends_the_daemon_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).start();
    // A request that is under way keeps the first one waiting.
    let mut slow = daemon.connect().unwrap();
    std::io::Write::write_all(&mut slow, b"POST /track HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{").unwrap();
    let pid = daemon.pid();
    support::daemon::signal(pid, "TERM");
    wait_for("the end to begin", || daemon.stderr().contains("ending").then_some(()));
    let begun = std::time::Instant::now();
    support::daemon::signal(pid, "TERM");
    wait_for("the end", || daemon.has_ended().then_some(()));
    assert!(begun.elapsed() < std::time::Duration::from_secs(3), "{:?}", begun.elapsed());
}
