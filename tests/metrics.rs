//! What the daemon tells of itself: `/metrics` for Prometheus, `/system` for a person.

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use support::{
    Daemon, Setup,
    daemon::{TOKEN, started, wait_for},
    external::External,
    open_metrics::Exposition,
};

const METRICS_TOKEN: &str = "metrics-token";

fn scrape(daemon: &Daemon) -> Exposition {
    let response = daemon.admin("GET", "/metrics");
    assert_eq!(response.status, 200, "{}", response.text());
    let kind = response.header("content-type");
    assert_eq!(kind, Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    Exposition::parse(std::str::from_utf8(&response.body).unwrap())
}

fn get_with(daemon: &Daemon, path: &str, token: &str) -> u16 {
    daemon.request("GET", path, &[("Authorization", &format!("Bearer {token}"))], b"").status
}

fn visit(events: &[&str]) -> Value {
    let events: Vec<Value> = events.iter().map(|kind| json!({"type": kind})).collect();
    json!({"source": {"id": "shop"}, "session": {"id": "s"}, "events": events})
}

#[test]
fn requests_events_and_refusals_are_counted() {
    let (_folder, daemon) = started();
    let before = scrape(&daemon);
    for _ in 0..3 {
        daemon.tracked(&visit(&["page-view", "page-view"]));
    }
    assert_eq!(daemon.post_json("/track", "{").status, 422);
    let mut unknown = visit(&["page-view"]);
    unknown["source"]["id"] = "nobody's".into();
    assert_eq!(daemon.track(&unknown).status, 401);
    assert_eq!(daemon.request("POST", "/track", &[("Content-Type", "text/html")], b"{}").status, 415);
    assert_eq!(daemon.admin("GET", "/session/s").status, 200);
    let after = scrape(&daemon);
    let grown =
        |name: &str, labels: &[(&str, &str)]| after.get(name, labels) - before.find(name, labels).unwrap_or_default();
    let requests = |status: &str| grown("tracardi_http_requests_total", &[("path", "/track"), ("status", status)]);
    assert_eq!(["200", "422", "401", "415"].map(requests), [3.0, 1.0, 1.0, 1.0]);
    assert_eq!(grown("tracardi_http_requests_total", &[("path", "/session/{id}"), ("status", "200")]), 1.0);
    assert_eq!(grown("tracardi_http_request_seconds_count", &[("path", "/track")]), 6.0);
    assert!(grown("tracardi_http_request_seconds_sum", &[("path", "/track")]) > 0.0);
    assert_eq!(grown("tracardi_events_total", &[]), 6.0);
    let refused = |reason: &str| grown("tracardi_refused_requests_total", &[("reason", reason)]);
    assert_eq!(["invalid", "denied", "unsupported", "stopped"].map(refused), [1.0, 1.0, 1.0, 0.0]);
    // Each visit waited for the disk, so each was a group.
    assert_eq!(grown("tracardi_commit_groups_total", &[]), 3.0);
    assert!(grown("tracardi_fsync_seconds_count", &[]) >= 3.0);
}

#[test]
fn what_the_store_holds_and_takes_is_told() {
    let (_folder, daemon) = started();
    daemon.tracked(&visit(&["page-view"]));
    let told = wait_for("what is stored to be applied and looked at", || {
        let told = scrape(&daemon);
        let is_there = told.get("tracardi_unapplied_entries", &[]) == 0.0
            && told.get("tracardi_queue_bytes", &[]) == 0.0
            && told.get("tracardi_view_records", &[]) >= 4.0;
        is_there.then_some(told)
    });
    assert!(told.get("tracardi_log_entries", &[]) >= 4.0); // request, event, session, profile
    assert_eq!(told.get("tracardi_queue_requests", &[]), 0.0);
    assert!(told.get("tracardi_queue_limit_bytes", &[]) > 1e6);
    let segments = |state| told.get("tracardi_segments", &[("state", state)]);
    assert_eq!(["live", "sealed"].map(segments), [1.0, 0.0]);
    assert_eq!(told.get("tracardi_segments_without_index", &[]), 0.0);
    for kind in ["journal", "segments", "views", "other"] {
        assert!(told.get("tracardi_disk_bytes", &[("kind", kind)]) > 0.0, "{kind}");
    }
    assert!(told.get("tracardi_disk_free_bytes", &[]) > 0.0);
    assert!(told.get("process_resident_memory_bytes", &[]) > 1e6);
    assert!(told.get("process_cpu_seconds_total", &[]) > 0.0);
    assert!(told.get("tracardi_http_connections", &[]) >= 1.0);
    assert_eq!(told.get("tracardi_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), 1.0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let started = told.get("process_start_time_seconds", &[]);
    assert!((now - 60.0..=now).contains(&started), "{started} {now}");
}

#[test]
fn segments_are_counted_as_they_are_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).set("storage.segment_bytes", 65_536).start();
    daemon.shop();
    wait_for("a sealed segment", || {
        let text: String = (0..1_000).map(|_| uuid::Uuid::new_v4().to_string()).collect();
        let properties = json!({"text": text});
        let event = json!({"type": "a", "properties": properties});
        daemon.tracked(&json!({"source": {"id": "shop"}, "session": {"id": "s"}, "events": [event]}));
        (scrape(&daemon).get("tracardi_segments", &[("state", "sealed")]) >= 1.0).then_some(())
    });
}

#[test]
fn workflows_and_lookups_are_counted() {
    let external = External::start(|asked| (if asked.line.contains("/ok") { 200 } else { 500 }, "{}".into()));
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).set("lookup.allowed_hosts", "127.0.0.1").start();
    daemon.shop();
    let lookup = |path: &str, cache: Value| {
        let url = format!("http://{}{path}", external.address);
        json!([{"lookup": {"url": url, "cache": cache}}])
    };
    let configuration = json!({"workflow": [
        {"id": "asks", "on": ["good"], "step": lookup("/ok", json!("1h"))},
        {"id": "fails \"twice\"", "on": ["bad"], "step": lookup("/no", Value::Null)},
        {"id": "idle", "on": ["never"], "step": [{"stop": true}]},
    ]});
    let response = daemon.post_admin("/configuration", &configuration);
    assert_eq!(response.status, 200, "{}", response.text());
    for kind in ["good", "good", "good", "bad", "bad"] {
        daemon.tracked(&visit(&[kind]));
    }
    let told = scrape(&daemon);
    let of = |workflow: &str| {
        ["tracardi_workflow_runs_total", "tracardi_workflow_failures_total"]
            .map(|name| told.get(name, &[("workflow", workflow)]))
    };
    assert_eq!([of("asks"), of("fails \"twice\""), of("idle")], [[3.0, 0.0], [2.0, 2.0], [0.0, 0.0]]);
    let lookups = |result| told.get("tracardi_lookups_total", &[("result", result)]);
    assert_eq!(["answered", "failed", "remembered"].map(lookups), [1.0, 2.0, 2.0]);
    assert_eq!(told.get("tracardi_lookup_seconds_count", &[]), 3.0);
    // What is not set up any more is not told any more.
    assert_eq!(daemon.admin("DELETE", "/workflow/idle").json(), json!(true));
    assert_eq!(scrape(&daemon).find("tracardi_workflow_runs_total", &[("workflow", "idle")]), None);
}

#[test]
fn how_far_destinations_are_behind_is_told() {
    let status = Arc::new(AtomicU16::new(500));
    let external = External::start({
        let status = status.clone();
        move |_| (status.load(Ordering::Relaxed), "{}".into())
    });
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).set("lookup.allowed_hosts", "127.0.0.1").start();
    daemon.shop();
    let destination =
        json!({"id": "crm", "events": ["*"], "webhook": {"url": format!("http://{}/", external.address)}});
    assert_eq!(daemon.post_admin("/destination", &destination).status, 200);
    daemon.tracked(&visit(&["a", "b"]));
    let of = |told: &Exposition, name: &str| told.get(name, &[("destination", "crm")]);
    wait_for("a delivery that fails", || {
        let told = scrape(&daemon);
        let fails = of(&told, "tracardi_destination_failing") >= 1.0;
        (fails && of(&told, "tracardi_destination_lag_entries") >= 1.0).then_some(())
    });
    status.store(200, Ordering::Relaxed);
    let told = wait_for("the delivery", || {
        Some(scrape(&daemon)).filter(|told| of(told, "tracardi_destination_lag_entries") == 0.0)
    });
    let names = ["failing", "items_total", "undecided_total", "panics_total"];
    assert_eq!(names.map(|name| of(&told, &format!("tracardi_destination_{name}"))), [0.0, 2.0, 0.0, 0.0]);
}

#[test]
fn the_metrics_token_lets_in_to_the_metrics_alone() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).set("metrics.token", METRICS_TOKEN).start();
    daemon.shop();
    assert_eq!([TOKEN, METRICS_TOKEN].map(|token| get_with(&daemon, "/metrics", token)), [200, 200]);
    for wrong in ["", "wrong", "metrics-toke", "metrics-token2"] {
        assert_eq!(get_with(&daemon, "/metrics", wrong), 401, "{wrong}");
    }
    assert_eq!(daemon.get("/metrics").header("www-authenticate"), Some("Bearer"));
    assert_eq!([daemon.get("/metrics").status, daemon.get("/system").status], [401, 401]);
    for other in ["/system", "/event-sources", "/configuration", "/event-source/shop"] {
        assert_eq!([TOKEN, METRICS_TOKEN].map(|token| get_with(&daemon, other, token)), [200, 401], "{other}");
    }
    let body = visit(&["a"]).to_string();
    let bearer = ("Authorization", &*format!("Bearer {METRICS_TOKEN}"));
    assert_eq!(daemon.request("POST", "/track?dry_run=true", &[bearer], body.as_bytes()).status, 401);
    // Nothing lets in where none is set.
    let daemon = daemon.stop().set("metrics.token", "").start();
    assert_eq!(["", METRICS_TOKEN, TOKEN].map(|token| get_with(&daemon, "/metrics", token)), [401, 401, 200]);
}

#[test]
fn whatever_clients_make_up_adds_no_series() {
    let (_folder, daemon) = started();
    let mut connection = daemon.kept().unwrap();
    let mut round = |number: usize| {
        for (path, body) in [
            (format!("/made-up-{number}"), "{}".to_owned()),
            (format!("/event-source/{number}/secret/x"), String::new()),
            (format!("/collect/type-{number}/shop/session-{number}"), json!({"number": number}).to_string()),
            (format!("/collect/a/source-{number}?x={number}"), "{}".to_owned()),
            (format!("/session/{number}"), "{}".to_owned()),
        ] {
            let status = connection.post(&path, &body).unwrap().status;
            assert!([200, 401, 404, 405].contains(&status), "{path}: {status}");
        }
    };
    round(0);
    scrape(&daemon); // itself
    let before = scrape(&daemon);
    (1..=200).for_each(&mut round);
    let after = scrape(&daemon);
    assert_eq!(before.series(), after.series());
    let other = |told: &Exposition| told.get("tracardi_http_requests_total", &[("path", "other"), ("status", "404")]);
    assert_eq!(other(&after) - other(&before), 400.0);
}

#[test]
fn a_person_is_told_the_same_with_the_settings() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path()).set("metrics.token", METRICS_TOKEN).set("server.max_connections", 1234);
    let daemon = setup.start();
    daemon.shop();
    daemon.tracked(&visit(&["a", "b", "c"]));
    let told = daemon.record("/system");
    assert_eq!(told["version"], env!("CARGO_PKG_VERSION"));
    assert!(told["uptime_seconds"].is_u64() && told["started"].as_str().unwrap().starts_with("20"));
    assert_eq!((&told["store"]["events"], &told["store"]["fsync"]["count"].is_u64()), (&json!(3), &true));
    assert_eq!(told["http"]["requests"]["/track"]["by_status"], json!({"200": 1}));
    assert!(told["http"]["requests"]["/track"]["time"]["median_at_most"].is_f64());
    assert!(told["disk_bytes"]["journal"].as_u64() > Some(0) && told["process"]["resident_bytes"].is_u64());
    assert_eq!(told["segments"], json!({"live": 1, "sealed": 0, "without_index": 0}));
    let settings = &told["settings"];
    assert_eq!((&settings["server"]["max_connections"], &settings["track"]["bots"]), (&json!(1234), &json!("mark")));
    let text = told.to_string();
    for secret in [TOKEN, METRICS_TOKEN] {
        assert!(!text.contains(secret), "{text}");
    }
    assert!(!text.contains("null"), "what is not there is left out: {text}");
    assert!(!daemon.stderr().contains(METRICS_TOKEN) && !daemon.stdout().contains(METRICS_TOKEN));
}
