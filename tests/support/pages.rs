//! Records that are answered page by page.

use serde_json::Value;

use super::Daemon;

/// The records of a page, and its cursor.
pub fn page(daemon: &Daemon, path: &str) -> (Vec<Value>, Option<String>) {
    let page = daemon.record(path);
    let cursor = page["cursor"].as_str().map(str::to_owned);
    (page["result"].as_array().unwrap_or_else(|| panic!("{path}: {page}")).clone(), cursor)
}

/// All records that a query means, page by page.
pub fn records(daemon: &Daemon, path: &str) -> Vec<Value> {
    let (mut records, cursor) = page(daemon, path);
    records.extend(rest(daemon, path, cursor));
    records
}

/// The records behind a page that ended with `cursor`.
pub fn rest(daemon: &Daemon, path: &str, mut cursor: Option<String>) -> Vec<Value> {
    let mut records = Vec::new();
    while let Some(next) = cursor {
        let mark = if path.contains('?') { '&' } else { '?' };
        let more;
        (more, cursor) = page(daemon, &format!("{path}{mark}cursor={next}"));
        records.extend(more);
        assert!(records.len() < 10_000, "{path} comes to no end");
    }
    records
}

/// The ids of all records that a query means.
pub fn ids(daemon: &Daemon, path: &str) -> Vec<String> {
    records(daemon, path).iter().map(|record| record["id"].as_str().unwrap().to_owned()).collect()
}
