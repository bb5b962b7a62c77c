//! The rights of a person (docs/contract.md, section 16): to be told everything, to be erased, to be forgotten.

mod support;

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use serde_json::{Value, json};
use support::{
    Daemon, Setup,
    daemon::{TOKEN, wait_for},
    external::External,
    power_cut::PowerCut,
    residue::{self, Needle},
};
use tracardi::{
    model::{KnownBy, Value as Plain},
    process::{Identity, IdentitySettings},
};

const MAIL: &str = "needle.mail@example.com";
/// An id that a client goes on sending.
const CLIENT_ID: &str = "0199aaaa-bbbb-4ccc-8ddd-eeeeffff0001";

fn setup(folder: &Path) -> Setup {
    Setup::new(folder)
        .set("storage.segment_bytes", 65_536)
        .set("storage.erase_within", "1s")
        .set("server.trusted_proxies", "127.0.0.1")
        .set("track.ip", "full")
        .set("lookup.allowed_hosts", "127.0.0.1")
}

fn configure(daemon: &Daemon) {
    daemon.shop();
    daemon.source(&json!({"id": "kiosk", "name": "Kiosk", "type": "rest", "permanent_profile_id": true}));
    // Nobody listens there: what is not delivered yet waits in the log.
    let configuration = json!({
        "event_type": [{"id": "plant", "map": [{"from": "event.properties.nick", "to": "profile.traits.nick"}]}],
        "workflow": [{"id": "plan", "on": ["plant"], "step": [
            {"set": {"session.traits.seen": "{{ event.properties.seen }}"}},
            {"emit": {"type": "later", "properties": {"note": "{{ event.properties.note }}"}, "delay": "1h"}}
        ]}],
        "destination": [{"id": "crm", "events": ["*"], "profiles": true, "webhook": {"url": "http://127.0.0.1:9/"}}],
    });
    let response = daemon.post_admin("/configuration", &configuration);
    assert_eq!(response.status, 200, "{}", response.text());
}

/// Sends a payload as the person's browser does; the answer's profile.
fn send(daemon: &Daemon, path: &str, body: &Value) -> Value {
    let headers = [
        ("Content-Type", "application/json"),
        ("Authorization", &*format!("Bearer {TOKEN}")),
        ("X-Forwarded-For", "203.0.113.77"),
        ("User-Agent", "NeedleBrowser/77.1"),
        ("Referer", "https://needle-referer.example/page"),
        ("Accept-Language", "xx-needle"),
    ];
    let response = daemon.request("POST", path, &headers, body.to_string().as_bytes());
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()["profile"].clone()
}

fn payload(source: &str, session: &str, events: Value) -> Value {
    json!({"source": {"id": source}, "session": {"id": session}, "options": {"profile": true}, "events": events})
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value}")).to_owned()
}

/// Plants a person's values wherever something of a person can stand; all of them.
fn plant(daemon: &Daemon, folder: &Path) -> (Vec<String>, Vec<Needle>) {
    let mut first = payload(
        "shop",
        "needle-session-1",
        json!([
            {"id": "needle-event-1", "type": "plant", "tags": ["needle-tag"], "context": {"own": "needle-event-context"},
             "properties": {"nick": "needle-nick", "seen": "needle-seen", "note": "needle-note", "any": "needle-property"}},
            {"type": "sign-up", "properties": {"email": {"main": MAIL}, "firstname": "needle-firstname"}},
            {"type": "profile-update", "properties": {"pii": {"lastname": "needle-lastname"}}},
        ]),
    );
    first["context"] = json!({"where": "needle-payload-context"});
    first["properties"] = json!({"what": "needle-session-property"});
    first["device"] = json!({"id": "needle-device"});
    first["profile"] = json!({"id": CLIENT_ID});
    let person = text(&send(daemon, "/track", &first)["id"]);
    // Another device, which turns out to be the same person's.
    let second = payload("shop", "needle-session-2", json!([{"id": "needle-event-2", "type": "page-view"}]));
    let name = text(&send(daemon, "/track", &second)["id"]);
    send(
        daemon,
        "/track",
        &payload("shop", "needle-session-2", json!([{"type": "sign-in", "properties": {"email": {"main": MAIL}}}])),
    );
    // A session that ended before, and an event of nobody in one of theirs.
    send(
        daemon,
        "/track",
        &payload("shop", "needle-session-3", json!([{"type": "sign-in", "properties": {"email": {"main": MAIL}}}])),
    );
    assert_eq!(daemon.admin("DELETE", "/session/needle-session-3").status, 200);
    let nobody = payload(
        "shop",
        "needle-session-1",
        json!([{"id": "needle-event-3", "type": "x", "properties": {"a": "needle-profile-less"}}]),
    );
    send(daemon, "/track?profile_less=true", &nobody);
    // A kiosk, where somebody else comes behind them.
    let mut kiosk = payload(
        "kiosk",
        "shared-session",
        json!([
            {"id": "needle-event-4", "type": "x", "properties": {"a": "needle-kiosk-property"}},
            {"type": "sign-in", "properties": {"email": {"main": MAIL}}},
        ]),
    );
    kiosk["profile"] = json!({"id": "needle-kiosk-id"});
    kiosk["context"] = json!({"where": "needle-kiosk-context"});
    assert_eq!(send(daemon, "/track", &kiosk)["id"], json!(person));
    daemon.tracked(&json!({
        "source": {"id": "kiosk"}, "session": {"id": "shared-session"}, "profile": {"id": "other-person"},
        "context": {"other": "kept-context"},
        "events": [{"id": "other-event", "type": "x", "properties": {"a": "kept-property"}}]
    }));
    let key = fs::read_to_string(folder.join("identity.key")).unwrap();
    let digits = &key.trim().strip_prefix("tracardi_identity_").unwrap()[..64];
    let key =
        Identity::new(digits, &IdentitySettings::default()).key(KnownBy::Email, &Plain::text(MAIL), None).unwrap();
    let ids = vec![person, name, CLIENT_ID.to_owned(), "needle-kiosk-id".to_owned()];
    let texts = [
        MAIL,
        "203.0.113.77",
        "NeedleBrowser",
        "needle-referer",
        "xx-needle",
        "needle-session-1",
        "needle-session-2",
        "needle-session-3",
        "needle-event-1",
        "needle-event-2",
        "needle-event-3",
        "needle-event-4",
        "needle-tag",
        "needle-event-context",
        "needle-nick",
        "needle-seen",
        "needle-note",
        "needle-property",
        "needle-firstname",
        "needle-lastname",
        "needle-payload-context",
        "needle-session-property",
        "needle-device",
        "needle-profile-less",
        "needle-kiosk-property",
        "needle-kiosk-context",
    ];
    let mut needles: Vec<Needle> =
        texts.into_iter().chain(ids.iter().map(String::as_str)).flat_map(residue::needles).collect();
    needles.push(("the key of the address".into(), key.0.to_vec()));
    (ids, needles)
}

/// Events of others, so many that segments are sealed.
fn crowd(daemon: &Daemon, round: usize, count: usize) {
    let mut kept = daemon.kept().unwrap();
    for number in 0..count {
        let noise: String = (0..80).map(|place| format!("{:x}", number * 7_919 + place * place * 104_729)).collect();
        let body = payload(
            "shop",
            &format!("crowd-{}", number % 20),
            json!([
                {"id": format!("crowd-{round}-{number}"), "type": "page-view", "properties": {"text": noise}}
            ]),
        );
        assert_eq!(kept.post("/track", &body.to_string()).unwrap().status, 200);
    }
}

/// What a needle's absence would not show: each of them is found as long as nobody was erased.
fn assert_all_planted(folder: &Path, needles: &[Needle]) {
    let found = residue::find(folder, needles);
    let missing: Vec<&str> = needles
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| !name.ends_with("0001") && !found.iter().any(|place| place.starts_with(&format!("{name}:"))))
        .filter(|name| !(name.len() == 36 && uuid::Uuid::try_parse(name).is_ok())) // kept as bytes
        .collect();
    assert!(missing.is_empty(), "not planted: {missing:?}");
}

fn assert_nothing_left(folder: &Path, needles: &[Needle]) {
    let found = residue::find(folder, needles);
    assert!(found.is_empty(), "still on the disk:\n{}", found.join("\n"));
}

fn erase(daemon: &Daemon, id: &str) -> Value {
    let response = daemon.admin("DELETE", &format!("/profile/{id}?events=true"));
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()
}

fn wait_done(daemon: &Daemon, erasure: &Value) -> Value {
    let path = format!("/erasure/{}", text(erasure));
    wait_for("the erasure", || Some(daemon.record(&path)).filter(|erasure| erasure["done"] == true))
}

fn total(daemon: &Daemon) -> u64 {
    let counted = daemon.record("/stats/events?by=source");
    counted["result"].as_array().unwrap().iter().map(|row| row["events"].as_u64().unwrap()).sum()
}

/// Every record that there is.
fn everything(daemon: &Daemon) -> Vec<Vec<u8>> {
    let token = format!("Bearer {TOKEN}");
    let all =
        |what: &str| daemon.request("GET", &format!("/{what}?format=ndjson"), &[("Authorization", &token)], b"").body;
    ["events", "sessions", "profiles"].map(all).into()
}

/// Nobody is told anything of them, and everybody else is there.
fn assert_gone(daemon: &Daemon, ids: &[String]) {
    for id in ids {
        assert_eq!(daemon.admin("GET", &format!("/profile/{id}")).status, 404, "{id}");
        assert_eq!(daemon.record(&format!("/profile/{id}/events"))["result"], json!([]));
        assert_eq!(daemon.record(&format!("/profile/{id}/sessions"))["result"], json!([]));
        assert_eq!(daemon.admin("GET", &format!("/profile/{id}/export")).status, 404);
    }
    for session in ["needle-session-1", "needle-session-2", "needle-session-3"] {
        assert_eq!(daemon.admin("GET", &format!("/session/{session}")).status, 404);
        assert_eq!(daemon.record(&format!("/session/{session}/events"))["result"], json!([]));
    }
    for event in ["needle-event-1", "needle-event-2", "needle-event-3", "needle-event-4"] {
        assert_eq!(daemon.admin("GET", &format!("/event/{event}")).status, 404, "{event}");
    }
    assert_eq!(daemon.record(&format!("/profiles?email={MAIL}"))["result"], json!([]));
    let all = daemon.request("GET", "/events?format=ndjson", &[("Authorization", &format!("Bearer {TOKEN}"))], b"");
    assert!(!String::from_utf8_lossy(&all.body).contains("needle"));
    assert_eq!(daemon.record("/event/other-event")["event"]["properties"], json!({"a": "kept-property"}));
    let shared = daemon.record("/session/shared-session");
    assert_eq!(shared["profile"]["id"], "other-person");
    assert!(!shared.to_string().contains("needle"), "{shared}");
    assert_eq!(daemon.record("/session/shared-session/events")["result"].as_array().unwrap().len(), 1);
}

/// The person's client sends once more what it sent before.
fn assert_repeat(daemon: &Daemon) {
    for event in ["needle-event-1", "needle-event-2"] {
        let answer = daemon.tracked(&payload("shop", "retry", json!([{"id": event, "type": "plant"}])));
        assert_eq!(answer["warnings"][0], format!("Event {event} was already registered."));
    }
    assert_eq!(daemon.admin("GET", "/session/retry").status, 404, "a repeat changes nothing");
}

#[test]
fn nothing_of_who_is_erased_is_left_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let setup = setup(folder.path());
    let daemon = setup.start();
    configure(&daemon);
    crowd(&daemon, 0, 150);
    let (ids, needles) = plant(&daemon, folder.path());
    crowd(&daemon, 1, 300);
    let setup = daemon.stop();
    assert_all_planted(folder.path(), &needles);
    let daemon = setup.start();
    let page = daemon.record("/events?order=oldest&limit=140");
    let before = total(&daemon);

    let export: Value = daemon.record(&format!("/profile/{}/export", ids[1]));
    assert_eq!(export["profile"]["id"], ids[0]);
    assert_eq!(export["ids"].as_array().unwrap().len(), 4);
    assert_eq!(export["keys"].as_array().unwrap().len(), 1);
    assert_eq!(export["sessions"].as_array().unwrap().len(), 2, "{export}");
    assert_eq!(export["events"].as_array().unwrap().len(), 8);
    assert_eq!(export["delayed"][0]["properties"], json!({"note": "needle-note"}));

    let erased = erase(&daemon, &ids[3]);
    assert_eq!(erased["erased"], json!({"events": 9, "sessions": 2, "profiles": 1}));
    assert_gone(&daemon, &ids);
    assert_repeat(&daemon);
    assert_eq!(total(&daemon), before - 9);
    assert_eq!(daemon.admin("DELETE", &format!("/profile/{}?events=true", ids[0])).status, 404);

    // Others come while it goes from the disk.
    let done = AtomicBool::new(false);
    let erasure = std::thread::scope(|scope| {
        let crowd = scope.spawn(|| {
            for round in 2.. {
                crowd(&daemon, round, 50);
                if done.load(Ordering::Relaxed) {
                    return round;
                }
            }
            unreachable!()
        });
        let erasure = wait_done(&daemon, &erased["erasure"]);
        done.store(true, Ordering::Relaxed);
        assert!(crowd.join().unwrap() > 2);
        erasure
    });
    assert_eq!(erasure["erased"], erased["erased"]);
    assert_eq!(erasure["left"], json!([{"kind": "untold", "destination": "crm"}]));
    assert!(erasure["time"]["done"].as_str() > erasure["time"]["asked"].as_str());
    assert_eq!(daemon.record("/system")["store"]["erasures"], json!({"pending": 0, "lag_seconds": 0, "left": 1}));
    assert_gone(&daemon, &ids);
    assert_repeat(&daemon);
    let (after, everything) = (total(&daemon), everything(&daemon));
    let next = daemon.record(&format!("/events?order=oldest&limit=1000&cursor={}", text(&page["cursor"])));
    assert!(next["result"].as_array().unwrap().iter().any(|event| event["id"] == "crowd-1-299"), "over the holes");

    let mut daemon = daemon;
    daemon.kill();
    assert_nothing_left(folder.path(), &needles);
    let daemon = setup.start();
    assert_gone(&daemon, &ids);
    assert!(total(&daemon) == after && self::everything(&daemon) == everything);
    let setup = daemon.stop();
    let checked = setup.command(&["check"]).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    assert!(setup.command(&["rebuild"]).status().unwrap().success());
    assert_nothing_left(folder.path(), &needles);
    let daemon = setup.start();
    assert_gone(&daemon, &ids);
    assert_repeat(&daemon);
    assert!(self::everything(&daemon) == everything, "the log says what the views said");

    // Their ids start afresh, and one that a client goes on sending is remembered as nobody's name.
    let mut again = payload("shop", "again", json!([{"id": "new-event", "type": "x"}]));
    again["profile"] = json!({"id": CLIENT_ID});
    let fresh = daemon.tracked(&again)["profile"]["id"].clone();
    let profile = daemon.record(&format!("/profile/{}", text(&fresh)));
    assert_eq!(profile["ids"], json!([fresh]));
    let mut kiosk = payload("kiosk", "again-at-kiosk", json!([{"type": "x"}]));
    kiosk["profile"] = json!({"id": "needle-kiosk-id"});
    daemon.tracked(&kiosk);
    assert_eq!(daemon.record("/profile/needle-kiosk-id")["stats"]["visits"], 1);
    assert_eq!(daemon.record("/profile/needle-kiosk-id/events")["result"].as_array().unwrap().len(), 1);
}

#[test]
fn an_erasure_that_is_killed_is_done_again_and_several_are_done_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let setup = setup(folder.path());
    let mut daemon = setup.start();
    configure(&daemon);
    let (ids, mut needles) = plant(&daemon, folder.path());
    crowd(&daemon, 0, 200);
    let mut erasures = Vec::new();
    for number in 0..5 {
        let mut body = payload(
            "kiosk",
            &format!("straw-session-{number}"),
            json!([
                {"id": format!("straw-event-{number}"), "type": "plant", "properties": {"nick": format!("straw-nick-{number}")}}
            ]),
        );
        body["profile"] = json!({"id": format!("straw-{number}")});
        daemon.tracked(&body);
        crowd(&daemon, 1 + number, 60);
        for text in ["straw-session", "straw-event", "straw-nick", "straw"] {
            needles.extend(residue::needles(&format!("{text}-{number}")));
        }
    }
    erasures.push(erase(&daemon, &ids[0])["erasure"].clone());
    for number in 0..5 {
        erasures.push(erase(&daemon, &format!("straw-{number}"))["erasure"].clone());
    }
    for round in 0..6 {
        wait_for("the work to begin", || {
            let said = daemon.stderr();
            let is_over = said.contains("is on the disk any more");
            let rewritten = said.matches("written anew").count();
            (is_over || said.contains("erasing from the disk") && rewritten >= round % 3).then_some(())
        });
        daemon.kill();
        daemon = setup.start();
        assert_gone(&daemon, &ids);
        if erasures.iter().all(|erasure| daemon.record(&format!("/erasure/{}", text(erasure)))["done"] == true) {
            break;
        }
    }
    erasures.iter().for_each(|erasure| _ = wait_done(&daemon, erasure));
    assert_gone(&daemon, &ids);
    assert_repeat(&daemon);
    let setup = daemon.stop();
    assert_nothing_left(folder.path(), &needles);
    assert!(setup.command(&["check"]).status().unwrap().success());
    let daemon = setup.start();
    assert_eq!(daemon.record("/event/crowd-5-59")["event"]["type"], "page-view");
    assert_gone(&daemon, &ids);
}

#[test]
fn what_was_found_of_a_person_goes_too_where_the_work_ends_right_before() {
    let (folder, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let power = PowerCut::new(&folder.path().join("data"), scratch.path());
    let daemon = power.environment().into_iter().fold(setup(&power.root), |it, (name, value)| it.set(&name, value));
    let daemon = daemon.start();
    configure(&daemon);
    let (ids, needles) = plant(&daemon, &power.root);
    power.fail(&["unlink:EIO:erasing"]);
    let erasure = erase(&daemon, &ids[0])["erasure"].clone();
    // All of them are named nowhere any more, and the file says what was found.
    wait_for("a fault at the end", || daemon.stderr().contains("it is tried again").then_some(()));
    assert!(power.root.join("erasing").exists());
    power.heal();
    wait_done(&daemon, &erasure);
    daemon.stop();
    assert_nothing_left(&power.root, &needles);
}

#[test]
fn who_is_forgotten_still_counts_and_nobody_knows_who_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let setup = setup(folder.path());
    let daemon = setup.start();
    configure(&daemon);
    let (ids, needles) = plant(&daemon, folder.path());
    crowd(&daemon, 0, 200);
    let (before, events) = (total(&daemon), daemon.record(&format!("/profile/{}/events", ids[0]))["result"].clone());
    let response = daemon.post_admin(&format!("/profile/{}/forget", ids[1]), &json!({}));
    assert_eq!(response.status, 200, "{}", response.text());
    let forgotten = response.json();
    assert_eq!(forgotten["forgotten"]["profiles"], 1);
    let check = |daemon: &Daemon| {
        let profile = daemon.record(&format!("/profile/{}", ids[0]));
        assert_eq!((&profile["ids"], &profile["traits"], &profile["data"]), (&json!([ids[0]]), &json!({}), &json!({})));
        assert_eq!(profile["stats"]["visits"], 4, "{profile}");
        assert_eq!(daemon.admin("GET", &format!("/profile/{}", ids[1])).status, 404);
        assert_eq!(daemon.record(&format!("/profiles?email={MAIL}"))["result"], json!([]));
        assert_eq!(total(daemon), before);
        let left = daemon.record(&format!("/profile/{}/events", ids[0]));
        let types = |events: &Value| -> Vec<String> {
            events.as_array().unwrap().iter().map(|event| text(&event["type"])).collect()
        };
        assert_eq!(types(&left["result"]), types(&events));
        for event in left["result"].as_array().unwrap() {
            assert_eq!((&event["properties"], &event["request"]), (&json!({}), &json!({})), "{event}");
            assert_eq!(event["profile"]["id"], json!(ids[0]));
        }
        let nobodys = daemon.record("/event/needle-event-3")["event"].clone();
        assert_eq!((&nobodys["properties"], &nobodys["request"]), (&json!({}), &json!({})), "it was in their session");
        let session = daemon.record("/session/needle-session-1");
        assert_eq!((&session["context"], &session["properties"]), (&json!({}), &json!({})));
        assert_eq!(daemon.record("/event/other-event")["event"]["properties"], json!({"a": "kept-property"}));
    };
    check(&daemon);
    let erasure = wait_done(&daemon, &forgotten["erasure"]);
    assert_eq!((&erasure["kind"], &erasure["left"]), (&json!("forget"), &json!([])));
    check(&daemon);
    let setup = daemon.stop();
    // What it counts by stays: its own id, its sessions and events by their ids, and tags.
    let stays = [
        "needle-session-",
        "needle-event-1",
        "needle-event-2",
        "needle-event-3",
        "needle-event-4",
        "needle-tag",
        &ids[0],
    ];
    let goes =
        |(name, _): &Needle| !stays.iter().any(|stays| name.starts_with(stays) && name != "needle-session-property");
    let goes: Vec<Needle> = needles.into_iter().filter(goes).collect();
    assert!(goes.len() > 20);
    assert_nothing_left(folder.path(), &goes);
    assert!(setup.command(&["check"]).status().unwrap().success());
    assert!(setup.command(&["rebuild"]).status().unwrap().success());
    check(&setup.start());
}

#[test]
fn nothing_of_who_was_split_off_is_left_with_whom_they_were_one() {
    let folder = tempfile::tempdir().unwrap();
    let setup = setup(folder.path());
    let daemon = setup.start();
    configure(&daemon);
    let sign_in = |session: &str, mail: &str, name: &str| {
        let body = payload(
            "shop",
            session,
            json!([
                {"type": "plant", "properties": {"nick": format!("nick-of-{session}")}},
                {"type": "sign-in", "properties": {"email": {"main": mail}, "firstname": name}},
                {"type": "profile-update", "properties": {"pii": {"firstname": name}}}
            ]),
        );
        text(&daemon.tracked_by_admin(&body)["profile"]["id"])
    };
    let ada = sign_in("one", "ada@example.com", "Adaname");
    let eve = sign_in("two", "eve@example.com", "Evename");
    // A slip at a till, which is put right; they both were in each other's state meanwhile.
    let slip = json!([{"type": "sign-in", "properties": {"email": {"main": "ada@example.com"}}}]);
    assert_eq!(send(&daemon, "/track", &payload("shop", "two", slip))["id"], json!(ada));
    send(&daemon, "/track", &payload("shop", "one", json!([{"type": "page-view"}])));
    let split = daemon.post_admin(&format!("/profile/{ada}/split"), &json!({}));
    assert_eq!(split.status, 200, "{}", split.text());
    let kept = daemon.record(&format!("/profile/{ada}"));
    crowd(&daemon, 0, 100);
    let mut needles = residue::needles(&eve);
    ["nick-of-two", "eve@example.com", "Evename"].iter().for_each(|text| needles.extend(residue::needles(text)));
    let erased = erase(&daemon, &eve);
    wait_done(&daemon, &erased["erasure"]);
    assert_eq!(daemon.record(&format!("/profile/{ada}")), kept);
    let setup = daemon.stop();
    let found = residue::find(folder.path(), &needles);
    assert!(found.is_empty(), "still on the disk:\n{}", found.join("\n"));
    assert!(setup.command(&["check"]).status().unwrap().success());
    assert!(setup.command(&["rebuild"]).status().unwrap().success());
    assert_eq!(setup.start().record(&format!("/profile/{ada}")), kept);
}

#[test]
fn somebody_in_an_older_store_is_erased_and_others_are_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut tar = std::process::Command::new("tar");
    tar.arg("-xzf").arg(data.join("format-3.tar.gz")).arg("-C").arg(folder.path());
    assert!(tar.status().unwrap().success());
    let answered: Value = serde_json::from_slice(&fs::read(data.join("format-3.json")).unwrap()).unwrap();
    let path = folder.path().join("format-3");
    let setup = setup(&path);
    let daemon = setup.start();
    let (ada, bob) = (text(&answered["ada"]["id"]), text(&answered["bob"]["id"]));
    let needles: Vec<Needle> =
        answered["ada"]["ids"].as_array().unwrap().iter().flat_map(|id| residue::needles(&text(id))).collect();
    let kept = daemon.record(&format!("/profile/{bob}"));
    let erased = erase(&daemon, &ada);
    wait_done(&daemon, &erased["erasure"]);
    let everything = everything(&daemon);
    assert_eq!(daemon.record(&format!("/profile/{bob}")), kept);
    assert_eq!(daemon.admin("GET", &format!("/profile/{ada}")).status, 404);
    let setup = daemon.stop();
    assert_nothing_left(&path, &needles);
    assert!(setup.command(&["check"]).status().unwrap().success());
    assert!(setup.command(&["rebuild"]).status().unwrap().success());
    let daemon = setup.start();
    assert_eq!(daemon.record(&format!("/profile/{bob}")), kept);
    assert!(self::everything(&daemon) == everything);
}

#[test]
fn destinations_are_told_and_what_is_left_is_listed() {
    let external = External::start(|_| (200, "{}".into()));
    let folder = tempfile::tempdir().unwrap();
    let noted = folder.path().join("erasures.ndjson");
    let setup = setup(&folder.path().join("data")).set("storage.erasures_file", noted.display());
    let daemon = setup.start();
    daemon.shop();
    let url = format!("http://{}/", external.address);
    let configuration = json!({
        "workflow": [{"id": "greet", "on": ["hello"], "if": "event.properties.mail == 'ada@example.com'", "step": [
            {"interest": {"greeted": 1}}
        ]}],
        "destination": [
            {"id": "crm", "events": ["hello"], "webhook": {"url": url}},
            {"id": "other", "events": ["never"], "webhook": {"url": url}},
            {"id": "archive", "events": ["*"], "file": "archive.ndjson"},
        ],
    });
    let response = daemon.post_admin("/configuration", &configuration);
    assert_eq!(response.status, 200, "{}", response.text());
    let answer = daemon.tracked(&payload(
        "shop",
        "s",
        json!([
            {"type": "hello"}, {"type": "sign-up", "properties": {"email": {"main": "ada@example.com"}}}
        ]),
    ));
    let id = text(&answer["profile"]["id"]);
    // The profile goes first, as it could before there were erasures: its events carry its id still.
    assert_eq!(daemon.admin("DELETE", &format!("/profile/{id}")).json(), json!(true));
    let erased = erase(&daemon, &id);
    assert_eq!(erased["erased"], json!({"events": 2, "sessions": 1, "profiles": 0}));
    let erasure = wait_done(&daemon, &erased["erasure"]);
    assert_eq!(erasure["left"], json!([{"kind": "file", "destination": "archive", "file": "archive.ndjson"}]));
    let items = || -> Vec<Value> {
        let bodies = external.asked().into_iter().map(|asked| serde_json::from_str::<Vec<Value>>(&asked.body).unwrap());
        bodies.flatten().collect()
    };
    let told: Vec<Value> = items().into_iter().filter(|item| item["type"] == "profile-deleted").collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["profile"], json!({"id": id, "ids": [id], "total": 1}));
    let lines = fs::read_to_string(&noted).unwrap();
    let line: Value = serde_json::from_str(lines.trim()).unwrap();
    assert_eq!((&line["erasure"], &line["kind"]), (&erased["erasure"], &json!("erase")));
    assert_eq!((line["profiles"].as_array().unwrap().len(), line["sessions"].as_array().unwrap().len()), (1, 1));
    assert!(!lines.contains(&id) && text(&line["profiles"][0]).len() == 32);

    // Somebody who is there, whose address stands in what is set up.
    let answer = daemon.tracked(&payload(
        "shop",
        "t",
        json!([{"type": "sign-up", "properties": {"email": {"main": "ada@example.com"}}}]),
    ));
    let erased = erase(&daemon, &text(&answer["profile"]["id"]));
    let erasure = wait_done(&daemon, &erased["erasure"]);
    assert!(erasure["left"].as_array().unwrap().contains(&json!({"kind": "workflow", "id": "greet"})), "{erasure}");
    // Nothing is done of what cannot be noted, and nobody else's id is an erasure's.
    let setup = daemon.stop().set("storage.erasures_file", folder.path().display());
    let daemon = setup.start();
    let answer = daemon.tracked(&payload("shop", "u", json!([{"type": "x"}])));
    let id = text(&answer["profile"]["id"]);
    assert_eq!(daemon.admin("DELETE", &format!("/profile/{id}?events=true")).status, 503);
    assert_eq!(daemon.admin("GET", &format!("/profile/{id}")).status, 200);
    assert_eq!(daemon.admin("DELETE", &format!("/profile/{id}?events=perhaps")).loc(), json!(["query", "events"]));
    assert_eq!(daemon.admin("DELETE", "/profile/nobody?events=true").status, 404);
    assert_eq!(daemon.admin("GET", "/erasure/nobody").status, 404);
    assert_eq!(daemon.post_admin("/profile/nobody/forget", &json!({})).status, 404);
    assert_eq!(daemon.get(&format!("/profile/{id}/export")).status, 401);
}

/// Sends lines to be imported; how many of each kind came in.
fn import(daemon: &Daemon, kind: &str, lines: &[Value]) -> Value {
    let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let headers = [("Authorization", &*format!("Bearer {TOKEN}")), ("Content-Type", "application/x-ndjson")];
    let response = daemon.request("POST", &format!("/import?what={kind}"), &headers, body.as_bytes());
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()
}

#[test]
fn who_was_imported_is_forgotten_and_erased_like_everybody_else() {
    let folder = tempfile::tempdir().unwrap();
    let setup = setup(folder.path());
    let daemon = setup.start();
    daemon.shop();
    let time = json!({"insert": "2024-05-01T10:00:00Z"});
    let of_person = |name: &str| {
        let id = |what: &str| format!("needle-{name}-{what}");
        [
            json!({"id": id("person"), "metadata": {"time": time}, "traits": {"nick": id("nick")},
                "data": {"contact": {"email": {"main": format!("{name}@needle.example")}}}}),
            json!({"id": id("session"), "profile": {"id": id("person")}, "metadata": {"time": time},
                "context": {"where": id("session-context")}, "device": {"name": id("device")}}),
            json!({"id": id("event"), "type": "seen", "source": {"id": "shop"}, "session": {"id": id("session")},
                "profile": {"id": id("person")}, "metadata": {"time": time}, "properties": {"a": id("property")},
                "hit": {"name": id("hit")}}),
        ]
    };
    let (ada, bob, eve) = (of_person("ada"), of_person("bob"), of_person("eve"));
    for (kind, lines) in ["profiles", "sessions", "events"].iter().zip(0..) {
        let lines = [&ada, &bob, &eve].map(|person| person[lines].clone());
        assert_eq!(import(&daemon, kind, &lines)["imported"][kind], 3, "{kind}");
    }
    crowd(&daemon, 0, 150);
    let setup = daemon.stop();
    let needles = |name: &str, parts: &[&str]| -> Vec<Needle> {
        parts.iter().flat_map(|part| residue::needles(&format!("needle-{name}-{part}"))).collect()
    };
    let parts = ["nick", "session-context", "device", "property", "hit"];
    let ids = ["person", "session", "event"];
    let of_ada = [needles("ada", &parts), needles("ada", &ids), residue::needles("ada@needle.example")].concat();
    let of_bob = [needles("bob", &parts), residue::needles("bob@needle.example")].concat();
    assert_all_planted(folder.path(), &[&of_ada[..], &of_bob].concat());

    let daemon = setup.start();
    let erased = erase(&daemon, "needle-ada-person");
    assert_eq!(erased["erased"], json!({"events": 1, "sessions": 1, "profiles": 1}));
    let forgotten = daemon.post_admin("/profile/needle-bob-person/forget", &json!({}));
    assert_eq!(forgotten.status, 200, "{}", forgotten.text());
    let check = |daemon: &Daemon| {
        for path in ["/profile/needle-ada-person", "/session/needle-ada-session", "/event/needle-ada-event"] {
            assert_eq!(daemon.admin("GET", path).status, 404, "{path}");
        }
        let bobs = daemon.record("/profile/needle-bob-person/events")["result"].clone();
        assert_eq!((bobs.as_array().unwrap().len(), &bobs[0]["properties"]), (1, &json!({})));
        assert_eq!(
            (&bobs[0]["metadata"]["imported"], &bobs[0]["metadata"]["time"]["insert"]),
            (&json!(true), &json!("2024-05-01T10:00:00.000000Z"))
        );
        let eves = daemon.record("/event/needle-eve-event")["event"].clone();
        assert_eq!(
            (&eves["properties"], &eves["hit"]["name"]),
            (&json!({"a": "needle-eve-property"}), &json!("needle-eve-hit"))
        );
        assert_eq!(daemon.record("/session/needle-eve-session")["device"]["name"], "needle-eve-device");
    };
    check(&daemon);
    wait_done(&daemon, &erased["erasure"]);
    wait_done(&daemon, &forgotten.json()["erasure"]);
    check(&daemon);
    // What comes once more from the same file is a repeat, but for who is nobody any more.
    let again = import(&daemon, "events", &[ada[2].clone(), eve[2].clone()]);
    assert_eq!((&again["imported"]["events"], &again["skipped"]["events"]), (&json!(0), &json!(2)), "{again}");
    let setup = daemon.stop();
    assert_nothing_left(folder.path(), &[&of_ada[..], &of_bob].concat());
    assert!(setup.command(&["check"]).status().unwrap().success());
    assert!(setup.command(&["rebuild"]).status().unwrap().success());
    check(&setup.start());
}
