//! Normal forms of phone numbers: E.164, where it is known from where they are dialled.

use std::sync::Once;

use icu_properties::{CodePointMapData, props::GeneralCategory};
use phonenumber::{Mode, PhoneNumber, country::Source, metadata::DATABASE};

use tokio::runtime::{Handle, RuntimeFlavor};

use crate::model::Country;

/// How many digits a phone number has.
const DIGITS: std::ops::RangeInclusive<usize> = 6..=15;
/// How many digits an extension has at most.
const EXTENSION_MAX: usize = 11;
/// What people write between the digits, beside white space.
const SEPARATORS: &str = "-./()[]~·•\u{2010}\u{2011}\u{2012}\u{2013}\u{2014}\u{2015}\u{2212}\u{30fc}";
/// The words before an extension, the longer ones first.
const EXTENSIONS: [&str; 7] = ["extension", "extn", "ext", "доб", "int", "x", "#"];
/// The longest code of a country.
const CODE_MAX: usize = 3;
/// What most dial for a `+`.
const ABROAD: &str = "00";

/// A phone number that was cleaned, in its normal form: in E.164 if it tells its country, or `country` is where it is
/// dialled; else as it is dialled. `None` if it is no phone number.
pub fn normal(text: &str, country: Option<Country>) -> Option<String> {
    let Dialled { abroad, digits, extension } = Dialled::read(text)?;
    if !DIGITS.contains(&digits.len()) || is_one_digit(&digits) {
        return None;
    }
    if abroad || country.is_some() || digits.starts_with(ABROAD) {
        read_plans();
    }
    let number = match country {
        _ if abroad => international(digits)?,
        Some(country) => national(&digits, country)?,
        None => match digits.strip_prefix(ABROAD) {
            Some(behind) => international(behind.into())?,
            None => digits,
        },
    };
    Some(if extension.is_empty() { number } else { format!("{number};ext={extension}") })
}

/// Reads the numbering plans, once: that takes a tenth of a second, in which others on the thread are moved to another
/// one.
fn read_plans() {
    static READ: Once = Once::new();
    if !READ.is_completed() {
        let read = || READ.call_once(|| drop(DATABASE.cache()));
        match Handle::try_current().map(|handle| handle.runtime_flavor()) {
            Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(read),
            _ => read(),
        }
    }
}

/// A number as it is dialled.
struct Dialled {
    /// The digits begin with a country's code.
    abroad: bool,
    digits: String,
    extension: String,
}

impl Dialled {
    /// Reads a number as people write it; `None` if something in it has no place in one.
    fn read(text: &str) -> Option<Self> {
        let text = match text.get(..4) {
            Some(scheme) if scheme.eq_ignore_ascii_case("tel:") => &text[4..],
            _ => text,
        };
        let mut parameters = text.split(';');
        let (number, mut extension) = parted(parameters.next()?)?;
        let mut context = None;
        for parameter in parameters {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match &*name.trim().to_ascii_lowercase() {
                "ext" => extension = digits_of(value).filter(|digits| digits.len() <= EXTENSION_MAX)?,
                "phone-context" => context = value.trim().strip_prefix('+').and_then(digits_of),
                _ => {}
            }
        }
        let number = number.trim_start_matches(is_separator);
        let (plus, number) = match number.strip_prefix('+') {
            Some(number) => (true, number),
            None => (false, number),
        };
        let digits = digits_of(number)?;
        Some(match (context, digits.strip_prefix(ABROAD)) {
            (_, Some(behind)) if plus => Self { abroad: true, digits: behind.into(), extension },
            (Some(context), _) if !plus => Self { abroad: true, digits: context + &digits, extension },
            _ => Self { abroad: plus, digits, extension },
        })
    }
}

/// The number and its extension; `None` if what stands behind the number is none.
fn parted(text: &str) -> Option<(&str, String)> {
    let is_word = |character: char| character.is_alphabetic() || character == '#';
    let Some(start) = text.find(is_word) else { return Some((text, String::new())) };
    let word = text[start..].to_lowercase();
    let behind = EXTENSIONS.iter().find_map(|extension| word.strip_prefix(extension))?;
    let digits = digits_of(behind.trim_start_matches([':', '.']))?;
    (1..=EXTENSION_MAX).contains(&digits.len()).then(|| (&text[..start], digits))
}

/// The digits of a text that holds nothing else but what may stand between them.
fn digits_of(text: &str) -> Option<String> {
    let mut digits = String::new();
    for character in text.chars().filter(|character| !is_separator(*character)) {
        digits.push(digit(character)?);
    }
    Some(digits)
}

fn is_separator(character: char) -> bool {
    character.is_whitespace() || SEPARATORS.contains(character)
}

/// The digit that a character of any script stands for. Those of a script stand side by side, from zero to nine.
fn digit(character: char) -> Option<char> {
    if character.is_ascii() {
        return Some(character).filter(char::is_ascii_digit);
    }
    let categories = CodePointMapData::<GeneralCategory>::new();
    let is_digit = |code: &u32| categories.get32(*code) == GeneralCategory::DecimalNumber;
    let code = u32::from(character);
    let before = (0..code).rev().take_while(is_digit).count();
    is_digit(&code).then(|| char::from(b'0' + (before % 10) as u8))
}

/// E.164 of a number that begins with the code of its country.
fn international(mut digits: String) -> Option<String> {
    if digits.starts_with('0') {
        return None; // no country has such a code
    }
    // What people put between a country's code and the rest, like `(0)`, is taken off, but nothing that belongs there.
    while !is_planned(&digits) {
        let Ok(number) = phonenumber::parse(None, format!("+{digits}")) else { break };
        let next = e164(&number);
        if next.len() >= digits.len() && !is_planned(&next) {
            break;
        }
        digits = next;
    }
    let is_one_behind_code = split_code(&digits).is_some_and(|(_, behind)| is_one_digit(behind));
    let is_number = DIGITS.contains(&digits.len()) && !is_one_digit(&digits) && !is_one_behind_code;
    is_number.then(|| format!("+{digits}"))
}

/// E.164 of a number as it is dialled in a country.
fn national(digits: &str, country: Country) -> Option<String> {
    let number = phonenumber::parse(Some(country.id()), digits).ok();
    // The country's own prefix for calls abroad comes before the one of most others.
    let is_abroad = |number: &PhoneNumber| number.code().source() == Source::Idd;
    match (digits.strip_prefix(ABROAD), number) {
        (Some(behind), number) if !number.as_ref().is_some_and(is_abroad) => international(behind.into()),
        (_, number) => international(e164(&number?)),
    }
}

fn e164(number: &PhoneNumber) -> String {
    number.format().mode(Mode::E164).to_string().trim_start_matches('+').to_owned()
}

/// Whether the numbering plan of some country has this number.
fn is_planned(digits: &str) -> bool {
    split_code(digits).is_some_and(|(code, behind)| {
        let plans = DATABASE.by_code(&code).unwrap_or_default();
        plans.iter().any(|plan| plan.descriptors().general().is_match(behind))
    })
}

/// The code of a country, and what stands behind it.
fn split_code(digits: &str) -> Option<(u16, &str)> {
    (1..=CODE_MAX).find_map(|length| {
        let (code, behind) = digits.split_at_checked(length)?;
        let code = code.parse().ok()?;
        DATABASE.by_code(&code).is_some().then_some((code, behind))
    })
}

fn is_one_digit(digits: &str) -> bool {
    let mut digits = digits.bytes();
    let first = digits.next();
    digits.all(|digit| Some(digit) == first)
}

/// A phone number as it was dialled before it was brought into E.164, which stores of then have keys of.
pub fn formerly_dialled(text: &str) -> String {
    let dialled: String = text.chars().filter(|it| !it.is_whitespace() && !"-./()".contains(*it)).collect();
    match dialled.strip_prefix(ABROAD) {
        Some(abroad) => format!("+{abroad}"),
        None => dialled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::identity::keys::form::clean;

    fn in_country(country: &str, text: &str) -> Option<String> {
        normal(&clean(text), Country::parse(country).ok())
    }

    #[test]
    fn a_number_that_tells_its_country_is_the_same_however_it_is_written() {
        for (text, form) in [
            ("+41 79 123 45 67", "+41791234567"),
            ("+41 (0)79 123 45 67", "+41791234567"),
            ("0041-79-123.45.67", "+41791234567"),
            ("(+41) 79/1234567", "+41791234567"),
            ("tel:+41-79-123-45-67", "+41791234567"),
            ("TEL:+41791234567;isub=1", "+41791234567"),
            ("tel:79-123-45-67;phone-context=+41", "+41791234567"),
            ("tel:079-123-45-67;phone-context=+41", "+41791234567"),
            ("＋４１ ７９ １２３ ４５ ６７", "+41791234567"),
            ("+41\u{a0}79\u{2009}123\u{2011}45\u{2013}67\u{202c}", "+41791234567"),
            ("+٤١ ٧٩ ١٢٣ ٤٥ ٦٧", "+41791234567"),
            ("+४१७९१२३४५६७", "+41791234567"),
            ("+0041791234567", "+41791234567"),
            ("+1 (202) 555-0123", "+12025550123"),
            ("+44 (0)20 7946 0958", "+442079460958"),
            // What belongs to the number is no prefix that is dialled within the country.
            ("+39 06 1234 5678", "+390612345678"),
            ("+7 800 123-45-67", "+78001234567"),
            ("+375 800 123456", "+375800123456"),
            ("+994 50 123 45 67", "+994501234567"),
            ("+54 9 11 2345-6789", "+5491123456789"),
            // A code of no country that is known.
            ("+999 123 456 789", "+999123456789"),
            ("+41 79 123 45 67 ext. 12", "+41791234567;ext=12"),
            ("+41 79 123 45 67 x12", "+41791234567;ext=12"),
            ("+41 79 123 45 67 #12", "+41791234567;ext=12"),
            ("tel:+41791234567;ext=12", "+41791234567;ext=12"),
            ("+41 79 123 45 67 Extension: 12", "+41791234567;ext=12"),
        ] {
            for country in ["", "CH", "US", "FI", "RU", "JP"] {
                assert_eq!(in_country(country, text).as_deref(), Some(form), "{country} {text}");
            }
        }
    }

    #[test]
    fn a_number_without_a_country_is_that_of_the_source() {
        for (country, text, form) in [
            ("CH", "079 123 45 67", "+41791234567"),
            ("CH", "791234567", "+41791234567"),
            ("CH", "41791234567", "+41791234567"),
            ("CH", "0041 79 123 45 67", "+41791234567"),
            ("DE", "0170/1234567", "+491701234567"),
            ("US", "(202) 555-0123", "+12025550123"),
            ("US", "1-202-555-0123", "+12025550123"),
            ("US", "011 41 79 123 45 67", "+41791234567"),
            ("US", "0041 79 123 45 67", "+41791234567"),
            ("AU", "0011 41 79 123 45 67", "+41791234567"),
            ("RU", "8 (912) 345-67-89", "+79123456789"),
            ("RU", "8 10 41 79 123 45 67", "+41791234567"),
            ("IT", "06 1234 5678", "+390612345678"),
            ("PL", "601 234 567", "+48601234567"),
            ("JP", "090-1234-5678", "+819012345678"),
            ("GB", "07911 123456 ext 9", "+447911123456;ext=9"),
            ("", "079 123 45 67", "0791234567"),
            ("", "41791234567", "41791234567"),
            ("", "0041791234567", "+41791234567"),
        ] {
            assert_eq!(in_country(country, text).as_deref(), Some(form), "{country} {text}");
            assert_eq!(in_country(country, form).as_deref(), Some(form), "{country} {form}");
        }
    }

    #[test]
    fn what_is_no_number_is_no_key() {
        for text in [
            "",
            "+",
            "+48",
            "tel:",
            "12345",
            "+41 12",
            "1234567890123456",
            "000000",
            "000000000",
            "111111111",
            "+48 000 000 000",
            "+41000000000",
            "+1 222 222 2222",
            "0000000000",
            "00",
            "+00",
            "call me",
            "unknown",
            "ada@example.com",
            "079 123 45 6x",
            "+41 79 +41 79",
            "1791234567 or 0791234568",
            "079 123 45 67 / 079 123 45 68 / 1",
            "+0791234567",
            "*100#",
            "ext. 12",
            "+41791234567 (mobile)",
            "+41791234567;ext=123456789012",
            "1e10",
            "-5",
            "٠٠٠٠٠٠٠",
        ] {
            for country in ["", "CH", "US"] {
                let form = in_country(country, text);
                assert_eq!(form, None, "{country} {text}");
            }
        }
    }
}
