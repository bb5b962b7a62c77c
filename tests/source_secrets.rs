//! Secrets by which a source knows its own requests.

mod support;

use serde_json::{Value, json};
use support::{
    Daemon, Setup,
    daemon::{Response, TOKEN, started},
};

/// Makes a secret for the source `shop`.
fn secret(daemon: &Daemon) -> String {
    let made = daemon.admin("POST", "/event-source/shop/secret");
    assert_eq!((made.status, made.header("cache-control")), (200, Some("no-store")), "{}", made.text());
    assert_eq!(made.json().as_object().unwrap().len(), 1);
    made.json()["secret"].as_str().unwrap().to_owned()
}

fn shop(daemon: &Daemon, config: &Value) {
    daemon.source(&json!({"id": "shop", "name": "Shop", "type": ["rest", "webhook"], "config": config}));
}

fn payload(session: &str, events: &Value) -> Value {
    json!({"source": {"id": "shop"}, "session": {"id": session}, "options": {"profile": true}, "events": events})
}

fn sent(daemon: &Daemon, authorization: &str, payload: &Value) -> Response {
    let headers = [("Content-Type", "application/json"), ("Authorization", authorization)];
    daemon.request("POST", "/track", &headers, payload.to_string().as_bytes())
}

fn status(daemon: &Daemon, secret: &str) -> u16 {
    sent(daemon, &format!("Bearer {secret}"), &payload("s", &json!([{"type": "page-view"}]))).status
}

#[test]
fn two_secrets_are_valid_and_all_end_when_asked() {
    let (_folder, daemon) = started();
    let [first, second] = [secret(&daemon), secret(&daemon)];
    assert!(first.starts_with("trs_") && first.len() >= 64 && first != second);
    assert_eq!([status(&daemon, &first), status(&daemon, &second)], [200, 200]);
    let third = secret(&daemon);
    assert_eq!([&first, &second, &third].map(|it| status(&daemon, it)), [401, 200, 200]);
    let shown = daemon.record("/event-source/shop");
    assert_eq!(shown["secrets"].as_array().unwrap().len(), 2, "{shown}");
    assert!(shown["secrets"][0]["since"].is_string() && shown["secrets"][0].as_object().unwrap().len() == 1);
    assert_eq!(daemon.admin("DELETE", "/event-source/shop/secret").text(), "200 true");
    assert_eq!(daemon.admin("DELETE", "/event-source/shop/secret").text(), "404 null");
    assert_eq!(status(&daemon, "anything"), 200, "without a secret, what is said there is not looked at");
    assert_eq!(daemon.record("/event-source/shop")["secrets"], json!([]));
    assert_eq!(daemon.admin("POST", "/event-source/nowhere/secret").text(), "404 null");
    for (method, path) in [("POST", "/event-source/shop/secret"), ("DELETE", "/event-source/shop/secret")] {
        assert_eq!(daemon.request(method, path, &[], b"").status, 401, "the administrator's");
    }
    assert_eq!(daemon.admin("GET", "/event-source/shop/secret").status, 405);
}

#[test]
fn a_secret_is_a_bearer_s_or_a_password_and_a_wrong_one_is_refused() {
    let (_folder, daemon) = started();
    let secret = secret(&daemon);
    let look = payload("s", &json!([{"type": "page-view"}]));
    // `user:` and the secret, as `curl -u` sends it.
    let basic = |password: &str| format!("bAsic {}", base64(format!("user:{password}").as_bytes()));
    for fine in [format!("bearer {secret}"), basic(&secret), format!("Bearer {TOKEN}"), basic(TOKEN)] {
        assert_eq!(sent(&daemon, &fine, &look).status, 200, "{fine}");
    }
    let almost = format!("{}0", &secret[..secret.len() - 1]);
    let wrong = [
        format!("Bearer {}", if almost == secret { "x" } else { &almost }),
        format!("Bearer {secret}x"),
        format!("Digest {secret}"),
        basic(""),
        "Bearer".into(),
        secret.clone(),
        "Basic !".into(),
    ];
    for wrong in wrong {
        let answer = sent(&daemon, &wrong, &payload("never", &json!([{"type": "page-view"}])));
        assert_eq!(answer.status, 401, "{wrong}");
        assert!(answer.json()["detail"].as_str().unwrap().starts_with("Access denied."), "{}", answer.text());
    }
    assert_eq!(daemon.admin("GET", "/session/never").status, 404, "nothing of it is stored");
    // Another source's is no secret here, and one without any does not look at it.
    daemon.source(&json!({"id": "other", "name": "Other", "type": "rest"}));
    let mut elsewhere = look.clone();
    elsewhere["source"]["id"] = json!("other");
    assert_eq!(sent(&daemon, &format!("Bearer {secret}"), &elsewhere).status, 200);
    assert_eq!(daemon.admin("POST", "/event-source/other/secret").status, 200);
    assert_eq!(sent(&daemon, &format!("Bearer {secret}"), &elsewhere).status, 401);
    // A payload that is wrong is told so first, whoever sends it.
    assert_eq!(sent(&daemon, "Bearer wrong", &json!({"source": {"id": "shop"}})).status, 422);
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |group: &[u8]| {
        let bits = (0..3).fold(0_usize, |bits, at| bits << 8 | usize::from(*group.get(at).unwrap_or(&0)));
        let digit = |at: usize| if at <= group.len() { char::from(DIGITS[bits >> (18 - 6 * at) & 63]) } else { '=' };
        (0..4).map(digit).collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}

#[test]
fn who_has_the_secret_is_told_everything() {
    let (_folder, daemon) = started();
    let events = json!([{"type": "sign-up", "properties": {"email": {"main": "a@example.com"}, "firstname": "Ada"}}]);
    daemon.tracked(&payload("hers", &events));
    let secret = secret(&daemon);
    let sign_in = payload("s", &json!([{"type": "sign-in", "properties": {"email": {"main": "a@example.com"}}}]));
    assert_eq!(daemon.tracked(&sign_in)["profile"].as_object().unwrap().len(), 1);
    let told = sent(&daemon, &format!("Bearer {secret}"), &sign_in).json();
    assert_eq!(told["profile"]["data"]["pii"]["firstname"], "Ada", "{told}");
}

#[test]
fn secrets_outlive_restart_rebuild_and_kill_and_saving_the_source_again() {
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path());
    let daemon = setup.start();
    daemon.shop();
    let first = secret(&daemon);
    let second = secret(&daemon);
    shop(&daemon, &json!({"requires_secret": true}));
    assert_eq!([status(&daemon, &first), status(&daemon, &second), status(&daemon, "x")], [200, 200, 401]);
    let dumped = daemon.admin("GET", "/configuration");
    assert!(!dumped.text().contains("secrets"), "{}", dumped.text());
    // What was read can be sent back.
    assert_eq!(daemon.post_admin("/event-source", &daemon.record("/event-source/shop")).status, 200);
    assert_eq!(daemon.post_admin("/configuration", &dumped.json()).status, 200);
    let mut daemon = daemon.restart();
    assert_eq!([status(&daemon, &first), status(&daemon, &second)], [200, 200]);
    let third = secret(&daemon);
    daemon.kill();
    let daemon = setup.start();
    assert_eq!([&first, &second, &third].map(|it| status(&daemon, it)), [401, 200, 200]);
    daemon.stop();
    assert!(setup.command(&["rebuild"]).status().unwrap().success());
    let daemon = setup.start();
    assert_eq!([&first, &second, &third].map(|it| status(&daemon, it)), [401, 200, 200]);
    // A source that is deleted takes them along, also for one that has its id later.
    assert_eq!(daemon.admin("DELETE", "/event-source/shop").status, 200);
    shop(&daemon, &json!({"requires_secret": true}));
    let daemon = daemon.restart();
    assert_eq!([&second, &third].map(|it| status(&daemon, it)), [401, 401]);
    assert_eq!(daemon.record("/event-source/shop")["secrets"], json!([]));
}

#[test]
fn saving_a_source_and_making_secrets_at_the_same_time_loses_neither() {
    let (_folder, daemon) = started();
    for round in 0..10 {
        let made = std::thread::scope(|scope| {
            let saving = [1, 2].map(|n| {
                let config = json!({"requires_secret": true, "round": [round, n]});
                scope.spawn({
                    let daemon = &daemon;
                    move || shop(daemon, &config)
                })
            });
            let made = [(); 2].map(|()| scope.spawn(|| secret(&daemon))).map(|it| it.join().unwrap());
            saving.into_iter().for_each(|it| it.join().unwrap());
            made
        });
        assert_eq!(made.each_ref().map(|it| status(&daemon, it)), [200, 200]);
        assert_eq!(status(&daemon, "wrong"), 401);
    }
}

#[test]
fn a_plain_secret_is_neither_stored_nor_logged() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).set("log.level", "trace").start();
    daemon.shop();
    let secret = secret(&daemon);
    assert_eq!([status(&daemon, &secret), status(&daemon, &format!("{secret}x"))], [200, 401]);
    let reads =
        ["/event-source/shop", "/event-sources", "/event-sources/by_type", "/event-sources/entity", "/configuration"];
    for path in reads {
        assert!(!daemon.admin("GET", path).text().contains("trs_"), "{path}");
    }
    let said = daemon.stderr() + &daemon.stdout();
    assert!(!said.contains("trs_"), "{said}");
    daemon.stop();
    let (mut files, mut folders) = (0, vec![folder.path().to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
                continue;
            }
            files += 1;
            let bytes = std::fs::read(entry.path()).unwrap();
            let holds = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!holds, "{}", entry.path().display());
        }
    }
    assert!(files > 3);
}

#[test]
fn a_source_may_take_nothing_without_its_secret() {
    let (_folder, daemon) = started();
    shop(&daemon, &json!({"requires_secret": true}));
    let look = payload("s", &json!([{"type": "page-view"}]));
    assert_eq!(daemon.track(&look).status, 401);
    assert_eq!(status(&daemon, "x"), 401, "it has none yet");
    assert_eq!(daemon.post_admin("/track", &look).status, 200);
    assert_eq!(daemon.post_admin("/track?dry_run=true", &look).status, 200);
    let secret = secret(&daemon);
    let bearer = format!("Bearer {secret}");
    assert_eq!((status(&daemon, &secret), daemon.track(&look).status), (200, 401));
    for (authorization, expected) in [(Some(&*bearer), 200), (Some("Bearer x"), 401), (None, 401)] {
        let headers: Vec<_> = authorization.into_iter().map(|it| ("Authorization", it)).collect();
        for (method, path) in [("HEAD", "/collect/a/shop"), ("GET", "/collect/a/shop"), ("POST", "/collect/a/shop/s-1")]
        {
            let answer = daemon.request(method, path, &headers, b"");
            assert_eq!(answer.status, expected, "{method} {path} {authorization:?}");
        }
    }
    let wrong = json!({"name": "x", "type": "rest", "config": {"requires_secret": "perhaps"}});
    assert_eq!(daemon.post_admin("/event-source", &wrong).loc(), json!(["body", "config", "requires_secret"]));
}

#[test]
fn only_who_has_the_secret_identifies_somebody_where_the_source_wants_that() {
    let (_folder, daemon) = started();
    let wrong = json!({"name": "x", "type": "rest", "config": {"identify": "nobody"}});
    assert_eq!(daemon.post_admin("/event-source", &wrong).loc(), json!(["body", "config", "identify"]));
    let sign_up = |session: &str, id: &str| {
        let properties = json!({"email": {"main": "a@example.com"}, "firstname": "Ada"});
        payload(session, &json!([{"id": id, "type": "sign-up", "properties": properties}]))
    };
    shop(&daemon, &json!({"identify": "anyone"}));
    let ada = daemon.tracked(&sign_up("hers", "e-0"))["profile"]["id"].clone();
    assert!(daemon.record("/event/e-0")["event"]["metadata"].get("identified").is_none());

    shop(&daemon, &json!({"identify": "secret"}));
    let secret = secret(&daemon);
    let stranger = daemon.tracked(&sign_up("s-1", "e-1"));
    assert_ne!(stranger["profile"]["id"], ada);
    assert_eq!(stranger["profile"]["data"].pointer("/contact/email/main"), None, "{stranger}");
    assert_eq!(stranger["profile"]["data"]["pii"]["firstname"], "Ada", "what tells nobody is kept");
    let event = &daemon.record("/event/e-1")["event"];
    assert_eq!(
        (&event["metadata"]["identified"], &event["profile"]["id"]),
        (&json!(false), &stranger["profile"]["id"])
    );
    assert_eq!(event["properties"]["email"]["main"], "a@example.com");
    // In her own session, nobody else gets to be her.
    let mut hers = sign_up("hers", "e-2");
    hers["events"][0]["properties"]["email"]["main"] = json!("eve@example.com");
    assert_eq!(daemon.tracked(&hers)["profile"]["id"], ada);
    let path = format!("/profile/{}", ada.as_str().unwrap());
    assert_eq!(daemon.record(&path)["data"]["contact"]["email"]["main"], "a@example.com");

    for authorization in [format!("Bearer {secret}"), format!("Bearer {TOKEN}")] {
        let session = format!("s {authorization}");
        assert_eq!(sent(&daemon, &authorization, &sign_up(&session, &session)).json()["profile"]["id"], ada);
    }
    assert!(daemon.restart().record("/event/e-1")["event"]["metadata"]["identified"] == false);
}

#[test]
fn without_the_secret_neither_webhooks_nor_workflows_identify_somebody() {
    let (_folder, daemon) = started();
    let events = json!([{"type": "sign-up", "properties": {"email": {"main": "a@example.com"}}}]);
    let ada = daemon.tracked(&payload("hers", &events))["profile"]["id"].clone();
    let profile = json!({"path": "properties.email", "is": "email", "create": true});
    shop(&daemon, &json!({"identify": "secret", "profile": profile}));
    let secret = secret(&daemon);
    let post = |path: &str, authorization: &[(&str, &str)], body: &Value| {
        let answer = daemon.request("POST", path, authorization, body.to_string().as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["profile"].clone()
    };
    let bearer = format!("Bearer {secret}");
    let proven = [("Authorization", &*bearer)];
    let body = json!({"email": "a@example.com"});
    assert_eq!(post("/collect/a/shop", &[], &body), json!({}));
    assert_ne!(post("/collect/a/shop/s-1", &[], &body)["id"], ada);
    assert_eq!(post("/collect/a/shop", &proven, &body)["id"], ada);
    assert_eq!(post("/collect/a/shop/s-2", &proven, &body)["id"], ada);

    shop(&daemon, &json!({"identify": "secret"}));
    let workflow =
        json!({"id": "w", "on": ["coupon"], "step": [{"attach_profile": {"email": "{{ event.properties.email }}"}}]});
    let later = json!({"id": "l", "on": ["later"], "step": [
        {"emit": {"type": "sign-in", "properties": {"email": {"main": "{{ event.properties.email }}"}}}},
    ]});
    assert!([&workflow, &later].iter().all(|it| daemon.post_admin("/workflow", it).status == 200));
    assert_eq!(post("/collect/coupon/shop", &[], &body), json!({}));
    assert_eq!(post("/collect/coupon/shop", &proven, &body)["id"], ada);
    assert_ne!(post("/collect/later/shop/s-3", &[], &body)["id"], ada);
    assert_eq!(post("/collect/later/shop/s-4", &proven, &body)["id"], ada);
}

#[test]
fn who_has_the_secret_is_no_bot() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).set("track.bots", "refuse").start();
    daemon.shop();
    let bearer = format!("Bearer {}", secret(&daemon));
    let agent = ("User-Agent", "Googlebot/2.1 (+http://www.google.com/bot.html)");
    let body = payload("s", &json!([{"id": "e", "type": "page-view"}])).to_string();
    assert_eq!(daemon.request("POST", "/track", &[agent], body.as_bytes()).status, 406);
    assert_eq!(daemon.request("POST", "/track", &[agent, ("Authorization", &bearer)], body.as_bytes()).status, 200);
    assert_eq!(daemon.record("/event/e")["event"]["metadata"]["bot"], false);
    assert_eq!(daemon.request("GET", "/collect/a/shop", &[agent], b"").status, 200, "services are called as they like");
}

#[test]
fn a_page_may_send_the_authorization_header() {
    let (_folder, daemon) = started();
    let asked = [
        ("Origin", "https://shop.example"),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "authorization,content-type"),
    ];
    let answer = daemon.request("OPTIONS", "/track", &asked, b"");
    assert_eq!(answer.header("access-control-allow-headers"), Some("authorization,content-type"));
    _ = secret(&daemon);
    let headers = [("Origin", "https://shop.example"), ("Authorization", "Bearer x")];
    let refused = daemon.request("POST", "/collect/a/shop", &headers, b"");
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (401, Some("https://shop.example")));
}

#[test]
fn a_secret_is_made_on_a_stopped_store() {
    let (_folder, daemon) = started();
    let setup = daemon.stop();
    let made = setup.command(&["source", "secret", "shop"]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let printed = String::from_utf8(made.stdout).unwrap();
    let secret = printed.strip_suffix('\n').unwrap();
    assert!(secret.starts_with("trs_") && !secret.contains('\n'));
    let unknown = setup.command(&["source", "secret", "nowhere"]).output().unwrap();
    assert!(!unknown.status.success() && String::from_utf8_lossy(&unknown.stderr).contains("nowhere"));
    let daemon = setup.start();
    assert_eq!([status(&daemon, secret), status(&daemon, "x")], [200, 401]);
    let busy = setup.command(&["source", "secret", "shop"]).output().unwrap();
    assert!(String::from_utf8_lossy(&busy.stderr).contains("POST /event-source/ID/secret"));
}

#[test]
fn the_administrator_s_token_is_kept_by_nobody_on_the_way() {
    let (_folder, daemon) = started();
    let form = format!("username=admin&password={TOKEN}");
    let answer = daemon.request("POST", "/user/token", &[], form.as_bytes());
    assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")), "{}", answer.text());
}
