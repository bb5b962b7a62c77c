//! Counting events (docs/contract.md, section 13).

mod support;

use serde_json::{Value, json};
use support::{Daemon, daemon::started};

/// Twelve events of two types and two sources.
fn visited() -> (tempfile::TempDir, Daemon) {
    let (folder, daemon) = started();
    daemon.shop();
    daemon.source(&json!({"id": "site", "name": "Site", "type": "rest"}));
    for number in 0..12 {
        let (source, kind) = (["shop", "site"][number % 2], ["seen", "seen", "bought"][number % 3]);
        daemon.tracked(&json!({
            "source": {"id": source}, "session": {"id": format!("s{number}")},
            "events": [{"id": format!("e{number}"), "type": kind, "tags": ["all", kind]}],
        }));
    }
    (folder, daemon)
}

fn counted(daemon: &Daemon, query: &str) -> Value {
    daemon.record(&format!("/stats/events?{query}"))["result"].clone()
}

/// The sum of the rows, and their number.
fn sum(rows: &Value) -> (u64, usize) {
    let rows = rows.as_array().unwrap();
    (rows.iter().map(|row| row["events"].as_u64().unwrap()).sum(), rows.len())
}

#[test]
fn events_are_counted_by_type_source_tag_and_time() {
    let (_folder, daemon) = visited();
    assert_eq!(counted(&daemon, "by=type"), json!([{"type": "bought", "events": 4}, {"type": "seen", "events": 8}]));
    assert_eq!(
        counted(&daemon, "by=source,type"),
        json!([
            {"source": "shop", "type": "bought", "events": 2}, {"source": "shop", "type": "seen", "events": 4},
            {"source": "site", "type": "bought", "events": 2}, {"source": "site", "type": "seen", "events": 4},
        ])
    );
    assert_eq!(
        counted(&daemon, "by=tag&type=seen"),
        json!([{"tag": "all", "events": 8}, {"tag": "seen", "events": 8}])
    );
    assert_eq!(counted(&daemon, "by=type&source=site&type=b*"), json!([{"type": "bought", "events": 2}]));
    for unit in ["minute", "hour", "day", "week", "month"] {
        let (events, _) = sum(&counted(&daemon, &format!("by={unit}&tz=Asia/Kathmandu")));
        assert_eq!(events, 12, "{unit}");
        let (events, _) = sum(&counted(&daemon, &format!("by={unit}&by=type&from=-1h&type=bought")));
        assert_eq!(events, 4, "{unit}");
    }
}

#[test]
fn stretches_without_events_are_told_too() {
    let (_folder, daemon) = visited();
    let (events, hours) = sum(&counted(&daemon, "by=hour&from=-24h"));
    assert!(events == 12 && (24..=25).contains(&hours), "{events} in {hours}");
    assert_eq!(sum(&counted(&daemon, "by=hour&from=-48h&to=-24h")).0, 0);
    assert_eq!(counted(&daemon, "by=type&to=-24h"), json!([]));
    assert!(daemon.record("/stats/events?by=day")["complete_from"].is_string());
}

#[test]
fn times_within_a_quarter_of_an_hour_bound_what_is_counted() {
    let (_folder, daemon) = visited();
    let inserted = |id: &str| {
        let event = daemon.record(&format!("/event/{id}"));
        event["event"]["metadata"]["time"]["insert"].as_str().unwrap().to_owned()
    };
    let (from, to) = (inserted("e3"), inserted("e9"));
    assert_eq!(sum(&counted(&daemon, &format!("by=type&from={from}&to={to}"))).0, 6);
    assert_eq!(sum(&counted(&daemon, &format!("by=minute&from={from}&to={to}"))).0, 6);
    assert_eq!(sum(&counted(&daemon, &format!("by=type&from={from}"))).0, 9);
    assert_eq!(sum(&counted(&daemon, &format!("by=type&to={to}"))).0, 9);
}

#[test]
fn a_deleted_event_is_taken_out() {
    let (_folder, daemon) = visited();
    assert_eq!(daemon.admin("DELETE", "/event/e2").status, 200);
    assert_eq!(counted(&daemon, "by=type"), json!([{"type": "bought", "events": 3}, {"type": "seen", "events": 8}]));
    let daemon = daemon.restart();
    assert_eq!(sum(&counted(&daemon, "by=day&from=-1h")).0, 11);
}

#[test]
fn what_is_wrong_is_named() {
    let (_folder, daemon) = visited();
    for (query, name) in [
        ("", "by"),
        ("by=year", "by"),
        ("by=day,hour", "by"),
        ("by=type,type", "by"),
        ("by=day,type,source", "by"),
        ("by=day&tz=Mars/Olympus", "tz"),
        ("by=day&from=never", "from"),
        ("by=minute&from=-365d", "by"),
        ("by=day&limit=3", "limit"),
    ] {
        let response = daemon.admin("GET", &format!("/stats/events?{query}"));
        assert_eq!((response.status, response.loc()), (422, json!(["query", name])), "{query}");
    }
}

/// Sends an event of a device, as somebody if `address` says so.
fn send(daemon: &Daemon, device: &str, kind: &str, address: Option<&str>) {
    let properties = address.map_or_else(|| json!({"price": 5}), |address| json!({"email": {"main": address}}));
    daemon.tracked(&json!({
        "source": {"id": "shop"}, "session": {"id": device}, "events": [{"type": kind, "properties": properties}],
    }));
}

#[test]
fn a_funnel_counts_people_as_they_are_merged() {
    let (_folder, daemon) = started();
    daemon.shop();
    send(&daemon, "phone", "seen", None);
    send(&daemon, "desk", "bought", None); // before they are known for one
    send(&daemon, "desk", "tried", None);
    send(&daemon, "phone", "sign-in", Some("ada@example.com"));
    send(&daemon, "desk", "sign-in", Some("ada@example.com"));
    send(&daemon, "other", "seen", None);
    send(&daemon, "nobody", "bought", None);
    let funnel = |query: &str| {
        let steps = daemon.record(&format!("/stats/funnel?{query}"))["result"].clone();
        steps.as_array().unwrap().iter().map(|step| step["profiles"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(funnel("step=seen&step=tried"), [2, 1]);
    assert_eq!(funnel("step=seen&step=bought&step=tried"), [2, 1, 1]);
    assert_eq!(funnel("step=tried&step=bought"), [1, 0]);
    assert_eq!(funnel("step=seen&step=b*%5Bevent.properties.price%20%3E%2010%5D"), [2, 0]);
    assert_eq!(funnel("step=seen&step=b*%5Bevent.properties.price%20%3C%2010%5D"), [2, 1]);
    for (query, name) in
        [("step=seen", "step"), ("step=seen&step=x%5B%3E%5D", "step"), ("step=a&step=b&within=x", "within")]
    {
        let response = daemon.admin("GET", &format!("/stats/funnel?{query}"));
        assert_eq!((response.status, response.loc()), (422, json!(["query", name])), "{query}");
    }
}

#[test]
fn retention_tells_who_came_first_and_again() {
    let (_folder, daemon) = started();
    daemon.shop();
    for device in ["a", "b", "c"] {
        send(&daemon, device, "seen", None);
    }
    let cohorts = daemon.record("/stats/retention?by=day&tz=Europe/Warsaw")["result"].clone();
    let profiles: u64 = cohorts.as_array().unwrap().iter().map(|cohort| cohort["profiles"].as_u64().unwrap()).sum();
    assert_eq!(profiles, 3, "{cohorts}");
    assert_eq!(daemon.record("/stats/retention?by=week&first=bought")["result"], json!([]));
    let response = daemon.admin("GET", "/stats/retention?by=hour");
    assert_eq!((response.status, response.loc()), (422, json!(["query", "by"])));
}

#[test]
fn several_sources_and_bots_are_told_apart() {
    let (_folder, daemon) = started();
    for source in ["blog", "app"] {
        daemon.source(&json!({"id": source, "name": source, "type": ["rest"]}));
    }
    let bot = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
    let person = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    for (number, (source, agent)) in
        [("shop", person), ("shop", bot), ("blog", person), ("app", person), ("app", bot), ("app", bot)]
            .iter()
            .enumerate()
    {
        let body = json!({
            "source": {"id": source}, "session": {"id": format!("s{number}")},
            "context": {"page": {"url": "https://shop.example/"}},
            "events": [{"type": "page-view"}, {"type": "seen"}],
        });
        let headers = [("Content-Type", "application/json"), ("User-Agent", agent)];
        assert_eq!(daemon.request("POST", "/track", &headers, body.to_string().as_bytes()).status, 200);
    }
    for (filter, events) in [
        ("", 12),
        ("source=shop", 4),
        ("source=shop&source=blog", 6),
        ("source=shop&source=shop", 4),
        ("source=nowhere", 0),
        ("bot=true", 6),
        ("bot=false", 6),
        ("bot=false&source=shop&source=app", 4),
    ] {
        let sum = |path: &str, name: &str| -> u64 {
            let rows = daemon.record(&format!("{path}&{filter}"))["result"].as_array().unwrap().clone();
            rows.iter().map(|row| row[name].as_u64().unwrap()).sum()
        };
        assert_eq!(
            daemon.record(&format!("/events?{filter}"))["result"].as_array().unwrap().len(),
            events as usize,
            "{filter}"
        );
        for by in ["day", "type", "minute", "source,type"] {
            assert_eq!(sum(&format!("/stats/events?by={by}"), "events"), events, "{by} {filter}");
        }
        assert_eq!(sum("/stats/visits?by=day", "visits"), events / 2, "{filter}");
        assert_eq!(sum("/stats/top?of=page", "events"), events, "{filter}");
        let funnel = daemon.record(&format!("/stats/funnel?step=page-view&step=seen&within=1d&{filter}"));
        assert_eq!(funnel["result"][0]["profiles"], events / 2, "{filter}");
        assert_eq!(sum("/stats/retention?by=week", "profiles"), events / 2, "{filter}");
    }
    assert_eq!(daemon.admin("GET", "/stats/events?by=day&bot=perhaps").loc(), json!(["query", "bot"]));
}
