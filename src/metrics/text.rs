//! The figures as text for Prometheus and what reads its formats.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{
        DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, MetricEncoder, NoLabelSet, prometheus_text, text,
    },
    metrics::MetricType,
    registry::{Registry, Unit},
};

use super::figures::Figures;
use crate::{count::Durations, deliver, model::Id, process::Tally};

/// How the figures are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    OpenMetrics,
    /// The format of Prometheus before it.
    Prometheus,
}

impl Format {
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => prometheus_text::CONTENT_TYPE,
        }
    }

    /// The figures in this format.
    pub fn write(self, figures: Figures) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(figures));
        let mut written = String::new();
        match self {
            Self::OpenMetrics => text::encode(&mut written, &registry),
            Self::Prometheus => prometheus_text::encode(&mut written, &registry),
        }
        .expect("a text takes everything");
        written
    }
}

impl Collector for Figures {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let mut families = Families(encoder);
        self.encode_process(&mut families)?;
        self.encode_http(&mut families)?;
        self.encode_store(&mut families)?;
        self.encode_holdings(&mut families)?;
        self.encode_workflows(&mut families)?;
        self.encode_lookups(&mut families)?;
        self.encode_destinations(&mut families)
    }
}

impl Figures {
    fn encode_process(&self, families: &mut Families<'_>) -> fmt::Result {
        families
            .family("tracardi_build", "Which version runs.", None, MetricType::Info)?
            .encode_info(&[("version", self.version)])?;
        let started = self.started.micros() as f64 / 1e6;
        families.gauge("process_start_time", "When the daemon started, in seconds since 1970.", SECONDS, started)?;
        families.counter("process_cpu", "Processor time taken.", SECONDS, self.process.cpu_seconds)?;
        if let Some(bytes) = self.process.resident_bytes {
            families.gauge("process_resident_memory", "Memory taken.", BYTES, bytes)?;
        }
        Ok(())
    }

    fn encode_http(&self, families: &mut Families<'_>) -> fmt::Result {
        let connections = &self.http.connections;
        families.gauge("tracardi_http_connections", "Open connections.", None, connections.open as u64)?;
        families.counters(
            "tracardi_http_connections_refused",
            "Connections over a limit: server.max_connections (all) or max_connections_per_address (address).",
            [([("limit", "all")], connections.refused_all), ([("limit", "address")], connections.refused_address)],
        )?;
        let live = self.http.live_readers as u64;
        families.gauge("tracardi_live_readers", "Readers of /events/live.", None, live)?;
        let requests = || self.http.requests.iter();
        let by_status = requests().flat_map(|(path, requests)| {
            requests.by_status.iter().map(|(status, count)| ([("path", *path), ("status", *status)], *count))
        });
        families.counters("tracardi_http_requests", "Requests by the pattern of their path.", by_status)?;
        let times = requests().map(|(path, requests)| ([("path", *path)], &requests.time));
        families.histograms(
            "tracardi_http_request",
            "Time from the end of a request's head until its answer is known.",
            times,
        )?;
        let refused = self.http.refused.iter().map(|(reason, count)| ([("reason", *reason)], *count));
        families.counters("tracardi_refused_requests", "Requests to /track and /collect that were not taken.", refused)
    }

    fn encode_store(&self, families: &mut Families<'_>) -> fmt::Result {
        let store = &self.store;
        families.counter("tracardi_events", "Events stored.", None, store.events)?;
        families.counter("tracardi_commit_groups", "Groups of requests made durable together.", None, store.groups)?;
        families.histograms("tracardi_fsync", "Time of the journal's fsyncs.", [([], &store.fsync)])?;
        let queue = &store.queue;
        families.gauge("tracardi_queue_requests", "Requests waiting for the journal.", None, queue.requests as u64)?;
        families.gauge("tracardi_queue", "Bytes of requests that are not applied yet.", BYTES, queue.bytes as u64)?;
        let what = "Bytes that requests may take until they are applied; more of them wait.";
        families.gauge("tracardi_queue_limit", what, BYTES, queue.bytes_max as u64)?;
        families.gauge("tracardi_log_entries", "Entries of the log.", None, store.entries)?;
        let what = "Entries that are durable and not applied to segments and views yet.";
        families.gauge("tracardi_unapplied_entries", what, None, store.unapplied)?;
        let (what, erasures) = ("Erasures that are not done on the disk yet.", &store.erasures);
        families.gauge("tracardi_erasures_pending", what, None, erasures.pending as u64)?;
        families.gauge(
            "tracardi_erasure_lag",
            "Time since the oldest of them was asked for.",
            SECONDS,
            erasures.lag_seconds,
        )
    }

    fn encode_holdings(&self, families: &mut Families<'_>) -> fmt::Result {
        let Some(holdings) = &self.holdings else { return Ok(()) };
        if let Some(engine) = &holdings.behind_journal {
            let segments = &engine.segments;
            let segments =
                [([("state", "live")], segments.live as u64), ([("state", "sealed")], segments.sealed as u64)];
            families.gauges("tracardi_segments", "Segments of the log.", None, segments)?;
            let (what, count) =
                ("Sealed segments whose index is still to be made.", engine.segments.without_index as u64);
            families.gauge("tracardi_segments_without_index", what, None, count)?;
            families.gauge("tracardi_view_records", "Records of the views.", None, engine.view_records)?;
        }
        if let Some(usage) = &holdings.disk_bytes {
            let kinds = [
                ([("kind", "journal")], usage.journal),
                ([("kind", "segments")], usage.segments),
                ([("kind", "indexes")], usage.indexes),
                ([("kind", "views")], usage.views),
                ([("kind", "deliveries")], usage.deliveries),
                ([("kind", "other")], usage.other),
            ];
            families.gauges("tracardi_disk", "What the storage folder takes on the disk.", BYTES, kinds)?;
        }
        if let Some(bytes) = holdings.disk_free_bytes {
            families.gauge("tracardi_disk_free", "What may still be written to the disk.", BYTES, bytes)?;
        }
        Ok(())
    }

    fn encode_workflows(&self, families: &mut Families<'_>) -> fmt::Result {
        let ids: Vec<_> = self.workflows.keys().map(Id::text).collect();
        let each = |get: fn(&Tally) -> u64| {
            ids.iter().zip(self.workflows.values()).map(move |(id, tally)| ([("workflow", &**id)], get(tally)))
        };
        families.counters("tracardi_workflow_runs", "Runs of a workflow.", each(|tally| tally.performed))?;
        families.counters("tracardi_workflow_failures", "Runs of a workflow that failed.", each(|tally| tally.failures))
    }

    fn encode_lookups(&self, families: &mut Families<'_>) -> fmt::Result {
        let lookups = &self.lookups;
        let results = [
            ([("result", "answered")], lookups.answered),
            ([("result", "failed")], lookups.failed),
            ([("result", "remembered")], lookups.remembered),
        ];
        families.counters("tracardi_lookups", "Lookups of workflows.", results)?;
        families.histograms("tracardi_lookup", "Time of lookups that were not remembered.", [([], &lookups.asking)])
    }

    fn encode_destinations(&self, families: &mut Families<'_>) -> fmt::Result {
        let ids: Vec<_> = self.destinations.keys().map(Id::text).collect();
        let each = |get: fn(&deliver::Status) -> u64| {
            ids.iter().zip(self.destinations.values()).map(move |(id, status)| ([("destination", &**id)], get(status)))
        };
        let what = "Entries of the log that a destination has not looked at yet.";
        families.gauges("tracardi_destination_lag_entries", what, None, each(|status| status.lag))?;
        let what = "Deliveries that failed one after another.";
        families.gauges("tracardi_destination_failing", what, None, each(|status| status.failures))?;
        let what = "Items that a destination does not take and that are set aside.";
        families.gauges("tracardi_destination_aside_items", what, None, each(|status| status.aside))?;
        let what = "Items delivered to a destination.";
        families.counters("tracardi_destination_items", what, each(|status| status.delivered))?;
        let what = "Items for which a destination's condition could not be evaluated.";
        families.counters("tracardi_destination_undecided", what, each(|status| status.undecided))?;
        let what = "Panics of the work for a destination, which went on.";
        families.counters("tracardi_destination_panics", what, each(|status| status.panics))
    }
}

const SECONDS: Option<&Unit> = Some(&Unit::Seconds);
const BYTES: Option<&Unit> = Some(&Unit::Bytes);

/// Writes family after family. A unit becomes the end of the family's name. One without samples is left out.
struct Families<'a>(DescriptorEncoder<'a>);

impl Families<'_> {
    fn family<'s>(
        &'s mut self,
        name: &'s str,
        help: &str,
        unit: Option<&'s Unit>,
        kind: MetricType,
    ) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.0.encode_descriptor(name, help, unit, kind)
    }

    fn gauge(&mut self, name: &str, help: &str, unit: Option<&Unit>, value: impl EncodeGaugeValue) -> fmt::Result {
        self.gauges(name, help, unit, [([], value)])
    }

    fn gauges<'l, V: EncodeGaugeValue, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        samples: impl IntoIterator<Item = ([(&'l str, &'l str); N], V)>,
    ) -> fmt::Result {
        self.samples(name, help, unit, MetricType::Gauge, samples, |encoder, value| encoder.encode_gauge(value))
    }

    fn counter(&mut self, name: &str, help: &str, unit: Option<&Unit>, value: impl EncodeCounterValue) -> fmt::Result {
        self.samples(name, help, unit, MetricType::Counter, [([], value)], write_counter)
    }

    fn counters<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = ([(&'l str, &'l str); N], u64)>,
    ) -> fmt::Result {
        self.samples(name, help, None, MetricType::Counter, samples, write_counter)
    }

    fn histograms<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = ([(&'l str, &'l str); N], &'l Durations)>,
    ) -> fmt::Result {
        self.samples(name, help, SECONDS, MetricType::Histogram, samples, |encoder, times| {
            encoder.encode_histogram::<NoLabelSet>(times.seconds, times.count(), &times.buckets(), None)
        })
    }

    fn samples<'l, V, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        kind: MetricType,
        samples: impl IntoIterator<Item = ([(&'l str, &'l str); N], V)>,
        write: impl Fn(&mut MetricEncoder<'_>, &V) -> fmt::Result,
    ) -> fmt::Result {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return Ok(());
        }
        let mut family = self.family(name, help, unit, kind)?;
        for (labels, value) in samples {
            write(&mut family.encode_family(&labels)?, &value)?;
        }
        Ok(())
    }
}

fn write_counter<V: EncodeCounterValue>(encoder: &mut MetricEncoder<'_>, value: &V) -> fmt::Result {
    encoder.encode_counter::<NoLabelSet, _, f64>(value, None)
}
