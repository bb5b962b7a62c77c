//! `docs/contract.md`, the protocol as people read it: it names every endpoint and every setting, and the tests and
//! sections that are cited are there.

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use support::daemon::started;

const CONTRACT: &str = include_str!("../docs/contract.md");
const SETTINGS: &str = include_str!("../tracardi.toml");
/// How a section is cited, up to its number. In two parts, or it would stand here.
const CITED: &str = concat!("docs/contract.md", ", section");

/// The sections by their numbers, each from its title on.
fn sections() -> BTreeMap<usize, &'static str> {
    let mut sections = BTreeMap::new();
    for section in CONTRACT.split("\n## ").skip(1) {
        let number = section.split_once(". ").and_then(|(number, _)| number.parse().ok());
        let number: usize = number.unwrap_or_else(|| panic!("a section has no number: {section}"));
        assert_eq!(sections.insert(number, section), None, "section {number} is there twice");
    }
    sections
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// A path with `*` for each part that stands for something: `{id}` in the description, `ID` in the contract.
fn shape(path: &str) -> String {
    let is_capital = |byte: u8| byte.is_ascii_uppercase() || byte == b'-';
    let stands_for = |part: &str| part.starts_with('{') || (!part.is_empty() && part.bytes().all(is_capital));
    path.split('/').map(|part| if stands_for(part) { "*" } else { part }).collect::<Vec<_>>().join("/")
}

/// The methods by the shapes of paths, as the table of endpoints has them.
fn endpoints() -> BTreeMap<String, BTreeSet<String>> {
    let before_sections = CONTRACT.split("\n## ").next().unwrap_or_default();
    let mut endpoints: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in before_sections.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [paths, methods, _, section] = cells[..] else { panic!("{row}") };
        assert!(sections().contains_key(&section.parse::<usize>().unwrap()), "{row}");
        for path in quoted(paths) {
            endpoints.entry(shape(path)).or_default().extend(methods.split(", ").map(str::to_owned));
        }
    }
    endpoints
}

#[test]
fn every_endpoint_is_named_with_its_methods() {
    let (_folder, daemon) = started();
    let described = daemon.get("/openapi.json").json();
    let paths = described["paths"].as_object().unwrap();
    assert!(paths.len() > 80, "{}", paths.len());
    let endpoints = endpoints();
    for (path, operations) in paths {
        // HEAD goes with GET, and what browsers ask first with everything that they may send.
        let methods = operations.as_object().unwrap().keys().map(|method| method.to_ascii_uppercase());
        let methods: BTreeSet<String> = methods.filter(|method| method != "HEAD" && method != "OPTIONS").collect();
        assert_eq!(endpoints.get(&shape(path)), Some(&methods), "{path}");
    }
    let described: BTreeSet<String> = paths.keys().map(|path| shape(path)).collect();
    let others: Vec<&String> = endpoints.keys().filter(|path| !described.contains(*path)).collect();
    assert_eq!(others, ["/console"], "what the contract names beyond the description");
}

#[test]
fn every_setting_is_named() {
    fn walk(prefix: &str, table: &toml::Table, keys: &mut Vec<String>) {
        for (name, value) in table {
            let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            match value {
                toml::Value::Table(table) => walk(&key, table, keys),
                _ => keys.push(key),
            }
        }
    }
    let mut keys = Vec::new();
    walk("", &toml::from_str(SETTINGS).unwrap(), &mut keys);
    assert!(keys.len() > 40, "{}", keys.len());
    let running = sections()[&11];
    let missing: Vec<String> = keys.into_iter().filter(|key| !running.contains(&format!("`{key}`"))).collect();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn each_section_names_tests_that_are_there() {
    let sections = sections();
    assert!(sections.keys().copied().eq(1..=19), "{:?}", sections.keys());
    for (number, section) in sections {
        let lines: Vec<&str> = section.lines().filter(|line| line.starts_with("Tested in:")).collect();
        assert_eq!(lines.len(), 1, "section {number}");
        let tests: Vec<&str> = quoted(lines[0]).collect();
        assert!(!tests.is_empty(), "section {number}");
        for test in tests {
            assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(test).exists(), "section {number}: {test}");
        }
    }
}

/// The files of Rust in a folder and those below it.
fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

#[test]
fn each_section_that_the_source_cites_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = vec![root.join("build.rs")];
    ["src", "tests", "benches"].iter().for_each(|folder| rust_files(&root.join(folder), &mut files));
    let (sections, mut citations) = (sections(), 0);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for citation in text.split(CITED).skip(1) {
            // `, section 4)`, `, sections 1, 3 and 9)`, `, section 2. What`
            let list = citation.split([')', ';', ':', '.', '\n']).next().unwrap_or_default();
            let numbers: Vec<usize> =
                list.split(|character: char| !character.is_ascii_digit()).filter_map(|it| it.parse().ok()).collect();
            assert!(!numbers.is_empty(), "{}: {list}", file.display());
            for number in numbers {
                assert!(sections.contains_key(&number), "{}: section {number}", file.display());
            }
            citations += 1;
        }
    }
    assert!(citations > 60, "{citations}");
}
