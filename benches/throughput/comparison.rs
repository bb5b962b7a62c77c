//! Daemons side by side, taking turns so that whatever else the machine does meets all of them: with nothing set up,
//! with a configuration in force, with readers that follow the log, and, if one is named, a daemon of another revision.

use super::Result;
use super::load::Measured;
use super::report::{median, whole};
use std::path::PathBuf;

/// The environment variable that names another daemon.
pub const OTHER: &str = "TRACARDI_BIN_OTHER";
/// How many event types, segments and workflows the configuration has.
const DEFINITIONS: usize = 20;

/// A daemon that takes part.
pub struct Variant {
    pub name: &'static str,
    pub daemon: PathBuf,
    pub configuration: Option<String>,
    /// What those who follow the log ask for, if any do.
    pub readers: Option<&'static str>,
    pub runs: Vec<Measured>,
}

pub fn variants(daemon: &std::path::Path) -> Vec<Variant> {
    let variant =
        |name, daemon: PathBuf, configuration| Variant { name, daemon, configuration, readers: None, runs: Vec::new() };
    let mut variants = vec![
        variant("nothing set up", daemon.to_owned(), None),
        variant("20 types, segments and workflows", daemon.to_owned(), Some(configuration())),
    ];
    variants.extend(std::env::var_os(OTHER).map(|other| variant("another daemon", other.into(), None)));
    variants
}

/// What it costs that readers follow the log: of a type that never comes, and of everything that comes.
pub fn live_variants(daemon: &std::path::Path) -> Vec<Variant> {
    let variant =
        |name, readers| Variant { name, daemon: daemon.to_owned(), configuration: None, readers, runs: Vec::new() };
    vec![
        variant("nobody follows", None),
        variant("100 readers of a type that does not come", Some("type=no-such-type")),
        variant("100 readers of page views, two fields", Some("type=page-view&fields=id,type")),
        variant("100 readers of everything", Some("")),
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
    println!("| daemon | requests/s | of the first | | CPU time per request | |");
    println!("|---|---:|---:|---|---:|---|");
    for variant in variants {
        let rate = |measured: &Measured| measured.requests_per_second;
        let cost = |measured: &Measured| measured.cpu.server / measured.requests_per_second;
        let ratios = |of: fn(&Measured) -> f64| {
            let ratios = || variant.runs.iter().zip(&plain.runs).map(|(run, plain)| of(run) / of(plain));
            let (least, most) = ratios().fold((f64::MAX, f64::MIN), |(least, most), it| (least.min(it), most.max(it)));
            format!("{:.2} | {least:.2} to {most:.2}", median(ratios()))
        };
        let rates = median(variant.runs.iter().map(rate));
        println!("| {} | {} | {} | {} |", variant.name, whole(rates), ratios(rate), ratios(cost));
    }
    Ok(())
}
