//! Booleans as clients write them (docs/contract.md, section 1).

use super::{Fault, Reader};

impl Reader<'_> {
    /// A boolean of `options` or settings: `true`, `false`, `"true"`, `"false"`, `0`, `1`; `None` for `null`.
    pub(super) fn lenient_boolean(&mut self) -> Result<Option<bool>, Fault> {
        let value = match self.peek()? {
            b'n' => return self.null().map(|()| None),
            b't' | b'f' => Some(self.boolean()?),
            b'"' => match &*self.string()?.text {
                "true" => Some(true),
                "false" => Some(false),
                _ => None,
            },
            b'0'..=b'9' | b'-' => match self.number()? {
                "1" => Some(true),
                "0" => Some(false),
                _ => None,
            },
            _ => None,
        };
        value.map(Some).ok_or_else(|| Fault::wrong_type("a boolean"))
    }
}

/// A boolean of a query: `true 1 yes on t y` and their opposites in any case; a bare name (`""`) is true.
pub fn boolean_word(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "" | "true" | "1" | "yes" | "on" | "t" | "y" => Some(true),
        "false" | "0" | "no" | "off" | "f" | "n" => Some(false),
        _ => None,
    }
}
