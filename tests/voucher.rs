//! The story of the voucher: an event that comes without a profile finds its customer in an external system.

mod support;

use serde_json::json;
use support::{Setup, external::External};

/// The configuration that README prints.
fn configuration() -> String {
    let readme = include_str!("../README.md");
    let blocks = readme.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut with_voucher = blocks.filter(|block| block.contains("coupon-received"));
    with_voucher.next().expect("README has it").to_owned()
}

#[test]
fn a_voucher_becomes_a_customer() {
    let crm = External::start(|asked| match asked.line.split(' ').nth(1) {
        Some("/vouchers/V-1001") => (200, json!({"email": "Ada@Example.com", "level": "gold"}).to_string()),
        _ => (404, json!({"detail": "no such voucher"}).to_string()),
    });
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(&folder.path().join("data")).set("lookup.allowed_hosts", "127.0.0.1");
    let setup = setup.set("TRACARDI_SECRET_CRM", "s3cret");
    let file = folder.path().join("config.toml");
    let configuration = configuration().replace("https://crm.example.com", &format!("http://{}", crm.address));
    // A busy machine may take longer than a customer would wait.
    std::fs::write(&file, configuration.replace("timeout_ms = 500", "timeout_ms = 10000")).unwrap();
    // On the stopped store, before the first start.
    let applied = setup.command(&["apply", file.to_str().unwrap()]).output().unwrap();
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    let daemon = setup.start();
    daemon.shop();

    // Ada is known from her sign-up.
    let signed_up = json!({
        "source": {"id": "shop"}, "session": {"id": "web"},
        "events": [{"type": "sign-up", "properties": {"email": {"main": "ada@example.com"}}}]
    });
    let ada = daemon.tracked(&signed_up)["profile"]["id"].clone();

    // Her voucher comes from a till that knows nothing of her.
    let received = json!({
        "source": {"id": "shop"}, "session": {"id": "till-7"}, "options": {"debugger": true},
        "events": [{"id": "e-1", "type": "coupon-received", "properties": {"voucher": "V-1001"}}]
    });
    let response = daemon.post_admin("/track?profile_less=true", &received);
    assert_eq!(response.status, 200, "{}", response.text());
    let answer = response.json();
    assert_eq!(answer["profile"]["id"], ada);
    let execution = &answer["debugging"]["execution"]["voucher"][0];
    assert_eq!((&execution["event"], &execution["status"]), (&json!("e-1"), &json!("done")));
    let steps: Vec<_> =
        execution["steps"].as_array().unwrap().iter().map(|step| (&step["id"], &step["status"])).collect();
    assert_eq!(steps[0], (&json!("customer"), &json!("done")));
    assert!(steps.iter().all(|(_, status)| **status == "done"), "{execution}");
    assert_eq!(execution["steps"][0]["result"]["level"], "gold");

    // The event is hers, the session is hers, and she is a gold customer.
    let event = daemon.record("/event/e-1")["event"].clone();
    assert_eq!((&event["profile"]["id"], &event["session"]["id"]), (&ada, &json!("till-7")));
    assert_eq!(event["metadata"]["status"], "processed");
    assert_eq!(daemon.record("/session/till-7")["profile"]["id"], ada);
    let profile = daemon.record(&format!("/profile/{}", ada.as_str().unwrap()));
    assert_eq!(profile["traits"], json!({"vouchers": ["V-1001"], "vip": true}));
    assert_eq!(profile["stats"]["visits"], 2);
    assert!(profile["metadata"]["fields"]["traits.vip"].is_string());

    // The external system was asked once, with its secret, which nobody else sees.
    let asked = crm.asked();
    assert_eq!(asked.len(), 1);
    assert!(asked[0].headers.contains(&"authorization: bearer s3cret".to_owned()), "{asked:?}");
    let all = daemon.admin("GET", "/configuration").text() + &daemon.stderr() + &daemon.stdout() + &answer.to_string();
    assert!(!all.contains("s3cret"));

    // A webhook without a session, too; the answer is remembered, and a stranger's voucher is stored without a profile.
    let webhook = daemon.post_json("/collect/coupon-received/shop", r#"{"voucher":"V-1001"}"#);
    assert_eq!(webhook.json()["profile"]["id"], ada);
    assert_eq!(crm.asked().len(), 1, "cached");
    let stranger = daemon.post_json("/collect/coupon-received/shop", r#"{"voucher":"V/../1"}"#);
    assert_eq!((stranger.status, &stranger.json()["profile"]), (200, &json!({})));
    assert!(crm.asked()[1].line.contains("/vouchers/V%2F..%2F1 "), "values are escaped");

    // All of it survives a restart and a rebuild.
    let path = format!("/profile/{}", ada.as_str().unwrap());
    let profile = daemon.record(&path);
    let setup = daemon.stop();
    assert!(setup.command(&["rebuild"]).status().unwrap().success());
    let daemon = setup.start();
    assert_eq!(daemon.record(&path), profile);
    let again = daemon.post_json("/collect/coupon-received/shop", r#"{"voucher":"V-1001"}"#);
    assert_eq!(again.json()["profile"]["id"], ada, "merge keys are found after a rebuild");
}
