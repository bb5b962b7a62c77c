//! Where the performance figures come from: the release daemon under the load of browsers, on a real disk.
//!
//! Each figure stands beside two floors measured around it on the same machine, in the same minute: a hyper server that
//! parses and stores nothing, and a plain file that is appended to and synced. Absolute figures are the machine's; the
//! ratios are the daemon's. Daemon and load generator share the cores, so the share of each is shown too, and that of
//! whatever else ran: a figure counts if that is small.
//!
//! `cargo bench --bench throughput -- --help` lists the options.

mod command;
mod throughput {
    pub mod bare_hyper;
    pub mod comparison;
    pub mod content;
    pub mod disk;
    pub mod histogram;
    pub mod load;
    pub mod merges;
    pub mod options;
    pub mod payload;
    pub mod readers;
    pub mod report;
    pub mod server;

    pub use crate::command::Result;
}

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use throughput::comparison::Variant;
use throughput::load::{self, Measured, Plan};
use throughput::options::{Options, USAGE};
use throughput::payload::{Case, SOURCE};
use throughput::readers::Readers;
use throughput::report::{DaemonRun, FloorRun, Row, Start, percent, print_case, print_idle, whole};
use throughput::server::{start_daemon, start_daemon_with};
use throughput::{Result, bare_hyper, comparison, disk, merges};

const FLOOR_WARM_UP: Duration = Duration::from_secs(1);
const IDLE_STARTS: usize = 5;
const COMPARED_CONNECTIONS: usize = 64;
const LOG_LINES_SHOWN: usize = 20;
/// After a start, what is still going on in the background should be over by then, and what the start took given back.
const IDLE_REST: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == bare_hyper::ARGUMENT) {
        return command::exit_code(bare_hyper::serve());
    }
    command::run(USAGE, |arguments| run(&Options::parse(arguments)?))
}

fn run(options: &Options) -> Result<()> {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(root)?;
    disk::require_real_disk(root)?;
    let cores = thread::available_parallelism()?;
    println!(
        "{cores} cores, {} s measured after {} s of warm-up; CPU is in percent of one core",
        options.window.as_secs(),
        options.warm_up.as_secs()
    );
    let mut bench = Bench { options, root, next_seed: 0 };
    let mut cases = Vec::new();
    for &case in &options.cases {
        cases.push((case.name(), bench.measure_case(case)?));
    }
    for (title, variants) in &options.comparisons {
        bench.compare(title, variants(&options.daemon))?;
    }
    if let Some(count) = options.merges {
        merges::run(&options.daemon, count, || Folder::new(root))?;
    }
    let starts = if options.idle { bench.measure_idle()? } else { Vec::new() };
    for (name, rows) in &cases {
        print_case(name, rows);
    }
    if !starts.is_empty() {
        print_idle(&starts);
    }
    Ok(())
}

struct Bench<'a> {
    options: &'a Options,
    /// Where stores are made, each in a folder that goes with its run.
    root: &'a Path,
    next_seed: u64,
}

impl Bench<'_> {
    fn measure_case(&mut self, case: Case) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        for &connections in &self.options.connections {
            let mut row = Row { connections, runs: Vec::new(), floors: Vec::new() };
            // A floor on both sides of every run: whatever else the machine does meanwhile then shows in both.
            row.floors.extend(self.measure_floors(case, connections)?);
            for _ in 0..self.options.rounds {
                row.runs.push(self.measure_daemon(case, connections)?);
                row.floors.extend(self.measure_floors(case, connections)?);
            }
            rows.push(row);
        }
        Ok(rows)
    }

    /// Measures the daemons that are compared, one after the other in each turn.
    fn compare(&mut self, title: &str, mut variants: Vec<Variant>) -> Result<()> {
        let connections = COMPARED_CONNECTIONS;
        let plan = Plan { case: Case::Visits, connections, warm_up: self.options.warm_up, window: self.options.window };
        for turn in 0..self.options.turns {
            let seed = self.seed();
            // Forth and back, so that a machine that grows slower or faster meets them alike.
            let order: Vec<usize> =
                if turn % 2 == 0 { (0..variants.len()).collect() } else { (0..variants.len()).rev().collect() };
            for place in order {
                let variant = &mut variants[place];
                let folder = Folder::new(self.root)?;
                disk::settle();
                let run = || {
                    let daemon = start_daemon_with(&variant.daemon, &folder.storage, &folder.log, variant.settings)?;
                    daemon.wait_for("/ready")?;
                    daemon.register_source(SOURCE)?;
                    if let Some(configuration) = &variant.configuration {
                        daemon.configure(configuration)?;
                    }
                    let readers = variant.reading.map(|reading| Readers::start(&daemon, reading)).transpose()?;
                    let measured = load::run(plan, &daemon, seed)?;
                    if let Some(readers) = readers {
                        eprintln!("{}", readers.end()?);
                    }
                    daemon.stop()?;
                    Ok(measured)
                };
                let measured = run().map_err(|error| folder.with_log(error))?;
                progress(variant.name, plan, &measured);
                variant.runs.push(measured);
            }
        }
        comparison::print(title, &variants, connections)
    }

    fn measure_daemon(&mut self, case: Case, connections: usize) -> Result<DaemonRun> {
        let folder = Folder::new(self.root)?;
        let plan = Plan { case, connections, warm_up: self.options.warm_up, window: self.options.window };
        let seed = self.seed();
        disk::settle();
        let run = || {
            let daemon = start_daemon(&self.options.daemon, &folder.storage, &folder.log)?;
            daemon.wait_for("/ready")?;
            daemon.register_source(SOURCE)?;
            let measured = load::run(plan, &daemon, seed)?;
            let stopped_in = daemon.stop()?;
            Ok(DaemonRun { measured, occupied: disk::occupied(&folder.storage)?, stopped_in })
        };
        let run = run().map_err(|error| folder.with_log(error))?;
        progress("daemon", plan, &run.measured);
        if run.measured.accepted == 0 {
            return Err(format!("the daemon took nothing: {:?}", run.measured.refused).into());
        }
        Ok(run)
    }

    fn measure_floors(&mut self, case: Case, connections: usize) -> Result<Option<FloorRun>> {
        let window = self.options.floor_window;
        if window.is_zero() {
            return Ok(None);
        }
        let plan = Plan { case, connections, warm_up: FLOOR_WARM_UP, window };
        disk::settle();
        let server = bare_hyper::start()?;
        let bare_hyper = load::run(plan, &server, self.seed())?;
        drop(server);
        progress("bare hyper", plan, &bare_hyper);
        if !bare_hyper.refused.is_empty() {
            return Err(format!("the floor did not take everything: {:?}", bare_hyper.refused).into());
        }

        let folder = Folder::new(self.root)?;
        let append_records_per_second = disk::append_and_sync(&folder.storage, case, connections, window)?;
        eprintln!(
            "{:>12} {connections:>4} connections, append+fdatasync: {} records/s",
            case.name(),
            whole(append_records_per_second)
        );
        Ok(Some(FloorRun { bare_hyper, append_records_per_second }))
    }

    fn measure_idle(&self) -> Result<Vec<Start>> {
        let start = |folder: &Folder| {
            let begin = Instant::now();
            let daemon = start_daemon(&self.options.daemon, &folder.storage, &folder.log)?;
            daemon.wait_for("/health")?;
            let started_in = begin.elapsed();
            daemon.wait_for("/ready")?;
            thread::sleep(IDLE_REST);
            let resident_bytes = daemon.usage()?.resident_bytes;
            daemon.stop()?;
            Ok(Start { resident_bytes, started_in })
        };
        let mut starts = Vec::new();
        for _ in 0..IDLE_STARTS {
            let folder = Folder::new(self.root)?;
            starts.push(start(&folder).map_err(|error| folder.with_log(error))?);
        }
        Ok(starts)
    }

    fn seed(&mut self) -> u64 {
        self.next_seed += 1;
        self.next_seed
    }
}

/// A store and what its daemon says, on the disk as long as its run.
struct Folder {
    storage: PathBuf,
    log: PathBuf,
    _removed_at_the_end: TempDir,
}

impl Folder {
    fn new(root: &Path) -> Result<Folder> {
        let folder = tempfile::tempdir_in(root)?;
        let storage = folder.path().join("store");
        std::fs::create_dir(&storage)?;
        Ok(Folder { storage, log: folder.path().join("stderr.log"), _removed_at_the_end: folder })
    }

    /// The error with the last of what the daemon said, for the log goes with the folder.
    fn with_log(&self, error: Box<dyn Error + Send + Sync>) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
        format!("{error}\nthe daemon's last words:\n{}", last.join("\n"))
    }
}

fn progress(what: &str, plan: Plan, measured: &Measured) {
    eprintln!(
        "{:>12} {:>4} connections, {what}: {} requests/s, p99 {:.3} ms, CPU of server {}, generator {}, others {}, refused {:?}",
        plan.case.name(),
        plan.connections,
        whole(measured.requests_per_second),
        measured.latency.quantile_ms(0.99),
        percent(measured.cpu.server),
        percent(measured.cpu.generator),
        percent(measured.cpu.others),
        measured.refused,
    );
}
