//! The command line of the benchmark.

use super::Result;
use super::comparison::{COMPARISONS, Comparison};
use super::payload::Case;
use crate::command::Arguments;
use std::path::PathBuf;
use std::time::Duration;

pub const USAGE: &str = "\
usage: cargo bench --bench throughput -- [OPTION VALUE]...
  --case CASES         of visits,new-visitors,comparison,live,queries,sealing,merges,idle (default: all)
  --connections LIST   (default: 1,16,64,256)
  --seconds N          measured window of the daemon (default: 10)
  --warm-up N          seconds of load before the window (default: 3)
  --floor-seconds N    measured window of each floor (default: 4); 0 leaves the floors out
  --turns N            times that each of the compared daemons is measured (default: 5)
  --merges N           profiles that become one in the case merges, a tenth of them in a chain (default: 3000)
  --rounds N           times that the daemon is measured, each on a new store; medians are shown (default: 1)
The environment variable TRACARDI_BIN names another daemon than the one just built, TRACARDI_BIN_OTHER one that takes
part in the comparison, and TRACARDI__SECTION__KEY
changes the daemon's settings as always.";

/// How many profiles become one in the case `merges`, unless it is said otherwise.
const MERGES: usize = 3_000;

pub struct Options {
    pub cases: Vec<Case>,
    pub idle: bool,
    pub comparisons: Vec<Comparison>,
    pub merges: Option<usize>,
    pub turns: usize,
    pub connections: Vec<usize>,
    pub window: Duration,
    pub warm_up: Duration,
    pub floor_window: Duration,
    pub rounds: usize,
    pub daemon: PathBuf,
}

impl Options {
    pub fn parse(mut arguments: Arguments) -> Result<Options> {
        let mut options = Options {
            cases: vec![Case::Visits, Case::NewVisitors],
            idle: true,
            comparisons: COMPARISONS.to_vec(),
            merges: Some(MERGES),
            turns: 5,
            connections: vec![1, 16, 64, 256],
            window: Duration::from_secs(10),
            warm_up: Duration::from_secs(3),
            floor_window: Duration::from_secs(4),
            rounds: 1,
            daemon: std::env::var_os("TRACARDI_BIN").unwrap_or(env!("CARGO_BIN_EXE_tracardi").into()).into(),
        };
        let mut merges = MERGES;
        while let Some((name, value)) = arguments.next()? {
            let wrong = |_| format!("{name} cannot be {value}\n{USAGE}");
            match name.as_str() {
                "--case" => {
                    let chosen: Vec<&str> = value.split(',').collect();
                    options.cases.retain(|case| chosen.contains(&case.name()));
                    options.idle = chosen.contains(&"idle");
                    options.comparisons.retain(|(title, _)| chosen.contains(title));
                    options.merges = chosen.contains(&"merges").then_some(MERGES);
                    let others = usize::from(options.idle) + usize::from(options.merges.is_some());
                    if options.cases.len() + options.comparisons.len() + others != chosen.len() {
                        return Err(format!("{name} cannot be {value}\n{USAGE}").into());
                    }
                }
                "--connections" => {
                    options.connections =
                        value.split(',').map(str::parse).collect::<std::result::Result<_, _>>().map_err(wrong)?;
                }
                "--seconds" => options.window = Duration::from_secs(value.parse().map_err(wrong)?),
                "--warm-up" => options.warm_up = Duration::from_secs(value.parse().map_err(wrong)?),
                "--floor-seconds" => options.floor_window = Duration::from_secs(value.parse().map_err(wrong)?),
                "--turns" => options.turns = value.parse().map_err(wrong)?,
                "--merges" => merges = value.parse().map_err(wrong)?,
                "--rounds" => options.rounds = value.parse().map_err(wrong)?,
                _ => return Err(format!("unknown option {name}\n{USAGE}").into()),
            }
        }
        options.merges = options.merges.map(|_| merges);
        if options.window.is_zero() || options.rounds == 0 || options.connections.contains(&0) {
            return Err(format!("--seconds, --rounds and --connections begin at 1\n{USAGE}").into());
        }
        Ok(options)
    }
}
