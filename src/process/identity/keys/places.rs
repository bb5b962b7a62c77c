//! Where in a profile keys stand, and what of a record speaks of a person.

use crate::model::{KnownBy, Path, begins_with};

/// The places in a profile that hold a merge key, and the kind of it: an address is the same person's wherever it
/// stands.
pub const PLACES: [(&[&str], KnownBy); 9] = [
    (&["data", "contact", "email", "main"], KnownBy::Email),
    (&["data", "contact", "email", "private"], KnownBy::Email),
    (&["data", "contact", "email", "business"], KnownBy::Email),
    (&["data", "contact", "phone", "main"], KnownBy::Phone),
    (&["data", "contact", "phone", "mobile"], KnownBy::Phone),
    (&["data", "contact", "phone", "business"], KnownBy::Phone),
    (&["data", "contact", "phone", "whatsapp"], KnownBy::Phone),
    (&["data", "identifier", "id"], KnownBy::Identifier),
    (&["data", "identifier", "pk"], KnownBy::Pk),
];

/// The place in a profile where clients of the reference find its primary key.
pub const PRIMARY_ID: &str = "primary_id";

/// Where what a profile is made for is written; an id is no such thing.
pub fn place_of(known: KnownBy) -> Option<Path> {
    PLACES.iter().find(|(_, kind)| *kind == known).map(|(place, _)| in_profile(place))
}

pub fn in_profile(place: &[&str]) -> Path {
    std::iter::once("profile").chain(place.iter().copied()).collect()
}

/// The parts of an event that speak of its person.
pub const PERSONAL: [&[&str]; 10] = [
    &["data", "contact"],
    &["data", "identifier"],
    &["data", "job"],
    &["data", "loyalty"],
    &["data", "media"],
    &["data", "message"],
    &["data", "payment"],
    &["data", "pii"],
    &["data", "preferences"],
    &["device", "geo"],
];
/// The parts of a profile that do not: what was allowed, and sums.
const IMPERSONAL: [&[&str]; 2] = [&["consents"], &["data", "metrics"]];

/// Whether what is written to `path`, whose first step names the record, speaks of a person.
pub fn is_personal(path: &Path) -> bool {
    let (root, steps) = path.split_root();
    let begins = |part: &&[&str]| begins_with(steps, part);
    match root {
        "profile" => !IMPERSONAL.iter().any(begins),
        _ => PERSONAL.iter().any(begins),
    }
}
