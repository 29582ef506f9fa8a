//! Latency figures over the exchanges of a run.

use crate::exchange::Timing;
use crate::expect::LatencyMetric;
use crate::record::RunRecord;
use hdrhistogram::Histogram;
use std::time::Duration;

/// One row: how many values, and their quantiles.
pub struct Row {
    pub metric: &'static str,
    pub n: u64,
    pub mean: Duration,
    pub p50: Duration,
    pub p90: Duration,
    pub p95: Duration,
    pub p99: Duration,
    pub max: Duration,
}

/// Rows for the metrics that were measured at all. Only complete answers count.
pub fn rows(record: &RunRecord) -> Vec<Row> {
    let timings: Vec<&Timing> = record.judged().flat_map(|c| c.exchanges()).filter(|e| e.failure.is_none()).map(|e| &e.timing).collect();
    LatencyMetric::ALL
        .into_iter()
        .filter_map(|metric| {
            // Microseconds up to a day, three significant digits.
            let mut histogram = Histogram::<u64>::new_with_bounds(1, 86_400_000_000, 3).ok()?;
            for value in timings.iter().filter_map(|t| metric.of(t)) {
                histogram.saturating_record(value.as_micros() as u64);
            }
            if histogram.is_empty() {
                return None;
            }
            let at = |q: f64| Duration::from_micros(histogram.value_at_quantile(q));
            Some(Row {
                metric: metric.word(),
                n: histogram.len(),
                mean: Duration::from_secs_f64(histogram.mean() / 1e6),
                p50: at(0.5),
                p90: at(0.9),
                p95: at(0.95),
                p99: at(0.99),
                max: Duration::from_micros(histogram.max()),
            })
        })
        .collect()
}
