//! Why a value was not taken, and where it stands.

use schemars::JsonSchema;
use serde::Serialize;

/// One step on the way to a field: a key or a place in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Loc {
    Key(String),
    Index(usize),
}

/// An invalid field, as docs/contract.md, section 1, shows it: `{"loc": [...], "msg", "type"}`.
///
/// A fault is made where the value is read and gets its place on the way out ([`Fault::at`]), so that reading valid
/// input keeps no path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The innermost step first.
    steps: Vec<Loc>,
    pub msg: String,
    /// The kind of mistake, in the words that clients of the reference know (`value_error.missing`).
    pub kind: &'static str,
}

impl Fault {
    /// What a library says of a value may hold all of it: the message is cut.
    pub fn new(kind: &'static str, msg: impl Into<String>) -> Self {
        const MSG_CHARS_MAX: usize = 400;
        let msg: String = msg.into();
        let msg = if msg.len() > MSG_CHARS_MAX { cut(&msg, MSG_CHARS_MAX) } else { msg };
        Self { steps: Vec::new(), msg, kind }
    }

    pub fn missing() -> Self {
        Self::new("value_error.missing", "field required")
    }

    /// The value has another JSON type than `expected`.
    pub fn wrong_type(expected: &str) -> Self {
        Self::new("type_error", format!("{expected} is expected"))
    }

    /// Names the field that holds the faulty value; called from the inside out.
    pub fn at(mut self, key: &str) -> Self {
        self.steps.push(Loc::Key(short(key)));
        self
    }

    /// Names the place in a list that holds the faulty value; called from the inside out.
    pub fn at_index(mut self, index: usize) -> Self {
        self.steps.push(Loc::Index(index));
        self
    }

    /// Without the outermost steps, where they say what everybody knows.
    pub fn below(mut self, outer: usize) -> Self {
        self.steps.truncate(self.steps.len().saturating_sub(outer));
        self
    }

    /// The way to the field, the outermost step first.
    pub fn loc(&self) -> Vec<Loc> {
        self.steps.iter().rev().cloned().collect()
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for step in self.steps.iter().rev() {
            match step {
                Loc::Key(key) => write!(out, "{key}: ")?,
                Loc::Index(index) => write!(out, "{index}: ")?,
            }
        }
        out.write_str(&self.msg)
    }
}

/// What a client sent, cut to what an error may echo.
pub fn short(text: &str) -> String {
    const ECHO_CHARS_MAX: usize = 60;
    cut(text, ECHO_CHARS_MAX)
}

/// At most `most` characters of a text.
pub fn cut(text: &str, most: usize) -> String {
    let mut cut: String = text.chars().take(most).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}
