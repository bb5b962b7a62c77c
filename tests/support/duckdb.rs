//! A real DuckDB, as people have it from PyPI.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// What the query finds, each row a list. Relative names of files are within `folder`.
pub fn query(folder: &Path, sql: &str) -> Vec<Value> {
    const SCRIPT: &str = "import duckdb, json, sys\n\
        rows = duckdb.connect().execute(sys.argv[1]).fetchall()\n\
        print(json.dumps([list(row) for row in rows], default=str))";
    let run = Command::new(python()).args(["-c", SCRIPT, sql]).env("TZ", "UTC").current_dir(folder).output();
    let run = run.unwrap_or_else(|error| panic!("DuckDB is needed, .ci/run installs it: {error}"));
    assert!(run.status.success(), "{sql}: {}", String::from_utf8_lossy(&run.stderr));
    serde_json::from_slice(&run.stdout).unwrap()
}

/// The interpreter of the virtual environment beside what is built, which has it.
fn python() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("duckdb").join("bin/python")
}
