//! Reading events back (docs/contract.md, section 12).

mod support;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use support::{
    Daemon, Setup,
    daemon::{started, wait_for},
    pages::{ids, page},
};

fn event(id: &str, kind: &str, session: &str, price: u64) -> Value {
    json!({
        "source": {"id": "shop"}, "session": {"id": session},
        "events": [{"id": id, "type": kind, "properties": {"price": price, "label": format!("=n{price}")}, "tags": [kind]}],
    })
}

/// Some visits: 60 events of 6 sessions and 3 types.
fn visited() -> (tempfile::TempDir, Daemon) {
    let (folder, daemon) = started();
    daemon.shop();
    for number in 0..60 {
        let kind = ["seen", "basket-filled", "basket-paid"][number % 3];
        daemon.tracked(&event(&format!("e{number:02}"), kind, &format!("s{}", number % 6), number as u64));
    }
    (folder, daemon)
}

fn expected(wanted: impl Fn(u64) -> bool) -> Vec<String> {
    (0..60).filter(|number| wanted(*number)).map(|number| format!("e{number:02}")).collect()
}

#[test]
fn events_are_found_by_each_filter_in_both_orders() {
    let (_folder, daemon) = visited();
    type Wanted = Box<dyn Fn(u64) -> bool>;
    let cases: [(&str, Wanted); 12] = [
        ("", Box::new(|_| true)),
        ("type=seen", Box::new(|number| number % 3 == 0)),
        ("type=seen&type=basket-filled", Box::new(|number| number % 3 < 2)),
        ("type=basket-*", Box::new(|number| number % 3 > 0)),
        ("type=unheard-of", Box::new(|_| false)),
        ("session=s4", Box::new(|number| number % 6 == 4)),
        ("session=s4&type=seen", Box::new(|_| false)),
        ("tag=basket-filled", Box::new(|number| number % 3 == 1)),
        ("source=shop&valid=true", Box::new(|_| true)),
        ("valid=false", Box::new(|_| false)),
        ("where=event.properties.price%20%3E%3D%2050", Box::new(|number| number >= 50)),
        ("type=seen&where=event.properties.price%20%3C%2010", Box::new(|number| number % 3 == 0 && number < 10)),
    ];
    for (filter, wanted) in &cases {
        let ascending = expected(wanted);
        let descending: Vec<String> = ascending.iter().rev().cloned().collect();
        for limit in [1, 7, 100] {
            assert_eq!(ids(&daemon, &format!("/events?order=oldest&limit={limit}&{filter}")), ascending, "{filter}");
            assert_eq!(ids(&daemon, &format!("/events?limit={limit}&{filter}")), descending, "{filter}");
        }
    }
    assert_eq!(ids(&daemon, "/session/s4/events").len(), 10);
    // What columns tell needs no block: none was opened for a type that is not there.
    assert_eq!(daemon.record("/events?type=unheard-of")["read"]["blocks"], 0);
}

#[test]
fn times_bound_what_is_found() {
    let (_folder, daemon) = visited();
    let inserted = |id: &str| {
        let event = daemon.record(&format!("/event/{id}"));
        event["event"]["metadata"]["time"]["insert"].as_str().unwrap().to_owned()
    };
    let (from, to) = (inserted("e10"), inserted("e20"));
    assert_eq!(
        ids(&daemon, &format!("/events?order=oldest&from={from}&to={to}")),
        expected(|at| (10..20).contains(&at))
    );
    assert_eq!(ids(&daemon, "/events?from=-15m").len(), 60);
    assert_eq!(ids(&daemon, "/events?to=-15m").len(), 0);
}

#[test]
fn a_deleted_event_is_found_no_more() {
    let (_folder, daemon) = visited();
    assert_eq!(daemon.admin("DELETE", "/event/e30").status, 200);
    assert_eq!(ids(&daemon, "/events?order=oldest"), expected(|number| number != 30));
}

#[test]
fn a_person_s_events_are_found_under_each_of_their_ids() {
    let (_folder, daemon) = started();
    daemon.shop();
    let sign_in = |session: &str, id: &str| {
        let body = json!({
            "source": {"id": "shop"}, "session": {"id": session},
            "events": [{"id": id, "type": "sign-in", "properties": {"email": {"main": "ada@example.com"}}}],
        });
        daemon.tracked(&body)["profile"]["id"].as_str().unwrap().to_owned()
    };
    let before = daemon.tracked(&event("a1", "seen", "phone", 1))["profile"]["id"].as_str().unwrap().to_owned();
    let other = daemon.tracked(&event("b1", "seen", "desk", 1))["profile"]["id"].as_str().unwrap().to_owned();
    daemon.tracked(&event("x1", "seen", "stranger", 1));
    sign_in("phone", "a2");
    let survivor = sign_in("desk", "b2");
    assert_ne!(before, other);
    for id in [&before, &other, &survivor] {
        for path in [format!("/events?profile={id}&order=oldest"), format!("/profile/{id}/events?order=oldest")] {
            assert_eq!(ids(&daemon, &path), ["a1", "b1", "a2", "b2"], "{path}");
        }
    }
    // Whose they are by now is shown.
    let (events, _) = page(&daemon, &format!("/profile/{survivor}/events"));
    assert!(events.iter().all(|event| event["profile"]["id"] == json!(survivor)), "{events:?}");
}

#[test]
fn what_is_wrong_is_named_and_a_misspelt_filter_does_not_answer_everything() {
    let (_folder, daemon) = visited();
    for (query, name) in [
        ("tpye=seen", "tpye"),
        ("from=yesterday", "from"),
        ("valid=perhaps", "valid"),
        ("limit=1001", "limit"),
        ("where=profile.id%20==%20%22x%22", "where"),
        ("where=event.%20%3E%201", "where"),
        ("format=parquet", "format"),
        ("cursor=abc", "cursor"),
    ] {
        let response = daemon.admin("GET", &format!("/events?{query}"));
        assert_eq!(response.status, 422, "{query}");
        assert_eq!(response.loc(), json!(["query", name]), "{query}");
    }
    // A cursor belongs to its query.
    let (_, cursor) = page(&daemon, "/events?limit=5&type=seen");
    let response = daemon.admin("GET", &format!("/events?limit=5&cursor={}", cursor.unwrap()));
    assert_eq!((response.status, response.loc()), (422, json!(["query", "cursor"])));
    assert_eq!(daemon.get("/events").status, 401);
}

#[test]
fn a_cursor_goes_on_behind_its_record_whatever_arrives_and_after_a_restart() {
    let (_folder, mut daemon) = visited();
    for order in ["newest", "oldest"] {
        let path = format!("/events?order={order}&limit=20&type=seen&type=basket-*");
        let (first, cursor) = page(&daemon, &path);
        daemon.tracked(&event(&format!("later-{order}"), "seen", "s1", 1));
        daemon = daemon.restart();
        let mut rest = Vec::new();
        let mut next = cursor;
        while let Some(cursor) = next {
            let more;
            (more, next) = page(&daemon, &format!("{path}&cursor={cursor}"));
            rest.extend(more);
        }
        let seen: Vec<&str> = first.iter().chain(&rest).map(|event| event["id"].as_str().unwrap()).collect();
        let once: BTreeSet<&str> = seen.iter().copied().collect();
        assert_eq!(once.len(), seen.len(), "{order}: each once");
        assert!(expected(|_| true).iter().all(|id| once.contains(id.as_str())), "{order}");
        assert_eq!(once.contains("later-newest"), order == "oldest", "behind the place where it went on");
    }
}

#[test]
fn a_cursor_is_none_of_a_store_that_may_have_lost_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let setup = Setup::new(&data).set("storage.durability", "relaxed");
    let mut daemon = setup.start();
    daemon.shop();
    (0..5).for_each(|number| _ = daemon.tracked(&event(&format!("e{number}"), "seen", "s1", number)));
    let cursor = |daemon: &Daemon| page(daemon, "/events?limit=2").1.unwrap();
    let answer = |daemon: &Daemon, cursor: &str| daemon.admin("GET", &format!("/events?limit=2&cursor={cursor}"));
    let first = cursor(&daemon);
    daemon.kill();
    daemon = setup.start();
    assert_eq!(answer(&daemon, &first).status, 200, "what a process wrote is there when it ends");
    // A machine that ended may not have written what was answered; one that was restored is a copy.
    let power_cut = || std::fs::write(data.join("running"), "another boot\nrelaxed\n").unwrap();
    let restored = || std::fs::remove_file(data.join("epoch")).unwrap();
    for lost in [&power_cut as &dyn Fn(), &restored] {
        let before = cursor(&daemon);
        daemon.stop();
        lost();
        daemon = setup.start();
        let refused = answer(&daemon, &before);
        assert_eq!((refused.status, refused.loc()), (422, json!(["query", "cursor"])));
        let now = cursor(&daemon);
        assert_eq!(answer(&daemon, &now).status, 200);
    }
}

#[test]
fn sealing_changes_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Setup::new(&folder.path().join("data")).set("storage.segment_bytes", 65_536).start();
    daemon.shop();
    let noise = |number: u64| {
        let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            format!("{state:016x}")
        };
        std::iter::repeat_with(next).take(150).collect::<String>()
    };
    for number in 0..400_u64 {
        let mut body =
            event(&format!("e{number:03}"), ["a", "b"][number as usize % 2], &format!("s{}", number % 7), number);
        body["context"] = json!({"noise": noise(number)});
        daemon.tracked(&body);
    }
    let segments = || std::fs::read_dir(folder.path().join("data/indexes")).unwrap().count();
    wait_for("segments to be sealed", || (segments() >= 3).then_some(()));
    let check = |daemon: &Daemon| {
        for (filter, wanted) in [("type=a", 0), ("type=b", 1)] {
            let expected: Vec<String> =
                (0..400).filter(|number| number % 2 == wanted).map(|number| format!("e{number:03}")).collect();
            assert_eq!(ids(daemon, &format!("/events?order=oldest&{filter}")), expected);
        }
        let of_session: Vec<String> =
            (0..400).filter(|number| number % 7 == 3).map(|number| format!("e{number:03}")).collect();
        assert_eq!(ids(daemon, "/session/s3/events?order=oldest&limit=10"), of_session);
    };
    check(&daemon);
    // An index that is missing or damaged is made again.
    let setup = daemon.stop();
    let indexes: Vec<_> =
        std::fs::read_dir(folder.path().join("data/indexes")).unwrap().map(|entry| entry.unwrap().path()).collect();
    std::fs::remove_file(&indexes[0]).unwrap();
    let mut bytes = std::fs::read(&indexes[1]).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    bytes[20] ^= 1;
    std::fs::write(&indexes[1], bytes).unwrap();
    daemon = setup.start();
    wait_for("the damage to be noticed and mended", || {
        (daemon.admin("GET", "/events?order=oldest&limit=1000&type=a").status == 200).then_some(())
    });
    check(&daemon);
}

#[test]
fn streams_have_all_events_as_lines_or_as_cells() {
    let (_folder, daemon) = visited();
    let token = ("Authorization", "Bearer test-token");
    let lines = daemon.request("GET", "/events?order=oldest", &[token, ("Accept", "application/x-ndjson")], b"");
    assert_eq!((lines.status, lines.header("content-type")), (200, Some("application/x-ndjson")));
    let ids: Vec<String> = std::str::from_utf8(&lines.body)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids, expected(|_| true));
    let path = "/events?order=oldest&format=csv&limit=2&fields=type,properties.price,properties.label,source.id";
    let cells = daemon.admin("GET", path);
    assert_eq!(cells.header("content-type"), Some("text/csv; charset=utf-8"));
    let expected =
        "type,properties.price,properties.label,source.id\r\nseen,0,'=n0,shop\r\nbasket-filled,1,'=n1,shop\r\n";
    assert_eq!(std::str::from_utf8(&cells.body), Ok(expected));
    let page = daemon.record("/events?order=oldest&limit=1&fields=type,properties.price");
    assert_eq!(page["result"], json!([{"type": "seen", "properties": {"price": 0}}]));
}
