//! `report` shows a record again; `replay` judges it anew.

use super::args::{ProjectArgs, ReplayArgs, ReportArgs};
use super::output::{self, data, talk};
use super::project::{self, Opened};
use super::run::Reports;
use crate::record::{RunEnd, RunRecord};
use crate::redact::Redactor;
use crate::report::terminal;
use crate::verdict::{self, Exit, Policy};
use std::collections::HashMap;
use std::path::Path;

pub fn report(args: &ReportArgs) -> Exit {
    let (secrets, runs) = match project::open(&args.common, Path::new(".")) {
        Ok(project) => (project.options.secrets.clone(), project.layout.root.join(&project.options.runs)),
        // A record can be read where its project is not.
        Err(_) if args.run.is_some() => (Vec::new(), "runs".into()),
        Err(found) => {
            output::diagnostics(&found, output::color(args.common.color));
            return Exit::BadInput;
        }
    };
    let Some(path) = args.run.clone().or_else(|| crate::journal::newest(&runs)) else {
        talk(&format!("error: there is no run in {}", runs.display()));
        return Exit::BadInput;
    };
    let record = match crate::journal::read(&path) {
        Ok(record) => record,
        Err(why) => {
            talk(&format!("error: {why}"));
            return Exit::BadInput;
        }
    };
    let reports = Reports::of(None, Path::new("."), &args.files);
    let policy = Policy::of(&record.header.fail_on);
    let style = terminal::Style { color: output::color(args.common.color), evidence: true, transcript: args.verbose };
    show(&record, &reports, &Redactor::new(secrets), style, policy)
}

pub fn replay(args: &ReplayArgs) -> Exit {
    let color = output::color(args.common.color);
    let asked = ProjectArgs { paths: args.paths.clone(), common: args.common.clone() };
    let Opened { project, planned, .. } = match project::planned(&asked, Path::new(".")).and_then(Opened::usable) {
        Ok(planned) => planned,
        Err(found) => {
            output::diagnostics(&found, color);
            return Exit::BadInput;
        }
    };
    let old = match crate::journal::read(&args.run) {
        Ok(record) => record,
        Err(why) => {
            talk(&format!("error: {why}"));
            return Exit::BadInput;
        }
    };
    let by_id: HashMap<&str, _> = old.cases.iter().map(|c| (c.id.as_str(), c)).collect();
    let history = match super::run::history(&project, &planned, Some(&old.header.run_id)) {
        Ok(history) => history,
        Err((exit, why)) => {
            talk(&format!("error: {why}"));
            return exit;
        }
    };
    let mut cases: Vec<_> = planned
        .iter()
        .map(|case| crate::run::replay(case, by_id.get(case.id.as_str()).copied(), &project.options.targets[&case.target], &history))
        .collect();
    // What was judged about all cases together stands on measurements that no case holds.
    cases.extend(old.cases.iter().filter(|c| c.is_suite()).cloned());
    let took = old.end.as_ref().map(|e| e.took).unwrap_or_default();
    let record = RunRecord { header: old.header.clone(), cases, end: Some(RunEnd { took, filtered_out: 0, stopped: None }) };
    talk(&format!("replayed {} with today's expectations; nothing was sent", args.run.display()));
    let changed: Vec<String> = (record.cases.iter())
        .filter_map(|now| Some((now, by_id.get(now.id.as_str())?)))
        .filter(|(now, then)| now.verdict != then.verdict)
        .map(|(now, then)| format!("  {}: {} → {}", now.id, then.verdict.word(), now.verdict.word()))
        .collect();
    match changed.len() {
        0 => talk("no verdict has changed"),
        n => talk(&crate::redact::harmless(&format!("changed verdicts: {n}\n{}", changed.join("\n")))),
    }
    let reports = Reports::of(None, Path::new("."), &args.files);
    let style = terminal::Style { color, evidence: true, transcript: args.verbose };
    show(&record, &reports, &Redactor::new(project.options.secrets.iter().cloned()), style, project.options.policy)
}

fn show(record: &RunRecord, reports: &Reports, redactor: &Redactor, style: terminal::Style, policy: Policy) -> Exit {
    data(&redactor.clean(&terminal::summary(record, style)));
    verdict::exit(record, policy).worse(reports.write(record, redactor))
}
