//! What a destination gets that was down, or is sent everything again: people as they were, and nothing of those who are
//! deleted or withdrew their consent meanwhile.

mod support;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
};

use serde_json::{Value, json};
use support::{Daemon, Setup, daemon::wait_for, external::External};

/// A system that answers what it is told to.
struct Receiver {
    external: External,
    status: Arc<AtomicU16>,
}

impl Receiver {
    fn start() -> Self {
        let status = Arc::new(AtomicU16::new(500));
        let external = External::start({
            let status = status.clone();
            move |_| (status.load(Ordering::SeqCst), "{}".into())
        });
        Self { external, status }
    }

    fn destination(&self, body: Value) -> Value {
        let mut body = body;
        body["webhook"] = json!({"url": format!("http://{}/", self.external.address)});
        body
    }

    /// Lets deliveries in once two more were refused, so that none is on its way that was made before.
    fn open(&self) {
        let before = self.external.asked().len();
        wait_for("two more tries", || (self.external.asked().len() >= before + 2).then_some(()));
        self.status.store(200, Ordering::SeqCst);
    }

    /// Everything that was taken from the `from`th delivery on: all that are not tries of one that was refused.
    fn taken(&self, daemon: &Daemon, destination: &str) -> Vec<Value> {
        let path = format!("/destination/{destination}/status");
        wait_for("everything", || {
            let status = daemon.record(&path);
            (status["lag"] == 0 && status["failures"] == 0).then_some(())
        });
        let delivered = daemon.record(&path)["delivered"].as_u64().unwrap() as usize;
        let bodies =
            self.external.asked().into_iter().map(|asked| serde_json::from_str::<Vec<Value>>(&asked.body).unwrap());
        let all: Vec<Value> = bodies.flatten().collect();
        all[all.len() - delivered..].to_vec()
    }
}

fn setup(folder: &Path) -> Setup {
    Setup::new(folder).set("lookup.allowed_hosts", "127.0.0.1")
}

fn send(daemon: &Daemon, session: &str, id: &str, kind: &str, properties: Value) -> String {
    let answer = daemon.tracked(&json!({
        "source": {"id": "shop"}, "session": {"id": session},
        "events": [{"id": id, "type": kind, "properties": properties}]
    }));
    answer["profile"]["id"].as_str().unwrap_or_default().to_owned()
}

/// What each item is: its type, and the id of its event or profile.
fn told(items: &[Value]) -> Vec<String> {
    let id = |item: &Value| {
        let of = if item["type"] == "event" { &item["event"] } else { &item["profile"] };
        of["id"].as_str().unwrap().to_owned()
    };
    items.iter().map(|item| format!("{} {}", item["type"].as_str().unwrap(), id(item))).collect()
}

#[test]
fn of_who_was_deleted_while_a_destination_was_down_it_gets_that_alone() {
    let (receiver, folder) = (Receiver::start(), tempfile::tempdir().unwrap());
    let daemon = setup(folder.path()).start();
    daemon.shop();
    let destination = receiver.destination(json!({"id": "crm", "events": ["*"], "profiles": true}));
    assert_eq!(daemon.post_admin("/destination", &destination).status, 200);
    let ada = send(&daemon, "ada", "a1", "sign-in", json!({"email": {"main": "ada@example.com"}}));
    send(&daemon, "ada", "a2", "seen", json!({}));
    let eve = send(&daemon, "eve", "e1", "seen", json!({}));
    // Who became part of Ada is Ada.
    let tablet = send(&daemon, "tablet", "a3", "seen", json!({}));
    assert_eq!(send(&daemon, "tablet", "a4", "sign-in", json!({"email": {"main": "ada@example.com"}})), ada);
    assert_ne!(tablet, ada);
    // The delivery of it all was tried, and is tried again.
    wait_for("a try", || (receiver.external.asked().len() > 1).then_some(()));
    assert_eq!(daemon.admin("DELETE", &format!("/profile/{ada}")).status, 200);
    send(&daemon, "eve", "gone", "seen", json!({}));
    send(&daemon, "eve", "e2", "seen", json!({}));
    assert_eq!(daemon.admin("DELETE", "/event/gone").json(), json!(true));
    receiver.open();
    let expected = |items: &[Value]| {
        let told = told(items);
        // An id as a whole: that of a profile may end like that of an event.
        let of = |id: &str| told.iter().filter(|told| told.ends_with(&format!(" {id}"))).cloned().collect::<Vec<_>>();
        assert_eq!(of(&ada), [format!("profile-deleted {ada}")], "{told:?}");
        assert_eq!(of("a1").len() + of("a2").len() + of("a3").len() + of("a4").len() + of("gone").len(), 0, "{told:?}");
        assert_eq!((of("e1").len(), of("e2").len()), (1, 1), "{told:?}");
        assert!(!Value::from(items.to_vec()).to_string().contains("ada@example.com"));
        told.len()
    };
    let first = expected(&receiver.taken(&daemon, "crm"));
    // Nor does a replay hand anything out.
    let daemon = daemon.restart();
    assert_eq!(daemon.post_admin("/destination/crm/replay", &json!({"from": 0})).json(), json!(true));
    wait_for("everything again", || {
        (daemon.record("/destination/crm/status")["delivered"].as_u64() >= Some(first as u64)).then_some(())
    });
    assert_eq!(expected(&receiver.taken(&daemon, "crm")), first);
    // Who comes back with the same session is somebody new.
    let again = send(&daemon, "ada", "a5", "seen", json!({}));
    assert_ne!(again, ada);
    wait_for("the new one", || told(&receiver.taken(&daemon, "crm")).contains(&"event a5".to_owned()).then_some(()));
    assert_ne!(eve, ada);
}

#[test]
fn of_who_was_part_of_somebody_and_is_deleted_nothing_is_handed_out_with_them() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = setup(folder.path()).start();
    daemon.shop();
    let mut destination = json!({
        "id": "f", "events": ["seen"], "profiles": true, "with_profile": true, "file": "f.ndjson", "enabled": false
    });
    assert_eq!(daemon.post_admin("/destination", &destination).status, 200);
    // Changes are noted while a destination wants them.
    assert_eq!(
        daemon.post_admin("/destination", &json!({"id": "g", "profiles": true, "file": "g.ndjson"})).status,
        200
    );
    let update = |name: &str| json!({"pii": {"firstname": name}});
    let eve = send(&daemon, "eve", "e1", "profile-update", update("Eve"));
    send(&daemon, "eve", "e2", "sign-in", json!({"email": {"main": "both@example.com"}}));
    let ada = send(&daemon, "ada", "a1", "profile-update", json!({"pii": {"lastname": "Needle"}}));
    assert_eq!(send(&daemon, "ada", "a2", "sign-in", json!({"email": {"main": "both@example.com"}})), eve);
    send(&daemon, "eve", "mixed", "seen", json!({}));
    send(&daemon, "eve", "e3", "profile-update", update("Eva"));
    assert_eq!(daemon.post_admin(&format!("/profile/{ada}/split"), &json!({})).status, 200);
    send(&daemon, "eve", "e4", "profile-update", update("Eve Ann"));
    assert_eq!(daemon.admin("DELETE", &format!("/profile/{ada}")).status, 200);
    destination["enabled"] = json!(true);
    assert_eq!(daemon.post_admin("/destination", &destination).status, 200);
    wait_for("everything", || (daemon.record("/destination/f/status")["lag"] == 0).then_some(()));
    let text = std::fs::read_to_string(folder.path().join("deliveries/f.ndjson")).unwrap();
    assert!(!text.contains("Needle"), "{text}");
    let items: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mixed = items.iter().find(|item| item["event"]["id"] == "mixed").expect("the event is Eve's");
    assert_eq!(mixed["profile"]["data"]["pii"]["firstname"], "Eve", "as she was before they were one");
    assert!(mixed["as_of"].as_str() < mixed["event"]["metadata"]["time"]["insert"].as_str(), "{mixed}");
    assert!(told(&items).contains(&format!("profile-deleted {ada}")));
    assert!(text.contains("Eve Ann"));
}

/// Members of `vip` for as long as they are told to be.
fn vip(daemon: &Daemon) {
    let configuration = json!({
        "event_type": [{"id": "level", "map": [{"from": "event.properties.level", "to": "profile.traits.level"}]}],
        "segment": [{"id": "vip", "condition": "profile.traits.level > 9"}],
    });
    let response = daemon.post_admin("/configuration", &configuration);
    assert_eq!(response.status, 200, "{}", response.text());
}

#[test]
fn a_late_destination_sees_people_as_they_were_with_the_event() {
    let (receiver, folder) = (Receiver::start(), tempfile::tempdir().unwrap());
    let daemon = setup(folder.path()).start();
    daemon.shop();
    vip(&daemon);
    let destination = receiver.destination(json!({
        "id": "vips", "events": ["*"], "if": "'vip' in profile.segments", "with_profile": true, "batch": 2
    }));
    assert_eq!(daemon.post_admin("/destination", &destination).status, 200);
    send(&daemon, "s", "e1", "level", json!({"level": 1}));
    send(&daemon, "s", "e2", "level", json!({"level": 10}));
    // These do not change the profile.
    send(&daemon, "s", "e3", "seen", json!({}));
    for number in 0..20 {
        send(&daemon, &format!("other {number}"), &format!("o{number}"), "level", json!({"level": number / 19 * 10}));
    }
    send(&daemon, "s", "e4", "seen", json!({}));
    send(&daemon, "s", "e5", "level", json!({"level": 2}));
    send(&daemon, "s", "e6", "seen", json!({}));
    receiver.open();
    let expected = |items: Vec<Value>| {
        let level = |item: &Value| item["profile"]["traits"]["level"].clone();
        let seen: Vec<_> =
            items.iter().map(|item| (told(std::slice::from_ref(item))[0].clone(), level(item))).collect();
        let seen: Vec<_> = seen.iter().filter(|(told, _)| !told.contains("segment")).collect();
        let of = |id: &str| (format!("event {id}"), json!(10));
        assert_eq!(seen, [&of("e2"), &of("e3"), &of("o19"), &of("e4")]);
        assert!(items.iter().all(|item| item.get("as_of").is_none()), "that is how they were: {items:?}");
        let member = |item: &Value| item["profile"]["segments"] == json!(["vip"]);
        assert!(items.iter().all(member));
        items.len()
    };
    let first = expected(receiver.taken(&daemon, "vips"));
    let daemon = daemon.restart();
    assert_eq!(daemon.post_admin("/destination/vips/replay", &json!({"from": 0})).json(), json!(true));
    wait_for("everything again", || {
        (daemon.record("/destination/vips/status")["delivered"].as_u64() >= Some(first as u64)).then_some(())
    });
    assert_eq!(expected(receiver.taken(&daemon, "vips")), first);
}

#[test]
fn a_condition_on_the_time_is_about_the_time_of_the_event() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = setup(folder.path()).start();
    daemon.shop();
    let mut destination = json!({
        "id": "f", "events": ["seen"], "if": "now - timestamp(event.metadata.time.insert) < duration('500ms')",
        "file": "f.ndjson", "enabled": false
    });
    assert_eq!(daemon.post_admin("/destination", &destination).status, 200);
    send(&daemon, "s", "e1", "seen", json!({}));
    std::thread::sleep(std::time::Duration::from_secs(1));
    destination["enabled"] = json!(true);
    assert_eq!(daemon.post_admin("/destination", &destination).status, 200);
    let text = wait_for("the line", || std::fs::read_to_string(folder.path().join("deliveries/f.ndjson")).ok());
    assert!(text.contains("\"e1\""), "{text}");
}

#[test]
fn events_come_without_their_profile_unless_a_destination_asks_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = setup(folder.path()).start();
    daemon.shop();
    for (id, with_profile) in [("plain", json!(null)), ("with", json!(true))] {
        let mut destination = json!({"id": id, "events": ["seen"], "file": format!("{id}.ndjson")});
        if with_profile == true {
            destination["with_profile"] = with_profile;
        }
        assert_eq!(daemon.post_admin("/destination", &destination).status, 200);
    }
    let profile = send(&daemon, "s", "e1", "seen", json!({}));
    let item = |name: &str| -> Value {
        let path = folder.path().join("deliveries").join(name);
        let text = wait_for("a line", || std::fs::read_to_string(&path).ok().filter(|text| text.ends_with('\n')));
        serde_json::from_str(&text).unwrap()
    };
    let names = |item: &Value| item.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&item("plain.ndjson")), ["event", "offset", "type"]);
    let with = item("with.ndjson");
    assert_eq!(names(&with), ["event", "offset", "profile", "type"]);
    assert_eq!(with["profile"]["id"], json!(profile));
    assert_eq!(with["profile"], { daemon.record(&format!("/profile/{profile}")) });
}

#[test]
fn a_consent_that_was_withdrawn_counts_for_what_was_before() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = setup(folder.path()).start();
    daemon.shop();
    daemon.source(&json!({"id": "strict", "name": "Strict", "type": ["rest"], "requires_consent": true}));
    let configuration = json!({
        "consent": [
            {"id": "tracking", "required": true},
            {"id": "calls", "fields": [{"path": "event.properties.phone", "do": "hash"}, {"path": "event.properties.nick", "do": "remove"}]}
        ],
        "destination": [
            {"id": "all", "events": ["order"], "file": "all.ndjson", "enabled": false},
            {"id": "mail", "events": ["order"], "if": "profile.consents.mail == true", "file": "mail.ndjson", "enabled": false},
            {"id": "people", "profiles": true, "file": "people.ndjson", "enabled": false}
        ],
    });
    let response = daemon.post_admin("/configuration", &configuration);
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(
        daemon.post_admin("/destination", &json!({"id": "notes", "profiles": true, "file": "notes"})).status,
        200
    );
    let send = |source: &str, session: &str, id: &str, kind: &str, properties: Value| {
        daemon.tracked(&json!({
            "source": {"id": source}, "session": {"id": session},
            "events": [{"id": id, "type": kind, "properties": properties}]
        }))["profile"]["id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let consents = |consents: Value| json!({"consents": consents});
    let all = json!({"tracking": true, "calls": true, "mail": true});
    let order = json!({"phone": "+48501502503", "nick": "needle", "value": 3});
    for person in ["stays", "leaves", "hangs up", "unsubscribes"] {
        send("strict", person, &format!("consent of {person}"), "consent-update", consents(all.clone()));
        send("strict", person, &format!("strict {person}"), "order", order.clone());
        send("shop", person, &format!("shop {person}"), "order", order.clone());
    }
    let leaver = send("strict", "leaves", "no 1", "consent-update", consents(json!({"tracking": false})));
    send("strict", "hangs up", "no 2", "consent-update", consents(json!({"calls": false})));
    let unsubscriber = send("strict", "unsubscribes", "no 3", "consent-update", consents(json!({"mail": "denied"})));
    for destination in configuration["destination"].as_array().unwrap() {
        let mut destination = destination.clone();
        destination["enabled"] = json!(true);
        assert_eq!(daemon.post_admin("/destination", &destination).status, 200);
    }
    let items = |id: &str| -> Vec<Value> {
        wait_for("all", || (daemon.record(&format!("/destination/{id}/status"))["lag"] == 0).then_some(()));
        let text = std::fs::read_to_string(folder.path().join("deliveries").join(format!("{id}.ndjson"))).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let all = items("all");
    let ids: Vec<_> = all.iter().map(|item| item["event"]["id"].as_str().unwrap()).collect();
    // A source that does not require consent goes on without it.
    assert_eq!(
        ids,
        [
            "strict stays",
            "shop stays",
            "shop leaves",
            "strict hangs up",
            "shop hangs up",
            "strict unsubscribes",
            "shop unsubscribes"
        ]
    );
    for item in &all {
        let (id, properties) = (item["event"]["id"].as_str().unwrap(), &item["event"]["properties"]);
        if id.ends_with("hangs up") {
            assert_eq!(properties["phone"].as_str().map(str::len), Some(64), "{item}");
            assert!(!item.to_string().contains("+48501502503") && !item.to_string().contains("needle"), "{item}");
        } else {
            assert_eq!(*properties, order, "{item}");
        }
    }
    let mail = items("mail");
    let ids: Vec<_> = mail.iter().map(|item| item["event"]["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["strict stays", "shop stays", "shop leaves", "strict hangs up", "shop hangs up"]);
    let people = items("people");
    let of = |id: &str| people.iter().filter(|item| item["profile"]["id"] == id).collect::<Vec<_>>();
    let left = of(&leaver);
    assert_eq!(left.len(), 1, "that consent was withdrawn is told, and nothing before it: {left:?}");
    assert_eq!(left[0]["changed"][0], json!({"path": "consents.tracking", "old": true, "new": false}));
    for item in of(&unsubscriber) {
        assert_eq!(item["profile"]["consents"]["mail"], "denied", "{item}");
    }
}
