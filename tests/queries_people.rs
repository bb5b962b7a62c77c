//! Reading sessions, profiles and timelines back (docs/contract.md, section 12).

mod support;

use serde_json::{Value, json};
use support::{
    Daemon,
    daemon::{TOKEN, started},
    pages::{ids, page, records, rest},
};

fn visit(session: &str, source: &str, events: &Value) -> Value {
    json!({"source": {"id": source}, "session": {"id": session}, "context": {"lang": session}, "events": events})
}

/// Tracks a payload; the id of its profile.
fn profile(daemon: &Daemon, payload: &Value) -> String {
    daemon.tracked(payload)["profile"]["id"].as_str().unwrap().to_owned()
}

fn sign_in(daemon: &Daemon, session: &str, address: &str) -> String {
    profile(daemon, &visit(session, "shop", &json!([{"type": "sign-in", "properties": {"email": {"main": address}}}])))
}

/// Twelve visits of twelve people, every third from another source; some views, so that the fourth has none.
fn visited() -> (tempfile::TempDir, Daemon) {
    let (folder, daemon) = started();
    daemon.shop();
    daemon.source(&json!({"id": "kiosk", "name": "Kiosk", "type": "rest"}));
    for number in 0..12 {
        let source = if number % 3 == 2 { "kiosk" } else { "shop" };
        let events: Vec<Value> = (0..number % 4).map(|_| json!({"type": "page-view"})).collect();
        daemon.tracked(&visit(&format!("s{number:02}"), source, &json!(events)));
    }
    (folder, daemon)
}

fn expected(wanted: impl Fn(u64) -> bool) -> Vec<String> {
    (0..12).filter(|number| wanted(*number)).map(|number| format!("s{number:02}")).collect()
}

#[test]
fn sessions_are_found_by_each_filter_in_both_orders() {
    let (_folder, daemon) = visited();
    let began = |session: &str| {
        let session = daemon.record(&format!("/session/{session}"));
        session["metadata"]["time"]["insert"].as_str().unwrap().to_owned()
    };
    let whose = |session: &str| {
        let session = daemon.record(&format!("/session/{session}"));
        session["profile"]["id"].as_str().unwrap().to_owned()
    };
    type Wanted = Box<dyn Fn(u64) -> bool>;
    let cases: [(String, Wanted); 10] = [
        (String::new(), Box::new(|_| true)),
        ("source=kiosk".into(), Box::new(|number| number % 3 == 2 && number % 4 > 0)),
        ("source=shop".into(), Box::new(|number| number % 3 < 2 && number % 4 > 0)),
        ("source=unheard-of".into(), Box::new(|_| false)),
        (format!("from={}", began("s05")), Box::new(|number| number >= 5)),
        (format!("to={}", began("s05")), Box::new(|number| number < 5)),
        (format!("from={}&to={}", began("s02"), began("s05")), Box::new(|number| (2..5).contains(&number))),
        ("where=session.context.lang%20%3E%20%22s08%22".into(), Box::new(|number| number > 8)),
        (format!("profile={}", whose("s07")), Box::new(|number| number == 7)),
        ("from=-15m&profile=unheard-of".into(), Box::new(|_| false)),
    ];
    for (query, wanted) in &cases {
        for limit in [1, 5, 100] {
            let path = format!("/sessions?limit={limit}&{query}");
            let mut wanted = expected(wanted);
            assert_eq!(ids(&daemon, &format!("{path}&order=oldest")), wanted, "{query}, {limit} a page");
            wanted.reverse();
            assert_eq!(ids(&daemon, &path), wanted, "{query}, {limit} a page");
        }
    }
}

#[test]
fn a_session_is_shown_as_it_is_and_not_at_all_once_it_is_deleted() {
    let (_folder, daemon) = visited();
    let (sessions, _) = page(&daemon, "/sessions?order=oldest");
    for session in &sessions {
        assert_eq!(*session, daemon.record(&format!("/session/{}", session["id"].as_str().unwrap())));
    }
    assert_eq!(daemon.admin("DELETE", "/session/s03").status, 200);
    assert_eq!(ids(&daemon, "/sessions?order=oldest"), expected(|number| number != 3));
    // Who has the id from now on begins anew, behind the others; what came before is not its own.
    daemon.tracked(&visit("s03", "kiosk", &json!([{"type": "page-view"}])));
    assert_eq!(ids(&daemon, "/sessions?limit=1")[0], "s03");
    assert_eq!(ids(&daemon, "/sessions?source=kiosk&limit=1")[0], "s03");
    // A profile that is deleted leaves its sessions without one.
    let whose = sessions[0]["profile"]["id"].as_str().unwrap();
    assert_eq!(daemon.admin("DELETE", &format!("/profile/{whose}")).status, 200);
    assert!(ids(&daemon, &format!("/profile/{whose}/sessions")).is_empty());
    let (first, _) = page(&daemon, "/sessions?order=oldest&limit=1");
    assert_eq!((&first[0]["id"], &first[0]["profile"]), (&json!("s00"), &Value::Null));
    assert!(!ids(&daemon, "/profiles").contains(&whose.to_owned()));
}

#[test]
fn a_person_s_sessions_are_found_under_each_of_their_ids() {
    let (_folder, daemon) = started();
    daemon.shop();
    let view = json!([{"type": "page-view"}]);
    let phone = profile(&daemon, &visit("phone", "shop", &view));
    let desk = profile(&daemon, &visit("desk", "shop", &view));
    let stranger = profile(&daemon, &visit("stranger", "shop", &view));
    sign_in(&daemon, "phone", "ada@example.com");
    let survivor = sign_in(&daemon, "desk", "ada@example.com");
    for id in [&phone, &desk] {
        for path in [format!("/sessions?profile={id}"), format!("/profile/{id}/sessions?limit=1")] {
            assert_eq!(ids(&daemon, &path), ["desk", "phone"], "{path}");
        }
    }
    let whose = |path: &str| {
        let (sessions, _) = page(&daemon, path);
        sessions.iter().map(|session| session["profile"]["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(whose(&format!("/profile/{phone}/sessions")), [json!(survivor), json!(survivor)]);
    // A condition sees what is shown.
    let path = format!("/sessions?where=session.profile.id%20%3D%3D%20%22{survivor}%22");
    assert_eq!(ids(&daemon, &path), ["desk", "phone"]);
    // Who became part of another one is no profile of its own, until it is split off.
    assert_eq!(ids(&daemon, "/profiles?order=oldest"), [survivor.as_str(), stranger.as_str()]);
    let split = daemon.admin("POST", &format!("/profile/{survivor}/split"));
    assert_eq!(split.status, 200);
    let other = if survivor == phone { &desk } else { &phone };
    for limit in [1, 100] {
        let path = format!("/profiles?order=oldest&limit={limit}");
        assert_eq!(ids(&daemon, &path), [phone.as_str(), desk.as_str(), stranger.as_str()]);
    }
    assert_eq!(whose(&format!("/profile/{other}/sessions")), [json!(other)]);
    assert_eq!(whose(&format!("/profile/{survivor}/sessions")), [json!(survivor)]);
}

#[test]
fn profiles_are_found_by_what_people_are_known_by_and_by_segment_and_visit() {
    let (_folder, daemon) = started();
    daemon.shop();
    let segment = json!({"id": "known", "condition": "has(profile.data.contact.email)"});
    assert_eq!(daemon.post_admin("/segment", &segment).status, 200);
    let ada = sign_in(&daemon, "a", "ada@example.com");
    let bob = sign_in(&daemon, "b", "bob@example.com");
    let nobody = profile(&daemon, &visit("c", "shop", &json!([{"type": "page-view"}])));
    let latest = |id: &str| {
        let profile = daemon.record(&format!("/profile/{id}"));
        profile["metadata"]["time"]["visit"]["current"].as_str().unwrap().to_owned()
    };
    let cases: [(String, Vec<&String>); 9] = [
        ("email=%20ADA%40example.com".into(), vec![&ada]),
        ("email=nobody%40example.com".into(), vec![]),
        ("email=ada%40example.com&phone=%2B41791234567".into(), vec![]),
        ("email=ada%40example.com&segment=unheard-of".into(), vec![]),
        ("segment=known".into(), vec![&ada, &bob]),
        (format!("from={}", latest(&bob)), vec![&bob, &nobody]),
        (format!("to={}", latest(&bob)), vec![&ada]),
        ("where=profile.data.contact.email.main%20%3D%3D%20%22bob%40example.com%22".into(), vec![&bob]),
        ("".into(), vec![&ada, &bob, &nobody]),
    ];
    for (query, mut wanted) in cases {
        for limit in [1, 100] {
            let path = format!("/profiles?limit={limit}&{query}");
            assert_eq!(ids(&daemon, &format!("{path}&order=oldest")).iter().collect::<Vec<_>>(), wanted, "{query}");
            wanted.reverse();
            assert_eq!(ids(&daemon, &path).iter().collect::<Vec<_>>(), wanted, "{query}");
            wanted.reverse();
        }
    }
    let (profiles, _) = page(&daemon, "/profiles?email=bob%40example.com");
    assert_eq!(profiles, [daemon.record(&format!("/profile/{bob}"))]);
}

#[test]
fn a_timeline_has_sessions_and_events_in_the_order_of_the_log() {
    let (_folder, daemon) = started();
    daemon.shop();
    let send = |session: &str, id: &str| {
        let events = json!([{"id": id, "type": "page-view"}, {"id": format!("{id}+"), "type": "page-view"}]);
        profile(&daemon, &visit(session, "shop", &events))
    };
    let first = send("phone", "a");
    sign_in(&daemon, "phone", "ada@example.com");
    send("stranger", "x");
    send("desk", "b");
    let survivor = sign_in(&daemon, "desk", "ada@example.com");
    send("phone", "c");
    let told = |record: &Value| {
        let name = if record["type"] == "sign-in" { &record["type"] } else { &record["id"] };
        format!("{} {}", record["kind"].as_str().unwrap(), name.as_str().unwrap())
    };
    let wanted = [
        "session phone",
        "event a",
        "event a+",
        "event sign-in",
        "session desk",
        "event b",
        "event b+",
        "event sign-in",
        "event c",
        "event c+",
    ];
    for limit in [1, 2, 3, 100] {
        for id in [&first, &survivor] {
            let path = format!("/profile/{id}/timeline?limit={limit}");
            let oldest: Vec<String> = records(&daemon, &format!("{path}&order=oldest")).iter().map(told).collect();
            assert_eq!(oldest, wanted, "{limit} a page");
            let newest: Vec<String> = records(&daemon, &path).iter().map(told).collect();
            assert_eq!(newest, wanted.iter().rev().copied().collect::<Vec<_>>(), "{limit} a page");
        }
    }
    let event = daemon.record("/event/b");
    let mut shown = records(&daemon, &format!("/profile/{survivor}/timeline?order=oldest"))[5].clone();
    assert_eq!(shown.as_object_mut().unwrap().remove("kind"), Some(json!("event")));
    assert_eq!(shown, event["event"]);
    let from = shown["metadata"]["time"]["insert"].as_str().unwrap();
    assert_eq!(records(&daemon, &format!("/profile/{survivor}/timeline?from={from}")).len(), 6);
}

#[test]
fn a_cursor_goes_on_behind_its_record_whatever_arrives_and_after_a_restart() {
    let (_folder, mut daemon) = visited();
    for order in ["oldest", "newest"] {
        for (path, count) in [("/sessions", 12), ("/profiles", 12)] {
            let before = ids(&daemon, &format!("{path}?order={order}"));
            let query = format!("{path}?order={order}&limit=5");
            let (mut all, cursor) = page(&daemon, &query);
            daemon.tracked(&visit(&format!("later{path}{order}"), "shop", &json!([])));
            daemon = daemon.restart();
            all.extend(rest(&daemon, &query, cursor));
            let all: Vec<String> = all.iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect();
            assert!(before.len() >= count && all.starts_with(&before), "{path} {order}: {all:?}");
            assert_eq!(all.len() - before.len(), usize::from(order == "oldest"), "what arrived comes behind");
        }
    }
}

#[test]
fn what_is_wrong_is_named() {
    let (_folder, daemon) = visited();
    let cursor = page(&daemon, "/sessions?limit=1").1.unwrap();
    for (path, name) in [
        ("/sessions?tag=a".to_owned(), "tag"),
        ("/sessions?from=yesterday".to_owned(), "from"),
        ("/sessions?limit=1001".to_owned(), "limit"),
        ("/sessions?where=event.type%20%3D%3D%20%22a%22".to_owned(), "where"),
        ("/profile/p/sessions?profile=q".to_owned(), "profile"),
        ("/profiles?emial=a".to_owned(), "emial"),
        ("/profiles?email=".to_owned(), "email"),
        ("/profiles?source=shop".to_owned(), "source"),
        ("/profile/p/timeline?type=a".to_owned(), "type"),
        (format!("/profiles?limit=1&cursor={cursor}"), "cursor"),
        (format!("/sessions?order=oldest&cursor={cursor}"), "cursor"),
    ] {
        let response = daemon.admin("GET", &path);
        assert_eq!((response.status, response.loc()), (422, json!(["query", name])), "{path}");
    }
    for path in ["/sessions", "/profiles", "/profile/p/sessions", "/profile/p/timeline"] {
        assert_eq!(daemon.get(path).status, 401, "{path}");
    }
}

#[test]
fn each_kind_of_record_has_its_columns() {
    let (_folder, daemon) = visited();
    let whose = daemon.record("/session/s01")["profile"]["id"].as_str().unwrap().to_owned();
    for (path, kind) in [
        ("/sessions?source=shop".to_owned(), "/session/s01"),
        ("/profiles?".to_owned(), &format!("/profile/{whose}")),
        (format!("/profile/{whose}/timeline?"), ""),
    ] {
        let lines = daemon.admin("GET", &format!("{path}&format=ndjson"));
        let records = page(&daemon, &path).0;
        let lines: Vec<Value> =
            std::str::from_utf8(&lines.body).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines, records, "{path}");
        let cells = daemon.admin("GET", &format!("{path}&format=csv"));
        let cells = String::from_utf8(cells.body).unwrap();
        let head: Vec<&str> = cells.lines().next().unwrap().split(',').collect();
        let shown = if kind.is_empty() { records[0].clone() } else { daemon.record(kind) };
        assert!(shown.as_object().unwrap().keys().all(|part| head.contains(&part.as_str())), "{path}: {head:?}");
        assert!(cells.lines().count() > records.len(), "{path}");
    }
    let cells = daemon.admin("GET", "/sessions?order=oldest&format=csv&limit=1&fields=id,context.lang");
    assert_eq!(std::str::from_utf8(&cells.body), Ok("id,context.lang\r\ns00,s00\r\n"));
    let (sessions, _) = page(&daemon, "/sessions?order=oldest&limit=1&fields=context");
    assert_eq!(sessions, [json!({"context": {"lang": "s00"}})]);
}

#[test]
fn a_page_of_large_records_ends_early_and_goes_on() {
    const PEOPLE: usize = 60;
    const NOTE_BYTES: usize = 250_000;
    /// A page ends behind 8 MiB, and what is found together is a mebibyte and a record.
    const PAGE_BYTES: usize = 10 * 1024 * 1024;
    let (_folder, daemon) = started();
    daemon.shop();
    let note = "x".repeat(NOTE_BYTES);
    let times = json!({"insert": "2026-01-01T00:00:00Z", "update": "2026-01-01T00:00:00Z"});
    for (kind, own) in [("profiles", json!({})), ("sessions", json!({"profile": null}))] {
        for number in 0..PEOPLE {
            let mut line =
                json!({"id": format!("{kind}-{number:02}"), "traits": {"note": note}, "metadata": {"time": times}});
            own.as_object().unwrap().iter().for_each(|(key, value)| line[key] = value.clone());
            let headers = [("Authorization", &*format!("Bearer {TOKEN}")), ("Content-Type", "application/x-ndjson")];
            let told = daemon.request("POST", &format!("/import?what={kind}"), &headers, line.to_string().as_bytes());
            assert_eq!(told.json()["imported"][kind], json!(1), "{}", told.text());
        }
        let path = format!("/{kind}?limit=1000&order=oldest");
        let first = daemon.admin("GET", &path);
        assert!(first.body.len() < PAGE_BYTES, "{kind}: {} bytes", first.body.len());
        let (found, cursor) = page(&daemon, &path);
        assert!(found.len() < PEOPLE && cursor.is_some(), "{kind}: {} on the first page", found.len());
        let all: Vec<Value> =
            found.into_iter().chain(rest(&daemon, &path, cursor)).map(|it| it["id"].clone()).collect();
        let expected: Vec<String> = (0..PEOPLE).map(|number| format!("{kind}-{number:02}")).collect();
        assert_eq!(json!(all), json!(expected));
    }
}
