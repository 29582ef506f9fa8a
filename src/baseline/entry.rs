//! One run of one scenario, as a line of text.

use crate::expect::LatencyMetric;
use crate::expect::key_facts::Spoken;
use crate::record::samples::Samples;
use crate::record::{RunRecord, Verdict};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the line format. Readers take earlier ones and refuse later ones.
pub const VERSION: u32 = 1;

/// What one run measured in one scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub v: u32,
    /// RFC 3339, UTC.
    pub at: String,
    /// The id of the run.
    pub run: String,
    /// Commit, image digest and whatever else `--label` gave; shown, never part of a comparison.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// By the case's part of its id.
    pub cases: BTreeMap<String, CaseEntry>,
}

/// One case of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseEntry {
    /// Only runs of the same segment are compared: what is sent, how many at once, on what hardware.
    pub segment: String,
    pub trials: u64,
    pub passed: u64,
    /// What the answers said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub says: Option<Spoken>,
    /// Latencies of complete answers, by metric.
    pub ms: BTreeMap<String, Samples>,
}

/// An approved release: the runs that stand for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Release {
    pub v: u32,
    pub release: String,
    pub at: String,
    pub runs: Vec<String>,
}

impl Entry {
    /// Seconds since 1970; 0 when the time cannot be read.
    pub fn seconds(&self) -> f64 {
        self.at.parse::<jiff::Timestamp>().map_or(0.0, |t| t.as_millisecond() as f64 / 1e3)
    }
}

/// The part of a comparison's identity that is not the case's name. Latencies of other prompts, other concurrency or other hardware
/// are other latencies; the model, its image and the commit are what is being judged, so they are no part of it.
pub fn segment(fingerprint: &str, concurrency: usize, environment: &BTreeMap<String, String>) -> String {
    let hardware: Vec<String> = environment.iter().map(|(k, v)| format!("{k}={v}")).collect();
    crate::units::fingerprint(&[fingerprint, &concurrency.to_string(), &hardware.join(","), "metrics 1"])
}

/// The entries of a run, by scenario.
pub fn entries_of(record: &RunRecord) -> BTreeMap<String, Entry> {
    let mut out: BTreeMap<String, Entry> = BTreeMap::new();
    // What is judged about the suite as a whole has no prompt, and no history of its own.
    for case in record.judged().filter(|c| !c.is_suite()) {
        let (scenario, name) = case.id.split_once("::").unwrap_or((&case.id, ""));
        let Some(attempt) = case.attempts.last() else { continue };
        let concurrency = record.header.targets.get(&case.target).map_or(0, |t| t.concurrency);
        let mut ms: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for turn in attempt.all_trials().filter_map(|t| t.turns.last()).filter(|t| t.exchange.failure.is_none()) {
            for metric in [LatencyMetric::Ttft, LatencyMetric::Tpot, LatencyMetric::E2e, LatencyMetric::MaxGap] {
                if let Some(value) = metric.of(&turn.exchange.timing).filter(|d| !d.is_zero()) {
                    ms.entry(metric.word().to_owned()).or_default().push((value.as_secs_f64() * 1e6).round() / 1e3);
                }
            }
        }
        let measured = case.load.as_ref().and_then(|l| crate::load::judge::measured(l));
        let mut ms: BTreeMap<String, Samples> = ms.into_iter().map(|(metric, values)| (metric, Samples::of(values))).collect();
        if let Some(level) = measured {
            for (word, dist) in [("ttft", &level.figures.ttft), ("tpot", &level.figures.tpot), ("e2e", &level.figures.e2e)] {
                ms.extend(dist.as_ref().filter(|d| !d.sample.is_empty()).map(|d| (word.to_owned(), d.sample.clone())));
            }
        }
        let entry = out.entry(scenario.to_owned()).or_insert_with(|| Entry {
            v: VERSION,
            at: record.header.started_at.clone(),
            run: record.header.run_id.clone(),
            labels: record.header.labels.clone(),
            cases: BTreeMap::new(),
        });
        let entered = CaseEntry {
            segment: segment(&case.fingerprint, concurrency, &record.header.environment),
            trials: measured.map_or(attempt.trials.len() as u64, |l| l.counts.scheduled),
            passed: measured.map_or_else(|| attempt.trials.iter().filter(|t| t.verdict == Verdict::Pass).count() as u64, |l| l.counts.ok),
            says: measured.is_none().then(|| Spoken::of(&attempt.trials, &attempt.fetched)).flatten(),
            ms,
        };
        entry.cases.insert(name.to_owned(), entered);
    }
    out
}
