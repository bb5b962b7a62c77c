//! Lookups: whom they ask, and what they tell.

mod support;

use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use support::{Daemon, Setup, daemon::wait_for, external::External, name_server::NameServer};

/// How the first step of a workflow goes that an event with these properties starts.
fn first_step(daemon: &Daemon, steps: &Value, properties: &Value) -> Value {
    let response = daemon.post_admin("/workflow", &json!({"id": "w", "on": ["a"], "step": steps}));
    assert_eq!(response.status, 200, "{}", response.text());
    daemon.tracked_by_admin(&json!({
        "source": {"id": "shop"}, "session": {"id": "s"}, "options": {"debugger": true},
        "events": [{"type": "a", "properties": properties}]
    }))["debugging"]["execution"]["w"][0]["steps"][0]
        .clone()
}

#[test]
fn lookups_go_where_they_may_and_fail_in_time() {
    let hidden = External::start(|_| (200, r#"{"secret":true}"#.into()));
    let target = format!("http://{}/", hidden.address);
    let open = External::start(move |asked| match asked.line.split(' ').nth(1) {
        Some("/redirect") => (302, target.clone()),
        Some("/slow") => {
            std::thread::sleep(Duration::from_millis(2_000));
            (200, "{}".into())
        }
        Some("/text") => (200, "not JSON".into()),
        _ => (200, json!({"asked": asked.line, "body": asked.body}).to_string()),
    });
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).start(); // only public addresses
    daemon.shop();
    let lookup = |url: &str| {
        let timeout = if url.ends_with("/slow") { 300 } else { 10_000 };
        json!([{"id": "it", "lookup": {"url": url, "timeout_ms": timeout}}])
    };
    let ask = |daemon: &Daemon, path: &str| first_step(daemon, &lookup(path), &json!({}));
    let port = open.address.rsplit(':').next().unwrap();
    for url in [
        format!("http://{}/", open.address),
        format!("http://localhost:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
    ] {
        let step = ask(&daemon, &url);
        assert!(step["error"].as_str().is_some_and(|error| error.contains("may not go to")), "{url}: {step}");
    }
    assert!(open.asked().is_empty());
    let daemon = {
        let setup = daemon.stop().set("lookup.allowed_hosts", "localhost");
        setup.start()
    };
    assert_eq!(ask(&daemon, &format!("http://localhost:{port}/x"))["status"], "done");
    let redirected = ask(&daemon, &format!("http://localhost:{port}/redirect"));
    assert!(redirected["error"].as_str().is_some_and(|error| error.contains("may not go to")), "{redirected}");
    assert!(hidden.asked().is_empty(), "a redirect leads nowhere else");
    let slow = ask(&daemon, &format!("http://localhost:{port}/slow"));
    assert_eq!(slow["error"], "no answer in 300 ms");
    assert!(ask(&daemon, &format!("http://localhost:{port}/text"))["error"].as_str().unwrap().contains("no JSON"));
    // A body is JSON whatever its values are.
    let url = format!("http://localhost:{port}/y");
    let post = json!([{"lookup": {"method": "POST", "url": url, "body": {"name": "{{ event.properties.name }}"}}}]);
    let step = first_step(&daemon, &post, &json!({"name": "\"}, \"admin\": {\""}));
    assert_eq!(step["result"]["body"], json!({"name": "\"}, \"admin\": {\""}).to_string());
}

#[test]
fn another_server_gets_no_secret_and_a_value_chooses_no_way() {
    let other = External::start(|_| (200, r#"{"found":true}"#.into()));
    let target = format!("http://{}/found", other.address);
    let crm = External::start(move |asked| match asked.line.split(' ').nth(1) {
        Some("/moved") => (302, "/v/1".into()),
        Some("/away") => (302, target.clone()),
        Some("/loop") => (302, "/loop".into()),
        _ => (200, "{}".into()),
    });
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path()).set("lookup.allowed_hosts", "127.0.0.1").set("TRACARDI_SECRET_CRM", "s3cret");
    let daemon = setup.start();
    daemon.shop();
    let ask = |method: &str, way: &str, properties: Value| {
        let url = format!("http://{}/{way}", crm.address);
        let lookup = json!({"url": url, "method": method, "headers": {"X-Api-Key": "{{ secret.crm }}"}});
        first_step(&daemon, &json!([{ "lookup": lookup }]), &properties)
    };
    let knows = |external: &External| external.asked().iter().filter(|it| format!("{it:?}").contains("s3cret")).count();
    assert_eq!(ask("GET", "moved", json!({}))["status"], "done");
    assert_eq!(knows(&crm), 2, "the same server is asked with everything");
    assert_eq!(ask("GET", "away", json!({}))["result"], json!({"found": true}));
    assert_eq!((other.asked().len(), knows(&other)), (1, 0));
    assert_eq!(ask("POST", "away", json!({}))["error"], "it answered 302");
    assert_eq!(ask("GET", "loop", json!({}))["error"], "too many redirects");
    let before = crm.asked().len();
    for value in ["..", "."] {
        let step = ask("GET", "v/{{ event.properties.v }}/x", json!({"v": value}));
        assert!(step["error"].as_str().is_some_and(|error| error.contains("..")), "{step}");
        let step = ask("GET", "v/.{{ event.properties.v }}", json!({"v": "."}));
        assert!(step["error"].as_str().is_some_and(|error| error.contains("..")), "{step}");
    }
    assert_eq!(crm.asked().len(), before);
    assert_eq!(ask("GET", "v/{{ event.properties.v }}/x?y=..", json!({"v": "a..b"}))["status"], "done");
}

#[test]
fn questions_are_told_apart_and_answers_shown_up_to_a_limit() {
    let external = External::start(|asked| {
        let named: Vec<_> = asked.headers.iter().filter(|header| header.starts_with("x-")).collect();
        (200, json!({"named": named, "much": "m".repeat(500_000)}).to_string())
    });
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).set("lookup.allowed_hosts", "127.0.0.1").start();
    daemon.shop();
    let lookup = |header: &str| {
        let url = format!("http://{}/{{{{ event.properties.n }}}}", external.address);
        json!([{"id": "it", "lookup": {"url": url, "headers": {header: "7"}, "cache": "10m"}}])
    };
    assert_eq!(first_step(&daemon, &lookup("X-A"), &json!({"n": 0}))["result"]["named"], json!(["x-a: 7"]));
    assert_eq!(first_step(&daemon, &lookup("X-B"), &json!({"n": 0}))["result"]["named"], json!(["x-b: 7"]));
    let payload = |debugger: bool| {
        let events: Vec<Value> = (0..12).map(|n| json!({"type": "a", "properties": {"n": n}})).collect();
        json!({"source": {"id": "shop"}, "session": {"id": "s"}, "options": {"debugger": debugger}, "events": events})
    };
    let answer = daemon.tracked_by_admin(&payload(true));
    let executions = answer["debugging"]["execution"]["w"].as_array().unwrap();
    let shown = executions.iter().filter(|execution| execution["steps"][0]["result"].is_object()).count();
    assert_eq!((executions.len(), shown), (12, 8));
    assert!(answer["debugging"]["logs"].to_string().contains("some results are left out"));
}

#[test]
fn an_event_is_asked_about_once_however_often_its_request_starts_again() {
    let external = External::start(|_| (200, "{}".into()));
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).set("lookup.allowed_hosts", "127.0.0.1").start();
    daemon.shop();
    let steps = json!([
        {"lookup": {"url": format!("http://{}/order", external.address), "method": "POST", "body": {"id": "{{ event.id }}"}}},
        {"attach_session": "{{ event.properties.call }}"},
        {"attach_profile": {"email": "{{ event.properties.mail }}"}}
    ]);
    assert_eq!(daemon.post_admin("/workflow", &json!({"id": "w", "on": ["k"], "step": steps})).status, 200);
    let answer = daemon.post_json("/collect/k/shop", r#"{"call":"c1","mail":"ada@example.com"}"#);
    assert!(answer.json()["profile"]["id"].is_string(), "{}", answer.text());
    let asked = external.asked();
    assert_eq!(asked.len(), 1);
    let id = serde_json::from_str::<Value>(&asked[0].body).unwrap()["id"].as_str().unwrap().to_owned();
    assert_eq!(daemon.record(&format!("/event/{id}"))["event"]["type"], "k");
}

#[test]
fn names_that_nobody_answers_for_keep_nobody_else_waiting() {
    let external = External::start(|_| (200, r#"{"found":true}"#.into()));
    let port = external.address.rsplit(':').next().unwrap().to_owned();
    let names = NameServer::start(|name| match name {
        "crm.example" | "hidden.example" => Some(Ipv4Addr::LOCALHOST),
        _ => None,
    });
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path());
    let daemon = setup.set("lookup.name_servers", &names.address).set("lookup.allowed_hosts", "crm.example").start();
    daemon.shop();
    let dead = json!({"id": "w", "on": ["voucher"], "step": [
        {"lookup": {"url": "http://{{ event.properties.v }}.dead.example/", "timeout_ms": 1_000}}
    ]});
    assert_eq!(daemon.post_admin("/workflow", &dead).status, 200);
    let over = AtomicBool::new(false);
    let waited = std::thread::scope(|scope| {
        for client in 0..12 {
            let (daemon, over) = (&daemon, &over);
            scope.spawn(move || {
                for number in 0.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    let properties = json!({"v": format!("v{client}-{number}")});
                    daemon.tracked(&json!({
                        "source": {"id": "shop"}, "session": {"id": format!("c{client}")},
                        "events": [{"type": "voucher", "properties": properties}]
                    }));
                }
            });
        }
        wait_for("the dead names to be asked for", || (names.asked().len() >= 12).then_some(()));
        let waited = (0..50).map(|number| {
            let begun = Instant::now();
            // A session that is not in memory is read from the disk.
            let session = json!({"id": format!("other-{number}")});
            daemon.tracked(&json!({"source": {"id": "shop"}, "session": session, "events": [{"type": "page-view"}]}));
            begun.elapsed()
        });
        let waited = waited.max();
        over.store(true, Ordering::Relaxed);
        waited
    });
    assert!(waited < Some(Duration::from_millis(900)), "{waited:?}");
    // Names that are answered for lead where they may.
    let ask = |host: &str| {
        first_step(
            &daemon,
            &json!([{"lookup": {"url": format!("http://{host}:{port}/"), "timeout_ms": 5_000}}]),
            &json!({}),
        )
    };
    assert_eq!(ask("crm.example")["result"], json!({"found": true}));
    let refused = ask("hidden.example");
    assert!(refused["error"].as_str().is_some_and(|error| error.contains("may not go to hidden.example")), "{refused}");
    assert_eq!(external.asked().len(), 1);
}

#[test]
fn an_answer_that_comes_byte_by_byte_is_given_up_in_time() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                _ = std::io::Read::read(&mut socket, &mut [0; 4096]); // it is asked
                for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n".iter().chain([b' '; 1000].iter()) {
                    if std::io::Write::write_all(&mut socket, &[*byte]).is_err() {
                        break;
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).set("lookup.allowed_hosts", "127.0.0.1").start();
    daemon.shop();
    let begun = Instant::now();
    let step = first_step(
        &daemon,
        &json!([{"lookup": {"url": format!("http://{address}/"), "timeout_ms": 1_200}}]),
        &json!({}),
    );
    assert_eq!(step["error"], "no answer in 1200 ms");
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
}
