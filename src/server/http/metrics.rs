//! The metrics in Prometheus' text format, version 0.0.4: everything is read at the moment it is asked for.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>. Names and units follow
//! <https://prometheus.io/docs/practices/naming/>. What stands behind a sink is the entity `NAME result`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::core::Collector as _;
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{TEXT_FORMAT, TextEncoder};

use crate::engine::Database;
use crate::runtime::{Runtime, Status};
use crate::server::service::Service;
use crate::server::state::kind_word;

pub const CONTENT_TYPE: &str = TEXT_FORMAT;

/// A counter of every entity: name, help, where it stands.
type CounterOf = (&'static str, &'static str, fn(&Status) -> &AtomicU64);

const COUNTERS: [CounterOf; 10] = [
    (
        "omlsp_rows_in_total",
        "Rows that came to an entity: from outside, or from what it reads.",
        |status| &status.rows_in,
    ),
    (
        "omlsp_rows_out_total",
        "Rows that an entity gave: into its relation, or to the outside.",
        |status| &status.rows_out,
    ),
    (
        "omlsp_batches_total",
        "Batches that an entity has committed or written.",
        |status| &status.batches,
    ),
    (
        "omlsp_bytes_total",
        "Bytes that came from, or went to, the outside.",
        |status| &status.bytes,
    ),
    (
        "omlsp_requests_total",
        "Requests that were sent, each attempt counted.",
        |status| &status.requests,
    ),
    (
        "omlsp_retries_total",
        "Attempts that failed and were made again.",
        |status| &status.retries,
    ),
    (
        "omlsp_errors_total",
        "Failures after the last attempt; their texts are in omlsp_errors.",
        |status| &status.errors,
    ),
    (
        "omlsp_rejected_rows_total",
        "Rows that did not fit and were set aside: they are in omlsp_errors, unless on_error is skip.",
        |status| &status.rejected,
    ),
    (
        "omlsp_gaps_total",
        "Times in which the connection of a pushing source was away.",
        |status| &status.gaps,
    ),
    (
        "omlsp_skipped_ticks_total",
        "Ticks of a schedule that came while a poll still ran.",
        |status| &status.ticks_skipped,
    ),
];

/// Returns all metrics of a pipeline.
///
/// # Errors
/// The encoder's own.
pub fn render(service: &Service) -> anyhow::Result<String> {
    let mut families = vec![family(
        ("omlsp_build_info", "The version that runs; always 1."),
        MetricType::GAUGE,
        vec![gauge(&[("version", env!("CARGO_PKG_VERSION"))], 1.0)],
    )];
    families.extend(of_entities(&service.shared.board.all(), service));
    if let Some(runtime) = &service.runtime {
        families.extend(of_streams(runtime));
    }
    families.extend(of_state(&service.shared.database));
    families.extend(ProcessCollector::for_self().collect());
    families.retain(|family| !family.get_metric().is_empty());
    Ok(TextEncoder::new().encode_to_string(&families)?)
}

fn of_entities(statuses: &[(String, Arc<Status>)], service: &Service) -> Vec<MetricFamily> {
    let mut families = Vec::new();
    for (name, help, counter) in COUNTERS {
        let metrics = statuses.iter().map(|(entity, status)| {
            let count = counter(status).load(Ordering::Relaxed);
            count_metric(&[("entity", entity)], count)
        });
        families.push(family((name, help), MetricType::COUNTER, metrics.collect()));
    }
    families.extend(of_states(statuses, service));
    families.push(durations(
        (
            "omlsp_work_duration_seconds",
            "How long a piece of work took: a source's commit, a consumer's step.",
        ),
        statuses,
        |status| status.work.metric(),
    ));
    families.push(durations(
        (
            "omlsp_latency_seconds",
            "From a batch's trigger until an entity had committed it, or a sink had written it.",
        ),
        statuses,
        |status| status.latency.metric(),
    ));
    families
}

fn of_states(statuses: &[(String, Arc<Status>)], service: &Service) -> Vec<MetricFamily> {
    let pipeline = service.pipeline();
    let (mut states, mut successes, mut failing) = (Vec::new(), Vec::new(), Vec::new());
    for (entity, status) in statuses {
        let last = status.last();
        let known = pipeline.catalog.get(entity);
        let kind = known.map_or("relation", |known| kind_word(known.kind()));
        // A lookup has no work of its own that could start or end.
        let state = if kind == "lookup" {
            "ready"
        } else {
            last.state.word()
        };
        let labels = [
            ("entity", entity.as_str()),
            ("kind", kind),
            ("state", state),
        ];
        states.push(gauge(&labels, 1.0));
        let streak = u64::from(last.streak > 0);
        failing.push(gauge(&labels[..1], float(streak)));
        if let Some(time) = last.success {
            let seconds = float(u64::try_from(time.timestamp_millis()).unwrap_or(0)) / 1000.0;
            successes.push(gauge(&labels[..1], seconds));
        }
    }
    vec![
        family(
            (
                "omlsp_entity_info",
                "Kind and state of an entity; always 1.",
            ),
            MetricType::GAUGE,
            states,
        ),
        family(
            (
                "omlsp_entity_failing",
                "Whether the last piece of work of an entity failed: 1, else 0.",
            ),
            MetricType::GAUGE,
            failing,
        ),
        family(
            (
                "omlsp_last_success_timestamp_seconds",
                "When an entity last did a piece of work without a failure.",
            ),
            MetricType::GAUGE,
            successes,
        ),
    ]
}

fn durations(
    head: (&str, &str),
    statuses: &[(String, Arc<Status>)],
    of: fn(&Status) -> Option<Metric>,
) -> MetricFamily {
    let metrics = statuses.iter().filter_map(|(entity, status)| {
        let mut metric = of(status)?;
        metric.set_label(labelled(&[("entity", entity)]));
        Some(metric)
    });
    family(head, MetricType::HISTOGRAM, metrics.collect())
}

fn of_streams(runtime: &Runtime) -> Vec<MetricFamily> {
    let (mut heads, mut positions, mut lags, mut depths) = (vec![], vec![], vec![], vec![]);
    for stream in runtime.streams() {
        let (name, head) = (stream.stored.name.as_str(), stream.head());
        heads.push(gauge(&[("stream", name)], float(head)));
        for (consumer, position, rows) in stream.readers() {
            let labels = [("consumer", consumer.as_str()), ("stream", name)];
            positions.push(gauge(&labels, float(position)));
            depths.push(gauge(&labels, float(head.saturating_sub(position))));
            lags.push(gauge(&labels, float(rows)));
        }
    }
    let waiting = u64::try_from(runtime.jobs_waiting()).unwrap_or(u64::MAX);
    [
        (
            "omlsp_stream_head_batches",
            "The number of the latest batch of a relation.",
            heads,
        ),
        (
            "omlsp_consumer_position_batches",
            "The number of the last batch that a consumer has taken and committed.",
            positions,
        ),
        (
            "omlsp_consumer_lag_batches",
            "Batches between a relation and its consumer: the depth of the pipe between them.",
            depths,
        ),
        (
            "omlsp_consumer_lag_rows",
            "Rows that a consumer has not taken yet.",
            lags,
        ),
        (
            "omlsp_engine_jobs_waiting",
            "Pieces of work that wait for a thread of the engine.",
            vec![gauge(&[], float(waiting))],
        ),
    ]
    .into_iter()
    .map(|(name, help, metrics)| family((name, help), MetricType::GAUGE, metrics))
    .collect()
}

/// The files of the state: the database, its log, what was spilled. Nothing where all is in memory.
fn of_state(database: &Database) -> Option<MetricFamily> {
    let path = database.path()?;
    let beside = |ending: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        std::path::PathBuf::from(name)
    };
    let spilled = std::fs::read_dir(beside(".tmp")).map_or(0, |entries| {
        let files = entries.filter_map(|entry| entry.ok()?.metadata().ok());
        files.map(|file| file.len()).sum()
    });
    let size = |path: &std::path::Path| std::fs::metadata(path).map_or(0, |file| file.len());
    let metrics = [
        ("database", size(path)),
        ("log", size(&beside(".wal"))),
        ("spilled", spilled),
    ]
    .map(|(part, bytes)| gauge(&[("part", part)], float(bytes)));
    Some(family(
        ("omlsp_state_bytes", "The size of the state's files."),
        MetricType::GAUGE,
        metrics.to_vec(),
    ))
}

fn family((name, help): (&str, &str), kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn labelled(labels: &[(&str, &str)]) -> Vec<LabelPair> {
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    labels.iter().map(pair).collect()
}

fn gauge(labels: &[(&str, &str)], value: f64) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    let mut metric = Metric::from_label(labelled(labels));
    metric.set_gauge(gauge);
    metric
}

fn count_metric(labels: &[(&str, &str)], count: u64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(float(count));
    let mut metric = Metric::from_label(labelled(labels));
    metric.set_counter(counter);
    metric
}

/// Prometheus knows floats only: exact up to 2^53.
fn float(count: u64) -> f64 {
    count as f64
}
