//! `tracardi dump`: everything that is set up, in the form that `apply` takes.

use clap::Args;

use super::{
    CommandError, Printable,
    configured::{WithoutStore, on_store_or_daemon},
    terminal::is_escaped,
};
use crate::{
    model::{Fault, Object, Value},
    settings::Settings,
};

/// How deep a value may be that TOML's readers still read.
const DEPTH_MAX: usize = 40;

#[derive(Debug, Args)]
pub struct DumpCommand {
    /// Print JSON, which holds everything, instead of TOML
    #[arg(long)]
    json: bool,
}

pub fn run(settings: &Settings, command: &DumpCommand) -> Result<(), CommandError> {
    let all = on_store_or_daemon(
        settings,
        WithoutStore::Refuse,
        async |store| Ok(store.admin.dump()),
        async |daemon| daemon.call(reqwest::Method::GET, "/configuration", None).await,
    )?;
    let all = Value::from(&all);
    if command.json {
        println!("{}", in_lines(&all));
    } else {
        print!("{}", to_toml(&all).map_err(|fault| CommandError::Configuration { path: "dump".into(), fault })?);
    }
    Ok(())
}

/// The tables of a configuration with what stands in each.
fn tables(all: &Value) -> impl Iterator<Item = (&str, &[Value])> {
    let tables = all.as_object().into_iter().flat_map(Object::iter);
    tables.filter_map(|(name, list)| if let Value::List(list) = list { Some((name, &list[..])) } else { None })
}

/// As JSON, a line for each thing; everything in it stands as it was written.
fn in_lines(all: &Value) -> String {
    let tables = tables(all).map(|(name, list)| {
        let lines: Vec<String> = list.iter().map(|item| Printable(item.to_json().as_str()).to_string()).collect();
        format!("{}: [\n{}\n]", Value::text(name).to_json().as_str(), lines.join(",\n"))
    });
    format!("{{{}}}", tables.collect::<Vec<_>>().join(", "))
}

/// As TOML.
///
/// # Errors
/// Something in it is none: the fault names it.
fn to_toml(all: &Value) -> Result<String, Fault> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Reader;

    fn value(text: &str) -> Value {
        Value::from(&Reader::new(text.as_bytes(), 0).unwrap().value().unwrap())
    }

    #[test]
    fn what_is_dumped_does_not_speak_to_the_terminal_and_is_read_back() {
        let texts = [
            "a\u{1b}[2J",
            "\u{202e}gnp.exe",
            "\u{9b}31m \\ '\"",
            "two\nlines \u{2066}\r",
            "\u{1}202E\u{1}\u{7f}",
            "fine: Zo\u{eb} \u{5e9}",
        ];
        let mut all = Value::object();
        let items = texts.map(|text| {
            let mut item = Object::default();
            item.insert("id", Value::text(text));
            item.insert(text, Value::List(vec![Value::text(text)]));
            Value::Object(item)
        });
        all.as_object_mut().unwrap().insert("segment", Value::List(items.into()));
        let printed = to_toml(&all).unwrap();
        assert!(!printed.contains(|character| character != '\n' && is_escaped(character)), "{printed}");
        assert!(Value::from(&crate::process::read_toml(&printed).unwrap()).says_the_same(&all), "{printed}");
        let printed = in_lines(&all);
        assert!(!printed.contains(|character| character != '\n' && is_escaped(character)), "{printed}");
        assert_eq!(value(&printed), all);
        let odd = value(r#"{"segment": [{"id": "\\u0001202E\\u0001"}]}"#);
        assert!(to_toml(&odd).is_err_and(|fault| fault.to_string().ends_with("dump --json")));
    }

    #[test]
    fn json_keeps_everything_and_toml_says_what_it_does_not() {
        let text = r#"{"segment": [
{"id":"a","n":[1,-2.5,"x",true]},
{"id":"b","o":{"a.b":{}}}
]}"#;
        assert_eq!(in_lines(&value(text)), text);
        let toml = to_toml(&value(text)).unwrap();
        assert_eq!(Value::from(&crate::process::read_toml(&toml).unwrap()), value(text));
        for fine in ["1.10", "1.0", "1E5", "-0.0", "0.050e-3", "1.2345678901234568e+22"] {
            let all = value(&format!(r#"{{"segment": [{{"id":"a","n":{fine}}}]}}"#));
            let read = Value::from(&crate::process::read_toml(&to_toml(&all).unwrap()).unwrap());
            assert!(read.says_the_same(&all), "{fine}");
        }
        for odd in ["1e400", "-0", "12345678901234567890123", "null", r#"{"$__toml_private_datetime":"x"}"#] {
            let text = format!(
                r#"{{"segment": [
{{"id":"a","n":{odd}}}
]}}"#
            );
            assert_eq!(in_lines(&value(&text)), text);
            let told = to_toml(&value(&text)).unwrap_err().to_string();
            assert!(told.starts_with("segment: a: n: ") && told.ends_with("dump --json"), "{odd}: {told}");
        }
    }
}
