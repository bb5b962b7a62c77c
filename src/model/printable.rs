//! What may stand in a text that people are shown.

/// Whether a character speaks to the terminal, or makes a text look like another one.
pub fn is_escaped(character: char) -> bool {
    let moves =
        matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    moves || character.is_control()
}
