//! Merge keys: what tells that two profiles are one person, kept hashed with a key of this installation.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::model::{Id, IdHash, KnownBy, MergeKey, Path, Value, begins_with};

/// The places in a profile that hold a merge key, and the kind of it: an address is the same person's wherever it
/// stands.
const PLACES: [(&[&str], KnownBy); 9] = [
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
const PRIMARY_ID: &str = "primary_id";

/// Where what a profile is made for is written; an id is no such thing.
pub fn place_of(known: KnownBy) -> Option<Path> {
    PLACES.iter().find(|(_, kind)| *kind == known).map(|(place, _)| in_profile(place))
}

fn in_profile(place: &[&str]) -> Path {
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

/// Makes merge keys of what people are known by.
#[derive(Clone)]
pub struct Identity {
    mac: Hmac<Sha256>,
    /// The places that hold a merge key; what stands at one of this installation's own is no other place's.
    places: Vec<(Path, Option<KnownBy>)>,
}

impl Identity {
    /// `secret` is this installation's own; `more` are places beside those of every installation.
    pub fn new(secret: &str, more: Vec<Path>) -> Self {
        // HMAC takes a key of any length (RFC 2104, section 2).
        let mac = Hmac::new_from_slice(secret.as_bytes()).expect("every length is taken");
        let places = PLACES.iter().map(|(place, kind)| (in_profile(place), Some(*kind)));
        Self { mac, places: places.chain(more.into_iter().map(|place| (place, None))).collect() }
    }

    /// The places that hold a merge key.
    pub fn places(&self) -> impl Iterator<Item = &Path> {
        self.places.iter().map(|(place, _)| place)
    }

    /// The places of primary keys, in the order in which they count.
    pub fn exclusive_places(&self) -> impl Iterator<Item = &Path> + Clone {
        [KnownBy::Pk, KnownBy::Identifier]
            .into_iter()
            .filter_map(|kind| self.places.iter().find(|(_, known)| *known == Some(kind)).map(|(place, _)| place))
    }

    /// The places of addresses and phone numbers.
    pub fn contact_places(&self) -> impl Iterator<Item = &Path> {
        let is_contact = |known: Option<KnownBy>| matches!(known, Some(KnownBy::Email | KnownBy::Phone));
        self.places.iter().filter(move |(_, known)| is_contact(*known)).map(|(place, _)| place)
    }

    pub fn is_exclusive(&self, path: &Path) -> bool {
        self.exclusive_places().any(|place| place == path)
    }

    /// Whether what is written to `path` says what stands at `place` of a primary key.
    pub fn speaks_of(&self, path: &Path, place: &Path) -> bool {
        let is_primary_id = matches!(path.split_root(), ("profile", [step]) if **step == *PRIMARY_ID);
        place.steps().starts_with(path.steps()) || is_primary_id && place_of(KnownBy::Pk).as_ref() == Some(place)
    }

    pub fn people_per_key(&self) -> u32 {
        20
    }

    pub fn keeps_former(&self) -> bool {
        false
    }

    /// The key that stands at `path`, whose first step names the profile, if it is a place for one and `value` says
    /// something.
    pub fn key_at(&self, path: &Path, value: &Value) -> Option<MergeKey> {
        match self.places.iter().find(|(place, _)| place == path)?.1 {
            Some(kind) => self.key(kind, value),
            None => self.hashed(&path.to_string(), value),
        }
    }

    /// The key that `value` is of a kind; `None` when it says nothing (an empty text, a word for nothing).
    pub fn key(&self, kind: KnownBy, value: &Value) -> Option<MergeKey> {
        match (kind, value) {
            (KnownBy::Phone, Value::Text(text)) => self.hashed(kind.word(), &Value::text(&dialled(text))),
            _ => self.hashed(kind.word(), value),
        }
    }

    /// The keys that stand in `value` at `path`, itself one or an object that holds some.
    pub fn keys_in(&self, path: &Path, value: &Value) -> impl Iterator<Item = (Path, MergeKey)> {
        let places = self.places.iter().map(|(place, _)| place);
        let within = places.filter(|place| place.steps().starts_with(path.steps()));
        within.filter_map(|place| {
            let key = self.key_at(place, value.get(&place.steps()[path.steps().len()..])?)?;
            Some((place.clone(), key))
        })
    }

    /// Whether `value` at `path` says whose the profile is.
    pub fn is_told_by(&self, path: &Path, value: &Value) -> bool {
        let is_primary_id = matches!(path.split_root(), ("profile", [step]) if **step == *PRIMARY_ID);
        is_primary_id || self.keys_in(path, value).next().is_some()
    }

    /// A name for `value` at `path`, to hold while somebody is looked for who has it there; `None` when it says
    /// nothing.
    pub fn name_of(&self, path: &Path, value: &Value) -> Option<MergeKey> {
        self.hashed(&path.to_string(), value)
    }

    /// What is kept of an event's id that a client gave, once the event was erased.
    pub fn event_hash(&self, id: &Id, source: &Id) -> IdHash {
        // No id holds a control character.
        self.id_hash(&["erased event", &id.text(), &source.text()])
    }

    pub fn profile_hash(&self, id: &Id) -> IdHash {
        self.id_hash(&["erased profile", &id.text()])
    }

    pub fn session_hash(&self, id: &Id) -> IdHash {
        self.id_hash(&["erased session", &id.text()])
    }

    fn id_hash(&self, parts: &[&str]) -> IdHash {
        let mut mac = self.mac.clone();
        for part in parts {
            mac.update(part.as_bytes());
            mac.update(&[0]);
        }
        let mut hash = [0; 16];
        hash.copy_from_slice(&mac.finalize().into_bytes()[..16]);
        IdHash(hash)
    }

    fn hashed(&self, kind: &str, value: &Value) -> Option<MergeKey> {
        let text = match value {
            Value::Text(text) => text.to_lowercase(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        let text = text.trim();
        if Id::is_missing(text) {
            return None;
        }
        let mut mac = self.mac.clone();
        mac.update(kind.as_bytes());
        mac.update(&[0]);
        mac.update(text.as_bytes());
        let hash = mac.finalize().into_bytes();
        let mut key = [0; 16];
        key.copy_from_slice(&hash[..16]);
        Some(MergeKey(key))
    }
}

/// A phone number as it is dialled: people write it with blanks, dots and brackets, and `00` for `+`.
fn dialled(text: &str) -> String {
    let dialled: String = text.chars().filter(|it| !it.is_whitespace() && !"-./()".contains(*it)).collect();
    match dialled.strip_prefix("00") {
        Some(abroad) => format!("+{abroad}"),
        None => dialled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_the_same_in_any_case_and_with_blanks_around_it() {
        let identity = Identity::new("one", Vec::new());
        let key = |kind, text| identity.key(kind, &Value::text(text));
        assert_eq!(key(KnownBy::Email, " Ada@Example.com "), key(KnownBy::Email, "ada@example.com"));
        assert_ne!(key(KnownBy::Email, "ada@example.com"), key(KnownBy::Phone, "ada@example.com"));
        assert_ne!(
            key(KnownBy::Email, "ada@example.com"),
            Identity::new("two", Vec::new()).key(KnownBy::Email, &Value::text("ada@example.com"))
        );
        for nothing in ["", "  ", "null", "undefined", "None", "0"] {
            assert_eq!(key(KnownBy::Email, nothing), None, "{nothing}");
        }
        assert_eq!(identity.key(KnownBy::Pk, &Value::number(17)), key(KnownBy::Pk, "17"));
        let phone = key(KnownBy::Phone, "+41 (79) 123-45.67");
        assert_eq!((phone, phone), (key(KnownBy::Phone, "0041791234567"), key(KnownBy::Phone, " +41791234567 ")));
        assert_ne!(phone, key(KnownBy::Phone, "41791234567"));
    }
}
