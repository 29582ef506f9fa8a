//! The suite as a whole against its history, once all its cases have finished.

use super::case::trials_of;
use super::{Engine, Shared};
use crate::expect::suite::{Measured, judge, metrics};
use crate::plan::Planned;
use crate::record::{Attempt, CaseRecord, RunRecord, Trial, Verdict};
use futures_util::StreamExt;
use std::collections::BTreeMap;

/// Further measurements of the suite when the first one is suspicious.
const AGAIN: u64 = 2;

/// True when a case takes part in the ratio of the suite.
pub fn is_held(case: &Planned) -> bool {
    metrics(&case.group).next().is_some()
}

/// Judges `held` cases together, as a case of its own; `None` when there is too little history, or the run was stopped. A suspicious
/// suite is measured twice more; `tell` hears so.
pub async fn judge_suite(engine: &Engine, held: &[Planned], record: &RunRecord, tell: impl FnOnce()) -> Option<CaseRecord> {
    let started = std::time::Instant::now();
    let shard = record.header.shard;
    let parts = shard.map_or(1, |(_, of)| of as usize);
    let first: BTreeMap<&str, &[Trial]> =
        record.judged().filter_map(|c| Some((c.id.as_str(), c.attempts.last()?.trials.as_slice()))).collect();
    let held: Vec<&Planned> = held.iter().filter(|c| first.contains_key(c.id.as_str())).collect();
    let mut more: Vec<BTreeMap<&str, Vec<Trial>>> = Vec::new();
    let mut tell = Some(tell);
    let findings = loop {
        let cases: Vec<Measured<'_>> = held
            .iter()
            .map(|case| {
                let mut measurements = vec![first[case.id.as_str()]];
                measurements.extend(more.iter().filter_map(|m| m.get(case.id.as_str()).map(Vec::as_slice)));
                Measured { id: &case.id, group: &case.group, measurements }
            })
            .collect();
        let (findings, again) = judge(&cases, &engine.history, parts);
        if !again || engine.why_stopped().is_some() {
            break findings;
        }
        tell.take().into_iter().for_each(|tell| tell());
        for number in 0..AGAIN {
            more.push(measure(engine, &held, number).await);
        }
    };
    if findings.is_empty() || engine.why_stopped().is_some() {
        return None;
    }
    let attempt = Attempt { group: findings, ..Attempt::default() };
    let verdict = attempt.verdict();
    let why = attempt.group.iter().find(|f| Verdict::from(f.outcome) == verdict && verdict != Verdict::Pass).map(|f| f.why.clone());
    let name = shard.map_or_else(|| "history".to_owned(), |(i, of)| format!("history, shard {i} of {of}"));
    Some(CaseRecord {
        id: format!("suite::{name}"),
        scenario: "suite".into(),
        name,
        // Reports show a place: that of the first case which takes part.
        file: held[0].file.clone(),
        line: held[0].line,
        layer: "scenario".into(),
        target: held[0].target.clone(),
        verdict,
        why: why.unwrap_or_default(),
        attempts: vec![attempt],
        took: started.elapsed(),
        ..CaseRecord::default()
    })
}

/// The trials of every case once more.
async fn measure<'a>(engine: &Engine, held: &[&'a Planned], number: u64) -> BTreeMap<&'a str, Vec<Trial>> {
    let measured =
        held.iter().filter_map(|case| Some((*case, engine.shared(&case.target)?))).map(|(case, shared): (&Planned, &Shared)| async move {
            let (trials, _) = trials_of(engine, shared, case, 2000 + number).await;
            (case.id.as_str(), trials)
        });
    let at_once = engine.services.values().map(|s| s.service.target.concurrency).sum::<usize>().max(1);
    futures_util::stream::iter(measured).buffer_unordered(at_once).collect().await
}
