//! What earlier runs measured, as text files that people review and git merges: one per scenario, one line per run.

mod entry;
mod store;

pub use entry::{CaseEntry, Entry, Release, VERSION, entries_of, segment};
pub use store::{Fault, Store};

use crate::expect::past::{History, Known};
use crate::stats::history::PastRun;

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
            let run = PastRun { at_days, samples_ms: samples.clone() };
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
        history.cases.insert(id.clone(), known(&files[scenario], case, segment, release.as_ref(), now));
    }
    Ok(history)
}
