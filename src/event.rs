//! What happens during a run, as one enum; and `fold`, which makes a `RunRecord` of it.

use crate::record::load::{Level, LoadRecord, Tick};
use crate::record::{CaseRecord, RunEnd, RunHeader, RunRecord, Verdict};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One line of a journal.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The first line of every journal. Under nextest each process writes one; they agree.
    RunStarted(Box<RunHeader>),
    /// A case was taken up. Without a matching end, the run was cut off here.
    CaseStarted {
        id: String,
        /// Its place in the plan, from 0: cases begin in any order.
        #[serde(default)]
        position: u64,
    },
    /// A service does not answer yet, and why; cases wait for it.
    Waiting { target: String, why: String },
    /// Some seconds of a load that still runs.
    LoadProgress { id: String, ticks: Vec<Tick> },
    /// A period of a soak has its figures.
    LoadPeriod { id: String, level: Box<Level> },
    /// A level of a load has its figures.
    LoadLevel { id: String, level: Box<Level> },
    /// A case has its verdict.
    CaseFinished(Box<CaseRecord>),
    /// The run came to its end.
    RunFinished(RunEnd),
}

/// Builds the record. A case that finished twice (a retry by an outer test runner) counts as it ended last, and is flaky where it had
/// failed before it passed.
pub fn fold(events: impl IntoIterator<Item = Event>) -> RunRecord {
    let mut record = RunRecord::default();
    let mut started: Vec<(u64, String)> = Vec::new();
    let mut position = std::collections::HashMap::new();
    let mut has_header = false;
    // Loads that have not come to their end.
    let mut running: BTreeMap<String, LoadRecord> = BTreeMap::new();
    for event in events {
        match event {
            Event::RunStarted(header) if !has_header => {
                record.header = *header;
                has_header = true;
            }
            Event::RunStarted(_) => {}
            Event::CaseStarted { id, position } => started.push((position, id)),
            Event::Waiting { .. } => {}
            Event::LoadProgress { id, ticks } => running.entry(id).or_default().ticks.extend(ticks),
            Event::LoadPeriod { id, level } => running.entry(id).or_default().periods.push(*level),
            Event::LoadLevel { id, level } => running.entry(id).or_default().levels.push(*level),
            Event::CaseFinished(case) => {
                running.remove(&case.id);
                match position.get(&case.id) {
                    Some(&at) => record.cases[at] = again(std::mem::take(&mut record.cases[at]), *case),
                    None => {
                        position.insert(case.id.clone(), record.cases.len());
                        record.cases.push(*case);
                    }
                }
            }
            Event::RunFinished(end) => record.end = Some(end),
        }
    }
    record.cases.extend(running.into_iter().map(|(id, load)| cut_off_load(id, load)));
    let known: std::collections::HashSet<String> = record.cases.iter().map(|c| c.id.clone()).collect();
    record.cases.extend(started.iter().filter(|(_, id)| !known.contains(id)).map(|(_, id)| cut_off(id.clone())));
    // In the order of the plan; where a record does not tell it, in that in which cases began.
    let order: std::collections::HashMap<&str, (u64, usize)> =
        started.iter().enumerate().rev().map(|(i, (position, id))| (id.as_str(), (*position, i))).collect();
    record.cases.sort_by_cached_key(|c| order.get(c.id.as_str()).copied().unwrap_or((u64::MAX, 0)));
    record
}

/// A case that ran again, with what it showed before.
fn again(before: CaseRecord, mut now: CaseRecord) -> CaseRecord {
    if now.verdict == Verdict::Pass && matches!(before.verdict, Verdict::Fail | Verdict::Error | Verdict::Flaky) {
        now.verdict = Verdict::Flaky;
        now.why = format!("passed when it was run again; before: {}", before.why);
        now.attempts.splice(0..0, before.attempts);
    }
    now
}

/// What is known of a case that was under way when its run ended: that it has no verdict.
fn cut_off(id: String) -> CaseRecord {
    let (scenario, name) = id.split_once("::").map_or(("", id.as_str()), |(s, n)| (s, n));
    CaseRecord {
        scenario: scenario.to_owned(),
        name: name.to_owned(),
        verdict: Verdict::Error,
        why: "cut off before it had a verdict".into(),
        id,
        ..CaseRecord::default()
    }
}

/// What is known of a load that was killed: its figures so far, and no verdict.
fn cut_off_load(id: String, mut load: LoadRecord) -> CaseRecord {
    load.tick_s = 1.0;
    load.notes.push("the run was cut off: these are the figures up to then".into());
    let seconds = load.ticks.last().map_or(0.0, |t| t.t_s);
    CaseRecord { why: format!("cut off after {seconds:.0} s, so there is no verdict"), load: Some(Box::new(load)), ..cut_off(id) }
}
