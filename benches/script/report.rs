//! The table: each script, less what pages take without any.

use super::{candidate::Candidate, visit::Visit};

/// The first candidate is the pages without a script.
pub fn print(candidates: &[Candidate], visits: &[Vec<Visit>]) {
    let Some((bare, scripts)) = visits.split_first() else { return };
    let first_ms = |visit: &Visit| visit.page_ms[0];
    let next_ms = |visit: &Visit| median(visit.page_ms[1..].to_vec());
    println!(
        "a page without a script takes {:.1} ms of its main thread, the first one of a visit {:.1}; {} visits each",
        median(bare.iter().map(next_ms).collect()),
        median(bare.iter().map(first_ms).collect()),
        bare.len()
    );
    println!(
        "\n| script | bytes (gzip) | in the page (gzip) | ms, first page | ms, next pages | requests | bytes | left |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|");
    for (candidate, visits) in candidates[1..].iter().zip(scripts) {
        let [script, script_compressed, snippet, snippet_compressed] = candidate.sizes();
        // Against the visit of the same round: what slows the machine for a while slows both.
        let beyond = |ms: &dyn Fn(&Visit) -> f64| {
            let differences = visits.iter().zip(bare).map(|(visit, bare)| ms(visit) - ms(bare)).collect();
            spread(differences)
        };
        println!(
            "| {} | {script} ({script_compressed}) | {snippet} ({snippet_compressed}) | {} | {} | {} | {} | {} |",
            candidate.name,
            beyond(&first_ms),
            beyond(&next_ms),
            median(visits.iter().map(|visit| visit.requests as f64).collect()),
            median(visits.iter().map(|visit| visit.bytes as f64).collect()),
            median(visits.iter().map(|visit| visit.left_bytes as f64).collect()),
        );
    }
}

/// The median, and between what the middle half of the values are.
fn spread(values: Vec<f64>) -> String {
    let values = sorted(values);
    let quarter = |number: usize| values[(values.len() - 1) * number / 4];
    format!("{:.1} ({:.1} to {:.1})", median(values.clone()), quarter(1), quarter(3))
}

fn median(values: Vec<f64>) -> f64 {
    let values = sorted(values);
    (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}
