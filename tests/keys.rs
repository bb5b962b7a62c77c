//! What two people say who are one, and what names nobody.

mod support;

use std::{path::Path as FilePath, process::Command};

use serde_json::{Value, json};
use support::{
    Daemon, Setup,
    daemon::{TOKEN, started},
};
use tracardi::{
    model::{Country, KnownBy, MergeKey, Path, Value as Plain},
    process::{Identity, IdentitySettings, KeyPlace},
};

/// Signs in on a device of its own; the profile.
fn sign_in(daemon: &Daemon, source: &str, session: &str, properties: Value) -> Value {
    daemon.tracked_by_admin(&json!({
        "source": {"id": source}, "session": {"id": session}, "options": {"profile": true},
        "events": [{"type": "sign-in", "properties": properties}]
    }))["profile"]
        .clone()
}

/// Whether two devices that say these are one person's.
fn are_one(daemon: &Daemon, name: &str, place: &str, values: [Value; 2]) -> bool {
    let ids = values.map(|value| {
        let session = format!("{name} {value}").chars().filter(char::is_ascii_graphic).take(100).collect::<String>();
        let session = format!("{session}-{}", ordinal());
        let properties = match place.split_once('.') {
            Some((part, at)) => json!({(part): {(at): value}}),
            None => json!({(place): value}),
        };
        sign_in(daemon, name, &session, properties)["id"].as_str().unwrap().to_owned()
    });
    ids[0] == ids[1]
}

fn ordinal() -> usize {
    static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

#[test]
fn devices_that_say_the_same_are_one_persons_and_what_is_shown_is_what_was_sent() {
    let (_folder, daemon) = started();
    for (place, one, other) in [
        ("email.main", json!("Ada@Example.com"), json!("\u{feff}mailto:ada@example.com\u{200b}")),
        ("email.main", json!("eve@bücher.example"), json!("EVE@xn--bcher-kva.example")),
        ("email.main", json!("ｂｏｂ＠example.com"), json!("bob@example.com")),
        ("phone.main", json!("+41 79 123 45 67"), json!("tel:+41(0)791234567")),
        ("phone.main", json!("０７９１２３４５６７"), json!("079 123 45 67")),
        ("phone.main", json!(41791234560_u64), json!("41 79 123 45 60")),
        ("pk", json!("aB3x"), json!(" aB3\u{ad}x\n")),
        ("pk", json!(17), json!("17")),
        ("pk", json!("Stra\u{df}e"), json!("\u{202a}Straße\u{202c}")),
    ] {
        assert!(are_one(&daemon, "shop", place, [one.clone(), other.clone()]), "{one} {other}");
    }
    for (place, one, other) in [
        ("pk", "cD3x", "Cd3X"),
        ("email.main", "a@x.example", "a+1@x.example"),
        ("phone.main", "+41791234567 ext 1", "+41791234567 ext 2"),
        ("phone.main", "41 79 123 45 99", "+41 79 123 45 99"),
    ] {
        assert!(!are_one(&daemon, "shop", place, [json!(one), json!(other)]), "{one} {other}");
    }
    let shown =
        sign_in(&daemon, "shop", "shown", json!({"email": {"main": " MAILTO:New@Example.com "}, "pk": " ＡbC "}));
    assert_eq!(shown["data"]["contact"]["email"]["main"], " MAILTO:New@Example.com ");
    assert_eq!(shown["data"]["identifier"]["pk"], " ＡbC ");
    assert_eq!(daemon.admin("GET", "/profiles?pk=AbC").json()["result"][0]["id"], shown["id"]);
    let by_mail = daemon.admin("GET", "/profiles?email=mailto%3ANEW%40example.com").json();
    assert_eq!(by_mail["result"][0]["id"], shown["id"]);
    assert_eq!(daemon.admin("GET", "/profiles?pk=guest").status, 422);
    assert_eq!(daemon.admin("GET", "/profiles?phone=%2B48").status, 422);
}

#[test]
fn what_names_nobody_joins_nobody() {
    let (_folder, daemon) = started();
    for (place, value) in [
        ("pk", json!("n/a")),
        ("pk", json!("-")),
        ("pk", json!("Unknown")),
        ("pk", json!("GUEST")),
        ("pk", json!("000000000")),
        ("pk", json!(0)),
        ("pk", json!("00000000-0000-0000-0000-000000000000")),
        ("pk", json!("{{user.id}}")),
        ("pk", json!("\u{200b}")),
        ("pk", json!("x".repeat(513))),
        ("email.main", json!("@")),
        ("email.main", json!("noemail")),
        ("email.main", json!("none@none.com")),
        ("email.main", json!(17)),
        ("phone.main", json!("+48")),
        ("phone.main", json!("000000000")),
        ("phone.main", json!("unknown")),
        ("phone.main", json!("12345678901234567")),
    ] {
        assert!(!are_one(&daemon, "shop", place, [value.clone(), value.clone()]), "{value}");
    }
    for (place, value) in
        [("pk", "admin"), ("pk", "1"), ("email.main", "test@company.example"), ("email.main", "user@example.com")]
    {
        assert!(are_one(&daemon, "shop", place, [json!(value), json!(value)]), "{value}");
    }
}

#[test]
fn nobody_is_attached_by_a_placeholder() {
    let (_folder, daemon) = started();
    for (kind, by) in [("by-kind", "pk"), ("by-place", "profile.data.identifier.pk")] {
        let attach = json!({by: "{{ event.properties.who }}", "create": true});
        let workflow = json!({"id": kind, "on": [kind], "step": [{"attach_profile": attach}]});
        assert_eq!(daemon.post_admin("/workflow", &workflow).status, 200);
    }
    // Somebody says so.
    let shown = sign_in(&daemon, "shop", "s", json!({"pk": "guest"}));
    assert_eq!(shown["data"], json!({}), "no primary key is a word for nobody");
    for kind in ["by-kind", "by-place"] {
        let call = |who: &str| {
            let answer = daemon.post_json(&format!("/collect/{kind}/shop"), &json!({"who": who}).to_string());
            assert_eq!(answer.status, 200, "{}", answer.text());
            answer.json()["profile"]["id"].clone()
        };
        assert_eq!(
            (call("guest"), call(" GUEST "), call("{{ who }}")),
            (Value::Null, Value::Null, Value::Null),
            "{kind}"
        );
        assert!(call("admin").is_string() && call("admin") == call(" admin "), "{kind}");
    }
}

#[test]
fn a_sources_numbers_are_those_of_its_country() {
    let (_folder, daemon) = started();
    for (id, country) in [("swiss", "ch"), ("american", "US")] {
        daemon.source(&json!({"id": id, "name": id, "type": ["rest"], "config": {"phone_country": country}}));
    }
    let phone = |source: &str, session: &str, number: &str| {
        sign_in(&daemon, source, session, json!({"phone": {"main": number}}))["id"].clone()
    };
    let ada = phone("shop", "s-1", "+41 79 123 45 67");
    assert_eq!(phone("swiss", "s-2", "079 123 45 67"), ada);
    assert_eq!(phone("american", "s-3", "011 41 79 123 45 67"), ada);
    assert_ne!(phone("american", "s-4", "079 123 4567"), ada);
    assert_ne!(phone("shop", "s-5", "079 123 45 67"), ada);
    // Also where the source says where the number stands.
    let config = json!({"phone_country": "CH", "profile": {"path": "properties.tel", "is": "phone", "create": true}});
    daemon.source(&json!({"id": "calls", "name": "Calls", "type": ["webhook"], "config": config}));
    assert_eq!(daemon.post_json("/collect/call/calls", r#"{"tel": "0791234567"}"#).json()["profile"]["id"], ada);
    // And where workflows look for somebody.
    let workflow =
        json!({"id": "w", "on": ["called"], "step": [{"attach_profile": {"phone": "{{ event.properties.tel }}"}}]});
    assert_eq!(daemon.post_admin("/workflow", &workflow).status, 200);
    let called = json!({"source": {"id": "swiss"}, "session": {"id": "s-6"}, "events": [{"type": "called", "properties": {"tel": "(079) 123 45 67"}}]});
    assert_eq!(daemon.tracked_by_admin(&called)["profile"]["id"], ada);
    for wrong in [json!("UK"), json!("Schweiz"), json!(""), json!("+41"), json!(41), json!(["CH"])] {
        let body = json!({"name": "x", "type": ["rest"], "config": {"phone_country": wrong}});
        let answer = daemon.post_admin("/event-source", &body);
        assert_eq!(answer.status, 422, "{wrong}: {}", answer.text());
        assert_eq!(answer.json()["detail"][0]["loc"], json!(["body", "config", "phone_country"]), "{wrong}");
    }
}

#[test]
fn an_installation_names_more_that_is_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let placeholders = "Walk-In, info@shop.example, +41 44 000 00 01";
    let daemon = Setup::new(folder.path())
        .set("identity.placeholders", placeholders)
        .set("identity.merge_keys", r#"{ path = "profile.traits.customer", exclusive = true }"#)
        .start();
    daemon.shop();
    let map = json!({"id": "card", "identifies": true, "map": [
        {"from": "event.properties.customer", "to": "profile.traits.customer"}
    ]});
    assert_eq!(daemon.post_admin("/event-type", &map).status, 200);
    let card = |session: &str, customer: &str| {
        daemon.tracked_by_admin(&json!({
            "source": {"id": "shop"}, "session": {"id": session},
            "events": [{"type": "card", "properties": {"customer": customer}}]
        }))["profile"]["id"]
            .clone()
    };
    assert_ne!(card("c-1", "walk-in"), card("c-2", "WALK-IN"));
    assert_eq!(card("c-3", "C-17"), card("c-4", "C-17"));
    assert_ne!(card("c-5", "d-17"), card("c-6", "D-17"));
    for (place, values) in [
        ("pk", ["walk-in", "walk-in"]),
        ("email.main", ["Info@Shop.example", "mailto:info@shop.example"]),
        ("phone.main", ["0041 44 000 00 01", "+41440000001"]),
    ] {
        assert!(!are_one(&daemon, "shop", place, values.map(Value::from)), "{values:?}");
    }
    assert!(are_one(&daemon, "shop", "email.main", ["ada@shop.example", "ADA@shop.example"].map(Value::from)));
}

/// The store that a daemon of format 6 left: Ada is `A1` and `Ada@Example.com`.
fn older_store(folder: &FilePath) -> (Setup, String) {
    let data = FilePath::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let tar = Command::new("tar").arg("-xzf").arg(data.join("format-6.tar.gz")).arg("-C").arg(folder).status().unwrap();
    assert!(tar.success());
    let answered: Value = serde_json::from_slice(&std::fs::read(data.join("format-6.json")).unwrap()).unwrap();
    let setup = Setup::new(&folder.join("format-6")).set("storage.segment_bytes", 65_536);
    (setup, answered["ada"]["id"].as_str().unwrap().to_owned())
}

#[test]
fn somebody_of_an_older_store_is_found_by_what_their_profile_says() {
    let folder = tempfile::tempdir().unwrap();
    let (setup, ada) = older_store(folder.path());
    let daemon = setup.start();
    let by_pk = |query: &str| daemon.admin("GET", &format!("/profiles?pk={query}")).json()["result"].clone();
    assert_eq!((by_pk("A1")[0]["id"].as_str(), by_pk("a1")), (Some(&*ada), json!([])));
    // Keys were lower-cased then, and are not now: this is another one.
    assert_ne!(sign_in(&daemon, "shop", "k-1", json!({"pk": "a1"}))["id"], *ada);
    assert_eq!(sign_in(&daemon, "shop", "k-2", json!({"pk": " A1 "}))["id"], *ada);
    assert_eq!(sign_in(&daemon, "shop", "k-3", json!({"email": {"main": "mailto:ADA@example.com"}}))["id"], *ada);
    let daemon = daemon.restart();
    assert_eq!(sign_in(&daemon, "shop", "k-4", json!({"pk": "A1"}))["id"], *ada);
    assert_ne!(sign_in(&daemon, "shop", "k-5", json!({"pk": "a1"}))["id"], *ada);
}

#[test]
fn on_a_device_of_an_older_store_its_owner_stays_who_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let (setup, ada) = older_store(folder.path());
    let daemon = setup.start();
    for _ in 0..2 {
        assert_eq!(sign_in(&daemon, "shop", "ada-laptop", json!({"pk": "A1"}))["id"], *ada);
    }
    // It has a key of today since, by which another device finds it.
    assert_eq!(sign_in(&daemon, "shop", "k-1", json!({"pk": "A1"}))["id"], *ada);
}

#[test]
fn an_import_into_an_older_store_takes_nobodys_key() {
    let folder = tempfile::tempdir().unwrap();
    let (setup, ada) = older_store(folder.path());
    let daemon = setup.start();
    let profile = |id: &str, pk: &str| {
        json!({"id": id, "ids": [id], "data": {"identifier": {"pk": pk}}, "metadata": {"time": {"insert": "2025-05-01T10:00:00Z"}}})
            .to_string()
    };
    let lines = format!("{}\n{}\n", profile("imported-1", "A1"), profile("imported-2", "a1"));
    let headers = [("Authorization", &*format!("Bearer {TOKEN}")), ("Content-Type", "application/x-ndjson")];
    let answer = daemon.request("POST", "/import", &headers, lines.as_bytes());
    assert_eq!((answer.status, &answer.json()["imported"]["profiles"]), (200, &json!(2)), "{}", answer.text());
    assert_eq!(sign_in(&daemon, "shop", "k-1", json!({"pk": "A1"}))["id"], *ada);
    assert_eq!(sign_in(&daemon, "shop", "k-2", json!({"pk": "a1"}))["id"], "imported-2");
}

/// The cells of the rows of README's table of keys.
fn rows() -> Vec<Vec<&'static str>> {
    let (_, table) = include_str!("../README.md").split_once("| kind | compared by |").unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').collect()).collect()
}

/// What stands between the backticks of a cell.
fn values(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

#[test]
fn readmes_table_of_keys_says_what_is_so() {
    let customer = Path::parse("profile.traits.customer").unwrap();
    let merge_keys = vec![KeyPlace { path: customer.clone(), exclusive: true }];
    let identity = Identity::new("secret", &IdentitySettings { merge_keys, ..IdentitySettings::default() });
    let mut kinds = Vec::new();
    for row in rows() {
        let [kind, _, one, two, none] = row[..] else { panic!("{row:?}") };
        let said = values(kind);
        let country = said.get(1).map(|said| {
            let code = said.strip_prefix("phone_country = \"").and_then(|code| code.strip_suffix('"')).unwrap();
            Country::parse(code).unwrap()
        });
        let key = |text: &str| -> Option<MergeKey> {
            match KnownBy::parse(said[0]) {
                Ok(kind) => identity.key(kind, &Plain::text(text), country),
                Err(_) => identity.key_at(&Path::parse(said[0]).unwrap(), &Plain::text(text), country),
            }
        };
        let (one, two, none) = (values(one), values(two), values(none));
        assert!(one.len() > 1 && two.len() == 2 && none.len() > 1, "{row:?}");
        for text in &one {
            assert!(key(text).is_some() && key(text) == key(one[0]), "{kind}: {text}");
        }
        assert!(two.iter().all(|text| key(text).is_some()) && key(two[0]) != key(two[1]), "{kind}: {two:?}");
        for text in &none {
            assert_eq!(key(text), None, "{kind}: {text}");
        }
        kinds.push(said[0]);
    }
    kinds.dedup();
    assert_eq!(kinds, ["email", "phone", "pk", "identifier", "profile.traits.customer"]);
}
