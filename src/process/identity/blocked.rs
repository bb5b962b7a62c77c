//! Keys that joined too many people, so that they find nobody until they are freed (docs/contract.md, section 4).

use crate::{
    model::{Definition, DefinitionKind, Id, MergeKey, Object, Path, Time, Value},
    process::hex,
};

/// What says that a key, which stands at `place`, finds nobody.
pub fn blocked_key(place: &Path, key: MergeKey, now: Time) -> Definition {
    let mut body = Object::default();
    let id = blocked_key_id(key);
    body.insert("id", Value::text(&id.text()));
    body.insert("place", Value::text(&place.to_string()));
    Definition { kind: DefinitionKind::BlockedKey, id, body: Value::Object(body).to_json(), saved: now }
}

/// The id under which a blocked key is listed: what is kept of it anyway, which tells nothing of what it was made of.
pub fn blocked_key_id(key: MergeKey) -> Id {
    Id::required(&hex(&key.0)).expect("hexadecimal digits are an id")
}

/// The key that is listed under this id.
pub fn key_of_blocked(id: &Id) -> Option<MergeKey> {
    let text = id.text();
    let digits = text.as_bytes().as_chunks::<2>().0;
    let bytes = digits.iter().map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    let bytes: Vec<u8> = bytes.collect::<Option<_>>()?;
    bytes.try_into().ok().map(MergeKey)
}
