//! The figures as Markdown, ready to be pasted where people read them.

use super::disk::Occupied;
use super::load::Measured;
use super::payload::EVENTS_PER_REQUEST;
use std::collections::BTreeMap;
use std::time::Duration;

/// One run of the daemon on a store of its own.
pub struct DaemonRun {
    pub measured: Measured,
    pub occupied: Occupied,
    pub stopped_in: Duration,
}

/// Both floors, measured next to a run of the daemon.
pub struct FloorRun {
    pub bare_hyper: Measured,
    pub append_records_per_second: f64,
}

/// Everything measured at one number of connections. Tables show medians.
pub struct Row {
    pub connections: usize,
    pub runs: Vec<DaemonRun>,
    /// Empty when the floors were left out.
    pub floors: Vec<FloorRun>,
}

pub struct Start {
    pub resident_bytes: u64,
    pub started_in: Duration,
}

type Column = (&'static str, fn(&Row) -> String);

pub fn print_case(name: &str, rows: &[Row]) {
    println!("\n## {name}\n");
    print_table(rows, &FIGURES);
    println!("\nWhat else the daemon took:\n");
    print_table(rows, &EXPENSES);
    if rows.iter().any(|row| !row.floors.is_empty()) {
        println!("\nThe floors:\n");
        print_table(rows, &FLOORS);
    }
    for row in rows {
        let refused = row.refused();
        if !refused.is_empty() {
            println!("\nNot answered 200 at {} connections: {refused:?}", row.connections);
        }
    }
}

pub fn print_idle(starts: &[Start]) {
    println!("\n## idle\n");
    println!("Medians of {} starts on an empty store:\n", starts.len());
    println!("| memory MB | exec to the first /health 200, ms |");
    println!("| --------: | --------------------------------: |");
    let resident = median(starts.iter().map(|start| start.resident_bytes as f64));
    let started_in = median(starts.iter().map(|start| start.started_in.as_secs_f64()));
    println!("| {:>9} | {:>33.1} |", megabytes(resident), started_in * 1e3);
}

const FIGURES: [Column; 12] = [
    ("connections", |row| row.connections.to_string()),
    ("requests/s", |row| whole(row.requests_per_second())),
    ("of bare hyper", |row| row.ratio_to(|floor| floor.bare_hyper.requests_per_second)),
    ("events/s", |row| whole(row.requests_per_second() * EVENTS_PER_REQUEST as f64)),
    ("of append+fdatasync", |row| row.ratio_to(|floor| floor.append_records_per_second)),
    ("p50 ms", |row| milliseconds(row.daemon(|run| run.measured.latency.quantile_ms(0.5)))),
    ("p99 ms", |row| milliseconds(row.daemon(|run| run.measured.latency.quantile_ms(0.99)))),
    ("p99.9 ms", |row| milliseconds(row.daemon(|run| run.measured.latency.quantile_ms(0.999)))),
    ("log B/event", |row| whole(row.daemon(|run| run.per_event(run.occupied.log)))),
    ("views B/event", |row| whole(row.daemon(|run| run.per_event(run.occupied.views)))),
    ("memory MB", |row| megabytes(row.daemon(|run| run.measured.server_usage.resident_bytes as f64))),
    ("generator CPU", |row| percent(row.daemon(|run| run.measured.cpu.generator))),
];

const EXPENSES: [Column; 7] = [
    ("connections", |row| row.connections.to_string()),
    ("daemon CPU", |row| percent(row.daemon(|run| run.measured.cpu.server))),
    ("others' CPU", |row| percent(row.daemon(|run| run.measured.cpu.others))),
    ("peak memory MB", |row| megabytes(row.daemon(|run| run.measured.server_usage.resident_bytes_max as f64))),
    ("journal MB at the end", |row| megabytes(row.daemon(|run| run.occupied.journal as f64))),
    ("events stored", |row| whole(row.daemon(|run| run.events_stored() as f64))),
    ("stop s", |row| format!("{:.2}", row.daemon(|run| run.stopped_in.as_secs_f64()))),
];

const FLOORS: [Column; 9] = [
    ("connections", |row| row.connections.to_string()),
    ("bare hyper requests/s", |row| whole(row.floor(|floor| floor.bare_hyper.requests_per_second))),
    ("p50 ms", |row| milliseconds(row.floor(|floor| floor.bare_hyper.latency.quantile_ms(0.5)))),
    ("p99 ms", |row| milliseconds(row.floor(|floor| floor.bare_hyper.latency.quantile_ms(0.99)))),
    ("p99.9 ms", |row| milliseconds(row.floor(|floor| floor.bare_hyper.latency.quantile_ms(0.999)))),
    ("server CPU", |row| percent(row.floor(|floor| floor.bare_hyper.cpu.server))),
    ("generator CPU", |row| percent(row.floor(|floor| floor.bare_hyper.cpu.generator))),
    ("others' CPU", |row| percent(row.floor(|floor| floor.bare_hyper.cpu.others))),
    ("append+fdatasync records/s", |row| whole(row.floor(|floor| floor.append_records_per_second))),
];

impl DaemonRun {
    fn events_stored(&self) -> u64 {
        self.measured.accepted * EVENTS_PER_REQUEST
    }

    fn per_event(&self, bytes: u64) -> f64 {
        bytes as f64 / self.events_stored() as f64
    }
}

impl Row {
    fn daemon(&self, figure: fn(&DaemonRun) -> f64) -> f64 {
        median(self.runs.iter().map(figure))
    }

    fn floor(&self, figure: fn(&FloorRun) -> f64) -> f64 {
        median(self.floors.iter().map(figure))
    }

    fn requests_per_second(&self) -> f64 {
        self.daemon(|run| run.measured.requests_per_second)
    }

    fn ratio_to(&self, floor: fn(&FloorRun) -> f64) -> String {
        if self.floors.is_empty() {
            return "-".to_owned();
        }
        format!("{:.2}", self.requests_per_second() / self.floor(floor))
    }

    /// Whatever was not answered 200 in all of the runs, by its name.
    fn refused(&self) -> BTreeMap<&str, u64> {
        let mut sums = BTreeMap::new();
        for (name, count) in self.runs.iter().flat_map(|run| &run.measured.refused) {
            *sums.entry(name.as_str()).or_default() += count;
        }
        sums
    }
}

/// The middle value; of an even number of values the mean of the middle two; NaN of none.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        count => (sorted[(count - 1) / 2] + sorted[count / 2]) / 2.0,
    }
}

/// Markdown whose columns also line up on a terminal.
fn print_table(rows: &[Row], columns: &[Column]) {
    let mut lines = vec![String::new(); rows.len() + 2];
    for (title, show) in columns {
        let cells: Vec<String> = rows.iter().map(show).collect();
        let width = cells.iter().map(String::len).fold(title.len(), usize::max);
        let rule = "-".repeat(width - 1) + ":";
        let column = [*title, &rule].into_iter().chain(cells.iter().map(String::as_str));
        for (line, cell) in lines.iter_mut().zip(column) {
            line.push_str(&format!("| {cell:>width$} "));
        }
    }
    for line in lines {
        println!("{line}|");
    }
}

/// A whole number with its thousands apart: `1,234,567`.
pub fn whole(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn milliseconds(value: f64) -> String {
    format!("{value:.3}")
}

fn megabytes(bytes: f64) -> String {
    format!("{:.1}", bytes / 1e6)
}

/// A share of one core.
pub fn percent(cores: f64) -> String {
    format!("{:.0} %", cores * 100.0)
}
