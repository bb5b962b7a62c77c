//! What the browser script costs the page it stands in: bytes, time of the page's main thread, requests, and what it
//! leaves in the browser. Pages without any script are visited in turn with it, and what they take is taken off.
//!
//! `cargo bench --profile dev --bench script` is enough, for the daemon's own speed does not matter. `--beside FOLDER`
//! measures other scripts in the same run and the same browser: for each `NAME.js` there is what a page holds for it,
//! `NAME.html`, with DAEMON where the address stands that it is loaded from (as `http://DAEMON/scripts/NAME/` and any
//! name) and sends to. What a daemon of ours does not know there (`/api/event`) is answered with an empty 200.

mod command;
mod script {
    pub mod candidate;
    pub mod report;
    pub mod stage;
    pub mod traffic;
    pub mod visit;
}
#[path = "../tests/support/mod.rs"]
mod support;

use std::{path::PathBuf, process::ExitCode};

use command::{Arguments, Result};
use script::{
    candidate::{self, Candidate},
    report,
    stage::Stage,
    visit::{Visit, Visitor},
};
use support::daemon::started;

const USAGE: &str = "\
usage: cargo bench --profile dev --bench script -- [OPTION VALUE]...
  --beside FOLDER  other scripts to be measured: NAME.js, and NAME.html as it stands in a page
  --rounds N       times that each of them is visited (default: 20)";

fn main() -> ExitCode {
    command::run(USAGE, run)
}

fn run(mut arguments: Arguments) -> Result<()> {
    let (mut rounds, mut beside) = (20, None);
    while let Some((name, value)) = arguments.next()? {
        match name.as_str() {
            "--rounds" => rounds = value.parse()?,
            "--beside" => beside = Some(PathBuf::from(value)),
            _ => return Err(format!("unknown option {name}\n{USAGE}").into()),
        }
    }
    if rounds == 0 {
        return Err(format!("--rounds begins at 1\n{USAGE}").into());
    }
    let (_folder, daemon) = started();
    let mut candidates = vec![Candidate::none(), Candidate::ours(&daemon)];
    if let Some(folder) = beside {
        candidates.extend(candidate::in_folder(&folder)?);
    }
    let stage = Stage::set(&daemon.address, &candidates);
    let visitor = Visitor::new(&stage);
    let mut visits: Vec<Vec<Visit>> = candidates.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        // Each is the first one as often as the others.
        for turn in 0..candidates.len() {
            let place = (round + turn) % candidates.len();
            let visit =
                visitor.visit(place, place > 0).map_err(|error| format!("{}: {error}", candidates[place].name))?;
            eprintln!("round {round}, {}: {visit:?}", candidates[place].name);
            visits[place].push(visit);
        }
    }
    report::print(&candidates, &visits);
    Ok(())
}
