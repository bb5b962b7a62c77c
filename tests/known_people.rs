//! Whoever is known stays known (docs/contract.md, section 4): nothing but another key takes the place of a primary key,
//! addresses lead to those who have them, and a split tells apart what was written before and after.

mod support;

use serde_json::{Value, json};
use support::{Daemon, Setup, daemon::started};

/// The answer to events of one request, with the whole profile.
fn send(daemon: &Daemon, source: &str, session: &str, events: &[(&str, Value)]) -> Value {
    let events: Vec<Value> = events.iter().map(|(kind, it)| json!({"type": kind, "properties": it})).collect();
    daemon.tracked_by_admin(&json!({
        "source": {"id": source}, "session": {"id": session}, "options": {"profile": true, "debugger": true},
        "events": events
    }))
}

/// Whose an event is.
fn id_of(daemon: &Daemon, session: &str, kind: &str, properties: Value) -> String {
    let answer = send(daemon, "shop", session, &[(kind, properties)]);
    answer["profile"]["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

fn signed_in(daemon: &Daemon, session: &str, properties: Value) -> String {
    id_of(daemon, session, "sign-in", properties)
}

fn profile(daemon: &Daemon, id: &str) -> Value {
    daemon.record(&format!("/profile/{id}"))
}

fn saved(daemon: &Daemon, path: &str, body: &Value) {
    let answer = daemon.post_admin(path, body);
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn what_names_nobody_takes_nobodys_primary_key() {
    let folder = tempfile::tempdir().unwrap();
    let keys = r#"{ path = "profile.traits.customer", exclusive = true }"#;
    let daemon = Setup::new(folder.path()).set("identity.merge_keys", keys).start();
    daemon.shop();
    let map = json!([
        {"from": "event.properties.customer", "to": "profile.traits.customer"},
        {"from": "event.properties.id", "to": "profile.data.identifier.id"}
    ]);
    saved(&daemon, "/event-type", &json!({"id": "known", "identifies": true, "map": map}));
    let long = "x".repeat(600);
    let nobody = [
        json!("guest"),
        json!("n/a"),
        json!("undefined"),
        json!("0"),
        json!(0),
        json!(true),
        json!("  "),
        json!("{{user.id}}"),
        json!("00000000-0000-0000-0000-000000000000"),
        json!(long),
        json!(null),
        json!(""),
    ];
    for (number, nobody) in nobody.iter().enumerate() {
        for (place, kind, shown) in [
            ("pk", "sign-in", "/data/identifier/pk"),
            ("id", "known", "/data/identifier/id"),
            ("customer", "known", "/traits/customer"),
        ] {
            let device = format!("{place}-{number}");
            let named = |who: &str| json!({place: format!("{who}-{place}-{number}")});
            let alice = id_of(&daemon, &device, kind, named("alice"));
            assert_eq!(id_of(&daemon, &device, kind, json!({place: nobody})), alice, "{place} {nobody}");
            assert_eq!(profile(&daemon, &alice).pointer(shown), named("alice").get(place), "{place} {nobody}");
            let bob = id_of(&daemon, &device, kind, named("bob"));
            assert_ne!(bob, alice, "{place} {nobody}");
            assert_eq!(id_of(&daemon, &format!("{device}-2"), kind, named("alice")), alice, "{place} {nobody}");
        }
    }
    // Somebody who said that of themselves and then who they are is one, and takes nothing from whom they turn out to be.
    let carol = signed_in(&daemon, "carol", json!({"pk": "carol", "email": {"main": "carol@example.com"}}));
    signed_in(&daemon, "till", json!({"pk": "guest"}));
    assert_eq!(signed_in(&daemon, "till", json!({"email": {"main": "carol@example.com"}})), carol);
    assert_eq!(profile(&daemon, &carol)["data"]["identifier"]["pk"], "carol");
    // In one request, too.
    let sign_in = |pk: &str| ("sign-in", json!({"pk": pk}));
    send(&daemon, "shop", "one", &[sign_in("dora"), sign_in("guest"), sign_in("emil")]);
    let (dora, emil) = (signed_in(&daemon, "d", json!({"pk": "dora"})), signed_in(&daemon, "e", json!({"pk": "emil"})));
    assert_ne!(dora, emil);
}

#[test]
fn what_does_not_identify_takes_nobodys_primary_key() {
    let (_folder, daemon) = started();
    let place = "profile.data.identifier.pk";
    saved(&daemon, "/event-type", &json!({"id": "note", "map": [{"from": "event.properties.pk", "to": place}]}));
    saved(&daemon, "/event-type", &json!({"id": "clear", "map": [{"op": "clear", "to": "profile.data.identifier"}]}));
    for (id, step) in [
        ("set", json!({"set": {place: "bob"}})),
        ("copy", json!({"copy": {place: "event.properties.pk"}})),
        ("delete", json!({"delete": ["profile.data.identifier"]})),
        ("hash", json!({"hash": [place]})),
        ("whole", json!({"set": {"profile.data.identifier": {"badge": "7"}}})),
    ] {
        saved(&daemon, "/workflow", &json!({"id": id, "on": [id], "step": [step]}));
    }
    let alice = signed_in(&daemon, "device", json!({"pk": "alice"}));
    let bob = signed_in(&daemon, "bob", json!({"pk": "bob"}));
    for kind in ["note", "clear", "set", "copy", "delete", "hash", "whole"] {
        let answer = send(&daemon, "shop", "device", &[(kind, json!({"pk": "bob"}))]);
        assert_eq!(answer["profile"]["id"], *alice);
        assert_eq!(answer["profile"]["data"]["identifier"]["pk"], "alice", "{kind}");
        let told = answer["debugging"]["logs"].to_string();
        assert!(told.contains("primary key"), "{kind}: {told}");
    }
    // What says the same, and what is beside it, is written.
    send(&daemon, "shop", "device", &[("note", json!({"pk": "alice"}))]);
    saved(
        &daemon,
        "/workflow",
        &json!({"id": "set", "on": ["set"], "step": [{"set": {"profile.data.identifier.badge": "7"}}]}),
    );
    send(&daemon, "shop", "device", &[("set", json!({}))]);
    assert_eq!(profile(&daemon, &alice)["data"]["identifier"], json!({"pk": "alice", "badge": "7"}));
    assert_eq!(signed_in(&daemon, "device", json!({"pk": "bob"})), bob);
    assert_eq!(signed_in(&daemon, "other", json!({"pk": "alice"})), alice);
}

#[test]
fn an_address_leads_to_nobody_who_has_it_no_more() {
    let (_folder, daemon) = started();
    let main = "profile.data.contact.email.main";
    saved(&daemon, "/event-type", &json!({"id": "note", "map": [{"from": "event.properties.to", "to": main}]}));
    let whole = json!([{"from": "event.properties.email", "to": "profile.data.contact.email"}]);
    saved(&daemon, "/event-type", &json!({"id": "whole", "identifies": true, "map": whole}));
    for (id, step) in
        [("set", json!({"set": {main: "{{ event.properties.to }}"}})), ("delete", json!({"delete": [main]}))]
    {
        saved(&daemon, "/workflow", &json!({"id": id, "on": [id], "step": [step]}));
    }
    let mail = |name: &str| json!({"email": {"main": name}});
    for (kind, properties) in [
        ("note", json!({"to": "new-note@example.com"})),
        ("set", json!({"to": "new-set@example.com"})),
        ("delete", json!({})),
        ("sign-in", mail("n/a")),
        ("whole", json!({"email": {"business": "work@example.com"}})),
    ] {
        let address = format!("ada-{kind}@example.com");
        let ada = signed_in(&daemon, kind, mail(&address));
        assert_eq!(signed_in(&daemon, &format!("{kind}-2"), mail(&address)), ada, "{kind}");
        assert_eq!(id_of(&daemon, kind, kind, properties), ada, "{kind}");
        assert_ne!(signed_in(&daemon, &format!("{kind}-3"), mail(&address)), ada, "{kind}");
    }
    // Of two that became one, an address that gave way leads there until the person says another one.
    let first = signed_in(&daemon, "101", json!({"pk": "7", "email": {"main": "101@example.com"}}));
    signed_in(&daemon, "102", mail("102@example.com"));
    assert_eq!(signed_in(&daemon, "102", json!({"pk": "7"})), first);
    assert_eq!(signed_in(&daemon, "n1", mail("101@example.com")), first);
    signed_in(&daemon, "102", mail("103@example.com"));
    assert_ne!(signed_in(&daemon, "n2", mail("101@example.com")), first);
    assert_ne!(signed_in(&daemon, "n3", mail("102@example.com")), first);
    assert_eq!(signed_in(&daemon, "n4", mail("103@example.com")), first);
}

#[test]
fn a_replaced_number_is_let_go_of_in_whichever_country_it_was_dialled() {
    let (_folder, daemon) = started();
    daemon.source(&json!({"id": "swiss", "name": "S", "type": ["rest"], "config": {"phone_country": "CH"}}));
    let number = |source: &str, session: &str, number: &str| {
        let answer = send(&daemon, source, session, &[("sign-in", json!({"phone": {"main": number}}))]);
        answer["profile"]["id"].as_str().unwrap().to_owned()
    };
    let ada = number("swiss", "ada", "079 123 45 67");
    assert_eq!(number("shop", "ada-2", "+41791234567"), ada);
    // By a source that is in no country.
    assert_eq!(number("shop", "ada", "+41 79 999 99 98"), ada);
    assert_ne!(number("swiss", "bob", "079 123 45 67"), ada);
    assert_eq!(number("shop", "ada-3", "+41799999998"), ada);
}

#[test]
fn a_split_leaves_with_each_what_they_did_before() {
    let (_folder, daemon) = started();
    let map = json!([
        {"from": "event.properties.list", "to": "profile.traits.list", "op": "append"},
        {"from": "event.properties.said", "to": "profile.traits.said"},
        {"from": "event.properties.spent", "to": "profile.traits.spent", "op": "add"}
    ]);
    saved(&daemon, "/event-type", &json!({"id": "did", "map": map}));
    saved(&daemon, "/workflow", &json!({"id": "vip", "on": ["vip"], "step": [{"segment": {"add": ["vip"]}}]}));
    let did =
        |word: &str, spent: &str| ("did", json!({"list": word, "said": word, "spent": spent.parse::<f64>().unwrap()}));
    let mail = |name: &str| ("sign-in", json!({"email": {"main": format!("{name}@example.com")}}));
    let one = |answer: &Value| answer["profile"]["id"].as_str().unwrap().to_owned();
    let traits = |id: &str| profile(&daemon, id)["traits"].clone();
    // Who goes on is whoever was first: once the one on the device, once the other one.
    for (name, device_first) in [("eve", true), ("fay", false)] {
        let device = format!("{name}-device");
        let begin = |session: &str| one(&send(&daemon, "shop", session, &[did("a", "1")]));
        let own = |name: &str| one(&send(&daemon, "shop", name, &[mail(name), did("o", "10")]));
        let (visitor, other) = if device_first {
            let visitor = begin(&device);
            (visitor, own(name))
        } else {
            let other = own(name);
            (begin(&device), other)
        };
        send(&daemon, "shop", &device, &[("vip", json!({}))]);
        // In the request in which they become one, and behind it.
        send(&daemon, "shop", &device, &[did("b", "2"), mail(name)]);
        let joined = send(&daemon, "shop", &device, &[did("since", "4")]);
        assert_eq!(joined["profile"]["traits"]["spent"], 17);
        let (goes_on, split_off) = if device_first { (&visitor, &other) } else { (&other, &visitor) };
        assert_eq!(one(&joined), *goes_on);
        assert_eq!(daemon.post_admin(&format!("/profile/{split_off}/split"), &json!({})).status, 200);
        let (of_visitor, of_other) = if device_first {
            (
                json!({"list": ["a", "b", "since"], "said": "since", "spent": 7}),
                json!({"list": ["o"], "said": "o", "spent": 10}),
            )
        } else {
            (
                json!({"list": ["a", "b"], "said": "b", "spent": 3}),
                json!({"list": ["o", "since"], "said": "since", "spent": 14}),
            )
        };
        assert_eq!((traits(&visitor), traits(&other)), (of_visitor, of_other), "{name}");
        assert_eq!(profile(&daemon, &visitor)["segments"], json!(["vip"]), "{name}");
        assert_eq!(profile(&daemon, &other)["segments"], json!([]), "{name}");
    }
}

#[test]
fn who_was_told_apart_is_joined_by_that_key_in_no_way() {
    let (_folder, daemon) = started();
    let step = json!({"attach_profile": {"email": "{{ event.properties.email }}", "join": true}});
    saved(&daemon, "/workflow", &json!({"id": "join", "on": ["join"], "step": [step]}));
    let mail = || json!({"email": {"main": "ada@example.com"}});
    let ada = signed_in(&daemon, "ada", mail());
    let other = id_of(&daemon, "other", "page-view", json!({}));
    assert_eq!(signed_in(&daemon, "other", mail()), ada);
    assert_eq!(daemon.post_admin(&format!("/profile/{other}/split"), &json!({})).status, 200);
    let answer = send(&daemon, "shop", "other", &[("join", json!({"email": "ada@example.com"}))]);
    assert_eq!(answer["profile"]["id"], *other);
    assert!(answer["debugging"].to_string().contains("they were split"), "{answer}");
    saved(&daemon, &format!("/profile/{other}/merge"), &json!({"with": ada}));
    assert_eq!(profile(&daemon, &other)["id"], *ada);
}
