//! Where a query goes on.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use sha2::{Digest, Sha256};

use crate::model::Fault;

/// How many bytes of the query's hash a cursor carries.
const QUERY_BYTES: usize = 8;

/// A place in the log, behind the last record that was answered, and the query that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// From the newest on: everything before this offset is still to come; from the oldest on: this offset and everything
    /// behind it is.
    pub offset: u64,
}

impl Cursor {
    /// Reads a cursor of the query that `identity` tells from others.
    ///
    /// # Errors
    /// It is none, or another query's.
    pub fn read(text: &str, identity: &str) -> Result<Self, Fault> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok();
        let parts = bytes.as_deref().and_then(|bytes| bytes.split_at_checked(QUERY_BYTES));
        let offset = parts.and_then(|(_, offset)| offset.try_into().ok().map(u64::from_be_bytes));
        let (Some((query, _)), Some(offset)) = (parts, offset) else {
            return Err(Fault::new("value_error", "not a cursor"));
        };
        if query != hash(identity) {
            return Err(Fault::new(
                "value_error",
                "a cursor goes on with the query that it was answered to, and no other",
            ));
        }
        Ok(Self { offset })
    }

    pub fn to_text(self, identity: &str) -> String {
        BASE64_URL_SAFE_NO_PAD.encode([hash(identity), self.offset.to_be_bytes()].concat())
    }
}

fn hash(identity: &str) -> [u8; QUERY_BYTES] {
    let hash = Sha256::digest(identity.as_bytes());
    std::array::from_fn(|place| hash[place])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_goes_on_with_its_query_alone() {
        let text = Cursor { offset: 77 }.to_text("type=a");
        assert_eq!(Cursor::read(&text, "type=a"), Ok(Cursor { offset: 77 }));
        assert!(Cursor::read(&text, "type=b").is_err());
        assert!(Cursor::read("", "type=a").is_err() && Cursor::read("AAAA", "type=a").is_err());
    }
}
