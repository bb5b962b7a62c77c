//! Workflows: what starts them, what each step does, and how they fail.

mod support;

use serde_json::{Value, json};
use support::{
    Daemon, Setup,
    daemon::{started, wait_for},
};

fn workflow(daemon: &Daemon, body: &Value) {
    let response = daemon.post_admin("/workflow", body);
    assert_eq!(response.status, 200, "{}", response.text());
}

/// A workflow on events of the type `a`.
fn on_a(daemon: &Daemon, steps: Value) {
    workflow(daemon, &json!({"id": "w", "on": ["a"], "step": steps}));
}

/// Sends an event `e` of the type `a`; the answer with the whole profile and debugging.
fn send_a(daemon: &Daemon, properties: Value) -> Value {
    let id = uuid::Uuid::new_v4().to_string();
    daemon.tracked(&json!({
        "source": {"id": "shop"}, "session": {"id": "s"}, "options": {"debugger": true, "profile": true},
        "events": [{"id": id, "type": "a", "properties": properties}]
    }))
}

fn event_of(daemon: &Daemon, answer: &Value) -> Value {
    daemon.record(&format!("/event/{}", answer["debugging"]["events"]["ids"][0].as_str().unwrap()))["event"].clone()
}

#[test]
fn a_profile_is_attached_by_a_field_that_one_of_them_has() {
    let (_folder, daemon) = started();
    let remember = json!({"id": "remember", "map": [{"from": "event.properties.card", "to": "profile.traits.card"}]});
    assert_eq!(daemon.post_admin("/event-type", &remember).status, 200);
    let attach = |create: bool| {
        let attach =
            json!({"attach_profile": {"profile.traits.card": "{{ event.properties.card }}", "create": create}});
        workflow(&daemon, &json!({"id": "till", "on": ["till"], "step": [attach]}));
    };
    let remember = |session: &str, card: Value| {
        daemon.tracked(&json!({
            "source": {"id": "shop"}, "session": {"id": session},
            "events": [{"type": "remember", "properties": {"card": card}}]
        }))["profile"]["id"]
            .clone()
    };
    let till = |card: &str| {
        let payload = json!({
            "source": {"id": "shop"}, "session": {"id": format!("till {card}")}, "options": {"debugger": true},
            "events": [{"type": "till", "properties": {"card": card}}]
        });
        let answer = daemon.post_admin("/track?profile_less=true", &payload).json();
        let error = answer["debugging"]["execution"]["till"][0]["steps"][0]["error"].clone();
        (answer["profile"]["id"].clone(), error)
    };
    attach(false);
    let (one, two) = (remember("one", json!("C \"1\"")), remember("two", json!(17)));
    assert_eq!(till("C \"1\""), (one, Value::Null));
    assert_eq!(till("17"), (two, Value::Null), "a number is found by its text");
    assert_eq!(till("1"), (Value::Null, json!("there is no such profile")));
    assert_eq!(till("undefined").1, "the value tells nobody");
    remember("three", json!("17"));
    assert_eq!(till("17").1, "profile.traits.card: more than one profile has this value");
    // Whoever comes with a card that is new, at once, is one person.
    attach(true);
    let ids: Vec<Value> = std::thread::scope(|scope| {
        let till = &till;
        let asked: Vec<_> = (0..8).map(|_| scope.spawn(move || till("new").0)).collect();
        asked.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(ids[0].is_string() && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let path = json!({"id": "w", "on": ["a"], "step": [{"attach_profile": {"profile.id": "x"}}]});
    assert_eq!(daemon.post_admin("/workflow", &path).status, 422);
}

#[test]
fn a_step_reads_the_previous_session() {
    let (_folder, daemon) = started();
    let steps = json!([
        {"id": "before", "previous_session": true},
        {"if": "has(steps.before)", "set": {"profile.traits.before": "{{ steps.before.id }} {{ steps.before.context.page }}"}},
        {"if": "!has(steps.before)", "set": {"profile.traits.before": "none"}},
    ]);
    on_a(&daemon, steps);
    let mut profile = json!({});
    let mut before = |session: &str| {
        let answer = daemon.tracked(&json!({
            "source": {"id": "shop"}, "session": {"id": session}, "profile": profile, "options": {"profile": true},
            "context": {"page": format!("of {session}")}, "events": [{"type": "a"}]
        }));
        profile = json!({"id": answer["profile"]["id"]});
        answer["profile"]["traits"]["before"].clone()
    };
    assert_eq!(before("one"), "none");
    assert_eq!(before("two"), "one of one");
    assert_eq!(before("two"), "one of one");
    assert_eq!(before("one"), "two of two", "whichever is not this one");
    assert_eq!(before("three"), "two of two");
    assert_eq!(daemon.admin("DELETE", "/session/two").json(), json!(true));
    assert_eq!(before("three"), "none");
}

#[test]
fn steps_change_profile_session_and_event_in_order() {
    let (_folder, daemon) = started();
    on_a(
        &daemon,
        json!([
            {"set": {"profile.traits.name": "{{ event.properties.name }}", "profile.traits.greeting": "Hello {{ event.properties.name }}!", "event.traits.seen": true, "session.traits.n": 1}},
            {"set_if_empty": {"profile.traits.name": "other", "profile.traits.city": "Bern"}},
            {"copy": {"profile.traits.again": "profile.traits.name"}},
            {"append": {"profile.traits.tags": ["x", "y"]}},
            {"append": {"profile.traits.tags": "x"}},
            {"increment": {"profile.traits.count": 2}},
            {"decrement": {"profile.traits.count": 0.5}},
            {"increment": {"profile.traits.typed": "{{ event.properties.number }}"}},
            {"set": {"profile.data.card": {"number": "{{ event.properties.number }}", "missing": "{{ event.properties.nobody }}"}}},
            {"delete": ["profile.traits.again"]},
            {"interest": {"sports": 1.5}},
            {"consent": {"grant": ["newsletter"], "revoke": ["tracking"]}},
            {"segment": {"add": ["vip", "old"]}},
            {"segment": {"remove": ["old"]}},
        ]),
    );
    let answer = send_a(&daemon, json!({"name": "Ada", "number": 1.10}));
    let profile = &answer["profile"];
    assert_eq!(
        profile["traits"],
        json!({"name": "Ada", "greeting": "Hello Ada!", "city": "Bern", "tags": ["x", "y"], "count": 1.5, "typed": 1.1})
    );
    assert_eq!(profile["data"], json!({"card": {"number": 1.10}}));
    assert_eq!(
        (&profile["interests"], &profile["consents"]),
        (&json!({"sports": 1.5}), &json!({"newsletter": true, "tracking": false}))
    );
    assert_eq!(profile["segments"], json!(["vip"]));
    assert!(profile["metadata"]["fields"]["traits.tags"].is_string());
    assert!(profile["metadata"]["fields"]["traits.again"].is_null());
    let event = event_of(&daemon, &answer);
    assert_eq!((&event["traits"], &event["metadata"]["status"]), (&json!({"seen": true}), &json!("processed")));
    assert_eq!(daemon.record("/session/s")["traits"], json!({"n": 1}));
    let steps = answer["debugging"]["execution"]["w"][0]["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 14);
    assert!(steps.iter().all(|step| step["status"] == "done" && step["time_ms"].is_number()), "{steps:?}");
    let daemon = daemon.restart();
    let id = profile["id"].as_str().unwrap();
    assert_eq!(&daemon.record(&format!("/profile/{id}")), profile);
}

#[test]
fn values_can_be_hashed_and_masked() {
    let (_folder, daemon) = started();
    on_a(
        &daemon,
        json!([
            {"copy": {"profile.traits.card": "event.properties.card", "profile.traits.mail": "event.properties.mail"}},
            {"hash": ["profile.traits.mail", "profile.traits.nothing"]},
            {"mask": ["profile.traits.card", "event.properties.card"]},
            {"hash": ["event.properties.mail"]},
            {"delete": ["event.properties.cvv"]},
            {"set": {"event.properties.seen": true}},
        ]),
    );
    let answer = send_a(&daemon, json!({"card": "4111111111111111", "mail": "abc", "cvv": 1}));
    let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let masked = "************1111";
    assert_eq!(answer["profile"]["traits"], json!({"card": masked, "mail": hash}));
    assert_eq!(event_of(&daemon, &answer)["properties"], json!({"card": masked, "mail": hash, "seen": true}));
}

#[test]
fn conditions_branches_and_stop_decide_what_is_done() {
    let (_folder, daemon) = started();
    on_a(
        &daemon,
        json!([
            {"id": "skipped", "if": "event.properties.n > 100", "set": {"profile.traits.never": 1}},
            {"choose": [
                {"if": "event.properties.n > 10", "step": [{"set": {"profile.traits.size": "large"}}, {"stop": true}]},
                {"step": [{"set": {"profile.traits.size": "small"}}]}
            ]},
            {"if": "!has(profile.traits.nobody) && event.type == 'a' && 'x' in ['x'] && [1, 2].exists(n, n == event.properties.n)", "set": {"profile.traits.reached": true}},
        ]),
    );
    let small = send_a(&daemon, json!({"n": 2}));
    assert_eq!(small["profile"]["traits"], json!({"size": "small", "reached": true}));
    assert_eq!(small["debugging"]["execution"]["w"][0]["steps"][0]["status"], "skipped");
    let large = send_a(&daemon, json!({"n": 11}));
    assert_eq!(large["profile"]["traits"]["size"], "large");
    let execution = &large["debugging"]["execution"]["w"][0];
    assert_eq!(
        (&execution["status"], execution["steps"].as_array().unwrap().len()),
        (&json!("done"), 4),
        "{execution}"
    );
}

#[test]
fn type_source_and_condition_start_a_workflow() {
    let (_folder, daemon) = started();
    daemon.source(&json!({"id": "other", "name": "Other", "type": ["rest"]}));
    let step = |name: &str| json!([{"set": {(format!("profile.traits.{name}")): true}}]);
    workflow(&daemon, &json!({"id": "by-type", "on": ["A", "b"], "step": step("by_type")}));
    workflow(&daemon, &json!({"id": "by-source", "on": ["a"], "sources": ["other"], "step": step("by_source")}));
    workflow(
        &daemon,
        &json!({"id": "by-condition", "on": ["a"], "if": "source.id == 'shop' && session.id == 's'", "step": step("by_condition")}),
    );
    workflow(&daemon, &json!({"id": "off", "on": ["a"], "enabled": false, "step": step("off")}));
    workflow(
        &daemon,
        &json!({"id": "visit", "on": ["visit-started", "profile-created", "session-opened"], "step": [{"append": {"profile.traits.began": "{{ event.type }}"}}]}),
    );
    let traits = send_a(&daemon, json!({}))["profile"]["traits"].clone();
    let began = json!(["profile-created", "session-opened", "visit-started"]);
    assert_eq!(traits, json!({"by_type": true, "by_condition": true, "began": began}));
}

#[test]
fn a_step_that_fails_stops_its_workflow_and_the_event_is_stored() {
    let (_folder, daemon) = started();
    on_a(
        &daemon,
        json!([
            {"set": {"profile.traits.before": 1}},
            {"id": "goes-on", "increment": {"profile.traits.name": 1}, "continue_on_error": true, "if": "event.properties.go_on"},
            {"id": "broken", "set": {"profile.traits.before.below": 1}},
            {"set": {"profile.traits.after": 1}},
        ]),
    );
    let answer = send_a(&daemon, json!({"go_on": false}));
    assert_eq!(answer["profile"]["traits"], json!({"before": 1}));
    let execution = &answer["debugging"]["execution"]["w"][0];
    assert_eq!((&execution["status"], &execution["steps"][2]["status"]), (&json!("error"), &json!("error")));
    assert!(execution["steps"][2]["error"].as_str().unwrap().contains("no object"), "{execution}");
    assert_eq!(answer["debugging"]["logs"][0]["level"], "error");
    assert_eq!(event_of(&daemon, &answer)["metadata"]["status"], "error");
}

#[test]
fn a_condition_that_cannot_be_evaluated_is_told() {
    let (_folder, daemon) = started();
    workflow(&daemon, &json!({"id": "w", "on": ["a"], "if": "1 / event.properties.n > 0", "step": [{"stop": true}]}));
    send_a(&daemon, json!({"n": 0}));
    let status = daemon.record("/workflow/w/status");
    assert_eq!((&status["performed"], &status["failures"]), (&json!(1), &json!(1)));
    assert!(status["error"].as_str().unwrap().starts_with("if: "), "{status}");
}

#[test]
fn events_lead_to_events_but_not_for_ever() {
    let (_folder, daemon) = started();
    workflow(
        &daemon,
        &json!({"id": "first", "on": ["a"], "step": [{"emit": {"type": "b", "properties": {"n": "{{ event.properties.n }}"}}}]}),
    );
    workflow(
        &daemon,
        &json!({"id": "loop", "on": ["b"], "step": [{"increment": {"profile.traits.b": 1}}, {"emit": {"type": "b"}}]}),
    );
    let answer = send_a(&daemon, json!({"n": 7}));
    assert_eq!(answer["profile"]["traits"]["b"], 3);
    assert_eq!(answer["debugging"]["events"]["types"], json!(["a", "b", "b", "b"]));
    let emitted = answer["events"][1].as_str().unwrap();
    let emitted = daemon.record(&format!("/event/{emitted}"))["event"].clone();
    assert_eq!((&emitted["type"], &emitted["properties"]), (&json!("b"), &json!({"n": 7})));
    assert_eq!(emitted["profile"]["id"], answer["profile"]["id"]);
}

#[test]
fn answers_and_logs_can_be_added_to_and_events_discarded() {
    let (_folder, daemon) = started();
    on_a(
        &daemon,
        json!([
            {"response": {"offer": {"price": "{{ event.properties.price }}"}}},
            {"ux": [{"tag": "div", "props": {"id": "offer"}, "content": "For {{ event.properties.price }}"}]},
            {"log": "priced {{ event.properties.price }}"},
            {"if": "event.properties.gone", "discard": true},
        ]),
    );
    let answer = daemon.tracked(&json!({
        "source": {"id": "shop"}, "session": {"id": "s"}, "events": [{"type": "a", "properties": {"price": 5, "gone": false}}]
    }));
    assert_eq!(answer["response"], json!({"offer": {"price": 5}}));
    assert_eq!(answer["ux"], json!([{"tag": "div", "props": {"id": "offer"}, "content": "For 5"}]));
    let gone = json!({
        "source": {"id": "shop"}, "session": {"id": "s"}, "options": {"debugger": true},
        "events": [{"id": "e-gone", "type": "a", "properties": {"price": 6, "gone": true}}]
    });
    for _ in 0..2 {
        let answer = daemon.tracked(&gone); // its id stays free
        assert_eq!((&answer["debugging"]["events"]["saved"], &answer["events"]), (&json!(0), &json!([])));
        assert_eq!(answer["debugging"]["logs"][0], json!({"level": "info", "message": "priced 6"}));
    }
    assert_eq!(daemon.admin("GET", "/event/e-gone").status, 404);
}

#[test]
fn a_webhook_can_be_given_a_profile_and_a_session() {
    let (_folder, daemon) = started();
    workflow(
        &daemon,
        &json!({"id": "w", "on": ["called"], "step": [
            {"attach_session": "call-{{ event.properties.call }}"},
            {"attach_profile": {"phone": "{{ event.properties.phone }}"}},
            {"set": {"profile.traits.last_call": "{{ event.properties.call }}", "session.traits.kind": "call"}},
        ]}),
    );
    workflow(
        &daemon,
        &json!({"id": "id", "on": ["by-id"], "step": [{"attach_profile": {"id": "{{ event.properties.profile }}"}}]}),
    );
    workflow(
        &daemon,
        &json!({"id": "known", "on": ["nobody"], "step": [{"attach_profile": {"phone": "{{ event.properties.phone }}", "create": false}}]}),
    );
    let call = |kind: &str, body: Value| {
        daemon.post_json(&format!("/collect/{kind}/shop"), &body.to_string()).json()["profile"]["id"].clone()
    };
    let first = call("called", json!({"phone": "+41 79 123 45 01", "call": "c1"}));
    assert!(first.is_string());
    assert_eq!(call("called", json!({"phone": " +41 79 123 45 01 ", "call": "c2"})), first);
    assert_ne!(call("called", json!({"phone": "+41 79 123 45 02", "call": "c3"})), first);
    let profile = daemon.record(&format!("/profile/{}", first.as_str().unwrap()));
    assert_eq!(
        (&profile["traits"], &profile["data"]["contact"]["phone"]["main"]),
        (&json!({"last_call": "c2"}), &json!("+41 79 123 45 01"))
    );
    assert_eq!(profile["stats"]["visits"], 2);
    let session = daemon.record("/session/call-c1");
    assert_eq!((&session["profile"]["id"], &session["traits"]), (&first, &json!({"kind": "call"})));
    assert_eq!(call("by-id", json!({"profile": first})), first);
    assert_eq!(
        call("by-id", json!({"profile": "11111111-1111-4111-8111-111111111111"})),
        Value::Null,
        "a forged id reaches nobody"
    );
    assert_eq!(call("nobody", json!({"phone": "+41 79 123 45 03"})), Value::Null);
}

#[test]
fn fifty_webhooks_of_one_new_person_make_one_profile() {
    let (_folder, daemon) = started();
    workflow(
        &daemon,
        &json!({"id": "w", "on": ["called"], "step": [
            {"attach_profile": {"email": "{{ event.properties.email }}"}}, {"increment": {"profile.traits.calls": 1}},
        ]}),
    );
    let ids: Vec<Value> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..50)
            .map(|_| scope.spawn(|| daemon.post_json("/collect/called/shop", r#"{"email":"ada@example.com"}"#).json()["profile"]["id"].clone()))
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0] && id.is_string()), "{ids:?}");
    assert_eq!(daemon.record(&format!("/profile/{}", ids[0].as_str().unwrap()))["traits"]["calls"], 50);
}

#[test]
fn what_an_expression_looks_at_is_bounded() {
    let (_folder, daemon) = started();
    let conditions = [
        "event.properties.l.exists(x, -x in event.properties.l)",
        "event.properties.l.exists(x, size(event.properties.l) == 1)",
        "event.properties.l.map(x, event.properties.l) == []",
        "event.properties.l.exists(x, string(x).matches('^z[a-z]{1,63}$'))",
        "event.properties.l.filter(x, x > 10).exists(x, x == 19999)",
        "event.properties.few.exists(x, x.matches('^https?://([a-z0-9-]{1,63}[.]){1,10}shop[.]com'))",
    ];
    let steps = conditions.map(|condition| json!({"if": condition, "log": "held", "continue_on_error": true}));
    on_a(&daemon, json!(steps));
    let numbers: Vec<u32> = (1..20_000).collect();
    let execution =
        send_a(&daemon, json!({"l": numbers, "few": ["x", "https://www.shop.com"]}))["debugging"]["execution"]["w"][0]
            .clone();
    for (step, condition) in execution["steps"].as_array().unwrap()[..4].iter().zip(conditions) {
        assert!(step["error"].as_str().is_some_and(|error| error.contains("bytes")), "{condition}: {step}");
    }
    assert_eq!(execution["steps"][4]["status"], "done", "one look at each is fine");
    assert_eq!(execution["steps"][5]["status"], "done", "so are patterns for a few");
}

#[test]
fn a_workflow_that_does_not_compile_is_refused_with_its_place() {
    let (_folder, daemon) = started();
    let step = |step: Value| json!({"id": "w", "on": ["a"], "step": [step]});
    for (body, loc) in [
        (json!({"id": "w", "step": [{"stop": true}]}), json!(["body"])),
        (json!({"id": "w", "on": ["a"]}), json!(["body", "step"])),
        (json!({"id": "w", "on": ["a*"], "step": [{"stop": true}]}), json!(["body", "on", 0])),
        (step(json!({})), json!(["body", "step", 0])),
        (step(json!({"stop": true, "discard": true})), json!(["body", "step", 0])),
        (step(json!({"sett": {}})), json!(["body", "step", 0, "sett"])),
        (step(json!({"set": {"profile.stats.views": 1}})), json!(["body", "step", 0, "set", "profile.stats.views"])),
        (
            step(json!({"set": {"profile.traits.x": "{{ 1 + }}"}})),
            json!(["body", "step", 0, "set", "profile.traits.x"]),
        ),
        (step(json!({"if": "nobody.x", "stop": true})), json!(["body", "step", 0, "if"])),
        (step(json!({"if": "profile.id.matches('(')", "stop": true})), json!(["body", "step", 0, "if"])),
        (
            step(json!({"if": "profile.id.matches('(a{1,100}){1,100}b')", "stop": true})),
            json!(["body", "step", 0, "if"]),
        ),
        (step(json!({"if": "'a'.matches(event.properties.x)", "stop": true})), json!(["body", "step", 0, "if"])),
        (step(json!({"if": "'a'.matches('b', 'c')", "stop": true})), json!(["body", "step", 0, "if"])),
        (
            step(json!({"lookup": {"url": "http://x", "headers": {"Content-Length": "1"}}})),
            json!(["body", "step", 0, "lookup", "headers", "Content-Length"]),
        ),
        (
            step(json!({"set": {"profile.traits.x": "{{ secret.crm }}"}})),
            json!(["body", "step", 0, "set", "profile.traits.x"]),
        ),
        (step(json!({"lookup": {"url": "file:///etc/passwd"}})), json!(["body", "step", 0, "lookup", "url"])),
        (
            step(json!({"lookup": {"url": "http://x", "timeout_ms": 60000}})),
            json!(["body", "step", 0, "lookup", "timeout_ms"]),
        ),
        (
            step(json!({"choose": [{"step": [{"delete": ["event.id"]}]}]})),
            json!(["body", "step", 0, "choose", 0, "step", 0, "delete", 0]),
        ),
        (step(json!({"attach_profile": {"name": "x"}})), json!(["body", "step", 0, "attach_profile", "name"])),
    ] {
        let response = daemon.post_admin("/workflow", &body);
        assert_eq!((response.status, response.loc()), (422, loc), "{body}: {}", response.text());
    }
    // Expressions that have brought parsers down.
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(300), close.repeat(300));
    for expression in [
        deep("(", ")"),
        deep("[", "]"),
        deep("{1:", "}"),
        "!!(!!!!!!(!!!!(((((!!(!!(!!!!((".repeat(4),
        "!".repeat(900),
        "-".repeat(900),
        "a?".repeat(400),
        "[1].map(a, [1].map(b, [1].map(c, a)))".into(),
        "1+".repeat(600) + "1",
        format!("[profile.traits.a]{} == []", ".map(x, x + x)".repeat(20)),
        format!("profile.traits.l.exists(x, {}x == 'a')", "x + ".repeat(20)),
    ] {
        let response = daemon
            .post_admin("/workflow", &json!({"id": "w", "on": ["a"], "if": expression, "step": [{"stop": true}]}));
        assert_eq!(
            (response.status, response.loc()),
            (422, json!(["body", "if"])),
            "{expression}: {}",
            response.text()
        );
    }
    let long = format!("{}1 == 1", "1 == 1 && ".repeat(90));
    on_a(&daemon, json!([{"if": long, "set": {"profile.traits.long": true}}]));
    assert_eq!(send_a(&daemon, json!({}))["profile"]["traits"], json!({"long": true}));
}

#[test]
fn what_the_server_notes_is_stored_if_a_setting_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).set("track.internal_events", true).start();
    daemon.shop();
    let answer = send_a(&daemon, json!({}));
    let types = json!(["a", "profile-created", "session-opened", "visit-started"]);
    assert_eq!(answer["debugging"]["events"]["types"], types);
    let noted = daemon.record(&format!("/event/{}", answer["events"][1].as_str().unwrap()))["event"].clone();
    assert_eq!((&noted["type"], &noted["profile"]["id"]), (&json!("profile-created"), &answer["profile"]["id"]));
    assert_eq!(send_a(&daemon, json!({}))["debugging"]["events"]["types"], json!(["a"]));
}

#[test]
fn a_session_takes_so_much_and_no_more() {
    let (_folder, daemon) = started();
    on_a(&daemon, json!([{"append": {"session.traits.all": "{{ event.properties.text }}"}}]));
    for number in 0..5 {
        send_a(&daemon, json!({"text": format!("{number}{}", "x".repeat(60_000))}));
    }
    let answer = send_a(&daemon, json!({"text": "y".repeat(60_000)}));
    assert!(answer["debugging"]["logs"].to_string().contains("more than is kept"), "{answer}");
    assert_eq!(daemon.record("/session/s")["traits"]["all"].as_array().unwrap().len(), 4);
}

#[test]
fn a_request_that_takes_long_goes_by_what_is_set_up_meanwhile() {
    let (_folder, daemon) = started();
    let kind = json!({"id": "heavy", "map": [
        {"compute": "event.properties.l.map(x, x * 2).filter(x, x > 5).size()", "to": "profile.traits.n"}
    ]});
    assert_eq!(daemon.post_admin("/event-type", &kind).status, 200);
    let list: Vec<u64> = (0..10_000).collect();
    let events = vec![json!({"type": "heavy", "properties": {"l": list}}); 15];
    let payload = json!({"source": {"id": "shop"}, "session": {"id": "s"}, "events": events});
    let answer = std::thread::scope(|scope| {
        let answer = scope.spawn(|| daemon.tracked(&payload));
        // Others are answered meanwhile, and what they set up counts.
        let segment = json!({"id": "counted", "condition": "profile.traits.n > 5"});
        assert_eq!(daemon.post_admin("/segment", &segment).status, 200);
        answer.join().unwrap()
    });
    let path = format!("/profile/{}", answer["profile"]["id"].as_str().unwrap());
    wait_for("the segment", || (daemon.record(&path)["segments"] == json!(["counted"])).then_some(()));
}

#[test]
fn attaching_a_session_goes_on_where_it_stands() {
    let (_folder, daemon) = started();
    workflow(
        &daemon,
        &json!({"id": "a1", "on": ["k"], "if": "event.session == null", "step": [
            {"set": {"event.traits.first": "{{ event.type }}"}}
        ]}),
    );
    workflow(
        &daemon,
        &json!({"id": "a2", "on": ["k"], "if": "event.session == null", "step": [
            {"id": "call", "if": "event.session == null", "attach_session": "{{ event.properties.call }}"},
            {"attach_profile": {"new": true}},
            {"set": {"event.traits.call": "{{ steps.call }}", "session.traits.seen": "{{ event.session.id }}"}},
            {"response": {"done": true}}
        ]}),
    );
    for (call, new) in [("c1", true), ("c1", false), ("c2", true)] {
        let answer = daemon.post_json("/collect/k/shop", &json!({"call": call}).to_string());
        assert_eq!(answer.json()["response"], json!({"done": true}), "{}", answer.text());
        let session = daemon.record(&format!("/session/{call}"));
        assert_eq!((&session["traits"], &session["profile"]), (&json!({"seen": call}), &answer.json()["profile"]));
        let profile = daemon.record(&format!("/profile/{}", answer.json()["profile"]["id"].as_str().unwrap()));
        assert_eq!(profile["stats"]["visits"], 1, "{new}");
    }
}

#[test]
fn what_is_discarded_may_lead_to_something_else() {
    let (_folder, daemon) = started();
    on_a(&daemon, json!([{"discard": true}, {"emit": {"type": "b", "properties": {"from": "{{ event.id }}"}}}]));
    let answer = send_a(&daemon, json!({}));
    let ids = &answer["debugging"]["events"]["ids"];
    assert_eq!(ids.as_array().unwrap().len(), 1, "{answer}");
    let event = daemon.record(&format!("/event/{}", ids[0].as_str().unwrap()))["event"].take();
    assert_eq!(event["type"], "b");
    let discarded = event["properties"]["from"].as_str().unwrap();
    assert_eq!(daemon.admin("GET", &format!("/event/{discarded}")).status, 404);
}

#[test]
fn a_null_on_the_way_is_missing() {
    let (_folder, daemon) = started();
    on_a(
        &daemon,
        json!([
            {"if": "event.properties.user.level == 'gold'", "set": {"profile.traits.gold": true}},
            {"if": "event.properties.user.level > 3 || true", "set": {"profile.traits.level": true}},
            {"if": "!has(event.properties.nobody)", "set": {"profile.traits.done": true}}
        ]),
    );
    let answer = send_a(&daemon, json!({"user": null}));
    assert_eq!(answer["debugging"]["execution"]["w"][0]["status"], "done", "{answer}");
    assert_eq!(answer["profile"]["traits"]["done"], true);
    assert_eq!(answer["profile"]["traits"]["gold"], Value::Null);
}
