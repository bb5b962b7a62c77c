//! What stands around each page, and the small things that pages share.

use std::sync::LazyLock;

use chrono::DateTime;
use chrono_tz::Tz;
use maud::{DOCTYPE, Markup, html};
use sha2::{Digest, Sha256};

use super::{Answer, Asked, Role, SCRIPT, STYLE, Trouble, form};
use crate::{model::Time, process::hex};

/// The pages of the menu, each with its address.
const MENU: [(&str, &str); 8] = [
    ("overview", "Overview"),
    ("events", "Events"),
    ("people", "People"),
    ("funnels", "Funnels"),
    ("retention", "Retention"),
    ("sources", "Sources"),
    ("set-up", "Set-up"),
    ("system", "System"),
];

/// Who sees which pages of the menu.
fn is_for(role: Role, page: &str) -> bool {
    match role {
        Role::Administrator => true,
        Role::Viewer => !["sources", "set-up"].contains(&page),
        Role::Guest => false,
    }
}

/// The head of each page. Style and script have their content in their addresses, so that a browser keeps them.
fn head(title: &str) -> Markup {
    html! {
        meta charset="utf-8";
        meta name="viewport" content="width=device-width, initial-scale=1";
        meta name="color-scheme" content="light dark";
        title { (title) " · tracardi" }
        link rel="icon" href="data:,";
        link rel="stylesheet" href=(asset("console.css", STYLE));
        script defer src=(asset("console.js", SCRIPT)) {}
    }
}

fn asset(name: &str, content: &'static str) -> String {
    static TAGS: LazyLock<[String; 2]> =
        LazyLock::new(|| [STYLE, SCRIPT].map(|content| hex(&Sha256::digest(content)[..6])));
    let tag = &TAGS[usize::from(std::ptr::eq(content, SCRIPT))];
    format!("/console/assets/{name}?{tag}")
}

/// A page of the menu's item `place`.
pub fn page(asked: &Asked, place: &str, title: &str, content: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head { (head(title)) }
            body {
                a.skip href="#main" { "Skip to the content" }
                div #working role="status" aria-label="Working" {}
                header {
                    a.brand href="/console/overview" { "tracardi" }
                    nav aria-label="Pages" {
                        ul {
                            @for (address, name) in MENU.into_iter().filter(|(address, _)| is_for(asked.visitor.role, address)) {
                                li {
                                    a href={ "/console/" (address) } aria-current=[(address == place).then_some("page")] { (name) }
                                }
                            }
                        }
                    }
                    div.visitor {
                        span { (asked.visitor.name) @if asked.visitor.role != Role::Guest { br; span.small { "times in " (asked.visitor.zone.name()) } } }
                        @if asked.visitor.role != Role::Guest {
                            form method="post" action="/console/log-out" {
                                (token(asked))
                                button.second { "Log out" }
                            }
                        }
                    }
                }
                main #main { (content) }
            }
        }
    };
    page.into_string()
}

/// A page that says why there is none.
pub fn trouble(asked: &Asked, trouble: &Trouble) -> String {
    let (title, says) = match trouble {
        Trouble::NotFound => ("Not here", "There is no such page, or what it was about is gone.".to_owned()),
        Trouble::NotAllowed => ("Not for you", "Only an administrator may see or do this.".to_owned()),
        Trouble::Invalid(fault) => ("This does not work", fault.to_string()),
        Trouble::Refused(refused) => ("Not now", refused.to_string()),
    };
    let content = html! {
        h1 { (title) }
        p.mistake role="alert" { (says) }
        p { a href="/console/overview" { "To the overview" } }
    };
    page(asked, "", title, &content)
}

/// A page of its own, before somebody logged in.
pub fn plain_page(title: &str, content: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head { (head(title)) }
            body.plain { main #main { (content) } }
        }
    };
    page.into_string()
}

/// What each form has, so that no other site can send it.
pub fn token(asked: &Asked) -> Markup {
    html! { input type="hidden" name="token" value=(asked.visitor.forgery_token); }
}

impl Answer {
    pub fn page(asked: &Asked, place: &str, title: &str, content: &Markup) -> Self {
        Self::Page(page(asked, place, title, content))
    }

    pub fn part(content: Markup) -> Self {
        Self::Page(content.into_string())
    }
}

/// A part of a page that is loaded behind it, for it may take longer than a moment.
pub fn loaded(asked: &Asked, page: &str, part: &str, query: &[(String, String)]) -> Markup {
    let address = match &asked.shared {
        Some(secret) => format!("/console/shared/{secret}/{part}"),
        None => form::address(&format!("{page}/{part}"), query),
    };
    html! {
        div data-load=(address) aria-busy="true" {
            p.quiet { "Counting…" }
            noscript { a href=(address) { "Show" } }
        }
    }
}

/// A mistake, beside what is to be mended.
pub fn mistake(text: Option<&str>) -> Markup {
    html! { @if let Some(text) = text { p.mistake role="alert" { (text) } } }
}

/// A count, in groups of three.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// So many of something.
pub fn counted(number: u64, what: &str) -> String {
    format!("{} {what}{}", count(number), if number == 1 { "" } else { "s" })
}

/// Bytes, in the unit that people say.
pub fn bytes(number: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let (mut value, mut unit) = (number as f64, 0);
    while value >= 1_000.0 && unit + 1 < units.len() {
        value /= 1_000.0;
        unit += 1;
    }
    if unit == 0 { format!("{number} B") } else { format!("{value:.1} {}", units[unit]) }
}

/// Seconds, as people say them.
pub fn seconds(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s if s < 60.0 => format!("{s:.0} s"),
        s if s < 3_600.0 => format!("{:.0} min {:02.0} s", (s / 60.0).floor(), s % 60.0),
        s if s < 86_400.0 => format!("{:.0} h {:02.0} min", (s / 3_600.0).floor(), s % 3_600.0 / 60.0),
        s => format!("{:.1} days", s / 86_400.0),
    }
}

/// A moment in the visitor's zone.
pub fn moment(text: &str, zone: Tz) -> Markup {
    match Time::parse(text) {
        Ok(time) => html! { time datetime=(text) title=(text) { (in_zone(time, zone, "%Y-%m-%d %H:%M:%S")) } },
        Err(_) => html! { (text) },
    }
}

pub fn in_zone(time: Time, zone: Tz, format: &str) -> String {
    DateTime::from_timestamp_micros(time.micros())
        .map(|moment| moment.with_timezone(&zone).format(format).to_string())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_as_people_say_them() {
        let thin = |text: &str| text.replace(' ', "\u{202f}");
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", &thin("1 000"), &thin("1 234 567")]);
        assert_eq!([0, 999, 1_500, 2_000_000_000].map(bytes), ["0 B", "999 B", "1.5 kB", "2.0 GB"]);
        assert_eq!(
            [0.25, 59.4, 61.0, 7_260.0, 90_000.0].map(seconds),
            ["250 ms", "59 s", "1 min 01 s", "2 h 01 min", "1.0 days"]
        );
        let time = Time::parse("2026-11-30T23:30:00Z").unwrap();
        assert_eq!(in_zone(time, Tz::Europe__Warsaw, "%Y-%m-%d %H:%M"), "2026-12-01 00:30");
    }
}
