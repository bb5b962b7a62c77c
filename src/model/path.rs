//! A place in a record: `event.properties.email.main`, `profile.data["a.b"]`, `event.properties.location.0`.

use super::{Fault, fault::short};

/// The longest path, in bytes, and the most steps in it.
const BYTES_MAX: usize = 512;
const STEPS_MAX: usize = 32;

/// The steps to a place: keys of objects and places in lists. The first one says which record is meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(Vec<Box<str>>);

impl Path {
    /// Reads a path as people write it.
    ///
    /// # Errors
    /// A step is empty, a bracket is not closed, or it is too long.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let wrong = |what: &str| Fault::new("value_error", format!("{}: {what}", short(text)));
        if text.len() > BYTES_MAX {
            return Err(wrong("a path is too long"));
        }
        let path = Self::read(text.trim()).map_err(wrong)?;
        if path.0.len() > STEPS_MAX {
            return Err(wrong("a path has too many steps"));
        }
        Ok(path)
    }

    /// Reads a path as it is written, however long.
    ///
    /// # Errors
    /// A step is empty, or a bracket is not closed.
    pub fn read(text: &str) -> Result<Self, &'static str> {
        let (mut steps, mut rest) = (Vec::new(), text);
        loop {
            if let Some(quoted) = rest.strip_prefix("[\"") {
                let (key, behind) = key_in_brackets(quoted).ok_or("a bracket is not closed")?;
                steps.push(key.into());
                rest = behind;
            } else {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                let (key, behind) = rest.split_at(end);
                if key.is_empty() || key.contains(is_bracketed) {
                    return Err("not a path, like event.properties.name or profile.data[\"a.b\"]");
                }
                steps.push(key.into());
                rest = behind;
            }
            if rest.is_empty() {
                return Ok(Self(steps));
            }
            if let Some(behind) = rest.strip_prefix('.') {
                rest = behind;
            } else if !rest.starts_with("[\"") {
                return Err("a step of a path begins with a dot or with [\"");
            }
        }
    }

    pub fn steps(&self) -> &[Box<str>] {
        &self.0
    }

    /// The first step, and those behind it.
    pub fn split_root(&self) -> (&str, &[Box<str>]) {
        self.0.split_first().map_or(("", &[]), |(root, rest)| (root, rest))
    }

    pub fn below(&self, key: &str) -> Self {
        Self(self.0.iter().cloned().chain([key.into()]).collect())
    }
}

impl<'a> FromIterator<&'a str> for Path {
    fn from_iter<T: IntoIterator<Item = &'a str>>(steps: T) -> Self {
        Self(steps.into_iter().map(Into::into).collect())
    }
}

/// Whether a key with this character stands in brackets.
fn is_bracketed(character: char) -> bool {
    character.is_whitespace() || ".[{}()\"'".contains(character)
}

/// The key up to `"]`, and what comes behind. A backslash stands before each quote and backslash that is part of it.
fn key_in_brackets(text: &str) -> Option<(String, &str)> {
    let (mut key, mut rest) = (String::new(), text);
    loop {
        let mut characters = rest.chars();
        let mut next = characters.next()?;
        if next == '"' && characters.as_str().starts_with(']') {
            return Some((key, &characters.as_str()[1..]));
        }
        if next == '\\' && characters.as_str().starts_with(['"', '\\']) {
            next = characters.next()?;
        }
        key.push(next);
        rest = characters.as_str();
    }
}

/// Steps as a path is written.
pub fn steps_text(steps: &[Box<str>]) -> String {
    let mut text = String::new();
    steps.iter().for_each(|step| push_step(&mut text, step));
    text
}

/// Appends a step to a path as it is written.
pub(super) fn push_step(text: &mut String, step: &str) {
    if step.is_empty() || step.contains(is_bracketed) {
        let key = step.replace('\\', "\\\\").replace('"', "\\\"");
        text.extend(["[\"", &key, "\"]"]);
    } else {
        text.extend([if text.is_empty() { "" } else { "." }, step]);
    }
}

/// Whether the steps begin with these keys.
pub fn begins_with(steps: &[Box<str>], keys: &[&str]) -> bool {
    steps.len() >= keys.len() && keys.iter().zip(steps).all(|(a, b)| *a == &**b)
}

/// Whether a place, as it is written, is the one at `path` or leads through it.
pub fn is_within(place: &str, path: &str) -> bool {
    place.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

impl std::fmt::Display for Path {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&steps_text(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_as_it_is_written() {
        for (text, steps) in [
            ("event.properties.location.0", vec!["event", "properties", "location", "0"]),
            (r#"event.properties["a.b"].c"#, vec!["event", "properties", "a.b", "c"]),
            (r#"event.properties["data[email]"]"#, vec!["event", "properties", "data[email]"]),
            (r#"traits["a.\"][\"b."]["\\ \""].\"#, vec!["traits", "a.\"][\"b.", "\\ \"", "\\"]),
            ("[\"a\tb\"][\"\u{a0}\"][\"\"]", vec!["a\tb", "\u{a0}", ""]),
        ] {
            let path = Path::parse(text).unwrap();
            assert_eq!(path, steps.into_iter().collect());
            assert_eq!(path.to_string(), text);
        }
        for text in ["", "a..b", "a.", ".a", "a[b]", "a[\"b", "a[\"b\"]c", "a b", "{{a}}"] {
            assert!(Path::parse(text).is_err(), "{text}");
        }
    }
}
