//! What earlier runs measured, as text files that people review and git merges: one per scenario, one line per run.

mod entry;
mod store;

pub use entry::{CaseEntry, Entry, Release, VERSION, entries_of, segment};
pub use store::{Fault, Store};

use crate::expect::key_facts::Spoken;
use crate::expect::past::{History, Known};
use crate::stats::history::PastRun;

/// How far back, and at most how many runs, answers are looked at.
const SPOKEN_DAYS: f64 = 28.0;
const SPOKEN_RUNS: usize = 64;

/// The history of one case and segment, metric by metric. `now` is in seconds since 1970.
pub fn known(
    entries: &[Entry],
    case: &str,
    segment: &str,
    release: Option<&Release>,
    now: f64,
) -> std::collections::BTreeMap<String, Known> {
    let mut out: std::collections::BTreeMap<String, Known> = std::collections::BTreeMap::new();
    for entry in entries {
        let Some(measured) = entry.cases.get(case).filter(|c| c.segment == segment) else { continue };
        let at_days = ((now - entry.seconds()) / 86_400.0).max(0.0);
        for (metric, samples) in &measured.ms {
            let run = PastRun { at_days, samples_ms: samples.values().to_vec() };
            let known = out.entry(metric.clone()).or_default();
            if release.is_some_and(|r| r.runs.contains(&entry.run)) {
                known.anchor.push(run.clone());
            }
            known.past.push(run);
        }
    }
    out
}

/// The history that planned cases ask for; cases are told as id, segment. `but` is a run that is not compared with itself.
pub fn history(store: &Store, cases: &[(String, String)], comparisons: usize, but: Option<&str>, now: f64) -> Result<History, Vec<Fault>> {
    let release = store.releases()?.pop();
    let mut history = History { comparisons, ..History::default() };
    let mut files: std::collections::BTreeMap<&str, Vec<Entry>> = std::collections::BTreeMap::new();
    for (id, segment) in cases {
        let (scenario, case) = id.split_once("::").unwrap_or((id, ""));
        if !files.contains_key(scenario) {
            let mut entries = store.entries(scenario)?;
            entries.retain(|e| Some(e.run.as_str()) != but);
            files.insert(scenario, entries);
        }
        let of_case = files[scenario].iter().filter_map(|e| e.cases.get(case).filter(|c| c.segment == *segment).map(|c| (e, c)));
        let recent = of_case.filter(|(e, _)| now - e.seconds() <= SPOKEN_DAYS * 86_400.0);
        let mut spoken: Vec<Spoken> = recent.filter_map(|(_, c)| c.says.clone()).collect();
        spoken.drain(..spoken.len().saturating_sub(SPOKEN_RUNS));
        history.spoken.insert(id.clone(), spoken);
        history.cases.insert(id.clone(), known(&files[scenario], case, segment, release.as_ref(), now));
    }
    Ok(history)
}
