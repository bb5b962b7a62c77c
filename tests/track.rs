//! POST /track, and what is stored (docs/contract.md, sections 3 and 10).

mod support;

use serde_json::{Value, json};
use support::{Daemon, Setup, daemon::TOKEN};

fn started() -> (tempfile::TempDir, Daemon) {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).start();
    daemon.source(&json!({"id": "source-id", "name": "Seed", "type": "rest"}));
    (folder, daemon)
}

/// The first example of the project's own description, as it is printed there.
const WHOLE_PAYLOAD: &str = r#"{
  "source": {
    "id": "source-id"
  },
  "session": {
    "id": "session-id"
  },
  "profile": {
    "id": "profile-id"
  },
  "context": {},
  "properties": {},
  "events": [ 
    {
      "type": "purchase-order",
      "properties": {
        "product": "Nike shoes",
        "quantity": 1
      }
    },
    {
      "type": "page-view"
    }
  ],
  "options": { 
    
  }
} "#;

const REQUIRED_ONLY: &str = r#"{
  "source": {
    "id": "source-id"
  },
  "session": {
    "id": "session-id"
  },
  "events": [
    {
      "type": "purchase-order",
      "properties": {
        "product": "Nike shoes",
        "quantity": 1
      }
    },
    {
      "type": "page-view"
    }
  ]
} "#;

const WITH_OPTIONS: &str = r#"{
  "source": {
    "id": "source-id"
  },
  "session": {
    "id": "session-id"
  },
  "events": [
    {
      "type": "purchase-order",
      "properties": {
        "product": "Nike shoes",
        "quantity": 1
      }
    },
    {
      "type": "page-view"
    }
  ],
  "options": {}
} "#;

const WITH_CONTEXT: &str = r#"{
  "source": {
    "id": "source-id"
  },
  "session": {
    "id": "session-id"
  },
  "profile": {
    "id": "profile-id"
  },
  "events": [
    {
      "type": "purchase-order",
      "properties": {
        "product": "Nike shoes",
        "quantity": 1
      }
    },
    {
      "type": "page-view"
    }
  ],
  "context": {
    "device": "iPhone X"
  }
} "#;

#[test]
fn every_example_of_the_description_is_answered_as_it_says() {
    let (_folder, daemon) = started();
    let mut profile = Value::Null;
    for body in [WHOLE_PAYLOAD, REQUIRED_ONLY, WITH_OPTIONS, WITH_CONTEXT] {
        let response = daemon.post_json("/track", body);
        assert_eq!(response.status, 200, "{}", response.text());
        let answer = response.json();
        let id = answer["profile"]["id"].clone();
        assert_eq!(answer, json!({"profile": {"id": id}, "source": {"consent": false}}));
        assert!(profile.is_null() || profile == id, "one session, one profile");
        profile = id;
    }
    assert_eq!(daemon.record("/session/session-id")["context"], json!({"device": "iPhone X"}));
}

#[test]
fn the_browser_script_s_first_visit_is_taken() {
    let (_folder, daemon) = started();
    let body = include_str!("../benches/browser-payload.json").replace("SOURCE-ID", "source-id");
    let response = daemon.request("POST", "/track", &[("Content-Type", "text/plain;charset=UTF-8")], body.as_bytes());
    assert_eq!(response.status, 200, "{}", response.text());
    let session = daemon.record("/session/d13cbda3-1bac-4295-833d-df55c85d0d41");
    assert_eq!(session["context"]["utm"], json!({"source": "news", "campaign": "spring"}));
    assert_eq!(session["device"]["id"], "200ca10f-e248-4330-8ece-7af41983f80b");
}

fn body(events: Value) -> Value {
    json!({"source": {"id": "source-id"}, "session": {"id": "s1"}, "events": events})
}

#[test]
fn a_missing_or_wrong_field_is_named_and_nothing_is_stored() {
    let (_folder, daemon) = started();
    let cases = [
        (json!({"source": Value::Null}), json!(["body", "source"])),
        (json!({"source": {}}), json!(["body", "source", "id"])),
        (json!({"source": {"id": 1}}), json!(["body", "source", "id"])),
        (json!({"source": "source-id"}), json!(["body", "source"])),
        (json!({"session": {"id": "undefined"}}), json!(["body", "session", "id"])),
        (json!({"session": {"id": " NULL "}}), json!(["body", "session", "id"])),
        (json!({"session": {"id": "[object Object]"}}), json!(["body", "session", "id"])),
        (json!({"session": {"id": 0}}), json!(["body", "session", "id"])),
        (json!({"session": ""}), json!(["body", "session"])),
        (json!({"session": {"id": "a\u{0}b"}}), json!(["body", "session", "id"])),
        (json!({"profile": "p"}), json!(["body", "profile"])),
        (json!({"events": Value::Null}), json!(["body", "events"])),
        (json!({"events": [{"type": "ok"}, {"type": ""}]}), json!(["body", "events", 1, "type"])),
        (json!({"events": [{"properties": {}}]}), json!(["body", "events", 0, "type"])),
        (json!({"events": [{"type": "a", "properties": []}]}), json!(["body", "events", 0, "properties"])),
        (json!({"events": [{"type": "a", "tags": ["x".repeat(129)]}]}), json!(["body", "events", 0, "tags", 0])),
        (json!({"events": [{"type": "a", "tags": vec!["x"; 101]}]}), json!(["body", "events", 0, "tags", 100])),
        (
            json!({"events": [{"type": "a", "time": {"create": "soon"}}]}),
            json!(["body", "events", 0, "time", "create"]),
        ),
        (json!({"context": 1}), json!(["body", "context"])),
        (json!({"options": {"debugger": "yes"}}), json!(["body", "options", "debugger"])),
    ];
    for (change, loc) in cases {
        let mut payload = body(json!([{"type": "page-view"}]));
        payload.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let response = daemon.track(&payload);
        assert_eq!((response.status, response.loc()), (422, loc), "{change}: {}", response.text());
    }
    for field in ["source", "session", "events"] {
        let mut payload = body(json!([]));
        payload.as_object_mut().unwrap().remove(field);
        let response = daemon.track(&payload);
        assert_eq!((response.status, response.loc()), (422, json!(["body", field])), "{field}");
        assert_eq!(response.json()["detail"][0]["type"], "value_error.missing");
    }
    assert_eq!(daemon.admin("GET", "/session/s1").status, 404);
}

#[test]
fn a_listed_field_sent_twice_is_refused() {
    let (_folder, daemon) = started();
    let twice = r#"{"source":{"id":"source-id"},"session":{"id":"s1"},"session":{"id":"s2"},"events":[]}"#;
    let response = daemon.post_json("/track", twice);
    assert_eq!((response.status, response.loc()), (422, json!(["body", "session"])));
}

#[test]
fn a_source_that_does_not_admit_a_payload_is_401_and_nothing_is_stored() {
    let (_folder, daemon) = started();
    daemon.source(&json!({"id": "off", "name": "Off", "type": "rest", "enabled": false}));
    daemon.source(&json!({"id": "hook", "name": "Hook", "type": "webhook"}));
    for (source, detail) in [
        ("unknown", "Access denied. Invalid source."),
        ("off", "Access denied. The source is disabled."),
        ("hook", "Access denied. The source's type does not allow /track."),
    ] {
        let mut payload = body(json!([{"type": "page-view"}]));
        payload["source"]["id"] = json!(source);
        let response = daemon.track(&payload);
        assert_eq!((response.status, response.json()), (401, json!({ "detail": detail })));
    }
    let mut payload = body(json!([]));
    payload["session"]["id"] = json!("@internal");
    assert_eq!(daemon.track(&payload).status, 401);
    assert_eq!(daemon.admin("GET", "/session/s1").status, 404);
}

#[test]
fn a_payload_has_at_most_1000_events() {
    let (_folder, daemon) = started();
    assert_eq!(daemon.track(&body(json!(vec![json!({"type": "a"}); 1_000]))).status, 200);
    for event in [json!({"type": "a"}), json!({"type": 1})] {
        let response = daemon.track(&body(json!(vec![event; 1_001])));
        assert_eq!(response.status, 413, "whatever is wrong with one: {}", response.text());
    }
}

#[test]
fn no_events_are_fine_session_and_profile_are_kept() {
    let (_folder, daemon) = started();
    let profile = daemon.tracked(&body(json!([])))["profile"]["id"].as_str().unwrap().to_owned();
    assert_eq!(daemon.record("/session/s1")["profile"]["id"], json!(profile));
    assert_eq!(daemon.record(&format!("/profile/{profile}"))["stats"], json!({"visits": 1, "views": 0}));
}

#[test]
fn an_event_is_stored_as_it_was_sent() {
    let (_folder, daemon) = started();
    let payload = r#"{"source":{"id":"source-id"},"session":{"id":"s1"},"context":{"a":1,"b":1},"request":{"x":1},
        "metadata":{"time":{"create":"2026-01-02T03:04:05Z"}},"unknown":[1],
        "events":[{"id":"e1","type":" Coupon  Received ","properties":{"n":12345678901234567890123,"f":1.10,"e":1E5,"z":"\u0000"},
        "context":{"b":2},"tags":["t1","t2"]},{"id":"e2","type":"x","time":{"insert":1700000000}}]}"#;
    let headers = [
        ("Content-Type", "application/json"),
        ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
        ("Referer", "https://shop.example/"),
        ("Accept-Language", "de"),
        ("Cookie", "secret=1"),
    ];
    assert_eq!(daemon.request("POST", "/track", &headers, payload.as_bytes()).status, 200);
    let authorization = format!("Bearer {TOKEN}");
    let shown = daemon.request("GET", "/event/e1", &[("Authorization", &authorization)], b"");
    let text = String::from_utf8(shown.body.clone()).unwrap();
    assert!(text.contains(r#""properties":{"n":12345678901234567890123,"f":1.10,"e":1E5,"z":"\u0000"}"#), "{text}");
    assert!(!text.contains("secret"), "cookies are never stored");
    let event = &shown.json()["event"];
    assert_eq!((&event["type"], &event["name"]), (&json!("coupon-received"), &json!(" Coupon  Received ")));
    assert_eq!(event["context"], json!({"a": 1, "b": 2}));
    assert_eq!((&event["tags"], &event["source"]), (&json!(["t1", "t2"]), &json!({"id": "source-id"})));
    assert_eq!(event["metadata"]["time"]["create"], "2026-01-02T03:04:05.000000Z");
    assert_eq!((&event["metadata"]["bot"], &event["metadata"]["valid"]), (&json!(false), &json!(true)));
    assert_eq!(event["request"]["ip"], "127.0.0.0");
    assert_eq!(event["request"].as_object().unwrap().len(), 4);
    let keys = ["traits", "data", "journey", "hit", "utm", "device", "os", "app"];
    assert!(keys.iter().all(|key| event[key].is_object()), "{event}");
    assert_eq!(daemon.record("/event/e2")["event"]["metadata"]["time"]["create"], "2023-11-14T22:13:20.000000Z");
}

#[test]
fn the_debugger_tells_what_really_happened() {
    let (_folder, daemon) = started();
    let mut payload = body(json!([{"id": "e1", "type": "page-view"}, {"type": "a", "options": {"save": false}}]));
    payload["options"] = json!({"debugger": true});
    let answer = daemon.tracked(&payload);
    let debugging = &answer["debugging"];
    assert_eq!((&answer["events"], &debugging["events"]["ids"]), (&json!(["e1"]), &json!(["e1"])), "what is stored");
    assert_eq!(answer["session"], json!({"id": "s1"}));
    for key in ["task", "ux", "response", "errors", "warnings"] {
        assert!(answer.get(key).is_some(), "{key} is missing in {answer}");
    }
    assert_eq!(debugging["session"], json!({"saved": 1, "errors": [], "ids": ["s1"], "types": []}));
    assert_eq!((&debugging["events"]["saved"], &debugging["events"]["types"]), (&json!(1), &json!(["page-view", "a"])));
    assert_eq!(
        (&debugging["profile"]["saved"], &debugging["profile"]["ids"]),
        (&json!(1), &json!([answer["profile"]["id"]]))
    );
    assert_eq!((&debugging["execution"], &debugging["logs"]), (&json!({}), &json!([])));
    assert_eq!(debugging["segmentation"], json!({"errors": [], "ids": []}));
    payload["events"] = json!([{"type": "a"}]);
    payload["options"] = json!({"debugger": "true", "saveSession": 0, "saveEvents": "false"});
    let debugging = daemon.tracked(&payload)["debugging"].clone();
    for part in ["session", "events", "profile"] {
        assert_eq!(debugging[part]["saved"], 0, "{part}");
    }
}

#[test]
fn a_client_that_makes_no_session_ids_is_answered_the_server_s() {
    let (_folder, daemon) = started();
    let mut sessions = Vec::new();
    for session in
        [json!({}), json!({"id": ""}), json!({"id": null}), json!({"id": " \u{a0}\t"}), json!({"x": 1}), json!(null)]
    {
        let mut payload = body(json!([{"id": format!("e{}", sessions.len()), "type": "page-view"}]));
        payload["session"] = session.clone();
        let answer = daemon.tracked(&payload);
        let id = answer["session"]["id"].as_str().unwrap_or_else(|| panic!("{session}: {answer}")).to_owned();
        assert_eq!(uuid::Uuid::parse_str(&id).unwrap().get_version_num(), 7);
        let profile = answer["profile"]["id"].clone();
        assert_eq!(answer, json!({"profile": {"id": profile}, "source": {"consent": false}, "session": {"id": id}}));
        assert_eq!(daemon.record(&format!("/session/{id}"))["profile"]["id"], profile);
        assert_eq!(daemon.record(&format!("/event/e{}", sessions.len()))["event"]["session"]["id"], id);
        // It goes on with what it was answered.
        payload["session"] = json!({"id": id});
        payload["events"] = json!([{"type": "next"}]);
        assert_eq!(daemon.tracked(&payload), json!({"profile": {"id": profile}, "source": {"consent": false}}));
        sessions.push(id);
    }
    sessions.sort();
    sessions.dedup();
    assert_eq!(sessions.len(), 6, "each is a visit of its own");
    // Nobody would go on with it.
    let mut payload = body(json!([]));
    for session in [json!({}), json!({"id": ""}), json!({"id": null}), json!(null)] {
        payload["session"] = session;
        let response = daemon.post_json("/track?profile_less=true", &payload.to_string());
        assert_eq!((response.status, response.loc()), (422, json!(["body", "session", "id"])), "{}", response.text());
    }
    // The same of consents.
    let consents = json!({"source": {"id": "source-id"}, "session": {}, "consents": {}});
    let answer = daemon.post_json("/customer/consent", &consents.to_string());
    assert!(answer.json()["session"]["id"].is_string(), "{}", answer.text());
}

#[test]
fn metadata_may_be_anything_and_tells_the_time_if_it_can_be_read() {
    let (_folder, daemon) = started();
    let told = "2026-01-02T03:04:05.000000Z";
    for (place, (metadata, created)) in [
        (json!("[object Object]"), None),
        (json!(null), None),
        (json!(7), None),
        (json!([{"time": {"create": told}}]), None),
        (json!({"time": "yesterday"}), None),
        (json!({"time": {"create": "soon"}}), None),
        (json!({"time": {"create": true}}), None),
        (json!({"time": {"create": told}, "ip": {"a": []}}), Some(told)),
        (json!({"time": {"create": null, "insert": told}}), Some(told)),
        (json!({"time": {"create": 1_767_323_045}}), Some(told)),
    ]
    .into_iter()
    .enumerate()
    {
        let own = "2025-01-02T03:04:05.000000Z";
        let (said, silent) = (format!("said-{place}"), format!("silent-{place}"));
        let mut payload =
            body(json!([{"id": said, "type": "a", "time": {"create": own}}, {"id": silent, "type": "a"}]));
        payload["metadata"] = metadata.clone();
        daemon.tracked(&payload);
        let times = |id: &str| daemon.record(&format!("/event/{id}"))["event"]["metadata"]["time"].clone();
        assert_eq!(times(&said)["create"], own, "an event's own counts");
        let silent = times(&silent);
        assert_eq!(silent["create"], created.map_or(silent["insert"].clone(), |time| json!(time)), "{metadata}");
    }
    let twice = r#"{"source":{"id":"source-id"},"session":{"id":"s1"},"metadata":1,"metadata":2,"events":[]}"#;
    assert_eq!(daemon.post_json("/track", twice).loc(), json!(["body", "metadata"]));
}

#[test]
fn a_source_s_answers_may_have_all_of_their_parts() {
    let (_folder, daemon) = started();
    for wrong in [json!("all"), json!(1), json!({"full": true})] {
        let source = json!({"id": "source-id", "name": "Seed", "type": "rest", "config": {"answer": wrong}});
        let response = daemon.post_admin("/event-source", &source);
        assert_eq!(
            (response.status, response.loc()),
            (422, json!(["body", "config", "answer"])),
            "{}",
            response.text()
        );
    }
    daemon
        .source(&json!({"id": "source-id", "name": "Seed", "type": ["rest", "webhook"], "config": {"answer": "full"}}));
    let answer =
        daemon.tracked(&body(json!([{"id": "e1", "type": "page-view"}, {"type": "a", "options": {"save": false}}])));
    assert!(answer["task"].is_string(), "{answer}");
    let expected = json!({
        "task": answer["task"], "ux": [], "response": {}, "events": ["e1"], "profile": {"id": answer["profile"]["id"]},
        "session": {"id": "s1"}, "source": {"consent": false}, "errors": [], "warnings": []
    });
    assert_eq!(answer, expected);
    // A first visit, a repeat, and no session at all.
    let mut first = body(json!([]));
    first["session"] = json!({});
    assert!(daemon.tracked(&first)["session"]["id"].is_string());
    let again = daemon.tracked(&body(json!([{"id": "e1", "type": "page-view"}])));
    assert_eq!((&again["events"], &again["session"]["id"]), (&json!([]), &json!("s1")));
    assert_eq!(again.as_object().unwrap().len(), expected.as_object().unwrap().len(), "{again}");
    let hook = daemon.post_json("/collect/coupon/source-id", "{}").json();
    assert_eq!(
        (&hook["session"], &hook["profile"], hook["events"].as_array().unwrap().len()),
        (&json!(null), &json!({}), 1)
    );
    daemon.source(&json!({"id": "source-id", "name": "Seed", "type": "rest", "config": {"answer": "short"}}));
    assert!(daemon.tracked(&body(json!([]))).get("task").is_none());
}

#[test]
fn the_client_s_own_events_are_answered_first() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).set("track.internal_events", true).start();
    daemon.source(&json!({"id": "source-id", "name": "Seed", "type": "rest"}));
    let workflow = json!({"id": "w", "on": ["b"], "step": [{"emit": {"type": "emitted"}}]});
    assert_eq!(daemon.post_admin("/workflow", &workflow).status, 200);
    let mut payload = body(json!([{"id": "e-b", "type": "b"}, {"id": "e-a", "type": "a"}]));
    payload["options"] = json!({"debugger": true});
    let answer = daemon.tracked_by_admin(&payload);
    let types: Vec<String> = answer["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|id| {
            daemon.record(&format!("/event/{}", id.as_str().unwrap()))["event"]["type"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(types[..2], ["b", "a"], "in the client's order");
    let mut noted = types[2..].to_vec();
    noted.sort();
    assert_eq!(noted, ["emitted", "profile-created", "session-opened", "visit-started"]);
    assert_eq!(answer["debugging"]["events"]["ids"], answer["events"]);
    assert_eq!(answer["debugging"]["events"]["types"], json!(types));
}

#[test]
fn the_whole_profile_is_answered_when_asked_for() {
    let (_folder, daemon) = started();
    let mut payload = body(json!([{"type": "page-view"}]));
    payload["options"] = json!({"profile": true});
    let profile = daemon.tracked(&payload)["profile"].clone();
    assert_eq!(profile["stats"], json!({"visits": 1, "views": 1}));
    assert_eq!(profile, daemon.record(&format!("/profile/{}", profile["id"].as_str().unwrap())));
}

#[test]
fn settings_may_withhold_debugger_and_profile() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).set("track.debugger", false).set("track.profile", false).start();
    daemon.source(&json!({"id": "source-id", "name": "Seed", "type": "rest", "requires_consent": true}));
    let mut payload = body(json!([]));
    payload["options"] = json!({"profile": true, "debugger": true});
    let answer = daemon.tracked(&payload);
    assert_eq!(answer, json!({"profile": {"id": answer["profile"]["id"]}, "source": {"consent": true}}));
}

#[test]
fn bots_are_marked_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path());
    let headers =
        [("Content-Type", "application/json"), ("User-Agent", "Googlebot/2.1 (+http://www.google.com/bot.html)")];
    let payload = r#"{"source":{"id":"shop"},"session":{"id":"s1"},"events":[{"id":"e1","type":"page-view"}]}"#;
    let daemon = setup.start();
    daemon.shop();
    assert_eq!(daemon.request("POST", "/track", &headers, payload.as_bytes()).status, 200);
    assert_eq!(daemon.record("/event/e1")["event"]["metadata"]["bot"], true);
    daemon.stop();
    let daemon = setup.set("track.bots", "refuse").start();
    let response = daemon.request("POST", "/track", &headers, payload.as_bytes());
    assert_eq!((response.status, response.json()), (406, json!({"detail": "Bots are not accepted."})));
}
