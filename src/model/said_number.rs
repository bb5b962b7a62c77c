//! Numbers that come as texts, as forms and queries send them: kept as they were sent, and numbers where one is asked for.

use super::Value;

impl Value {
    /// The number that a text says, written as JSON writes it; else the value as it is.
    pub fn said_number(self) -> Self {
        match self {
            Self::Text(text) if is_number(text.trim_ascii()) => Self::Number(text.trim_ascii().into()),
            other => other,
        }
    }

    /// Whether it is a text that says a number.
    pub fn says_number(&self) -> bool {
        self.as_str().is_some_and(|text| is_number(text.trim_ascii()))
    }
}

/// Whether this is how JSON writes a number (RFC 8259, section 6): `007` and `1,5` are not.
fn is_number(text: &str) -> bool {
    let digits = |text: &str| text.len() - text.trim_start_matches(|it: char| it.is_ascii_digit()).len();
    let rest = text.strip_prefix('-').unwrap_or(text);
    let whole = digits(rest);
    if whole == 0 || (whole > 1 && rest.starts_with('0')) {
        return false;
    }
    let mut rest = &rest[whole..];
    if let Some(behind) = rest.strip_prefix('.') {
        let fraction = digits(behind);
        if fraction == 0 {
            return false;
        }
        rest = &behind[fraction..];
    }
    if let Some(behind) = rest.strip_prefix(['e', 'E']) {
        let behind = behind.strip_prefix(['+', '-']).unwrap_or(behind);
        return !behind.is_empty() && digits(behind) == behind.len();
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_says_a_number_as_json_writes_one() {
        for text in ["0", "-0", "19.90", " 7 ", "1e5", "1E+5", "-2.5e-3", "12345678901234567890123"] {
            assert_eq!(Value::text(text).said_number(), Value::Number(text.trim().into()), "{text}");
        }
        for text in ["", "-", "007", "+1", "1,5", "1.", ".5", "1e", "0x1", "1 000", "NaN", "1e5x", "٣", "--1"] {
            assert_eq!(Value::text(text).said_number(), Value::text(text), "{text}");
        }
        assert_eq!(Value::Boolean(true).said_number(), Value::Boolean(true));
    }
}
