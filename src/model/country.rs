//! The country whose numbers are dialled without its prefix.

use super::{Fault, short};

/// A country by its code of two letters (ISO 3166-1), whose numbering plan is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Country(phonenumber::country::Id);

impl Country {
    /// Reads a country's code, in any case.
    ///
    /// # Errors
    /// It is no such code, or nobody has a telephone there.
    pub fn parse(code: &str) -> Result<Self, Fault> {
        code.trim().to_ascii_uppercase().parse().map(Self).map_err(|_| {
            let msg = format!("{}: a country's code of two letters is expected, like CH", short(code));
            Fault::new("value_error", msg)
        })
    }

    /// As the library for phone numbers names it.
    pub fn id(self) -> phonenumber::country::Id {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_country_is_known_by_its_two_letters_and_has_a_numbering_plan() {
        assert_eq!(Country::parse("ch").unwrap(), Country::parse(" CH ").unwrap());
        for wrong in ["", "C", "CHE", "UK", "41", "+41", "Schweiz", "C H", "ÇH", "001", "ZZ"] {
            assert_eq!(Country::parse(wrong).unwrap_err().kind, "value_error", "{wrong}");
        }
        let letters = || ('A'..='Z').chain('a'..='z');
        let codes = letters().flat_map(|first| letters().map(move |second| format!("{first}{second}")));
        for country in codes.filter_map(|code| Country::parse(&code).ok()) {
            assert!(phonenumber::metadata::DATABASE.by_id(country.id().as_ref()).is_some(), "{country:?}");
        }
    }
}
