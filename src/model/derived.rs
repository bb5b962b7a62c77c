//! What is known without configuration: browser, system and device from the user agent and what the browser script
//! says, where the visit came from, which page was seen (docs/contract.md, section 10).
//!
//! It is a function of what is stored, so it is made when a record is shown or looked at, and not stored again.

mod campaign;
mod referrer;

use std::borrow::Cow;

use super::{
    ClientFacts, Id, Json, KnownAgent,
    json::push_string,
    members::{member, members_named, text},
};

pub(super) use campaign::Campaign;
pub(super) use referrer::{Arrival, host, is_same_site};

/// What `context` and the request's head say of the client. Every part is an object, empty where nothing is known.
#[derive(Debug, PartialEq)]
pub struct Derived {
    pub device: Json,
    pub os: Json,
    pub app: Json,
    pub utm: Json,
    pub hit: Json,
}

/// What is told beside the context.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told<'a> {
    pub user_agent: Option<&'a str>,
    pub accept_language: Option<&'a str>,
    pub referer: Option<&'a str>,
    pub origin: Option<&'a str>,
}

impl<'a> Told<'a> {
    /// What a request's head tells.
    pub fn of(client: &'a ClientFacts) -> Self {
        Self {
            user_agent: client.user_agent.as_deref(),
            accept_language: client.accept_language.as_deref(),
            referer: client.referer.as_deref(),
            origin: client.origin.as_deref(),
        }
    }
}

impl Derived {
    /// Of a context in its normal form, without making a tree of it: each event that is shown passes here.
    pub fn new(context: &Json, told: Told<'_>) -> Self {
        let sections = ["browser", "page", "utm", "screen", "time", "location", "tracardi"];
        let [browser, page, said_utm, screen, time, location, tracardi] = members_named(context.as_str(), &sections);
        let local = browser.and_then(|browser| member(browser, "local"));
        let [browser, system] = local.map_or([None; 2], |local| members_named(local, &["browser", "device"]));
        let [said_agent, said_language] =
            browser.map_or([None; 2], |browser| members_named(browser, &["userAgent", "language"]));
        let user_agent = told.user_agent.filter(|agent| !agent.trim().is_empty()).map(Cow::Borrowed);
        let (mut device, mut os, mut app) = (Part::new(), Part::new(), Part::new());
        if let Some(known) = user_agent.or_else(|| said(said_agent).and_then(text)).map(|agent| KnownAgent::of(&agent))
        {
            app.put("name", told_by(&known.browser));
            app.put("version", told_by(&known.version));
            app.put("type", told_by(known.kind.word()));
            os.put("name", told_by(&known.os));
            os.put("version", told_by(&known.os_version));
            device.put("type", told_by(&known.device));
        }
        match said(said_language) {
            Some(language) => app.put_json("language", language),
            None => app.put("language", told.accept_language.and_then(first_language)),
        }
        device.put_said("platform", system.and_then(|system| member(system, "platform")));
        device.put_said("time_zone", time.and_then(|time| member(time, "tz")));
        if let Some(screen) = screen.and_then(|screen| member(screen, "local")) {
            device.put_screen(screen);
        }
        if let Some(location) = location_in(location, tracardi) {
            device.put_json("geo", location);
        }
        let [url, title, referer] = page.map_or([None; 3], |page| members_named(page, &["url", "title", "referer"]));
        let address = said(url).and_then(text);
        let mut hit = Part::new();
        hit.put_said("url", url);
        hit.put_said("name", title);
        if page.is_some() {
            let Told { referer: head, origin, .. } = told;
            let arrival = Arrival { said: referer, referer: head, origin };
            hit.put("referer", arrival.referrer(address.as_deref()).as_deref());
        }
        let mut utm = Part::new();
        utm.put_campaign(&Campaign::new(said_utm, address.as_deref()));
        Self { device: device.end(), os: os.end(), app: app.end(), utm: utm.end(), hit: hit.end() }
    }
}

impl Derived {
    /// Says which device it is.
    pub fn name_device(&mut self, id: &Id) {
        let mut named = Part::new();
        named.put("id", Some(&id.text()));
        self.device = self.device.updated(&named.end());
    }

    /// The parts that a session has, by their names.
    pub fn parts_of_session(&mut self) -> [(&'static str, &mut Json); 4] {
        let Self { device, os, app, utm, .. } = self;
        [("device", device), ("os", os), ("app", app), ("utm", utm)]
    }
}

/// The campaign of a session with this context that began at the page with this address.
pub fn campaign(session: &Json, landing: &str) -> Json {
    let mut utm = Part::new();
    utm.put_campaign(&Campaign::new(member(session.as_str(), "utm"), Some(landing)));
    utm.end()
}

/// The address of a page, if it tells something of the campaign that the session's context does not.
pub fn landing(session: &Json, event: &Json) -> Option<Box<str>> {
    let address = text(member(member(event.as_str(), "page")?, "url")?)?;
    if Campaign::new(None, Some(&address)).is_untold() {
        return None; // as of most
    }
    let said = member(session.as_str(), "utm");
    let told = Campaign::new(said, Some(&address)) != Campaign::new(said, None);
    told.then(|| address.into())
}

/// Room that a part has from its beginning, which few need more than: one that grows step by step is copied at each.
const PART_ROOM: usize = 256;

/// A part of what is derived, while it is put together; its keys need no escape.
struct Part(String);

impl Part {
    fn new() -> Self {
        Self(String::new())
    }

    /// Puts a value in as it is written.
    fn put_json(&mut self, key: &str, value: &str) {
        self.begin(key);
        self.0.push_str(value);
    }

    /// Puts a text in, if there is one.
    fn put(&mut self, key: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.begin(key);
            push_string(&mut self.0, text);
        }
    }

    /// Puts in what was said, if it is a text and not an empty one.
    fn put_said(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = said(value) {
            self.put_json(key, value);
        }
    }

    fn put_campaign(&mut self, campaign: &Campaign<'_>) {
        campaign.parts().for_each(|(name, value)| self.put(name, Some(value)));
    }

    fn put_screen(&mut self, screen: &str) {
        let [width, height, depth, orientation] =
            members_named(screen, &["width", "height", "colorDepth", "orientation"]);
        if let (Some(width), Some(height)) = (number(width), number(height)) {
            self.put("resolution", Some(&format!("{width}x{height}")));
        }
        if let Some(depth) = number(depth) {
            self.put_json("color_depth", depth);
        }
        self.put_said("orientation", orientation);
    }

    fn begin(&mut self, key: &str) {
        if self.0.is_empty() {
            self.0.reserve(PART_ROOM);
        }
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        ["\"", key, "\":"].iter().for_each(|part| self.0.push_str(part));
    }

    fn end(mut self) -> Json {
        if self.0.is_empty() {
            return Json::empty_object();
        }
        self.0.push('}');
        Json::from_normal(&self.0)
    }
}

/// Where the client is, by the context's `location` or else by what its `tracardi` says: an object that tells something.
pub(super) fn location_in<'a>(location: Option<&'a str>, tracardi: Option<&'a str>) -> Option<&'a str> {
    let tells = |place: &&str| place.starts_with('{') && *place != "{}";
    location.filter(tells).or_else(|| tracardi.and_then(|tracardi| member(tracardi, "location")).filter(tells))
}

/// A number as it is written.
fn number(value: Option<&str>) -> Option<&str> {
    value.filter(|value| value.starts_with(|first: char| first == '-' || first.is_ascii_digit()))
}

fn told_by(word: &str) -> Option<&str> {
    Some(word).filter(|word| !word.is_empty())
}

/// A text as it is written, unless it is empty.
fn said(value: Option<&str>) -> Option<&str> {
    value.filter(|value| value.starts_with('"') && *value != "\"\"")
}

/// The language that a browser asks for first.
pub(super) fn first_language(header: &str) -> Option<&str> {
    header.split([',', ';']).next().map(str::trim).filter(|language| !language.is_empty() && *language != "*")
}

#[cfg(test)]
mod tests {
    use super::{super::Reader, *};

    fn derived(context: &str, user_agent: Option<&str>) -> Derived {
        let context = Reader::new(context.as_bytes(), 0).unwrap().value().unwrap();
        Derived::new(&context, Told { user_agent, accept_language: Some("de-CH,de;q=0.9"), ..Told::default() })
    }

    #[test]
    fn user_agents_of_today_are_known() {
        for (agent, app, os, device) in [
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36 Edg/141.0.0.0",
                "Edge",
                "Windows",
                "desktop",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
                "Safari",
                "iOS",
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
            let word = |part: &Json, key| member(part.as_str(), key).and_then(text).unwrap_or_default().into_owned();
            assert_eq!(word(&found.app, "name"), app, "{agent}");
            assert_eq!(word(&found.os, "name"), os, "{agent}");
            assert_eq!(word(&found.device, "type"), device, "{agent}");
        }
        let odd = derived("{}", Some("\u{1F600} my own client"));
        assert_eq!((odd.os.as_str(), odd.device.as_str(), odd.app.as_str()), ("{}", "{}", r#"{"language":"de-CH"}"#));
    }

    #[test]
    fn where_the_client_is_stands_in_one_of_two_places() {
        for (context, device) in [
            (r#"{"location":{"city":"Oslo"},"tracardi":{"location":{"city":"Rome"}}}"#, r#"{"geo":{"city":"Oslo"}}"#),
            (
                r#"{"tracardi":{"location":{"city":"Rome","latitude":41.9}}}"#,
                r#"{"geo":{"city":"Rome","latitude":41.9}}"#,
            ),
            (r#"{"location":{},"tracardi":{"location":{"city":"Rome"}}}"#, r#"{"geo":{"city":"Rome"}}"#),
            (r#"{"location":"Oslo","tracardi":{"location":{"city":"Rome"}}}"#, r#"{"geo":{"city":"Rome"}}"#),
            (r#"{"location":[1,2],"tracardi":{"location":null}}"#, "{}"),
            (r#"{"tracardi":"location"}"#, "{}"),
        ] {
            assert_eq!(derived(context, None).device.as_str(), device, "{context}");
        }
    }

    #[test]
    fn a_landing_page_is_kept_for_what_the_session_does_not_tell() {
        let json = |text: &str| Reader::new(text.as_bytes(), 0).unwrap().value().unwrap();
        let kept = |session: &str, url: &str| {
            let session = json(session);
            let landing = landing(&session, &json(&format!(r#"{{"page":{{"url":"{url}"}}}}"#)))?;
            Some(campaign(&session, &landing).as_str().to_owned())
        };
        let said = r#"{"utm":{"source":"script"}}"#;
        assert_eq!(kept("{}", "/?utm_source=news").as_deref(), Some(r#"{"source":"news"}"#));
        assert_eq!(kept("{}", "/?gclid=1").as_deref(), Some(r#"{"gclid":"1"}"#));
        assert_eq!(kept("{}", "/?utm_source=&utm_campaign=%20"), None);
        assert_eq!(kept(said, "/?utm_source=news"), None);
        assert_eq!(kept(said, "/?utm_source=news&gclid=1").as_deref(), Some(r#"{"source":"script","gclid":"1"}"#));
        assert_eq!(kept(r#"{"utm":{"source":""}}"#, "/?utm_source=news").as_deref(), Some(r#"{"source":"news"}"#));
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
            found.device.as_str(),
            r#"{"platform":"MacIntel","time_zone":"Europe/Zurich","resolution":"1280x720","color_depth":24,"orientation":"landscape-primary"}"#
        );
        assert_eq!(found.app.as_str(), r#"{"language":"fr"}"#);
        assert_eq!(found.utm.as_str(), r#"{"source":"news","campaign":"spring sale"}"#);
        assert_eq!(
            found.hit.as_str(),
            r#"{"url":"https://shop.example/a?utm_source=news&utm_campaign=spring%20sale#x","name":"Shop","referer":"search.example"}"#
        );
        let said = derived(r#"{"utm":{"source":"script"},"page":{"url":"/?utm_source=url&utm_term=t"}}"#, None);
        assert_eq!(said.utm.as_str(), r#"{"source":"script"}"#);
        let own = derived(
            r#"{"page":{"url":"https://www.shop.example/?utm_campaign=","referer":{"host":"shop.example"}}}"#,
            None,
        );
        assert_eq!(
            (own.hit.as_str(), own.utm.as_str()),
            (r#"{"url":"https://www.shop.example/?utm_campaign="}"#, "{}")
        );
    }
}
