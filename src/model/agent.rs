//! What user agents tell of the clients that send them, remembered: finding it out takes longer than all else that is
//! derived of an event, and most events come from few agents.

use std::{
    num::NonZeroUsize,
    sync::{Arc, LazyLock},
};

use lru::LruCache;
use parking_lot::Mutex;

/// Longer agents are not remembered, in bytes.
const AGENT_BYTES_MAX: usize = 512;
const AGENTS_MAX: NonZeroUsize = NonZeroUsize::new(1_024).expect("it is not 0");

static REMEMBERED: LazyLock<AgentMemory<Arc<KnownAgent>>> = LazyLock::new(|| AgentMemory::new(AGENTS_MAX));

/// What was found out about the user agents that came last.
pub struct AgentMemory<T>(Mutex<LruCache<Box<str>, T>>);

impl<T: Clone> AgentMemory<T> {
    /// For so many agents.
    pub fn new(most: NonZeroUsize) -> Self {
        Self(Mutex::new(LruCache::new(most)))
    }

    /// What is known about the agent, or what `find_out` says, which takes long.
    pub fn of(&self, agent: &str, find_out: impl FnOnce(&str) -> T) -> T {
        if agent.len() > AGENT_BYTES_MAX {
            return find_out(agent);
        }
        if let Some(known) = self.0.lock().get(agent) {
            return known.clone();
        }
        let found = find_out(agent);
        self.0.lock().put(agent.into(), found.clone());
        found
    }

    #[cfg(test)]
    pub fn remembered(&self) -> usize {
        self.0.lock().len()
    }
}

/// What a user agent says of its client; empty where nothing is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownAgent {
    pub browser: Box<str>,
    pub version: Box<str>,
    pub os: Box<str>,
    pub os_version: Box<str>,
    /// `browser`, `bot`, or what else it is.
    pub kind: Box<str>,
    pub device: Box<str>,
}

impl KnownAgent {
    pub fn of(user_agent: &str) -> Arc<Self> {
        REMEMBERED.of(user_agent, |user_agent| Arc::new(Self::parse(user_agent)))
    }

    fn parse(user_agent: &str) -> Self {
        let Some(known) = woothee::parser::Parser::new().parse(user_agent) else { return Self::default() };
        let kind = match named(known.category) {
            "" => "",
            "crawler" => "bot",
            _ => "browser",
        };
        let device = match named(known.category) {
            "pc" => "desktop",
            "smartphone" | "mobilephone" => "mobile",
            "crawler" => "bot",
            other => other,
        };
        Self {
            browser: named(known.name).into(),
            version: named(known.version).into(),
            os: named(known.os).into(),
            os_version: named(&known.os_version).into(),
            kind: kind.into(),
            device: device.into(),
        }
    }
}

/// What the library knows; it has a word for what it does not.
fn named(word: &str) -> &str {
    if word == "UNKNOWN" || word == "misc" { "" } else { word }
}

#[cfg(test)]
mod tests {
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
        assert!(REMEMBERED.remembered() <= AGENTS_MAX.get());
    }
}
