//! Which user agents are those of known bots.

use std::num::NonZeroUsize;

use crate::model::AgentMemory;

/// How many agents are remembered, so that each visitor's is looked at once.
const AGENTS_MAX: NonZeroUsize = NonZeroUsize::new(256).expect("it is not 0");

/// Tells bots from other clients by what they call themselves.
pub struct BotAgents {
    bots: isbot::Bots,
    known: AgentMemory<bool>,
}

impl Default for BotAgents {
    fn default() -> Self {
        Self { bots: isbot::Bots::default(), known: AgentMemory::new(AGENTS_MAX) }
    }
}

impl BotAgents {
    pub fn contains(&self, agent: &str) -> bool {
        self.known.of(agent, |agent| self.bots.is_bot(agent))
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
        assert_eq!(is_bot(&format!("Googlebot/2.1 {}", "x".repeat(1_024))), (true, true));
        assert!(agents.known.remembered() <= AGENTS_MAX.get());
    }
}
