//! Charts, drawn on the server: each has its table for those who read.

use maud::{Markup, html};

use super::frame::count;

const WIDTH: f64 = 800.0;
const HEIGHT: f64 = 180.0;
/// Room for the words below and the numbers above.
const BELOW: f64 = 20.0;
const ABOVE: f64 = 16.0;
/// About how many words stand below a chart.
const WORDS: usize = 8;

/// A stretch of a chart.
pub struct Bar {
    pub label: String,
    pub value: u64,
}

/// How many there were of `what`, stretch by stretch.
pub fn bars(what: &str, bars: &[Bar]) -> Markup {
    let most = bars.iter().map(|bar| bar.value).max().unwrap_or(0).max(1);
    let width = WIDTH / bars.len().max(1) as f64;
    let room = HEIGHT - BELOW - ABOVE;
    let every = bars.len().div_ceil(WORDS).max(1);
    let total: u64 = bars.iter().map(|bar| bar.value).sum();
    let bottom = HEIGHT - BELOW;
    html! {
        svg.chart viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img"
            aria-label={ (what) ": " (count(total)) " in all, at most " (count(most)) } {
            line x1="0" x2=(WIDTH) y1=(bottom) y2=(bottom) {}
            line x1="0" x2=(WIDTH) y1=(ABOVE) y2=(ABOVE) {}
            text x="0" y=(ABOVE - 4.0) { (count(most)) }
            @for (at, bar) in bars.iter().enumerate() {
                @let height = room * bar.value as f64 / most as f64;
                @let x = at as f64 * width;
                rect x=(rounded(x + width * 0.1)) y=(rounded(bottom - height)) width=(rounded(width * 0.8))
                    height=(rounded(height)) rx="1" {
                    title { (bar.label) ": " (count(bar.value)) }
                }
                @if at % every == 0 {
                    text x=(rounded(x + width * 0.1)) y=(HEIGHT - 5.0) { (short(&bar.label)) }
                }
            }
        }
        details {
            summary { "As a table" }
            div.scroll tabindex="0" {
                table {
                    thead { tr { th scope="col" { "Time" } th.number scope="col" { (what) } } }
                    tbody {
                        @for bar in bars { tr { td.whole { (bar.label) } td.number { (count(bar.value)) } } }
                    }
                }
            }
        }
    }
}

/// A figure as it went, from the left to the right.
pub fn curve(what: &str, points: &[f64]) -> Markup {
    let most = points.iter().copied().fold(0.0, f64::max);
    let last = points.last().copied().unwrap_or(0.0);
    let (height, step) = (HEIGHT / 2.0, WIDTH / points.len().saturating_sub(1).max(1) as f64);
    let y = |value: f64| height - 2.0 - (height - 6.0) * value / most.max(f64::MIN_POSITIVE);
    let line: Vec<String> =
        points.iter().enumerate().map(|(at, value)| format!("{:.1},{:.1}", at as f64 * step, y(*value))).collect();
    html! {
        p.quiet.small { "now " (rounded(last)) ", at most " (rounded(most)) }
        svg.chart viewBox={ "0 0 " (WIDTH) " " (height) } role="img"
            aria-label={ (what) ": now " (rounded(last)) ", at most " (rounded(most)) } {
            polyline points=(line.join(" ")) {}
        }
    }
}

/// A line as long as the share that `part` is of `whole`.
pub fn share(part: u64, whole: u64) -> Markup {
    let width = 100.0 * part as f64 / whole.max(1) as f64;
    html! {
        svg.share viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true" {
            rect width=(rounded(width)) height="4" {}
        }
    }
}

/// A day without its year, an hour without its day.
fn short(label: &str) -> &str {
    match label.split_once([' ', 'T']) {
        Some((_, hour)) => hour.get(..5).unwrap_or(hour),
        None => label.get(5..).unwrap_or(label),
    }
}

fn rounded(number: f64) -> String {
    format!("{number:.1}")
}
