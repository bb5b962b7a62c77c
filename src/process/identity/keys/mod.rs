//! Merge keys: what tells that two profiles are one person, kept hashed with a key of this installation.
//!
//! Values are compared in the normal form of their kind ([`form`], [`phone`]); what says nothing is no key
//! ([`placeholder`]).

mod form;
mod phone;
mod placeholder;
mod places;

use std::{borrow::Cow, fmt, sync::Arc};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use self::{
    placeholder::Placeholders,
    places::{PLACES, PRIMARY_ID, in_profile},
};
use crate::model::{Country, Id, IdHash, Json, KnownBy, MergeKey, Path, Value};

pub use places::{PERSONAL, is_personal, place_of};

/// What values that are compared as they are, are hashed with: before, they were lower-cased, and the key of one that was
/// kept then may be another one's now.
const EXACT: &str = "exact";
/// The longest normal form that is a key, and the longest text of which one is made, in bytes.
const FORM_BYTES_MAX: usize = 512;
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// What can be set about who is who.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentitySettings {
    /// Places that hold a merge key beside those of every installation.
    pub merge_keys: Vec<KeyPlace>,
    /// What is no key, beside the words that everybody uses for nothing.
    pub placeholders: Vec<String>,
    /// How many stored profiles one key joins in a day before it finds nobody; 0: as many as there are.
    pub people_per_key: u32,
    /// Whether an address or phone number that was replaced goes on leading to its former owner.
    pub keep_former: bool,
}

/// A place in a profile that holds a merge key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPlace {
    /// Its first step names the profile.
    pub path: Path,
    /// Two who have different values there are two people.
    pub exclusive: bool,
}

impl Default for IdentitySettings {
    fn default() -> Self {
        Self { merge_keys: Vec::new(), placeholders: Vec::new(), people_per_key: 20, keep_former: false }
    }
}

/// Makes merge keys of what people are known by.
#[derive(Clone)]
pub struct Identity {
    mac: Hmac<Sha256>,
    /// The places that hold a merge key; what stands at one of this installation's own is no other place's.
    places: Vec<(Path, Option<KnownBy>)>,
    /// Those of them that tell people apart, the first first.
    exclusive: Vec<Path>,
    placeholders: Arc<Placeholders>,
    people_per_key: u32,
    keeps_former: bool,
}

impl Identity {
    /// `secret` is this installation's own.
    pub fn new(secret: &str, settings: &IdentitySettings) -> Self {
        // HMAC takes a key of any length (RFC 2104, section 2).
        let mac = Hmac::new_from_slice(secret.as_bytes()).expect("every length is taken");
        let mut places: Vec<_> = PLACES.iter().map(|(place, kind)| (in_profile(place), Some(*kind))).collect();
        let mut exclusive: Vec<Path> = [KnownBy::Pk, KnownBy::Identifier].into_iter().filter_map(place_of).collect();
        for KeyPlace { path, exclusive: is_exclusive } in &settings.merge_keys {
            if !places.iter().any(|(place, _)| place == path) {
                places.push((path.clone(), None));
            }
            if *is_exclusive && !exclusive.contains(path) {
                exclusive.push(path.clone());
            }
        }
        Self {
            mac,
            places,
            exclusive,
            placeholders: Arc::new(Placeholders::new(&settings.placeholders)),
            people_per_key: settings.people_per_key,
            keeps_former: settings.keep_former,
        }
    }

    /// The places that hold a merge key.
    pub fn places(&self) -> impl Iterator<Item = &Path> {
        self.places.iter().map(|(place, _)| place)
    }

    /// The places whose keys tell people apart, in the order of precedence.
    pub fn exclusive_places(&self) -> impl Iterator<Item = &Path> + Clone {
        self.exclusive.iter()
    }

    /// Whether two who have different values at `path`, whose first step names the profile, are two people.
    pub fn is_exclusive(&self, path: &Path) -> bool {
        self.exclusive.contains(path)
    }

    /// Whether what is written to `path` says what stands at `place`, where a key is that tells people apart.
    pub fn speaks_of(&self, path: &Path, place: &Path) -> bool {
        let is_primary_id = matches!(path.split_root(), ("profile", [step]) if **step == *PRIMARY_ID);
        place.steps().starts_with(path.steps()) || is_primary_id && place_of(KnownBy::Pk).as_ref() == Some(place)
    }

    /// The places of e-mail addresses and phone numbers.
    pub fn contact_places(&self) -> impl Iterator<Item = &Path> {
        let contacts = self.places.iter().filter(|(_, kind)| matches!(kind, Some(KnownBy::Email | KnownBy::Phone)));
        contacts.map(|(place, _)| place)
    }

    /// How many stored profiles one key joins in a day before it finds nobody; 0: as many as there are.
    pub fn people_per_key(&self) -> u32 {
        self.people_per_key
    }

    /// Whether an address or phone number that was replaced goes on leading to its former owner.
    pub fn keeps_former(&self) -> bool {
        self.keeps_former
    }

    /// The key that stands at `path`, whose first step names the profile, if it is a place for one and `value` says
    /// something. `country` is where phone numbers without a prefix are dialled.
    pub fn key_at(&self, path: &Path, value: &Value, country: Option<Country>) -> Option<MergeKey> {
        match self.kind_at(path)? {
            Some(kind) => self.key(kind, value, country),
            None => Some(self.hashed(&[EXACT, &path.to_string()], &self.form(None, value, None)?)),
        }
    }

    /// The key that `value` is of a kind; `None` when it has not the form of its kind, or stands for nothing (an empty
    /// text, a word for nothing). `country` is where phone numbers without a prefix are dialled.
    pub fn key(&self, kind: KnownBy, value: &Value, country: Option<Country>) -> Option<MergeKey> {
        let form = self.form(Some(kind), value, country)?;
        Some(match kind {
            KnownBy::Email | KnownBy::Phone => self.hashed(&[kind.word()], &form),
            KnownBy::Id | KnownBy::Identifier | KnownBy::Pk => self.hashed(&[EXACT, kind.word()], &form),
        })
    }

    /// The key under which stores of before have what is a key at `path` today, where that is another one: it was
    /// lower-cased whatever its kind. Others may have the same one, so whoever is found by it is who is meant only if
    /// the same value stands there.
    pub fn former_at(&self, path: &Path, value: &Value, country: Option<Country>) -> Option<MergeKey> {
        match self.kind_at(path)? {
            Some(kind) => self.former(kind, value, country),
            None => self.former_of(&path.to_string(), value, self.key_at(path, value, country)?),
        }
    }

    /// As [`Identity::former_at`], for a key of a kind.
    pub fn former(&self, kind: KnownBy, value: &Value, country: Option<Country>) -> Option<MergeKey> {
        let key = self.key(kind, value, country)?;
        match (kind, value) {
            (KnownBy::Phone, Value::Text(text)) => {
                self.former_of(kind.word(), &Value::text(&phone::formerly_dialled(text)), key)
            }
            _ => self.former_of(kind.word(), value, key),
        }
    }

    fn former_of(&self, label: &str, value: &Value, key: MergeKey) -> Option<MergeKey> {
        let former = self.hashed(&[label], lower_cased(value)?.trim());
        Some(former).filter(|former| *former != key)
    }

    /// The keys that stand in `value` at `path`, itself one or an object that holds some.
    pub fn keys_in(
        &self,
        path: &Path,
        value: &Value,
        country: Option<Country>,
    ) -> impl Iterator<Item = (Path, MergeKey)> {
        let key = move |(place, value): (&Path, &Value)| Some((place.clone(), self.key_at(place, value, country)?));
        self.values_in(path, value).filter_map(key)
    }

    /// What the person is found by of whom a profile says `facts`, each with its former key.
    pub fn keys_of(&self, facts: &Json, country: Option<Country>) -> Vec<(MergeKey, Option<MergeKey>)> {
        if facts.is_empty_object() {
            return Vec::new();
        }
        let (root, facts): (Path, _) = (["profile"].into_iter().collect(), Value::from(facts));
        let found = self.values_in(&root, &facts).filter_map(|(place, value)| {
            Some((self.key_at(place, value, country)?, self.former_at(place, value, country)))
        });
        let mut keys: Vec<_> = found.collect();
        keys.sort_unstable();
        keys.dedup_by_key(|(key, _)| *key);
        keys
    }

    /// Whether `key` is one of what the person is found by of whom a profile says `facts`.
    pub fn says(&self, facts: &Json, key: MergeKey, country: Option<Country>) -> bool {
        self.keys_of(facts, country).iter().any(|(known, _)| *known == key)
    }

    /// Whether `value` at `path` says whose the profile is, or takes the place of what says so: a placeholder does.
    pub fn is_told_by(&self, path: &Path, value: &Value) -> bool {
        let is_primary_id = matches!(path.split_root(), ("profile", [step]) if **step == *PRIMARY_ID);
        is_primary_id || self.values_in(path, value).any(|(_, value)| !value.is_empty())
    }

    /// The places of keys at or below `path`, with what stands there if `value` stands at `path`.
    fn values_in<'a>(&self, path: &Path, value: &'a Value) -> impl Iterator<Item = (&Path, &'a Value)> {
        let within = self.places().filter(|place| place.steps().starts_with(path.steps()));
        within.filter_map(|place| Some((place, value.get(&place.steps()[path.steps().len()..])?)))
    }

    /// A name for `value` at `path`, which is no place for a key, to hold while somebody is looked for who has it there;
    /// `None` when it says nothing.
    pub fn name_of(&self, path: &Path, value: &Value) -> Option<MergeKey> {
        if self.kind_at(path).is_some() {
            return None; // what is no key there leads to nobody
        }
        let text = lower_cased(value)?;
        let text = Some(text.trim()).filter(|text| !Id::is_missing(text))?;
        Some(self.hashed(&[&path.to_string()], text))
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

    /// The kind of the keys at `path`; within, `None` at one of this installation's own places.
    fn kind_at(&self, path: &Path) -> Option<Option<KnownBy>> {
        self.places.iter().find(|(place, _)| place == path).map(|(_, kind)| *kind)
    }

    /// What `value` is compared by; `None` when it has not the form of its kind, or stands for nothing.
    fn form<'a>(&self, kind: Option<KnownBy>, value: &'a Value, country: Option<Country>) -> Option<Cow<'a, str>> {
        let (Value::Text(text) | Value::Number(text)) = value else { return None };
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let text = form::clean(text);
        let form = match kind {
            Some(KnownBy::Id) => Some(text).filter(|text| !Id::is_missing(text)),
            _ if self.placeholders.is_one(&text) => None,
            Some(KnownBy::Email) => {
                let is_nobodys = |address: &str| self.placeholders.is_address(address);
                form::email(&text).filter(|form| !is_nobodys(form) && !is_nobodys(&text.to_lowercase())).map(Cow::Owned)
            }
            Some(KnownBy::Phone) => {
                phone::normal(&text, country).filter(|form| !self.placeholders.is_phone(form, &text)).map(Cow::Owned)
            }
            Some(KnownBy::Identifier | KnownBy::Pk) | None => Some(text),
        };
        form.filter(|form| form.len() <= FORM_BYTES_MAX)
    }

    fn hashed(&self, labels: &[&str], form: &str) -> MergeKey {
        let mut mac = self.mac.clone();
        for label in labels {
            mac.update(label.as_bytes());
            mac.update(&[0]);
        }
        mac.update(form.as_bytes());
        let mut key = [0; 16];
        key.copy_from_slice(&mac.finalize().into_bytes()[..16]);
        MergeKey(key)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Identity").finish_non_exhaustive()
    }
}

/// What every value was compared by once.
fn lower_cased(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.to_lowercase()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
