//! What the daemon tells of itself (docs/contract.md, section 17).

use hyper::header::{ACCEPT, HeaderMap};
use schemars::JsonSchema;
use serde::Serialize;

use super::{
    App,
    reply::{self, Reply},
};
use crate::metrics::{Figures, Format, HttpFigures, Metrics};

const OPEN_METRICS: &str = "application/openmetrics-text";
const TEXT: &str = "text/plain";

/// How the daemon fares.
#[derive(Serialize, JsonSchema)]
pub struct System<'a> {
    #[serde(flatten)]
    figures: Figures,
    /// But for secrets.
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    settings: &'a serde_json::Value,
}

/// For Prometheus, and what reads its formats.
pub async fn metrics(app: &App, metrics: &Metrics, headers: &HeaderMap) -> Reply {
    let format = format(headers);
    let written = format.write(metrics.figures(app.http_figures()).await);
    reply::text(format.content_type(), written)
}

/// The same for a person, with the settings.
pub async fn system(app: &App, metrics: &Metrics) -> Reply {
    let figures = metrics.figures(app.http_figures()).await;
    reply::json(&System { figures, settings: &app.shown_settings })
}

/// OpenMetrics, but for who names only the older format.
fn format(headers: &HeaderMap) -> Format {
    let accepts = |wanted: &str| {
        let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let mut types = values.flat_map(|value| value.split(',')).filter_map(|range| range.split(';').next());
        types.any(|range| range.trim().eq_ignore_ascii_case(wanted))
    };
    if accepts(TEXT) && !accepts(OPEN_METRICS) { Format::Prometheus } else { Format::OpenMetrics }
}

impl App {
    pub(super) fn http_figures(&self) -> HttpFigures {
        HttpFigures {
            connections: self.admission.figures(),
            live_readers: self.services.get().map_or(0, |services| services.queries.live_readers()),
            requests: self.requests.by_path(),
            refused: self.requests.refused(),
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn the_older_format_is_for_who_names_no_other() {
        let asked = |accept: &'static str| format(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]));
        let prometheus = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for open in ["", "*/*", "application/json", prometheus] {
            assert_eq!(asked(open), Format::OpenMetrics, "{open}");
        }
        for text in ["text/plain", "application/json, Text/Plain;version=0.0.4"] {
            assert_eq!(asked(text), Format::Prometheus, "{text}");
        }
        assert_eq!(format(&HeaderMap::new()), Format::OpenMetrics);
    }
}
