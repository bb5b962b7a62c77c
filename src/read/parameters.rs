//! What a query says: names and values, as a URL or a command line has them.

use std::collections::BTreeSet;

use super::filter::KindPattern;
use crate::{
    model::{EventType, Fault, Time, boolean_word},
    process::duration,
};

/// The most types that are asked for at once.
const KINDS_MAX: usize = 100;

/// What a query says. Each value is taken by its name; what nobody took is refused.
pub struct Parameters {
    sent: Vec<(String, String)>,
    taken: BTreeSet<&'static str>,
}

impl Parameters {
    pub fn new(sent: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { sent: sent.into_iter().collect(), taken: BTreeSet::new() }
    }

    /// Says `value` under `name` where nothing is.
    pub fn or(mut self, name: &str, value: &str) -> Self {
        if !self.sent.iter().any(|(sent, _)| sent == name) {
            self.sent.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// What is said under `name`, at most once.
    ///
    /// # Errors
    /// It is said twice.
    pub fn one(&mut self, name: &'static str) -> Result<Option<String>, Fault> {
        let mut all = self.all(name);
        match all.len() {
            0 | 1 => Ok(all.pop()),
            _ => Err(Fault::new("value_error", "it is said more than once").at(name)),
        }
    }

    /// Everything that is said under `name`.
    pub fn all(&mut self, name: &'static str) -> Vec<String> {
        self.taken.insert(name);
        self.sent.iter().filter(|(sent, _)| sent == name).map(|(_, value)| value.clone()).collect()
    }

    /// What is said under `name`, as `read` reads it.
    ///
    /// # Errors
    /// It is said twice, or cannot be read; the fault names it.
    pub fn read<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        let said = self.one(name)?;
        said.map(|said| read(&said).map_err(|fault| fault.at(name))).transpose()
    }

    /// Refuses what was not asked for: a misspelt filter must not answer everything.
    ///
    /// # Errors
    /// There is such a name.
    pub fn end(&self) -> Result<(), Fault> {
        let unknown = self.sent.iter().find(|(name, _)| !self.taken.contains(name.as_str()));
        let Some((name, _)) = unknown else { return Ok(()) };
        let known = self.taken.iter().copied().collect::<Vec<_>>().join(", ");
        Err(Fault::new("value_error.extra", format!("unknown parameter: expected one of {known}")).at(name))
    }

    /// The text that tells this query from others: everything but where it goes on and how it is shown, and `without`.
    pub fn identity(&self, without: &str) -> String {
        let mut said: Vec<String> = self
            .sent
            .iter()
            .filter(|(name, _)| !["cursor", "limit", "fields", "format", without].contains(&name.as_str()))
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        said.sort();
        said.join("\n")
    }
}

/// The types that are asked for.
pub fn kind_patterns(parameters: &mut Parameters) -> Result<Vec<KindPattern>, Fault> {
    let kinds = parameters.all("type");
    if kinds.len() > KINDS_MAX {
        return Err(Fault::new("value_error", format!("more than {KINDS_MAX} types")).at("type"));
    }
    kinds.iter().map(|kind| kind_pattern(kind).map_err(|fault| fault.at("type"))).collect()
}

/// An event type, or with `*` at its end all that begin so.
pub fn kind_pattern(text: &str) -> Result<KindPattern, Fault> {
    match text.strip_suffix('*') {
        Some(beginning) if !beginning.contains('*') => {
            Ok(KindPattern::Beginning(beginning.trim_start().to_lowercase().into()))
        }
        Some(_) => Err(Fault::new("value_error", "a * stands at the end only")),
        None => EventType::parse(text).map(|kind| KindPattern::Exactly(kind.id)),
    }
}

/// # Errors
/// It is none.
pub fn boolean(text: &str) -> Result<bool, Fault> {
    boolean_word(text).ok_or_else(|| Fault::wrong_type("a boolean"))
}

/// A time, or how long ago: `-15m`.
pub fn moment(text: &str, now: Time) -> Result<Time, Fault> {
    let Some(ago) = text.strip_prefix('-').filter(|ago| ago.ends_with(char::is_alphabetic)) else {
        return Time::parse(text);
    };
    duration(ago).map(|ago| now.earlier(ago))
}
