//! The requests of visitors: the browser script's payload with everything in it varied that varies in life.
//!
//! A request must cost the generator next to nothing, for it runs on the daemon's cores. So the sample is cut once
//! into the text between its variable values, and a request is those pieces and the values, copied one after another.

use super::content::{self, Browser, Campaign, Page, Region, Screen};
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

pub const EVENTS_PER_REQUEST: u64 = 2;
pub const SOURCE: &str = "bench";
const REQUESTS_PER_VISIT: u32 = 10;
const SAMPLE: &str = include_str!("../browser-payload.json");

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Case {
    /// Ten requests a visit: the first without a profile, the others with the one that the first answer named.
    Visits,
    /// Every request is a visitor never seen before.
    NewVisitors,
}

impl Case {
    pub fn name(self) -> &'static str {
        match self {
            Case::Visits => "visits",
            Case::NewVisitors => "new-visitors",
        }
    }

    fn requests_per_visit(self) -> u32 {
        match self {
            Case::Visits => REQUESTS_PER_VISIT,
            Case::NewVisitors => 1,
        }
    }
}

/// A value of the sample that differs from request to request.
#[derive(Clone, Copy)]
enum Variable {
    Source,
    Now,
    TimeZone,
    BrowserName,
    AppVersion,
    UserAgent,
    Language,
    Platform,
    Width,
    Height,
    InnerWidth,
    InnerHeight,
    AvailableHeight,
    Orientation,
    CampaignSource,
    CampaignName,
    Profile,
    Device,
    Session,
    PageUrl,
    PagePath,
    PageTitle,
    RefererHost,
    HistoryLength,
    Product,
    Quantity,
}

/// The variables under their keys, in the order of the sample.
const VARIABLES: [(&str, Variable); 34] = [
    ("id", Variable::Source),
    ("local", Variable::Now),
    ("tz", Variable::TimeZone),
    ("name", Variable::BrowserName),
    ("appVersion", Variable::AppVersion),
    ("userAgent", Variable::UserAgent),
    ("language", Variable::Language),
    ("platform", Variable::Platform),
    ("width", Variable::Width),
    ("height", Variable::Height),
    ("innerWidth", Variable::InnerWidth),
    ("innerHeight", Variable::InnerHeight),
    ("availWidth", Variable::Width),
    ("availHeight", Variable::AvailableHeight),
    ("orientation", Variable::Orientation),
    ("source", Variable::CampaignSource),
    ("campaign", Variable::CampaignName),
    ("profile", Variable::Profile),
    ("id", Variable::Device),
    ("id", Variable::Session),
    ("create", Variable::Now),
    ("url", Variable::PageUrl),
    ("path", Variable::PagePath),
    ("title", Variable::PageTitle),
    ("host", Variable::RefererHost),
    ("length", Variable::HistoryLength),
    ("create", Variable::Now),
    ("product", Variable::Product),
    ("quantity", Variable::Quantity),
    ("url", Variable::PageUrl),
    ("path", Variable::PagePath),
    ("title", Variable::PageTitle),
    ("host", Variable::RefererHost),
    ("length", Variable::HistoryLength),
];

/// The sample in compact form, cut at its variables.
pub struct Template {
    pieces: Vec<(String, Variable)>,
    rest: String,
    host: String,
}

impl Template {
    /// `address` is whom the requests are for: it goes into the `Host` header.
    pub fn new(address: SocketAddr) -> Self {
        let sample = without_white_space(SAMPLE);
        let mut pieces = Vec::with_capacity(VARIABLES.len());
        let mut rest = sample.as_str();
        for (key, variable) in VARIABLES {
            let (start, end) = value_span(rest, key);
            pieces.push((rest[..start].to_owned(), variable));
            rest = &rest[end..];
        }
        Self { pieces, rest: rest.to_owned(), host: address.to_string() }
    }
}

/// Where the scalar under the first such key stands: a string without its quotes, anything else whole.
fn value_span(json: &str, key: &str) -> (usize, usize) {
    let needle = format!("\"{key}\":");
    let at = json.find(&needle).unwrap_or_else(|| panic!("the sample payload has no {key} where one is expected"));
    let start = at + needle.len();
    match json[start..].strip_prefix('"') {
        Some(text) => {
            let length = text.find('"').expect("a string ends");
            (start + 1, start + 1 + length)
        }
        None => {
            let length = json[start..].find([',', '}']).expect("a value ends");
            (start, start + length)
        }
    }
}

fn without_white_space(json: &str) -> String {
    let mut inside_string = false;
    let mut escaped = false;
    json.chars()
        .filter(|&c| {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => inside_string = !inside_string,
                _ => {}
            }
            inside_string || !c.is_ascii_whitespace()
        })
        .collect()
}

/// One client: makes one request after another, visit after visit.
pub struct Visitor {
    case: Case,
    template: Arc<Template>,
    random: Random,
    visit: Visit,
    body: Vec<u8>,
}

struct Visit {
    requests_made: u32,
    session: [u8; 36],
    device: [u8; 36],
    /// What the first answer named; an id is opaque.
    profile: Option<Vec<u8>>,
    browser: &'static Browser,
    screen: &'static Screen,
    region: &'static Region,
    campaign: &'static Campaign,
}

impl Visit {
    fn new(random: &mut Random) -> Self {
        Self {
            requests_made: 0,
            session: random.uuid(),
            device: random.uuid(),
            profile: None,
            browser: random.one_of(&content::BROWSERS),
            screen: random.one_of(&content::SCREENS),
            region: random.one_of(&content::REGIONS),
            campaign: random.one_of(&content::CAMPAIGNS),
        }
    }
}

/// What one request shows beside what is the same in the whole visit.
struct View {
    page: &'static Page,
    product: &'static str,
    quantity: &'static str,
    now: [u8; 24],
}

impl Visitor {
    /// Visitors of different seeds share no ids; the same seed makes the same visits again.
    pub fn new(case: Case, template: Arc<Template>, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let visit = Visit::new(&mut random);
        Self { case, template, random, visit, body: Vec::with_capacity(4096) }
    }

    /// Writes the next request, head and body, in place of what `request` held.
    pub fn write_request(&mut self, request: &mut Vec<u8>) {
        self.write_body();
        request.clear();
        let Visit { browser, region, .. } = &self.visit;
        write!(
            request,
            "POST /track HTTP/1.1\r\nHost: {}\r\nUser-Agent: {}\r\nAccept: */*\r\nAccept-Language: {}\r\n\
             Origin: http://shop.example\r\nReferer: http://shop.example/\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.template.host,
            browser.user_agent,
            region.language,
            self.body.len()
        )
        .expect("a Vec takes what is written");
        request.extend_from_slice(&self.body);
    }

    /// The next request's body alone.
    pub fn next_body(&mut self) -> &[u8] {
        self.write_body();
        &self.body
    }

    /// Whether the answer to come names the profile that the rest of the visit sends.
    pub fn wants_profile(&self) -> bool {
        self.case == Case::Visits && self.visit.requests_made == 1
    }

    pub fn remember_profile(&mut self, id: &[u8]) {
        self.visit.profile = Some(id.to_vec());
    }

    /// The next request begins a new visit.
    pub fn give_up_visit(&mut self) {
        self.visit.requests_made = self.case.requests_per_visit();
    }

    fn write_body(&mut self) {
        if self.visit.requests_made == self.case.requests_per_visit() {
            self.visit = Visit::new(&mut self.random);
        }
        let view = View {
            page: self.random.one_of(&content::PAGES),
            product: self.random.one_of::<&str>(&content::PRODUCTS),
            quantity: self.random.one_of::<&str>(&content::QUANTITIES),
            now: rfc3339_now(),
        };
        self.body.clear();
        for (text, variable) in &self.template.pieces {
            self.body.extend_from_slice(text.as_bytes());
            write_variable(&mut self.body, *variable, &self.visit, &view);
        }
        self.body.extend_from_slice(self.template.rest.as_bytes());
        self.visit.requests_made += 1;
    }
}

fn write_variable(body: &mut Vec<u8>, variable: Variable, visit: &Visit, view: &View) {
    let Visit { browser, screen, region, campaign, .. } = visit;
    let first_page = visit.requests_made == 0;
    let text: &[u8] = match variable {
        Variable::Source => SOURCE.as_bytes(),
        Variable::Now => &view.now,
        Variable::TimeZone => region.time_zone.as_bytes(),
        Variable::BrowserName => browser.name.as_bytes(),
        Variable::AppVersion => &browser.user_agent.as_bytes()["Mozilla/".len()..],
        Variable::UserAgent => browser.user_agent.as_bytes(),
        Variable::Language => region.language.as_bytes(),
        Variable::Platform => browser.platform.as_bytes(),
        Variable::Width => screen.width.as_bytes(),
        Variable::Height => screen.height.as_bytes(),
        Variable::InnerWidth => screen.inner_width.as_bytes(),
        Variable::InnerHeight => screen.inner_height.as_bytes(),
        Variable::AvailableHeight => screen.available_height.as_bytes(),
        Variable::Orientation => screen.orientation.as_bytes(),
        Variable::CampaignSource => campaign.source.as_bytes(),
        Variable::CampaignName => campaign.name.as_bytes(),
        Variable::Profile => match &visit.profile {
            Some(id) => {
                body.extend_from_slice(b"{\"id\":\"");
                body.extend_from_slice(id);
                b"\"}"
            }
            None => b"null",
        },
        Variable::Device => &visit.device,
        Variable::Session => &visit.session,
        Variable::PageUrl => {
            body.extend_from_slice(b"http://shop.example");
            body.extend_from_slice(view.page.path.as_bytes());
            if first_page {
                // Only the landing page's address carries what the visitor clicked on.
                for part in ["?utm_source=", campaign.source, "&utm_campaign=", campaign.name] {
                    body.extend_from_slice(part.as_bytes());
                }
            }
            b""
        }
        Variable::PagePath => view.page.path.as_bytes(),
        Variable::PageTitle => view.page.title.as_bytes(),
        Variable::RefererHost if first_page => campaign.referer_host.as_bytes(),
        Variable::RefererHost => b"\"shop.example\"",
        Variable::HistoryLength => {
            write!(body, "{}", visit.requests_made + 2).expect("a Vec takes what is written");
            b""
        }
        Variable::Product => view.product.as_bytes(),
        Variable::Quantity => view.quantity.as_bytes(),
    };
    body.extend_from_slice(text);
}

/// The present in the form of JavaScript's `toISOString`: `2026-11-23T22:36:07.106Z`.
fn rfc3339_now() -> [u8; 24] {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since_epoch.as_secs();
    let (days, second_of_day) = (seconds / 86_400, seconds % 86_400);
    // Howard Hinnant's civil_from_days, for years that begin in March, from 1970 on.
    let shifted = days + 719_468;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + shifted / 146_097 * 400 + u64::from(month <= 2);

    let mut text = *b"0000-00-00T00:00:00.000Z";
    let mut put = |at: usize, width: usize, mut value: u64| {
        for digit in text[at..at + width].iter_mut().rev() {
            *digit = b'0' + (value % 10) as u8;
            value /= 10;
        }
    };
    put(0, 4, year);
    put(5, 2, month);
    put(8, 2, day);
    put(11, 2, second_of_day / 3_600);
    put(14, 2, second_of_day / 60 % 60);
    put(17, 2, second_of_day % 60);
    put(20, 3, u64::from(since_epoch.subsec_millis()));
    text
}

/// SplitMix64: good enough to spread ids, and a few instructions.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        // Neighbouring seeds must not be neighbouring states, or two visitors would soon draw the same numbers.
        let mut spread = Random(seed);
        Random(spread.next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn one_of<T>(&mut self, list: &'static [T]) -> &'static T {
        &list[(self.next() % list.len() as u64) as usize]
    }

    /// The text of a UUID of version 4.
    pub fn uuid(&mut self) -> [u8; 36] {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut bits = u128::from(self.next()) << 64 | u128::from(self.next());
        let mut text = *b"00000000-0000-4000-8000-000000000000";
        for (at, digit) in text.iter_mut().enumerate() {
            match at {
                8 | 13 | 14 | 18 | 23 => continue,
                19 => *digit = HEX[8 + (bits & 3) as usize],
                _ => *digit = HEX[(bits & 15) as usize],
            }
            bits >>= 4;
        }
        text
    }
}
