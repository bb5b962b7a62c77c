//! System: how the daemon fares.

use maud::{Markup, html};

use super::{
    Answer, Asked, Console, Trouble,
    access::share,
    ask::{at, number, text},
    chart,
    frame::{bytes, count, moment, seconds},
    record,
};
use crate::{
    metrics::Stretch,
    model::{Object, Value},
};

impl Console {
    pub(super) async fn system(&self, asked: &Asked) -> Result<Answer, Trouble> {
        let figures = Value::shown(&self.metrics.figures(asked.http.clone()).await);
        let trouble = self.admin.trouble().await;
        let disk: Vec<(String, u64)> = at(&figures, "disk_bytes")
            .and_then(Value::as_object)
            .into_iter()
            .flat_map(Object::iter)
            .map(|(name, value)| (name.to_owned(), value.as_f64().map_or(0, |bytes| bytes as u64)))
            .collect();
        let whole: u64 = disk.iter().map(|(_, bytes)| bytes).sum();
        let content = html! {
            h1 { "System" }
            (share(asked))
            @match &trouble {
                Some(trouble) => { p.mistake role="alert" { (trouble) } }
                None => { p.done role="status" { "It takes events and stores them." } }
            }
            section.figures {
                (figure("Running for", &seconds(number(&figures, "uptime_seconds") as f64)))
                (figure("Events stored since", &count(number(&figures, "store.events"))))
                (figure("Memory", &bytes(number(&figures, "process.resident_bytes"))))
                (figure("On the disk", &bytes(whole)))
                (figure("Free on the disk", &bytes(number(&figures, "disk_free_bytes"))))
                (figure("Waiting to be stored", &count(number(&figures, "store.queue.requests"))))
            }
            (curves(&self.metrics.last_hour()))
            div.grid {
                section.card {
                    h2 { "What takes the disk" }
                    table { tbody { @for (name, size) in &disk { tr { td { (name) } td.number { (bytes(*size)) } } } } }
                }
                section.card {
                    h2 { "The log" }
                    dl {
                        dt { "Entries" } dd { (count(number(&figures, "store.entries"))) }
                        dt { "Sealed segments" } dd { (count(number(&figures, "segments.sealed"))) ", " (count(number(&figures, "segments.without_index"))) " without an index" }
                        dt { "Writing takes" } dd { "half of the time at most " (seconds(fraction(&figures, "store.fsync.median_at_most"))) }
                        dt { "Erasures to do" } dd { (count(number(&figures, "store.erasures.pending"))) }
                        dt { "Version" } dd { (text(&figures, "version")) }
                        dt { "Started" } dd { (moment(&text(&figures, "started"), asked.visitor.zone)) }
                    }
                }
                (destinations(&figures))
            }
            section.card { h2 { "Requests" } (requests(&figures)) }
            section.card { h2 { "Everything" } (record::whole(&figures)) }
        };
        Ok(Answer::page(asked, "system", "System", &content))
    }
}

fn figure(name: &str, value: &str) -> Markup {
    html! { div.card { span.quiet { (name) } span.figure { (value) } } }
}

/// The last hour.
fn curves(hour: &[Stretch]) -> Markup {
    let curve = |name: &str, value: &dyn Fn(&Stretch) -> f64| {
        let points: Vec<f64> = hour.iter().map(value).collect();
        html! { section.card { h2 { (name) } (chart::curve(name, &points)) } }
    };
    html! {
        div.grid {
            @if hour.len() < 2 { section.card { h2 { "The last hour" } p.quiet { "Curves are drawn once a minute has passed." } } }
            @else {
                (curve("Events a second, the last hour", &|stretch| stretch.events_per_second))
                (curve("Requests a second", &|stretch| stretch.requests_per_second))
                (curve("Processor, % of a core", &|stretch| stretch.cpu_percent))
                (curve("Memory, MB", &|stretch| stretch.resident_bytes as f64 / 1e6))
            }
        }
    }
}

fn fraction(figures: &Value, path: &str) -> f64 {
    at(figures, path).and_then(Value::as_f64).unwrap_or(0.0)
}

fn destinations(figures: &Value) -> Markup {
    let all = at(figures, "destinations").and_then(Value::as_object).filter(|all| !all.is_empty());
    html! {
        section.card {
            h2 { "Destinations" }
            @match all {
                None => { p.quiet { "None." } }
                Some(all) => {
                    div.scroll tabindex="0" {
                        table {
                            thead { tr { th scope="col" { "Id" } th.number scope="col" { "Delivered" } th.number scope="col" { "Behind" } th.number scope="col" { "Set aside" } th scope="col" { "State" } } }
                            tbody {
                                @for (id, status) in Object::iter(all) {
                                    tr {
                                        td { (id) }
                                        td.number { (count(number(status, "delivered"))) }
                                        td.number { (count(number(status, "lag"))) }
                                        td.number { (count(number(status, "aside"))) }
                                        td { @let error = text(status, "error"); @if error.is_empty() { "well" } @else { span.tag.off { (error) } } }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What was asked of the daemon, by path.
fn requests(figures: &Value) -> Markup {
    let all = at(figures, "http.requests").and_then(Value::as_object);
    html! {
        div.scroll tabindex="0" {
            table {
                thead { tr { th scope="col" { "Path" } th scope="col" { "Answers" } th.number scope="col" { "Median at most" } th.number scope="col" { "99 % at most" } } }
                tbody {
                    @for (path, figures) in all.into_iter().flat_map(Object::iter) {
                        tr {
                            td.mono { (path) }
                            td {
                                @for (status, number) in at(figures, "by_status").and_then(Value::as_object).into_iter().flat_map(Object::iter) {
                                    span.tag.off[!status.starts_with(['2', '3'])] { (status) ": " (number.to_text()) }
                                }
                            }
                            td.number { (seconds(fraction(figures, "time.median_at_most"))) }
                            td.number { (seconds(fraction(figures, "time.p99_at_most"))) }
                        }
                    }
                }
            }
        }
    }
}
