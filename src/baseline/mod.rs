//! What earlier runs measured, as text files that people review and git merges: one per scenario, one line per run.

mod entry;
mod store;

pub use entry::{CaseEntry, Entry, Release, VERSION, entries_of, segment};
pub use store::{Fault, Store, Unwritten};

use crate::expect::key_facts::Spoken;
use crate::expect::past::{History, Known};
use crate::stats::history::{PastRun, since_approval};
use std::collections::BTreeMap;

/// How far back, and at most how many runs, answers are looked at.
const SPOKEN_DAYS: f64 = 28.0;
const SPOKEN_RUNS: usize = 64;

/// A run with what is worked out of it once, not for every case.
pub struct Aged {
    entry: Entry,
    at_days: f64,
    /// It stands for the approved release.
    anchored: bool,
}

impl Aged {
    /// Entries as seen at `now`, in seconds since 1970; without the run `but`, which is not compared with itself.
    pub fn all(entries: Vec<Entry>, release: Option<&Release>, but: Option<&str>, now: f64) -> Vec<Aged> {
        let others = entries.into_iter().filter(|e| Some(e.run.as_str()) != but);
        others
            .map(|entry| Aged {
                at_days: ((now - entry.seconds()) / 86_400.0).max(0.0),
                anchored: release.is_some_and(|r| r.runs.contains(&entry.run)),
                entry,
            })
            .collect()
    }

    fn case(&self, case: &str, segment: &str) -> Option<&CaseEntry> {
        self.entry.cases.get(case).filter(|c| c.segment == segment)
    }
}

/// The history of one case and segment, metric by metric.
pub fn known(entries: &[Aged], case: &str, segment: &str) -> BTreeMap<String, Known> {
    let mut out: BTreeMap<String, Known> = BTreeMap::new();
    for (entry, measured) in entries.iter().filter_map(|e| Some((e, e.case(case, segment)?))) {
        for (metric, samples) in &measured.ms {
            let run = PastRun { at_days: entry.at_days, samples_ms: samples.values().to_vec() };
            if !out.contains_key(metric) {
                out.insert(metric.clone(), Known::default());
            }
            let Some(known) = out.get_mut(metric) else { continue };
            if entry.anchored {
                known.anchor.push(run.clone());
            }
            known.past.push(run);
        }
    }
    for known in out.values_mut() {
        known.past = since_approval(std::mem::take(&mut known.past), &known.anchor);
    }
    out
}

/// What the newest earlier runs said to a case, oldest first.
fn spoken(entries: &[Aged], case: &str, segment: &str) -> Vec<Spoken> {
    let recent = entries.iter().rev().filter(|e| e.at_days <= SPOKEN_DAYS);
    let mut out: Vec<Spoken> = recent.filter_map(|e| e.case(case, segment)?.says.clone()).take(SPOKEN_RUNS).collect();
    out.reverse();
    out
}

/// The history that planned cases ask for; cases are told as id, segment. `but` is a run that is not compared with itself; `now` is
/// in seconds since 1970.
pub fn history(store: &Store, cases: &[(String, String)], comparisons: usize, but: Option<&str>, now: f64) -> Result<History, Vec<Fault>> {
    let mut history = History { comparisons, ..History::default() };
    if cases.is_empty() {
        return Ok(history);
    }
    let release = store.releases()?.pop();
    let mut by_scenario: BTreeMap<&str, Vec<(&String, &str, &str)>> = BTreeMap::new();
    for (id, segment) in cases {
        let (scenario, case) = id.split_once("::").unwrap_or((id, ""));
        by_scenario.entry(scenario).or_default().push((id, case, segment));
    }
    // Reading is most of the work, and files do not wait for each other.
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(by_scenario.len());
    let work: Vec<_> = by_scenario.into_iter().collect();
    let of_scenario = |(scenario, cases): &(&str, Vec<(&String, &str, &str)>)| {
        let entries = Aged::all(store.entries(scenario)?, release.as_ref(), but, now);
        let found =
            cases.iter().map(|(id, case, segment)| ((*id).clone(), known(&entries, case, segment), spoken(&entries, case, segment)));
        Ok(found.collect::<Vec<_>>())
    };
    let found: Vec<Result<Vec<_>, Vec<Fault>>> = std::thread::scope(|scope| {
        let parts = work.chunks(work.len().div_ceil(threads));
        let running: Vec<_> = parts.map(|part| scope.spawn(move || part.iter().map(of_scenario).collect::<Vec<_>>())).collect();
        running.into_iter().flat_map(|thread| thread.join().expect("reading does not panic")).collect()
    });
    for found in found {
        for (id, known, spoken) in found? {
            history.spoken.insert(id.clone(), spoken);
            history.cases.insert(id, known);
        }
    }
    Ok(history)
}
