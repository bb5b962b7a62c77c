//! Normal forms of text: what looks the same is the same.

use std::borrow::Cow;

use icu_normalizer::{ComposingNormalizer, ComposingNormalizerBorrowed};
use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{DefaultIgnorableCodePoint, GeneralCategory},
};

const NFKC: ComposingNormalizerBorrowed<'static> = ComposingNormalizer::new_nfkc();

/// The text in NFKC, without what nobody sees in it, and without white space around it.
pub fn clean(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Cow::Borrowed(text.trim());
    }
    // What is composed may hold what nobody sees, and without that may be composed further.
    let once = normalized(text);
    let twice = normalized(&once);
    Cow::Owned(if twice == once { once } else { normalized(&twice) })
}

fn normalized(text: &str) -> String {
    let visible: String = text.chars().filter(|character| !is_invisible(*character)).collect();
    let composed = NFKC.normalize(&visible);
    composed.trim().to_owned()
}

/// Controls but white space, marks of direction, joiners, variation selectors, soft hyphens, byte order marks.
fn is_invisible(character: char) -> bool {
    if character.is_ascii() {
        return character.is_ascii_control() && !character.is_whitespace();
    }
    let category = CodePointMapData::<GeneralCategory>::new().get(character);
    let is_control = category == GeneralCategory::Control && !character.is_whitespace();
    is_control
        || category == GeneralCategory::Format
        || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(character)
}

/// An e-mail address that was cleaned, in its normal form: lower-cased, its domain as the network knows it; `None` if it
/// is no address.
pub fn email(text: &str) -> Option<String> {
    let address = match text.get(..MAILTO.len()) {
        // A link may say more than the address.
        Some(scheme) if scheme.eq_ignore_ascii_case(MAILTO) => text[MAILTO.len()..].split('?').next()?.trim(),
        _ => text,
    };
    let (local, domain) = address.rsplit_once('@')?;
    if !is_local_part(local) {
        return None;
    }
    let local = local.to_lowercase();
    Some(format!("{}@{}", clean(&local), self::domain(domain)?))
}

const MAILTO: &str = "mailto:";

/// Whether it may stand before the `@`: anything but white space and what parts addresses, unless it is quoted.
fn is_local_part(text: &str) -> bool {
    let is_quoted = text.len() > 2 && text.starts_with('"') && text.ends_with('"');
    let is_special =
        |character: char| character.is_whitespace() || (!is_quoted && "@,:;<>()[]\\\"".contains(character));
    !text.is_empty() && !text.contains(is_special)
}

/// A domain as the network knows it (IDNA), lower-cased.
fn domain(text: &str) -> Option<String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    let domain = if text.bytes().all(is_plain) && !text.to_ascii_lowercase().contains("xn--") {
        text.to_ascii_lowercase()
    } else {
        if text.contains('%') {
            return None; // a host in an address of the web may be written so, no domain is
        }
        let url::Host::Domain(domain) = url::Host::parse(text).ok()? else { return None };
        domain
    };
    let is_address = domain.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let has_labels = domain.split('.').all(|label| !label.is_empty());
    (has_labels && !is_address).then_some(domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_the_same_is_the_same() {
        for (text, form) in [
            ("  aB3x\t\r\n", "aB3x"),
            ("\u{feff}aB\u{200b}3\u{ad}x\u{200f}", "aB3x"),
            ("a\u{0}B\u{1b}3\u{7f}x\u{9f}", "aB3x"),
            ("ａＢ３ｘ", "aB3x"),
            ("a\u{fe0f}B\u{e0101}3x", "aB3x"),
            ("\u{202e}aB3x\u{202c}\u{2066}\u{2069}", "aB3x"),
            ("\u{3000}\u{a0}aB3x\u{2003}\u{85}", "aB3x"),
            ("a\u{308}", "ä"),
            ("\u{212b}ngstro\u{308}m", "Ångström"),
            // A mark that nobody sees kept the two from being one character.
            ("a\u{200d}\u{308}", "ä"),
            ("a\u{34f}\u{308}", "ä"),
            ("ﬁ", "fi"),
            ("\u{ffa0}x\u{3164}\u{115f}", "x"),
            ("\u{180b}x\u{180e}\u{61c}", "x"),
            ("a b\tc", "a b\tc"),
            ("\u{200b}\u{2060}", ""),
        ] {
            assert_eq!(clean(text), form, "{text:?}");
        }
    }

    #[test]
    fn an_address_has_a_local_part_and_a_domain() {
        for (text, form) in [
            ("Ada@Example.com", "ada@example.com"),
            ("mailto:Ada@Example.COM", "ada@example.com"),
            ("MAILTO:ada@example.com?subject=Hello", "ada@example.com"),
            ("ada+news@example.com", "ada+news@example.com"),
            ("o'hara_1@sub.example.co.uk", "o'hara_1@sub.example.co.uk"),
            ("ada@bücher.example", "ada@xn--bcher-kva.example"),
            ("ada@BÜCHER.example", "ada@xn--bcher-kva.example"),
            ("ada@xn--BCHER-kva.example", "ada@xn--bcher-kva.example"),
            ("ada@bücher。example", "ada@xn--bcher-kva.example"),
            ("JÖRG@example.com", "jörg@example.com"),
            ("\"a@b\"@example.com", "\"a@b\"@example.com"),
            ("ada@intranet", "ada@intranet"),
            ("ada@1und1.example", "ada@1und1.example"),
        ] {
            assert_eq!(email(text).as_deref(), Some(form), "{text}");
            assert_eq!(email(form).as_deref(), Some(form), "{text}");
        }
        for text in [
            "",
            "@",
            "ada",
            "ada@",
            "@example.com",
            "mailto:",
            "mailto:@example.com",
            "ada@.com",
            "ada@example..com",
            "ada@example.com.",
            "ada lovelace@example.com",
            "ada@exam ple.com",
            "ada@ example.com",
            "ada @example.com",
            "ada@@example.com",
            "a@example.com,b@example.com",
            "a@example.com;b@example.com",
            "Ada <ada@example.com>",
            "<ada@example.com>",
            "ada@exa%6dple.com",
            "ada@127.0.0.1",
            "ada@[127.0.0.1]",
            "ada@1",
            "ada@xn--a",
            "ada@exam|ple.com",
            "https://example.com/@ada",
        ] {
            assert_eq!(email(text), None, "{text}");
        }
    }
}
