//! What happens without a request: delayed events, segments that depend on the time, workflows by schedule.

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::{
    Daemon,
    daemon::{started, wait_for},
    external::{External, Slow},
};

fn set_up(daemon: &Daemon, configuration: Value) {
    let response = daemon.post_admin("/configuration", &configuration);
    assert_eq!(response.status, 200, "{}", response.text());
}

/// Sends an event in a session; the profile's id.
fn send(daemon: &Daemon, session: &str, kind: &str, properties: Value) -> String {
    let answer = daemon.tracked(&json!({
        "source": {"id": "shop"}, "session": {"id": session}, "events": [{"type": kind, "properties": properties}]
    }));
    answer["profile"]["id"].as_str().unwrap().to_owned()
}

fn traits(daemon: &Daemon, profile: &str) -> Value {
    daemon.record(&format!("/profile/{profile}"))["traits"].clone()
}

/// A cart makes a reminder, which notes what it met.
fn reminders(delay: &str) -> Value {
    json!({"workflow": [
        {"id": "plan", "on": ["cart"], "step": [
            {"id": "later", "emit": {"type": "Cart Reminder", "properties": {"cart": "{{ event.properties.cart }}"}, "delay": delay}}
        ]},
        {"id": "remind", "on": ["cart-reminder"], "step": [
            {"append": {"profile.traits.reminded": "{{ event.properties.cart }} in {{ session.id }} from {{ source.id }}"}}
        ]},
    ]})
}

#[test]
fn a_delayed_event_happens_once_also_after_a_crash() {
    let (folder, daemon) = started();
    set_up(&daemon, reminders("1500ms"));
    set_up(&daemon, json!({"destination": [{"id": "all", "events": ["cart-reminder"], "file": "reminders.ndjson"}]}));
    let answer = daemon.tracked(&json!({
        "source": {"id": "shop"}, "session": {"id": "visit"}, "options": {"debugger": true},
        "events": [{"type": "cart", "properties": {"cart": "C-1"}}]
    }));
    let profile = answer["profile"]["id"].as_str().unwrap().to_owned();
    let due = &answer["debugging"]["execution"]["plan"][0]["steps"][0]["result"];
    assert!(due.as_str().unwrap().starts_with("20"), "when it happens: {answer}");
    let duration = || daemon.record("/session/visit")["metadata"]["time"]["duration"].clone();
    let before = duration();
    let mut daemon = daemon;
    assert_eq!(traits(&daemon, &profile), json!({}));
    daemon.kill();
    let daemon = support::Setup::new(folder.path()).start();
    let reminded = json!({"reminded": ["C-1 in visit from shop"]});
    wait_for("the reminder", || (traits(&daemon, &profile) == reminded).then_some(()));
    // It waits for the views to be made anew from the log, too.
    let setup = daemon.stop();
    assert!(setup.command(&["rebuild"]).status().unwrap().success());
    let daemon = setup.start();
    send(&daemon, "other", "page-view", json!({}));
    wait_for("the delivery", || (daemon.record("/destination/all/status")["lag"] == 0).then_some(()));
    assert_eq!(traits(&daemon, &profile), reminded);
    let delivered = std::fs::read_to_string(folder.path().join("deliveries/reminders.ndjson")).unwrap();
    let mut events: Vec<Value> = delivered.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    events.dedup(); // a delivery that the daemon's end came after is made again
    assert_eq!(events.len(), 1, "{delivered}");
    let event = &events[0]["event"];
    assert_eq!((&event["type"], &event["name"]), (&json!("cart-reminder"), &json!("Cart Reminder")));
    assert_eq!((&event["session"]["id"], &event["profile"]["id"]), (&json!("visit"), &json!(profile)));
    assert_eq!(event["metadata"]["status"], "processed");
    let after = daemon.record("/session/visit")["metadata"]["time"]["duration"].clone();
    assert_eq!(after, before, "nobody came back to the session");
}

#[test]
fn a_delayed_event_finds_whom_it_is_about() {
    let (_folder, daemon) = started();
    set_up(&daemon, reminders("1s"));
    let merged = send(&daemon, "old", "page-view", json!({}));
    send(&daemon, "old", "sign-in", json!({"email": {"main": "ada@example.com"}}));
    let deleted = send(&daemon, "gone", "cart", json!({"cart": "C-2"}));
    let ada = send(&daemon, "new", "cart", json!({"cart": "C-3"}));
    send(&daemon, "ended", "cart", json!({"cart": "C-4"}));
    let ended = send(&daemon, "ended", "page-view", json!({}));
    assert_eq!(daemon.admin("DELETE", &format!("/profile/{deleted}")).status, 200);
    assert_eq!(daemon.admin("DELETE", "/session/ended").status, 200);
    assert_eq!(send(&daemon, "new", "sign-in", json!({"email": {"main": "ada@example.com"}})), merged);
    let reminded = json!({"reminded": ["C-3 in new from shop"]});
    wait_for("the reminder", || (traits(&daemon, &ada) == reminded).then_some(()));
    // Its session is gone: what the step speaks of is missing, which the event's status tells.
    assert_eq!(traits(&daemon, &ended), json!({}));
    assert_eq!(daemon.admin("GET", &format!("/profile/{deleted}")).status, 404);
    assert_eq!(daemon.admin("GET", "/session/ended").status, 404, "nothing comes back");
}

#[test]
fn a_delayed_event_that_cannot_happen_is_counted_where_it_belongs() {
    let (_folder, daemon) = started();
    set_up(&daemon, reminders("10ms"));
    // Since it was planned, such an event must say more than it does.
    set_up(&daemon, json!({"event_type": [{"id": "cart-reminder", "schema": {"properties": {"required": ["shop"]}}}]}));
    let profile = send(&daemon, "visit", "cart", json!({"cart": "C-1"}));
    let failed = |workflow: &str| {
        wait_for("the failure", || {
            let status = daemon.record(&format!("/workflow/{workflow}/status"));
            (status["failures"] == 1).then_some(status)
        })
    };
    let status = failed("remind");
    let error = status["error"].as_str().unwrap();
    assert!(error.starts_with("delayed event cart-reminder: Validation failed"), "{status}");
    assert_eq!(traits(&daemon, &profile), json!({}));
    assert_eq!(daemon.record("/workflow/plan/status")["failures"], 0);
    // If nothing takes it, whoever planned it is told.
    assert_eq!(daemon.admin("DELETE", "/workflow/remind").status, 200);
    send(&daemon, "visit", "cart", json!({"cart": "C-2"}));
    let status = failed("plan");
    assert!(status["error"].as_str().unwrap().starts_with("delayed event cart-reminder: "), "{status}");
}

#[test]
fn a_segment_is_left_when_its_time_is_over() {
    let (_folder, daemon) = started();
    set_up(
        &daemon,
        json!({
            "segment": [{"id": "here", "every": "1s", "events": true,
                "condition": "now - timestamp(profile.metadata.time.visit.current) < duration('2s')"}],
            "workflow": [
                {"id": "bye", "on_leaving": ["here"], "step": [{"set": {"profile.traits.left": true}}]},
                {"id": "noted", "on": ["segment-left"], "step": [{"set": {"profile.traits.noted": "{{ source.id }}"}}]},
            ],
        }),
    );
    let profile = send(&daemon, "visit", "page-view", json!({}));
    let segments = |daemon: &Daemon| daemon.record(&format!("/profile/{profile}"))["segments"].clone();
    assert_eq!(segments(&daemon), json!(["here"]));
    wait_for("the end of the visit", || (segments(&daemon) == json!([])).then_some(()));
    assert_eq!(traits(&daemon, &profile), json!({"left": true, "noted": "@internal"}));
    let status = wait_for("the pass", || {
        let status = daemon.record("/segment/here/status");
        (status["under_way"] == false).then_some(status)
    });
    assert_eq!((&status["performed"], &status["failures"], &status["error"]), (&json!(1), &json!(0), &Value::Null));
    assert!(status["begun"].as_str() < status["next"].as_str(), "{status}");
    assert_eq!(daemon.admin("GET", "/segment/nobody/status").status, 404);
}

#[test]
fn a_new_segment_takes_in_who_is_there() {
    let (_folder, daemon) = started();
    let profiles: Vec<String> =
        (0..450).map(|number| send(&daemon, &format!("s{number}"), "page-view", json!({}))).collect();
    set_up(
        &daemon,
        json!({"segment": [{"id": "viewer", "condition": "profile.stats.views > 0", "events": true}],
        "workflow": [{"id": "left", "on": ["segment-left"], "step": [{"increment": {"profile.traits.left": 1}}]}]}),
    );
    let is_in = |id: &String| daemon.record(&format!("/profile/{id}"))["segments"] == json!(["viewer"]);
    wait_for("all of them", || profiles.iter().all(is_in).then_some(()));
    let performed = |daemon: &Daemon| daemon.record("/segment/viewer/status")["performed"].clone();
    assert_eq!(performed(&daemon), 450);
    // Once: it has no schedule, and a restart is no reason.
    let daemon = daemon.restart();
    let status = daemon.record("/segment/viewer/status");
    assert_eq!((&status["next"], &status["performed"]), (&Value::Null, &json!(0)));
    // One that is deleted is left by all, and can be set up again.
    assert_eq!(daemon.admin("DELETE", "/segment/viewer").json(), json!(true));
    assert_eq!(daemon.admin("GET", "/segment/viewer").status, 404);
    assert_eq!(daemon.admin("DELETE", "/segment/viewer").status, 404);
    assert_eq!(daemon.record("/configuration")["segment"], Value::Null);
    let daemon = daemon.restart();
    let is_out = |id: &String| daemon.record(&format!("/profile/{id}"))["segments"] == json!([]);
    wait_for("everybody to leave", || profiles.iter().all(is_out).then_some(()));
    let left = |id: &String| daemon.record(&format!("/profile/{id}"))["traits"]["left"].clone();
    assert!(profiles.iter().all(|id| left(id) == 1), "which each is told once");
    set_up(&daemon, json!({"segment": [{"id": "viewer", "condition": "profile.stats.views > 0"}]}));
    let is_in = |id: &String| daemon.record(&format!("/profile/{id}"))["segments"] == json!(["viewer"]);
    wait_for("all of them again", || profiles.iter().all(is_in).then_some(()));
}

#[test]
fn a_workflow_starts_by_schedule() {
    let (_folder, daemon) = started();
    let fans: Vec<String> = (0..3)
        .map(|number| {
            let session = format!("s{number}");
            send(&daemon, &session, "increase-interest", json!({"interest": "sports", "value": number}))
        })
        .collect();
    set_up(
        &daemon,
        json!({"workflow": [
            {"id": "fans", "every": "1s", "profiles": true, "if": "profile.interests.sports >= 1",
                "step": [{"increment": {"profile.traits.runs": 1}}, {"emit": {"type": "greeted"}}]},
            {"id": "greet", "on": ["greeted"], "step": [{"increment": {"profile.traits.greeted": 1}}]},
            {"id": "clock", "every": "1s", "step": [
                {"attach_profile": {"identifier": "the-clock"}}, {"increment": {"profile.traits.ticks": 1}}, {"if": "profile.traits.ticks > 1", "attach_session": "clock"}
            ]},
            {"id": "nightly", "schedule": "30 3 * * *", "step": [{"log": "night"}]},
            {"id": "broken", "every": "1s", "profiles": true, "step": [{"increment": {"profile.interests": 1}}]},
        ]}),
    );
    wait_for("some runs", || (traits(&daemon, &fans[2])["runs"].as_u64() > Some(1)).then_some(()));
    for fan in &fans[1..] {
        let traits = traits(&daemon, fan);
        assert_eq!(traits["runs"], traits["greeted"], "each time it emits an event");
    }
    assert_eq!(traits(&daemon, &fans[0]), json!({}), "its condition does not hold");
    let clock = wait_for("a session for the clock", || {
        let session = daemon.admin("GET", "/session/clock").json();
        session["profile"]["id"].as_str().map(str::to_owned)
    });
    assert!(traits(&daemon, &clock)["ticks"].as_u64() > Some(1));
    let status = wait_for("a failure", || {
        let status = daemon.record("/workflow/broken/status");
        (status["failures"].as_u64() > Some(0)).then_some(status)
    });
    assert!(status["error"].as_str().unwrap().contains("profile.interests"), "{status}");
    let nightly = daemon.record("/workflow/nightly/status");
    assert!(nightly["next"].as_str().unwrap().ends_with("T03:30:00.000000Z"), "{nightly}");
    let greet = daemon.record("/workflow/greet/status");
    assert_eq!((&greet["next"], greet["performed"].as_u64() > Some(0)), (&Value::Null, true), "it waits for events");
    assert_eq!(daemon.admin("GET", "/workflow/nobody/status").status, 404);
    // Taken away, it runs no more.
    assert_eq!(daemon.admin("DELETE", "/workflow/fans").status, 200);
    let ticks = traits(&daemon, &clock)["ticks"].as_u64();
    let runs = traits(&daemon, &fans[2])["runs"].clone();
    wait_for("two ticks", || (traits(&daemon, &clock)["ticks"].as_u64() > ticks.map(|ticks| ticks + 2)).then_some(()));
    let later = traits(&daemon, &fans[2])["runs"].clone();
    assert!(later.as_u64() <= runs.as_u64().map(|runs| runs + 1), "one may have been under way: {runs}, {later}");
}

#[test]
fn entering_a_segment_is_no_change_that_makes_leave_it() {
    let (_folder, daemon) = started();
    let idle = "now - timestamp(profile.metadata.time.update) > duration('1s')";
    let body = json!({"id": "idle", "condition": idle, "every": "1s", "events": true});
    assert_eq!(daemon.post_admin("/segment", &body).status, 200);
    for (kind, trait_) in [("segment-entered", "entered"), ("segment-left", "left")] {
        let step = json!({"increment": {format!("session.traits.{trait_}"): 1}, "continue_on_error": true});
        let count = json!({"id": kind, "on": [kind], "step": [step, {"log": kind}]});
        assert_eq!(daemon.post_admin("/workflow", &count).status, 200);
    }
    daemon.tracked(&json!({"source": {"id": "shop"}, "session": {"id": "s"}, "events": [{"type": "page-view"}]}));
    let performed = |daemon: &Daemon, id: &str| daemon.record(&format!("/workflow/{id}/status"))["performed"].as_u64();
    wait_for("to be idle", || (performed(&daemon, "segment-entered") == Some(1)).then_some(()));
    let looks = || daemon.record("/segment/idle/status")["begun"].as_str().map(str::to_owned);
    let mut seen = std::collections::HashSet::new();
    wait_for("some more looks", || {
        seen.extend(looks());
        (seen.len() > 4).then_some(())
    });
    assert_eq!((performed(&daemon, "segment-entered"), performed(&daemon, "segment-left")), (Some(1), Some(0)));
}

#[test]
fn a_schedule_that_is_none_is_refused() {
    let (_folder, daemon) = started();
    for (kind, body, place) in [
        ("segment", json!({"id": "s", "condition": "profile.stats.views > 1", "every": "1h"}), "every"),
        ("segment", json!({"id": "s", "condition": "now > timestamp('2027-01-01T00:00:00Z')", "every": "0s"}), "every"),
        ("workflow", json!({"id": "w", "schedule": "often"}), "schedule"),
        ("workflow", json!({"id": "w", "every": "1x"}), "every"),
        ("workflow", json!({"id": "w", "profiles": true}), "profiles"),
    ] {
        let response = daemon.post_admin(&format!("/{kind}"), &body);
        assert_eq!((response.status, response.loc()), (422, json!(["body", place])), "{}", response.text());
    }
    let delay = json!({"id": "w", "on": ["a"], "step": [{"emit": {"type": "b", "delay": "soon"}}]});
    let response = daemon.post_admin("/workflow", &delay);
    assert_eq!(response.loc(), json!(["body", "step", 0, "emit", "delay"]), "{}", response.text());
}

/// An event of the type `plan` plans forty of the type `work`, the first half of them behind the others. Each is noted by
/// its number when it happens; some ask `external` first.
fn work(external: &str) -> Value {
    let lookup = json!({"url": format!("http://{external}/{{{{ event.properties.n }}}}"), "timeout_ms": 500});
    let emit = |n: usize| {
        let properties = json!({"n": format!("{{{{ event.properties.from + {n} }}}}"), "asks": n.is_multiple_of(20)});
        json!({"emit": {"type": "work", "delay": if n < 20 { "4s" } else { "2s" }, "properties": properties}})
    };
    json!({"workflow": [
        {"id": "plan", "on": ["plan"], "step": (0..40).map(emit).collect::<Vec<_>>()},
        {"id": "work", "on": ["work"], "step": [
            {"if": "event.properties.asks", "lookup": lookup, "continue_on_error": true},
            {"append": {"profile.traits.done": "{{ event.properties.n }}"}}
        ]},
    ]})
}

fn done(daemon: &Daemon, profile: &str) -> Vec<u64> {
    traits(daemon, profile)["done"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect()
}

#[test]
fn what_is_due_for_one_person_happens_in_its_order() {
    let external = External::start(|asked| {
        // Some answer late, and those of `300` too late.
        let late = if asked.line.contains("/3") { 1_500 } else { 200 };
        std::thread::sleep(Duration::from_millis(late));
        (200, "{}".into())
    });
    let folder = tempfile::tempdir().unwrap();
    let daemon = support::Setup::new(folder.path()).set("lookup.allowed_hosts", "127.0.0.1").start();
    daemon.shop();
    set_up(&daemon, work(&external.address));
    // Two profiles, who are one person when it is due.
    let sent = [(100, "phone"), (200, "laptop"), (300, "phone"), (400, "laptop"), (500, "phone")];
    for (from, session) in sent {
        send(&daemon, session, "plan", json!({"from": from}));
    }
    let other = send(&daemon, "other", "plan", json!({"from": 100}));
    send(&daemon, "phone", "sign-in", json!({"email": {"main": "ada@example.com"}}));
    let ada = send(&daemon, "laptop", "sign-in", json!({"email": {"main": "ada@example.com"}}));
    let daemon = daemon.restart();
    wait_for("the work", || (done(&daemon, &ada).len() == 200).then_some(()));
    let in_order = |from: u64| [from + 20..from + 40, from..from + 20];
    let first = sent.iter().flat_map(|(from, _)| in_order(*from)[0].clone());
    let then = sent.iter().flat_map(|(from, _)| in_order(*from)[1].clone());
    assert_eq!(done(&daemon, &ada), first.chain(then).collect::<Vec<_>>());
    assert_eq!(done(&daemon, &other), in_order(100).into_iter().flatten().collect::<Vec<_>>());
}

#[test]
fn nobody_waits_for_what_others_have_to_do() {
    let slow = Slow::start();
    let folder = tempfile::tempdir().unwrap();
    let daemon = slow.daemon(support::Setup::new(folder.path()));
    set_up(
        &daemon,
        json!({"workflow": [
            {"id": "plan", "on": ["plan"], "step": [
                {"emit": {"type": "slow", "delay": "10ms"}}, {"emit": {"type": "quick", "delay": "20ms"}}
            ]},
            {"id": "quick", "on": ["quick"], "step": [{"increment": {"profile.traits.quick": 1}}]},
            {"id": "only-quick", "on": ["cart"], "step": [{"emit": {"type": "quick", "delay": "10ms"}}]},
        ]}),
    );
    let waits = send(&daemon, "slow", "plan", json!({}));
    wait_for("the lookup", || (slow.asked() == 1).then_some(()));
    let quick = |profile: &str| traits(&daemon, profile)["quick"].clone();
    for number in 0..3 {
        let other = send(&daemon, &format!("s{number}"), "cart", json!({}));
        wait_for("somebody else's", || (quick(&other) == 1).then_some(()));
    }
    assert_eq!(quick(&waits), Value::Null, "what was due before is under way still");
    slow.answer();
    wait_for("what was due behind it", || (quick(&waits) == 1).then_some(()));
}

#[test]
fn in_a_pass_nobody_waits_for_what_is_asked_for_others() {
    let slow = Slow::start();
    let folder = tempfile::tempdir().unwrap();
    let daemon = slow.daemon(support::Setup::new(folder.path()));
    let people: Vec<String> = (0..30).map(|n| send(&daemon, &format!("s{n}"), "cart", json!({}))).collect();
    let mut lookup = slow.workflow()["step"][0].clone();
    let url = format!("{}{{{{ profile.id }}}}", lookup["lookup"]["url"].as_str().unwrap());
    lookup["lookup"]["url"] = json!(url);
    let step = json!([lookup, {"increment": {"profile.traits.asked": 1}}]);
    set_up(&daemon, json!({"workflow": [{"id": "pass", "every": "1s", "profiles": true, "step": step}]}));
    wait_for("everybody's lookup", || (slow.asked() == people.len()).then_some(()));
    assert!(people.iter().all(|person| traits(&daemon, person)["asked"] == Value::Null));
    slow.answer();
    for person in &people {
        wait_for("the end of the pass", || traits(&daemon, person)["asked"].as_u64().filter(|asked| *asked > 0));
    }
}

#[test]
fn a_chain_of_delays_goes_on_to_its_end() {
    let (_folder, daemon) = started();
    // Six mails, each planned by the workflow that the one before started, and what one leads to at once is no longer.
    let mut workflows: Vec<Value> = (0..6)
        .map(|n| {
            let next = json!({"emit": {"type": format!("mail-{}", n + 1), "delay": "5ms"}});
            let sent = json!({"append": {"profile.traits.mails": n}});
            json!({"id": format!("mail-{n}"), "on": [format!("mail-{n}")], "step": [sent, next]})
        })
        .collect();
    for n in 6..9 {
        let emit = json!({"emit": {"type": format!("mail-{}", n + 1)}});
        workflows.push(json!({"id": format!("mail-{n}"), "on": [format!("mail-{n}")], "step": [emit]}));
    }
    let last = json!({"append": {"profile.traits.mails": "last"}});
    workflows.push(json!({"id": "mail-9", "on": ["mail-9"], "step": [last]}));
    set_up(&daemon, json!({"workflow": workflows}));
    let profile = send(&daemon, "visit", "mail-0", json!({}));
    let mails = json!([0, 1, 2, 3, 4, 5, "last"]);
    wait_for("the last mail", || (traits(&daemon, &profile)["mails"] == mails).then_some(()));
    for n in 0..10 {
        assert_eq!(daemon.record(&format!("/workflow/mail-{n}/status"))["failures"], 0, "mail-{n}");
    }
}

#[test]
fn a_loop_over_delays_ends_also_across_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = support::Setup::new(folder.path()).set("workflow.runs_per_day", 8).start();
    daemon.shop();
    // Each turn begins another one, or two, by way of another workflow.
    let again =
        json!({"emit": {"type": "tock", "delay": "1ms", "properties": {"twice": "{{ event.properties.twice }}"}}});
    let mut twice = again.clone();
    twice["if"] = json!("event.properties.twice");
    let tick =
        json!({"emit": {"type": "tick", "delay": "1ms", "properties": {"twice": "{{ event.properties.twice }}"}}});
    set_up(
        &daemon,
        json!({"workflow": [
            {"id": "tick", "on": ["tick"], "step": [{"increment": {"profile.traits.ticks": 1}}, again, twice]},
            {"id": "tock", "on": ["tock"], "step": [tick]},
            {"id": "loop", "on": ["loop"], "step": [{"increment": {"profile.traits.loops": 1}}, {"emit": {"type": "loop"}}]},
        ]}),
    );
    let profile = send(&daemon, "visit", "tick", json!({"twice": false}));
    let other = send(&daemon, "other", "tick", json!({"twice": false}));
    let ticks = |daemon: &Daemon, profile: &str| traits(daemon, profile)["ticks"].as_u64().unwrap();
    let mut daemon = daemon;
    for turns in [2, 4] {
        wait_for("some turns", || (ticks(&daemon, &profile) >= turns).then_some(()));
        daemon.kill();
        daemon = support::Setup::new(folder.path()).set("workflow.runs_per_day", 8).start();
    }
    let told = |daemon: &Daemon| {
        let status = daemon.record("/workflow/tick/status");
        status["error"].as_str().is_some_and(|error| error.contains("workflow.runs_per_day"))
    };
    let ended = |daemon: &Daemon, profile: &str| ticks(daemon, profile) == 8 && told(daemon);
    wait_for("the end", || (ended(&daemon, &profile) && ended(&daemon, &other)).then_some(()));
    // One that grows with each turn ends as soon.
    let many = send(&daemon, "many", "tick", json!({"twice": true}));
    wait_for("the end", || ended(&daemon, &many).then_some(()));
    // Who comes again may, and a loop without a delay is bounded as ever.
    send(&daemon, "visit", "tick", json!({"twice": false}));
    send(&daemon, "visit", "loop", json!({}));
    assert_eq!(traits(&daemon, &profile)["loops"], 4);
    // Nothing that goes on was left: what is behind all of it finds it as it was.
    set_up(
        &daemon,
        json!({"workflow": [{"id": "end", "on": ["end"], "step": [{"emit": {"type": "ended", "delay": "4s"}}]},
        {"id": "ended", "on": ["ended"], "step": [{"set": {"profile.traits.ended": true}}]}]}),
    );
    let end = send(&daemon, "end", "end", json!({}));
    wait_for("some more looks", || (traits(&daemon, &end)["ended"] == true).then_some(()));
    assert_eq!([&profile, &other, &many].map(|profile| ticks(&daemon, profile)), [9, 8, 8]);
}

#[test]
fn what_is_scheduled_for_somebody_has_its_place_among_their_events() {
    let (_folder, daemon) = started();
    for number in 0..250 {
        send(&daemon, &format!("s{number}"), "page-view", json!({}));
    }
    let note = |what: &str| json!([{"append": {"profile.traits.done": what}}]);
    let plan: Vec<Value> = [("before", "5s"), ("after", "14s"), ("at-last", "15s")]
        .into_iter()
        .map(|(kind, delay)| json!({"emit": {"type": kind, "delay": delay}}))
        .collect();
    set_up(
        &daemon,
        json!({"workflow": [
            {"id": "plan", "on": ["plan"], "step": plan},
            {"id": "before", "on": ["before"], "step": note("before")},
            {"id": "after", "on": ["after"], "step": note("after")},
            {"id": "at-last", "on": ["at-last"], "step": note("at last")},
            {"id": "first", "every": "9s", "profiles": true, "if": "profile.stats.visits > 0", "step": note("first")},
        ]}),
    );
    let people: Vec<String> =
        (0..250).step_by(50).map(|number| send(&daemon, &format!("s{number}"), "plan", json!({}))).collect();
    set_up(
        &daemon,
        json!({"workflow": [
            {"id": "second", "every": "9s", "profiles": true, "if": "profile.stats.visits > 0", "step": note("second")},
        ]}),
    );
    // All of it comes due while nobody is there.
    let setup = daemon.stop();
    std::thread::sleep(Duration::from_secs(16));
    let daemon = setup.start();
    let all = json!(["before", "first", "second", "after", "at last"]);
    for person in &people {
        let done = || traits(&daemon, person)["done"].clone();
        wait_for("all of it", || (done().as_array().map(Vec::len) == Some(5)).then_some(()));
        assert_eq!(done(), all);
    }
}
