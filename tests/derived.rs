//! What is known without configuration: browser, system, device, campaign, page (docs/contract.md, section 10).

mod support;

use serde_json::json;
use support::daemon::started;

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
