//! A script that is measured: its text, and what a page holds for it.

use std::{fs, io::Write, path::Path};

use flate2::{Compression, write::GzEncoder};

use crate::{Result, support::Daemon};

pub struct Candidate {
    pub name: String,
    pub script: Vec<u8>,
    /// With `DAEMON` in the place of the address that the script comes from.
    pub snippet: String,
}

impl Candidate {
    /// Pages without any: what others are measured against.
    pub fn none() -> Self {
        Self { name: "no script".to_owned(), script: Vec::new(), snippet: String::new() }
    }

    /// As the README says it.
    pub fn ours(daemon: &Daemon) -> Self {
        let snippet = "<script async src=\"http://DAEMON/tracker/tracardi.js\" data-source=\"shop\"></script>\n";
        let script = daemon.get("/tracker/tracardi.js").body;
        Self { name: "ours".to_owned(), script, snippet: snippet.to_owned() }
    }

    pub fn compressed(&self) -> Vec<u8> {
        compressed(&self.script)
    }

    /// Bytes of the script and of what a page holds for it, each as it is and compressed.
    pub fn sizes(&self) -> [usize; 4] {
        let (script, snippet) = (&*self.script, self.snippet.as_bytes());
        [script.len(), compressed(script).len(), snippet.len(), compressed(snippet).len()]
    }
}

/// The scripts of a folder, in the order of their names.
pub fn in_folder(folder: &Path) -> Result<Vec<Candidate>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "js") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let page = path.with_extension("html");
            let snippet = fs::read_to_string(&page).map_err(|error| format!("{}: {error}", page.display()))?;
            found.push(Candidate { name, script: fs::read(&path)?, snippet });
        }
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

/// As `gzip -9` does it.
fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("a vector takes what is written to it");
    encoder.finish().expect("a vector takes what is written to it")
}
