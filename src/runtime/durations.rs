//! How long something took, counted in buckets.
//!
//! The buckets are Prometheus' own, so that they are exported as they are.

use std::time::Duration;

use prometheus::core::Metric as _;
use prometheus::{Histogram, HistogramOpts, proto};

/// The upper bounds of the buckets in seconds: from a small commit to a poll that hit its timeout. Each
/// costs every entity a time series, so there are no more than tell what to look at.
const BOUNDS: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0,
];

/// Durations in buckets; written and read by anybody.
#[derive(Clone, Debug)]
pub struct Durations(Histogram);

impl Default for Durations {
    fn default() -> Self {
        // The exporter gives it the name it has outside.
        let options = HistogramOpts::new("durations", "how long it took").buckets(BOUNDS.to_vec());
        Self(Histogram::with_opts(options).expect("the name is valid and the bounds ascend"))
    }
}

impl Durations {
    pub fn observe(&self, duration: Duration) {
        self.0.observe(duration.as_secs_f64());
    }

    /// Returns what has been observed, without labels; `None` before the first observation.
    pub fn metric(&self) -> Option<proto::Metric> {
        (self.0.get_sample_count() > 0).then(|| self.0.metric())
    }

    /// Returns the bound under which the given share of all durations lies, such as 0.99; `None` before
    /// the first one, infinite beyond the last bucket.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let metric = self.metric()?;
        let histogram = metric.get_histogram();
        // A count that is exact as a float: 2^53 batches take longer than anybody waits.
        let rank = share * histogram.get_sample_count() as f64;
        let bucket =
            (histogram.get_bucket().iter()).find(|bucket| bucket.cumulative_count() as f64 >= rank);
        Some(bucket.map_or(f64::INFINITY, proto::Bucket::upper_bound))
    }
}
