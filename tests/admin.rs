//! The administrator's token, sources and records (docs/contract.md, section 9).

mod support;

use serde_json::{Value, json};
use support::{
    Setup,
    daemon::{TOKEN, started},
};

#[test]
fn everything_but_collecting_needs_the_token() {
    let (_folder, daemon) = started();
    for (method, path) in [
        ("POST", "/event-source"),
        ("GET", "/event-source/shop"),
        ("DELETE", "/event-source/shop"),
        ("GET", "/event-sources"),
        ("GET", "/event-sources/entity"),
        ("GET", "/event/e"),
        ("GET", "/session/s"),
        ("DELETE", "/profile/p"),
        ("GET", "/events/refresh"),
    ] {
        for authorization in [None, Some("Bearer wrong"), Some("Basic dGVzdDp0ZXN0"), Some("test-token")] {
            let headers: Vec<_> = authorization.map(|value| ("Authorization", value)).into_iter().collect();
            let response = daemon.request(method, path, &headers, b"");
            assert_eq!(
                (response.status, response.header("www-authenticate")),
                (401, Some("Bearer")),
                "{method} {path}"
            );
            assert!(response.json()["detail"].is_string());
        }
    }
    assert_eq!(daemon.request("GET", "/event-sources", &[("Authorization", "bEARER test-token")], b"").status, 200);
}

#[test]
fn clients_log_in_with_a_form() {
    let (_folder, daemon) = started();
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let response = daemon.request("POST", "/user/token", &form, format!("username=admin&password={TOKEN}").as_bytes());
    assert_eq!(response.json(), json!({"access_token": TOKEN, "token_type": "bearer", "roles": ["admin"]}));
    for body in ["username=admin&password=x", "username=root&password=test-token", ""] {
        assert_eq!(daemon.request("POST", "/user/token", &form, body.as_bytes()).status, 400);
    }
    assert_eq!(daemon.request("POST", "/user/logout", &[], b"").status, 200);
}

#[test]
fn a_source_is_created_shown_replaced_and_deleted() {
    let (_folder, daemon) = started();
    let id = daemon.source(&json!({"name": "Made", "type": "rest"}));
    let shown = daemon.record(&format!("/event-source/{id}"));
    assert_eq!((&shown["name"], &shown["enabled"], &shown["type"]), (&json!("Made"), &json!(true), &json!(["rest"])));
    for key in [
        "bridge",
        "description",
        "channel",
        "transitional",
        "tags",
        "groups",
        "permanent_profile_id",
        "requires_consent",
        "locked",
        "config",
        "timestamp",
    ] {
        assert!(shown.get(key).is_some(), "{key} is missing");
    }
    daemon.source(&json!({"id": id, "name": "Changed", "type": ["webhook"], "bridge": {"id": "b", "name": "Bridge"}}));
    assert_eq!(daemon.record(&format!("/event-source/{id}"))["bridge"], json!({"id": "b", "name": "Bridge"}));
    let payload = json!({"source": {"id": id}, "session": {"id": "s"}, "events": []});
    assert_eq!(daemon.track(&payload).status, 401, "a changed source counts from the next request");
    assert_eq!(daemon.admin("DELETE", &format!("/event-source/{id}")).json(), json!(true));
    for method in ["GET", "DELETE"] {
        let response = daemon.admin(method, &format!("/event-source/{id}"));
        assert_eq!((response.status, response.json()), (404, Value::Null));
    }
}

#[test]
fn a_wrong_source_is_refused_with_the_field_s_name() {
    let (_folder, daemon) = started();
    for (body, loc) in [
        (json!({"type": "rest"}), json!(["body", "name"])),
        (json!({"name": "x"}), json!(["body", "type"])),
        (json!({"name": "x", "type": "fax"}), json!(["body", "type"])),
        (json!({"name": "x", "type": "rest", "id": "@x"}), json!(["body", "id"])),
        (json!({"name": "x", "type": "rest", "enabled": "perhaps"}), json!(["body", "enabled"])),
        (
            json!({"name": "x", "type": "rest", "config": {"origins": "https://a.example"}}),
            json!(["body", "config", "origins"]),
        ),
    ] {
        let authorization = format!("Bearer {TOKEN}");
        let response =
            daemon.request("POST", "/event-source", &[("Authorization", &authorization)], body.to_string().as_bytes());
        assert_eq!((response.status, response.loc()), (422, loc), "{body}: {}", response.text());
    }
}

#[test]
fn sources_are_listed_by_group_by_type_and_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).start();
    let default = daemon.record("/event-sources/entity")["result"][0]["id"].as_str().unwrap().to_owned();
    daemon.admin("DELETE", &format!("/event-source/{default}"));
    daemon.source(&json!({"id": "a", "name": "Alpha", "type": "rest", "groups": ["G1", "G2"]}));
    daemon.source(&json!({"id": "b", "name": "Beta", "type": ["rest", "webhook"]}));
    let ids = |list: &Value| list.as_array().unwrap().iter().map(|source| source["id"].clone()).collect::<Vec<_>>();
    let all = daemon.record("/event-sources");
    assert_eq!(
        (&all["total"], ids(&all["grouped"]["G1"]), ids(&all["grouped"]["General"])),
        (&json!(2), vec![json!("a")], vec![json!("b")])
    );
    let by_type = daemon.record("/event-sources/by_type");
    assert_eq!(
        (ids(&by_type["grouped"]["rest"]), ids(&by_type["grouped"]["webhook"])),
        (vec![json!("a"), json!("b")], vec![json!("b")])
    );
    assert_eq!(daemon.record("/event-sources?query=ALP")["total"], 1);
    assert_eq!(
        daemon.record("/event-sources/entity"),
        json!({"total": 2, "result": [{"id": "a", "name": "Alpha"}, {"id": "b", "name": "Beta"}]})
    );
    for path in ["/event-sources/type/name", "/event-sources/type/configuration"] {
        let types = daemon.record(path);
        assert!(types["result"].get("rest").is_some() && types["result"].get("webhook").is_some(), "{types}");
    }
}

#[test]
fn refresh_and_flush_are_answered() {
    let (_folder, daemon) = started();
    for noun in ["events", "sessions", "profiles", "event-sources"] {
        for verb in ["refresh", "flush", "flash"] {
            assert_eq!(daemon.admin("GET", &format!("/{noun}/{verb}")).status, 200);
        }
    }
}

#[test]
fn a_record_that_is_not_there_is_404_with_null() {
    let (_folder, daemon) = started();
    for path in ["/event/x", "/event/0199aaaa-0000-7000-8000-000000000000", "/session/x", "/profile/x"] {
        for method in ["GET", "DELETE"] {
            let response = daemon.admin(method, path);
            assert_eq!((response.status, response.json()), (404, Value::Null), "{method} {path}");
        }
    }
}

#[test]
fn a_deleted_session_is_gone_and_its_events_stay() {
    let (_folder, daemon) = started();
    let payload =
        json!({"source": {"id": "shop"}, "session": {"id": "s1"}, "events": [{"id": "e1", "type": "page-view"}]});
    let profile = daemon.tracked(&payload)["profile"]["id"].as_str().unwrap().to_owned();
    assert_eq!(daemon.admin("DELETE", "/session/s1").json(), json!(true));
    assert_eq!(daemon.admin("GET", "/session/s1").status, 404);
    assert_eq!(daemon.record("/event/e1")["event"]["session"]["id"], "s1");
    assert_eq!(daemon.record(&format!("/profile/{profile}"))["stats"]["visits"], 1, "deleting one takes none away");
    let daemon = daemon.restart();
    assert_eq!(daemon.admin("GET", "/session/s1").status, 404);
}

#[test]
fn tags_and_groups_of_a_source_are_bounded() {
    let (_folder, daemon) = started();
    for (field, value, loc) in [
        ("tags", json!(vec!["t"; 101]), json!(["body", "tags", 100])),
        ("groups", json!(["g".repeat(129)]), json!(["body", "groups", 0])),
    ] {
        let body = json!({"id": "s", "name": "S", "type": "rest", field: value});
        let response = daemon.post_admin("/event-source", &body);
        assert_eq!((response.status, response.loc()), (422, loc), "{}", response.text());
    }
}
