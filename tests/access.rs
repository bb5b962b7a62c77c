//! Viewers, links to single pages, and the history of changes (docs/contract.md, section 19).

mod support;

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::{Value, json};
use support::{
    Daemon, Setup,
    daemon::{Response, TOKEN, started},
};

fn made(daemon: &Daemon, path: &str, body: &Value) -> Value {
    let response = daemon.post_admin(path, body);
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(response.header("cache-control"), Some("no-store"));
    response.json()
}

fn with_token(daemon: &Daemon, method: &str, path: &str, token: &str) -> Response {
    daemon.request(method, path, &[("Authorization", &format!("Bearer {token}"))], b"")
}

fn log_in(daemon: &Daemon, password: &str) -> Response {
    let own = format!("http://{}", daemon.address);
    let headers = [("Origin", &*own), ("Content-Type", "application/x-www-form-urlencoded")];
    daemon.request("POST", "/console/log-in", &headers, format!("password={password}&name=Eve").as_bytes())
}

fn cookie(response: &Response) -> String {
    response.header("set-cookie").and_then(|cookie| cookie.split(';').next()).expect("a cookie").to_owned()
}

/// Follows a live stream on a connection of its own.
fn follow(daemon: &Daemon, path: &str, header: &str) -> TcpStream {
    let mut stream = TcpStream::connect(&*daemon.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\n{header}\r\nConnection: close\r\n\r\n", daemon.address).unwrap();
    read_until(&mut stream, "retry:");
    stream
}

fn read_until(stream: &mut TcpStream, text: &str) {
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(text) {
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).unwrap();
        assert!(count > 0, "it ends: {}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&piece[..count]);
    }
}

fn visit(daemon: &Daemon) -> String {
    let visit = json!({"source": {"id": "shop"}, "session": {"id": "s"}, "events": [
        {"type": "page-view"}, {"type": "sign-in", "properties": {"email": {"main": "ada@example.com"}}}
    ]});
    daemon.tracked(&visit)["profile"]["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_viewer_reads_and_changes_nothing() {
    let (folder, daemon) = started();
    let profile = visit(&daemon);
    let token = made(&daemon, "/token", &json!({"role": "viewer", "name": "Marketing"}))["token"].clone();
    let token = token.as_str().unwrap();
    for path in [
        "/events",
        "/sessions",
        "/profiles?email=ada@example.com",
        "/session/s/events",
        &format!("/profile/{profile}/timeline"),
        "/stats/events?by=day",
        "/stats/visits?by=day",
        "/stats/top?of=page",
        "/stats/retention?by=week",
        "/metrics",
        "/system",
    ] {
        assert_eq!(with_token(&daemon, "GET", path, token).status, 200, "{path}");
    }
    for (method, path) in [
        ("GET", "/configuration"),
        ("GET", "/event-sources"),
        ("GET", "/workflows"),
        ("GET", "/tokens"),
        ("GET", "/changes"),
        ("GET", "/export?what=events"),
        ("GET", &*format!("/profile/{profile}")),
        ("GET", &*format!("/profile/{profile}/export")),
        ("DELETE", &*format!("/profile/{profile}")),
        ("DELETE", "/session/s"),
        ("POST", "/event-source"),
        ("POST", "/token"),
        ("POST", "/share"),
        ("POST", "/track?dry_run=true"),
    ] {
        let status = with_token(&daemon, method, path, token).status;
        assert!(
            [401, 422].contains(&status) && (status == 401 || path.starts_with("/track")),
            "{method} {path}: {status}"
        );
    }
    // In the console, too.
    let session = cookie(&log_in(&daemon, token));
    let see = |page: &str| daemon.request("GET", &format!("/console/{page}"), &[("Cookie", &*session)], b"");
    let overview = see("overview");
    assert_eq!(overview.status, 200);
    assert!(!overview.text().contains("/console/set-up") && !overview.text().contains("Share this view"));
    let person = format!("people/{profile}");
    assert!(!see(&person).text().contains("/erase"));
    for page in [
        "sources",
        "sources/shop",
        "set-up",
        "set-up/history",
        "set-up/access",
        &format!("{person}/erase"),
        &format!("{person}/export"),
    ] {
        assert_eq!(see(page).status, 401, "{page}");
    }
    let text = overview.text();
    let forgery = text.split("name=\"token\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let own = format!("http://{}", daemon.address);
    let headers = [("Origin", &*own), ("Content-Type", "application/x-www-form-urlencoded"), ("Cookie", &*session)];
    for page in
        [format!("{person}/erase"), "sources/new".into(), "set-up/segment/new".into(), "set-up/access/token".into()]
    {
        let body = format!("token={forgery}&name=x&do=save");
        assert_eq!(
            daemon.request("POST", &format!("/console/{page}"), &headers, body.as_bytes()).status,
            401,
            "{page}"
        );
    }
    // It is kept as a hash, outlives a restart, and ends with its token.
    let listed = daemon.admin("GET", "/tokens").json();
    assert_eq!((&listed["total"], &listed["result"][0]["name"]), (&json!(1), &json!("Marketing")));
    assert!(!listed.to_string().contains(token));
    let id = listed["result"][0]["id"].as_str().unwrap().to_owned();
    let daemon = daemon.restart();
    assert_eq!(with_token(&daemon, "GET", "/events", token).status, 200);
    let session = cookie(&log_in(&daemon, token));
    let mut followed = [
        follow(&daemon, "/events/live", &format!("Authorization: Bearer {token}")),
        follow(&daemon, "/console/live", &format!("Cookie: {session}")),
    ];
    visit(&daemon);
    for stream in &mut followed {
        read_until(stream, "ada@example.com");
    }
    assert_eq!(daemon.admin("DELETE", &format!("/token/{id}")).json(), true);
    visit(&daemon);
    for stream in &mut followed {
        let mut rest = String::new();
        stream.read_to_string(&mut rest).unwrap();
        assert!(!rest.contains("page-view"), "what comes after its end is not sent: {rest}");
    }
    assert_eq!(with_token(&daemon, "GET", "/events", token).status, 401);
    assert_eq!(daemon.request("GET", "/console/overview", &[("Cookie", &*session)], b"").status, 303);
    assert_eq!(daemon.admin("DELETE", &format!("/token/{id}")).status, 404);
    drop(daemon);
    let found = std::process::Command::new("grep").args(["-rqa", token]).arg(folder.path()).status().unwrap();
    assert!(!found.success(), "the token stands nowhere on the disk");
}

#[test]
fn a_shared_link_leads_to_one_page_without_people_until_it_ends() {
    let (_folder, daemon) = started();
    let profile = visit(&daemon);
    let share = made(&daemon, "/share", &json!({"page": "overview?period=30d&source=shop", "expires": "7d"}));
    let path = share["path"].as_str().unwrap();
    let page = daemon.get(path);
    assert_eq!(page.status, 200, "{}", page.text());
    assert!(page.text().contains("Here now") && !page.text().contains(&profile), "{}", page.text());
    assert!(!page.text().contains("Who is here") && !page.text().contains("/console/people"));
    for part in ["chart", "visits", "page"] {
        assert_eq!(daemon.get(&format!("{path}/{part}")).status, 200, "{part}");
    }
    // Its filters are those it was made with, and it leads nowhere else.
    assert_eq!(daemon.get(&format!("{path}?period=ever")).status, 200);
    for elsewhere in ["../people", "timeline", "chart/x"] {
        assert_ne!(daemon.get(&format!("{path}/{elsewhere}")).status, 200, "{elsewhere}");
    }
    let own = format!("http://{}", daemon.address);
    assert_ne!(daemon.request("POST", path, &[("Origin", &*own)], b"").status, 200);
    assert_eq!(daemon.get("/console/shared/trl_0").status, 404);
    assert_eq!(daemon.get("/console/live").status, 303);
    let id = share["id"].as_str().unwrap();
    assert_eq!(daemon.admin("GET", "/shares").json()["result"][0]["page"], "overview?period=30d&source=shop");
    assert_eq!(daemon.admin("DELETE", &format!("/share/{id}")).json(), true);
    assert_eq!(daemon.get(path).status, 404);
    let ended = made(&daemon, "/share", &json!({"page": "retention", "expires": "1s"}));
    support::daemon::wait_for("its end", || (daemon.get(ended["path"].as_str().unwrap()).status == 404).then_some(()));
    for (body, place) in [
        (json!({"page": "people"}), "page"),
        (json!({"page": "events?type=x"}), "page"),
        (json!({"page": "overview", "expires": "2001-01-01T00:00:00Z"}), "expires"),
        (json!({"page": "overview", "expires": "soon"}), "expires"),
    ] {
        let refused = daemon.post_admin("/share", &body);
        assert_eq!((refused.status, &refused.loc()), (422, &json!(["body", place])), "{body}");
    }
    let refused = daemon.post_admin("/token", &json!({"role": "admin", "name": "x"}));
    assert_eq!((refused.status, refused.loc()), (422, json!(["body", "role"])));
}

#[test]
fn the_history_tells_who_changed_what_and_leads_back() {
    let (folder, daemon) = started();
    let segment = |least: u64| json!({"id": "regular", "condition": format!("profile.stats.visits >= {least}")});
    assert_eq!(daemon.post_admin("/segment", &segment(3)).status, 200);
    assert_eq!(daemon.post_admin("/segment", &segment(3)).status, 200, "as it was");
    assert_eq!(daemon.post_admin("/segment", &segment(5)).status, 200);
    assert_eq!(daemon.admin("DELETE", "/segment/regular").status, 200);
    assert_eq!(daemon.admin("DELETE", "/event-source/shop").status, 200);
    let daemon = daemon.restart();
    let changes = daemon.admin("GET", "/changes").json();
    let told: Vec<(&str, &str, bool, bool)> = changes["result"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| {
            let there = |side: &str| !change[side].is_null();
            (change["kind"].as_str().unwrap(), change["of"].as_str().unwrap(), there("before"), there("after"))
        })
        .collect();
    assert_eq!(
        told[..5],
        [
            ("source", "shop", true, false),
            ("segment", "regular", true, false),
            ("segment", "regular", true, true),
            ("segment", "regular", false, true),
            ("source", "shop", false, true),
        ]
    );
    assert_eq!(changes["result"][0]["by"], "the administrator's token");
    assert_eq!(changes["result"][0]["address"], "127.0.0.1");
    // Back to what it was before it was deleted, in the console, under one's own name.
    let session = cookie(&log_in(&daemon, TOKEN));
    let page = daemon.request("GET", "/console/set-up/history", &[("Cookie", &*session)], b"").text();
    let forgery = page.split("name=\"token\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let own = format!("http://{}", daemon.address);
    let headers = [("Origin", &*own), ("Content-Type", "application/x-www-form-urlencoded"), ("Cookie", &*session)];
    for place in [1, 0] {
        let id = changes["result"][place]["id"].as_str().unwrap();
        let body = format!("token={forgery}&id={id}");
        assert_eq!(daemon.request("POST", "/console/set-up/history", &headers, body.as_bytes()).status, 303);
    }
    assert_eq!(daemon.record("/segment/regular")["condition"], "profile.stats.visits >= 5");
    assert_eq!(daemon.record("/event-source/shop")["name"], "Shop");
    assert_eq!(daemon.admin("GET", "/changes").json()["result"][0]["by"], "Eve");
    // The file of what is set up has nothing of it.
    let dumped = daemon.admin("GET", "/configuration").json();
    assert_eq!(dumped.as_object().unwrap().keys().collect::<Vec<_>>(), ["segment", "source"]);
    drop(daemon);
    assert!(Setup::new(folder.path()).start().admin("GET", "/changes").json()["total"].as_u64() > Some(5));
}

#[test]
fn only_so_many_changes_are_kept() {
    let (_folder, daemon) = started();
    let long = "x".repeat(200_000);
    for number in 0..50 {
        let segment = json!({"id": "s", "description": format!("{number}{long}"), "condition": "true"});
        assert_eq!(daemon.post_admin("/segment", &segment).status, 200);
    }
    let changes = daemon.admin("GET", "/changes").json();
    let total = changes["total"].as_u64().unwrap();
    assert!((10..45).contains(&total), "8 MiB are kept: {total}");
    assert!(changes["result"][0]["after"].to_string().contains("49x"), "the newest are");
}
