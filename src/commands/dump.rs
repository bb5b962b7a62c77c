//! `tracardi dump`: everything that is set up, in the form that `apply` takes.

use clap::Args;

use super::{
    CommandError, Printable,
    configured::{WithoutStore, on_store_or_daemon},
};
use crate::{
    admin::{tables, to_toml},
    model::Value,
    settings::Settings,
};

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

/// As JSON, a line for each thing; everything in it stands as it was written.
fn in_lines(all: &Value) -> String {
    let tables = tables(all).map(|(name, list)| {
        let lines: Vec<String> = list.iter().map(|item| Printable(item.to_json().as_str()).to_string()).collect();
        format!("{}: [\n{}\n]", Value::text(name).to_json().as_str(), lines.join(",\n"))
    });
    format!("{{{}}}", tables.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Object, Reader, is_escaped};

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
