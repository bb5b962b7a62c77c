//! Webhooks that tell whose they are, without a workflow: their source says where.

mod support;

use serde_json::{Value, json};
use support::{
    Daemon,
    daemon::{started, wait_for},
};

fn source(daemon: &Daemon, profile: &Value) -> support::daemon::Response {
    let body = json!({"id": "crm", "name": "CRM", "type": ["webhook"], "config": {"profile": profile}});
    daemon.post_admin("/event-source", &body)
}

fn call(daemon: &Daemon, body: &str) -> Value {
    let response = daemon.post_json("/collect/crm-note/crm", body);
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()["profile"]["id"].clone()
}

#[test]
fn an_email_in_the_properties_finds_or_makes_the_profile() {
    let (_folder, daemon) = started();
    assert_eq!(source(&daemon, &json!({"path": "properties.customer.email", "is": "email"})).status, 200);
    let ada = r#"{"customer":{"email":"ada@example.com"},"note":"called"}"#;
    assert_eq!(call(&daemon, ada), Value::Null, "nobody has it, and none is made");
    assert_eq!(
        source(&daemon, &json!({"path": "properties.customer.email", "is": "email", "create": true})).status,
        200
    );
    let id = call(&daemon, ada);
    assert!(id.is_string());
    assert_eq!(call(&daemon, ada), id);
    assert_eq!(call(&daemon, r#"{"note":"anonymous"}"#), Value::Null);
    assert_eq!(call(&daemon, r#"{"customer":{"email":"null"}}"#), Value::Null);
    let profile = daemon.record(&format!("/profile/{}", id.as_str().unwrap()));
    assert_eq!(profile["data"]["contact"]["email"], json!({"main": "ada@example.com"}));
    assert_eq!(profile["stats"], json!({"visits": 0, "views": 0}), "a webhook without a session is no visit");
    // Whoever signs in with it is the same person.
    let signed_in = json!({
        "source": {"id": "shop"}, "session": {"id": "s"},
        "events": [{"type": "sign-in", "properties": {"email": {"main": "Ada@example.com"}}}]
    });
    assert_eq!(daemon.tracked(&signed_in)["profile"]["id"], id);
}

#[test]
fn each_event_of_a_list_has_its_own_profile() {
    let (folder, daemon) = started();
    assert_eq!(source(&daemon, &json!({"path": "properties.email", "is": "email", "create": true})).status, 200);
    let all = json!({"id": "all", "events": ["crm-note"], "file": "all.ndjson"});
    assert_eq!(daemon.post_admin("/destination", &all).status, 200);
    let id = call(&daemon, r#"{"email":"ada@example.com"}"#);
    // As mail services send them: what happened to whom, many at a time.
    let mails = ["ada@example.com", "eve@example.com", " ADA@example.com", "", "eve@example.com", "bob@example.com"];
    let list: Vec<Value> = mails.iter().map(|mail| json!({"email": mail})).collect();
    assert_eq!(call(&daemon, &json!(list).to_string()), Value::Null, "it is about several people");
    assert_eq!(call(&daemon, r#"[{"email":"ADA@example.com"},{"email":"ada@example.com"}]"#), id);
    let events: Vec<Value> = wait_for("the events", || {
        let text = std::fs::read_to_string(folder.path().join("deliveries/all.ndjson")).unwrap_or_default();
        let items = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["event"].take());
        Some(items.collect()).filter(|events: &Vec<Value>| events.len() == 9)
    });
    let mut owners = std::collections::HashMap::new();
    for event in &events {
        let mail = event["properties"]["email"].as_str().unwrap().trim().to_lowercase();
        let owner = owners.entry(mail.clone()).or_insert(&event["profile"]);
        assert_eq!(*owner, &event["profile"], "{mail}");
        assert_eq!(event["metadata"]["profile_less"], json!(mail.is_empty()));
    }
    let people: std::collections::HashSet<String> = owners.values().map(|owner| owner.to_string()).collect();
    assert_eq!((people.len(), owners[""]), (4, &Value::Null));
    assert_eq!(owners["ada@example.com"]["id"], id);
    // Also within a session, which is the last one's.
    let two = json!(list[..2]).to_string();
    let answer = daemon.post_json("/collect/crm-note/crm/call-1", &two);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let named = |event: &Value| owners[&event["email"].as_str().unwrap().trim().to_lowercase()]["id"].clone();
    assert_eq!(answer.json()["profile"]["id"], named(&list[1]));
    assert_eq!(daemon.record("/session/call-1")["profile"]["id"], named(&list[1]));
    let of_session = daemon.record("/events?session=call-1&order=oldest&type=crm-note")["result"].clone();
    assert_eq!(
        [&of_session[0]["profile"]["id"], &of_session[1]["profile"]["id"]],
        [&named(&list[0]), &named(&list[1])]
    );
}

#[test]
fn workflows_give_each_event_of_a_list_its_own_profile_and_session() {
    let (_folder, daemon) = started();
    let workflow = json!({"id": "who", "on": ["mail"], "step": [
        {"attach_session": "mail-{{ event.properties.mail }}", "if": "has(event.properties.mail)"},
        {"attach_profile": {"email": "{{ event.properties.to }}"}},
        {"append": {"profile.traits.mails": "{{ event.properties.mail }}"}, "if": "has(event.properties.mail)"},
        {"increment": {"profile.traits.count": 1}}
    ]});
    assert_eq!(daemon.post_admin("/workflow", &workflow).status, 200);
    let created =
        json!({"id": "created", "on": ["profile-created"], "step": [{"set": {"profile.traits.created": true}}]});
    assert_eq!(daemon.post_admin("/workflow", &created).status, 200);
    // Three hundred people; everybody's mail is sent, and some are opened.
    let mail = |number: usize| json!({"to": format!("p{number}@example.com"), "mail": format!("m{number}")});
    let mut list: Vec<Value> = (0..300).map(mail).collect();
    list.extend((0..300).step_by(3).map(mail));
    list.push(json!({"to": "P1@example.com"}));
    let answer = daemon.post_json("/collect/mail/shop", &json!(list).to_string());
    assert_eq!((answer.status, &answer.json()["profile"]), (200, &json!({})), "{}", answer.text());
    for (number, count) in [(0, 2), (1, 2), (2, 1), (299, 1)] {
        let id = daemon.record(&format!("/session/mail-m{number}"))["profile"]["id"].clone();
        let profile = daemon.record(&format!("/profile/{}", id.as_str().unwrap()));
        assert_eq!(
            profile["traits"],
            json!({"mails": [format!("m{number}")], "count": count, "created": true}),
            "{number}"
        );
        assert_eq!(profile["data"]["contact"]["email"]["main"], format!("p{number}@example.com"));
        assert_eq!(profile["stats"]["visits"], 1);
    }
    // And again, by a service that was not sure: the profiles are known now.
    assert_eq!(daemon.post_json("/collect/mail/shop", &json!(list).to_string()).status, 200);
    let id = daemon.record("/session/mail-m0")["profile"]["id"].clone();
    assert_eq!(daemon.record(&format!("/profile/{}", id.as_str().unwrap()))["traits"]["count"], 4);
}

#[test]
fn events_of_a_list_go_on_with_what_the_ones_before_left() {
    let (_folder, daemon) = started();
    let workflow = json!({"id": "who", "on": ["a"], "step": [
        {"attach_profile": {"email": "{{ event.properties.e }}"}, "if": "has(event.properties.e)"},
        {"attach_session": "{{ event.properties.s }}"},
        {"increment": {"profile.traits.n": 1, "session.traits.n": 1}}
    ]});
    assert_eq!(daemon.post_admin("/workflow", &workflow).status, 200);
    let list = json!([
        {"e": "ada@example.com", "s": "till-1"}, {"e": "eve@example.com", "s": "till-1"},
        {"e": "ada@example.com", "s": "till-2"}, {"e": "Ada@example.com", "s": "till-1"}
    ]);
    for round in 1..3 {
        let answer = daemon.post_json("/collect/a/shop", &list.to_string());
        assert_eq!(answer.status, 200, "{}", answer.text());
        let ada = daemon.record("/session/till-2")["profile"]["id"].as_str().unwrap().to_owned();
        assert_eq!(daemon.record("/session/till-1")["profile"]["id"], json!(ada), "the last one who was there");
        assert_eq!(daemon.record("/session/till-1")["traits"]["n"], 3 * round);
        let profile = daemon.record(&format!("/profile/{ada}"));
        assert_eq!((&profile["traits"]["n"], &profile["stats"]["visits"]), (&json!(3 * round), &json!(2)));
        assert_eq!((&profile["ids"], &profile["aux"]), (&json!([ada]), &json!({})));
        let eve = daemon.post_json("/collect/a/shop", r#"{"e":"eve@example.com","s":"till-3"}"#);
        let eve = daemon.record(&format!("/profile/{}", eve.json()["profile"]["id"].as_str().unwrap()));
        assert_eq!((&eve["traits"]["n"], &eve["stats"]["visits"]), (&json!(2 * round), &json!(2)));
    }
}

#[test]
fn people_in_a_list_may_turn_out_to_be_one() {
    let (_folder, daemon) = started();
    assert_eq!(source(&daemon, &json!({"path": "properties.e", "is": "email", "create": true})).status, 200);
    let kind = json!({"id": "crm-note", "identifies": true, "map": [
        {"from": "event.properties.e2", "to": "profile.data.contact.email.private"},
        {"value": 1, "to": "profile.traits.n", "op": "add"}
    ]});
    assert_eq!(daemon.post_admin("/event-type", &kind).status, 200);
    let profile = |mail: &str| {
        let id = call(&daemon, &json!({"e": mail}).to_string());
        daemon.record(&format!("/profile/{}", id.as_str().unwrap()))
    };
    // Two strangers, of whom the third event says that they are one; and they were one before they were stored.
    let list =
        r#"[{"e":"a@x.example"},{"e":"b@x.example"},{"e":"a@x.example","e2":"b@x.example"},{"e":"b@x.example"}]"#;
    assert!(call(&daemon, list).is_string(), "it is about one person in the end");
    let one = profile("a@x.example");
    assert_eq!((&one["id"], &one["traits"]["n"]), (&profile("b@x.example")["id"], &json!(5)));
    assert_eq!(one["ids"].as_array().unwrap().len(), 1);
    // Two who are stored, both changed before they become one.
    let (c, d) = (profile("c@x.example"), profile("d@x.example"));
    let list =
        r#"[{"e":"d@x.example"},{"e":"c@x.example"},{"e":"d@x.example","e2":"c@x.example"},{"e":"c@x.example"}]"#;
    assert_eq!(call(&daemon, list), c["id"], "the one that was made first");
    let both = profile("d@x.example");
    assert_eq!((&both["id"], &both["traits"]["n"]), (&c["id"], &json!(7)));
    assert_eq!(both["ids"], json!([c["id"], d["id"]]));
    // In a session, two addresses of one person are one person's.
    let list = r#"[{"e":"c@x.example"},{"e":"d@x.example"},{"e":"none"}]"#;
    let list = serde_json::from_str(list).unwrap();
    let answer = daemon.post_admin("/collect/crm-note/crm/call-9", &list);
    assert_eq!((answer.status, &answer.json()["profile"]["id"]), (200, &c["id"]), "{}", answer.text());
}

#[test]
fn no_stranger_learns_by_a_list_whether_addresses_are_one_person_s() {
    let (_folder, daemon) = started();
    assert_eq!(source(&daemon, &json!({"path": "properties.e", "is": "email", "create": true})).status, 200);
    let both = json!({"email": {"main": "a@x.example", "private": "b@x.example"}});
    let one =
        json!({"source": {"id": "shop"}, "session": {"id": "s"}, "events": [{"type": "sign-in", "properties": both}]});
    let one = daemon.tracked(&one)["profile"]["id"].clone();
    assert_eq!(
        (&call(&daemon, r#"{"e":"b@x.example"}"#), call(&daemon, r#"{"e":"c@x.example"}"#) == one),
        (&one, false)
    );
    // A list is each one's whom its events name, whoever sends it: nothing tells who is one with whom.
    let list = |other: &str| json!([{"e": "a@x.example"}, {"e": other}]);
    let owner = |other: &str, session: &str| {
        let answer = daemon.post_json(&format!("/collect/crm-note/crm/{session}"), &list(other).to_string());
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["warnings"], Value::Null, "{}", answer.text());
        answer.json()["profile"]["id"].clone()
    };
    assert_eq!(owner("b@x.example", "call-1"), one);
    let another = owner("c@x.example", "call-2");
    assert!(another != one && owner("d@x.example", "call-3") != another);
    assert_eq!(owner(" A@x.example", "call-4"), one);
}

#[test]
fn a_list_comes_to_the_same_as_its_events_one_by_one() {
    let stories = [
        r#"[{"e":"a","n":1}] [{"e":"a","n":2},{"e":"b","e2":"a","n":4},{"e":"c","e2":"b","n":8}]"#,
        r#"[{"e":"a","n":1}] [{"e":"a","n":2},{"e":"b","e2":"a","n":4}] [{"e":"c","e2":"a","n":8}]"#,
        r#"[{"e":"a","n":1}] [{"e":"b","e2":"a","n":2},{"e":"b","n":4}] [{"e":"c","e2":"b","n":8}]"#,
        r#"[{"e":"a","n":1},{"e":"b","e2":"a","n":2},{"e":"c","e2":"b","n":4}]"#,
        r#"[{"e":"a","n":1},{"e":"b","n":2}] [{"e":"c","n":4}] [{"e":"c","e2":"a","n":8},{"e":"b","e2":"c","n":16}]"#,
        r#"[{"e":"a","s":"s1"}] [{"e":"c"}] [{"e":"c","s":"s1","e2":"b"},{"e":"a","e2":"b"}]"#,
        r#"[{"e":"a","s":"s1"},{"e":"b","s":"s1"},{"e":"b","s":"s2","e2":"a"}] [{"e":"a","s":"s2"}]"#,
        r#"[{"e":"a","s":"s1"}] [{"e":"b","s":"s1"}] [{"e":"c","s":"s1","e2":"b"},{"e":"a","e2":"c"}]"#,
        r#"[{"e":"c","s":"s1","e2":"a"},{"e":"a","s":"s1","e2":"b"},{"e":"b","s":"s1"},{"e":"a","e2":"a"}]"#,
    ];
    let people = ["a", "b", "c"].map(|name| (format!("\"{name}\""), format!("{name}@x.example")));
    for story in stories {
        let story =
            people.iter().fold(story.to_owned(), |story, (name, mail)| story.replace(name, &json!(mail).to_string()));
        let lists: Vec<Value> = story
            .split("] ")
            .map(|list| serde_json::from_str(&format!("{}]", list.trim_end_matches(']'))).unwrap())
            .collect();
        let told = [true, false].map(|one_by_one| {
            let (_folder, daemon) = started();
            let kind = json!({"id": "m", "identifies": true, "map": [
                {"from": "event.properties.n", "to": "profile.traits.n", "op": "add"},
                {"from": "event.properties.e2", "to": "profile.data.contact.email.private"}
            ]});
            assert_eq!(daemon.post_admin("/event-type", &kind).status, 200);
            let workflow = json!({"id": "w", "on": ["m"], "step": [
                {"if": "has(event.properties.s)", "attach_session": "{{ event.properties.s }}"},
                {"attach_profile": {"email": "{{ event.properties.e }}"}},
                {"if": "has(event.properties.n)", "increment": {"profile.traits.w": "{{ event.properties.n }}"}}
            ]});
            assert_eq!(daemon.post_admin("/workflow", &workflow).status, 200);
            let send = |body: &Value| {
                let answer = daemon.post_json("/collect/m/shop", &body.to_string());
                assert_eq!(answer.status, 200, "{}", answer.text());
                answer.json()["profile"]["id"].clone()
            };
            for list in &lists {
                if one_by_one {
                    list.as_array().unwrap().iter().for_each(|event| _ = send(event));
                } else {
                    send(list);
                }
            }
            let people = people.each_ref().map(|(_, mail)| send(&json!({"e": mail})));
            let firsts: Vec<usize> =
                people.iter().map(|id| people.iter().position(|other| other == id).unwrap()).collect();
            let shown = people.iter().map(|id| {
                let profile = daemon.record(&format!("/profile/{}", id.as_str().unwrap()));
                let mut conflicts = profile["aux"]["conflicts"].clone();
                conflicts
                    .as_array_mut()
                    .into_iter()
                    .flatten()
                    .for_each(|it| _ = it.as_object_mut().unwrap().remove("time"));
                json!([profile["traits"], profile["data"], profile["stats"], conflicts])
            });
            let shown: Vec<Value> = shown.collect();
            let owners = ["s1", "s2"].map(|id| {
                let owner = daemon.admin("GET", &format!("/session/{id}")).json()["profile"]["id"].clone();
                people.iter().position(|person| *person == owner)
            });
            (firsts, shown, owners)
        });
        assert_eq!(told[0], told[1], "{story}");
    }
}

#[test]
fn the_profile_of_a_session_becomes_one_with_who_is_named() {
    let (_folder, daemon) = started();
    assert_eq!(source(&daemon, &json!({"path": "properties.email", "is": "email"})).status, 200);
    let in_session = |session: &str, mail: &str| {
        let answer = daemon.post_json(&format!("/collect/crm-note/crm/{session}"), &json!({"email": mail}).to_string());
        answer.json()["profile"]["id"].clone()
    };
    // Nobody has the address yet: it is what the session's new profile is known by.
    let ada = in_session("call-1", "ada@example.com");
    assert!(ada.is_string());
    assert_eq!(in_session("call-2", "ADA@example.com"), ada);
    assert_eq!(call(&daemon, r#"{"email":"ada@example.com"}"#), ada);
    let shown = daemon.record(&format!("/profile/{}", ada.as_str().unwrap()));
    assert_eq!((&shown["stats"]["visits"], &shown["ids"]), (&json!(2), &json!([ada])));
    // Somebody who was there before, unknown, calls.
    let visitor = json!({"source": {"id": "shop"}, "session": {"id": "web"}, "events": [{"type": "page-view"}]});
    let before = daemon.tracked(&visitor)["profile"]["id"].clone();
    assert_ne!(before, ada);
    assert_eq!(in_session("web", "ada@example.com"), ada);
    assert_eq!(daemon.tracked(&visitor)["profile"]["id"], ada);
}

#[test]
fn an_event_that_breaks_its_schema_tells_nobody() {
    let (_folder, daemon) = started();
    assert_eq!(source(&daemon, &json!({"path": "properties.email", "is": "email", "create": true})).status, 200);
    let schema = json!({"properties": {"type": "object", "required": ["note"]}});
    let kind = json!({"id": "crm-note", "schema": schema, "on_invalid": "mark"});
    assert_eq!(daemon.post_admin("/event-type", &kind).status, 200);
    assert_eq!(call(&daemon, r#"{"email":"ada@example.com"}"#), Value::Null);
    let ada = call(&daemon, r#"{"email":"ada@example.com","note":"called"}"#);
    assert!(ada.is_string());
    let answer = daemon.post_json("/collect/crm-note/crm/call-1", r#"{"email":"ada@example.com"}"#);
    assert_ne!(answer.json()["profile"]["id"], ada, "the session's own");
}

#[test]
fn a_profile_s_id_finds_it_and_makes_none() {
    let (_folder, daemon) = started();
    let body = json!({"source": {"id": "shop"}, "session": {"id": "s"}, "events": [{"type": "x"}]});
    let known = daemon.tracked(&body)["profile"]["id"].as_str().unwrap().to_owned();
    assert_eq!(source(&daemon, &json!({"path": "properties.profile", "is": "id", "create": true})).status, 200);
    assert_eq!(call(&daemon, &json!({"profile": known}).to_string()), json!(known));
    assert_eq!(call(&daemon, r#"{"profile":"11111111-1111-4111-8111-111111111111"}"#), Value::Null);
}

#[test]
fn no_browser_learns_of_somebody_by_an_address() {
    let (_folder, daemon) = started();
    daemon.source(&json!({
        "id": "crm", "name": "CRM", "type": ["rest", "webhook"],
        "config": {"profile": {"path": "properties.email", "is": "email", "create": true}}
    }));
    assert!(call(&daemon, r#"{"email":"ada@example.com"}"#).is_string());
    let body = json!({
        "source": {"id": "crm"}, "session": {"id": "s"}, "options": {"profile": true},
        "events": [{"type": "crm-note", "properties": {"email": "ada@example.com"}}]
    });
    let answer = daemon.post_json("/track?profile_less=true", &body.to_string());
    assert_eq!((answer.status, &answer.json()["profile"]), (200, &json!({})));
}

#[test]
fn terms_that_cannot_be_are_refused() {
    let (_folder, daemon) = started();
    for (profile, field) in [
        (json!({"is": "email"}), "path"),
        (json!({"path": "properties.x"}), "is"),
        (json!({"path": "properties..x", "is": "email"}), "path"),
        (json!({"path": "email", "is": "email"}), "path"),
        (json!({"path": "properties.x", "is": "shoe-size"}), "is"),
        (json!({"path": "properties.x", "is": "email", "created": true}), "created"),
    ] {
        let response = source(&daemon, &profile);
        assert_eq!((response.status, response.loc()), (422, json!(["body", "config", "profile", field])), "{profile}");
    }
}

#[test]
fn a_workflow_makes_nobody_one_with_who_signed_in() {
    let (_folder, daemon) = started();
    let steps = json!([{"attach_profile": {"email": "{{ event.properties.other }}"}}]);
    assert_eq!(daemon.post_admin("/workflow", &json!({"id": "w", "on": ["sign-in"], "step": steps})).status, 200);
    let sign_in = |session: &str, mail: &str, other: &str| {
        let properties = json!({"email": {"main": mail}, "other": other});
        let payload = json!({
            "source": {"id": "shop"}, "session": {"id": session}, "options": {"debugger": true},
            "events": [{"type": "sign-in", "properties": properties}]
        });
        daemon.tracked_by_admin(&payload)
    };
    let eve = sign_in("s1", "eve@example.com", "eve@example.com");
    let ada = sign_in("s2", "ada@example.com", "eve@example.com");
    assert_ne!(ada["profile"]["id"], eve["profile"]["id"]);
    assert_eq!(ada["debugging"]["execution"]["w"][0]["status"], "error");
    let shown = daemon.record(&format!("/profile/{}", ada["profile"]["id"].as_str().unwrap()));
    assert_eq!(shown["data"]["contact"]["email"]["main"], "ada@example.com");
}
