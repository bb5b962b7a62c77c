//! Daemons side by side, taking turns so that whatever else the machine does meets all of them: with nothing set up,
//! with a configuration in force, with readers, with segments that are sealed, and, if one is named, a daemon of another
//! revision.

use super::Result;
use super::load::Measured;
use super::readers::Reading;
use super::report::{median, whole};
use std::path::{Path, PathBuf};

/// The environment variable that names another daemon.
pub const OTHER: &str = "TRACARDI_BIN_OTHER";
/// How many event types, segments and workflows the configuration has.
const DEFINITIONS: usize = 20;

/// Daemons that are compared, by the case's name.
pub type Comparison = (&'static str, fn(&Path) -> Vec<Variant>);

pub const COMPARISONS: [Comparison; 4] = [
    ("comparison", configured_variants),
    ("live", live_variants),
    ("queries", query_variants),
    ("sealing", sealing_variants),
];

/// A daemon that takes part.
pub struct Variant {
    pub name: &'static str,
    pub daemon: PathBuf,
    /// Variables of its environment.
    pub settings: &'static [(&'static str, &'static str)],
    pub configuration: Option<String>,
    /// Who reads meanwhile, if anybody does.
    pub reading: Option<Reading>,
    pub runs: Vec<Measured>,
}

impl Variant {
    fn new(name: &'static str, daemon: impl Into<PathBuf>) -> Self {
        Self { name, daemon: daemon.into(), settings: &[], configuration: None, reading: None, runs: Vec::new() }
    }

    fn read_by(self, readers: usize, path: &'static str) -> Self {
        Self { reading: Some(Reading { readers, path }), ..self }
    }
}

/// What it costs that something is set up.
fn configured_variants(daemon: &Path) -> Vec<Variant> {
    let configured = Variant::new("20 types, segments and workflows", daemon);
    let mut variants =
        vec![Variant::new("nothing set up", daemon), Variant { configuration: Some(configuration()), ..configured }];
    variants.extend(std::env::var_os(OTHER).map(|other| Variant::new("another daemon", other)));
    variants
}

/// What it costs that readers follow the log: of a type that never comes, and of everything that comes.
fn live_variants(daemon: &Path) -> Vec<Variant> {
    vec![
        Variant::new("nobody follows", daemon),
        Variant::new("100 readers of a type that does not come", daemon).read_by(100, "/events/live?type=no-such-type"),
        Variant::new("100 readers of page views, two fields", daemon)
            .read_by(100, "/events/live?type=page-view&fields=id,type"),
        Variant::new("100 readers of everything", daemon).read_by(100, "/events/live"),
    ]
}

/// What it costs that clients ask without pause for what was collected so far.
fn query_variants(daemon: &Path) -> Vec<Variant> {
    vec![
        Variant::new("nobody asks", daemon),
        Variant::new("one asks for the newest 100 page views", daemon).read_by(1, "/events?type=page-view"),
        Variant::new("four look for what is nowhere", daemon)
            .read_by(4, "/events?where=event.properties.quantity%20%3E%2090000"),
    ]
}

/// What sealing does to those who collect meanwhile.
fn sealing_variants(daemon: &Path) -> Vec<Variant> {
    let sealing = Variant::new("a segment is sealed at each 4 MiB", daemon);
    vec![
        Variant::new("nothing is sealed", daemon),
        Variant { settings: &[("TRACARDI__STORAGE__SEGMENT_BYTES", "4194304")], ..sealing },
    ]
}

/// 20 event types, 20 segments and 20 workflows of five steps, of which two match what visitors send.
fn configuration() -> String {
    let types = (0..DEFINITIONS).map(|number| {
        let id = if number == 0 { "purchase-order".to_owned() } else { format!("type-{number}") };
        format!(
            r#"{{"id":"{id}","schema":{{"properties":{{"type":"object","required":["product"],"properties":{{"quantity":{{"type":"integer"}}}}}}}},
            "map":[{{"from":"event.properties.product","to":["event.data.ec.product.name","profile.traits.last_product"]}},
            {{"from":"event.properties.quantity","to":"profile.traits.bought","op":"add"}}]}}"#
        )
    });
    let segments = (0..DEFINITIONS).map(|number| {
        format!(
            r#"{{"id":"segment-{number}","condition":"profile.traits.bought >= {} && profile.stats.views > 2"}}"#,
            number * 5
        )
    });
    let workflows = (0..DEFINITIONS).map(|number| {
        let on = match number {
            0 => "purchase-order".to_owned(),
            1 => "page-view".to_owned(),
            _ => format!("type-{number}"),
        };
        format!(
            r#"{{"id":"workflow-{number}","on":["{on}"],"step":[
            {{"if":"event.type == '{on}'","increment":{{"profile.traits.count":1}}}},
            {{"set":{{"profile.traits.last":"{{{{ event.type }}}}"}}}},
            {{"copy":{{"event.traits.visits":"profile.stats.visits"}}}},
            {{"if":"profile.stats.views > 1000","set":{{"profile.traits.regular":true}}}},
            {{"interest":{{"shoes":0.5}}}}]}}"#
        )
    });
    let list = |items: Vec<String>| items.join(",");
    format!(
        r#"{{"event_type":[{}],"segment":[{}],"workflow":[{}]}}"#,
        list(types.collect()),
        list(segments.collect()),
        list(workflows.collect())
    )
}

pub fn print(title: &str, variants: &[Variant], connections: usize) -> Result<()> {
    let Some((plain, _)) = variants.split_first() else { return Ok(()) };
    println!("\n## {title}\n");
    println!(
        "Visits at {connections} connections, in turns; ratios of each turn, the median and from lowest to highest:\n"
    );
    println!("| daemon | requests/s | of the first | | CPU time per request | | p50 ms | p99 ms | p99.9 ms |");
    println!("|---|---:|---:|---|---:|---|---:|---:|---:|");
    for variant in variants {
        let rate = |measured: &Measured| measured.requests_per_second;
        let cost = |measured: &Measured| measured.cpu.server / measured.requests_per_second;
        let ratios = |of: fn(&Measured) -> f64| {
            let ratios = || variant.runs.iter().zip(&plain.runs).map(|(run, plain)| of(run) / of(plain));
            let (least, most) = ratios().fold((f64::MAX, f64::MIN), |(least, most), it| (least.min(it), most.max(it)));
            format!("{:.2} | {least:.2} to {most:.2}", median(ratios()))
        };
        let rates = median(variant.runs.iter().map(rate));
        let latencies = [0.5, 0.99, 0.999].map(|share| {
            format!("{:.2}", median(variant.runs.iter().map(|measured| measured.latency.quantile_ms(share))))
        });
        let (rates, of_rates, of_costs, latencies) = (whole(rates), ratios(rate), ratios(cost), latencies.join(" | "));
        println!("| {} | {rates} | {of_rates} | {of_costs} | {latencies} |", variant.name);
    }
    Ok(())
}
