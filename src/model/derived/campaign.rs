//! The campaign that led to a page: what the payload says of it, or else the page's address.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::model::members::{members_named, text};

/// The parameters of an address that tell of a campaign, and the names they are shown under. First those that name it,
/// then the ids that advertisers give to a click.
const PARAMETERS: [(&str, &str); 15] = [
    ("utm_source", "source"),
    ("utm_medium", "medium"),
    ("utm_campaign", "campaign"),
    ("utm_term", "term"),
    ("utm_content", "content"),
    ("utm_id", "id"),
    ("gclid", "gclid"),
    ("gbraid", "gbraid"),
    ("wbraid", "wbraid"),
    ("dclid", "dclid"),
    ("fbclid", "fbclid"),
    ("msclkid", "msclkid"),
    ("ttclid", "ttclid"),
    ("twclid", "twclid"),
    ("li_fat_id", "li_fat_id"),
];
/// How many of them name a campaign.
const NAMING: usize = 6;
/// How they are shown.
const NAMES: [&str; PARAMETERS.len()] = {
    let mut names = [""; PARAMETERS.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = PARAMETERS[at].1;
        at += 1;
    }
    names
};

/// What is known of a campaign, in the order of [`PARAMETERS`]; what is blank counts as not said.
#[derive(Debug, Default, PartialEq)]
pub struct Campaign<'a>([Option<Cow<'a, str>>; PARAMETERS.len()]);

impl<'a> Campaign<'a> {
    /// `said`: an object as the script makes it of the address, in its normal form. Where it names a campaign, the address
    /// is asked for the ids of clicks alone.
    pub fn new(said: Option<&'a str>, address: Option<&'a str>) -> Self {
        let mut found = address.map(Self::in_address).unwrap_or_default();
        let Some(said) = said else { return found };
        let said = members_named(said, &NAMES).map(|value| value.and_then(text).and_then(not_blank));
        if said[..NAMING].iter().any(Option::is_some) {
            found.0[..NAMING].fill(None);
        }
        for (known, said) in found.0.iter_mut().zip(said) {
            *known = said.or(known.take());
        }
        found
    }

    /// What an address says in its query or, since some pages keep theirs there, behind `#`.
    fn in_address(address: &'a str) -> Self {
        let mut found = Self::default();
        let Some(start) = address.find(['?', '#']) else { return found }; // as in most
        let (query, fragment) = address[start..].split_once('#').unwrap_or((&address[start..], ""));
        // Routers write a path and a query of their own behind `#`.
        let pairs = query.trim_start_matches('?').split('&').chain(fragment.split(['&', '?']));
        for pair in pairs {
            let Some((key, value)) = pair.split_once('=') else { continue };
            // What stands before a semicolon is what is left of an HTML entity: `&amp;utm_source=`.
            let key = key.rsplit_once(';').map_or(key, |(_, key)| key);
            let Some(place) = place_of(key) else { continue };
            if found.0[place].is_none() {
                found.0[place] = decoded(value);
            }
        }
        found
    }

    pub fn is_untold(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// Each part that is known, by the name it is shown under.
    pub fn parts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        NAMES.into_iter().zip(&self.0).filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }

    /// Source, medium and name.
    pub fn into_names(self) -> [(&'static str, Option<Cow<'a, str>>); 3] {
        let [source, medium, name, ..] = self.0;
        [(NAMES[0], source), (NAMES[1], medium), (NAMES[2], name)]
    }
}

fn place_of(key: &str) -> Option<usize> {
    let key = if key.contains('%') { percent_decode_str(key).decode_utf8().ok()? } else { Cow::Borrowed(key) };
    PARAMETERS.iter().position(|(parameter, _)| key.eq_ignore_ascii_case(parameter))
}

/// What a parameter says, as forms write it.
fn decoded(value: &str) -> Option<Cow<'_, str>> {
    if !value.contains(['+', '%']) {
        return not_blank(Cow::Borrowed(value));
    }
    let spaced = value.replace('+', " ");
    not_blank(Cow::Owned(percent_decode_str(&spaced).decode_utf8_lossy().into_owned()))
}

fn not_blank(value: Cow<'_, str>) -> Option<Cow<'_, str>> {
    let trimmed = value.trim();
    match &value {
        _ if trimmed.is_empty() => None,
        Cow::Borrowed(value) => Some(Cow::Borrowed(value.trim())),
        Cow::Owned(value) if trimmed.len() < value.len() => Some(Cow::Owned(trimmed.to_owned())),
        Cow::Owned(_) => Some(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(said: Option<&str>, address: &str) -> String {
        let campaign = Campaign::new(said, Some(address));
        campaign.parts().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn an_address_tells_its_campaign_wherever_it_stands() {
        for (address, expected) in [
            ("https://shop.example/", ""),
            ("https://shop.example/?q=utm_source&x=1#utm_source", ""),
            ("https://shop.example/?utm_source=news&utm_campaign=a%20b+c#top", "source=news campaign=a b c"),
            (
                "/p?utm_source=a&amp;utm_medium=b&amp;amp;utm_term=c&#38;utm_content=d",
                "source=a medium=b term=c content=d",
            ),
            ("/p#utm_source=a&utm_medium=b", "source=a medium=b"),
            ("/p#/cart?utm_source=a&utm_medium=b", "source=a medium=b"),
            ("/p#!/cart?utm_source=a", "source=a"),
            ("/p?utm_source=a#utm_source=b&utm_medium=c", "source=a medium=c"),
            ("/p?UTM_Source=A&utm%5Fmedium=b", "source=A medium=b"),
            ("/p?utm_campaign=", ""),
            ("/p?utm_campaign&utm_source=%20&utm_medium=+", ""),
            ("/p?utm_campaign=&utm_campaign=x&utm_campaign=y", "campaign=x"),
            ("/p?utm_source=%20a%20&utm_term=%C3%A9%ff", "source=a term=é\u{fffd}"),
            ("/p?utm_id=7&gclid=G1&fbclid=F.1_x&msclkid=m", "id=7 gclid=G1 fbclid=F.1_x msclkid=m"),
            (
                "/p?gbraid=1&wbraid=2&dclid=3&ttclid=4&twclid=5&li_fat_id=6",
                "gbraid=1 wbraid=2 dclid=3 ttclid=4 twclid=5 li_fat_id=6",
            ),
            ("/p?my_utm_source=a&gclidx=1", ""),
            ("/p?next=https://other.example/?utm_source=a", ""),
        ] {
            assert_eq!(told(None, address), expected, "{address}");
        }
    }

    #[test]
    fn what_the_payload_says_comes_before_the_address() {
        let address = "/p?utm_source=url&utm_term=t&gclid=G";
        for (said, expected) in [
            (r#"{"source":"script"}"#, "source=script gclid=G"),
            (r#"{"source":"","campaign":" "}"#, "source=url term=t gclid=G"),
            (r#"{"gclid":"own"}"#, "source=url term=t gclid=own"),
            (r#"{"source":1,"medium":null}"#, "source=url term=t gclid=G"),
            ("{}", "source=url term=t gclid=G"),
            ("null", "source=url term=t gclid=G"),
        ] {
            assert_eq!(told(Some(said), address), expected, "{said}");
        }
    }
}
