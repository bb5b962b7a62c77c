//! What pages ask of the other modules, as trees: pages show what the endpoints of the same names answer.

use super::{Asked, Console, Trouble};
use crate::{
    model::{Id, Value},
    read::{Asked as Records, CountQuery, Parameters, TopQuery, VisitsQuery},
};

/// Records of a page, and where the next one begins.
pub struct RecordPage {
    pub records: Vec<Value>,
    pub cursor: Option<String>,
}

type Pairs = Vec<(String, String)>;

/// `pairs` and one more.
pub fn with(mut pairs: Pairs, name: &str, value: &str) -> Pairs {
    pairs.push((name.into(), value.into()));
    pairs
}

impl Console {
    /// As `/stats/events`: rows with what they are counted by, and `events`.
    pub async fn counts(&self, pairs: Pairs) -> Result<Vec<Value>, Trouble> {
        let query = CountQuery::read(Parameters::new(pairs), self.queries.now())?;
        let counts = self.queries.counts(query).await?;
        Ok(self.queries.write(move || counts.rows.iter().map(Value::shown).collect()).await?)
    }

    /// How many events there are.
    pub async fn count(&self, pairs: Pairs) -> Result<u64, Trouble> {
        let rows = self.counts(with(pairs, "by", "source")).await?;
        Ok(rows.iter().map(|row| number(row, "events")).sum())
    }

    /// As `/stats/visits`.
    pub async fn visits(&self, pairs: Pairs) -> Result<Vec<Value>, Trouble> {
        let query = VisitsQuery::read(Parameters::new(pairs), self.queries.now())?;
        let counts = self.queries.visits(query).await?;
        Ok(counts.rows.iter().map(Value::shown).collect())
    }

    /// As `/stats/top`.
    pub async fn top(&self, pairs: Pairs) -> Result<Vec<Value>, Trouble> {
        let query = TopQuery::read(Parameters::new(pairs), self.queries.now())?;
        let top = self.queries.top(query).await?;
        Ok(top.result.iter().map(Value::shown).collect())
    }

    /// A page of records, as `/events`, `/sessions` and `/profiles` answer it.
    pub async fn records(&self, asked: Records, pairs: Pairs) -> Result<RecordPage, Trouble> {
        let query = self.queries.query(Parameters::new(pairs), asked)?;
        let page = self.queries.page(&query, query.page_limit()?).await?;
        let shown = move || {
            let records = page.records.iter().map(Value::shown).collect();
            RecordPage { records, cursor: page.cursor.clone() }
        };
        Ok(self.queries.write(shown).await?)
    }

    /// The profile that this is one of the ids of, as it is shown.
    pub async fn profile(&self, id: &Id) -> Result<Option<Value>, Trouble> {
        let found = self.admin.profile(id).await?;
        Ok(found.as_ref().map(|(profile, imported)| Value::shown(&profile.shown_if_imported(*imported))))
    }

    /// The types of events that there are.
    pub async fn kinds(&self) -> Result<Vec<String>, Trouble> {
        let rows = self.counts(vec![("by".into(), "type".into())]).await?;
        Ok(rows.iter().map(|row| text(row, "type")).collect())
    }

    /// Whether nothing was ever sent.
    pub async fn is_empty(&self) -> Result<bool, Trouble> {
        let newest = vec![("limit".into(), "1".into()), ("fields".into(), "id".into())];
        Ok(self.records(Records::Events(None), newest).await?.records.is_empty())
    }
}

/// What stands at a path of a record; nothing where that is nothing.
pub fn at<'a>(record: &'a Value, path: &str) -> Option<&'a Value> {
    let steps: Vec<Box<str>> = path.split('.').map(Into::into).collect();
    record.get(&steps).filter(|value| !value.is_empty())
}

pub fn text(record: &Value, path: &str) -> String {
    at(record, path).map(Value::to_text).unwrap_or_default()
}

pub fn number(record: &Value, path: &str) -> u64 {
    at(record, path).and_then(Value::as_f64).map_or(0, |number| number.max(0.0) as u64)
}

/// Who somebody is, in the words that are known of them.
pub fn name_of(profile: &Value) -> String {
    let words = |first: &str, last: &str| {
        let name = format!("{} {}", text(profile, first), text(profile, last));
        Some(name.trim().to_owned()).filter(|name| !name.is_empty())
    };
    let places = ["traits.name", "data.contact.email.main", "data.contact.email.business", "data.contact.phone.main"];
    words("data.pii.firstname", "data.pii.lastname")
        .or_else(|| words("data.pii.display_name", ""))
        .or_else(|| places.iter().map(|place| text(profile, place)).find(|found| !found.is_empty()))
        .unwrap_or_else(|| format!("Visitor {}", &short(&text(profile, "id"))))
}

/// The end of an id, by which people tell a few apart.
pub fn short(id: &str) -> String {
    let begin = id.char_indices().rev().nth(7).map_or(0, |(at, _)| at);
    id[begin..].to_owned()
}

impl Asked {
    /// The place in a list where this page begins, as its address says it.
    pub fn cursor(&self) -> Vec<(String, String)> {
        self.pairs(&["cursor"])
    }
}
