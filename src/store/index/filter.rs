//! Which ids something cannot hold: a Bloom filter over their fingerprints.

use serde::{Deserialize, Serialize};

use crate::model::Id;

/// Ten bits a key and seven looks: about one in a hundred ids is looked for in vain.
const BITS_A_KEY: usize = 10;
const LOOKS: u64 = 7;

/// What an id is found by: a checksum, so that it is the same on every machine. Two ids may share one.
pub fn fingerprint(id: &Id) -> u32 {
    crc32c::crc32c(id.text().as_bytes())
}

/// A set of fingerprints that may say of a few more that it holds them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Filter {
    words: Vec<u64>,
}

impl Filter {
    pub fn new(fingerprints: impl ExactSizeIterator<Item = u32>) -> Self {
        let mut filter = Self::for_keys(fingerprints.len());
        fingerprints.for_each(|fingerprint| filter.insert(fingerprint));
        filter
    }

    /// An empty one for about so many keys; with more of them it says more often that it holds what it does not.
    pub fn for_keys(keys: usize) -> Self {
        Self { words: vec![0; (keys * BITS_A_KEY).div_ceil(64).max(1)] }
    }

    pub fn insert(&mut self, fingerprint: u32) {
        let bits = self.words.len() as u64 * 64;
        for place in places(fingerprint, bits) {
            self.words[place / 64] |= 1 << (place % 64); // a place is below the number of bits
        }
    }

    /// About how many keys were put in, while there are not many more than it was made for.
    pub fn keys(&self) -> u64 {
        self.words.iter().map(|word| u64::from(word.count_ones())).sum::<u64>() / LOOKS
    }

    pub fn may_hold(&self, fingerprint: u32) -> bool {
        let bits = self.words.len() as u64 * 64;
        places(fingerprint, bits)
            .all(|place| self.words.get(place / 64).is_some_and(|word| word >> (place % 64) & 1 == 1))
    }
}

/// Where the bits of a fingerprint stand among `bits` (double hashing: Kirsch and Mitzenmacher, 2006).
fn places(fingerprint: u32, bits: u64) -> impl Iterator<Item = usize> {
    // The end of splitmix64 spreads a checksum, whose bits are not independent, over 64 bits.
    let mut hash = u64::from(fingerprint).wrapping_add(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^= hash >> 31;
    let (first, step) = (hash >> 32, (hash & 0xffff_ffff) | 1);
    (0..LOOKS).map(move |look| (first.wrapping_add(look.wrapping_mul(step)) % bits.max(1)) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(from: u32) -> impl ExactSizeIterator<Item = u32> {
        (from..from + 20_000).map(|number| crc32c::crc32c(format!("visitor-{number}").as_bytes()))
    }

    #[test]
    fn a_filter_holds_what_was_put_in_and_little_else() {
        let filter = Filter::new(ids(0));
        assert!(ids(0).all(|known| filter.may_hold(known)));
        assert!((14_000..=20_000).contains(&filter.keys()), "{}", filter.keys());
        let wrong = ids(1_000_000).filter(|other| filter.may_hold(*other)).count();
        assert!(wrong < 500, "{wrong} of 20,000");
    }
}
