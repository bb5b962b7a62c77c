//! Who is who (docs/contract.md, section 4): primary keys tell people apart, addresses join, and a split gives back all.

mod support;

use serde_json::{Value, json};
use support::{Daemon, Setup, daemon::started};

fn event(kind: &str, properties: Value) -> Value {
    json!({"type": kind, "properties": properties})
}

fn sign_in(properties: Value) -> Value {
    event("sign-in", properties)
}

/// The answer, with the whole profile.
fn send(daemon: &Daemon, session: &str, events: Vec<Value>) -> Value {
    daemon.tracked_by_admin(&json!({
        "source": {"id": "shop"}, "session": {"id": session}, "options": {"profile": true}, "events": events
    }))
}

fn id_of(answer: &Value) -> String {
    answer["profile"]["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

fn profile(daemon: &Daemon, id: &str) -> Value {
    daemon.record(&format!("/profile/{id}"))
}

/// The types of the events that are the profile's, the oldest first.
fn events_of(daemon: &Daemon, id: &str) -> Vec<String> {
    let events = daemon.record(&format!("/events?profile={id}&order=oldest"));
    events["result"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
}

fn by_pk(daemon: &Daemon, pk: &str) -> String {
    let found = daemon.record(&format!("/profiles?pk={pk}"));
    let found = found["result"].as_array().unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0]["id"].as_str().unwrap().to_owned()
}

#[test]
fn two_who_sign_in_on_one_device_are_two() {
    let (_folder, daemon) = started();
    daemon.shop();
    let alice =
        id_of(&send(&daemon, "device", vec![sign_in(json!({"pk": "a", "email": {"main": "alice@example.com"}}))]));
    let before = profile(&daemon, &alice);
    let bob = send(&daemon, "device", vec![sign_in(json!({"pk": "b", "email": {"main": "bob@example.com"}}))]);
    let bob_id = id_of(&bob);
    assert_ne!(alice, bob_id);
    assert_eq!(bob["profile"]["data"]["contact"]["email"]["main"], "bob@example.com");
    assert_eq!(bob["profile"]["ids"], json!([bob_id]));
    // The other one stays whole.
    assert_eq!(profile(&daemon, &alice), before);
    // The rest of the session is the one's who signed in last.
    let later = send(&daemon, "device", vec![event("page-view", json!({}))]);
    assert_eq!((id_of(&later), &later["profile"]["stats"]["visits"]), (bob_id.clone(), &json!(1)));
    assert_eq!(daemon.record("/session/device")["profile"]["id"], *bob_id);
    assert_eq!(events_of(&daemon, &alice), ["sign-in"]);
    assert_eq!(events_of(&daemon, &bob_id), ["sign-in", "page-view"]);
    // And she comes back, on the same device and on another one.
    assert_eq!(id_of(&send(&daemon, "device", vec![sign_in(json!({"pk": "a"}))])), alice);
    assert_eq!(id_of(&send(&daemon, "phone", vec![sign_in(json!({"pk": "a"}))])), alice);
    let daemon = daemon.restart();
    assert_eq!((by_pk(&daemon, "a"), by_pk(&daemon, "b")), (alice, bob_id));
}

#[test]
fn events_of_one_payload_go_to_those_whom_they_name() {
    let (_folder, daemon) = started();
    daemon.shop();
    let known = id_of(&send(&daemon, "other", vec![sign_in(json!({"pk": "b"}))]));
    let answer = daemon.tracked_by_admin(&json!({
        "source": {"id": "shop"}, "session": {"id": "till"}, "options": {"profile": true, "debugger": true}, "events": [
            event("page-view", json!({})), sign_in(json!({"pk": "a"})), event("basket-viewed", json!({})),
            sign_in(json!({"pk": "b"})), event("search", json!({"query": "x"})), sign_in(json!({"pk": "c"})),
            sign_in(json!({"pk": "a"})), event("page-view", json!({"id": "last"}))
        ]
    }));
    let [a, b, c] = ["a", "b", "c"].map(|pk| by_pk(&daemon, pk));
    assert_eq!((&b, id_of(&answer)), (&known, a.clone()), "the answer has the last event's profile");
    assert_eq!(events_of(&daemon, &a), ["page-view", "sign-in", "basket-viewed", "sign-in", "page-view"]);
    assert_eq!(events_of(&daemon, &b), ["sign-in", "sign-in", "search"]);
    assert_eq!(events_of(&daemon, &c), ["sign-in"]);
    assert_eq!(daemon.record("/session/till")["profile"]["id"], *a);
    assert_eq!(answer["debugging"]["events"]["saved"], 8, "{answer}");
    // Each had the session as a visit, once.
    for (id, visits) in [(&a, 1), (&b, 2), (&c, 1)] {
        assert_eq!(profile(&daemon, id)["stats"]["visits"], visits, "{id}");
    }
    let setup = daemon.stop();
    assert!(setup.command(&["check"]).status().unwrap().success());
}

#[test]
fn whoever_a_new_session_s_client_was_is_not_touched_by_who_signs_in() {
    let (_folder, daemon) = started();
    daemon.shop();
    let alice = id_of(&send(&daemon, "one", vec![sign_in(json!({"pk": "a"}))]));
    let before = profile(&daemon, &alice);
    // The client still has her id, and Bob signs in first thing in a session of his own.
    let body = json!({
        "source": {"id": "shop"}, "session": {"id": "two"}, "profile": {"id": alice},
        "events": [sign_in(json!({"pk": "b"}))]
    });
    let bob = id_of(&daemon.tracked(&body));
    assert_ne!(bob, alice);
    assert_eq!(profile(&daemon, &alice), before);
    assert_eq!(profile(&daemon, &bob)["stats"]["visits"], 1);
}

#[test]
fn addresses_join_only_where_no_primary_key_stands_against_it() {
    let (_folder, daemon) = started();
    daemon.shop();
    let mail = json!({"main": "shared@example.com"});
    let alice = id_of(&send(&daemon, "a", vec![sign_in(json!({"pk": "a", "email": mail}))]));
    // Another person who is known by a primary key has the same address: it stays with its first holder.
    let answer = send(&daemon, "b", vec![sign_in(json!({"pk": "b", "email": mail}))]);
    let bob = id_of(&answer);
    assert_ne!(alice, bob);
    assert!(answer["warnings"].to_string().contains("email.main"), "{answer}");
    // Nor later, in a session that is his.
    assert_eq!(id_of(&send(&daemon, "b", vec![sign_in(json!({"email": mail}))])), bob);
    // Somebody of whom no more is known is who has it.
    assert_eq!(id_of(&send(&daemon, "c", vec![sign_in(json!({"email": mail}))])), alice);
    // A stranger is not told that somebody has it.
    let stranger = daemon.tracked(&json!({
        "source": {"id": "shop"}, "session": {"id": "d"}, "events": [sign_in(json!({"pk": "d", "email": mail}))]
    }));
    assert_eq!(stranger["warnings"], Value::Null, "{stranger}");
    // Two of whom only addresses are known become one.
    let x = id_of(&send(&daemon, "x", vec![sign_in(json!({"email": {"main": "x@example.com"}}))]));
    let y = send(&daemon, "y", vec![sign_in(json!({"email": {"main": "y@example.com"}}))]);
    assert_ne!(id_of(&y), x);
    let both = send(&daemon, "y", vec![sign_in(json!({"email": {"private": "x@example.com"}}))]);
    assert_eq!(id_of(&both), x);
}

#[test]
fn of_two_primary_keys_pk_counts_before_id() {
    let (_folder, daemon) = started();
    daemon.shop();
    let identify = |session: &str, properties: Value| send(&daemon, session, vec![event("identification", properties)]);
    let by_pk = id_of(&identify("a", json!({"pk": "p", "id": "1"})));
    let by_id = id_of(&identify("b", json!({"pk": "q", "id": "2"})));
    assert_ne!(by_pk, by_id);
    // They lead to two: the rest is not taken, and that is told.
    let answer = identify("c", json!({"pk": "p", "id": "2"}));
    assert_eq!(id_of(&answer), by_pk);
    assert!(answer["warnings"].to_string().contains("identifier.id"), "{answer}");
    assert_eq!(answer["profile"]["data"]["identifier"], json!({"pk": "p", "id": "1"}));
    assert_eq!(id_of(&identify("d", json!({"id": "2"}))), by_id);
    // A new pk with a known id of somebody who has another pk is somebody new.
    let new = identify("e", json!({"pk": "r", "id": "2"}));
    assert!(![&by_pk, &by_id].contains(&&id_of(&new)), "{new}");
    assert_eq!(new["profile"]["data"]["identifier"], json!({"pk": "r"}));
    // One who is known by an id only gets the pk that comes with it.
    let third = id_of(&identify("f", json!({"id": "3"})));
    assert_eq!(id_of(&identify("g", json!({"pk": "s", "id": "3"}))), third);
    assert_eq!(profile(&daemon, &third)["data"]["identifier"], json!({"pk": "s", "id": "3"}));
    // Another id of the same pk is not taken over the one that stands there.
    let other_id = identify("f", json!({"pk": "s", "id": "4"}));
    assert_eq!((id_of(&other_id), &other_id["profile"]["data"]["identifier"]["id"]), (third, &json!("3")));
}

#[test]
fn configured_keys_tell_people_apart_where_they_are_exclusive() {
    let folder = tempfile::tempdir().unwrap();
    let keys = r#"{ path = "profile.data.identifier.badge", exclusive = true }, profile.data.identifier.token"#;
    let daemon = Setup::new(folder.path()).set("identity.merge_keys", keys).start();
    daemon.shop();
    let identify = |session: &str, properties: Value| send(&daemon, session, vec![event("identification", properties)]);
    let one = id_of(&identify("s", json!({"badge": "B1", "login": "shared"})));
    let two = id_of(&identify("s", json!({"badge": "B2"})));
    assert_ne!(one, two);
    assert_eq!(id_of(&identify("t", json!({"badge": "b1"}))).len(), one.len());
    assert_ne!(id_of(&identify("t", json!({"badge": "b1"}))), one, "as they are: case tells them apart");
    // The other one joins, but not those who are apart.
    assert_eq!(id_of(&identify("u", json!({"login": "shared"}))), one);
    assert_eq!(id_of(&identify("s", json!({"login": "shared"}))), two);
}

#[test]
fn permanent_ids_win_and_it_is_told() {
    let (_folder, daemon) = started();
    daemon.source(&json!({"id": "app", "name": "App", "type": ["rest"], "permanent_profile_id": true}));
    let send = |profile: &str, properties: Value| {
        daemon.tracked_by_admin(&json!({
            "source": {"id": "app"}, "session": {"id": format!("s-{profile}")}, "profile": {"id": profile},
            "options": {"debugger": true, "profile": true}, "events": [sign_in(properties)]
        }))
    };
    assert_eq!(send("alice", json!({"pk": "a"}))["profile"]["id"], "alice");
    let answer = send("alice", json!({"pk": "b", "email": {"main": "b@example.com"}}));
    assert_eq!(answer["profile"]["id"], "alice");
    assert_eq!(answer["profile"]["data"]["identifier"]["pk"], "a");
    assert!(answer["warnings"].to_string().contains("permanent"), "{answer}");
    let event = answer["debugging"]["events"]["ids"][0].as_str().unwrap().to_owned();
    assert_eq!(daemon.record(&format!("/event/{event}"))["event"]["metadata"]["identified"], false);
}

#[test]
fn a_list_that_names_several_people_is_each_one_s() {
    let (_folder, daemon) = started();
    daemon.source(&json!({
        "id": "crm", "name": "CRM", "type": ["webhook"],
        "config": {"profile": {"path": "properties.pk", "is": "pk", "create": true}}
    }));
    let list = json!([{"pk": "a", "n": 1}, {"pk": "b", "n": 2}, {"n": 3}, {"pk": "a", "n": 4}]);
    let answer = daemon.post_json("/collect/note/crm/call", &list.to_string());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let [a, b] = ["a", "b"].map(|pk| by_pk(&daemon, pk));
    assert_eq!(answer.json()["profile"]["id"], *a);
    let numbers = |id: &str| -> Vec<i64> {
        let events = daemon.record(&format!("/events?profile={id}&order=oldest&type=note"));
        events["result"].as_array().unwrap().iter().map(|it| it["properties"]["n"].as_i64().unwrap()).collect()
    };
    assert_eq!((numbers(&a), numbers(&b)), (vec![1, 4], vec![2, 3]));
    // A session's profile that is another one's stays whole.
    let before = profile(&daemon, &a);
    let other = daemon.post_json("/collect/note/crm/call", r#"{"pk":"c"}"#);
    assert_eq!(other.status, 200);
    assert_ne!(other.json()["profile"]["id"], *a);
    assert_eq!(profile(&daemon, &a), before);
}

#[test]
fn a_workflow_joins_two_who_are_known_only_if_it_says_so() {
    let (_folder, daemon) = started();
    daemon.shop();
    let set_up = |join: bool| {
        let attach = if join {
            json!({"pk": "{{ event.properties.pk }}", "join": true})
        } else {
            json!({"pk": "{{ event.properties.pk }}"})
        };
        let body = json!({"id": "who", "on": ["claim"], "step": [{"attach_profile": attach}]});
        let answer = daemon.post_admin("/workflow", &body);
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    let a = id_of(&send(&daemon, "a", vec![sign_in(json!({"pk": "a"}))]));
    let b = id_of(&send(&daemon, "b", vec![sign_in(json!({"pk": "b"}))]));
    set_up(false);
    let claim = |session: &str| {
        daemon.tracked_by_admin(&json!({
            "source": {"id": "shop"}, "session": {"id": session}, "options": {"debugger": true, "profile": true},
            "events": [event("claim", json!({"pk": "b"}))]
        }))
    };
    let refused = claim("a");
    assert_eq!(id_of(&refused), a);
    assert!(refused["debugging"]["execution"].to_string().contains("another profile"), "{refused}");
    assert!(daemon.record("/workflow/who/status")["error"].to_string().contains("another profile"));
    set_up(true);
    let joined = claim("a");
    assert_eq!(id_of(&joined), a);
    let ids = joined["profile"]["ids"].as_array().unwrap();
    assert!(ids.contains(&json!(b)), "{joined}");
    // Both keys lead to the one, and stay there.
    assert_eq!(id_of(&send(&daemon, "x", vec![sign_in(json!({"pk": "b"}))])), a);
    assert_eq!(id_of(&send(&daemon, "y", vec![sign_in(json!({"pk": "a"}))])), a);
}

#[test]
fn a_replaced_address_leads_to_its_former_owner_no_more() {
    let folder = tempfile::tempdir().unwrap();
    for keeps in [false, true] {
        let folder = folder.path().join(keeps.to_string());
        std::fs::create_dir(&folder).unwrap();
        let daemon = Setup::new(&folder).set("identity.keep_former", keeps).start();
        daemon.shop();
        let old = json!({"email": {"main": "old@example.com"}, "phone": {"main": "+41 79 123 45 67"}});
        let ada = id_of(&send(&daemon, "a", vec![sign_in(old.clone())]));
        let new = json!({"email": {"main": "new@example.com"}, "phone": {"main": "+41 79 765 43 21"}});
        assert_eq!(id_of(&send(&daemon, "a", vec![sign_in(new)])), ada);
        let whoever = id_of(&send(&daemon, "b", vec![sign_in(json!({"email": old["email"]}))]));
        assert_eq!(whoever == ada, keeps);
        let whoever = id_of(&send(&daemon, "c", vec![sign_in(json!({"phone": old["phone"]}))]));
        assert_eq!(whoever == ada, keeps);
        let daemon = daemon.restart();
        assert_eq!(id_of(&send(&daemon, "d", vec![sign_in(json!({"email": {"main": "NEW@example.com"}}))])), ada);
        // One that stands at another place still does.
        let moved = json!({"email": {"private": "new@example.com", "main": "third@example.com"}});
        assert_eq!(id_of(&send(&daemon, "a", vec![sign_in(moved)])), ada);
        assert_eq!(id_of(&send(&daemon, "e", vec![sign_in(json!({"email": {"main": "new@example.com"}}))])), ada);
    }
}

fn split(daemon: &Daemon, id: &str) -> Value {
    let answer = daemon.post_admin(&format!("/profile/{id}/split"), &json!({}));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[test]
fn a_split_gives_back_all() {
    let (_folder, daemon) = started();
    daemon.shop();
    let mail = |main: &str| json!({"email": {"main": main}});
    let mut first = mail("ada@example.com");
    first["phone"] = json!({"main": "+41 79 123 45 67"});
    let ada = id_of(&send(&daemon, "ada", vec![sign_in(first)]));
    let ada_before = profile(&daemon, &ada);
    let bob = id_of(&send(&daemon, "bob", vec![sign_in(mail("bob@example.com"))]));
    for session in ["bob-2", "bob-3", "bob-4"] {
        assert_eq!(id_of(&send(&daemon, session, vec![sign_in(mail("bob@example.com"))])), bob);
    }
    // By her number on his device, with more that it says of him.
    let wrong = event(
        "profile-update",
        json!({
            "contact": {"phone": {"main": "+41791234567"}, "email": {"main": "bob.new@example.com"}},
            "pii": {"firstname": "Bob"}
        }),
    );
    assert_eq!(id_of(&send(&daemon, "bob", vec![wrong])), ada);
    // What is written since is the survivor's.
    let since = event("profile-update", json!({"pii": {"lastname": "Lovelace"}}));
    assert_eq!(id_of(&send(&daemon, "bob-2", vec![since])), ada);
    assert_eq!(id_of(&send(&daemon, "bob-3", vec![event("page-view", json!({}))])), ada);

    let ids = split(&daemon, &bob);
    assert_eq!((&ids["profile"]["id"], &ids["split"]["id"]), (&json!(ada), &json!(bob)));
    let (ada_now, bob_now) = (profile(&daemon, &ada), profile(&daemon, &bob));
    assert_eq!(ada_now["data"]["contact"], ada_before["data"]["contact"]);
    assert_eq!(ada_now["data"]["pii"], json!({"lastname": "Lovelace"}));
    assert_eq!(bob_now["data"]["contact"], json!({"email": {"main": "bob.new@example.com"}}));
    assert_eq!(bob_now["data"]["pii"], json!({"firstname": "Bob"}));
    assert_eq!((&ada_now["stats"]["visits"], &bob_now["stats"]["visits"]), (&json!(1), &json!(4)));
    for session in ["bob", "bob-2", "bob-3", "bob-4"] {
        assert_eq!(daemon.record(&format!("/session/{session}"))["profile"]["id"], *bob, "{session}");
    }
    assert_eq!(daemon.record("/session/ada")["profile"]["id"], *ada);
    // Their keys lead to each again, also those that the merging event brought.
    assert_eq!(id_of(&send(&daemon, "n1", vec![sign_in(mail("bob.new@example.com"))])), bob);
    assert_eq!(id_of(&send(&daemon, "n2", vec![sign_in(mail("ada@example.com"))])), ada);
    // The key that joined them joins them no more, also after a restart; somebody else it does.
    let daemon = daemon.restart();
    let number = || event("profile-update", json!({"contact": {"phone": {"main": "+41791234567"}}}));
    assert_eq!(id_of(&send(&daemon, "bob", vec![number()])), bob);
    assert_eq!(id_of(&send(&daemon, "n3", vec![number()])), ada);
    // Only a call does.
    let call = |id: &str, with: Value| daemon.post_admin(&format!("/profile/{id}/merge"), &with);
    let merged = call(&bob, json!({"with": ada}));
    assert_eq!((merged.status, merged.json()), (200, json!({"profile": {"id": ada}})));
    assert_eq!(profile(&daemon, &bob)["id"], *ada);
    assert_eq!(id_of(&send(&daemon, "bob", vec![number()])), ada);
    assert_eq!(call("nobody", json!({"with": ada})).status, 404);
    assert_eq!(call(&ada, json!({"with": "nobody"})).status, 404);
    assert_eq!(call(&ada, json!({})).loc(), json!(["body", "with"]));
    split(&daemon, &bob);
    assert_eq!(profile(&daemon, &bob)["id"], *bob);
    let setup = daemon.stop();
    assert!(setup.command(&["check"]).status().unwrap().success());
}

#[test]
fn a_split_gives_back_the_address_that_the_merging_event_replaced() {
    let (_folder, daemon) = started();
    daemon.shop();
    let mail = |main: &str| sign_in(json!({"email": {"main": main}}));
    let ada = id_of(&send(&daemon, "ada", vec![mail("ada@example.com")]));
    let bob = id_of(&send(&daemon, "bob", vec![mail("bob@example.com")]));
    let (ada_before, bob_before) = (profile(&daemon, &ada), profile(&daemon, &bob));
    assert_eq!(id_of(&send(&daemon, "bob", vec![mail("ada@example.com")])), ada);
    split(&daemon, &bob);
    for (id, before) in [(&ada, ada_before), (&bob, bob_before)] {
        let now = profile(&daemon, id);
        for part in ["data", "traits", "ids", "stats", "aux"] {
            assert_eq!(now[part], before[part], "{part}");
        }
    }
    assert_eq!(id_of(&send(&daemon, "n1", vec![mail("bob@example.com")])), bob);
    assert_eq!(id_of(&send(&daemon, "n2", vec![mail("ada@example.com")])), ada);
    // He says it again, and stays who he is.
    assert_eq!(id_of(&send(&daemon, "bob", vec![mail("ada@example.com")])), bob);
}

#[test]
fn a_key_joins_so_many_people_a_day_and_no_more_until_it_is_freed() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).set("identity.people_per_key", 3).start();
    daemon.shop();
    let demo = || sign_in(json!({"email": {"main": "demo@example.com"}}));
    let holder = id_of(&send(&daemon, "holder", vec![demo()]));
    let device = |number: usize| {
        let session = format!("device-{number}");
        let before = id_of(&send(&daemon, &session, vec![event("page-view", json!({}))]));
        (before, id_of(&send(&daemon, &session, vec![demo()])))
    };
    for number in 0..3 {
        assert_eq!(device(number).1, holder);
    }
    for number in 3..6 {
        let (before, after) = device(number);
        assert_eq!(before, after, "{number}");
    }
    // It finds nobody any more, whoever comes; what was joined stays.
    assert_ne!(id_of(&send(&daemon, "new", vec![demo()])), holder);
    assert_eq!(profile(&daemon, &holder)["metadata"]["ids"], 4);
    let daemon = daemon.restart();
    let listed = daemon.record("/identity/blocked");
    assert_eq!(
        (&listed["total"], &listed["result"][0]["place"]),
        (&json!(1), &json!("profile.data.contact.email.main"))
    );
    assert_eq!(listed["result"][0]["profile"], *holder);
    assert!(!listed.to_string().contains("demo@"));
    let again = || send(&daemon, "again", vec![demo()]);
    assert_ne!(id_of(&again()), holder);
    let path = format!("/identity/blocked/{}", listed["result"][0]["id"].as_str().unwrap());
    assert_eq!(daemon.admin("DELETE", &path).status, 200);
    assert_eq!(daemon.admin("DELETE", &path).status, 404);
    assert_eq!(daemon.record("/identity/blocked")["total"], 0);
    // Freed, it joins again, as many as in a day.
    assert_eq!(id_of(&again()), holder);
    let devices = |from: usize| {
        (from..from + 5)
            .filter(|number| {
                let session = format!("device-{number}");
                send(&daemon, &session, vec![event("page-view", json!({}))]);
                id_of(&send(&daemon, &session, vec![demo()])) == holder
            })
            .count()
    };
    assert_eq!(devices(10), 2);
}

/// The rows of README's table under this head, each with the JSON in its first cells.
fn readmes_rows() -> Vec<(Vec<Value>, Value, String)> {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let table = readme.split("| there are | on the first one's device comes | it is |\n").nth(1).unwrap();
    let rows = table.lines().skip(1).take_while(|line| line.starts_with('|'));
    let told = |cell: &str| -> Vec<Value> {
        cell.split('`').skip(1).step_by(2).map(|json| serde_json::from_str(json).unwrap()).collect()
    };
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        (told(cells[0]), told(cells[1]).remove(0), cells[2].to_owned())
    })
    .collect()
}

#[test]
fn readmes_table_of_people_says_what_is_so() {
    let rows = readmes_rows();
    assert!(rows.len() > 10);
    for (number, (there, comes, whose)) in rows.into_iter().enumerate() {
        let (_folder, daemon) = started();
        daemon.shop();
        let identify = |session: &str, properties: &Value| {
            send(&daemon, session, vec![event("identification", properties.clone())])
        };
        let people: Vec<String> =
            there.iter().enumerate().map(|(place, keys)| id_of(&identify(&format!("s{place}"), keys))).collect();
        assert!(people.iter().enumerate().all(|(place, id)| !people[..place].contains(id)), "{number}");
        let is = id_of(&identify("s0", &comes));
        let now: Vec<String> =
            people.iter().map(|id| profile(&daemon, id)["id"].as_str().unwrap().to_owned()).collect();
        let expected = match &*whose {
            "the first" => people[0].clone(),
            "the second" => people[1].clone(),
            "both, now one" => {
                assert_eq!(now, [people[0].clone(), people[0].clone()], "{number}: {there:?} {comes}");
                people[0].clone()
            }
            "somebody new" => {
                assert!(!people.contains(&is), "{number}: {there:?} {comes}");
                is.clone()
            }
            other => panic!("{other}"),
        };
        assert_eq!(is, expected, "{number}: {there:?} {comes}");
        if whose != "both, now one" {
            assert_eq!(now, people, "{number}: the others stay who they are");
        }
    }
}
