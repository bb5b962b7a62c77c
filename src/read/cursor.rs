//! Where a query goes on.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use sha2::{Digest, Sha256};

use crate::{
    model::{Fault, Place},
    store::{number_time, time_number},
};

/// How many bytes of the query's hash a cursor carries.
const QUERY_BYTES: usize = 8;

/// A place behind the last record that was answered, and the query that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// From the newest on: everything before this place is still to come; from the oldest on: this place and everything
    /// behind it is.
    pub place: Place,
}

impl Cursor {
    /// Reads a cursor of the query that `identity` tells from others.
    ///
    /// # Errors
    /// It is none, or another query's.
    pub fn read(text: &str, identity: &str) -> Result<Self, Fault> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok();
        let parts = bytes.as_deref().and_then(|bytes| bytes.split_at_checked(QUERY_BYTES));
        let place = parts.and_then(|(_, place)| {
            let (time, offset) = place.split_first_chunk()?;
            let (time, offset) = (u64::from_be_bytes(*time), u64::from_be_bytes(offset.try_into().ok()?));
            Some(Place { time: number_time(time), offset })
        });
        let (Some((query, _)), Some(place)) = (parts, place) else {
            return Err(Fault::new("value_error", "not a cursor"));
        };
        if query != hash(identity) {
            return Err(Fault::new(
                "value_error",
                "a cursor goes on with the query that it was answered to, and no other, in the store as it was then: not \
                 in one that was restored or lost its last entries since",
            ));
        }
        Ok(Self { place })
    }

    pub fn to_text(self, identity: &str) -> String {
        let Place { time, offset } = self.place;
        let place = [time_number(time).to_be_bytes(), offset.to_be_bytes()].concat();
        BASE64_URL_SAFE_NO_PAD.encode([&hash(identity)[..], &place].concat())
    }
}

fn hash(identity: &str) -> [u8; QUERY_BYTES] {
    let hash = Sha256::digest(identity.as_bytes());
    std::array::from_fn(|place| hash[place])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Time;

    #[test]
    fn a_cursor_goes_on_with_its_query_alone() {
        let cursor = Cursor { place: Place { time: Time::from_micros(-5), offset: 77 } };
        let text = cursor.to_text("type=a");
        assert_eq!(Cursor::read(&text, "type=a"), Ok(cursor));
        assert!(Cursor::read(&text, "type=b").is_err());
        for wrong in ["", "AAAA", &text[..text.len() - 4], &format!("{text}AAAA")] {
            assert!(Cursor::read(wrong, "type=a").is_err(), "{wrong}");
        }
    }
}
