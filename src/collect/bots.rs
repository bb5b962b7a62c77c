//! Which user agents are those of known bots.

use std::num::NonZeroUsize;

use lru::LruCache;
use parking_lot::Mutex;

/// How many agents are remembered, so that each visitor's is looked at once, and how long they are at most.
const AGENTS_MAX: NonZeroUsize = NonZeroUsize::new(256).expect("it is not 0");
const AGENT_BYTES_MAX: usize = 512;

/// Tells bots from other clients by what they call themselves.
pub struct BotAgents {
    bots: isbot::Bots,
    known: Mutex<LruCache<Box<str>, bool>>,
}

impl Default for BotAgents {
    fn default() -> Self {
        Self { bots: isbot::Bots::default(), known: Mutex::new(LruCache::new(AGENTS_MAX)) }
    }
}

impl BotAgents {
    pub fn contains(&self, agent: &str) -> bool {
        if agent.len() > AGENT_BYTES_MAX {
            return self.bots.is_bot(agent);
        }
        if let Some(is_bot) = self.known.lock().get(agent) {
            return *is_bot;
        }
        let is_bot = self.bots.is_bot(agent);
        self.known.lock().put(agent.into(), is_bot);
        is_bot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_the_same_each_time_and_however_many_there_are() {
        let agents = BotAgents::default();
        let is_bot = |agent: &str| (agents.contains(agent), agents.contains(agent));
        assert_eq!(is_bot("Googlebot/2.1 (+http://www.google.com/bot.html)"), (true, true));
        for number in 0..2 * AGENTS_MAX.get() {
            let agent = format!("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/{number}.0 Safari/537.36");
            assert_eq!(is_bot(&agent), (false, false), "{agent}");
        }
        assert_eq!(is_bot(&format!("Googlebot/2.1 {}", "x".repeat(2 * AGENT_BYTES_MAX))), (true, true));
        assert!(agents.known.lock().len() <= AGENTS_MAX.get());
    }
}
