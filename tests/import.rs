//! Records that come in files (docs/contract.md, section 15).

mod support;

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    process::{Command, Output},
};

use serde_json::{Value, json};
use support::{
    Daemon, Setup,
    daemon::{TOKEN, started, wait_for},
};

const KINDS: [&str; 3] = ["profiles", "sessions", "events"];

/// A store in which something of everything happened.
fn lived_in() -> (tempfile::TempDir, Daemon) {
    let (folder, daemon) = started();
    let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    for number in 0..30 {
        let page = json!({"page": {"url": format!("https://shop.example/{number}?utm_source=news"), "title": "Shop"}});
        let body = json!({
            "source": {"id": "shop"}, "session": {"id": format!("s{}", number % 10)}, "context": page,
            "device": {"id": "d1"}, "properties": {"n": number},
            "events": [
                {"id": format!("given-{number}"), "type": "page-view", "time": {"create": "2020-01-01T00:00:00Z"}},
                {"type": "Profile Update", "tags": ["a", "b"], "properties": {
                    "contact": {"email": {"main": format!("ada{}@example.com", number % 5)}}, "odd": ["\u{0}", 1.10, true, null, {}],
                }},
            ],
        });
        let headers = [("Content-Type", "application/json"), ("User-Agent", firefox), ("Accept-Language", "de-CH")];
        let sent = daemon.request("POST", "/track", &headers, body.to_string().as_bytes());
        assert_eq!(sent.status, 200, "{}", sent.text());
    }
    assert_eq!(daemon.post_json("/collect/signed-up/shop", r#"{"a": 1E5, "b": 12345678901234567890123}"#).status, 200);
    // Whose events and sessions stay.
    let gone = daemon.record("/session/s9")["profile"]["id"].as_str().unwrap().to_owned();
    assert_eq!(daemon.admin("DELETE", &format!("/profile/{gone}")).status, 200);
    (folder, daemon)
}

fn exported(daemon: &Daemon, what: &str) -> String {
    let response = daemon.admin("GET", &format!("/export?what={what}"));
    assert_eq!(response.status, 200, "{}", response.text());
    String::from_utf8(response.body).unwrap()
}

fn imported(daemon: &Daemon, query: &str, lines: &str) -> Value {
    let headers = [("Authorization", &*format!("Bearer {TOKEN}")), ("Content-Type", "application/x-ndjson")];
    let response = daemon.request("POST", &format!("/import{query}"), &headers, lines.as_bytes());
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()
}

/// What an export says without what tells that it was imported.
fn unmarked(export: &str) -> String {
    export.replace(",\"imported\":true", "")
}

fn event(id: &str, insert: &str) -> Value {
    json!({"id": id, "type": "visited", "source": {"id": "shop"}, "metadata": {"time": {"insert": insert}}})
}

/// A file of so many events, one a second.
fn events(count: u64) -> String {
    let line = |number: u64| {
        let insert = format!("2025-01-01T{:02}:{:02}:{:02}Z", number / 3600, number / 60 % 60, number % 60);
        format!("{}\n", event(&format!("e{number}"), &insert))
    };
    (0..count).map(line).collect()
}

#[test]
fn what_was_exported_comes_back_as_it_was() {
    let (_folder, daemon) = lived_in();
    let first = KINDS.map(|what| exported(&daemon, what));
    let (_other, copy) = started();
    let told: Vec<Value> = first.iter().map(|lines| imported(&copy, "", lines)).collect();
    let lines = |what: usize| first[what].lines().count() as u64;
    assert_eq!(told[0]["imported"], json!({"events": 0, "sessions": 0, "profiles": lines(0)}), "{}", told[0]);
    assert_eq!(told[1]["imported"], json!({"events": 0, "sessions": lines(1), "profiles": 0}), "{}", told[1]);
    assert_eq!(told[2]["imported"], json!({"events": lines(2), "sessions": 0, "profiles": 0}), "{}", told[2]);
    assert_eq!(told[2]["errors"], json!([]));
    let second = KINDS.map(|what| exported(&copy, what));
    for (place, what) in KINDS.iter().enumerate() {
        assert_eq!(unmarked(&second[place]), first[place], "{what}");
        assert!(second[place].lines().all(|line| line.contains(",\"imported\":true")), "{what}");
    }
    // Once more, nothing changes at all; also after the views were made again from the log.
    let (third_folder, third) = started();
    second.iter().for_each(|lines| _ = imported(&third, "", lines));
    assert_eq!(KINDS.map(|what| exported(&third, what)), second);
    let setup = third.stop();
    let rebuilt = setup.command(&["rebuild"]).output().unwrap();
    assert!(rebuilt.status.success(), "{}", String::from_utf8_lossy(&rebuilt.stderr));
    let checked = setup.command(&["check"]).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    let third = setup.start();
    assert_eq!(KINDS.map(|what| exported(&third, what)), second);
    drop(third_folder);
}

#[test]
fn imported_people_go_on_as_if_they_had_been_here() {
    let (_folder, daemon) = lived_in();
    let (_other, copy) = started();
    KINDS.iter().for_each(|what| _ = imported(&copy, "", &exported(&daemon, what)));
    let session = copy.record("/session/s1");
    assert_eq!((&session["metadata"]["imported"], &session["app"]["name"]), (&json!(true), &json!("Firefox")));
    let profile = session["profile"]["id"].as_str().unwrap().to_owned();
    // By id, by what they are known by, and by their events.
    let before = copy.record(&format!("/profile/{profile}"));
    assert_eq!(before["metadata"]["imported"], true);
    let email = before["data"]["contact"]["email"]["main"].as_str().unwrap();
    assert_eq!(copy.record(&format!("/profiles?email={email}"))["result"][0]["id"], profile.as_str());
    let theirs = copy.record(&format!("/profile/{profile}/events?limit=1000"))["result"].as_array().unwrap().len();
    let there = daemon.record(&format!("/profile/{profile}/events?limit=1000"))["result"].as_array().unwrap().len();
    assert_eq!(theirs, there);
    // The visit goes on: the session is not counted again.
    let body = json!({"source": {"id": "shop"}, "session": {"id": "s1"}, "events": [{"type": "page-view"}]});
    assert_eq!(copy.tracked(&body)["profile"]["id"], profile.as_str());
    let after = copy.record(&format!("/profile/{profile}"));
    assert_eq!(after["stats"]["visits"], before["stats"]["visits"]);
    assert_eq!(after["stats"]["views"].as_u64(), before["stats"]["views"].as_u64().map(|views| views + 1));
    // An id that a source used is used.
    let repeat =
        json!({"source": {"id": "shop"}, "session": {"id": "s1"}, "events": [{"type": "page-view", "id": "given-3"}]});
    assert!(copy.tracked(&repeat)["warnings"][0].as_str().unwrap().contains("given-3"));
}

#[test]
fn imported_events_count_where_they_belong_and_nothing_is_done_about_them() {
    let (folder, daemon) = started();
    let configuration = json!({
        "workflow": [{"id": "w", "on": ["visited"], "step": [{"stop": true}]}],
        "destination": [{"id": "all", "events": ["*"], "file": "all.ndjson"}],
    });
    let applied = daemon.post_admin("/configuration", &configuration);
    assert_eq!(applied.status, 200, "{}", applied.text());
    // Somebody follows the log meanwhile.
    let mut live = BufReader::new(daemon.connect().unwrap());
    let head = format!("GET /events/live HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
    live.get_mut().write_all(head.as_bytes()).unwrap();
    wait_for("the stream", || (daemon.record("/system")["http"]["live_readers"] == 1).then_some(()));
    let told = imported(&daemon, "", &events(100));
    assert_eq!(told["imported"]["events"], 100);
    daemon.tracked(&json!({"source": {"id": "shop"}, "session": {"id": "s"}, "events": [{"type": "afterwards"}]}));
    let mut line = String::new();
    while !line.starts_with("data: ") {
        line.clear();
        assert!(live.read_line(&mut line).unwrap() > 0);
    }
    assert!(line.contains("\"type\":\"afterwards\""), "{line}");
    let delivered = folder.path().join("deliveries/all.ndjson");
    let written =
        wait_for("the delivery", || fs::read_to_string(&delivered).ok().filter(|text| text.contains("afterwards")));
    assert!(!written.contains("visited"), "{written}");
    assert_eq!(daemon.record("/workflow/w/status")["performed"], 0);
    // In queries and counts they stand in their time.
    let counted = daemon.record("/stats/events?by=day&type=visited&to=2025-01-03T00:00:00Z");
    assert_eq!(counted["result"][0], json!({"day": "2025-01-01", "events": 100}));
    let found = daemon.record("/events?type=visited&from=2025-01-01T00:00:10Z&to=2025-01-01T00:00:20Z");
    assert_eq!(found["result"].as_array().unwrap().len(), 10);
    assert_eq!(found["result"][0]["metadata"]["imported"], true);
    let event = daemon.record("/event/e7");
    assert_eq!(event["event"]["metadata"]["time"]["insert"], "2025-01-01T00:00:07.000000Z");
    // The server's own time did not go back.
    let now = daemon.record("/events?type=afterwards")["result"][0]["metadata"]["time"]["insert"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(now.as_str() > "2026", "{now}");
}

#[test]
fn lines_that_do_not_fit_are_told_and_the_others_taken() {
    let (_folder, daemon) = started();
    let long = format!("{{\"id\": \"{}\"}}", "x".repeat(9 * 1024 * 1024));
    let lines = [
        event("a", "2025-01-01T00:00:00Z").to_string(),
        "nonsense".to_owned(),
        String::new(),
        json!({"id": "b", "type": "t", "source": {"id": "shop"}}).to_string(),
        json!({"id": "c", "type": "t", "source": {"id": "unknown"}, "metadata": {"time": {"insert": 1}}}).to_string(),
        event("d", "2999-01-01T00:00:00Z").to_string(),
        long,
        event("a", "2025-01-02T00:00:00Z").to_string(),
        json!({"id": "e"}).to_string(),
        event("f", "2025-01-01T00:00:00Z").to_string(),
    ];
    let told = imported(&daemon, "", &lines.join("\n"));
    assert_eq!(
        (&told["imported"]["events"], &told["skipped"]["events"], &told["failed"]),
        (&json!(2), &json!(1), &json!(6))
    );
    let mut errors: Vec<(u64, String)> = told["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| (error["line"].as_u64().unwrap(), error["msg"].as_str().unwrap().to_owned()))
        .collect();
    errors.sort();
    let expected = [
        (2, "an object is expected"),
        (4, "metadata: time: insert: field required"),
        (5, "source: id: there is no source unknown"),
        (6, "it lies in the future"),
        (7, "longer than"),
        (9, "neither an event"),
    ];
    assert_eq!(errors.len(), expected.len(), "{errors:?}");
    for ((line, msg), (expected, part)) in errors.iter().zip(expected) {
        assert!(*line == expected && msg.contains(part), "{line}: {msg}");
    }
    assert_eq!(told["sources_missing"], json!(["unknown"]));
    // Asked to, it registers what is missing, and lets nobody in.
    let told = imported(&daemon, "?make_sources=true", &lines.join("\n"));
    assert_eq!((&told["imported"]["events"], &told["sources_made"]), (&json!(1), &json!(["unknown"])));
    assert_eq!(daemon.record("/event-source/unknown")["enabled"], false);
}

#[test]
fn requests_that_are_wrong_are_refused() {
    let (_folder, daemon) = started();
    let post = |path: &str, kind: &str, body: &[u8]| {
        let headers = [("Authorization", &*format!("Bearer {TOKEN}")), ("Content-Type", kind)];
        daemon.request("POST", path, &headers, body)
    };
    for (query, at) in
        [("?what=sources", "what"), ("?source=", "source"), ("?make_sources=so", "make_sources"), ("?a=b", "a")]
    {
        let response = post(&format!("/import{query}"), "application/json", b"");
        assert_eq!((response.status, response.loc()), (422, json!(["query", at])), "{query}");
    }
    assert_eq!(post("/import", "text/html", b"").status, 415);
    assert_eq!(daemon.request("POST", "/import", &[], b"{}").status, 401);
    assert_eq!(daemon.admin("GET", "/import").status, 405);
    assert_eq!(post("/import", "application/json", b"").json()["failed"], 0);
}

#[test]
fn a_body_may_be_compressed_and_of_any_length() {
    let (_folder, daemon) = started();
    let lines = events(20_000);
    assert!(lines.len() > 2 * 1024 * 1024, "more than another body may have");
    let gzip = |text: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    };
    let post = |encoding: &str, body: &[u8]| {
        let headers = [("Authorization", &*format!("Bearer {TOKEN}")), ("Content-Encoding", encoding)];
        daemon.request("POST", "/import", &headers, body)
    };
    let zipped = gzip(lines.as_bytes());
    assert_eq!(post("gzip", &zipped).json()["imported"]["events"], 20_000);
    assert_eq!(post("zstd", &zstd::encode_all(lines.as_bytes(), 1).unwrap()).json()["skipped"]["events"], 20_000);
    assert_eq!(post("gzip", &zipped[..zipped.len() / 2]).status, 422);
    assert_eq!(post("gzip", b"plain").status, 422);
    assert_eq!(post("br", b"").status, 415);
    // What comes to far more than any text is no file of records.
    let blank = zstd::encode_all(&vec![b' '; 64 * 1024 * 1024][..], 1).unwrap();
    assert_eq!(post("zstd", &blank).status, 422);
}

#[test]
fn an_import_that_was_killed_goes_on_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.ndjson");
    let all = 60_000;
    fs::write(&file, events(all)).unwrap();
    let store = folder.path().join("store");
    let mut daemon = Setup::new(&store).start();
    daemon.shop();
    let run = |setup: &Setup| setup.command(&["import", file.to_str().unwrap()]).output().unwrap();
    let importing = std::thread::spawn({
        let (setup, file) = (Setup::new(&store), file.clone());
        move || setup.command(&["import", file.to_str().unwrap()]).output().unwrap()
    });
    let stored = |daemon: &Daemon| daemon.record("/stats/events?by=type")["result"][0]["events"].as_u64().unwrap_or(0);
    wait_for("some of it", || (stored(&daemon) > 0).then_some(()));
    daemon.kill();
    let ended = importing.join().unwrap();
    let daemon = Setup::new(&store).start();
    let before = stored(&daemon);
    assert!(before > 0 && before < all && !ended.status.success(), "{before}");
    let said = text(&run(&Setup::new(&store)));
    assert!(
        said.contains(&format!("imported {} events; there already: {before} events; not taken: 0", all - before)),
        "{said}"
    );
    assert_eq!(stored(&daemon), all);
    // The same of a stopped store.
    let setup = daemon.stop();
    let said = text(&run(&setup));
    assert!(said.contains(&format!("imported nothing; there already: {all} events")), "{said}");
    assert_eq!(stored(&setup.start()), all);
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn import(setup: &Setup, arguments: &[&str]) -> Command {
    setup.command(&[&["import"], arguments].concat())
}

#[test]
fn the_command_takes_files_in_the_order_in_which_they_need_each_other() {
    let (_folder, daemon) = lived_in();
    let out = tempfile::tempdir().unwrap();
    let files: Vec<String> = ["events", "sessions", "profiles"]
        .iter()
        .map(|what| {
            let file = out.path().join(format!("{what}.ndjson"));
            fs::write(&file, exported(&daemon, what)).unwrap();
            file.to_str().unwrap().to_owned()
        })
        .collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let first = KINDS.map(|what| exported(&daemon, what));
    // Into a store that no daemon has.
    let store = out.path().join("store");
    let setup = Setup::new(&store);
    let made = setup.command(&["source", "add", "shop", "--id", "shop"]).output().unwrap();
    assert!(made.status.success());
    let said = text(&import(&setup, &files).output().unwrap());
    let order: Vec<usize> = KINDS.iter().map(|what| said.find(&format!("{what}.ndjson: imported ")).unwrap()).collect();
    assert!(order.is_sorted(), "{said}");
    let copy = setup.start();
    assert_eq!(KINDS.map(|what| unmarked(&exported(&copy, what))), first);
    // From standard input, and what does not fit is the command's failure.
    let mut child = import(&setup, &["--what", "events", "-"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"{\"id\": \"\x1b[2J\"}\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("line 1: ") && !said.contains('\u{1b}'), "{said}");
}

#[test]
fn segment_s_messages_become_events_of_people() {
    let (_folder, daemon) = started();
    let lines = [
        json!({"type": "identify", "messageId": "m1", "userId": "u1", "anonymousId": "a1", "timestamp": "2025-01-01T00:00:00Z",
            "traits": {"plan": "pro"}}),
        json!({"type": "track", "messageId": "m2", "userId": "u1", "event": "Order Completed", "timestamp": "2025-01-01T00:00:01Z",
            "properties": {"total": 9}}),
        json!({"type": "page", "messageId": "m3", "anonymousId": "a1", "timestamp": "2025-01-01T00:00:02Z",
            "context": {"page": {"url": "https://shop.example/"}}}),
        json!({"type": "screen", "anonymousId": "a2", "timestamp": "2025-01-01T00:00:03Z"}),
        json!({"type": "track", "messageId": "m5", "timestamp": "2025-01-01T00:00:03Z", "event": "x"}),
    ];
    let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let told = imported(&daemon, "", &lines);
    assert_eq!((&told["failed"], &told["errors"][0]["msg"]), (&json!(5), &json!("source: id: field required")));
    let told = imported(&daemon, "?source=shop", &lines);
    assert_eq!(told["imported"], json!({"events": 5, "sessions": 0, "profiles": 2}), "{told}");
    let person = daemon.record("/profile/a1");
    assert_eq!(
        (&person["id"], &person["ids"], &person["traits"]),
        (&json!("u1"), &json!(["u1", "a1"]), &json!({"plan": "pro"}))
    );
    let theirs = daemon.record("/profile/u1/events?order=oldest");
    let kinds: Vec<&str> =
        theirs["result"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["identify", "order-completed", "page-view"]);
    assert_eq!(imported(&daemon, "?source=shop", &lines)["skipped"]["events"], 5);
    // The later word stands, in whatever order they come.
    for (id, seconds, plan) in [("m6", 10, "basic"), ("m7", 5, "none")] {
        let said = json!({"type": "identify", "messageId": id, "userId": "u1", "traits": {"plan": plan, "n": seconds},
            "timestamp": format!("2025-01-01T00:00:{seconds:02}Z")});
        assert_eq!(imported(&daemon, "?source=shop", &said.to_string())["imported"]["events"], 1);
        assert_eq!(daemon.record("/profile/u1")["traits"], json!({"plan": "basic", "n": 10}));
    }
}

#[test]
fn lists_are_imported_as_the_reference_does() {
    let (_folder, daemon) = started();
    let profile = |id: &str| json!({"id": id, "ids": [id], "metadata": {"time": {"insert": "2025-01-01T00:00:00"}}, "traits": {"a": 1}});
    let saved = daemon.post_admin("/profiles/import", &json!([profile("p1"), profile("p2")]));
    assert_eq!((saved.status, saved.json()), (200, json!({"saved": 2, "errors": [], "ids": ["p1", "p2"]})));
    let again = daemon.post_admin("/profiles/import", &json!([profile("p2"), profile("p3")])).json();
    assert_eq!((&again["saved"], &again["ids"]), (&json!(1), &json!(["p3"])));
    assert!(again["errors"][0].as_str().unwrap().contains("p2"), "{again}");
    assert_eq!(daemon.record("/profile/p1")["traits"], json!({"a": 1}));
    // Another id of somebody is no other person.
    let other = json!([{"id": "p4", "ids": ["p4", "p1"], "metadata": {"time": {"insert": 1}}}]);
    let refused = daemon.post_admin("/profiles/import", &other).json();
    assert_eq!(refused["saved"], 0);
    assert!(refused["errors"][0].as_str().unwrap().contains("p1 leads to another profile"), "{refused}");
    let session = json!([{"id": "v1", "profile": {"id": "p1"}, "metadata": {"time": {"insert": "2025-01-01T00:00:00", "duration": 3}}}]);
    assert_eq!(
        daemon.post_admin("/sessions/import", &session).json(),
        json!({"saved": 1, "errors": [], "ids": ["v1"]})
    );
    let shown = daemon.record("/session/v1");
    assert_eq!((&shown["profile"]["id"], &shown["metadata"]["time"]["duration"]), (&json!("p1"), &json!(3.0)));
    assert_eq!(daemon.record("/profile/p1/sessions")["result"][0]["id"], "v1");
    for (body, at) in [
        (json!({}), json!(["body"])),
        (json!([profile("x"), {"id": "y"}]), json!(["body", 1, "metadata", "time", "insert"])),
        (json!([profile("x"), 7]), json!(["body", 1])),
    ] {
        let response = daemon.post_admin("/profiles/import", &body);
        assert_eq!((response.status, response.loc()), (422, at), "{body}");
    }
    assert_eq!(daemon.admin("GET", "/profile/x").status, 404, "nothing of it is stored");
}

#[test]
fn sessions_are_found_by_when_they_began_wherever_they_were_imported() {
    let (_folder, daemon) = started();
    let visit = |id: &str| {
        daemon.tracked(&json!({"source": {"id": "shop"}, "session": {"id": id}, "events": [{"type": "page-view"}]}));
    };
    let session = |id: &str, insert: &str| {
        json!({"id": id, "profile": null, "metadata": {"time": {"insert": insert}}}).to_string()
    };
    visit("before");
    let lines = [
        session("old", "2024-06-01T00:00:00Z"),
        session("older", "2024-01-01T00:00:00Z"),
        session("late", "2025-06-01T00:00:00Z"),
    ];
    assert_eq!(imported(&daemon, "", &lines.join("\n"))["imported"]["sessions"], 3);
    visit("after");
    let ids = |query: &str| -> Vec<String> {
        let found = daemon.record(&format!("/sessions?order=oldest&{query}"));
        found["result"].as_array().unwrap().iter().map(|session| session["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(""), ["older", "old", "late", "before", "after"]);
    assert_eq!(ids("from=2024-03-01T00:00:00Z"), ["old", "late", "before", "after"]);
    assert_eq!(ids("to=2025-01-01T00:00:00Z"), ["older", "old"]);
    assert_eq!(ids("from=2024-03-01T00:00:00Z&to=2026-01-01T00:00:00Z"), ["old", "late"]);
    assert_eq!(ids("from=-1h"), ["before", "after"]);
}

#[test]
fn an_import_into_the_store_it_came_from_changes_nothing() {
    let (_folder, daemon) = lived_in();
    let before = KINDS.map(|what| exported(&daemon, what));
    for (what, lines) in KINDS.iter().zip(&before) {
        let told = imported(&daemon, "", lines);
        assert_eq!((&told["skipped"][*what], &told["failed"]), (&json!(lines.lines().count()), &json!(0)), "{told}");
    }
    // The profile that was deleted is not in its export, and its session is.
    assert_eq!(KINDS.map(|what| exported(&daemon, what)), before);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path());
    let output = import(&setup, &["no-such-file.ndjson"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("no-such-file.ndjson"), "{said}");
}
