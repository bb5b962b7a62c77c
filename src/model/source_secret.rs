//! Secrets by which a source knows its own requests (docs/contract.md, section 9). Only their hashes are kept.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Id, Time};

/// How many secrets of a source are valid at a time: two, so that they are changed without a gap.
const SECRETS_MAX: usize = 2;
/// What a secret begins with, by which scanners for leaked secrets know it.
const PREFIX: &str = "trs_";

/// The hash of a secret.
///
/// A plain SHA-256: a secret is 256 random bits, so there is nothing that guessing would find sooner, and a slow hash,
/// which is there for passwords, would only let strangers keep the processor busy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceSecret {
    hash: [u8; 32],
    /// When it was made.
    pub since: Time,
}

/// The secrets of a source that are valid, the oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceSecrets {
    pub source: Id,
    list: Vec<SourceSecret>,
}

/// A new secret as its owner gets it, once.
///
/// It has no `Debug`, so that it stands in no log.
pub struct PlainSecret(String);

impl PlainSecret {
    /// The secret that is made of 256 random bits.
    pub fn new(random: [u8; 32]) -> Self {
        let digits = random.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        Self(PREFIX.chars().chain(digits.filter_map(|digit| char::from_digit(digit.into(), 16))).collect())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl SourceSecrets {
    pub fn none(source: Id) -> Self {
        Self { source, list: Vec::new() }
    }

    /// These with a new one; the oldest ends where they would be more than two.
    #[must_use]
    pub fn with(&self, secret: &PlainSecret, since: Time) -> Self {
        let mut list = self.list.clone();
        list.push(SourceSecret { hash: hash(secret.as_str()), since });
        let ended = list.len().saturating_sub(SECRETS_MAX);
        list.drain(..ended);
        Self { source: self.source.clone(), list }
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub fn len(&self) -> usize {
        self.iter().count()
    }

    pub fn iter(&self) -> impl Iterator<Item = &SourceSecret> {
        self.list.iter()
    }

    /// Whether `sent` is one of them; takes as long whatever of it is wrong.
    pub fn accept(&self, sent: &str) -> bool {
        let sent = hash(sent);
        // None is passed over, so that the time does not tell which it is either.
        self.list.iter().fold(false, |accepted, secret| accepted | bool::from(secret.hash.ct_eq(&sent)))
    }
}

fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_secrets_are_valid_and_a_third_ends_the_oldest() {
        let made = |seed: u8| PlainSecret::new([seed; 32]);
        let none = SourceSecrets::none(Id::required("shop").unwrap());
        let [first, second, third] = [made(1), made(2), made(0xfe)];
        assert_eq!(third.as_str(), format!("trs_{}", "fe".repeat(32)));
        let two = none.with(&first, Time::default()).with(&second, Time::default());
        assert!(two.accept(first.as_str()) && two.accept(second.as_str()) && !two.accept(third.as_str()));
        let after = two.with(&third, Time::default());
        assert!(!after.accept(first.as_str()) && after.accept(second.as_str()) && after.accept(third.as_str()));
        assert!(!after.accept("") && !none.accept("") && !none.accept(first.as_str()));
    }
}
