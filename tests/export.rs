//! Everything of a kind as a file (docs/contract.md, section 15), and what DuckDB makes of it.

mod support;

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{Value, json};
use support::{Daemon, Setup, daemon::started, duckdb};

const VISITS: u64 = 40;

/// Visits of some people, with what is odd about events in them.
fn visited() -> (tempfile::TempDir, Daemon) {
    let (folder, daemon) = started();
    for number in 0..VISITS {
        let page =
            json!({"page": {"url": format!("https://shop.example/?utm_source=s{}", number % 3), "title": "Shop"}});
        let body = json!({
            "source": {"id": "shop"}, "session": {"id": format!("s{number}")}, "context": page,
            "properties": {"odd": "a\"b,c\n\u{e9}"}, "device": {"id": "d"},
            "events": [
                {"id": format!("e{number:03}"), "type": "page-view", "time": {"create": "2020-01-01T00:00:00Z"}},
                {"type": "Purchase Order", "properties": {"price": number, "note": "=1+1", "list": [1, null, {"a": "\u{0}"}]},
                 "tags": ["a", "b"]},
            ],
        });
        daemon.tracked(&body);
    }
    (folder, daemon)
}

/// The lines of an export.
fn lines(daemon: &Daemon, query: &str) -> Vec<Value> {
    let response = daemon.admin("GET", &format!("/export?{query}"));
    assert_eq!(response.status, 200, "{}", response.text());
    let text = String::from_utf8(response.body).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn export(setup: &Setup, folder: &Path, arguments: &[&str]) -> String {
    let to = ["export", "--to", folder.to_str().unwrap()];
    let run = setup.command(&[&to[..], arguments].concat()).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).unwrap()
}

/// The files in a folder, by name.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap());
    files.map(|file| (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap())).collect()
}

#[test]
fn an_export_is_all_that_a_query_means_from_the_oldest_on() {
    let (_folder, daemon) = visited();
    for what in ["events", "sessions", "profiles"] {
        let all = lines(&daemon, &format!("what={what}"));
        let mut newest = daemon.record(&format!("/{what}?limit=1000"))["result"].as_array().unwrap().clone();
        newest.reverse();
        assert_eq!(all, newest, "{what}");
    }
    assert_eq!(lines(&daemon, "what=events&type=page-view&limit=3&fields=id").len(), 3);
    assert_eq!(lines(&daemon, "what=events&where=event.properties.price%20%3E%3D%2030").len(), 10);
    let response = daemon.admin("GET", "/export?what=sessions&format=csv&fields=id,properties.odd");
    assert_eq!(response.header("content-type"), Some("text/csv; charset=utf-8"));
    assert_eq!(response.header("content-disposition"), Some("attachment; filename=\"sessions.csv\""));
    assert!(response.body.starts_with("id,properties.odd\r\ns0,\"a\"\"b,c\n\u{e9}\"\r\n".as_bytes()));
}

#[test]
fn what_cannot_be_exported_is_told() {
    let (_folder, daemon) = started();
    for (query, at) in [
        ("", "what"),
        ("what=sources", "what"),
        ("what=events&format=xlsx", "format"),
        ("what=events&segment=a", "segment"),
        ("what=events&from=yesterday", "from"),
        ("what=sessions&type=a", "type"),
    ] {
        let response = daemon.admin("GET", &format!("/export?{query}"));
        assert_eq!((response.status, response.loc()), (422, json!(["query", at])), "{query}");
    }
    assert_eq!(daemon.get("/export?what=events").status, 401);
    assert_eq!(daemon.admin("POST", "/export?what=events").status, 405);
    // Nothing is a file, too.
    assert!(lines(&daemon, "what=events").is_empty());
}

/// Writes an export to a file of its own.
fn saved(daemon: &Daemon, folder: &Path, query: &str, name: &str) {
    let response = daemon.admin("GET", &format!("/export?{query}&format=parquet"));
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(response.header("content-type"), Some("application/vnd.apache.parquet"));
    fs::write(folder.join(name), response.body).unwrap();
}

#[test]
fn duckdb_counts_what_was_sent() {
    let (folder, daemon) = visited();
    let folder = folder.path();
    saved(&daemon, folder, "what=events", "events.parquet");
    saved(&daemon, folder, "what=sessions", "sessions.parquet");
    saved(&daemon, folder, "what=profiles", "profiles.parquet");
    let sum: u64 = (0..VISITS).sum();
    let counted = duckdb::query(
        folder,
        "SELECT type, count(*), sum((properties->>'price')::INT), count(DISTINCT session_id), count(DISTINCT id) \
         FROM 'events.parquet' GROUP BY type ORDER BY type",
    );
    let (pages, orders) =
        (json!(["page-view", VISITS, null, VISITS, VISITS]), json!(["purchase-order", VISITS, sum, VISITS, VISITS]));
    assert_eq!(counted, [pages, orders]);
    // Each value is what the record shows.
    let rows = duckdb::query(
        folder,
        "SELECT id, name, source_id, session_id, profile_id, epoch_us(time_insert), epoch_us(time_create), properties, context, \
         request, tags, traits, data, journey_state, profile_less, status, valid, bot, identified, imported, hit, utm, \
         device, os, app FROM 'events.parquet'",
    );
    let shown = lines(&daemon, "what=events");
    assert_eq!(rows.len(), shown.len());
    for (row, event) in rows.iter().zip(&shown) {
        let text = |value: &Value| json!(value.to_string());
        let micros = |value: &Value| {
            let sql = format!("SELECT epoch_us('{}'::TIMESTAMPTZ)", value.as_str().unwrap());
            // Both times of the first event are compared to the microsecond; asking for each would take long.
            if event["id"] == shown[0]["id"] { duckdb::query(folder, &sql)[0][0].clone() } else { Value::Null }
        };
        let metadata = &event["metadata"];
        let mut expected = vec![
            event["id"].clone(),
            event["name"].clone(),
            event["source"]["id"].clone(),
            event["session"]["id"].clone(),
            event["profile"]["id"].clone(),
            micros(&metadata["time"]["insert"]),
            micros(&metadata["time"]["create"]),
        ];
        for part in ["properties", "context", "request", "tags", "traits", "data"] {
            expected.push(text(&event[part]));
        }
        expected.extend([
            event["journey"]["state"].clone(),
            metadata["profile_less"].clone(),
            metadata["status"].clone(),
            metadata["valid"].clone(),
            metadata["bot"].clone(),
            Value::Null,
            json!(false),
        ]);
        for part in ["hit", "utm", "device", "os", "app"] {
            expected.push(text(&event[part]));
        }
        for (place, expected) in expected.iter().enumerate() {
            let (found, skips) = (&row[place], (5..7).contains(&place) && expected.is_null());
            let same_json = || {
                let read = |value: &Value| serde_json::from_str::<Value>(value.as_str()?).ok();
                read(found).is_some() && read(found) == read(expected)
            };
            assert!(skips || found == expected || same_json(), "column {place}: {found} is not {expected}");
        }
    }
    let types = duckdb::query(
        folder,
        "SELECT column_name, column_type FROM (DESCRIBE FROM 'events.parquet') WHERE column_name LIKE 'time%'",
    );
    assert_eq!(
        types,
        [json!(["time_insert", "TIMESTAMP WITH TIME ZONE"]), json!(["time_create", "TIMESTAMP WITH TIME ZONE"])]
    );
    let sessions = duckdb::query(
        folder,
        "SELECT count(*), count(profile_id), sum(duration) >= 0, min(utm->>'source') FROM 'sessions.parquet'",
    );
    assert_eq!(sessions, [json!([VISITS, VISITS, true, "s0"])]);
    let profiles = duckdb::query(
        folder,
        "SELECT count(*), sum(visits)::INT, sum(views)::INT, bool_and(active), count(visit_current) FROM 'profiles.parquet'",
    );
    assert_eq!(profiles, [json!([VISITS, VISITS, VISITS, true, VISITS])]);
    let codecs = duckdb::query(folder, "SELECT DISTINCT compression FROM parquet_metadata('events.parquet')");
    assert_eq!(codecs, [json!(["ZSTD"])]);
}

#[test]
fn chosen_parts_are_columns_of_their_names() {
    let (folder, daemon) = visited();
    let fields = "id,metadata.time.insert,metadata.valid,properties.price,properties.list,nothing.there,id";
    saved(&daemon, folder.path(), &format!("what=events&type=purchase-order&fields={fields}"), "chosen.parquet");
    let columns = duckdb::query(folder.path(), "SELECT column_name, column_type FROM (DESCRIBE FROM 'chosen.parquet')");
    let expected = [
        ["id", "VARCHAR"],
        ["metadata.time.insert", "TIMESTAMP WITH TIME ZONE"],
        ["metadata.valid", "BOOLEAN"],
        ["properties.price", "VARCHAR"],
        ["properties.list", "VARCHAR"],
        ["nothing.there", "VARCHAR"],
    ];
    assert_eq!(columns, expected.map(|column| json!(column)));
    let sums = "SELECT sum(\"properties.price\"::INT)::INT, count(\"nothing.there\"), count(\"metadata.time.insert\") FROM 'chosen.parquet'";
    assert_eq!(duckdb::query(folder.path(), sums), [json!([(0..VISITS).sum::<u64>(), 0, VISITS])]);
}

#[test]
fn nothing_is_a_file_with_columns_and_no_rows() {
    let (folder, daemon) = started();
    saved(&daemon, folder.path(), "what=events", "none.parquet");
    assert_eq!(duckdb::query(folder.path(), "SELECT count(*) FROM 'none.parquet'"), [json!([0])]);
}

#[test]
fn large_records_come_in_several_row_groups() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Setup::new(folder.path()).start();
    daemon.shop();
    // Beyond what a row group holds before it is compressed.
    let text = "x".repeat(900_000);
    for number in 0..20 {
        let event = json!({"type": "large", "properties": {"n": number, "text": text}});
        daemon.tracked(&json!({"source": {"id": "shop"}, "session": {"id": "s"}, "events": [event]}));
    }
    saved(&daemon, folder.path(), "what=events", "large.parquet");
    let groups =
        duckdb::query(folder.path(), "SELECT count(DISTINCT row_group_id) > 1 FROM parquet_metadata('large.parquet')");
    assert_eq!(groups, [json!([true])]);
    let sums = "SELECT count(*), sum((properties->>'n')::INT)::INT, sum(length(properties->>'text'))::INT FROM 'large.parquet'";
    assert_eq!(duckdb::query(folder.path(), sums), [json!([20, 190, 20 * 900_000])]);
}

#[test]
fn the_command_writes_the_same_of_a_running_daemon_and_of_a_stopped_store() {
    let (folder, daemon) = visited();
    let out = tempfile::tempdir().unwrap();
    let (running, stopped) = (out.path().join("running"), out.path().join("stopped"));
    let setup = Setup::new(folder.path());
    let all: [&[&str]; 5] = [
        &["--what", "events"],
        &["--what", "events", "--format", "parquet"],
        &["--what", "sessions", "--format", "csv"],
        &["--what", "profiles", "--where", "profile.stats.visits > 0"],
        &["--what", "events", "--format", "csv", "--by", "day", "--type", "page-*", "--fields", "id,type"],
    ];
    for arguments in all {
        let said = export(&setup, &running, arguments);
        assert!(said.contains(" bytes"), "{said}");
    }
    let setup = daemon.stop();
    for arguments in all {
        export(&setup, &stopped, arguments);
    }
    let written = files(&running);
    assert_eq!(written, files(&stopped));
    let names: Vec<&str> = written.keys().map(String::as_str).collect();
    assert_eq!(names[1..], ["events.ndjson", "events.parquet", "profiles.ndjson", "sessions.csv"]);
    assert!(names[0].starts_with("events-20") && names[0].ends_with(".csv"), "{names:?}");
    assert_eq!(written["events.ndjson"].iter().filter(|byte| **byte == b'\n').count() as u64, 2 * VISITS);
}

#[test]
fn a_command_that_cannot_be_done_says_why_and_leaves_nothing() {
    let (folder, daemon) = started();
    let out = tempfile::tempdir().unwrap();
    let setup = Setup::new(folder.path());
    let refused = |arguments: &[&str]| {
        let run =
            setup.command(&[&["export", "--to", out.path().to_str().unwrap()], arguments].concat()).output().unwrap();
        assert!(!run.status.success());
        String::from_utf8(run.stderr).unwrap()
    };
    for (arguments, told) in [
        (&["--what", "sources"][..], "--what"),
        (&["--what", "events", "--format", "xml"], "--format"),
        (&["--what", "profiles", "--by", "day"], "--by"),
        (&["--what", "events", "--from", "yesterday"], "--from"),
        (&["--what", "events", "--where", "event.x >"], "where"),
    ] {
        let said = refused(arguments);
        assert!(said.contains(told), "{arguments:?}: {said}");
    }
    drop(daemon.stop());
    assert!(refused(&["--what", "events", "--where", "event.x >"]).contains("where"));
    assert!(files(out.path()).is_empty());
}
