//! Ids in few bytes: those that are UUIDs take 17, and are told apart by a number.

use crate::model::{Id, ShortId};

const UUID_BYTES: usize = 16;

/// Ids behind each other: the length of each and its text, or 0 and the bytes of a UUID.
#[derive(Clone, Debug, Default)]
pub struct ShortIds {
    bytes: Vec<u8>,
}

impl ShortIds {
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn push(&mut self, id: &Id) {
        match ShortId::of(id) {
            ShortId::Uuid(uuid) => {
                self.bytes.push(0);
                self.bytes.extend_from_slice(&uuid.to_be_bytes());
            }
            ShortId::Text(text) => {
                self.bytes.push(u8::try_from(text.len()).expect("an id has at most 128 bytes"));
                self.bytes.extend_from_slice(text.as_bytes());
            }
        }
    }

    /// The ids, up to where the bytes are none.
    pub fn iter(&self) -> impl Iterator<Item = ShortId<'_>> {
        let mut rest = self.bytes.as_slice();
        std::iter::from_fn(move || {
            let (len, behind) = rest.split_first()?;
            let len = usize::from(*len);
            let (id, behind) = behind.split_at_checked(if len == 0 { UUID_BYTES } else { len })?;
            rest = behind;
            match len {
                0 => Some(ShortId::Uuid(u128::from_be_bytes(id.try_into().ok()?))),
                _ => Some(ShortId::Text(std::str::from_utf8(id).ok()?)),
            }
        })
    }
}
