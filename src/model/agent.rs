//! What user agents tell of the clients that send them, remembered: finding it out takes longer than all else that is
//! derived of an event, and most events come from few agents.
//!
//! It is read here, by lists of what clients say of themselves: no library that is kept up knows the clients of today, and
//! those that read a list of patterns at the start take a third of a second for it and tens of megabytes.

mod bots;
mod browsers;
mod programs;
mod system;

use std::{
    num::NonZeroUsize,
    sync::{Arc, LazyLock},
};

use lru::LruCache;
use parking_lot::Mutex;

use programs::Program;
use system::System;

/// Longer agents are not remembered, in bytes.
const AGENT_BYTES_MAX: usize = 512;
const AGENTS_MAX: NonZeroUsize = NonZeroUsize::new(1_024).expect("it is not 0");

/// What was found out about the user agents that came last.
static REMEMBERED: LazyLock<Mutex<LruCache<Box<str>, Arc<KnownAgent>>>> =
    LazyLock::new(|| Mutex::new(LruCache::new(AGENTS_MAX)));

/// What a user agent says of its client; empty where nothing is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownAgent {
    /// The browser, or the app, program or bot that is none.
    pub browser: Box<str>,
    pub version: Box<str>,
    pub os: Box<str>,
    pub os_version: Box<str>,
    pub kind: AgentKind,
    pub device: Box<str>,
}

/// What sends a user agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AgentKind {
    #[default]
    Unknown,
    /// Also within an app.
    Browser,
    /// An app that asks by itself.
    App,
    /// A program made with a library for HTTP.
    Library,
    /// A service that sends webhooks.
    Service,
    /// A crawler, a link's preview, a monitor, a browser without a person.
    Bot,
}

impl AgentKind {
    /// How it is shown; empty where nothing is known.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "",
            Self::Browser => "browser",
            Self::App => "app",
            Self::Library => "library",
            Self::Service => "service",
            Self::Bot => "bot",
        }
    }
}

/// A name and a version, empty where they are not known.
#[derive(Debug, Default, PartialEq)]
struct Named {
    name: Box<str>,
    version: Box<str>,
}

impl KnownAgent {
    /// What is remembered of the agent, or else found out.
    pub fn of(user_agent: &str) -> Arc<Self> {
        if user_agent.len() > AGENT_BYTES_MAX {
            return Arc::new(Self::parse(user_agent));
        }
        if let Some(known) = REMEMBERED.lock().get(user_agent) {
            return known.clone();
        }
        let known = Arc::new(Self::parse(user_agent));
        REMEMBERED.lock().put(user_agent.into(), known.clone());
        known
    }

    fn parse(user_agent: &str) -> Self {
        if let Some((program, named)) = programs::program(user_agent) {
            let kind = match program {
                Program::Library => AgentKind::Library,
                Program::Service => AgentKind::Service,
            };
            return Self { browser: named.name, version: named.version, kind, ..Self::default() };
        }
        if let Some(Named { name, version }) = bots::bot(user_agent) {
            let kind = AgentKind::Bot;
            return Self { browser: name, version, kind, device: kind.word().into(), ..Self::default() };
        }
        let is_browser = user_agent.starts_with("Mozilla/") || user_agent.starts_with("Opera/");
        let kind = if is_browser { AgentKind::Browser } else { AgentKind::App };
        let browser = browsers::browser(user_agent).map(|named| (kind, named));
        let known = browser.or_else(|| browsers::native_app(user_agent).map(|named| (AgentKind::App, named)));
        let (kind, Named { name, version }) = known.unwrap_or_default();
        let System { name: os, version: os_version, device } = System::of(user_agent);
        Self { browser: name, version, os: os.into(), os_version: os_version.into(), kind, device: device.into() }
    }
}

/// The version that stands behind `word`; empty where none does.
fn version_behind<'a>(agent: &'a str, word: &str) -> &'a str {
    let Some((_, behind)) = agent.split_once(word) else { return "" };
    let behind = behind.strip_prefix(['/', ' ', '-']).unwrap_or(behind);
    let behind = behind.strip_prefix('v').unwrap_or(behind);
    let is_part = |character: char| character.is_ascii_digit() || matches!(character, '.' | '_');
    let (version, rest) = behind.split_at(behind.find(|character| !is_part(character)).unwrap_or(behind.len()));
    // What goes on with letters may be a hash.
    let is_hash = !version.contains(['.', '_']) && rest.starts_with(char::is_alphabetic);
    let is_version = version.starts_with(|first: char| first.is_ascii_digit()) && !is_hash;
    if is_version { version.trim_end_matches(['.', '_']) } else { "" }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_agent_tells_the_same_each_time_and_few_are_remembered() {
        let of = |agent: &str| (KnownAgent::of(agent), KnownAgent::of(agent));
        for number in 0..2 * AGENTS_MAX.get() {
            let agent = format!("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/{number}.0 Safari/537.36");
            let (first, again) = of(&agent);
            assert_eq!((&first.browser, &*first.version), (&again.browser, &*format!("{number}.0")), "{agent}");
        }
        let (long, again) = of(&format!(
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/1.0 Safari/537.36 {}",
            "x".repeat(AGENT_BYTES_MAX)
        ));
        assert_eq!((&*long.browser, &long), ("Chrome", &again));
        assert_eq!(*of("what nobody knows").0, KnownAgent::default());
        assert!(REMEMBERED.lock().len() <= AGENTS_MAX.get());
    }

    /// Parts of what agents say, in any order.
    fn any_agent() -> impl Strategy<Value = String> {
        const PARTS: [&str; 27] = [
            "Mozilla/5.0 ",
            "(",
            ")",
            "; ",
            "compatible;",
            "Android ",
            "Android 9;",
            "en-us",
            "CUBOT",
            "M BOT",
            "bot",
            "/",
            "http://",
            "Webhook",
            "Python/3 ",
            "Java",
            "Instagram ",
            "FBAV/",
            "Version/26_",
            "OS 18_6",
            "iPad",
            "Mobile/",
            " Safari/",
            "Chrome/",
            "AFT",
            "_",
            "Quest",
        ];
        let part = prop_oneof![r#"[ -~é\u{1F600}]{0,8}"#, prop::sample::select(&PARTS[..]).prop_map(str::to_owned)];
        prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn any_agent_is_read(agent in any_agent()) {
            let known = KnownAgent::parse(&agent);
            prop_assert!(known.version.len() <= agent.len() && known.os_version.len() <= agent.len());
        }
    }
}
