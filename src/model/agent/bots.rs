//! Crawlers, link previews, monitors and headless browsers, by what they call themselves.

use std::sync::LazyLock;

use regex::{Regex, RegexBuilder};

use super::Named;

/// Of all patterns, compiled as one.
const COMPILED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What stands in `bots.txt`.
static PATTERNS: LazyLock<Regex> = LazyLock::new(|| {
    let lines = include_str!("bots.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let all = lines.collect::<Vec<_>>().join("|");
    let built = RegexBuilder::new(&all).case_insensitive(true).unicode(false).size_limit(COMPILED_BYTES_MAX).build();
    built.expect("a test compiles it")
});

/// Programs before browsers said of themselves that they are `compatible;`, and these still do.
const COMPATIBLE: [&str; 12] = [
    "MSIE",
    "Konqueror",
    "; U;",
    "Opera",
    "IBrowse",
    "Amiga",
    "NetSurf",
    "NetPositive",
    "ms-office",
    "PalmOS",
    "WebTV",
    "Google-Apps-Script",
];

/// Phones whose name looks like a bot's.
const PHONES: [&str; 3] = ["cubot", "m bot", "m_bot"];

/// The bot that sent it, if one did.
pub fn bot(user_agent: &str) -> Option<Named> {
    let claimed = without_phone(user_agent);
    let found = PATTERNS.find(&claimed).map(|found| found.start());
    let is_compatible = claimed.contains("compatible;") && !COMPATIBLE.iter().any(|other| claimed.contains(other));
    if found.is_none() && !is_compatible {
        return None;
    }
    Some(named(&claimed, found.unwrap_or_default()))
}

/// The user agent without the name of the phone: people call phones as they like.
fn without_phone(user_agent: &str) -> String {
    let mut rest = user_agent.to_owned();
    if let Some(model) = super::system::android_model(user_agent) {
        rest = rest.replacen(model, "", 1);
    }
    for phone in PHONES {
        let lower = rest.to_ascii_lowercase();
        let is_word = |at: &usize| !lower[..*at].ends_with(char::is_alphanumeric);
        let places: Vec<usize> = lower.match_indices(phone).map(|(at, _)| at).filter(is_word).collect();
        places.iter().rev().for_each(|at| rest.replace_range(*at..at + phone.len(), ""));
    }
    rest
}

/// Words that are no name by themselves.
const COMMON: [&str; 7] = ["bot", "crawl", "crawler", "monitor", "monitoring", "robot", "spider"];

/// What the bot calls itself: the word at this place or, where that says where to ask about it, its first one.
fn named(claimed: &str, at: usize) -> Named {
    let (before, behind) = claimed.split_at(at);
    let start = before.trim_end_matches(is_part_of_name).len();
    let end = at + (behind.len() - behind.trim_start_matches(is_part_of_name).len());
    let mut name = &claimed[start..end];
    if COMMON.iter().any(|common| name.eq_ignore_ascii_case(common))
        && let Some(first) = claimed[..start].strip_suffix(' ')
    {
        name = &claimed[first.trim_end_matches(is_part_of_name).len()..end];
    }
    if !is_name(name) || before.ends_with('@') {
        let said = claimed.split_once("compatible;").map_or(claimed, |(_, behind)| behind);
        let said = said.trim_start_matches(|character| !is_part_of_name(character));
        name = &said[..said.len() - said.trim_start_matches(is_part_of_name).len()];
    }
    let name = name.trim_matches(|character| !char::is_alphanumeric(character));
    if !is_name(name) {
        return Named::default();
    }
    Named { name: name.into(), version: super::version_behind(claimed, name).into() }
}

fn is_part_of_name(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '-' | '_' | '.' | '!')
}

fn is_name(word: &str) -> bool {
    word.contains(char::is_alphabetic) && !word.contains("http") && !word.starts_with("www.") && word != "Mozilla"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bot_is_told_by_its_name_and_a_phone_is_none() {
        for (agent, name) in [
            ("Googlebot/2.1 (+http://www.google.com/bot.html)", Some("Googlebot 2.1")),
            ("Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)", Some("AhrefsBot 7.0")),
            ("Mozilla/5.0 (compatible; Quidam; )", Some("Quidam ")),
            ("Linguee Bot (http://www.linguee.com/bot; bot@linguee.com)", Some("Linguee Bot ")),
            ("Mozilla/5.0 (compatible; Spider; )", Some("Spider ")),
            ("Quidam/3 (+https://quidam.example/about)", Some("Quidam 3")),
            (
                "Mozilla/5.0 (Linux; Android 8.0; Pixel 2 Build/OPD3; Storebot-Google/1.0) AppleWebKit/537.36",
                Some("Storebot-Google 1.0"),
            ),
            (
                "Mozilla/5.0 (Linux; Android 6.0; M BOT 60 Build/MRA58K) AppleWebKit/537.36 Chrome/99.0 Mobile Safari/537.36",
                None,
            ),
            (
                "Mozilla/5.0 (Linux; U; Android 4.4; en-us; M BOT 51) AppleWebKit/534.30 Version/4.0 Mobile Safari/534.30",
                None,
            ),
            ("Mozilla/5.0 (Linux; Android 13; CUBOT_P80) AppleWebKit/537.36 Chrome/99.0 Mobile Safari/537.36", None),
            ("Dalvik/2.1.0 (Linux; U; Android 12; CUBOT NOTE 30 Build/SP1A)", None),
            (
                "Mozilla/5.0 (Linux; Android 9; Spider Robot 8) AppleWebKit/537.36 Chrome/99.0 Mobile Safari/537.36",
                None,
            ),
            ("Instagram 400.0 Android (33/13; 420dpi; 1080x2400; CUBOT; KINGKONG 9; en_US)", None),
            ("M BOT 60", None),
            ("é", None),
            ("", None),
        ] {
            let found = bot(agent).map(|Named { name, version }| format!("{name} {version}"));
            assert_eq!(found.as_deref(), name, "{agent}");
        }
    }

    #[test]
    fn whatever_an_agent_says_it_is_read() {
        for agent in [
            "é\u{1F600} bot",
            "bot é",
            "\u{130}cubot",
            "compatible;",
            "Android ;",
            "@bot",
            "http://",
            "http://é bot",
            "-bot-",
        ] {
            assert!(bot(agent).is_none_or(|named| named.name.len() <= agent.len()), "{agent}");
        }
    }
}
