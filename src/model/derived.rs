//! What is known without configuration: browser, system and device from the user agent and what the browser script
//! says, where the visit came from, which page was seen (contract, section 10).
//!
//! It is a function of what is stored, so it is made when a record is shown or looked at, and not stored again.

use super::{Json, KnownAgent, Value};

/// The query's parameters that tell of a campaign, and how they are shown.
pub(super) const UTM: [(&str, &str); 5] = [
    ("utm_source", "source"),
    ("utm_medium", "medium"),
    ("utm_campaign", "campaign"),
    ("utm_term", "term"),
    ("utm_content", "content"),
];

/// What `context` and the request's head say of the client. Every part is an object, empty where nothing is known.
#[derive(Debug, PartialEq)]
pub struct Derived {
    pub device: Value,
    pub os: Value,
    pub app: Value,
    pub utm: Value,
    pub hit: Value,
}

/// What is told beside the context.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told<'a> {
    pub user_agent: Option<&'a str>,
    pub accept_language: Option<&'a str>,
    pub referer: Option<&'a str>,
}

impl Derived {
    pub fn new(context: &Json, told: Told<'_>) -> Self {
        let context = Value::from(context);
        let browser = at(&context, &["browser", "local", "browser"]);
        let said = |key| browser.and_then(|browser| text(browser, key));
        let user_agent = told.user_agent.filter(|agent| !agent.trim().is_empty()).or(said("userAgent"));
        let (mut device, mut os, mut app) = (Value::object(), Value::object(), Value::object());
        if let Some(known) = user_agent.map(KnownAgent::of) {
            put(&mut app, "name", told_by(&known.browser));
            put(&mut app, "version", told_by(&known.version));
            put(&mut app, "type", told_by(&known.kind));
            put(&mut os, "name", told_by(&known.os));
            put(&mut os, "version", told_by(&known.os_version));
            put(&mut device, "type", told_by(&known.device));
        }
        let language = said("language").or_else(|| told.accept_language.and_then(first_language));
        put(&mut app, "language", language);
        put(&mut device, "platform", at(&context, &["browser", "local", "device"]).and_then(|it| text(it, "platform")));
        put(&mut device, "time_zone", at(&context, &["time"]).and_then(|time| text(time, "tz")));
        if let Some(screen) = at(&context, &["screen", "local"]) {
            add_screen(&mut device, screen);
        }
        if let (Some(location), Some(device)) = (at(&context, &["location"]), device.as_object_mut())
            && location.as_object().is_some()
        {
            device.insert("geo", location.clone());
        }
        let page = at(&context, &["page"]);
        let url = page.and_then(|page| text(page, "url"));
        Self { device, os, app, utm: utm(&context, url), hit: hit(page, url, told.referer) }
    }
}

impl Derived {
    /// The parts that a session has, by their names.
    pub fn parts_of_session(&mut self) -> [(&'static str, &mut Value); 4] {
        let Self { device, os, app, utm, .. } = self;
        [("device", device), ("os", os), ("app", app), ("utm", utm)]
    }
}

/// The campaign that the script names, or the page's address.
fn utm(context: &Value, url: Option<&str>) -> Value {
    let said = at(context, &["utm"]).filter(|said| said.as_object().is_some_and(|said| !said.is_empty()));
    let Some(said) = said else { return url.map_or_else(Value::object, campaign) };
    let mut utm = Value::object();
    UTM.iter().for_each(|(_, name)| put(&mut utm, name, text(said, name)));
    utm
}

/// The campaign that an address tells of in its query.
pub fn campaign(url: &str) -> Value {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let query = query.split_once('#').map_or(query, |(query, _)| query);
    let mut utm = Value::object();
    for (parameter, name) in UTM {
        let found = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == parameter);
        put(&mut utm, name, found.as_ref().map(|(_, value)| &**value));
    }
    utm
}

/// The address of a page whose context names the campaign nowhere else.
pub fn landing(session: &Json, event: &Json) -> Option<Box<str>> {
    // A look at the text first: most pages tell of no campaign.
    if !event.as_str().contains("utm_") || session.as_str().contains("\"utm\":{\"") {
        return None;
    }
    let event = Value::from(event);
    at(&event, &["page"]).and_then(|page| text(page, "url")).map(Into::into)
}

fn hit(page: Option<&Value>, url: Option<&str>, referer: Option<&str>) -> Value {
    let mut hit = Value::object();
    put(&mut hit, "url", url);
    let Some(page) = page else { return hit };
    put(&mut hit, "name", text(page, "title"));
    let said = at(page, &["referer"]);
    put(&mut hit, "referer", said.and_then(|said| text(said, "host")).or(referer));
    hit
}

fn add_screen(device: &mut Value, screen: &Value) {
    let number = |key: &str| screen.as_object().and_then(|screen| screen.get(key)).filter(|it| it.as_f64().is_some());
    if let (Some(width), Some(height)) = (number("width"), number("height")) {
        put(device, "resolution", Some(&format!("{}x{}", width.to_text(), height.to_text())));
    }
    if let (Some(depth), Some(device)) = (number("colorDepth"), device.as_object_mut()) {
        device.insert("color_depth", depth.clone());
    }
    put(device, "orientation", text(screen, "orientation"));
}

/// The language that a browser asks for first.
pub(super) fn first_language(header: &str) -> Option<&str> {
    header.split([',', ';']).next().map(str::trim).filter(|language| !language.is_empty() && *language != "*")
}

fn told_by(word: &str) -> Option<&str> {
    Some(word).filter(|word| !word.is_empty())
}

fn at<'a>(value: &'a Value, keys: &[&str]) -> Option<&'a Value> {
    keys.iter().try_fold(value, |value, key| value.as_object()?.get(key))
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.as_object()?.get(key)?.as_str().filter(|text| !text.is_empty())
}

fn put(object: &mut Value, key: &str, text: Option<&str>) {
    if let (Some(text), Some(object)) = (text, object.as_object_mut()) {
        object.insert(key, Value::text(text));
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Reader, *};

    fn derived(context: &str, user_agent: Option<&str>) -> Derived {
        let context = Reader::new(context.as_bytes(), 0).unwrap().value().unwrap();
        Derived::new(&context, Told { user_agent, accept_language: Some("de-CH,de;q=0.9"), referer: None })
    }

    fn shown(value: &Value) -> String {
        value.to_json().as_str().to_owned()
    }

    #[test]
    fn user_agents_of_today_are_known() {
        for (agent, app, os, device) in [
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36 Edg/141.0.0.0",
                "Edge",
                "Windows 10",
                "desktop",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
                "Safari",
                "iPhone",
                "mobile",
            ),
            ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox", "Linux", "desktop"),
            (
                "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36",
                "Chrome",
                "Android",
                "mobile",
            ),
        ] {
            let found = derived("{}", Some(agent));
            let word = |value: &Value, key| text(value, key).unwrap_or_default().to_owned();
            assert_eq!(word(&found.app, "name"), app, "{agent}");
            assert_eq!(word(&found.os, "name"), os, "{agent}");
            assert_eq!(word(&found.device, "type"), device, "{agent}");
        }
        let odd = derived("{}", Some("\u{1F600} my own client"));
        assert_eq!(
            (shown(&odd.os), shown(&odd.device), shown(&odd.app)),
            ("{}".into(), "{}".into(), r#"{"language":"de-CH"}"#.into())
        );
    }

    #[test]
    fn the_script_s_context_tells_of_screen_campaign_and_page() {
        let found = derived(
            r#"{"time":{"tz":"Europe/Zurich"},"browser":{"local":{"browser":{"language":"fr"},"device":{"platform":"MacIntel"}}},
                "screen":{"local":{"width":1280,"height":720,"colorDepth":24,"orientation":"landscape-primary"}},
                "page":{"url":"https://shop.example/a?utm_source=news&utm_campaign=spring%20sale#x","title":"Shop","referer":{"host":"search.example"}}}"#,
            None,
        );
        assert_eq!(
            shown(&found.device),
            r#"{"platform":"MacIntel","time_zone":"Europe/Zurich","resolution":"1280x720","color_depth":24,"orientation":"landscape-primary"}"#
        );
        assert_eq!(shown(&found.app), r#"{"language":"fr"}"#);
        assert_eq!(shown(&found.utm), r#"{"source":"news","campaign":"spring sale"}"#);
        assert_eq!(
            shown(&found.hit),
            r#"{"url":"https://shop.example/a?utm_source=news&utm_campaign=spring%20sale#x","name":"Shop","referer":"search.example"}"#
        );
        let said = derived(r#"{"utm":{"source":"script"},"page":{"url":"/?utm_source=url&utm_term=t"}}"#, None);
        assert_eq!(shown(&said.utm), r#"{"source":"script"}"#);
    }
}
