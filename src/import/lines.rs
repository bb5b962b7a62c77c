//! Cuts a file into lines, wherever its pieces end.

use crate::model::Fault;

/// The longest line that is read, in bytes.
pub const LINE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A line that is not blank, with its number in the file, from 1.
#[derive(Debug, PartialEq)]
pub enum Line {
    Whole(u64, Vec<u8>),
    /// It was not kept.
    TooLong(u64),
}

impl Line {
    pub fn bytes(&self) -> usize {
        if let Self::Whole(_, text) = self { text.len() } else { 0 }
    }
}

pub fn too_long() -> Fault {
    Fault::new("value_error", format!("the line is longer than {LINE_BYTES_MAX} bytes"))
}

/// What is known of the line that is not whole yet.
#[derive(Default)]
pub struct Lines {
    /// How many lines came before it.
    before: u64,
    begun: Vec<u8>,
    is_too_long: bool,
}

impl Lines {
    /// The lines that end within `piece`.
    pub fn add(&mut self, piece: &[u8]) -> Vec<Line> {
        let mut whole = Vec::new();
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            let ends = part.ends_with(b"\n");
            let text = part.strip_suffix(b"\n").unwrap_or(part);
            if self.begun.len() + text.len() > LINE_BYTES_MAX {
                self.is_too_long = true;
                self.begun = Vec::new();
            }
            if !self.is_too_long {
                self.begun.extend_from_slice(text);
            }
            if ends {
                whole.extend(self.end());
            }
        }
        whole
    }

    /// The line that no line break ended.
    pub fn end(&mut self) -> Option<Line> {
        self.before += 1;
        let text = std::mem::take(&mut self.begun);
        if std::mem::take(&mut self.is_too_long) {
            return Some(Line::TooLong(self.before));
        }
        (!text.trim_ascii().is_empty()).then_some(Line::Whole(self.before, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_same_wherever_pieces_end() {
        let text = b"{\"a\":1}\r\n\n  \n{}\nlast";
        let expected =
            [(1, &b"{\"a\":1}\r"[..]), (4, b"{}"), (5, b"last")].map(|(number, text)| Line::Whole(number, text.into()));
        for length in 1..=text.len() {
            let mut lines = Lines::default();
            let mut read: Vec<Line> = text.chunks(length).flat_map(|piece| lines.add(piece)).collect();
            read.extend(lines.end());
            assert_eq!(read, expected, "{length}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_not_kept_and_the_next_one_is() {
        let mut lines = Lines::default();
        let piece = vec![b'x'; LINE_BYTES_MAX / 2 + 1];
        assert_eq!(lines.add(&piece), []);
        assert_eq!(lines.add(&piece), []);
        assert!(lines.begun.is_empty());
        assert_eq!(lines.add(b"x\n{}\n"), [Line::TooLong(1), Line::Whole(2, b"{}".into())]);
    }
}
