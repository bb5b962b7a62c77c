//! What events are counted by beside type and source: page, referrer, client and campaign, as they are shown
//! (docs/contract.md, section 10). Read from the text of what is stored, for every event passes here on its way into an
//! index.

use std::{borrow::Cow, ops::Range};

use super::{
    Event, EventRequest, Json, KnownAgent,
    derived::{Arrival, Campaign, first_language, host, is_same_site, location_in},
    members::{from_member, member, members_named, text},
};

/// Longer values are cut, in bytes of UTF-8.
pub const FACET_BYTES_MAX: usize = 512;

/// The members of a context that facets are read from.
const SECTIONS: [&str; 5] = ["page", "utm", "browser", "location", "tracardi"];
const PAGE: usize = 0;
const SAID_UTM: usize = 1;
const BROWSER: usize = 2;
const LOCATION: usize = 3;
const TRACARDI: usize = 4;
/// Those that the client's facets are read from.
const OF_CLIENT: [usize; 3] = [BROWSER, LOCATION, TRACARDI];
/// The parts that may be written over what is derived.
const WRITTEN: [&str; 5] = ["hit", "utm", "device", "os", "app"];
const HIT: usize = 0;
const UTM_PARTS: usize = 1;
const DEVICE: usize = 2;
const OS: usize = 3;
const APP: usize = 4;

/// Where the sections stand in the context of a request: found once for all of its events.
#[derive(Clone, Debug, Default)]
pub struct ContextSections([Option<Range<usize>>; SECTIONS.len()]);

impl ContextSections {
    pub fn of(context: &Json) -> Self {
        let whole = context.as_str();
        let place = |part: &str| {
            let start = part.as_ptr() as usize - whole.as_ptr() as usize;
            start..start + part.len()
        };
        Self(members_named(whole, &SECTIONS).map(|section| section.map(place)))
    }
}

/// An event, as it is looked at for its facets. Each is empty where nothing is known.
pub struct Facets<'a> {
    request: &'a EventRequest,
    context: [Option<&'a str>; SECTIONS.len()],
    /// What the page's section says under `url` and under `referer`.
    page: [Option<&'a str>; 2],
    written: [Option<&'a str>; WRITTEN.len()],
    /// The client's facets are those of the request.
    pub has_client_of_request: bool,
}

impl<'a> Facets<'a> {
    /// `sections`: those of the request's context.
    pub fn new(request: &'a EventRequest, sections_of_request: &ContextSections, event: &'a Event) -> Self {
        let base = request.context.as_str();
        let mut context = std::array::from_fn(|at| base.get(sections_of_request.0[at].clone()?));
        let mut has_client_of_request = true;
        if !event.context.is_empty_object() {
            let own = members_named(event.context.as_str(), &SECTIONS);
            has_client_of_request = OF_CLIENT.iter().all(|section| own[*section].is_none());
            for (section, own) in context.iter_mut().zip(own) {
                *section = own.or(*section);
            }
        }
        let written = &event.outcome.written;
        let written = if written.is_empty_object() { [None; 5] } else { members_named(written.as_str(), &WRITTEN) };
        has_client_of_request &= [DEVICE, OS, APP].iter().all(|part| written[*part].is_none());
        let page = context[PAGE].map_or([None; 2], |page| members_named(page, &["url", "referer"]));
        Self { request, context, page, written, has_client_of_request }
    }

    /// The address of the page, without its query and its fragment: these make the same page many.
    pub fn page(&self) -> Cow<'a, str> {
        let address = self.address();
        let end = address.find(['?', '#']).unwrap_or(address.len());
        cut(address, end)
    }

    /// The host that the visitor came from, in lower case; not one of the page's own site.
    pub fn referrer(&self) -> Cow<'a, str> {
        let told = || {
            self.context[PAGE]?;
            let client = &self.request.client;
            let (referer, origin) = (client.referer.as_deref(), client.origin.as_deref());
            Arrival { said: self.page[1], referer, origin }.referrer(self.said_address().as_deref())
        };
        let referrer = self.laid_over(HIT, "referer", told);
        let host = host(&referrer);
        // What was written may be of the page's own site, too.
        if host.is_empty() || is_same_site(host, self::host(&self.address())) {
            return Cow::Borrowed("");
        }
        let host = host.to_ascii_lowercase();
        let end = host.len();
        cut(Cow::Owned(host), end)
    }

    /// Source, medium and name of the campaign.
    pub fn campaign(&self) -> [Cow<'a, str>; 3] {
        let address = self.said_address();
        let derived = Campaign::new(self.context[SAID_UTM], address.as_deref());
        derived.into_names().map(|(name, value)| {
            let told = || value.map(|value| Cow::Owned(value.into_owned()));
            let value = self.laid_over(UTM_PARTS, name, told);
            let end = value.len();
            cut(value, end)
        })
    }

    /// The user agent that the client is known by.
    pub fn user_agent(&self) -> Option<Cow<'a, str>> {
        let sent = self.request.client.user_agent.as_deref().filter(|agent| !agent.trim().is_empty());
        sent.map(Cow::Borrowed).or_else(|| said_in(self.browser()?, "userAgent"))
    }

    /// Browser, system, kind of device, language and country. `agent`: what [`Facets::user_agent`] says.
    pub fn client<'b>(&'b self, agent: &'b KnownAgent) -> [Cow<'b, str>; 5] {
        let known = |word: &'b str| Some(Cow::Borrowed(word));
        let language = || {
            let said = self.browser().and_then(|browser| said_in(browser, "language"));
            said.or_else(|| self.request.client.accept_language.as_deref().and_then(first_language).map(Cow::Borrowed))
        };
        let written = self.written[DEVICE].and_then(|device| member(device, "geo"));
        let location = written.or_else(|| location_in(self.context[LOCATION], self.context[TRACARDI]));
        let client = [
            self.laid_over(APP, "name", || known(&agent.browser)),
            self.laid_over(OS, "name", || known(&agent.os)),
            self.laid_over(DEVICE, "type", || known(&agent.device)),
            self.laid_over(APP, "language", language),
            location.and_then(|location| country(member(location, "country")?)).unwrap_or_default(),
        ];
        client.map(|value| {
            let end = value.len();
            cut(value, end)
        })
    }

    /// What begins with what the browser says of itself.
    fn browser(&self) -> Option<&'a str> {
        from_member(from_member(self.context[BROWSER]?, "local")?, "browser")
    }

    /// The address of the page, as it is shown.
    fn address(&self) -> Cow<'a, str> {
        self.laid_over(HIT, "url", || self.said_address())
    }

    /// The address that the context says.
    fn said_address(&self) -> Option<Cow<'a, str>> {
        self.page[0].and_then(text)
    }

    /// What was written to a part, or else what is derived.
    fn laid_over<'b>(&self, part: usize, key: &str, derived: impl FnOnce() -> Option<Cow<'b, str>>) -> Cow<'b, str>
    where
        'a: 'b,
    {
        match self.written[part].and_then(|part| member(part, key)) {
            Some(written) => scalar(written),
            None => derived(),
        }
        .unwrap_or_default()
    }
}

/// The text under `key`, unless it is empty.
fn said_in<'a>(object: &'a str, key: &str) -> Option<Cow<'a, str>> {
    text(member(object, key)?).filter(|text| !text.is_empty())
}

/// A text, or what a number or a boolean is written as.
fn scalar(value: &str) -> Option<Cow<'_, str>> {
    match value.as_bytes().first()? {
        b'"' => text(value),
        b'{' | b'[' | b'n' => None,
        _ => Some(Cow::Borrowed(value)),
    }
}

/// A country by itself, or its code, or its name.
fn country(value: &str) -> Option<Cow<'_, str>> {
    said_in(value, "code").or_else(|| said_in(value, "name")).or_else(|| scalar(value))
}

/// The first `end` bytes, or as many as a facet has.
fn cut(text: Cow<'_, str>, end: usize) -> Cow<'_, str> {
    let mut end = end.min(FACET_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[..end]),
        Cow::Owned(mut text) => {
            text.truncate(end);
            Cow::Owned(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{
        super::{ClientFacts, Id, Outcome, Reader, ShownEvent, Time, Value},
        *,
    };

    fn json(text: &str) -> Json {
        Reader::new(text.as_bytes(), 0).unwrap().value().unwrap()
    }

    fn request(context: &str, client: ClientFacts) -> EventRequest {
        EventRequest {
            inserted: Time::default(),
            source: Id::required("shop").unwrap(),
            session: None,
            profile: None,
            profile_less: true,
            context: json(context),
            client: Arc::new(client),
            bot: false,
            profile_state: None,
            imported: false,
        }
    }

    fn event(context: &str, written: &str) -> Event {
        Event {
            id: Id::required("e").unwrap(),
            given: false,
            kind: "page-view".into(),
            name: "page-view".into(),
            created: None,
            properties: Json::empty_object(),
            context: json(context),
            tags: Arc::new([]),
            outcome: Outcome { written: json(written), ..Outcome::default() },
        }
    }

    const PHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1";

    #[test]
    fn facets_are_what_the_event_shows() {
        let said = r#"{"browser":{"local":{"browser":{"userAgent":"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0","language":"pl"}}},
            "utm":{"source":"script","term":"x"},"location":{"country":{"code":"PL","name":"Poland"}}}"#;
        let pages = [
            "{}",
            r#"{"page":null}"#,
            r#"{"page":{"url":"https://shop.example/a\"b?utm_source=news&utm_campaign=spring%20sale#x","referer":{"host":"search.example"}}}"#,
            r#"{"page":{"url":"https://shop.example/b","referer":{"host":null}},"utm":{}}"#,
            r#"{"page":{"url":"/p?utm_medium=mail"},"location":{"country":"CH"},"browser":{}}"#,
            r#"{"page":{"url":"https://m.shop.example/#/a?utm_campaign=&amp;utm_source=x","referer":{"host":"www.shop.example"}},
                "location":{},"tracardi":{"location":{"country":{"name":"Chad"}}}}"#,
            r#"{"page":{"url":"https://www.mail.example/a"},"utm":{"source":"","gclid":"1"},"tracardi":{"location":1}}"#,
        ];
        let written = [
            "{}",
            r#"{"hit":{"url":"/written?x","referer":"other.example"},"os":{"name":"Plan 9"},"app":{"name":5,"language":null}}"#,
            r#"{"utm":{"source":"w"},"device":{"type":"watch","geo":{"country":{"name":"Peru"}}},"traits":{"x":1}}"#,
        ];
        let told = ClientFacts {
            user_agent: Some(PHONE.into()),
            referer: Some("https://Mail.example:8080/inbox?x".into()),
            accept_language: Some("de-CH,de;q=0.9".into()),
            origin: Some("https://shop.example".into()),
            ..ClientFacts::default()
        };
        for client in [ClientFacts::default(), told] {
            for base in ["{}", said] {
                let request = Arc::new(request(base, client.clone()));
                let sections = ContextSections::of(&request.context);
                for (page, written) in pages.iter().flat_map(|page| written.iter().map(move |written| (page, written)))
                {
                    let event = Arc::new(event(page, written));
                    let shown = Value::shown(&ShownEvent { request: request.clone(), event: event.clone() });
                    let at = |path: &str| {
                        let steps: Vec<Box<str>> = path.split('.').map(Into::into).collect();
                        let found = shown.get(&steps).filter(|it| it.as_object().is_none() && **it != Value::Null);
                        found.map(Value::to_text).unwrap_or_default()
                    };
                    let facets = Facets::new(&request, &sections, &event);
                    let agent = facets.user_agent().map(|agent| KnownAgent::of(&agent)).unwrap_or_default();
                    let case = format!("{base} {page} {written} {client:?}");
                    let url = at("hit.url");
                    assert_eq!(facets.page(), url.split(['?', '#']).next().unwrap(), "{case}");
                    assert_eq!(facets.campaign(), ["utm.source", "utm.medium", "utm.campaign"].map(at), "{case}");
                    let country =
                        [at("device.geo.country.code"), at("device.geo.country.name"), at("device.geo.country")];
                    let country = country.into_iter().find(|country| !country.is_empty()).unwrap_or_default();
                    let [browser, os, device, language] =
                        ["app.name", "os.name", "device.type", "app.language"].map(at);
                    assert_eq!(facets.client(&agent), [browser, os, device, language, country], "{case}");
                    let referer = at("hit.referer").replace("https://Mail.example:8080/inbox?x", "mail.example");
                    assert_eq!(facets.referrer(), referer, "{case}");
                }
            }
        }
    }

    #[test]
    fn a_page_of_the_same_site_is_no_referrer() {
        let page = |url: &str, referer: &str| {
            let page = format!(r#"{{"page":{{"url":"{url}","referer":{{"host":"{referer}"}}}}}}"#);
            let (request, event) = (request("{}", ClientFacts::default()), event(&page, "{}"));
            Facets::new(&request, &ContextSections::of(&request.context), &event).referrer().into_owned()
        };
        assert_eq!(page("https://shop.example:8443/a", "SHOP.example"), "");
        assert_eq!(page("https://www.shop.example/a", "pay.shop.example"), "");
        assert_eq!(page("https://shop.example/a", "https://u@News.example:443/x"), "news.example");
        assert_eq!(page("/a", "shop.example"), "shop.example");
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        let url = format!("https://shop.example/{}", "é".repeat(300));
        let request = request(&format!(r#"{{"page":{{"url":"{url}"}}}}"#), ClientFacts::default());
        let event = event("{}", "{}");
        let page = Facets::new(&request, &ContextSections::of(&request.context), &event).page().into_owned();
        assert!(page.len() == FACET_BYTES_MAX - 1 && url.starts_with(&page), "{}", page.len());
    }
}
