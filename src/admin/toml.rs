//! What is set up, as TOML: the form in which people keep and change it.

use crate::model::{Fault, Loc, Object, Value, is_escaped};

/// How deep a value may be that TOML's readers still read.
const DEPTH_MAX: usize = 40;

/// The tables of a configuration with what stands in each.
pub fn tables(all: &Value) -> impl Iterator<Item = (&str, &[Value])> {
    let tables = all.as_object().into_iter().flat_map(Object::iter);
    tables.filter_map(|(name, list)| if let Value::List(list) = list { Some((name, &list[..])) } else { None })
}

/// As TOML.
///
/// # Errors
/// Something in it is none: the fault names it.
pub fn to_toml(all: &Value) -> Result<String, Fault> {
    let mut document = toml::Table::new();
    for (name, list) in tables(all) {
        let items = list.iter().map(|item| {
            let id = item.get(&["id".into()]).map(Value::to_text).unwrap_or_default();
            // What a source does not have is null.
            let mut item = item.clone();
            if let Some(fields) = item.as_object_mut().filter(|_| name == "source") {
                let absent = fields.iter().filter(|(_, value)| **value == Value::Null);
                let absent: Vec<String> = absent.map(|(name, _)| name.to_owned()).collect();
                absent.iter().for_each(|name| _ = fields.remove(name));
            }
            toml_value(&item, DEPTH_MAX).map_err(|fault| fault.at(&id).at(name))
        });
        document.insert(name.to_owned(), toml::Value::Array(items.collect::<Result<_, _>>()?));
    }
    let text = toml::to_string_pretty(&with_marks(&document)).map_err(|error| cannot(&error.to_string()))?;
    let mark = regex::Regex::new(r"\\u0001([0-9A-F]{4})\\u0001").expect("tests read it");
    let text = mark.replace_all(&text, r"\u$1").into_owned();
    // A text that itself looks like a mark would be read as another one.
    match toml::from_str::<toml::Table>(&text) {
        Ok(read) if read == document => Ok(text),
        _ => Err(cannot("TOML does not hold a text in it")),
    }
}

/// The library escapes fewer characters than must not be printed. Here each of them stands as its number between two
/// characters that it does escape, which are then taken away.
fn with_marks(table: &toml::Table) -> toml::Table {
    fn marked(text: &str) -> String {
        let kept = |character| ['\n', '\r', '\t'].contains(&character) || !is_escaped(character);
        let marked = text.chars().map(|character| match character {
            character if kept(character) => character.to_string(),
            other => format!("\u{1}{:04X}\u{1}", u32::from(other)),
        });
        marked.collect()
    }
    fn value(below: &toml::Value) -> toml::Value {
        match below {
            toml::Value::String(text) => marked(text).into(),
            toml::Value::Array(list) => toml::Value::Array(list.iter().map(value).collect()),
            toml::Value::Table(table) => with_marks(table).into(),
            other => other.clone(),
        }
    }
    table.iter().map(|(key, below)| (marked(key), value(below))).collect()
}

fn toml_value(value: &Value, deep: usize) -> Result<toml::Value, Fault> {
    let below = || deep.checked_sub(1).ok_or_else(|| cannot("TOML is not read as deep as this"));
    Ok(match value {
        Value::Null => return Err(cannot("TOML has no null")),
        Value::Boolean(boolean) => (*boolean).into(),
        Value::Number(number) => match (number.parse::<i64>(), number.parse::<f64>()) {
            (Ok(whole), _) if whole.to_string() == **number => whole.into(),
            // The same number, if written otherwise.
            (_, Ok(float)) if Value::number(format!("{float:?}")).says_the_same(value) => float.into(),
            _ => return Err(cannot(&format!("TOML does not hold {number} as it is"))),
        },
        Value::Text(text) => text.to_string().into(),
        Value::List(list) => {
            let (items, below) = (list.iter().enumerate(), below()?);
            let items = items.map(|(index, item)| toml_value(item, below).map_err(|fault| fault.at_index(index)));
            toml::Value::Array(items.collect::<Result<_, _>>()?)
        }
        Value::Object(object) => {
            let below = below()?;
            let entries = object.iter().map(|(key, value)| {
                // The library keeps its own kinds of values under such a name.
                if key.starts_with("$__toml") {
                    return Err(cannot("TOML does not hold this name").at(key));
                }
                Ok((key.to_owned(), toml_value(value, below).map_err(|fault| fault.at(key))?))
            });
            toml::Value::Table(entries.collect::<Result<_, _>>()?)
        }
    })
}

fn cannot(why: &str) -> Fault {
    Fault::new("value_error", format!("{why}: dump --json"))
}

/// The line of a configuration's TOML, from 1 on, where what a fault is about stands, as far as it is there.
pub fn line_of(text: &str, fault: &Fault) -> Option<usize> {
    use toml::de::{DeTable, DeValue};
    let document = DeTable::parse(text).ok()?;
    let document = DeValue::Table(document.into_inner());
    let (mut at, mut place) = (&document, None);
    for step in fault.loc() {
        let next = match (at, &step) {
            (DeValue::Table(table), Loc::Key(key)) => table.get(key.as_str()),
            (DeValue::Array(list), Loc::Index(index)) => list.get(*index),
            // What is compiled is named by its id.
            (DeValue::Array(list), Loc::Key(id)) => list.iter().find(|item| {
                let named = item.get_ref().get("id").and_then(|id| id.get_ref().as_str());
                named.is_some_and(|named| named == id)
            }),
            _ => None,
        };
        let Some(next) = next else { break };
        place = Some(next.span().start);
        at = next.get_ref();
    }
    place.map(|start| 1 + text.get(..start).unwrap_or(text).matches('\n').count())
}
