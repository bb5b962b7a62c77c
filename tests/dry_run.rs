//! `POST /track?dry_run=true`: processed and answered, nothing stored, for those who try out what they set up.

mod support;

use serde_json::json;
use support::{Setup, external::External};

#[test]
fn a_dry_run_tells_everything_and_stores_nothing() {
    let crm = External::start(|_| (200, r#"{"level":"gold"}"#.into()));
    let folder = tempfile::tempdir().unwrap();
    // Clients may not debug here; an administrator may.
    let setup = Setup::new(folder.path()).set("lookup.allowed_hosts", "127.0.0.1").set("track.debugger", false);
    let daemon = setup.start();
    daemon.shop();
    let workflow = json!({"id": "w", "on": ["a"], "step": [
        {"id": "crm", "lookup": {"url": format!("http://{}/", crm.address)}},
        {"set": {"profile.traits.level": "{{ steps.crm.level }}", "profile.traits.seen": true}},
    ]});
    assert_eq!(daemon.post_admin("/workflow", &workflow).status, 200);
    let payload = json!({
        "source": {"id": "shop"}, "session": {"id": "s"}, "options": {"debugger": true, "profile": true},
        "events": [{"id": "e", "type": "a"}, {"type": "page-view"}]
    });
    assert_eq!(daemon.post_json("/track?dry_run=true", &payload.to_string()).status, 401, "an administrator's");
    assert_eq!(daemon.post_admin("/track?dry_run=maybe", &payload).loc(), json!(["query", "dry_run"]));
    assert_eq!(daemon.post_admin("/track?lookups=maybe", &payload).loc(), json!(["query", "lookups"]));

    let answer = daemon.post_admin("/track?dry_run=true", &payload).json();
    assert_eq!(answer["profile"]["traits"], json!({"seen": true}));
    let debugging = &answer["debugging"];
    assert_eq!(debugging["execution"]["w"][0]["steps"][0]["status"], "skipped", "{debugging}");
    assert!(crm.asked().is_empty(), "external systems are asked only when that is asked for");
    for kind in ["session", "events", "profile"] {
        assert_eq!(debugging[kind]["saved"], 0, "{kind}");
    }
    assert_eq!((&answer["events"], &debugging["events"]["types"]), (&json!([]), &json!(["a", "page-view"])));
    let asked = daemon.post_admin("/track?dry_run&lookups", &payload).json();
    assert_eq!(asked["profile"]["traits"], json!({"level": "gold", "seen": true}));
    assert_eq!(crm.asked().len(), 1);

    for path in ["/session/s", "/event/e", &format!("/profile/{}", asked["profile"]["id"].as_str().unwrap())] {
        assert_eq!(daemon.admin("GET", path).status, 404, "{path}");
    }
    assert_eq!(daemon.tracked(&payload).get("warnings"), None, "its ids are free");
}
