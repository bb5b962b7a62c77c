//! The one reader of JSON at the door (docs/contract.md, section 1).
//!
//! Everything that a client sends as JSON passes through here once: it is checked against RFC 8259, its depth is
//! bounded, a key sent twice in an object with listed fields is refused, and free-form values come out in one normal
//! form ([`super::Json`], read in `free_form`) that every later reader takes the same way. The general JSON libraries
//! do not give this: raw text of theirs keeps unbounded depth, lone surrogates and repeated keys, parsed values of
//! theirs lose a number's exact text.

mod free_form;

use std::borrow::Cow;

use super::Fault;
use free_form::Entry;

/// The deepest nesting taken, counted from the root of the request's body.
pub const LEVELS_MAX: usize = 128;

/// A string as it was sent, unescaped.
pub struct Text<'a> {
    pub text: Cow<'a, str>,
    /// It held half a surrogate pair, which stands as U+FFFD in `text`.
    pub lone_surrogate: bool,
}

/// Reads one JSON document from front to back.
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// How many arrays and objects are open around the place that is read.
    level: usize,
    /// The keys of the objects that are being normalised, as places in the output: a stack that all levels share.
    keys: Vec<Entry>,
    /// Where values are normalised, one after another.
    output: String,
}

impl<'a> Reader<'a> {
    /// Reads `body`, whose root counts as standing `level` levels deep (0 for a body read as a whole).
    ///
    /// # Errors
    /// The bytes are not UTF-8. A byte order mark is skipped.
    pub fn new(body: &'a [u8], level: usize) -> Result<Self, Fault> {
        let text = std::str::from_utf8(body).map_err(|error| {
            Fault::new("value_error.jsondecode", format!("invalid UTF-8 behind byte {}", error.valid_up_to()))
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Ok(Self { text, at: 0, level, keys: Vec::new(), output: String::new() })
    }

    /// The first byte of the next value, white space skipped.
    pub fn peek(&mut self) -> Result<u8, Fault> {
        self.skip_white_space();
        self.byte().ok_or_else(|| self.broken("unexpected end"))
    }

    /// # Errors
    /// Something other than white space follows.
    pub fn end(&mut self) -> Result<(), Fault> {
        self.skip_white_space();
        if self.at == self.text.len() { Ok(()) } else { Err(self.broken("unexpected characters behind the end")) }
    }

    /// Reads an object of which `fields` are known: `read` is called for each of these with its name, standing before
    /// its value; every other field is checked and passed over.
    ///
    /// # Errors
    /// It is no object, a known field stands twice in it, or `read` failed; the fault names the field.
    pub fn object(
        &mut self,
        fields: &[&'static str],
        mut read: impl FnMut(&mut Self, &'static str) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if self.peek()? != b'{' {
            return Err(Fault::wrong_type("an object"));
        }
        debug_assert!(fields.len() <= 64, "one bit per field");
        let mut seen = 0_u64;
        self.members(|reader| {
            let key = reader.string()?.text;
            reader.colon()?;
            let Some(index) = fields.iter().position(|field| *field == key) else {
                return reader.skip();
            };
            if seen & (1 << index) != 0 {
                return Err(Fault::new("value_error", "the field is sent twice").at(fields[index]));
            }
            seen |= 1 << index;
            read(reader, fields[index]).map_err(|fault| fault.at(fields[index]))
        })
    }

    /// As [`Reader::object`], for an optional field: `null` is passed over, `false` says so.
    pub fn optional_object(
        &mut self,
        fields: &[&'static str],
        read: impl FnMut(&mut Self, &'static str) -> Result<(), Fault>,
    ) -> Result<bool, Fault> {
        if self.peek()? == b'n' {
            self.null()?;
            return Ok(false);
        }
        self.object(fields, read).map(|()| true)
    }

    /// Reads a list; `read` is called before each value with its place.
    pub fn array(&mut self, mut read: impl FnMut(&mut Self, usize) -> Result<(), Fault>) -> Result<(), Fault> {
        if self.peek()? != b'[' {
            return Err(Fault::wrong_type("a list"));
        }
        let mut index = 0;
        self.members(|reader| {
            read(reader, index).map_err(|fault| fault.at_index(index))?;
            index += 1;
            Ok(())
        })
    }

    /// Reads a list of at most `most` values; `false`: there are more, whatever is wrong with one of them, and nothing
    /// behind them can be read.
    pub fn array_up_to(
        &mut self,
        most: usize,
        mut read: impl FnMut(&mut Self) -> Result<(), Fault>,
    ) -> Result<bool, Fault> {
        let mut before =
            Self { text: self.text, at: self.at, level: self.level, keys: Vec::new(), output: String::new() };
        let mut fits = true;
        let done = self.array(|reader, index| {
            fits &= index < most;
            if fits { read(reader) } else { reader.skip() }
        });
        if done.is_err() && fits {
            // How many they are comes before what is wrong with one.
            _ = before.array(|reader, index| {
                fits &= index < most;
                reader.skip()
            });
        }
        if fits { done.map(|()| true) } else { Ok(false) }
    }

    pub fn string(&mut self) -> Result<Text<'a>, Fault> {
        if self.peek()? != b'"' {
            return Err(Fault::wrong_type("a string"));
        }
        self.at += 1;
        let start = self.at;
        let plain = self.plain_run()?;
        if self.byte() == Some(b'"') {
            self.at += 1;
            return Ok(Text { text: Cow::Borrowed(plain), lone_surrogate: false });
        }
        let mut text = String::from(&self.text[start..self.at]);
        let mut lone_surrogate = false;
        while self.byte() != Some(b'"') {
            let (character, whole) = self.escape()?;
            text.push(character);
            lone_surrogate |= !whole;
            text.push_str(self.plain_run()?);
        }
        self.at += 1;
        Ok(Text { text: Cow::Owned(text), lone_surrogate })
    }

    /// Reads a string in which half a surrogate pair is a fault: an id, a type.
    pub fn whole_string(&mut self) -> Result<Cow<'a, str>, Fault> {
        let text = self.string()?;
        if text.lone_surrogate {
            return Err(Fault::new("value_error", "half a surrogate pair"));
        }
        Ok(text.text)
    }

    /// The exact text of a number.
    pub fn number(&mut self) -> Result<&'a str, Fault> {
        self.skip_white_space();
        let start = self.at;
        self.eat(b"-");
        if !self.eat(b"0") && self.digits() == 0 {
            return Err(self.broken("not a value"));
        }
        if self.eat(b".") && self.digits() == 0 {
            return Err(self.broken("a digit is missing in a number"));
        }
        if self.eat(b"eE") {
            self.eat(b"+-");
            if self.digits() == 0 {
                return Err(self.broken("a digit is missing in a number"));
            }
        }
        Ok(&self.text[start..self.at])
    }

    pub fn null(&mut self) -> Result<(), Fault> {
        self.word("null")
    }

    pub fn boolean(&mut self) -> Result<bool, Fault> {
        if self.peek()? == b't' { self.word("true").map(|()| true) } else { self.word("false").map(|()| false) }
    }

    /// Reads what stands between the brackets of an array or an object, and the brackets.
    fn members(&mut self, mut read: impl FnMut(&mut Self) -> Result<(), Fault>) -> Result<(), Fault> {
        let close = if self.byte() == Some(b'{') { b'}' } else { b']' };
        self.at += 1;
        if self.level >= LEVELS_MAX {
            return Err(Fault::new("value_error.jsondecode", format!("nested deeper than {LEVELS_MAX} levels")));
        }
        self.level += 1;
        if self.peek()? == close {
            self.at += 1;
            self.level -= 1;
            return Ok(());
        }
        loop {
            if close == b'}' && self.peek()? != b'"' {
                return Err(self.broken("a key is expected"));
            }
            read(self)?;
            match self.peek()? {
                b',' => self.at += 1,
                byte if byte == close => {
                    self.at += 1;
                    self.level -= 1;
                    return Ok(());
                }
                _ => return Err(self.broken("a comma or a closing bracket is expected")),
            }
        }
    }

    fn colon(&mut self) -> Result<(), Fault> {
        if self.peek()? != b':' {
            return Err(self.broken("a colon is expected"));
        }
        self.at += 1;
        Ok(())
    }

    /// The characters up to the next quote or backslash.
    fn plain_run(&mut self) -> Result<&'a str, Fault> {
        let start = self.at;
        let rest = &self.text.as_bytes()[start..];
        let Some(length) = plain_length(rest) else {
            self.at = self.text.len();
            return Err(self.broken("unexpected end in a string"));
        };
        self.at += length;
        if rest[length] < 0x20 {
            return Err(self.broken("a control character in a string"));
        }
        Ok(&self.text[start..self.at])
    }

    /// The character that an escape means; `false` beside U+FFFD when it was half a surrogate pair.
    fn escape(&mut self) -> Result<(char, bool), Fault> {
        self.at += 1; // the backslash
        let byte = self.byte().ok_or_else(|| self.broken("unexpected end in a string"))?;
        self.at += 1;
        let character = match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(),
            _ => {
                self.at -= 1;
                return Err(self.broken("an unknown escape"));
            }
        };
        Ok((character, true))
    }

    fn unicode_escape(&mut self) -> Result<(char, bool), Fault> {
        const LONE: (char, bool) = (char::REPLACEMENT_CHARACTER, false);
        let first = self.hex4()?;
        if let Some(character) = char::from_u32(first) {
            return Ok((character, true));
        }
        let behind = self.at;
        if first >= 0xdc00 || !self.text[behind..].starts_with("\\u") {
            return Ok(LONE);
        }
        self.at += 2;
        let second = self.hex4()?;
        if !(0xdc00..0xe000).contains(&second) {
            self.at = behind; // an escape of its own, read next
            return Ok(LONE);
        }
        let pair = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        Ok(char::from_u32(pair).map_or(LONE, |character| (character, true)))
    }

    fn hex4(&mut self) -> Result<u32, Fault> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4);
        let value = digits.and_then(|digits| {
            digits.iter().try_fold(0, |value, byte| Some(value * 16 + char::from(*byte).to_digit(16)?))
        });
        let value = value.ok_or_else(|| self.broken("four hexadecimal digits are expected"))?;
        self.at += 4;
        Ok(value)
    }

    fn word(&mut self, word: &'static str) -> Result<(), Fault> {
        self.skip_white_space();
        if !self.text[self.at..].starts_with(word) {
            return Err(self.broken("not a value"));
        }
        self.at += word.len();
        Ok(())
    }

    fn digits(&mut self) -> usize {
        let count = self.text.as_bytes()[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        count
    }

    fn eat(&mut self, one_of: &[u8]) -> bool {
        let found = self.byte().is_some_and(|byte| one_of.contains(&byte));
        self.at += usize::from(found);
        found
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_white_space(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn broken(&self, msg: &str) -> Fault {
        Fault::new("value_error.jsondecode", format!("invalid JSON at byte {}: {msg}", self.at))
    }
}

/// How many bytes stand before the first quote, backslash or control character; `None`: there is none. Looks at eight
/// bytes together, for most of a payload is strings.
pub(super) fn plain_length(text: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    // The high bit of each byte that is less than `limit`, which is at most 128, and perhaps of some behind the first such.
    let below = |eight: u64, limit: u64| eight.wrapping_sub(ONES * limit) & !eight & HIGH;
    let is = |eight: u64, byte: u8| below(eight ^ (ONES * u64::from(byte)), 1);
    let (eights, rest) = text.as_chunks::<8>();
    for (place, eight) in eights.iter().enumerate() {
        let eight = u64::from_le_bytes(*eight);
        let ends = below(eight, 0x20) | is(eight, b'"') | is(eight, b'\\');
        if ends != 0 {
            return Some(place * 8 + ends.trailing_zeros() as usize / 8);
        }
    }
    let behind = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
    Some(eights.len() * 8 + behind)
}

#[cfg(test)]
mod tests;
