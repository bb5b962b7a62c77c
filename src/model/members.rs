//! Looks into JSON in its normal form without making a tree of it. What is not in that form, as only a damaged store
//! holds it, has no members.

use std::borrow::Cow;

use super::{Reader, json::push_string, reader::plain_length};

/// The members of an object, each with its key as it is written between the quotes, and its value as it is written.
pub struct Members<'a> {
    /// Begins with the bracket or the comma before the next one.
    rest: &'a str,
}

pub fn members(object: &str) -> Members<'_> {
    Members { rest: if object.starts_with('{') { object } else { "" } }
}

impl<'a> Members<'a> {
    /// The key of the next one, and what begins with its value.
    fn next_key(&self) -> Option<(&'a str, &'a str)> {
        let rest = self.rest.strip_prefix(['{', ','])?;
        let (key, behind) = rest.split_at_checked(string_end(rest)?)?;
        Some((key.strip_prefix('"')?.strip_suffix('"')?, behind.strip_prefix(':')?))
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let (key, behind) = self.next_key()?;
        let (value, rest) = behind.split_at_checked(value_end(behind)?)?;
        self.rest = rest;
        Some((key, value))
    }
}

/// The values of those of an object's members that have these names, which are written as they are.
pub fn members_named<'a, const N: usize>(object: &'a str, names: &[&str; N]) -> [Option<&'a str>; N] {
    let mut found = [None; N];
    for (key, value) in members(object) {
        if let Some(at) = names.iter().position(|name| *name == key) {
            found[at] = Some(value);
        }
    }
    found
}

/// The value under `key`, which is written as it is.
pub fn member<'a>(object: &'a str, key: &str) -> Option<&'a str> {
    from_member(object, key).and_then(value_of)
}

/// What begins with the value under `key`, for whoever looks into it: where it ends is not looked for. `object` may have
/// something behind its end, too.
pub fn from_member<'a>(object: &'a str, key: &str) -> Option<&'a str> {
    let mut members = members(object);
    loop {
        let (known, behind) = members.next_key()?;
        if known == key {
            return Some(behind);
        }
        members.next()?; // what is no JSON ends here
    }
}

/// The value at `steps`, as it is written: see [`super::Value::get`].
pub fn value_at<'a>(value: &'a str, steps: &[Box<str>]) -> Option<&'a str> {
    if steps.is_empty() {
        return Some(value);
    }
    let from = steps.iter().try_fold(value, |value, step| match value.as_bytes().first() {
        Some(b'[') => from_item(value, step.parse().ok()?),
        _ => {
            let mut key = String::new();
            push_string(&mut key, step);
            from_member(value, &key[1..key.len() - 1])
        }
    });
    value_of(from?)
}

/// The value that `text` begins with.
fn value_of(text: &str) -> Option<&str> {
    text.get(..value_end(text)?)
}

/// The text that a string says; `None`: it is no string.
pub fn text(value: &str) -> Option<Cow<'_, str>> {
    let inner = value.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    Reader::new(value.as_bytes(), 0).ok()?.string().ok().map(|said| Cow::Owned(said.text.into_owned()))
}

/// What begins with the item of a list at this place.
fn from_item(list: &str, place: usize) -> Option<&str> {
    let mut rest = list.strip_prefix('[').filter(|rest| !rest.starts_with(']'))?;
    for _ in 0..place {
        rest = rest.get(value_end(rest)?..)?.strip_prefix(',')?;
    }
    Some(rest)
}

/// Where the string ends that `text` begins with.
fn string_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    if bytes.first() != Some(&b'"') {
        return None;
    }
    let mut at = 1;
    loop {
        at += plain_length(bytes.get(at..)?)?;
        match bytes[at] {
            b'"' => return Some(at + 1),
            b'\\' => at += 2, // an escape
            _ => return None,
        }
    }
}

/// Where the value ends that `text` begins with.
fn value_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    match bytes.first()? {
        b'"' => string_end(text),
        b'{' | b'[' => {
            let (mut depth, mut at) = (0_usize, 0);
            loop {
                match bytes.get(at)? {
                    b'"' => at += string_end(text.get(at..)?)? - 1,
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth -= 1,
                    _ => {}
                }
                at += 1;
                if depth == 0 {
                    return Some(at);
                }
            }
        }
        _ => Some(bytes.iter().position(|byte| matches!(byte, b',' | b'}' | b']')).unwrap_or(bytes.len())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Json, Value};

    fn json(text: &str) -> Json {
        Reader::new(text.as_bytes(), 0).unwrap().value().unwrap()
    }

    #[test]
    fn values_are_found_as_they_are_written() {
        let found = json(r#"{"a":{"x":[1,{"y":"}\"]"},[]]},"b\"":-1.50,"":null,"é":"ü\n"}"#);
        let at = |steps: &[&str]| {
            let steps: Vec<Box<str>> = steps.iter().map(|step| (*step).into()).collect();
            value_at(found.as_str(), &steps)
        };
        assert_eq!(at(&["a", "x", "0"]), Some("1"));
        assert_eq!(at(&["a", "x", "1", "y"]).and_then(text).as_deref(), Some(r#"}"]"#));
        assert_eq!((at(&["a", "x", "2"]), at(&["a", "x", "3"]), at(&["a", "x", "y"])), (Some("[]"), None, None));
        assert_eq!((at(&["b\""]), at(&[""]), at(&["c"])), (Some("-1.50"), Some("null"), None));
        assert_eq!(at(&["é"]).and_then(text).as_deref(), Some("ü\n"));
        assert_eq!((at(&["b\"", "x"]), text("1"), members("[1]").count(), members("{}").count()), (None, None, 0, 0));
    }

    #[test]
    fn an_object_that_is_cut_has_no_further_members() {
        for cut in [r#"{"a":{"#, r#"{"a":"x"#, r#"{"a":[1,"#, r#"{"a""#] {
            assert_eq!(
                (member(cut, "b"), value_at(cut, &["b".into()]), members(cut).count()),
                (None, None, 0),
                "{cut}"
            );
        }
    }

    fn any_json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            any::<i32>().prop_map(|number| number.to_string()),
            r#"[a-z"\\\n{}\[\],:é]{0,5}"#.prop_map(|text| serde_json::to_string(&text).unwrap()),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
                prop::collection::vec((r#"[ab"\\]{0,2}"#, inner), 0..4).prop_map(|entries| {
                    let entries: Vec<_> = entries
                        .iter()
                        .map(|(key, value)| format!("{}:{value}", serde_json::to_string(key).unwrap()))
                        .collect();
                    format!("{{{}}}", entries.join(","))
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_the_tree_has(text in any_json(), steps in prop::collection::vec(r#"[ab"\\01]{0,2}"#, 0..4)) {
            let json = json(&text);
            let steps: Vec<Box<str>> = steps.into_iter().map(Into::into).collect();
            let found = value_at(json.as_str(), &steps).map(str::to_owned);
            let expected = Value::from(&json).get(&steps).map(|value| value.to_json().as_str().to_owned());
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn what_is_no_json_does_no_harm(text in r#"[{}\[\]",:a\\é]{0,12}"#) {
            members(&text).for_each(|(_, value)| _ = super::text(value));
            _ = value_at(&text, &["a".into(), "0".into()]);
        }
    }
}
