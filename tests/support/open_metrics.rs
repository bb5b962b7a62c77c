//! A strict reader of OpenMetrics text (version 1.0), as far as the daemon uses it.

use std::collections::{BTreeMap, BTreeSet};

/// A sample's name with its labels.
pub type Series = (String, BTreeMap<String, String>);

#[derive(Debug, Default)]
pub struct Exposition {
    samples: BTreeMap<Series, f64>,
}

/// The family that lines are about.
struct Family {
    name: String,
    kind: String,
    samples: Vec<(Series, f64)>,
}

impl Exposition {
    /// Reads a whole text; panics at what the format does not allow.
    pub fn parse(text: &str) -> Self {
        let lines = text.strip_suffix("# EOF\n").expect("it ends with # EOF");
        assert!(lines.is_empty() || lines.ends_with('\n'), "the last line has an end");
        let (mut families, mut names): (Vec<Family>, BTreeSet<String>) = Default::default();
        let mut described = BTreeSet::new();
        for line in lines.lines() {
            if let Some(rest) = line.strip_prefix("# ") {
                let (word, rest) = rest.split_once(' ').expect(line);
                let (name, said) = rest.split_once(' ').expect(line);
                assert!(is_name(name) && !said.is_empty(), "{line}");
                assert!(described.insert((word.to_owned(), name.to_owned())), "said twice: {line}");
                match word {
                    "HELP" => assert!(names.insert(name.to_owned()), "a family comes twice: {line}"),
                    "TYPE" => {
                        assert!(["counter", "gauge", "histogram", "info"].contains(&said), "{line}");
                        families.push(Family { name: name.into(), kind: said.into(), samples: Vec::new() });
                    }
                    "UNIT" => assert!(name.ends_with(&format!("_{said}")), "{line}"),
                    _ => panic!("{line}"),
                }
                // All that is said of a family stands before its samples.
                assert!(families.iter().all(|family| family.name != name || family.samples.is_empty()), "{line}");
                continue;
            }
            let (series, value) = sample(line);
            families.last_mut().expect(line).samples.push((series, value));
        }
        let mut samples = BTreeMap::new();
        for family in families {
            family.check();
            for (series, value) in family.samples {
                assert!(samples.insert(series.clone(), value).is_none(), "{series:?} comes twice");
            }
        }
        Self { samples }
    }

    pub fn series(&self) -> BTreeSet<Series> {
        self.samples.keys().cloned().collect()
    }

    /// The value of one series, if it is there.
    pub fn find(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.samples.get(&(name.to_owned(), labels)).copied()
    }

    /// The value of one series, which must be there.
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.find(name, labels).unwrap_or_else(|| panic!("{name} {labels:?} is not in {:#?}", self.samples))
    }
}

impl Family {
    fn check(&self) {
        assert!(!self.samples.is_empty(), "{} has no samples", self.name);
        let endings: &[&str] = match &*self.kind {
            "counter" => &["_total"],
            "histogram" => &["_sum", "_count", "_bucket"],
            "info" => &["_info"],
            _ => &[""],
        };
        for ((name, labels), value) in &self.samples {
            let ending = name.strip_prefix(&*self.name).unwrap_or("?");
            assert!(endings.contains(&ending), "{name} in {}", self.name);
            assert_eq!(labels.contains_key("le"), ending == "_bucket", "{name} {labels:?}");
            assert!(self.kind == "gauge" || (*value >= 0.0 && value.is_finite()), "{name} {value}");
            assert!(self.kind != "info" || *value == 1.0, "{name} {value}");
        }
        if self.kind == "histogram" {
            self.check_histograms();
        }
    }

    /// Buckets go up to +Inf, and so do their counts, to the count of all.
    fn check_histograms(&self) {
        let mut buckets: BTreeMap<BTreeMap<String, String>, Vec<(f64, f64)>> = BTreeMap::new();
        let mut counts = BTreeMap::new();
        for ((name, labels), value) in &self.samples {
            let mut labels = labels.clone();
            if let Some(bound) = labels.remove("le") {
                buckets.entry(labels).or_default().push((number(&bound), *value));
            } else if name.ends_with("_count") {
                counts.insert(labels, *value);
            }
        }
        assert_eq!(buckets.keys().collect::<Vec<_>>(), counts.keys().collect::<Vec<_>>(), "{}", self.name);
        for (labels, buckets) in buckets {
            let goes_up = buckets.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
            assert!(goes_up, "{} {labels:?}: {buckets:?}", self.name);
            assert_eq!(buckets.last(), Some(&(f64::INFINITY, counts[&labels])), "{} {labels:?}", self.name);
        }
    }
}

fn sample(line: &str) -> (Series, f64) {
    let end = line.find(['{', ' ']).expect(line);
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, value) = rest.split_once("=\"").expect(line);
            assert!(is_name(label) && !label.contains(':'), "{line}");
            let (value, behind) = unescaped(value, line);
            assert!(labels.insert(label.to_owned(), value).is_none(), "a label comes twice: {line}");
            match behind.split_at(1) {
                (",", behind) => rest = behind,
                ("}", behind) => {
                    rest = behind;
                    break;
                }
                _ => panic!("{line}"),
            }
        }
    }
    let value = rest.strip_prefix(' ').expect(line);
    ((name.to_owned(), labels), number(value))
}

/// A label's value, and what stands behind its closing quote.
fn unescaped<'a>(text: &'a str, line: &str) -> (String, &'a str) {
    let (mut value, mut characters) = (String::new(), text.char_indices());
    while let Some((place, character)) = characters.next() {
        match character {
            '"' => return (value, &text[place + 1..]),
            '\\' => value.push(match characters.next() {
                Some((_, 'n')) => '\n',
                Some((_, escaped @ ('\\' | '"'))) => escaped,
                _ => panic!("{line}"),
            }),
            other => value.push(other),
        }
    }
    panic!("a label's value has no end: {line}")
}

fn number(text: &str) -> f64 {
    assert!(text == "+Inf" || text.starts_with(|first: char| first.is_ascii_digit() || first == '-'), "{text}");
    text.parse().unwrap_or_else(|_| panic!("no number: {text}"))
}

fn is_name(name: &str) -> bool {
    let fits = |it: char| it.is_ascii_alphanumeric() || it == '_' || it == ':';
    name.starts_with(|first: char| !first.is_ascii_digit()) && name.chars().all(fits)
}
