//! All cases that are held to their history, judged together: a hundred cases see what one cannot.

use super::past::{Ceiling, History, samples};
use super::{Check, Expectation, LatencyMetric};
use crate::finding::{Finding, Outcome, Topic};
use crate::record::Trial;
use crate::stats::history::{Decision, PastRun, SUITE_ALPHA, suite};

/// Fewer cases than this are no suite: each has its own ceilings.
const FEWEST: usize = 5;

/// One case of the suite with all its measurements so far.
pub struct Measured<'a> {
    pub id: &'a str,
    /// Its expectations about all trials, among them the ceilings from history.
    pub group: &'a [Expectation],
    pub measurements: Vec<&'a [Trial]>,
}

/// The metrics that a case holds to its own recent history.
pub fn metrics(group: &[Expectation]) -> impl Iterator<Item = LatencyMetric> {
    let ceilings = group.iter().filter_map(|e| match &e.check {
        Check::Latency { history, .. } => Some(history),
        _ => None,
    });
    ceilings.flatten().filter(|(_, ceiling)| !matches!(ceiling, Ceiling::Release(_))).map(|(metric, _)| *metric)
}

/// Judges each metric over the cases that hold it to their history; `parts` is how many such judgements share the level with this
/// one, as shards do. Metrics with too little history are left out. The flag says that the suite should be measured twice more.
pub fn judge(cases: &[Measured<'_>], history: &History, parts: usize) -> (Vec<Finding>, bool) {
    let all = [LatencyMetric::Ttft, LatencyMetric::Tpot, LatencyMetric::E2e, LatencyMetric::MaxGap];
    let asked: Vec<LatencyMetric> = all.into_iter().filter(|m| cases.iter().any(|c| metrics(c.group).any(|own| own == *m))).collect();
    let alpha = SUITE_ALPHA / (asked.len() * parts).max(1) as f64;
    let mut again = false;
    let mut findings = Vec::new();
    for metric in asked {
        let mut fresh: Vec<Vec<f64>> = Vec::new();
        let mut past: Vec<&[PastRun]> = Vec::new();
        let mut ids = Vec::new();
        let mut measurements = 1;
        for case in cases.iter().filter(|c| metrics(c.group).any(|own| own == metric)) {
            let Some(known) = history.cases.get(case.id).and_then(|k| k.get(metric.word())) else { continue };
            fresh.push(case.measurements.iter().flat_map(|trials| samples(trials, metric)).collect());
            past.push(&known.past);
            ids.push(case.id);
            measurements = measurements.max(case.measurements.len());
        }
        if ids.len() < FEWEST {
            continue;
        }
        let judged = suite(&fresh, &past, measurements as u32, alpha);
        if judged.decision == Decision::TooThin {
            continue;
        }
        let missed = judged.decision == Decision::Missed;
        again |= missed && measurements == 1;
        let evidence = if missed { slowest(&ids, &fresh, &past) } else { Vec::new() };
        findings.push(Finding {
            expectation: format!("suite_{}", metric.word()),
            line: 0,
            outcome: if missed && measurements > 1 { Outcome::Missed } else { Outcome::Met },
            topic: Topic::Regression,
            why: match measurements {
                1 => format!("{}: {}", metric.word(), judged.line),
                n => format!("{}: {}; measured {n} times", metric.word(), judged.line),
            },
            evidence,
        });
    }
    (findings, again)
}

/// The cases that grew most, for the reader who looks for where it comes from.
fn slowest(ids: &[&str], fresh: &[Vec<f64>], past: &[&[PastRun]]) -> Vec<String> {
    let rule = crate::stats::history::Predicted::default();
    let mut grown: Vec<(f64, &str)> = ids
        .iter()
        .zip(fresh)
        .zip(past)
        .filter_map(|((id, samples), past)| {
            let mean = (!samples.is_empty()).then(|| (samples.iter().map(|v| v.ln()).sum::<f64>() / samples.len() as f64).exp())?;
            Some((mean / rule.expected_ms(past)?, *id))
        })
        .collect();
    grown.sort_by(|a, b| b.0.total_cmp(&a.0));
    grown.iter().take(5).map(|(ratio, id)| format!("{ratio:.2} × what was expected: {id}")).collect()
}
