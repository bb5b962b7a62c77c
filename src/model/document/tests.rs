use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::*;
use crate::model::{EventRequest, ShownEvent, Value};

const NOW: &str = "2026-11-25T10:00:00Z";

fn read(document: &Json) -> Result<Document, String> {
    Document::read(document.to_string().as_bytes(), None, Time::parse(NOW).unwrap()).map_err(|fault| fault.to_string())
}

fn event(document: &Json) -> EventDocument {
    match read(document).unwrap() {
        Document::Event(event) => *event,
        other => panic!("{other:?}"),
    }
}

/// The event as it would be shown.
fn shown(document: &EventDocument) -> Json {
    let request = EventRequest {
        inserted: document.inserted,
        source: document.source.clone().unwrap_or_else(|| Id::required("given").unwrap()),
        session: document.session.clone(),
        profile: document.profile.clone().map(|id| crate::model::ProfileRef { id, since: 0 }),
        profile_less: document.profile_less,
        context: super::Json::empty_object(),
        client: Arc::new(document.client.clone()),
        bot: document.bot,
        profile_state: None,
        imported: true,
    };
    serde_json::to_value(ShownEvent { request: Arc::new(request), event: document.event.clone() }).unwrap()
}

fn whole_event() -> Json {
    json!({
        "id": "e1", "type": "purchase-order", "name": "Purchase Order",
        "source": {"id": "shop"}, "session": {"id": "s1"}, "profile": {"id": "p1"},
        "properties": {"price": 1.10, "list": [null, {"a": []}]},
        "context": {"page": {"url": "https://shop.example/?utm_source=news", "title": "Shop"}},
        "request": {"ip": "10.0.0.0", "user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"},
        "tags": ["a", "b"], "traits": {"x": 1}, "data": {"contact": {"email": {"main": "ada@example.com"}}},
        "journey": {"state": "conversion"},
        "metadata": {
            "time": {"insert": "2026-01-02T03:04:05.678901Z", "create": "2026-01-02T03:04:00.000000Z"},
            "profile_less": false, "status": "processed", "valid": false, "bot": true, "identified": false, "imported": true
        },
        "hit": {"url": "https://shop.example/?utm_source=news", "name": "Another title"},
        "utm": {"source": "news"},
        "device": {"type": "desktop", "geo": {"city": "Bern"}},
        "os": {"name": "Linux"},
        "app": {"name": "Firefox", "version": "140.0", "type": "browser"}
    })
}

#[test]
fn an_event_is_shown_as_it_came() {
    let document = whole_event();
    let read = event(&document);
    assert_eq!(shown(&read), document);
    // What follows from context and client is not written again.
    assert_eq!(
        read.event.outcome.written.as_str(),
        r#"{"traits":{"x":1},"data":{"contact":{"email":{"main":"ada@example.com"}}},"hit":{"name":"Another title"},"device":{"geo":{"city":"Bern"}},"identified":false}"#
    );
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    let changed = |change: &dyn Fn(&mut Json)| {
        let mut document = whole_event();
        change(&mut document);
        read(&document).unwrap_err()
    };
    for (change, told) in [
        (&(|it: &mut Json| it["id"] = json!("")) as &dyn Fn(&mut Json), "id: field required"),
        (&|it| it["id"] = json!(7), "id: a string is expected"),
        (&|it| it["type"] = json!(" "), "type: "),
        (&|it| it["metadata"]["time"]["insert"] = Json::Null, "metadata: time: insert: field required"),
        (&|it| it["metadata"]["time"]["insert"] = json!("yesterday"), "metadata: time: insert: not a time"),
        (
            &|it| it["metadata"]["time"]["insert"] = json!("2026-11-25T10:00:00.000001Z"),
            "insert: it lies in the future",
        ),
        (&|it| it["properties"] = json!([]), "properties: an object is expected"),
        (&|it| it["metadata"]["valid"] = json!("so so"), "metadata: valid: "),
        (&|it| it["tags"] = json!(["a", 1]), "tags: 1: a string"),
        (&|it| it["source"] = json!({"id": "a\u{1}"}), "source: id: "),
    ] {
        let refused = changed(change);
        assert!(refused.contains(told), "{told}: {refused}");
    }
    assert!(read(&json!({"id": "x"})).unwrap_err().contains("neither an event"));
    assert!(read(&json!([])).unwrap_err().contains("an object is expected"));
    let now = Time::parse(NOW).unwrap();
    for broken in ["", "{", "{\"id\":\"a\",\"id\":\"b\"}", "{} {}", "\u{1}", "nonsense"] {
        assert!(Document::read(broken.as_bytes(), None, now).is_err(), "{broken}");
    }
}

#[test]
fn the_reference_s_documents_are_read() {
    let wrapped = json!({"_index": "tracardi-event", "_source": {
        "id": "e1", "type": "page-view", "name": "Page view",
        "metadata": {"aux": {}, "time": {"insert": "2023-11-02 10:00:00.123456", "create": null, "process_time": 0.01},
            "ip": "1.2.3.4", "status": "retrieved", "valid": true, "profile_less": false, "processed_by": {"rules": []}},
        "source": {"id": "s"}, "session": {"id": "v", "duration": 5, "tz": "utc"}, "profile": {"id": "p"},
        "properties": {}, "traits": {}, "data": {}, "tags": {"values": ["x"], "count": 1}, "context": {},
        "request": {"headers": {"host": "x"}}, "config": {}, "aux": {}, "device": {"name": "Phone", "ip": null},
        "os": {"name": "iOS"}, "app": {}, "hit": {}, "utm": {}, "journey": {"state": null}
    }});
    let read = event(&wrapped);
    assert_eq!(read.inserted, Time::parse("2023-11-02T10:00:00.123456Z").unwrap());
    let shown = shown(&read);
    assert_eq!(
        (&shown["tags"], &shown["os"]["name"], &shown["device"]["name"]),
        (&json!(["x"]), &json!("iOS"), &json!("Phone"))
    );
    assert_eq!((&shown["request"], &shown["metadata"]["status"]), (&json!({}), &json!("collected")));
}

fn profile_document() -> Json {
    json!({
        "id": "p1", "ids": ["p1", "old", "older"], "primary_id": "17",
        "metadata": {
            "time": {"insert": "2025-01-01T00:00:00.000000Z", "update": "2025-03-01T00:00:00.000000Z",
                "visit": {"count": 4, "current": "2025-02-02T00:00:00.000000Z", "last": "2025-02-01T00:00:00.000000Z"}},
            "ids": 3, "fields": {"traits.a": "2025-02-02T00:00:00.000000Z"}, "imported": true
        },
        "stats": {"visits": 4, "views": 9}, "traits": {"a": 1}, "data": {"pii": {"name": "Ada"}},
        "segments": ["s"], "interests": {"tea": 2}, "consents": {"mail": {"revoke": null}},
        "aux": {"note": "x", "conflicts": [{"path": "traits.a", "value": 2, "time": "2025-01-05T00:00:00.000000Z"}]},
        "active": true
    })
}

#[test]
fn a_profile_is_shown_as_it_came() {
    let document = profile_document();
    let Document::Profile(read) = read(&document).unwrap() else { panic!("a profile is expected") };
    assert_eq!(read.names.iter().map(Id::to_string).collect::<Vec<_>>(), ["old", "older"]);
    let mut profile = read.profile;
    profile
        .list_aliases(read.names.into_iter().zip(1..).map(|(id, since)| crate::model::Alias { id, since }).collect());
    profile.names = 2;
    for (visit, begun) in profile.latest_visits.iter_mut().zip(read.visits) {
        *visit = begun.map(|begun| crate::model::Visit { begun, session: Id::required("visit").unwrap() });
    }
    assert_eq!(serde_json::to_value(profile.shown_if_imported(true)).unwrap(), document);
}

#[test]
fn the_reference_s_profile_is_read() {
    let document = json!({
        "id": "p", "ids": null, "metadata": {"time": {"insert": 1700000000, "visit": {"count": 2, "last": null, "tz": "utc"}},
            "fields": {"data.pii.name": ["2023-11-02T10:00:00Z", "event"], "x y z": 3}},
        "stats": {"visits": 2, "views": 1, "counters": {}}, "traits": {}, "segments": [], "interests": {}, "consents": {}
    });
    let Document::Profile(read) = read(&document).unwrap() else { panic!("a profile is expected") };
    assert_eq!((read.profile.visits, read.profile.facts.as_str()), (2, "{}"));
    assert_eq!(read.profile.fields.iter().map(|(path, _)| path).collect::<Vec<_>>(), ["data.pii.name"]);
}

#[test]
fn a_session_is_shown_as_it_came() {
    let document = json!({
        "id": "s1", "profile": null, "context": {"page": {"url": "/"}}, "properties": {"a": 1}, "traits": {},
        "device": {"type": "mobile", "id": "d1"}, "os": {"name": "iPhone"}, "app": {}, "utm": {"source": "news"},
        "metadata": {"time": {"insert": "2025-01-01T00:00:00.000000Z", "update": "2025-01-01T00:10:00.000000Z",
            "duration": 590.123456}, "channel": "web", "status": "active", "imported": true}
    });
    let Document::Session(read) = read(&document).unwrap() else { panic!("a session is expected") };
    assert_eq!(serde_json::to_value(read.session.shown_if_imported(Some(&read.shown))).unwrap(), document);
    assert_eq!(
        read.shown.as_str(),
        r#"{"device":{"id":"d1","type":"mobile"},"os":{"name":"iPhone"},"utm":{"source":"news"}}"#
    );
}

#[test]
fn segment_s_messages_are_read() {
    let track = json!({
        "type": "track", "messageId": "m1", "anonymousId": "a1", "userId": "u1", "event": "Order Completed",
        "timestamp": "2026-01-02T03:04:05.678Z", "originalTimestamp": "2026-01-02T03:04:00Z",
        "properties": {"total": 9.5}, "context": {"ip": "1.2.3.4", "userAgent": "curl/8", "locale": "de-CH"}
    });
    let told = event(&track);
    assert_eq!(
        (&*told.event.id.text(), &*told.event.kind, &*told.event.name),
        ("m1", "order-completed", "Order Completed")
    );
    assert_eq!((&*told.profile.as_ref().unwrap().text(), told.source.is_none()), ("u1", true));
    assert_eq!(&*told.person.unwrap().alias.unwrap().text(), "a1");
    assert_eq!(told.event.created, Some(Time::parse("2026-01-02T03:04:00Z").unwrap()));
    let page = json!({"type": "page", "anonymousId": "a1", "name": "Home", "receivedAt": "2026-01-02T03:04:05Z"});
    let (one, again) = (event(&page), event(&page));
    assert_eq!((&*one.event.kind, one.event.properties.as_str()), ("page-view", r#"{"name":"Home"}"#));
    assert!(one.event.id.is_uuid() && one.event.id == again.event.id, "an id that is the same each time");
    let identify = json!({"type": "identify", "userId": "u1", "traits": {"plan": "pro"}, "timestamp": 1767323045});
    assert_eq!(event(&identify).person.unwrap().traits.as_str(), r#"{"plan":"pro"}"#);
    assert!(read(&json!({"type": "track", "userId": "u", "timestamp": 1})).unwrap_err().contains("event: field"));
    assert!(read(&json!({"type": "video", "userId": "u"})).unwrap_err().contains("type: one of track"));
    assert!(read(&json!({"type": "page", "userId": "u"})).unwrap_err().contains("timestamp: field"));
    assert_eq!(Value::from(&event(&page).event.context), Value::object());
}
