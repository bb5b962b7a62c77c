//! What a change makes of something that is set up, line by line.

use maud::{Markup, html};

use crate::{
    console::record,
    model::{Json, Value},
};

/// One side of a difference.
pub fn side(json: Option<&Json>) -> String {
    json.map(|json| record::indented(&Value::from(json))).unwrap_or_default()
}

/// The lines that go and come, among the others.
pub fn difference(before: &str, after: &str) -> Markup {
    let (before, after): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let same = before.iter().zip(&after).take_while(|(one, other)| one == other).count();
    let rest =
        before[same..].iter().rev().zip(after[same..].iter().rev()).take_while(|(one, other)| one == other).count();
    let (gone, come) = (&before[same..before.len() - rest], &after[same..after.len() - rest]);
    html! {
        pre {
            @for line in &after[..same] { "  " (line) "\n" }
            @for line in gone { del { "− " (line) } }
            @for line in come { ins { "+ " (line) } }
            @for line in &after[after.len() - rest..] { "  " (line) "\n" }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_shows_what_goes_and_comes() {
        let shown = difference("a\nb\nc", "a\nx\nc").into_string();
        assert_eq!(shown, "<pre>  a\n<del>− b</del><ins>+ x</ins>  c\n</pre>");
    }
}
