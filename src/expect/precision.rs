//! How well the trials so far know a latency: what `repeat: auto` waits for, and what it says when the budget ends first.

use super::past::samples;
use super::{Check, Expectation, LatencyMetric};
use crate::finding::{Finding, Outcome, Topic};
use crate::record::Trial;
use crate::stats::dist::t_quantile;
use crate::units::Share;

/// Fewer samples tell nothing about their own spread.
const FEWEST: usize = 8;

/// The latencies that some expectations look at; the whole answer's when they look at none.
pub fn metrics<'a>(expectations: impl IntoIterator<Item = &'a Expectation>) -> Vec<LatencyMetric> {
    let mut out: Vec<LatencyMetric> = Vec::new();
    for expectation in expectations {
        if let Check::Latency { max, history } = &expectation.check {
            out.extend(max.iter().map(|(m, _)| *m).chain(history.iter().map(|(m, _)| *m)));
        }
    }
    out.sort_by_key(|m| m.word());
    out.dedup();
    if out.is_empty() { vec![LatencyMetric::E2e] } else { out }
}

/// Half of the 95 % interval of a geometric mean, as a share of it; `None` with fewer than 8 samples.
pub fn half_width(samples: &[f64]) -> Option<f64> {
    let n = samples.len();
    if n < FEWEST {
        return None;
    }
    let logs: Vec<f64> = samples.iter().map(|v| v.ln()).collect();
    let mean = logs.iter().sum::<f64>() / n as f64;
    let variance = logs.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
    Some((t_quantile(0.975, (n - 1) as f64) * (variance / n as f64).sqrt()).exp() - 1.0)
}

/// True when every metric is known within the asked precision.
pub fn suffices(trials: &[Trial], metrics: &[LatencyMetric], asked: Share) -> bool {
    metrics.iter().all(|m| half_width(&samples(trials, *m)).is_some_and(|half| half <= asked.0))
}

/// What the trials came to.
pub fn judge(trials: &[Trial], metrics: &[LatencyMetric], asked: Share, line: u32) -> Finding {
    let met = suffices(trials, metrics, asked);
    let told: Vec<String> = metrics
        .iter()
        .map(|m| {
            let samples = samples(trials, *m);
            match half_width(&samples) {
                Some(half) => format!("{} known within ±{:.1} % by {} samples", m.word(), half * 100.0, samples.len()),
                None => format!("{} was measured {} times, and {FEWEST} are needed", m.word(), samples.len()),
            }
        })
        .collect();
    let asked = if met { format!("±{asked} asked") } else { format!("±{asked} asked, and `max` reached") };
    Finding {
        expectation: "repeat".into(),
        line,
        outcome: if met { Outcome::Met } else { Outcome::Inconclusive },
        topic: Topic::Threshold,
        why: format!("{} ({asked})", told.join("; ")),
        evidence: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_samples_know_more() {
        let spread = |n: usize| -> Vec<f64> { (0..n).map(|i| 100.0 * (1.0 + 0.2 * ((i * 7 % 10) as f64 / 10.0 - 0.45))).collect() };
        assert_eq!(half_width(&spread(7)), None);
        let (few, many) = (half_width(&spread(10)).unwrap(), half_width(&spread(160)).unwrap());
        assert!((few / many - 4.9).abs() < 0.2, "{few} {many}");
        // scipy: t.ppf(0.975, 9) × sem(log) of these ten, exponentiated, less one.
        assert!((few - 0.044_372).abs() < 1e-6, "{few}");
        assert!(half_width(&[5.0; 9]).unwrap() < 1e-9);
    }
}
