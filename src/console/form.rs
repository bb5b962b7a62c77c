//! What was filled in, and what an address says.

use super::{Asked, Trouble};
use crate::{
    admin::Author,
    model::{Fault, Form, Id},
};

impl Asked {
    /// What the address says under `name`, without blanks around it; `None` where that is nothing.
    pub fn said(&self, name: &str) -> Option<&str> {
        last(&self.query, name)
    }

    /// What was filled in under `name`, as [`Asked::said`].
    pub fn filled(&self, name: &str) -> Option<&str> {
        self.form.as_ref().and_then(|form| last(form, name))
    }

    /// Who changes something.
    pub fn author(&self) -> Author {
        Author { name: self.visitor.name.clone(), address: self.address.clone() }
    }

    /// The id that a part of the path names.
    ///
    /// # Errors
    /// It is none.
    pub fn id(&self, part: &str) -> Result<Id, Trouble> {
        Id::parse(part).ok().flatten().ok_or(Trouble::NotFound)
    }

    /// What the address says, of these names, as a query of another address.
    pub fn pairs(&self, names: &[&str]) -> Vec<(String, String)> {
        let all = self.query.pairs().map(|(name, value)| (name, value.trim()));
        let said = all.filter(|(name, value)| names.contains(name) && !value.is_empty());
        said.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

fn last<'a>(form: &'a Form, name: &str) -> Option<&'a str> {
    form.last(name).map(str::trim).filter(|value| !value.is_empty())
}

/// What was filled in is about what is no more.
pub fn changed_meanwhile() -> Fault {
    Fault::new("value_error", "it was changed meanwhile: load the page again to see how it is now")
}

/// An address of the console, with a query; a part that is empty is left out.
pub fn address(path: &str, query: &[(String, String)]) -> String {
    let mut text = form_urlencoded::Serializer::new(String::new());
    query.iter().for_each(|(name, value)| _ = text.append_pair(name, value));
    let query = text.finish();
    if query.is_empty() { format!("/console/{path}") } else { format!("/console/{path}?{query}") }
}

/// A part of a path, encoded.
pub fn part(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_holds_any_text() {
        let query = [("type".to_owned(), "a b&c".to_owned())];
        assert_eq!(address("events", &query), "/console/events?type=a+b%26c");
        assert_eq!(address("events", &[]), "/console/events");
        assert_eq!(part("a/b?\"é"), "a%2Fb%3F%22%C3%A9");
    }
}
