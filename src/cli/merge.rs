//! `merge`: the record a single run would have given, of the records of its shards.

use super::args::MergeArgs;
use super::output::{self, data, talk};
use super::run::{Reports, tell_github};
use crate::event::Event;
use crate::journal::Journal;
use crate::record::{RunEnd, RunHeader, RunRecord};
use crate::redact::Redactor;
use crate::report::terminal;
use crate::verdict::{self, Exit, Policy};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub fn main(args: &MergeArgs) -> Exit {
    let (merged, complete) = match merged(&args.runs) {
        Ok(merged) => merged,
        Err(why) => {
            talk(&format!("error: {why}"));
            return Exit::CouldNotJudge;
        }
    };
    if let Err(why) = &complete {
        talk(&format!("error: {why}"));
    }
    let redactor = Redactor::new(Vec::new());
    if let Err(e) = write(&args.out, &merged) {
        talk(&format!("error: the record cannot be written in {}: {e}", args.out.display()));
        return Exit::NotWritten;
    }
    let style = terminal::Style { color: output::color(args.color), evidence: true, transcript: false };
    data(&terminal::summary(&merged, style));
    let reports = Reports::of(None, Path::new("."), &args.files);
    let exit = verdict::exit(&merged, Policy::of(&merged.header.fail_on))
        .worse(reports.write(&merged, &redactor))
        .worse(tell_github(&merged, &redactor));
    if complete.is_err() { exit.worse(Exit::CouldNotJudge) } else { exit }
}

/// The journals under the paths: files, and folders with one journal each.
pub(super) fn journals(paths: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut out = Vec::new();
    for path in paths {
        if path.is_dir() {
            let inside = std::fs::read_dir(path).map_err(|e| format!("{} cannot be read: {e}", path.display()))?;
            out.extend(inside.filter_map(|e| Some(e.ok()?.path())).filter(|p| p.extension().is_some_and(|x| x == "jsonl")));
        } else {
            out.push(path.clone());
        }
    }
    out.sort();
    if out.is_empty() { Err("there is no record of a run".into()) } else { Ok(out) }
}

/// The merged record, and why it is not the whole run, if it is not.
fn merged(paths: &[PathBuf]) -> Result<(RunRecord, Result<(), String>), String> {
    let mut merged = RunRecord::default();
    let mut seen: BTreeMap<u64, PathBuf> = BTreeMap::new();
    let mut total = None;
    let mut lacking = Vec::new();
    let mut took = std::time::Duration::ZERO;
    for path in journals(paths)? {
        let record = crate::journal::read(&path)?;
        let Some((index, of)) = record.header.shard else { return Err(format!("{} is not the record of a shard", path.display())) };
        if *total.get_or_insert(of) != of {
            return Err(format!("{} is one of {of} shards, and others are of {}", path.display(), total.unwrap_or(of)));
        }
        if let Some(other) = seen.insert(index, path.clone()) {
            return Err(format!("{} and {} are both shard {index}", other.display(), path.display()));
        }
        match &record.end {
            Some(end) if end.stopped.is_none() => took = took.max(end.took),
            _ => lacking.push(format!("shard {index} was cut off")),
        }
        if let Some(why) = merged.header.differs(&record.header).filter(|_| !merged.header.run_id.is_empty()) {
            return Err(format!("{} is of another run than {}: {why}", path.display(), seen.values().next().unwrap_or(&path).display()));
        }
        if merged.header.run_id.is_empty() {
            merged.header = RunHeader { planned: Some(0), ..record.header.clone() };
        }
        merged.header.planned = merged.header.planned.zip(record.header.planned).map(|(a, b)| a + b);
        merged.cases.extend(record.cases);
    }
    let of = total.unwrap_or(0);
    lacking.extend((1..=of).filter(|i| !seen.contains_key(i)).map(|i| format!("shard {i} of {of} is missing")));
    merged.header.run_id.push_str("-merged");
    merged.header.shard = None;
    merged.cases.sort_by(|a, b| (&a.file, a.line, &a.id).cmp(&(&b.file, b.line, &b.id)));
    let stopped = (!lacking.is_empty()).then(|| lacking.join("; "));
    merged.end = Some(RunEnd { took, filtered_out: 0, stopped: stopped.clone() });
    Ok((merged, stopped.map_or(Ok(()), Err)))
}

fn write(dir: &Path, record: &RunRecord) -> std::io::Result<()> {
    let journal = Journal::open(dir, &record.header.run_id, Redactor::new(Vec::new()), false)?;
    journal.write(&Event::RunStarted(Box::new(record.header.clone())));
    for (position, case) in (0u64..).zip(&record.cases) {
        journal.write(&Event::CaseStarted { id: case.id.clone(), position });
        journal.write(&Event::CaseFinished(Box::new(case.clone())));
    }
    if let Some(end) = &record.end {
        journal.write(&Event::RunFinished(end.clone()));
    }
    journal.failure().map_or(Ok(()), |why| Err(std::io::Error::other(why)))
}
