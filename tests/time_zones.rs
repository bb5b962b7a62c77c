//! Days and schedules by the clocks of a zone: a workflow's or a segment's own, or the one that is set for all.

mod support;

use chrono::{Timelike, Utc};
use serde_json::{Value, json};
use support::{Daemon, Setup, daemon::wait_for};

fn save(daemon: &Daemon, kind: &str, body: &Value) {
    let response = daemon.post_admin(&format!("/{kind}"), body);
    assert_eq!(response.status, 200, "{}", response.text());
}

fn send(daemon: &Daemon, kind: &str) -> String {
    let answer = daemon.tracked(&json!({"source": {"id": "shop"}, "session": {"id": "s"}, "events": [{"type": kind}]}));
    answer["profile"]["id"].as_str().unwrap().to_owned()
}

/// When a workflow is due next, in minutes of the day by the clocks of a zone.
fn next(daemon: &Daemon, workflow: &str, zone: chrono_tz::Tz) -> u32 {
    let next = daemon.record(&format!("/workflow/{workflow}/status"))["next"].clone();
    let next: chrono::DateTime<Utc> = next.as_str().unwrap().parse().unwrap();
    let local = next.with_timezone(&zone);
    local.hour() * 60 + local.minute()
}

#[test]
fn a_schedule_goes_by_the_clocks_of_its_zone() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path());
    let daemon = setup.clone().set("time.zone", "Asia/Kathmandu").start();
    let nightly = |id: &str| json!({"id": id, "schedule": "30 3 * * *", "step": [{"log": "night"}]});
    save(&daemon, "workflow", &nightly("all"));
    for (id, zone) in [("warsaw", "Europe/Warsaw"), ("utc", "UTC"), ("pacific", "Pacific/Auckland")] {
        let mut nightly = nightly(id);
        nightly["tz"] = json!(zone);
        save(&daemon, "workflow", &nightly);
        assert_eq!(next(&daemon, id, zone.parse().unwrap()), 210, "{id}");
    }
    assert_eq!(next(&daemon, "all", chrono_tz::Asia::Kathmandu), 210);
    // What is set for all is what is set now.
    daemon.stop();
    let daemon = setup.start();
    assert_eq!(next(&daemon, "all", chrono_tz::UTC), 210);
    assert_eq!(next(&daemon, "warsaw", chrono_tz::Europe::Warsaw), 210);
    for (kind, body) in [
        ("workflow", json!({"id": "w", "on": ["a"], "step": [{"log": "x"}], "tz": "Mars/Olympus"})),
        ("segment", json!({"id": "s", "condition": "profile.stats.visits > 1", "tz": "+02:00"})),
    ] {
        let response = daemon.post_admin(&format!("/{kind}"), &body);
        assert_eq!((response.status, response.loc()), (422, json!(["body", "tz"])), "{}", response.text());
    }
    daemon.stop();
    let (_, said) = setup.set("time.zone", "Nowhere").start_refused();
    assert!(said.contains("time.zone"), "{said}");
}

#[test]
fn stored_times_are_by_the_same_clocks_as_now() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).set("time.zone", "Asia/Kathmandu").start();
    daemon.shop();
    let same = "timestamp(event.metadata.time.insert).getMinutes() == now.getMinutes()";
    let quarter = "(timestamp('2026-01-01T00:00:00Z') + duration('1m')).getMinutes() == 46";
    let map = json!([{"to": "profile.traits.mapped", "value": true, "if": quarter}]);
    save(&daemon, "event-type", &json!({"id": "cart", "map": map}));
    save(&daemon, "segment", &json!({"id": "in", "condition": quarter}));
    save(&daemon, "segment", &json!({"id": "out", "condition": quarter, "tz": "UTC"}));
    let step = json!({"set": {"profile.traits.same": true}});
    save(
        &daemon,
        "workflow",
        &json!({"id": "w", "on": ["cart"], "if": format!("{quarter} && {same}"), "step": [step]}),
    );
    let destination = json!({"id": "d", "events": ["cart"], "file": "carts.ndjson", "if": quarter});
    save(&daemon, "destination", &destination);
    let profile = send(&daemon, "cart");
    let profile = daemon.record(&format!("/profile/{profile}"));
    assert_eq!(profile["segments"], json!(["in"]));
    assert_eq!(profile["traits"]["mapped"], true);
    // (A minute may begin between the two.)
    if profile["traits"]["same"] != true {
        send(&daemon, "cart");
    }
    wait_for("the delivery", || (daemon.record("/destination/d/status")["delivered"] != 0).then_some(()));
    assert_eq!(daemon.record("/workflow/w/status")["failures"], 0);
}

#[test]
fn days_are_counted_where_a_condition_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).start();
    daemon.shop();
    // One of these has another day now than UTC.
    let zones = ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Europe/Warsaw"];
    for zone in zones {
        let id = format!("twice-{zone}");
        save(&daemon, "segment", &json!({"id": id, "condition": "count('cart', '1d') >= 2", "tz": zone}));
    }
    let now = "{{ now.getHours() }}:{{ now.getDayOfMonth() }}";
    save(
        &daemon,
        "workflow",
        &json!({"id": "clock", "on": ["cart"], "tz": "Pacific/Kiritimati", "if": "count('cart', '1d') == 2",
        "step": [{"set": {"profile.traits.clock": now, "profile.traits.at": "{{ now }}"}}]}),
    );
    let started = Utc::now();
    let profile = send(&daemon, "cart");
    assert_eq!(daemon.record(&format!("/profile/{profile}"))["segments"], json!([]));
    send(&daemon, "cart");
    // (At midnight somewhere, they are two days; the next two are not.)
    let all: Vec<String> = {
        let mut all: Vec<String> = zones.map(|zone| format!("twice-{zone}")).to_vec();
        all.sort();
        all
    };
    let shown = wait_for("all segments", || {
        let shown = daemon.record(&format!("/profile/{profile}"));
        let mut segments: Vec<String> = serde_json::from_value(shown["segments"].clone()).unwrap();
        segments.sort();
        if segments != all {
            send(&daemon, "cart");
        }
        (segments == all).then_some(shown)
    });
    let local = |time: chrono::DateTime<Utc>| time.with_timezone(&chrono_tz::Pacific::Kiritimati);
    let clocks = [started, Utc::now()].map(|time| {
        let local = local(time);
        format!("{}:{}", local.hour(), chrono::Datelike::day0(&local))
    });
    let clock = shown["traits"]["clock"].as_str().unwrap();
    assert!(clocks.iter().any(|it| it == clock), "{clock}, not {clocks:?}");
    assert!(shown["traits"]["at"].as_str().unwrap().ends_with('Z'), "{shown}");
    // They are kept with the profile, and a restart is no new day.
    let daemon = daemon.restart();
    let mut segments: Vec<String> =
        serde_json::from_value(daemon.record(&format!("/profile/{profile}"))["segments"].clone()).unwrap();
    segments.sort();
    assert_eq!(segments, all);
}
