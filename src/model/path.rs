//! A place in a record: `event.properties.email.main`, `profile.data["a.b"]`, `event.properties.location.0`.

use super::{Fault, fault::short};

/// The longest path, in bytes, and the most steps in it.
const BYTES_MAX: usize = 512;
const STEPS_MAX: usize = 32;

/// The steps to a place: keys of objects and places in lists. The first one says which record is meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(Vec<Box<str>>);

impl Path {
    /// # Errors
    /// A step is empty, a bracket is not closed, or it is too long.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let wrong = |what: &str| Fault::new("value_error", format!("{}: {what}", short(text)));
        if text.len() > BYTES_MAX {
            return Err(wrong("a path is too long"));
        }
        let mut steps = Vec::new();
        let mut rest = text.trim();
        loop {
            if let Some(quoted) = rest.strip_prefix("[\"") {
                let (key, behind) = quoted.split_once("\"]").ok_or_else(|| wrong("a bracket is not closed"))?;
                steps.push(key.into());
                rest = behind;
            } else {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                let (key, behind) = rest.split_at(end);
                if key.is_empty() || key.chars().any(|c| c.is_whitespace() || "{}()\"'".contains(c)) {
                    return Err(wrong("not a path, like event.properties.name or profile.data[\"a.b\"]"));
                }
                steps.push(key.into());
                rest = behind;
            }
            if rest.is_empty() {
                break;
            }
            if let Some(behind) = rest.strip_prefix('.') {
                rest = behind;
            } else if !rest.starts_with("[\"") {
                return Err(wrong("a step of a path begins with a dot or with [\""));
            }
        }
        if steps.len() > STEPS_MAX {
            return Err(wrong("a path has too many steps"));
        }
        Ok(Self(steps))
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

/// Steps as a path is written.
pub fn steps_text(steps: &[Box<str>]) -> String {
    let mut text = String::new();
    for (index, step) in steps.iter().enumerate() {
        if step.is_empty() || step.contains(['.', '[', '"', '{', '}', '(', ')', '\'', ' ']) {
            text.extend(["[\"", step, "\"]"]);
        } else {
            text.extend([if index > 0 { "." } else { "" }, step]);
        }
    }
    text
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
