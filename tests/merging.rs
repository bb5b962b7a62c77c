//! Profiles that turn out to be one person become one, and can be split again.

mod support;

use serde_json::{Value, json};
use support::{
    Daemon, Setup,
    daemon::{TOKEN, started, wait_for},
};

fn send(daemon: &Daemon, session: &str, kind: &str, properties: &Value) -> Value {
    let payload = json!({
        "source": {"id": "shop"}, "session": {"id": session}, "options": {"profile": true},
        "events": [{"id": format!("{session}-{kind}-{}", uuid::Uuid::new_v4()), "type": kind, "properties": properties}]
    });
    daemon.tracked_by_admin(&payload)["profile"].clone()
}

fn id(profile: &Value) -> &str {
    profile["id"].as_str().unwrap()
}

fn profile(daemon: &Daemon, id: &str) -> Value {
    daemon.record(&format!("/profile/{id}"))
}

#[test]
fn an_email_that_two_profiles_have_makes_them_one() {
    let (_folder, daemon) = started();
    let phone = send(&daemon, "phone", "page-view", &json!({}));
    send(&daemon, "phone", "increase-interest", &json!({"interest": "sports", "value": 2}));
    send(&daemon, "phone", "profile-update", &json!({"pii": {"firstname": "Ada", "gender": "f"}}));
    send(&daemon, "phone", "sign-up", &json!({"email": {"main": "ada@example.com"}}));
    let laptop = send(&daemon, "laptop", "page-view", &json!({}));
    send(&daemon, "laptop", "page-view", &json!({}));
    send(&daemon, "laptop", "increase-interest", &json!({"interest": "sports"}));
    send(&daemon, "laptop", "profile-update", &json!({"pii": {"firstname": "Augusta"}}));
    assert_ne!(id(&phone), id(&laptop));
    let event = daemon.tracked(
        &json!({"source": {"id": "shop"}, "session": {"id": "laptop"}, "events": [{"id": "e-old", "type": "x"}]}),
    );
    assert_eq!(event["profile"]["id"], laptop["id"]);

    let merged = send(&daemon, "laptop", "sign-in", &json!({"email": {"private": " ADA@example.com "}}));
    assert_eq!(merged["id"], phone["id"], "the one that was made first goes on");
    assert_eq!(merged["ids"], json!([phone["id"], laptop["id"]]));
    assert_eq!(merged["stats"], json!({"visits": 2, "views": 3}));
    assert_eq!(merged["interests"], json!({"sports": 3}));
    assert_eq!(merged["data"]["pii"], json!({"firstname": "Augusta", "gender": "f"}), "the later stands");
    assert_eq!(merged["aux"]["conflicts"][0]["path"], "data.pii.firstname");
    assert_eq!(merged["aux"]["conflicts"][0]["value"], "Ada");

    let check = |daemon: &Daemon| {
        for name in [id(&phone), id(&laptop)] {
            assert_eq!(profile(daemon, name), merged, "every old id answers with the survivor");
        }
        assert_eq!(daemon.record("/session/laptop")["profile"]["id"], phone["id"]);
        assert_eq!(daemon.record("/event/e-old")["event"]["profile"]["id"], phone["id"], "past events too");
    };
    check(&daemon);
    let setup = daemon.stop();
    assert!(setup.command(&["rebuild"]).status().unwrap().success());
    let daemon = setup.start();
    check(&daemon);
    // Both sessions, and whoever sends the old id, go on with the survivor.
    for session in ["laptop", "phone"] {
        assert_eq!(send(&daemon, session, "page-view", &json!({}))["id"], phone["id"]);
    }
    let by_old_id = json!({"source": {"id": "shop"}, "session": {"id": "new"}, "profile": {"id": laptop["id"]}, "events": [{"type": "x"}]});
    assert_eq!(daemon.tracked(&by_old_id)["profile"]["id"], phone["id"]);
    assert_eq!(profile(&daemon, id(&phone))["stats"], json!({"visits": 3, "views": 5}));
}

#[test]
fn counters_of_both_add_up() {
    let (_folder, daemon) = started();
    let segment = json!({"id": "six", "condition": "count('checkout-completed', '30d') == 6"});
    assert_eq!(daemon.post_admin("/segment", &segment).status, 200);
    let buy = |session: &str, value: f64| send(&daemon, session, "checkout-completed", &json!({"value": value}));
    buy("phone", 1.5);
    buy("laptop", 2.0);
    buy("phone", 4.0);
    send(&daemon, "phone", "sign-in", &json!({"email": {"main": "ada@example.com"}}));
    // The last purchase before they meet, the meeting, and one behind it come in one request.
    let purchase = json!({"type": "checkout-completed", "properties": {"value": 8}});
    let payload = json!({"source": {"id": "shop"}, "session": {"id": "laptop"}, "options": {"profile": true}, "events": [
        purchase, {"type": "sign-in", "properties": {"email": {"main": "ada@example.com"}}}, purchase
    ]});
    let metrics =
        |profile: &Value| (profile["data"]["metrics"]["ltcocv"].clone(), profile["data"]["metrics"]["ltcocc"].clone());
    let both = &daemon.tracked_by_admin(&payload)["profile"];
    assert_eq!(metrics(both), (json!(23.5), json!(5)));
    assert_eq!(both["aux"], json!({}), "what was counted lost against nothing");
    assert_eq!(both["segments"], json!([]));
    let sixth = buy("laptop", 0.5);
    assert_eq!((metrics(&sixth), &sixth["segments"]), ((json!(24), json!(6)), &json!(["six"])));
    // A third one, then the second one is taken out again with what it had when it came.
    buy("till", 100.0);
    let all = send(&daemon, "till", "sign-in", &json!({"email": {"main": "ada@example.com"}}));
    assert_eq!(metrics(&all), (json!(124), json!(7)));
    let headers = [("Authorization", &*format!("Bearer {TOKEN}"))];
    let second = all["ids"][1].as_str().unwrap();
    assert_eq!(daemon.request("POST", &format!("/profile/{second}/split"), &headers, b"").status, 200);
    // What it had bought before they met is its own, also in the same request.
    assert_eq!(metrics(&profile(&daemon, second)), (json!(10), json!(2)));
    assert_eq!(metrics(&profile(&daemon, id(&all))), (json!(114), json!(5)));
}

#[test]
fn words_for_nothing_are_nobody_s_key() {
    let (_folder, daemon) = started();
    let mut ids = std::collections::HashSet::new();
    for (index, nothing) in
        [json!("undefined"), json!("null"), json!(" "), json!("0"), json!(["a"]), json!(true)].iter().enumerate()
    {
        ids.insert(
            send(&daemon, &format!("s{index}"), "sign-in", &json!({"email": {"main": nothing}, "pk": nothing}))["id"]
                .to_string(),
        );
    }
    assert_eq!(ids.len(), 6);
    // An event that may not identify gives no key.
    let map =
        json!({"id": "note", "map": [{"from": "event.properties.mail", "to": "profile.data.contact.email.main"}]});
    let headers = [("Authorization", &*format!("Bearer {TOKEN}")), ("Content-Type", "application/json")];
    assert_eq!(daemon.request("POST", "/event-type", &headers, map.to_string().as_bytes()).status, 200);
    let noted = json!({"mail": "a@b.example"});
    assert_ne!(send(&daemon, "n1", "note", &noted)["id"], send(&daemon, "n2", "note", &noted)["id"]);
}

#[test]
fn a_session_that_both_had_counts_once() {
    let (_folder, daemon) = started();
    daemon.source(&json!({"id": "till", "name": "Till", "type": ["rest"], "permanent_profile_id": true}));
    let visit = |profile: &str, session: &str, mail: &str| {
        daemon.tracked_by_admin(&json!({
            "source": {"id": "till"}, "session": {"id": session}, "profile": {"id": profile},
            "options": {"profile": true}, "events": [{"type": "sign-in", "properties": {"email": {"main": mail}}}]
        }))["profile"]
            .clone()
    };
    visit("a", "s1", "a@example.com");
    visit("b", "s1", "b@example.com"); // the same session, pointed to another profile
    visit("b", "s2", "b@example.com");
    let merged = visit("b", "s3", "a@example.com");
    assert_eq!((&merged["id"], &merged["stats"]["visits"]), (&json!("a"), &json!(3)));
    assert_eq!(visit("b", "s1", "a@example.com")["stats"]["visits"], 3);
}

#[test]
fn a_permanent_id_that_identifies_at_once_leads_to_who_it_is() {
    let (_folder, daemon) = started();
    daemon.source(&json!({"id": "till", "name": "Till", "type": ["rest"], "permanent_profile_id": true}));
    let ada = send(&daemon, "s1", "sign-in", &json!({"email": {"main": "ada@example.com"}}));
    let at_the_till = |session: &str, kind: &str, properties: Value| {
        daemon.tracked(&json!({
            "source": {"id": "till"}, "session": {"id": session}, "profile": {"id": "customer-1"},
            "events": [{"type": kind, "properties": properties}]
        }))["profile"]
            .clone()
    };
    assert_eq!(at_the_till("s2", "sign-in", json!({"email": {"main": "ada@example.com"}}))["id"], ada["id"]);
    assert_eq!(at_the_till("s3", "page-view", json!({}))["id"], ada["id"]);
    assert_eq!(profile(&daemon, "customer-1")["ids"], json!([ada["id"], "customer-1"]));
}

#[test]
fn many_who_are_one_become_one_however_they_come() {
    let (_folder, daemon) = started();
    // Ten profiles in a chain: each knows the e-mail of the next one; all identify at once.
    for number in 0..10 {
        send(&daemon, &format!("s{number}"), "page-view", &json!({}));
    }
    std::thread::scope(|scope| {
        for number in 0..10 {
            let daemon = &daemon;
            scope.spawn(move || {
                let (own, next) = (format!("m{number}@example.com"), format!("m{}@example.com", (number + 1) % 10));
                send(daemon, &format!("s{number}"), "sign-in", &json!({"email": {"main": own, "private": next}}));
            });
        }
    });
    let first = send(&daemon, "s0", "page-view", &json!({}));
    for number in 0..10 {
        assert_eq!(send(&daemon, &format!("s{number}"), "page-view", &json!({}))["id"], first["id"], "{number}");
    }
    let all = profile(&daemon, id(&first));
    assert_eq!(all["stats"], json!({"visits": 10, "views": 21}));
    assert_eq!(all["ids"].as_array().unwrap().len(), 10);
}

#[test]
fn a_merge_can_be_taken_back() {
    let (_folder, daemon) = started();
    let segment = json!({"id": "regular", "condition": "profile.stats.visits >= 2"});
    assert_eq!(daemon.post_admin("/segment", &segment).status, 200);
    let one = send(&daemon, "one", "sign-up", &json!({"email": {"main": "ada@example.com"}, "firstname": "Ada"}));
    let two = send(&daemon, "two", "page-view", &json!({}));
    send(&daemon, "two", "sign-up", &json!({"firstname": "Eve", "lastname": "E"}));
    let before = (profile(&daemon, id(&one)), profile(&daemon, id(&two)));
    let merged = send(&daemon, "two", "sign-in", &json!({"email": {"main": "ada@example.com"}}));
    assert_eq!((&merged["id"], &merged["segments"]), (&one["id"], &json!(["regular"])));
    let split = |name: &str, body: &str| {
        let headers = [("Authorization", &*format!("Bearer {TOKEN}"))];
        daemon.request("POST", &format!("/profile/{name}/split"), &headers, body.as_bytes())
    };
    assert_eq!(split("nobody", "").status, 404);
    assert_eq!(split(id(&one), r#"{"id":"nobody"}"#).status, 404);
    assert_eq!(split(id(&two), "").json(), json!({"profile": {"id": one["id"]}, "split": {"id": two["id"]}}));
    assert_eq!(daemon.record("/session/two")["profile"]["id"], two["id"], "it is hers again");
    let daemon = daemon.restart();
    wait_for("the segments", || (profile(&daemon, id(&one))["segments"] == json!([])).then_some(()));
    let after = (profile(&daemon, id(&one)), profile(&daemon, id(&two)));
    let told = |profile: &Value| (profile["ids"].clone(), profile["data"]["pii"].clone(), profile["stats"].clone());
    assert_eq!((told(&after.0), told(&after.1)), (told(&before.0), told(&before.1)));
    // Each goes its own way again.
    assert_eq!(daemon.record("/event-sources")["total"], 2);
    assert_eq!(send(&daemon, "one", "page-view", &json!({}))["id"], one["id"]);
    let by_id =
        json!({"source": {"id": "shop"}, "session": {"id": "three"}, "profile": {"id": two["id"]}, "events": []});
    assert_eq!(daemon.tracked(&by_id)["profile"]["id"], two["id"]);
    assert_eq!(send(&daemon, "four", "sign-in", &json!({"email": {"main": "ada@example.com"}}))["id"], one["id"]);
}

#[test]
fn those_that_became_one_by_and_by_can_be_split_in_any_order() {
    for order in [["c", "b"], ["b", "c"]] {
        let (_folder, daemon) = started();
        let people: std::collections::HashMap<&str, String> = ["a", "b", "c"]
            .map(|name| {
                let mail = json!({"email": {"main": format!("{name}@example.com")}});
                (name, id(&send(&daemon, name, "sign-in", &mail)).to_owned())
            })
            .into();
        let both = |main: &str, private: &str| json!({"email": {"main": format!("{main}@example.com"), "private": format!("{private}@example.com")}});
        send(&daemon, "b", "sign-in", &both("b", "c"));
        let all = send(&daemon, "a", "sign-in", &both("a", "b"));
        assert_eq!((&all["id"], &all["stats"]["visits"]), (&json!(people["a"]), &json!(3)));
        for name in order {
            let answer = daemon.post_admin(&format!("/profile/{}/split", people[name]), &json!({}));
            assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        }
        for name in ["a", "b", "c"] {
            let shown = profile(&daemon, &people[name]);
            assert_eq!((&shown["id"], &shown["stats"]["visits"]), (&json!(people[name]), &json!(1)), "{order:?}");
        }
        let again = send(&daemon, "d", "sign-in", &json!({"email": {"main": "c@example.com"}}));
        assert_eq!(again["id"], json!(people["c"]), "{order:?}");
    }
}

#[test]
fn a_deleted_profile_s_keys_are_free() {
    let (_folder, daemon) = started();
    let one = send(&daemon, "one", "sign-in", &json!({"email": {"main": "ada@example.com"}}));
    let two = send(&daemon, "two", "sign-in", &json!({"email": {"main": "ada@example.com"}, "pk": "17"}));
    assert_eq!(one["id"], two["id"]);
    assert_eq!(daemon.admin("DELETE", &format!("/profile/{}", id(&one))).json(), json!(true));
    let again = send(&daemon, "three", "sign-in", &json!({"email": {"main": "ada@example.com"}, "pk": "17"}));
    assert_ne!(again["id"], one["id"]);
    assert_eq!(again["stats"]["visits"], 1);
}

#[test]
fn a_place_of_one_s_own_can_hold_a_key() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path()).set("identity.merge_keys", "profile.data.loyalty.card.id");
    let daemon = setup.start();
    daemon.shop();
    let map = json!({"id": "card", "identifies": true, "map": [
        {"from": "event.properties.card", "to": "profile.data.loyalty.card.id"}
    ]});
    let headers = [("Authorization", &*format!("Bearer {TOKEN}")), ("Content-Type", "application/json")];
    assert_eq!(daemon.request("POST", "/event-type", &headers, map.to_string().as_bytes()).status, 200);
    let one = send(&daemon, "one", "card", &json!({"card": "C-1"}));
    assert_eq!(send(&daemon, "two", "card", &json!({"card": " C-1 "}))["id"], one["id"]);
    assert_ne!(send(&daemon, "three", "card", &json!({"card": "c-1"}))["id"], one["id"]);
    let setup = daemon.stop();
    let (status, told) = setup.set("identity.merge_keys", "event.type").start_refused();
    assert!(!status.success() && told.contains("identity.merge_keys"), "{told}");
}

#[test]
fn what_an_event_says_identifies_and_not_what_stood_there() {
    let (_folder, daemon) = started();
    let note = json!({"id": "newsletter", "identifies": false, "map": [
        {"from": "event.properties.email", "to": "profile.data.contact.email.main"}
    ]});
    let card = json!({"id": "card", "identifies": true, "map": [
        {"from": "event.properties.contact", "to": "profile.data.contact", "op": "merge"},
        {"from": "event.properties.private", "to": "profile.data.contact.email.private", "op": "set_if_empty"}
    ]});
    for kind in [note, card] {
        assert_eq!(daemon.post_admin("/event-type", &kind).status, 200);
    }
    let ada = send(&daemon, "ada", "sign-in", &json!({"email": {"main": "ada@example.com"}}));
    // Somebody gives another one's address: that is theirs, but tells nothing, later neither.
    let eve = send(&daemon, "eve", "newsletter", &json!({"email": "ada@example.com"}));
    assert_eq!(eve["data"]["contact"]["email"]["main"], "ada@example.com");
    assert_eq!(id(&send(&daemon, "eve", "sign-in", &json!({"pk": "m-77"}))), id(&eve));
    assert_ne!(id(&eve), id(&ada));
    // What is not written because something stands there is not said.
    send(&daemon, "eve", "card", &json!({"private": "eve@example.com"}));
    assert_eq!(id(&send(&daemon, "eve", "card", &json!({"private": "ada@example.com"}))), id(&eve));
    // An object says all that is in it.
    let bob = send(&daemon, "bob", "card", &json!({"contact": {"email": {"business": "bob@example.com"}}}));
    let works = send(&daemon, "works", "sign-in", &json!({"email": {"main": "bob@example.com"}}));
    assert_eq!(id(&works), id(&bob));
}

#[test]
fn what_was_split_stays_split() {
    let (_folder, daemon) = started();
    let first = send(&daemon, "first", "page-view", &json!({}));
    let second = send(&daemon, "second", "sign-in", &json!({"email": {"main": "ada@example.com"}}));
    let both = send(&daemon, "first", "sign-in", &json!({"email": {"main": "ada@example.com"}}));
    assert_eq!(both["ids"], json!([first["id"], second["id"]]));
    assert_eq!(daemon.post_admin(&format!("/profile/{}/split", id(&second)), &json!({})).status, 200);
    let after = send(&daemon, "first", "profile-update", &json!({"pii": {"firstname": "Bob"}}));
    assert_eq!((id(&after), &after["ids"]), (id(&first), &json!([first["id"]])));
}

#[test]
fn addresses_may_be_long_and_keys_are_not_endless() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).set("identity.keep_former", true).start();
    daemon.shop();
    let long = format!("{}@example.com", "a".repeat(200));
    let one = send(&daemon, "one", "sign-in", &json!({"email": {"main": long}}));
    assert_eq!(id(&send(&daemon, "two", "sign-in", &json!({"email": {"main": long.to_uppercase()}}))), id(&one));
    let sign_in = |number: usize| {
        daemon.tracked_by_admin(&json!({
            "source": {"id": "shop"}, "session": {"id": "many"}, "options": {"debugger": true},
            "events": [{"type": "sign-in", "properties": {"email": {"main": format!("{number}@example.com")}}}]
        }))
    };
    let warned = |answer: &Value| {
        let logs = answer["debugging"]["logs"].to_string().contains("is found by 100 keys already");
        let warnings = answer["warnings"].to_string();
        assert_eq!(
            warnings.contains("profile.data.contact.email.main") && warnings.contains("100 keys"),
            logs,
            "{answer}"
        );
        logs
    };
    assert!(!(0..100).any(|number| warned(&sign_in(number))));
    assert!(warned(&sign_in(100)));
}

#[test]
fn a_key_that_is_not_taken_is_told_to_whoever_sends_it() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).set("identity.keep_former", true).start();
    daemon.shop();
    daemon.source(&json!({
        "id": "crm", "name": "CRM", "type": ["webhook"], "config": {"profile": {"path": "properties.mail", "is": "email"}}
    }));
    let sign_in = |session: &str, pks: std::ops::Range<usize>| {
        let sign_in =
            |number| json!({"type": "sign-in", "properties": {"email": {"main": format!("{number}@example.com")}}});
        let events: Vec<Value> = pks.map(sign_in).collect();
        json!({"source": {"id": "shop"}, "session": {"id": session}, "events": events})
    };
    assert_eq!(daemon.tracked(&sign_in("many", 0..100))["warnings"], Value::Null);
    let held = daemon.tracked(&sign_in("other", 500..501))["profile"]["id"].clone();
    // A stranger is told that it was refused, once, and not whether somebody has the key.
    let refused = daemon.tracked(&sign_in("many", 100..103));
    assert_eq!(refused["warnings"].as_array().unwrap().len(), 1, "{refused}");
    let warning = refused["warnings"][0].as_str().unwrap();
    assert!(warning.starts_with("profile.data.contact.email.main: ") && warning.contains("100 keys"), "{warning}");
    assert!(warning.contains("more together than is kept of one"), "{warning}");
    let answer = daemon.post_json("/collect/call/crm/many", r#"{"mail": "100@example.com"}"#).json();
    let warning = answer["warnings"][0].as_str().unwrap_or_else(|| panic!("{answer}"));
    assert!(warning.starts_with("event.properties.mail: ") && warning.contains("100 keys"), "{warning}");
    assert_ne!(daemon.tracked(&sign_in("new", 100..101))["profile"], refused["profile"], "it leads nowhere");
    // Two that are too large to become one.
    let about = json!({"id": "about", "map": [{"from": "event.properties", "to": "profile.traits", "op": "merge"}]});
    assert_eq!(daemon.post_admin("/event-type", &about).status, 200);
    for session in ["large", "larger"] {
        // One value as large as it may be, and small ones for which there is room still.
        send(&daemon, session, "about", &json!({"large": "x".repeat(1_020_000)}));
        let small = |number| json!({"type": "about", "properties": {format!("small-{number}"): "x".repeat(1_000)}});
        let events: Vec<Value> = (0..40).map(small).collect();
        daemon.tracked(&json!({"source": {"id": "shop"}, "session": {"id": session}, "events": events}));
    }
    let large = daemon.tracked(&sign_in("large", 200..201));
    let refused = daemon.tracked(&sign_in("larger", 200..201));
    assert_ne!(refused["profile"], large["profile"]);
    let told = refused["warnings"].to_string();
    assert!(told.contains("profile.data.contact.email.main") && told.contains("more together"), "{told}");
    assert!(![&held, &large["profile"]["id"]].iter().any(|id| told.contains(id.as_str().unwrap())), "{told}");
    let by_admin = daemon.tracked_by_admin(&sign_in("larger", 200..201))["warnings"].to_string();
    assert!(by_admin.contains("more together") && !by_admin.contains("100 keys"), "{by_admin}");
}

/// Both sign in with one key after `theirs` and `mine` happened, in turns as they are listed.
fn merged_after(story: &[(&str, &str, Value)]) -> Value {
    let (_folder, daemon) = started();
    let about = json!({"id": "about", "map": [{"from": "event.properties", "to": "profile.traits", "op": "merge"}]});
    let add = json!({"id": "add", "map": [{"from": "event.properties.n", "to": "profile.traits.n", "op": "add"}]});
    let forget = json!({"id": "forget", "map": [{"to": "profile.traits.{{ event.properties.key }}", "op": "delete"}]});
    for kind in [about, add, forget] {
        assert_eq!(daemon.post_admin("/event-type", &kind).status, 200);
    }
    send(&daemon, "a", "page-view", &json!({}));
    send(&daemon, "b", "page-view", &json!({}));
    for (session, kind, properties) in story {
        send(&daemon, session, kind, properties);
    }
    send(&daemon, "a", "sign-in", &json!({"pk": "one"}));
    send(&daemon, "b", "sign-in", &json!({"pk": "one"}))
}

#[test]
fn what_was_written_last_stands_whatever_stood_there_before() {
    // Said again is said later.
    let town = |town: &str| json!({"town": town});
    let both =
        merged_after(&[("a", "about", town("Bern")), ("b", "about", town("Basel")), ("a", "about", town("Bern"))]);
    assert_eq!(both["traits"], town("Bern"));
    let grant = |granted: bool| json!({"consents": {"ads": granted}});
    let both = merged_after(&[
        ("a", "consent-update", grant(true)),
        ("b", "consent-update", grant(false)),
        ("a", "consent-update", grant(true)),
    ]);
    assert_eq!(both["consents"], json!({"ads": true}));
    // What was emptied covers nothing that others wrote.
    let both = merged_after(&[
        ("a", "about", json!({"name": "Ann", "vip": true})),
        ("b", "about", json!({"cart": 1})),
        ("b", "forget", json!({"key": "cart"})),
    ]);
    assert_eq!((&both["traits"], &both["aux"]), (&json!({"name": "Ann", "vip": true}), &json!({})));
    // What was added to something that was set is added to what others set or added, too.
    let n = |n: u64| json!({"n": n});
    let both = merged_after(&[("a", "about", n(10)), ("b", "add", n(5)), ("a", "add", n(3))]);
    assert_eq!((&both["traits"], &both["aux"]), (&n(18), &json!({})));
    let both = merged_after(&[("a", "add", n(5)), ("b", "add", n(5)), ("a", "about", n(5)), ("b", "add", n(2))]);
    assert_eq!(both["traits"], n(7 + 5), "what b added since is one with what it added before");
}

#[test]
fn any_key_survives_a_merge() {
    let deep = (0..40).fold(json!(1), |inner, _| json!({"a": inner}));
    let keys = json!({
        "a\tb": 1, "a\nb": 2, "\u{a0}": 3, "a\"]b": 4, "a.\"][\"b.": 5, "a\\": 6, "": 7, "x".repeat(600): 8, "deep": deep
    });
    let both = merged_after(&[
        ("a", "about", keys.clone()),
        ("b", "consent-update", json!({"consents": {"news\u{a0}letter": false}})),
    ]);
    assert_eq!((&both["traits"], &both["consents"]), (&keys, &json!({"news\u{a0}letter": false})));
}

#[test]
fn a_payload_may_tell_of_many_people() {
    let (_folder, daemon) = started();
    for number in 0..30 {
        send(&daemon, &format!("known-{number}"), "sign-in", &json!({"pk": format!("k{number}")}));
    }
    let events = |prefix: &str, count: usize| -> Vec<Value> {
        let sign_in = |number: usize| json!({"type": "sign-in", "properties": {"pk": format!("{prefix}{number}")}});
        (0..count).map(sign_in).collect()
    };
    let payload = |session: &str, events: Vec<Value>| json!({"source": {"id": "shop"}, "session": {"id": session}, "options": {"profile": true}, "events": events});
    daemon.tracked(&payload("new", events("n", 60)));
    assert_eq!(daemon.record("/profiles?limit=1000")["result"].as_array().unwrap().len(), 90);
    let last = daemon.tracked_by_admin(&payload("known", events("k", 30)));
    assert_eq!(last["profile"]["data"]["identifier"]["pk"], "k29");
    assert_eq!(daemon.record("/profiles?limit=1000")["result"].as_array().unwrap().len(), 90, "each is who they were");
    let all = daemon.record("/events?session=known&order=oldest&limit=1000")["result"].clone();
    for (number, event) in all.as_array().unwrap().iter().enumerate() {
        let id = event["profile"]["id"].as_str().unwrap();
        assert_eq!(profile(&daemon, id)["data"]["identifier"]["pk"], format!("k{number}"));
    }
}

#[test]
fn what_a_list_wrote_is_no_later_than_it() {
    let (_folder, daemon) = started();
    let passing = json!({"id": "passing", "name": "Passing", "type": ["rest", "webhook"], "transitional": true,
        "config": {"profile": {"path": "properties.email", "is": "email", "create": true}}});
    daemon.source(&passing);
    let kind = json!({"id": "note", "map": [{"from": "event.properties.x", "to": "profile.traits.x"}]});
    assert_eq!(daemon.post_admin("/event-type", &kind).status, 200);
    let mut list = vec![json!({"y": 1}); 900];
    list.push(json!({"email": "ada@example.com", "x": "first"}));
    assert_eq!(daemon.post_json("/collect/note/passing", &json!(list).to_string()).status, 200);
    send(&daemon, "a", "note", &json!({"x": "later"}));
    let both = send(&daemon, "a", "sign-in", &json!({"email": {"main": "ada@example.com"}}));
    assert_eq!(both["traits"]["x"], "later");
}

#[test]
fn a_split_gives_back_the_sessions_that_came_by_and_by() {
    let (_folder, daemon) = started();
    let [first, second, third] = [0, 1, 2].map(|number| {
        let mail = json!({"email": {"main": format!("{number}@example.com")}});
        send(&daemon, &format!("k{number}"), "sign-in", &mail)
    });
    let private = json!({"email": {"private": "1@example.com"}});
    assert_eq!(id(&send(&daemon, "k2", "sign-in", &private)), id(&second));
    assert_eq!(id(&send(&daemon, "k0", "sign-in", &private)), id(&first));
    assert_eq!(daemon.post_admin(&format!("/profile/{}/split", id(&third)), &json!({})).status, 200);
    assert_eq!(daemon.record("/session/k2")["profile"]["id"], third["id"]);
    assert_eq!(daemon.record("/session/k1")["profile"]["id"], first["id"]);
    assert_eq!(profile(&daemon, id(&third))["stats"]["visits"], 1);
}

#[test]
fn names_beyond_those_that_are_shown_lead_there_too() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).set("identity.people_per_key", 0).start();
    daemon.shop();
    let ada = send(&daemon, "ada", "sign-in", &json!({"email": {"main": "ada@example.com"}}));
    let mut visitors = Vec::new();
    for number in 0..130 {
        let session = format!("s{number}");
        visitors.push(id(&send(&daemon, &session, "page-view", &json!({}))).to_owned());
        send(&daemon, &session, "sign-in", &json!({"email": {"main": "ada@example.com"}}));
    }
    let check = |daemon: &Daemon| {
        let shown = profile(daemon, &visitors[0]);
        assert_eq!((&shown["id"], &shown["metadata"]["ids"]), (&ada["id"], &json!(131)));
        let newest: Vec<&str> = std::iter::once(id(&ada)).chain(visitors[31..].iter().map(String::as_str)).collect();
        assert_eq!(shown["ids"], json!(newest));
        assert_eq!(shown["stats"], json!({"visits": 131, "views": 130}));
        assert_eq!(shown["aux"], json!({}), "nothing lost against anything else");
    };
    check(&daemon);
    let setup = daemon.stop();
    assert!(setup.command(&["rebuild"]).status().unwrap().success());
    let daemon = setup.start();
    check(&daemon);
    // The first one is split off again, with all that it had; the newest of the others are shown.
    assert_eq!(daemon.post_admin(&format!("/profile/{}/split", visitors[0]), &json!({})).status, 200);
    assert_eq!(profile(&daemon, &visitors[0])["stats"], json!({"visits": 1, "views": 1}));
    let left = profile(&daemon, &visitors[1]);
    assert_eq!((&left["id"], &left["metadata"]["ids"]), (&ada["id"], &json!(130)));
    assert_eq!(left["ids"].as_array().unwrap().len(), 100);
    // Whoever deletes it deletes every name, shown or not, and the keys.
    assert_eq!(daemon.admin("DELETE", &format!("/profile/{}", visitors[1])).json(), json!(true));
    for gone in [id(&ada), &visitors[1], &visitors[60], &visitors[129]] {
        assert_eq!(daemon.admin("GET", &format!("/profile/{gone}")).status, 404, "{gone}");
    }
    let again = send(&daemon, "again", "sign-in", &json!({"email": {"main": "ada@example.com"}}));
    assert_eq!(again["metadata"]["ids"], 1);
    // A name that was deleted is free: a client that goes on sending it is somebody new.
    let payload = json!({"source": {"id": "shop"}, "session": {"id": "back"}, "profile": {"id": visitors[60]}, "events": [{"type": "x"}]});
    let back = daemon.tracked(&payload)["profile"]["id"].clone();
    assert_eq!(profile(&daemon, &visitors[60])["id"], back);
    let daemon = daemon.restart();
    assert_eq!(profile(&daemon, &visitors[60])["id"], back);
    assert_eq!(profile(&daemon, &visitors[0])["stats"]["visits"], 1, "what was split off before is somebody else");
}

#[test]
fn a_chain_of_merges_is_followed_from_any_name() {
    let (_folder, daemon) = started();
    let count = 60;
    let people: Vec<String> = (0..count)
        .map(|number| {
            let mail = json!({"email": {"main": format!("m{number}@example.com")}});
            id(&send(&daemon, &format!("s{number}"), "sign-in", &mail)).to_owned()
        })
        .collect();
    // Each older one takes in the one before it, with all that this one took in.
    for number in (0..count - 1).rev() {
        let mail = json!({"email": {"private": format!("m{}@example.com", number + 1)}});
        assert_eq!(id(&send(&daemon, &format!("s{number}"), "sign-in", &mail)), people[number]);
    }
    let check = |daemon: &Daemon| people.iter().for_each(|name| assert_eq!(profile(daemon, name)["id"], people[0]));
    check(&daemon);
    assert_eq!(profile(&daemon, &people[0])["stats"]["visits"], count);
    let daemon = daemon.restart();
    check(&daemon);
    let by_id = |name: &str| {
        let payload = json!({"source": {"id": "shop"}, "session": {"id": format!("new-{name}")}, "profile": {"id": name}, "events": []});
        daemon.tracked(&payload)["profile"]["id"].clone()
    };
    assert_eq!(by_id(&people[count - 1]), json!(people[0]));
    // Deep within, one cannot be taken out at once; from outside in it can, and every name goes its way.
    let split = |name: &str| daemon.post_admin(&format!("/profile/{name}/split"), &json!({}));
    let refused = split(&people[count - 1]);
    assert_eq!(refused.status, 422, "{}", refused.text());
    assert!(refused.text().contains("split off"), "{}", refused.text());
    assert_eq!(split(&people[10]).status, 200);
    assert_eq!(split(&people[40]).status, 422);
    assert_eq!(split(&people[15]).status, 200);
    for (number, name) in people.iter().enumerate() {
        let owner = if number < 10 {
            0
        } else if number < 15 {
            10
        } else {
            15
        };
        assert_eq!(profile(&daemon, name)["id"], people[owner], "{number}");
    }
    assert_eq!(profile(&daemon, &people[0])["stats"]["visits"], 11, "ten, and the new one");
    assert_eq!(profile(&daemon, &people[10])["stats"]["visits"], 5);
    assert_eq!(profile(&daemon, &people[15])["stats"]["visits"], count - 15);
    assert_eq!(daemon.admin("DELETE", &format!("/profile/{}", people[10])).json(), json!(true));
    assert_eq!(daemon.admin("GET", &format!("/profile/{}", people[12])).status, 404);
    assert_eq!(profile(&daemon, &people[50])["id"], people[15]);
    assert_eq!(profile(&daemon, &people[5])["id"], people[0]);
}

#[test]
fn a_split_brings_back_what_had_lost() {
    let (_folder, daemon) = started();
    let about = json!({"id": "about", "map": [{"from": "event.properties", "to": "profile.traits", "op": "merge"}]});
    assert_eq!(daemon.post_admin("/event-type", &about).status, 200);
    // More than is kept as conflicts, and a value that both had.
    let told = |tag: &str| -> Value {
        let mut told: serde_json::Map<String, Value> =
            (0..150).map(|n| (format!("t{n}"), json!(format!("{tag}{n}")))).collect();
        told.insert("same".into(), json!("both"));
        told.into()
    };
    let mine = send(&daemon, "a", "about", &told("a"));
    let other = send(&daemon, "b", "about", &told("b"));
    send(&daemon, "a", "sign-in", &json!({"pk": "one"}));
    let both = send(&daemon, "b", "sign-in", &json!({"pk": "one"}));
    assert_eq!(both["traits"], told("b"));
    let conflicts = both["aux"]["conflicts"].as_array().unwrap();
    assert!((90..=100).contains(&conflicts.len()), "{}", conflicts.len());
    assert!(conflicts.iter().all(|lost| lost["path"] != "traits.same"));
    assert_eq!(daemon.post_admin(&format!("/profile/{}/split", id(&other)), &json!({})).status, 200);
    assert_eq!(profile(&daemon, id(&mine))["traits"], told("a"));
    assert_eq!(profile(&daemon, id(&other))["traits"], told("b"));
    assert_eq!(profile(&daemon, id(&mine))["aux"], json!({}));
}

#[test]
fn what_is_said_again_and_again_by_others_lost_once() {
    let (_folder, daemon) = started();
    let about = json!({"id": "about", "map": [{"from": "event.properties", "to": "profile.traits", "op": "merge"}]});
    assert_eq!(daemon.post_admin("/event-type", &about).status, 200);
    let mut all = Value::Null;
    for number in 0..12 {
        let session = format!("s{number}");
        send(&daemon, &session, "about", &json!({"town": (["Bern", "Basel", "Chur"][number % 3])}));
        all = send(&daemon, &session, "sign-in", &json!({"pk": "one"}));
    }
    assert_eq!(all["traits"], json!({"town": "Chur"}));
    let mut lost: Vec<&Value> = all["aux"]["conflicts"].as_array().unwrap().iter().map(|lost| &lost["value"]).collect();
    lost.sort_by_key(|value| value.to_string());
    assert_eq!(lost, [&json!("Basel"), &json!("Bern")]);
}

#[test]
fn who_was_split_off_leaves_nothing_behind_when_another_one_is() {
    let (_folder, daemon) = started();
    let kind = json!({"id": "note", "map": [{"from": "event.properties.note", "to": "profile.traits.note"}]});
    assert_eq!(daemon.post_admin("/event-type", &kind).status, 200);
    let note = |session: &str| {
        let events = json!([{"type": "note", "properties": {"note": format!("of {session}")}}]);
        let payload = json!({"source": {"id": "shop"}, "session": {"id": session}, "events": events});
        daemon.tracked(&payload)["profile"]["id"].as_str().unwrap().to_owned()
    };
    let (p, x, y) = (note("p"), note("x"), note("y"));
    for session in ["p", "x", "y"] {
        let events = json!([{"type": "sign-in", "properties": {"email": {"main": "ada@example.com"}}}]);
        daemon.tracked(&json!({"source": {"id": "shop"}, "session": {"id": session}, "events": events}));
    }
    for (id, own) in [(&x, "of x"), (&y, "of y")] {
        assert_eq!(daemon.record(&format!("/profile/{id}"))["id"], json!(p), "all are one");
        assert_eq!(daemon.post_admin(&format!("/profile/{id}/split"), &json!({})).status, 200);
        assert_eq!(daemon.record(&format!("/profile/{id}"))["traits"]["note"], own);
    }
    let left = daemon.record(&format!("/profile/{p}"));
    assert_eq!(left["traits"]["note"], "of p");
    assert!(!left.to_string().contains("of x") && !left.to_string().contains("of y"), "{left}");
}
