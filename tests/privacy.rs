//! What strangers are told of people: of those who are known, and of what external systems said, no more than an id.

mod support;

use serde_json::{Value, json};
use support::{Daemon, Setup, daemon::started, external::External};

const ADDRESS: &str = "ada@example.com";

fn sign_in(session: &str, options: &Value) -> Value {
    json!({
        "source": {"id": "shop"}, "session": {"id": session}, "options": options,
        "events": [{"type": "sign-in", "properties": {"email": {"main": ADDRESS}}}]
    })
}

/// Ada, of whom much is known; her profile's id.
fn ada(daemon: &Daemon) -> Value {
    let events = json!([
        {"id": "ada-1", "type": "sign-up", "properties": {"email": {"main": ADDRESS}, "firstname": "Ada"}},
        {"type": "identification", "properties": {"phone": {"main": "+41791234567"}}},
    ]);
    let payload = json!({"source": {"id": "shop"}, "session": {"id": "hers"}, "events": events});
    daemon.tracked(&payload)["profile"]["id"].clone()
}

/// That an answer tells of Ada nothing but her id, and says so.
fn assert_keeps_silent(answer: &Value, ada: &Value) {
    assert_eq!(answer["profile"], json!({"id": ada}), "{answer}");
    assert!(answer["warnings"].to_string().contains("known"), "{answer}");
    let text = answer.to_string();
    for secret in ["Ada", "4179", ADDRESS, "gold", "vip", "hers", "hello"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[test]
fn somebody_known_is_answered_whole_to_no_stranger() {
    let (_folder, daemon) = started();
    let ada = ada(&daemon);
    let options = json!({"profile": true});
    let stranger = |mut payload: Value| {
        payload["options"] = options.clone();
        daemon.tracked(&payload)
    };
    let look = json!([{"type": "page-view"}]);
    // Whoever knows an address, a phone number, a profile's id or a session's.
    assert_keeps_silent(&stranger(sign_in("s-1", &options)), &ada);
    let phone = json!([{"type": "identification", "properties": {"phone": {"main": "+41 79 123 45 67"}}}]);
    assert_keeps_silent(&stranger(json!({"source": {"id": "shop"}, "session": {"id": "s-2"}, "events": phone})), &ada);
    let by_id = json!({"source": {"id": "shop"}, "session": {"id": "s-3"}, "profile": {"id": ada}, "events": look});
    assert_keeps_silent(&stranger(by_id), &ada);
    let in_session = json!({"source": {"id": "shop"}, "session": {"id": "hers"}, "events": []});
    assert_keeps_silent(&stranger(in_session), &ada);
    // A repeat of one of her events answers whose it is.
    let repeat = json!({"source": {"id": "shop"}, "session": {"id": "s-4"}, "events": [{"id": "ada-1", "type": "a"}]});
    assert_keeps_silent(&stranger(repeat), &ada);
    // Somebody who becomes known by this very payload.
    let new = json!([{"type": "sign-up", "properties": {"email": {"main": "eve@example.com"}}}]);
    let new = stranger(json!({"source": {"id": "shop"}, "session": {"id": "s-5"}, "events": new}));
    assert_eq!(new["profile"].as_object().unwrap().len(), 1, "{new}");
    // Nobody in particular reads what is theirs, and the administrator everything.
    let nobody = stranger(json!({"source": {"id": "shop"}, "session": {"id": "s-6"}, "events": look}));
    assert_eq!((&nobody["profile"]["stats"]["views"], nobody.get("warnings")), (&json!(1), None));
    let told = daemon.tracked_by_admin(&sign_in("s-7", &options));
    assert_eq!((&told["profile"]["data"]["pii"]["firstname"], told.get("warnings")), (&json!("Ada"), None), "{told}");
}

#[test]
fn an_id_that_a_client_chose_is_one_by_which_somebody_is_known() {
    let (_folder, daemon) = started();
    daemon.source(&json!({"id": "till", "name": "Till", "type": "rest", "permanent_profile_id": true}));
    let payload = json!({
        "source": {"id": "till"}, "session": {"id": "s"}, "profile": {"id": "customer-17"},
        "options": {"profile": true}, "events": []
    });
    assert_eq!(daemon.tracked(&payload)["profile"], json!({"id": "customer-17"}), "it can be guessed");
    assert!(daemon.tracked_by_admin(&payload)["profile"]["traits"].is_object());
}

#[test]
fn who_is_found_by_a_value_that_workflows_look_for_is_known() {
    let (_folder, daemon) = started();
    let remember = json!({"id": "remember", "on": ["remember"], "step": [
        {"set": {"profile.traits.card": "{{ event.properties.card }}", "profile.traits.note": "hello"}},
    ]});
    let by_card = json!({"choose": [{"if": "event.properties.card > 0", "step": [
        {"attach_profile": {"profile.traits.card": "{{ event.properties.card }}", "create": false}},
    ]}]});
    let till = json!({"id": "till", "on": ["till"], "step": [by_card]});
    assert!([&remember, &till].iter().all(|it| daemon.post_admin("/workflow", it).status == 200));
    let payload = |session: &str, kind: &str| {
        json!({
            "source": {"id": "shop"}, "session": {"id": session}, "options": {"profile": true},
            "events": [{"type": kind, "properties": {"card": 17}}]
        })
    };
    let owner = daemon.tracked(&payload("hers", "remember"))["profile"]["id"].clone();
    let found = daemon.post_json("/track?profile_less=true", &payload("till", "till").to_string()).json();
    assert_keeps_silent(&found, &owner);
    assert_keeps_silent(&daemon.tracked(&payload("till", "page-view")), &owner);
    assert_eq!(daemon.tracked_by_admin(&payload("till", "page-view"))["profile"]["traits"]["card"], 17);
}

/// A workflow that tells in each way what it knows of a profile: by steps' results, by logs, by what it does, and by the
/// events that it makes.
fn talkative(crm: &External) -> Value {
    json!({"id": "talkative", "on": ["sign-in", "page-view"], "step": [
        {"id": "before", "previous_session": true},
        {"log": "{{ profile.data.pii.firstname }} says hello"},
        {"if": "profile.traits.level == 'gold'", "emit": {"type": "vip-seen"}},
        {"if": "event.type == 'sign-in'", "id": "crm", "lookup": {"url": format!("http://{}/", crm.address)}},
        {"if": "event.type == 'sign-in'", "set": {"profile.traits.level": "{{ steps.crm.level }}"}},
    ]})
}

fn with_crm() -> (External, tempfile::TempDir, Setup) {
    let crm = External::start(|_| (200, r#"{"level":"gold"}"#.into()));
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path()).set("lookup.allowed_hosts", "127.0.0.1");
    (crm, folder, setup)
}

#[test]
fn a_full_answer_tells_strangers_no_more_than_the_debugger_does() {
    let folder = tempfile::tempdir().unwrap();
    for setting in ["anonymous", "none", "all"] {
        let daemon = Setup::new(&folder.path().join(setting)).set("track.debugger", setting).start();
        daemon.source(&json!({"id": "shop", "name": "Shop", "type": "rest", "config": {"answer": "full"}}));
        let ada = ada(&daemon);
        let workflow = json!({"id": "w", "on": ["sign-in"], "if": "has(profile.data.contact.email.main)", "step": [{"emit": {"type": "known"}}]});
        assert_eq!(daemon.post_admin("/workflow", &workflow).status, 200);
        let told = |answer: &Value| answer["events"].as_array().unwrap().len();
        let answer = daemon.tracked(&sign_in("s-1", &json!({})));
        assert_eq!(
            (&answer["profile"]["id"], told(&answer)),
            (&json!(ada), if setting == "all" { 2 } else { 1 }),
            "{answer}"
        );
        assert_eq!(answer["warnings"], json!([]), "nothing was asked for");
        assert_eq!(told(&daemon.tracked_by_admin(&sign_in("s-2", &json!({})))), 2);
    }
}

#[test]
fn the_debugger_tells_strangers_nothing_of_somebody_known() {
    let (crm, _folder, setup) = with_crm();
    let daemon = setup.start();
    daemon.shop();
    let ada = ada(&daemon);
    assert_eq!(daemon.post_admin("/workflow", &talkative(&crm)).status, 200);
    assert_eq!(
        daemon
            .post_admin(
                "/segment",
                &json!({"id": "vips", "condition": "profile.traits.level == 'gold'", "events": true})
            )
            .status,
        200
    );
    let options = json!({"debugger": true, "profile": true});
    let silent = |answer: &Value| {
        assert_keeps_silent(answer, &ada);
        let debugging = &answer["debugging"];
        assert_eq!((&debugging["execution"], &debugging["logs"]), (&json!({}), &json!([])));
        assert_eq!(debugging["segmentation"], json!({"errors": [], "ids": []}));
        assert_eq!(debugging["events"]["types"].as_array().unwrap().len(), 1, "{debugging}");
        assert_eq!(debugging["profile"]["ids"], json!([ada]));
    };
    // Her level becomes gold, which is a segment, which is an event.
    silent(&daemon.tracked(&sign_in("s-1", &options)));
    silent(&daemon.tracked(&sign_in("s-2", &options)));
    let mut by_id = sign_in("s-3", &options);
    by_id["profile"] = json!({"id": ada});
    by_id["events"] = json!([{"type": "page-view"}]);
    silent(&daemon.tracked(&by_id));
    let told = daemon.tracked_by_admin(&sign_in("s-4", &options));
    assert_eq!(told["debugging"]["segmentation"]["ids"], json!(["vips"]));
    assert_eq!(told["debugging"]["events"]["types"], json!(["sign-in", "vip-seen"]), "{told}");
    let steps = &told["debugging"]["execution"]["talkative"][0]["steps"];
    assert_eq!((&steps[0]["result"]["id"], &steps[3]["result"]["level"]), (&json!("s-3"), &json!("gold")), "{steps}");
    assert!(told["debugging"]["logs"].to_string().contains("Ada says hello"));
}

#[test]
fn what_a_session_of_somebody_known_holds_is_told_no_stranger_without_a_profile_either() {
    let (_folder, daemon) = started();
    ada(&daemon);
    let workflow = json!({"id": "w", "on": ["a"], "step": [{"log": "{{ session.traits.note }}"}]});
    let note = json!({"id": "note", "on": ["note"], "step": [{"set": {"session.traits.note": "a note of hers"}}]});
    assert!([&workflow, &note].iter().all(|it| daemon.post_admin("/workflow", it).status == 200));
    let payload = |kind: &str| {
        json!({
            "source": {"id": "shop"}, "session": {"id": "hers"}, "options": {"debugger": true},
            "events": [{"type": kind}]
        })
    };
    daemon.tracked(&payload("note"));
    let answer = daemon.post_json("/track?profile_less=true", &payload("a").to_string()).json();
    assert_eq!(answer["debugging"]["logs"], json!([]), "{answer}");
    let told = daemon.post_admin("/track?profile_less=true", &payload("a")).json();
    assert!(told["debugging"]["logs"].to_string().contains("a note of hers"), "{told}");
}

#[test]
fn what_external_systems_say_is_told_no_stranger_of_nobody_known_either() {
    let (crm, _folder, setup) = with_crm();
    let daemon = setup.start();
    daemon.shop();
    let voucher = json!({"id": "voucher", "on": ["coupon"], "step": [
        {"id": "crm", "lookup": {"url": format!("http://{}/{{{{ event.properties.code }}}}", crm.address)}},
        {"log": "{{ steps.crm.level }}"},
    ]});
    assert_eq!(daemon.post_admin("/workflow", &voucher).status, 200);
    let payload = json!({
        "source": {"id": "shop"}, "session": {"id": "s"}, "options": {"debugger": true},
        "events": [{"type": "coupon", "properties": {"code": "V-1"}}]
    });
    let answer = daemon.tracked(&payload);
    assert!(!answer.to_string().contains("gold") && answer["warnings"].to_string().contains("external"), "{answer}");
    assert_eq!(answer["debugging"]["events"]["types"], json!(["coupon"]));
    assert!(daemon.tracked_by_admin(&payload)["debugging"]["execution"].to_string().contains("gold"));
}

#[test]
fn whether_an_address_is_anybody_s_is_not_told_by_logs() {
    let (_folder, daemon) = started();
    let ada = ada(&daemon);
    // It finds her, and does not take her: the events have somebody else already.
    let workflow = json!({"id": "w", "on": ["a"], "step": [
        {"attach_profile": {"email": "{{ event.properties.mail }}", "create": false}},
    ]});
    assert_eq!(daemon.post_admin("/workflow", &workflow).status, 200);
    let session = |mail: &str| {
        let (mut first, mail) = (sign_in("s", &json!({"debugger": true})), mail.to_owned());
        first["events"] = json!([{"type": "page-view"}]);
        daemon.tracked(&first);
        first["events"] = json!([{"type": "a", "properties": {"mail": mail}}]);
        let answer = daemon.tracked(&first);
        assert_ne!(answer["profile"]["id"], ada);
        (answer["warnings"].clone(), answer["debugging"]["execution"].clone(), answer["debugging"]["logs"].clone())
    };
    assert_eq!(session(ADDRESS), session("nobody@example.com"));
}

#[test]
fn a_schema_that_a_profile_breaks_is_named_without_what_the_profile_holds() {
    let (_folder, daemon) = started();
    ada(&daemon);
    let gold = json!({"id": "w", "on": ["note"], "step": [{"set": {"profile.traits.level": "gold"}}]});
    assert_eq!(daemon.post_admin("/workflow", &gold).status, 200);
    daemon.tracked(&json!({"source": {"id": "shop"}, "session": {"id": "hers"}, "events": [{"type": "note"}]}));
    let schema = json!({"id": "a", "schema": {"traits": {"properties": {"level": {"enum": ["silver"]}}}}});
    assert_eq!(daemon.post_admin("/event-type", &schema).status, 200);
    let mut payload = sign_in("s", &json!({}));
    payload["events"].as_array_mut().unwrap().push(json!({"type": "a"}));
    let refused = daemon.post_admin("/track", &payload);
    assert_eq!(refused.status, 406);
    assert!(refused.text().contains("profile.traits") && refused.text().contains("/properties/level/enum"));
    assert!(!refused.text().contains("gold"), "{}", refused.text());
}

#[test]
fn no_stranger_learns_by_a_schema_what_somebody_s_profile_holds() {
    let (_folder, daemon) = started();
    ada(&daemon);
    let kind = json!({"id": "level", "map": [{"from": "event.properties.level", "to": "profile.traits.level"}]});
    assert_eq!(daemon.post_admin("/event-type", &kind).status, 200);
    let level = json!({"type": "level", "properties": {"level": "gold"}});
    daemon.tracked(&json!({"source": {"id": "shop"}, "session": {"id": "hers"}, "events": [level]}));
    let asking = |level: &str, id: &str| {
        let schema = json!({"id": "a", "schema": {"traits": {"properties": {"level": {"enum": [level]}}}}});
        assert_eq!(daemon.post_admin("/event-type", &schema).status, 200);
        let mut payload = sign_in("stranger", &json!({}));
        payload["events"].as_array_mut().unwrap().push(json!({"id": id, "type": "a"}));
        let answer = daemon.track(&payload);
        let stored = daemon.record(&format!("/event/{id}"));
        (answer.status, answer.json(), stored["event"]["metadata"]["valid"].clone())
    };
    let (keeps, breaks) = (asking("gold", "keeps"), asking("silver", "breaks"));
    assert_eq!((keeps.0, &keeps.1), (breaks.0, &breaks.1), "the same answer");
    assert_eq!((keeps.0, keeps.2, breaks.2), (200, json!(true), json!(false)), "it is stored and marked");
    // Of whom nothing is known, who sent the event is the one whom it is about.
    let own =
        |session: &str| json!({"source": {"id": "shop"}, "session": {"id": session}, "events": [level, {"type": "a"}]});
    assert_eq!(daemon.track(&own("own")).status, 406);
}

#[test]
fn settings_say_whom_answers_tell_of_people() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path());
    let open = setup.clone().set("track.debugger", "all").set("track.profile", "all").start();
    open.shop();
    let ada = ada(&open);
    let workflow = json!({"id": "w", "on": ["sign-in"], "step": [{"log": "{{ profile.data.pii.firstname }}"}]});
    assert_eq!(open.post_admin("/workflow", &workflow).status, 200);
    let options = json!({"debugger": true, "profile": true});
    let told = open.tracked(&sign_in("s-1", &options));
    assert_eq!((&told["profile"]["id"], &told["profile"]["data"]["pii"]["firstname"]), (&ada, &json!("Ada")));
    assert_eq!((&told["debugging"]["logs"][0]["message"], &told["warnings"]), (&json!("Ada"), &json!([])));
    open.stop();

    let closed = setup.clone().set("track.debugger", "none").set("track.profile", "none").start();
    let told = closed.tracked_by_admin(&sign_in("s-2", &options));
    assert_eq!(told, json!({"profile": {"id": ada}, "source": {"consent": false}}));
    closed.stop();

    let old = setup.clone().set("track.debugger", true).set("track.profile", false).start();
    let told = old.tracked(&sign_in("s-3", &options));
    assert_eq!((&told["profile"], &told["debugging"]["logs"]), (&json!({"id": ada}), &json!([])));
    let said = old.stderr();
    assert!(said.contains("TRACARDI__TRACK__DEBUGGER: track.debugger: true is read as \"anonymous\""), "{said}");
    assert!(said.contains("track.profile: false is read as \"none\""), "{said}");
    old.stop();

    let (status, said) = setup.set("track.profile", "perhaps").start_refused();
    assert!(!status.success() && said.contains("track.profile") && said.contains("anonymous, all, none"), "{said}");
}

#[test]
fn an_address_without_its_key_is_told_to_no_stranger_either() {
    let (_folder, daemon) = started();
    // A type that does not identify writes an address to the profile: no key leads there.
    let kind =
        json!({"id": "form", "map": [{"from": "event.properties.mail", "to": "profile.data.contact.email.main"}]});
    assert_eq!(daemon.post_admin("/event-type", &kind).status, 200);
    let payload = |session: &str, events: Value| json!({"source": {"id": "shop"}, "session": {"id": session}, "options": {"profile": true}, "events": events});
    let form = payload("form", json!([{"type": "form", "properties": {"mail": "bob@example.com"}}]));
    let bob = daemon.tracked(&form)["profile"]["id"].clone();
    let answer = daemon.tracked(&payload("form", json!([])));
    assert_eq!(answer["profile"], json!({ "id": bob }), "{answer}");
    assert!(!answer.to_string().contains("bob@"), "{answer}");
    assert_eq!(
        daemon.tracked_by_admin(&payload("form", json!([])))["profile"]["data"]["contact"]["email"]["main"],
        "bob@example.com"
    );
}

#[test]
fn a_guessed_event_id_tells_nothing_of_its_sender() {
    let (_folder, daemon) = started();
    let order = |session: &str| {
        json!({"source": {"id": "shop"}, "session": {"id": session}, "options": {"profile": true},
        "events": [{"id": "order-1001", "type": "page-view"}]})
    };
    let sender = daemon.tracked(&order("theirs"))["profile"]["id"].clone();
    // Their own repeat is answered as the first time was.
    assert_eq!(daemon.tracked(&order("theirs"))["profile"]["stats"]["views"], 1);
    let guessed = daemon.tracked(&order("a stranger's"));
    assert_eq!(guessed["profile"], json!({ "id": sender }), "{guessed}");
    assert!(guessed["warnings"].to_string().contains("another sender"), "{guessed}");
    assert_eq!(daemon.tracked_by_admin(&order("an administrator's"))["profile"]["stats"]["views"], 1);
}
