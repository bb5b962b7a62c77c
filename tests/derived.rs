//! What is known without configuration: browser, system, device, campaign, page (docs/contract.md, section 10).

mod support;

use serde_json::json;
use support::{Setup, daemon::started};

const CHROME: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36";

fn body(session: &str, context: serde_json::Value) -> String {
    json!({
        "source": {"id": "shop"}, "session": {"id": session}, "device": {"id": "d-1"},
        "events": [{"id": format!("e-{session}"), "type": "page-view", "context": context}]
    })
    .to_string()
}

#[test]
fn the_user_agent_tells_browser_system_and_device() {
    let (_folder, daemon) = started();
    let headers = [("User-Agent", CHROME), ("Accept-Language", "fr-CH, fr;q=0.9")];
    assert_eq!(daemon.request("POST", "/track", &headers, body("s1", json!({})).as_bytes()).status, 200);
    let event = daemon.record("/event/e-s1")["event"].clone();
    assert_eq!(event["app"], json!({"name": "Chrome", "version": "141.0.0.0", "type": "browser", "language": "fr-CH"}));
    assert_eq!(event["os"]["name"], "Linux");
    assert_eq!(event["device"], json!({"type": "desktop"}));
    let session = daemon.record("/session/s1");
    assert_eq!(session["app"]["name"], "Chrome");
    assert_eq!(session["device"], json!({"type": "desktop", "id": "d-1"}));
}

/// What one row of the table says: app, its version and type, system and its version, device; and the user agent.
fn user_agents() -> Vec<([&'static str; 6], &'static str)> {
    let rows = include_str!("data/user-agents.md").lines().filter_map(|row| row.strip_suffix("` |"));
    rows.map(|row| {
        let (said, agent) = row.split_once('`').expect("the last column is the user agent");
        let mut columns = said.trim_matches('|').split('|').map(str::trim);
        (std::array::from_fn(|_| columns.next().expect("a row has seven columns")), agent)
    })
    .collect()
}

#[test]
fn each_user_agent_is_told_as_the_table_has_it() {
    let (_folder, daemon) = started();
    let rows = user_agents();
    assert!(rows.len() > 120, "the table is read whole");
    for (place, (expected, agent)) in rows.iter().enumerate() {
        let headers = [("User-Agent", *agent)];
        let sent = body(&format!("s{place}"), json!({}));
        assert_eq!(daemon.request("POST", "/track", &headers, sent.as_bytes()).status, 200);
        let event = daemon.record(&format!("/event/e-s{place}"))["event"].clone();
        let word = |part: &str, key: &str| event[part][key].as_str().unwrap_or_default().to_owned();
        let told = [
            ("app", "name"),
            ("app", "version"),
            ("app", "type"),
            ("os", "name"),
            ("os", "version"),
            ("device", "type"),
        ];
        assert_eq!(told.map(|(part, key)| word(part, key)), *expected, "{agent}");
        assert_eq!(event["metadata"]["bot"], expected[2] == "bot", "{agent}");
    }
    let top = daemon.record("/stats/top?of=browser&limit=1000");
    let counted = |name: &str| top["result"].as_array().unwrap().iter().find(|row| row["value"] == name).cloned();
    for name in ["Instagram", "Samsung Internet", "GPTBot", "okhttp"] {
        let rows = rows.iter().filter(|(expected, _)| expected[0] == name).count();
        assert_eq!(counted(name).expect(name)["events"], rows, "counts say what events show");
    }
}

#[test]
fn only_bots_are_refused_and_only_where_strangers_send() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).set("track.bots", "refuse").start();
    daemon.source(&json!({"id": "shop", "name": "Shop", "type": ["rest", "webhook"]}));
    daemon.source(&json!({"id": "own", "name": "Own servers", "type": "rest"}));
    let secret = daemon.admin("POST", "/event-source/own/secret").json()["secret"].as_str().unwrap().to_owned();
    let authorization = format!("Bearer {secret}");
    for (expected, agent) in user_agents() {
        let is_bot = expected[2] == "bot";
        let send = |path: &str, source: &str, more: &[(&str, &str)]| {
            let headers: Vec<_> =
                [("User-Agent", agent), ("Content-Type", "application/json")].iter().chain(more).copied().collect();
            let sent = json!({"source": {"id": source}, "session": {"id": "s"}, "events": [{"type": "a"}]});
            daemon.request("POST", path, &headers, sent.to_string().as_bytes()).status
        };
        assert_eq!(send("/track", "shop", &[]), if is_bot { 406 } else { 200 }, "{agent}");
        assert_eq!(send("/collect/a/shop", "shop", &[]), 200, "{agent}");
        assert_eq!(send("/track", "own", &[("Authorization", &authorization)]), 200, "{agent}");
    }
}

#[test]
fn an_odd_user_agent_leaves_the_parts_empty() {
    let (_folder, daemon) = started();
    let headers = [("User-Agent", "my own client")];
    assert_eq!(daemon.request("POST", "/track", &headers, body("s1", json!({})).as_bytes()).status, 200);
    let event = daemon.record("/event/e-s1")["event"].clone();
    assert_eq!((&event["app"], &event["os"], &event["device"]), (&json!({}), &json!({}), &json!({})));
}

#[test]
fn the_page_s_address_tells_page_and_campaign() {
    let (_folder, daemon) = started();
    let url = "https://shop.example/shoes?utm_source=news&utm_medium=mail&utm_campaign=a%20b#top";
    let page = json!({"page": {"url": url, "title": "Shoes", "referer": {"host": "search.example", "query": null}}});
    assert_eq!(daemon.post_json("/track", &body("s1", page)).status, 200);
    let event = daemon.record("/event/e-s1")["event"].clone();
    assert_eq!(event["hit"], json!({"url": url, "name": "Shoes", "referer": "search.example"}));
    let campaign = json!({"source": "news", "medium": "mail", "campaign": "a b"});
    assert_eq!(event["utm"], campaign);
    assert_eq!(daemon.record("/session/s1")["utm"], campaign, "the session began there");
    // The next page of the session is no landing page.
    // Also where the payload tells of the page, for all its events.
    for url in [url, "https://shop.example/next"] {
        daemon.tracked(&json!({
            "source": {"id": "shop"}, "session": {"id": "s2"}, "context": {"page": {"url": url}}, "events": [{"type": "a"}]
        }));
        assert_eq!(daemon.record("/session/s2")["utm"], campaign);
    }
    let page = json!({"page": {"url": "https://shop.example/?utm_source=other"}});
    assert_eq!(daemon.post_json("/track", &body("s1", page).replace("e-s1", "e-2")).status, 200);
    assert_eq!(daemon.record("/session/s1")["utm"], campaign);
    assert_eq!(daemon.record("/event/e-2")["event"]["utm"], json!({"source": "other"}));
}

#[test]
fn the_browser_script_s_context_tells_screen_language_and_time_zone() {
    let (_folder, daemon) = started();
    let mut payload: serde_json::Value =
        serde_json::from_str(include_str!("../benches/browser-payload.json")).expect("it is JSON");
    payload["source"]["id"] = json!("shop");
    payload["events"][0]["id"] = json!("e-1");
    daemon.tracked(&payload);
    let event = daemon.record("/event/e-1")["event"].clone();
    assert_eq!(
        event["device"],
        json!({
            "type": "desktop", "platform": "Linux x86_64", "time_zone": "UTC", "resolution": "1280x720",
            "color_depth": 24, "orientation": "landscape-primary"
        })
    );
    assert_eq!((&event["app"]["name"], &event["app"]["language"]), (&json!("Chrome"), &json!("en-US")));
    assert_eq!(event["utm"], json!({"source": "news", "campaign": "spring"}));
    let session = daemon.record(&format!("/session/{}", payload["session"]["id"].as_str().unwrap()));
    assert_eq!((&session["utm"], &session["app"]["name"]), (&event["utm"], &json!("Chrome")));
}

#[test]
fn the_page_s_own_site_is_no_referrer() {
    let (_folder, daemon) = started();
    let page = |url: &str, host: serde_json::Value| json!({"page": {"url": url, "referer": {"host": host}}});
    for (session, url, host, referrer) in [
        ("s1", "https://shop.example/a", json!("shop.example"), None),
        ("s2", "https://www.shop.example/a", json!("shop.example"), None),
        ("s3", "https://shop.example/a", json!("pay.shop.example"), None),
        ("s4", "https://blog.shop.co.uk/a", json!("shop.co.uk"), None),
        ("s5", "https://shop.co.uk/a", json!("news.co.uk"), Some("news.co.uk")),
        ("s6", "https://ada.github.io/a", json!("bob.github.io"), Some("bob.github.io")),
        ("s7", "https://shop.example/a", json!("search.example"), Some("search.example")),
        // The head of a browser's request names the page that sends it.
        ("s8", "https://shop.example/a", json!(null), None),
    ] {
        let headers = [("Content-Type", "application/json"), ("Referer", "https://shop.example/a")];
        let sent = body(session, page(url, host));
        assert_eq!(daemon.request("POST", "/track", &headers, sent.as_bytes()).status, 200);
        let hit = daemon.record(&format!("/event/e-{session}"))["event"]["hit"].clone();
        assert_eq!(hit.get("referer").and_then(|host| host.as_str()), referrer, "{url}");
    }
    let top = daemon.record("/stats/top?of=referrer");
    assert_eq!(
        (top["result"].as_array().unwrap().len(), &top["none"]["events"]),
        (3, &json!(5)),
        "counts say what events show: {top}"
    );
}

#[test]
fn a_campaign_is_read_wherever_a_link_says_it_and_blank_is_none() {
    let (_folder, daemon) = started();
    let workflow = json!({"id": "w", "on": ["visit-started"], "if": "has(session.utm.campaign)", "step": [
        {"append": {"profile.traits.campaigns": "{{ session.utm.campaign }}"}},
    ]});
    assert_eq!(daemon.post_admin("/workflow", &workflow).status, 200);
    for (session, url, campaign) in [
        ("s1", "https://shop.example/?utm_campaign=", json!({})),
        ("s2", "https://shop.example/?utm_source=a&utm_campaign=%20", json!({"source": "a"})),
        ("s3", "https://shop.example/?utm_source=a&amp;utm_campaign=b", json!({"source": "a", "campaign": "b"})),
        ("s4", "https://shop.example/#/cart?utm_campaign=b", json!({"campaign": "b"})),
        ("s5", "https://shop.example/#utm_campaign=b&utm_id=7", json!({"campaign": "b", "id": "7"})),
        (
            "s6",
            "https://shop.example/?gclid=G&fbclid=F&msclkid=M",
            json!({"gclid": "G", "fbclid": "F", "msclkid": "M"}),
        ),
    ] {
        daemon.tracked(&serde_json::from_str(&body(session, json!({"page": {"url": url}}))).unwrap());
        assert_eq!(daemon.record(&format!("/event/e-{session}"))["event"]["utm"], campaign, "{url}");
        let shown = daemon.record(&format!("/session/{session}"));
        assert_eq!(shown["utm"], campaign, "{url}");
        let profile = daemon.record(&format!("/profile/{}", shown["profile"]["id"].as_str().unwrap()));
        let started = profile["traits"].get("campaigns").is_some();
        assert_eq!(started, campaign.get("campaign").is_some(), "{url}");
    }
    let top = daemon.record("/stats/top?of=utm.campaign");
    assert_eq!((&top["result"][0]["events"], &top["none"]["events"]), (&json!(3), &json!(3)), "{top}");
    // The script names what it knows of the address; the click's id it leaves there.
    let said = json!({"utm": {"source": "news", "campaign": ""}, "page": {"url": "https://shop.example/?utm_source=x&gclid=G"}});
    daemon.tracked(&serde_json::from_str(&body("s7", said)).unwrap());
    assert_eq!(daemon.record("/event/e-s7")["event"]["utm"], json!({"source": "news", "gclid": "G"}));
}

#[test]
fn where_the_client_is_is_the_event_s_and_the_session_s_geo() {
    let (_folder, daemon) = started();
    let place = json!({
        "country": {"name": "Poland", "code": "PL"}, "city": "Gdynia", "county": "Pomerania", "postal": "81-001",
        "latitude": 54.52, "longitude": 18.53, "location": [18.53, 54.52]
    });
    for (session, context) in [("s1", json!({"location": place})), ("s2", json!({"tracardi": {"location": place}}))] {
        daemon.tracked(&json!({
            "source": {"id": "shop"}, "session": {"id": session}, "context": context,
            "events": [{"id": format!("e-{session}"), "type": "page-view"}]
        }));
        assert_eq!(daemon.record(&format!("/event/e-{session}"))["event"]["device"]["geo"], place, "{context}");
        assert_eq!(daemon.record(&format!("/session/{session}"))["device"]["geo"], place, "{context}");
    }
    let top = daemon.record("/stats/top?of=country");
    assert_eq!(top["result"], json!([{"value": "PL", "events": 2, "visits": 2}]));
}
